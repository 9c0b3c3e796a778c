"""A temporary database on disk in which the rows of exports wait until all files are read.

It sorts and joins at constant memory, needs no server, and goes away with the process, however
that ends. Nothing reaches the warehouse before every file has been read.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby
from operator import itemgetter
from typing import Any

import bson
from bson.codec_options import CodecOptions, DatetimeConversion

from loaders.errors import UserError
from loaders.files.mapping import ENTITIES
from loaders.files.rows import BadLine

_CHUNK = 2_000
_OPTIONS = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_AUTO)
# {} is always one of ENTITIES
_SORTED = "select id, file, line, body from {} order by id, seq"
_INSERT = "insert into {} (id, file, line, body) values (?, ?, ?, ?)"
_INSERT_BAD = "insert into bad (collection, file, line, reason, content) values (?, ?, ?, ?, ?)"


class Shelf:
    """Rows by kind of file and id; close it with `close()`.

    Attributes:
        fates: (kind of file, file, what became of it) -> rows that `documents` or `orders` gave
            out last: `documents` of their own; `merged`, where they only repeat another row or
            are an item of an order; `overruled`, given out as bad lines.
    """

    def __init__(self) -> None:
        self.fates: Counter[tuple[str, str, str]] = Counter()
        # "" is a database in a nameless file; memory takes only SQLite's page cache
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.execute("pragma journal_mode = off")
        for entity in ENTITIES:
            self._database.execute(
                f"create table {entity} "
                "(seq integer primary key, id text, file text, line integer, body blob)"
            )
        self._database.execute(
            "create table bad (collection text, file text, line integer, reason text, content blob)"
        )
        self._held: dict[str, list[tuple]] = {name: [] for name in (*ENTITIES, "bad")}

    def put(self, entity: str, identity: str, file: str, line: int, body: dict[str, Any]) -> None:
        """Keep one row."""
        self._hold(entity, (identity, file, line, bson.encode(body)))

    def put_bad(self, collection: str, bad: BadLine) -> None:
        """Keep one bad line of a file that belongs to a collection."""
        content = bson.encode({"content": bad.content})
        self._hold("bad", (collection, bad.file, bad.line, bad.reason, content))

    def seal(self) -> None:
        """Everything is in: sort it."""
        for name in self._held:
            self._flush(name)
        with _disk():
            for entity in ENTITIES:
                self._database.execute(f"create index {entity}_id on {entity} (id, seq)")

    def bad_lines(self, collection: str) -> Iterator[BadLine]:
        """The bad lines of the collection's files, each once though two kinds may be in a file."""
        for file, line, reason, content, _first in self._read(
            "select file, line, reason, content, min(rowid) as first from bad "
            "where collection = ? group by file, line order by first",
            collection,
        ):
            yield BadLine(file, line, reason, bson.decode(content)["content"])

    def documents(self, entity: str) -> Iterator[dict[str, Any] | BadLine]:
        """The rows in the order of their ids; of several with one id the last one counts.

        Other versions of it are bad lines, each one once.
        """
        self._forget(entity)
        rows = self._read(_SORTED.format(entity))
        for _, same in groupby(rows, key=itemgetter(0)):
            yield from self._last_of(entity, list(same))

    def orders(self) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]] | BadLine]:
        """Each transaction with its items in the order of the file.

        Items of no transaction are bad lines.
        """
        self._forget("transactions", "items")
        items = groupby(
            self._read(_SORTED.format("items")),
            key=itemgetter(0),
        )
        waiting = next(items, None)
        rows = self._read(_SORTED.format("transactions"))
        for identity, same in groupby(rows, key=itemgetter(0)):
            while waiting and waiting[0] < identity:
                yield from self._orphans(waiting[1])
                waiting = next(items, None)
            *worse, best = self._last_of("transactions", list(same))
            yield from worse
            mine: list[dict[str, Any]] = []
            if waiting and waiting[0] == identity:
                for _, file, _, body in waiting[1]:
                    self.fates["items", file, "merged"] += 1
                    mine.append(bson.decode(body, _OPTIONS))
                waiting = next(items, None)
            yield best, mine
        while waiting:
            yield from self._orphans(waiting[1])
            waiting = next(items, None)

    def close(self) -> None:
        """Give the disk space back."""
        self._database.close()

    def _hold(self, name: str, row: tuple) -> None:
        held = self._held[name]
        held.append(row)
        if len(held) >= _CHUNK:
            self._flush(name)

    def _flush(self, name: str) -> None:
        held = self._held[name]
        insert = _INSERT_BAD if name == "bad" else _INSERT.format(name)
        with _disk():
            self._database.execute("begin")
            self._database.executemany(insert, held)
            self._database.execute("commit")
        held.clear()

    def _read(self, query: str, *values: Any) -> Iterator[tuple]:
        with _disk():
            yield from self._database.execute(query, values)

    def _forget(self, *entities: str) -> None:
        for key in [key for key in self.fates if key[0] in entities]:
            del self.fates[key]

    def _last_of(self, entity: str, rows: list[tuple]) -> Iterator[Any]:
        """Rows of one id: those that the last one overrules as bad lines, then the last one."""
        *earlier, (_, last_file, last_line, last_body) = rows
        # each of the other versions once: a flat file repeats them on every line
        told = {last_body}
        for _, file, line, body in earlier:
            if body in told:
                self.fates[entity, file, "merged"] += 1
                continue
            told.add(body)
            self.fates[entity, file, "overruled"] += 1
            where = f"line {last_line}" if file == last_file else f"{last_file}, line {last_line},"
            reason = f"the same id stands in {where} again, with other values"
            yield BadLine(file, line, reason, bson.decode(body, _OPTIONS))
        self.fates[entity, last_file, "documents"] += 1
        yield bson.decode(last_body, _OPTIONS)

    def _orphans(self, rows: Iterator[tuple]) -> Iterator[BadLine]:
        for identity, file, line, body in rows:
            self.fates["items", file, "overruled"] += 1
            reason = f"there is no transaction {identity}"
            yield BadLine(file, line, reason, bson.decode(body, _OPTIONS))


@contextmanager
def _disk() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        raise UserError(
            f"the rows can't be sorted on disk ({error}): free space in the folder for temporary "
            "files, or name another one by TMPDIR"
        ) from error
