"""Documents and lines of files that could not be stored: list them, look at one, try them again.

`ops.quarantine` keeps the bytes of each version that a load had to reject. A later release of the
encoder, a larger limit or another Postgres may take it. `replay` tries all of them again, through
the same encoder and the same transaction as a load; a load would only meet those that the source
still holds and that its mode happens to read.
"""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

import bson
import psycopg
import typer
from bson import json_util
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.errors import BSONError
from psycopg import sql
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from loaders import landing
from loaders.connections import open_postgres, readable_errors
from loaders.documents import encoding, exact
from loaders.documents.encoding import Slice
from loaders.errors import UserError
from loaders.landing import Batch
from loaders.schema import ensure
from loaders.settings import Settings

MODE = "replay"
PAGE_BYTES = 8 * 1024 * 1024  # of kept documents in memory at once; one of 16 MB comes alone

# what `loaders.files.cli` calls a line of a file. No document's name ends so: the name of an id is
# JSON text or 24 hex digits, and what stands for an unusable one ends in a hash.
_LINE = ", line [0-9]+$"
_READABLE = CodecOptions(
    unicode_decode_error_handler="replace",
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
)


@dataclass(frozen=True)
class Note:
    """One row of `ops.quarantine`; `size` is that of the kept bytes."""

    collection: str
    identity: str
    reason: str
    size: int
    quarantined_at: datetime
    batch_id: int


@dataclass(frozen=True)
class Replay:
    """What became of the kept documents of one collection.

    Attributes:
        tried: kept documents that were encoded again.
        released: of these, the ones that raw has now; the others stay.
        overtaken: notes that were dropped, since raw or a younger note has a later version.
        lines: lines of files, which were passed over.
    """

    collection: str
    tried: int = 0
    released: int = 0
    overtaken: int = 0
    lines: int = 0


def kept(conn: psycopg.Connection, collection: str | None = None) -> list[Note]:
    """The notes of one collection or of all, without the content."""
    if conn.execute("select to_regclass('ops.quarantine')").fetchone() == (None,):
        return []
    rows = conn.execute(
        """
        select collection, _id, reason, octet_length(bson), quarantined_at, batch_id
        from ops.quarantine
        where %(collection)s::text is null or collection = %(collection)s
        order by collection, quarantined_at, _id
        """,
        {"collection": collection},
    )
    return [Note(*row) for row in rows]


def content(conn: psycopg.Connection, collection: str, identity: str) -> tuple[Note, bytes]:
    """A note and the bytes that it keeps.

    Args:
        identity: as `kept` shows it; the quotes of an id that is a string may be missing.

    Raises:
        UserError: there is no such note.
    """
    quoted = encoding.id_text(identity)
    for note in kept(conn, collection):
        if note.identity in (identity, quoted):
            [(data,)] = conn.execute(
                "select bson from ops.quarantine where collection = %s and _id = %s",
                [collection, note.identity],
            ).fetchall()
            return note, data
    raise UserError(
        f'nothing of the collection {collection} is kept under "{identity}": '
        "`ledgerline quarantine list` has the names"
    )


# --- reading what can be read -------------------------------------------------------------------


def readable(document: bytes) -> str:
    """A kept document as indented Extended JSON, each top-level field as far as it can be read."""
    try:
        return _json(bson.decode(document, _READABLE))
    except (BSONError, RecursionError, ValueError):
        pass
    lines = []
    end = 4
    for start, end in _elements(document):
        element = document[start:end]
        whole = (len(element) + 5).to_bytes(4, "little") + element + b"\0"
        try:
            lines.append(_json(bson.decode(whole, _READABLE)))
        except (BSONError, RecursionError, ValueError) as error:
            lines.append(f"can't be read ({error}): {element.hex()}")
    rest = document[end:]
    if rest != b"\0":
        lines.append(f"can't be read from byte {end} on: {rest.hex()}")
    return "\n".join(lines)


def _json(value: Any) -> str:
    return json_util.dumps(value, indent=2, ensure_ascii=False)


def _elements(document: bytes) -> Iterator[tuple[int, int]]:
    """(start, end) of the top-level elements, up to the first whose end can't be found."""
    position, last = 4, len(document) - 1
    while position < last and document[position]:
        try:
            value = document.index(0, position + 1) + 1
            end = value + exact.size_of(document[position], document, value)
        except ValueError:
            return
        if not value <= end <= last:
            return
        yield position, end
        position = end


# --- trying again ---------------------------------------------------------------------------------


def replay(settings: Settings, collection: str | None = None) -> list[Replay]:
    """Try all kept documents of one collection, or of all, again; each collection at once.

    What can be stored now is in raw afterwards, unless raw got a later version from the source in
    the meantime: then the note is dropped. What still can't stays, with today's reason.

    Raises:
        UserError: the server can't be reached, or a load works on the collection.
    """
    with readable_errors(), open_postgres(settings, autocommit=True) as conn:
        collections = sorted({note.collection for note in kept(conn, collection)})
        ensure(conn, collections)
        run_id = uuid.uuid4()
        return [_replay(conn, name, run_id) for name in collections]


def _replay(conn: psycopg.Connection, collection: str, run_id: uuid.UUID) -> Replay:
    lines = _count(conn, collection, is_line=True)
    if not _count(conn, collection, is_line=False):
        return Replay(collection, lines=lines)
    with landing.open_batch(conn, collection, MODE, run_id) as batch:
        taken = _Taken(batch)
        for page in range(taken.pages):
            batch.stage(taken.read(page))
        batch.merge(lambda: (part for page in range(taken.pages) for part in taken.read(page)))
        taken.put_back_dates()
        stayed = _count(conn, collection, is_line=False)
        batch.finish(landing.Reading())
        tried = len(taken.tried)
        conn.execute("drop table pg_temp.ledgerline_kept")
    return Replay(collection, tried, tried - stayed, len(taken.overtaken), lines)


def _count(conn: psycopg.Connection, collection: str, *, is_line: bool) -> int:
    [(count,)] = conn.execute(
        "select count(*) from ops.quarantine "
        "where collection = %s and (_id ~ %s) = %s and bson <> ''",  # '': erased
        [collection, _LINE, is_line],
    ).fetchall()
    return count


class _Taken:
    """A collection's kept documents, taken out of the quarantine for the time of the batch.

    The batch puts back what it must reject again, as it does with any document.

    Attributes:
        pages: how many there are, of `PAGE_BYTES` each, the youngest documents first.
        tried, overtaken: names of the notes of either kind among the pages read.
    """

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self.tried: set[str] = set()
        self.overtaken: set[str] = set()
        self._documents: set[str] = set()
        named = {"collection": sql.Literal(batch.collection), "line": sql.Literal(_LINE)}
        batch.conn.execute(
            sql.SQL(
                """
                create temporary table ledgerline_kept on commit drop as
                select _id, bson, quarantined_at, batch_id, row_number() over latest as position,
                    sum(octet_length(bson)) over latest / {bytes} as page
                from ops.quarantine
                where collection = {collection} and _id !~ {line} and bson <> ''
                window latest as (order by batch_id desc, _id)
                """
            ).format(**named, bytes=sql.Literal(PAGE_BYTES))
        )
        batch.conn.execute(
            sql.SQL(
                "delete from ops.quarantine "
                "where collection = {collection} and _id !~ {line} and bson <> ''"
            ).format(**named)
        )
        [(last,)] = batch.conn.execute("select max(page) from pg_temp.ledgerline_kept").fetchall()
        self.pages = 0 if last is None else int(last) + 1

    def read(self, page: int) -> list[Slice]:
        """Encode one page, without what is overtaken. Can be read again."""
        rows = self.batch.conn.execute(
            "select _id, batch_id, bson from pg_temp.ledgerline_kept where page = %s "
            "order by position",
            [page],
        ).fetchall()
        # an encoder with other limits may call a document by another name
        todays = [encoding.identity_of(document) for _, _, document in rows]
        arrived = dict(
            self.batch.conn.execute(
                sql.SQL("select _id, _batch_id from {} where _id = any(%s)").format(
                    self.batch.table
                ),
                [todays],
            ).fetchall()
        )
        return [
            encoding.encode([document])
            for (name, batch_id, document), today in zip(rows, todays, strict=True)
            if self._is_latest(name, today, arrived.get(today, 0) <= batch_id)
        ]

    def _is_latest(self, name: str, today: str, is_younger_than_raw: bool) -> bool:
        if name in self.tried or name in self.overtaken:  # the page is read again
            return name in self.tried
        # a document's younger note came before
        if not is_younger_than_raw or today in self._documents:
            self.overtaken.add(name)
            return False
        self._documents.add(today)
        self.tried.add(name)
        return True

    def put_back_dates(self) -> None:
        """What was rejected again has been waiting since its first note, not since this batch."""
        self.batch.conn.execute(
            """
            update ops.quarantine as note
            set quarantined_at = kept.quarantined_at, batch_id = kept.batch_id
            from pg_temp.ledgerline_kept as kept
            where note.collection = %s and note._id = kept._id
            """,
            [self.batch.collection],
        )


# --- the command ----------------------------------------------------------------------------------

app = typer.Typer(
    help="Documents and lines that could not be stored.", no_args_is_help=True, add_completion=False
)
_Collection = Annotated[str | None, typer.Argument(help="Only this collection.")]


@app.command("list")
def list_(collection: _Collection = None) -> None:
    """List what is kept, and why; never what stands in it."""
    with readable_errors(), open_postgres(Settings()) as conn:
        notes = kept(conn, collection)
    console = Console()
    if not console.is_terminal:  # for pipes: a plain line each
        for note in notes:
            sys.stdout.write("\t".join(_cells(note)) + "\n")
        return
    if not notes:
        console.print("Nothing is in quarantine.")
        return
    table = Table("collection", "_id", "reason", "bytes", "since", "batch", box=None)
    for note in notes:
        table.add_row(*map(escape, _cells(note)))
    console.print(table)
    console.print(f"{len(notes):,} kept. Try them again: ledgerline quarantine replay")


def _cells(note: Note) -> tuple[str, ...]:
    return (
        note.collection,
        note.identity,
        note.reason,
        str(note.size),
        note.quarantined_at.isoformat(timespec="seconds"),
        str(note.batch_id),
    )


@app.command()
def show(
    collection: Annotated[str, typer.Argument(help="Its collection.")],
    identity: Annotated[str, typer.Argument(metavar="ID", help="Its _id, as `list` shows it.")],
) -> None:
    """Print one document, or one line of a file, as far as it can be read."""
    with readable_errors(), open_postgres(Settings()) as conn:
        note, data = content(conn, collection, identity)
    typer.echo(
        f"{note.collection} {note.identity}: {note.reason} ({note.size:,} bytes, since "
        f"{note.quarantined_at:%Y-%m-%d %H:%M} UTC, batch {note.batch_id}).\n"
        "What follows may hold personal data: don't pass it on.",
        err=True,
    )
    typer.echo(readable(data))


@app.command("replay")
def replay_(collection: _Collection = None) -> None:
    """Try to store all kept documents again."""
    replays = replay(Settings(), collection)
    for done in replays:
        passed = f", {done.lines:,} lines of files passed over (load the mended file)" * bool(
            done.lines
        )
        typer.echo(
            f"{done.collection}: {done.tried:,} tried, {done.released:,} now in raw, "
            f"{done.tried - done.released:,} stay, {done.overtaken:,} overtaken by a later version"
            + passed
        )
    if not replays:
        typer.echo("Nothing is in quarantine.")
