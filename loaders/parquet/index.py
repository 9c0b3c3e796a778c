"""What a dataset holds of each document, on disk, so that a run needs no memory for it.

An SQLite file beside the dataset, some 100 bytes per document. It only repeats what the Parquet
files say: where it isn't that of the dataset's last batch, it is made anew from them. Its changes
are one transaction, committed after the batch.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from loaders.parquet.files import QUARANTINE_FOLDER, RELEASED, days_of, files_of, read
from loaders.tally import Days

CACHE_KIB = 4 * 1024
CHUNK = 1_000
_FORMAT = 1


@dataclass(slots=True)
class Entry:
    """A document in the dataset.

    Attributes:
        digest: hash of its newest version there; "" if it has none.
        day: UTC day of that version's clock, "" without one.
        is_live: it wasn't deleted.
        note: hash of the version in quarantine; "" if none is.
        batch_id: that wrote it last.
    """

    digest: str = ""
    day: str = ""
    is_live: bool = False
    note: str = ""
    batch_id: int = 0

    @property
    def counted(self) -> tuple[str, int] | None:
        """(day, 60 bits of the hash) of what the source should have, too."""
        return (self.day, int(self.digest[:15], 16)) if self.is_live and not self.note else None


class Index:
    """Entries by `_id`, in a transaction until `commit`.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.execute(f"pragma cache_size = -{CACHE_KIB}")
        self._database.execute("pragma temp_store = file")
        # sorted by id: ids arrive nearly so
        self._database.execute(
            "create table if not exists entry (id text primary key, digest text, day text, "
            "is_live integer, note text, batch_id integer) without rowid"
        )
        self._database.execute("begin")

    def get(self, names: Sequence[str]) -> dict[str, Entry]:
        """The entries of those documents that have one."""
        rows = self._database.execute(
            "select id, digest, day, is_live, note, batch_id from entry "
            "where id in (select value from json_each(?))",
            [json.dumps(names)],
        )
        return {name: Entry(d, day, bool(live), note, b) for name, d, day, live, note, b in rows}

    def put(self, entries: Iterable[tuple[str, Entry]]) -> None:
        """Write entries, the last one of an id counts."""
        self._database.executemany(
            "insert or replace into entry values (?, ?, ?, ?, ?, ?)",
            ((name, e.digest, e.day, int(e.is_live), e.note, e.batch_id) for name, e in entries),
        )

    def begin_seen(self) -> None:
        """From now on `see` is told of all documents that the source has."""
        self._database.execute("create temporary table seen (id text primary key) without rowid")

    def see(self, names: Iterable[str]) -> None:
        """The source has these."""
        self._database.executemany(
            "insert or ignore into seen values (?)", ((name,) for name in names)
        )

    def unseen(self) -> Iterator[list[tuple[str, Entry]]]:
        """Documents, live or in quarantine, that the source has no more; some at a time."""
        last = ""
        while rows := self._database.execute(
            "select id, digest, day, is_live, note, batch_id from entry "
            "where id > ? and (is_live or note <> '') and id not in (select id from seen) "
            "order by id limit ?",
            [last, CHUNK],
        ).fetchall():
            yield [(name, Entry(d, day, bool(live), n, b)) for name, d, day, live, n, b in rows]
            last = rows[-1][0]

    def totals(self) -> tuple[int, int, Days]:
        """Live documents, those in quarantine only, and the sums by day of what is neither."""
        [(live, kept)] = self._database.execute(
            "select coalesce(sum(is_live), 0), coalesce(sum(not is_live and note <> ''), 0) "
            "from entry"
        ).fetchall()
        days: Days = {}
        for day, digest in self._database.execute(
            "select day, substr(digest, 1, 15) from entry where is_live and note = ''"
        ):
            count, sum_ = days.get(day, (0, 0))
            days[day] = count + 1, sum_ + int(digest, 16)
        return live, kept, days

    def commit(self, batch_id: int) -> None:
        """The index is that of this batch."""
        self._database.execute(f"pragma user_version = {batch_id * 10 + _FORMAT}")
        self._database.execute("commit")
        self._database.execute("begin")

    def close(self) -> None:
        """What wasn't committed is undone."""
        self._database.close()


def open_index(folder: Path, batch_id: int) -> Index:
    """The index of a collection's dataset, as of its last batch."""
    path = folder / "_index.sqlite"
    if batch_id and _version(path) == batch_id * 10 + _FORMAT:
        return Index(path)
    for suffix in ("", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    index = Index(path)
    _read_dataset(index, folder)
    index.commit(batch_id)
    return index


def _version(path: Path) -> int | None:
    if not path.exists():
        return None
    with suppress(sqlite3.DatabaseError):
        database = sqlite3.connect(path)
        try:
            return database.execute("pragma user_version").fetchone()[0]
        finally:
            database.close()
    return None


def _read_dataset(index: Index, folder: Path) -> None:
    """Batch after batch, the versions of each before its notes."""
    files = [(file, False) for file in files_of(folder)]
    files += [(file, True) for file in files_of(folder / QUARANTINE_FOLDER)]
    for file, is_note in sorted(files, key=lambda each: (each[0].batch_id, each[1], each[0].part)):
        columns = ["_id", "_doc_hash"]
        columns += ["kind"] if is_note else ["_source_ts", "_deleted_at"]
        for batch in read(file.path, columns):
            names = batch.column("_id").to_pylist()
            for start in range(0, len(names), CHUNK):
                part = batch.slice(start, CHUNK)
                known = index.get(names[start : start + CHUNK])
                entries = _notes(part, known) if is_note else _versions(part, known)
                index.put((name, _stamped(entry, file.batch_id)) for name, entry in entries)


def _stamped(entry: Entry, batch_id: int) -> Entry:
    entry.batch_id = batch_id
    return entry


def _versions(batch: pa.RecordBatch, known: dict[str, Entry]) -> Iterator[tuple[str, Entry]]:
    days = days_of(batch.column("_source_ts"))
    live = batch.column("_deleted_at").is_null().to_pylist()
    names, hashes = (batch.column(column).to_pylist() for column in ("_id", "_doc_hash"))
    for name, digest, day, is_live in zip(names, hashes, days, live, strict=True):
        yield name, Entry(digest, day, is_live, known.get(name, Entry()).note)


def _notes(batch: pa.RecordBatch, known: dict[str, Entry]) -> Iterator[tuple[str, Entry]]:
    names, hashes, kinds = (
        batch.column(column).to_pylist() for column in ("_id", "_doc_hash", "kind")
    )
    for name, digest, kind in zip(names, hashes, kinds, strict=True):
        if kind == "altered":
            continue
        entry = known.setdefault(name, Entry())
        entry.note = "" if kind == RELEASED else digest
        yield name, entry
