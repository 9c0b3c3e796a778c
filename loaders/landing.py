"""Puts encoded documents into `raw`: one transaction holds the rows, their counts and the state.

Two ways lead in. Many rows come by way of a shadow table (`loaders.shadow`) that holds them as raw
does. Few are staged in a temporary table: parsed to jsonb on arrival where all of them are likely
to have changed, else as bytes. Both are merged: a row whose hash is unchanged is not touched.

`_loaded_at` is one time per batch, taken after the collection's lock is held and always later than
that of the batch before. Whoever reads "newer than what I have" per collection misses nothing,
however long a transaction takes to commit.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain
from typing import IO

import psycopg
from psycopg import sql

from loaders import books, odd
from loaders.books import Counts, Reading, Result, State
from loaders.documents import binary
from loaders.documents.encoding import Slice
from loaders.erasure import apply as erasure
from loaders.errors import LoadInProgressError
from loaders.schema import LOCK_NAMESPACE, ensure, table_name
from loaders.shadow import Shadow, drop_older
from loaders.tally import Tally

__all__ = ["Batch", "Counts", "Reading", "Result", "State", "Tally", "fill", "land", "open_batch"]

LOCK_PATIENCE_SECONDS = 3.0  # what Postgres may take to notice that a killed loader is gone
STAGE = sql.Identifier("pg_temp", "ledgerline_stage")
_PARSED = sql.SQL("arrived.doc")
# what is sent to a column of jsonb has a byte before the JSON
_UNPARSED = sql.SQL("convert_from(substr(arrived.doc, 2), 'UTF8')::jsonb")

# temporary tables of a batch: name -> columns
_TEMPORARY = {
    "stage": "_id text, _source_ts timestamptz, _doc_hash text, _types text, doc {doc}",
    "odd": odd.COLUMNS,
    "seen": "_id text, _doc_hash text, key bytea",
    "differing": None,
    "unstorable": "_id text, reason text",
}

Slices = Callable[[], Iterable[Slice]]


@dataclass(slots=True)
class Batch:
    """One open transaction on one collection; made by `open_batch`.

    Attributes:
        last: state that the previous batch left, or None before the first.
        in_haste: nothing odd is expected. Documents are parsed as they are staged, while the next
            ones are still read, and are taken to come once: one that Postgres can't hold ends the
            batch (`odd.UNSTORABLE`), one that came twice may (UniqueViolation), or shows when the
            sides are compared.
        tally: what was read so far.
    """

    conn: psycopg.Connection
    collection: str
    mode: str
    run_id: uuid.UUID
    batch_id: int
    started_at: datetime
    loaded_at: datetime
    last: State | None
    in_haste: bool = False
    counts: Counts = field(default_factory=Counts)
    tally: Tally = field(default_factory=Tally)

    @property
    def table(self) -> sql.Identifier:
        """The raw table."""
        return sql.Identifier("raw", table_name(self.collection))

    # --- rows in ----------------------------------------------------------------------------------

    def is_first(self) -> bool:
        """True while the raw table has no row at all."""
        return self.run("select not exists (select from {table})").fetchone() == (True,)

    def stage(self, slices: Iterable[Slice]) -> None:
        """COPY into the batch's temporary table; `merge` then takes them over."""
        self.make_temporary("stage", "odd")
        self.copy(STAGE, slices)

    def restage(self, slices: Iterable[Slice]) -> None:
        """`stage`, without what was staged and merged before."""
        self.make_temporary("stage", "odd")
        self.run("truncate {stage}, pg_temp.ledgerline_odd", stage=STAGE)
        self.copy(STAGE, slices)

    def merge(self, again: Slices, *, seen: sql.Identifier | None = None) -> None:
        """Take over what was staged: insert the new, update what changed.

        A document whose JSON turns out to be none that jsonb takes is quarantined instead, unless
        the batch is `in_haste`.

        Args:
            again: called for the staged documents once more, when one must be quarantined.
            seen: table with the `_id` of every document that the source has; rows without one are
                marked deleted. None where only a part of the source was read.
        """
        self.run("analyze pg_temp.ledgerline_stage (_id)")
        if self.in_haste:
            self._upsert(STAGE, _PARSED)
        else:
            self._upsert_with_care(again)
        if seen is not None:
            self._mark_unseen(seen)
        odd.keep(self, arrived=STAGE, seen=seen)

    def adopt(self, shadow: Shadow, *, is_complete: bool) -> None:
        """Make the shadow table's rows raw's, and drop it: readers see all of them or none.

        An empty raw table is replaced as a whole. Else only what differs is touched, so that
        `_loaded_at` marks real changes, deleted rows are remembered and views stay as they are.

        Args:
            shadow: the rows; `index` was called.
            is_complete: they are all that the source has; other rows are marked deleted.
        """
        self.make_temporary("odd")
        shadow.hand_over_odd()
        if self.is_first() and shadow.replace_raw(self.loaded_at, self.batch_id):
            self.counts.inserted = self.tally.read - self.tally.rejected
            arrived = self.table
        else:
            arrived = shadow.table
            self._upsert(arrived, _PARSED)
            if is_complete:
                self._mark_unseen(arrived)
        odd.keep(self, arrived=arrived, seen=arrived if is_complete else None)
        shadow.drop()

    def mark_deleted(self, identities: Iterable[str]) -> None:
        """Mark rows as gone from the source; ids that raw hasn't are passed over."""
        gone = list(identities)
        self.counts.deleted += self.changes(
            """
            update {table} as raw
            set _deleted_at = {at}, _loaded_at = {at}, _batch_id = {batch}
            where _deleted_at is null and _id = any({gone})
            """,
            gone=sql.Literal(gone),
        )
        # the bytes of an altered document stay, as its row does
        self.run(
            "delete from ops.quarantine where collection = {collection} and _id = any({gone})",
            gone=sql.Literal(gone),
        )

    def _mark_unseen(self, seen: sql.Identifier) -> None:
        self.counts.deleted = self.changes(
            """
            update {table} as raw
            set _deleted_at = {at}, _loaded_at = {at}, _batch_id = {batch}
            where _deleted_at is null
                and not exists (select from {seen} as seen where seen._id = raw._id)
                and not exists (select from pg_temp.ledgerline_odd as odd
                    where odd._id = raw._id and odd.kind = 'quarantined')
            """,
            seen=seen,
        )

    def _upsert(self, arrived: sql.Identifier, doc: sql.SQL) -> None:
        revived = 0
        if self.last is None or self.last.deleted_count != 0 or self.counts.deleted:
            # counted first: afterwards it can't be told any more
            revived = self.count(
                """
                select count(*) from {table} as raw inner join {arrived} as arrived using (_id)
                where raw._deleted_at is not null
                """,
                arrived=arrived,
            )
        row = self.run(
            # what was updated is there, so only the others are looked for once more
            """
            with updated as (
                update {table} as raw
                set doc = {doc}, _types = arrived._types,
                    _source_ts = arrived._source_ts, _loaded_at = {at}, _batch_id = {batch},
                    _deleted_at = null, _doc_hash = arrived._doc_hash
                from {arrived} as arrived
                where raw._id = arrived._id
                    and (raw._doc_hash <> arrived._doc_hash or raw._deleted_at is not null)
                returning raw._id
            ),
            inserted as (
                insert into {table} (_id, doc, _types, _source_ts, _loaded_at, _batch_id, _doc_hash)
                select _id, {doc}, _types, _source_ts, {at}, {batch}, _doc_hash
                from {arrived} as arrived
                where not exists (select from updated where updated._id = arrived._id)
                    and not exists (select from {table} as raw where raw._id = arrived._id)
                returning 1
            )
            select (select count(*) from updated), (select count(*) from inserted),
                (select count(*) from {arrived})
            """,
            arrived=arrived,
            doc=doc,
        ).fetchone()
        assert row is not None
        updated, inserted, rows = row
        self.counts.revived += revived
        self.counts.updated += updated
        self.counts.inserted += inserted
        self.counts.unchanged += rows - updated - inserted

    def _upsert_with_care(self, again: Slices) -> None:
        # a document that was changed while it was read can arrive twice: the last one counts
        for day, hash60 in drop_older(self.conn, STAGE):
            self.tally.outdate(day, hash60)
        try:
            with self.conn.transaction():
                self._upsert(STAGE, _UNPARSED)
        except odd.UNSTORABLE:
            if not self._quarantine_unstorable(again):
                raise
            self._upsert(STAGE, _UNPARSED)

    def _quarantine_unstorable(self, again: Slices) -> bool:
        """Move documents that can't be cast to jsonb from the stage to the odd ones.

        Returns:
            False if there are none: then the error is about something else.
        """
        self.make_temporary("unstorable")
        reasons = odd.take_unstorable(self.conn)
        if not reasons:
            return False
        with odd.spool() as rows:
            for part in again():
                for document in part.originals:
                    if row := odd.unstorable_row(document, reasons):
                        rows.write(row)
            odd.copy(self.conn, rows)
        for _reason, day, hash60 in reasons.values():
            self.tally.reject(day, hash60)
        return True

    # --- state ------------------------------------------------------------------------------------

    def finish(self, reading: Reading) -> Result:
        """Write the counts and the state of this batch; the caller's transaction commits them."""
        erasure.apply(self.conn, self.collection, self.loaded_at, self.batch_id)
        return books.close(self, reading)

    # --- SQL --------------------------------------------------------------------------------------

    def run(self, statement: str, **names: sql.Composable) -> psycopg.Cursor:
        """Execute with {table}, {at}, {batch}, {collection} and `names` put in, quoted."""
        # values are composed into it as literals, since a parameter would make a percent sign in
        # a collection's name a placeholder
        query = sql.SQL(statement).format(
            table=self.table,
            at=sql.Literal(self.loaded_at),
            batch=sql.Literal(self.batch_id),
            collection=sql.Literal(self.collection),
            **names,
        )
        return self.conn.execute(query)

    def changes(self, statement: str, **names: sql.Composable) -> int:
        """`run`, and how many rows it touched."""
        return self.run(statement, **names).rowcount

    def count(self, statement: str, **names: sql.Composable) -> int:
        """`run`, and the one number that it gives."""
        row = self.run(statement, **names).fetchone()
        assert row is not None
        return int(row[0])

    def make_temporary(self, *kinds: str) -> None:
        """Make temporary tables of the batch where they aren't there."""
        statements = []
        for kind in kinds:
            columns = (_TEMPORARY[kind] or "").format(doc="jsonb" if self.in_haste else "bytea")
            name = f"ledgerline_{kind}"
            statements.append(
                f"create temporary table if not exists {name} ({columns}) on commit drop"
            )
            if kind == "stage":  # it lives for seconds: compressing or studying it would be wasted
                statements.append(
                    f"alter table pg_temp.{name} "
                    "alter doc set storage external, alter _id set statistics 1"
                )
        self.conn.execute(";".join(statements))

    def copy(self, target: sql.Identifier, slices: Iterable[Slice]) -> None:
        """COPY slices into a table of theirs, the odd ones into the temporary one; tally them."""
        with odd.spool() as odd_rows:
            copy_slices(self.conn, target, slices, self.tally, odd_rows)
            odd.copy(self.conn, odd_rows)


def copy_slices(
    conn: psycopg.Connection,
    target: sql.Identifier,
    slices: Iterable[Slice],
    tally: Tally,
    odd_rows: IO[bytes],
) -> None:
    """COPY slices into `target`, add them to the tally, and write odd ones to the file."""
    statement = sql.SQL("copy {} from stdin with (format binary)").format(target)
    with conn.cursor() as cursor, cursor.copy(statement) as copy:
        copy.write(binary.HEADER)
        for part in slices:
            copy.write(part.rows)  # a slice at a time, so that Postgres never waits for more
            if part.odd:
                odd_rows.write(part.odd)
            tally.add(part)
        copy.write(binary.TRAILER)


@contextmanager
def open_batch(
    conn: psycopg.Connection,
    collection: str,
    mode: str,
    run_id: uuid.UUID | None = None,
    *,
    in_haste: bool = False,
) -> Iterator[Batch]:
    """Begin a transaction that holds the collection's lock; it commits when the block ends well.

    The raw table must exist (`schema.ensure`). Inside of a caller's transaction it is a part of
    that one.

    Args:
        in_haste: as in `Batch`.

    Raises:
        LoadInProgressError: another loader has the lock.
    """
    with conn.transaction():
        lock(conn, collection, "xact_")
        row = conn.execute(
            "select watermark_ts, last_loaded_at, last_sweep_at, raw_count, deleted_count "
            "from ops.watermarks where collection = %s",
            [collection],
        ).fetchone()
        last = State(*row) if row else None
        ids = conn.execute(
            """
            select nextval('ops.batch_id'), clock_timestamp(),
                greatest(clock_timestamp(), %s::timestamptz + interval '1 microsecond')
            """,
            [last.last_loaded_at if last else None],
        ).fetchone()
        assert ids is not None
        batch_id, started_at, loaded_at = ids
        yield Batch(
            conn=conn,
            collection=collection,
            mode=mode,
            run_id=run_id or uuid.uuid4(),
            batch_id=batch_id,
            started_at=started_at,
            loaded_at=loaded_at,
            last=last,
            in_haste=in_haste,
        )
        # the caller's transaction may go on with another collection
        for kind in _TEMPORARY:
            conn.execute(f"drop table if exists pg_temp.ledgerline_{kind}")


def lock(conn: psycopg.Connection, collection: str, scope: str = "") -> None:
    """Take the collection's lock for the session, or with scope `xact_` for the transaction.

    Raises:
        LoadInProgressError: another loader has it.
    """
    deadline = time.monotonic() + LOCK_PATIENCE_SECONDS
    query = f"select pg_try_advisory_{scope}lock(hashtextextended(%s, 0))"
    while conn.execute(query, [f"{LOCK_NAMESPACE}.{collection}"]).fetchone() != (True,):
        if time.monotonic() > deadline:
            raise LoadInProgressError(
                f'another loader is working on "{collection}": run again when it is done'
            )
        time.sleep(0.2)


def unlock(conn: psycopg.Connection, collection: str) -> None:
    """Give back the session's lock."""
    conn.execute(
        "select pg_advisory_unlock(hashtextextended(%s, 0))", [f"{LOCK_NAMESPACE}.{collection}"]
    )


def land(
    conn: psycopg.Connection,
    collection: str,
    slices: Slices,
    *,
    mode: str,
    is_complete: bool,
    run_id: uuid.UUID | None = None,
) -> Result:
    """Load encoded documents that don't come from MongoDB, in one transaction of their own.

    Args:
        conn: outside of a transaction.
        collection: raw table; made if it isn't there.
        slices: called for the documents, a second time if the first try must be given up.
        mode: what ops.load_runs shall say.
        is_complete: these are all documents; rows without one are marked deleted.

    Raises:
        LoadInProgressError: another loader has the collection.
    """
    ensure(conn, [collection])
    with open_batch(conn, collection, mode, run_id) as batch:
        fill(batch, slices, is_complete=is_complete)
        return batch.finish(Reading(is_complete=is_complete))


def fill(batch: Batch, slices: Slices, *, is_complete: bool) -> None:
    """Bring documents into the batch's table by the way that is the faster one.

    Args:
        slices: called for the documents; once more if an `_id` comes twice, and once more if
            Postgres can't store one.
        is_complete: these are all documents; rows without one are marked deleted.
    """
    documents = iter(slices())
    first = next(documents, None)
    if first is not None and batch.is_first():
        try:
            with batch.conn.transaction():
                _fill_empty(batch, chain([first], documents), is_complete=is_complete)
            return
        except (psycopg.errors.UniqueViolation, *odd.UNSTORABLE):
            batch.counts, batch.tally = Counts(), Tally()
            documents = iter(slices())
            first = next(documents, None)
    batch.stage(chain([first] if first else [], documents))
    batch.merge(slices, seen=STAGE if is_complete else None)


def _fill_empty(batch: Batch, slices: Iterable[Slice], *, is_complete: bool) -> None:
    shadow = Shadow(batch.conn, batch.collection)
    shadow.create()
    batch.make_temporary("odd")
    batch.copy(shadow.table, slices)
    shadow.index()
    batch.adopt(shadow, is_complete=is_complete)
