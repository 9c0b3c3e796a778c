"""The limit: finished rows of the loader, from a file into a table like raw's by a text COPY.

    python -m benchmarks.loader.bare_copy ROWS

Prints how many seconds it took without its start.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from pathlib import Path

import psycopg

from loaders.documents import binary, encoding
from loaders.settings import Settings

BLOCK = 256 * 1024  # bytes


def write_rows(file: Path, batches: Iterable[bytes]) -> None:
    """Encode BSON documents to the rows that the loader would COPY, as text."""
    with file.open("wb") as stream:
        for batch in batches:
            for documents in encoding.cut(batch):
                rows = binary.fields_of(encoding.encode(documents).rows)
                stream.writelines(map(binary.document_as_text, rows))


def copy_rows(conn: psycopg.Connection, file: Path) -> None:
    """COPY into a new logged table with the columns of `raw.orders`, then add its primary key."""
    with conn.transaction():
        conn.execute("create table public.orders (like raw.orders)")
        conn.execute(
            "alter table public.orders "
            "alter _loaded_at set default now(), alter _batch_id set default 1"
        )
        statement = (
            "copy public.orders (_id, _source_ts, _doc_hash, _types, doc) "
            "from stdin with (format text, null '')"
        )
        with conn.cursor() as cursor, cursor.copy(statement) as copy, file.open("rb") as stream:
            while block := stream.read(BLOCK):
                copy.write(block)
        conn.execute("alter table public.orders add primary key (_id)")


def main() -> None:
    """Copy the rows of the file that the command line names."""
    with psycopg.connect(**Settings().postgres(), autocommit=True) as conn:
        before = time.perf_counter()
        copy_rows(conn, Path(sys.argv[1]))
        print(time.perf_counter() - before)


if __name__ == "__main__":
    main()
