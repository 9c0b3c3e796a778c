"""Puts encoded documents into `raw`: one transaction holds the rows, their counts and the state.

Two ways lead in. Into an empty table the rows go straight by COPY, its indexes made afterwards.
Otherwise they are staged in a temporary table as text, so that only what really changed is parsed
to jsonb, and merged: a row whose hash is unchanged is not touched.

`_loaded_at` is one time per batch, taken after the collection's lock is held and always later than
that of the batch before. Whoever reads "newer than what I have" per collection misses nothing,
however long a transaction takes to commit.
"""

from __future__ import annotations

import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain
from typing import IO

import psycopg
from psycopg import sql

from loaders.encoding import Slice, hash_of, identity_of, odd_row
from loaders.errors import LoadInProgressError
from loaders.schema import LOCK_NAMESPACE, ensure, table_name

LOCK_PATIENCE_SECONDS = 3.0  # what Postgres may take to notice that a killed loader is gone
ODD_MEMORY_BYTES = 8 * 1024 * 1024  # beyond it, odd documents wait on disk

# what Postgres says of a document that it can't hold
UNSTORABLE = (
    psycopg.DataError,
    psycopg.errors.ProgramLimitExceeded,
    psycopg.errors.StatementTooComplex,
)

# an `_id` that comes twice, or a view that needs the primary key
NOT_STRAIGHT = (psycopg.errors.UniqueViolation, psycopg.errors.DependentObjectsStillExist)

# order-independent content hash of rows: the sum of the first 60 bits of each document's hash
_HASH_SUM = "coalesce(sum(('x0' || left({}, 15))::bit(64)::bigint), 0)"

Slices = Callable[[], Iterable[Slice]]


@dataclass(slots=True)
class Counts:
    """What one batch read and what it did.

    Attributes:
        read: documents read; `changed` and `unclocked` queries may read one twice.
        inserted, updated, unchanged, deleted: rows of the raw table; a document that came back
            after a deletion is updated.
        quarantined: documents rejected in this batch.
        altered: documents stored with changes in this batch.
        unclocked: documents read that have no usable `updated_at`.
    """

    read: int = 0
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    deleted: int = 0
    quarantined: int = 0
    altered: int = 0
    unclocked: int = 0

    @property
    def written(self) -> int:
        """Rows of the raw table that were changed."""
        return self.inserted + self.updated + self.deleted


@dataclass(slots=True)
class Batch:
    """One open transaction on one collection; made by `open_batch`.

    Attributes:
        last: state that the previous batch left, or None before the first.
        newest: largest (updated_at, _id) read so far, naive UTC.
        hash_sum: sum over the documents read and encoded.
    """

    conn: psycopg.Connection
    collection: str
    mode: str
    run_id: uuid.UUID
    batch_id: int
    started_at: datetime
    loaded_at: datetime
    last: State | None
    counts: Counts = field(default_factory=Counts)
    newest: tuple[datetime, str] | None = None
    hash_sum: int = 0

    @property
    def table(self) -> sql.Identifier:
        """The raw table."""
        return sql.Identifier("raw", table_name(self.collection))

    # --- rows in ----------------------------------------------------------------------------------

    def is_first(self) -> bool:
        """True while the raw table has no row at all."""
        return self._run("select not exists (select from {table})").fetchone() == (True,)

    def copy_straight(self, slices: Iterable[Slice], *, is_complete: bool) -> None:
        """COPY into the empty raw table; its indexes are made anew when the rows are in.

        Args:
            slices: the documents.
            is_complete: these are all that the source has.

        Raises:
            psycopg.errors.UniqueViolation: the same `_id` came twice.
        """
        self._run("alter table {table} alter _loaded_at set default {at}")
        self._run("alter table {table} alter _batch_id set default {batch}")
        indexes = self._drop_indexes()
        self._make_temporary("odd")
        self._copy(
            "copy {table} (_id, _source_ts, _doc_hash, _types, doc) from stdin with (format text, null '')",
            slices,
        )
        for statement in indexes:
            self.conn.execute(statement)  # text of the catalogue
        self._run("alter table {table} alter _loaded_at drop default, alter _batch_id drop default")
        self._run("analyze {table}")
        self.counts.inserted = self._count("select count(*) from {table}")
        self._keep_odd(arrived=self.table, seen=self.table if is_complete else None)

    def stage(self, slices: Iterable[Slice]) -> None:
        """COPY into the batch's temporary table; `merge` then takes them over."""
        self._make_temporary("stage")
        self._make_temporary("odd")
        self._copy(
            "copy pg_temp.ledgerline_stage from stdin with (format text, null '')",
            slices,
        )

    def merge(self, again: Slices, *, seen: str | None = None) -> None:
        """Take over what was staged: insert the new, update what changed.

        A document whose JSON turns out to be none that jsonb takes is quarantined instead.

        Args:
            again: called for the staged documents once more, when one must be quarantined.
            seen: temporary table with the `_id` of every document that the source has; rows
                without one are marked deleted. None where only a part of the source was read.
        """
        try:
            with self.conn.transaction():
                self._upsert()
        except UNSTORABLE:
            if not self._quarantine_unstorable(again):
                raise
            self._upsert()
        if seen is not None:
            self.counts.deleted = self._changes(
                """
                update {table} as raw
                set _deleted_at = {at}, _loaded_at = {at}, _batch_id = {batch}
                where _deleted_at is null
                    and not exists (select from {seen} as seen where seen._id = raw._id)
                    and not exists (select from pg_temp.ledgerline_odd as odd
                        where odd._id = raw._id and odd.kind = 'quarantined')
                """,
                seen=sql.Identifier("pg_temp", seen),
            )
        self._keep_odd(
            arrived=sql.Identifier("pg_temp", "ledgerline_stage"),
            seen=sql.Identifier("pg_temp", seen) if seen else None,
        )

    def mark_deleted(self, identities: Iterable[str]) -> None:
        """Mark rows as gone from the source; ids that raw hasn't are passed over."""
        gone = list(identities)
        self.counts.deleted += self._changes(
            """
            update {table} as raw
            set _deleted_at = {at}, _loaded_at = {at}, _batch_id = {batch}
            where _deleted_at is null and _id = any({gone})
            """,
            gone=sql.Literal(gone),
        )
        self._run(
            "delete from ops.quarantine where collection = {collection} and _id = any({gone})",
            gone=sql.Literal(gone),
        )

    def note_seen(self, slices: Iterable[Slice]) -> None:
        """COPY the ids and hashes of all documents of the source (`encoding.identify`)."""
        for kind in ("seen", "stage", "odd"):
            self._make_temporary(kind)
        self._copy("copy pg_temp.ledgerline_seen from stdin with (format text, null '')", slices)
        self._run("analyze pg_temp.ledgerline_seen")

    def compare_seen(self) -> None:
        """Find the documents seen that raw and quarantine have not, or not in that version."""
        self._run(
            """
            create temporary table ledgerline_differing on commit drop as
            select seen._id, seen.key, row_number() over () as position
            from pg_temp.ledgerline_seen as seen
            left join {table} as raw on raw._id = seen._id and raw._deleted_at is null
            left join ops.quarantine as kept
                on kept.collection = {collection} and kept._id = seen._id
            where raw._doc_hash is distinct from seen._doc_hash
                and kept._doc_hash is distinct from seen._doc_hash
            """
        )

    def differing(self, rows: int) -> Iterator[list[tuple[str, bytes | None]]]:
        """(_id, key) of what `compare_seen` found, at most `rows` at a time."""
        done = 0
        while found := self.conn.execute(
            "select _id, key from pg_temp.ledgerline_differing "
            "where position > %s and position <= %s",
            [done, done + rows],
        ).fetchall():
            yield found
            done += rows

    def merge_seen(self, again: Slices) -> int:
        """Take over what `differing` led to; rows that were not seen are marked deleted.

        Args:
            again: as for `merge`.

        Returns:
            The sum of the hashes of the documents that the source has and raw can hold.
        """
        seen = self._changes(
            # gone between the two reads
            """
            delete from pg_temp.ledgerline_seen as seen using pg_temp.ledgerline_differing as asked
            where seen._id = asked._id
                and not exists (select from pg_temp.ledgerline_stage as staged
                    where staged._id = seen._id)
                and not exists (select from pg_temp.ledgerline_odd as odd where odd._id = seen._id)
            """
        )
        seen = self._count("select count(*) from pg_temp.ledgerline_seen") + seen
        self.merge(again, seen="ledgerline_seen")
        self.counts.read = seen
        self.counts.unchanged = seen - self.counts.inserted - self.counts.updated
        return self._count(
            f"""
            select {_HASH_SUM.format("coalesce(staged._doc_hash, seen._doc_hash)")}
            from pg_temp.ledgerline_seen as seen
            left join pg_temp.ledgerline_stage as staged on staged._id = seen._id
            where not exists (select from ops.quarantine as kept
                where kept.collection = {{collection}} and kept._id = seen._id)
            """  # noqa: S608 -- a constant of this module
        )

    # --- state ------------------------------------------------------------------------------------

    def finish(
        self,
        *,
        source_count: int | Callable[[int], int] | None,
        watermark: tuple[datetime, str] | None = None,
        is_complete: bool = False,
        source_hash: int | None = None,
    ) -> Result:
        """Write the counts and the state of this batch; the caller's transaction commits them.

        Args:
            source_count: documents that the source has, or who says so when told how many raw and
                quarantine have together; None where it means nothing (a part of a file).
            watermark: (updated_at, _id) up to which the source was read; kept if None or older.
            is_complete: the whole source was read.
            source_hash: sum of the hashes of all documents that the source has and raw can hold.
        """
        raw_count = self._count("select count(*) from {table} where _deleted_at is null")
        open_quarantine = self._count(
            """
            select count(*) from ops.quarantine as kept
            where kept.collection = {collection} and not exists (
                select from {table} as raw where raw._id = kept._id and raw._deleted_at is null)
            """
        )
        if callable(source_count):
            source_count = source_count(raw_count + open_quarantine)
        raw_hash = None
        if source_hash is not None:
            raw_hash = self._count(
                f"""
                select {_HASH_SUM.format("raw._doc_hash")} from {{table}} as raw
                where raw._deleted_at is null and not exists (select from ops.quarantine as kept
                    where kept.collection = {{collection}} and kept._id = raw._id)
                """  # noqa: S608 -- a constant of this module
            )
        self._run(
            """
            insert into ops.watermarks as kept
                (collection, watermark_ts, watermark_id, last_loaded_at, last_sweep_at)
            values ({collection}, {ts}, {id}, {at}, {sweep})
            on conflict (collection) do update set
                watermark_ts = greatest(kept.watermark_ts, excluded.watermark_ts),
                watermark_id = case when excluded.watermark_ts >= kept.watermark_ts
                    or kept.watermark_ts is null
                    then excluded.watermark_id else kept.watermark_id end,
                last_loaded_at = excluded.last_loaded_at,
                last_sweep_at = coalesce(excluded.last_sweep_at, kept.last_sweep_at)
            """,
            ts=sql.Literal(watermark[0] if watermark else None),
            id=sql.Literal(watermark[1] if watermark else None),
            sweep=sql.Literal(self.started_at if is_complete else None),
        )
        counts = self.counts
        row = {
            "source_count": source_count,
            "raw_count": raw_count,
            "read": counts.read,
            "inserted": counts.inserted,
            "updated": counts.updated,
            "unchanged": counts.unchanged,
            "deleted": counts.deleted,
            "quarantined": open_quarantine,
            "altered": counts.altered,
            "unclocked": counts.unclocked,
            "source_hash": source_hash,
            "raw_hash": raw_hash,
        }
        self._run(
            """
            insert into ops.load_runs (batch_id, run_id, collection, mode, status, started_at,
                finished_at, watermark_ts, watermark_id, {columns})
            select {batch}, {run_id}, {collection}, {mode}, 'done', {started_at},
                clock_timestamp(), watermark_ts, watermark_id, {values}
            from ops.watermarks where collection = {collection}
            """,
            run_id=sql.Literal(self.run_id),
            mode=sql.Literal(str(self.mode)),
            started_at=sql.Literal(self.started_at),
            columns=sql.SQL(", ").join(map(sql.Identifier, row)),
            values=sql.SQL(", ").join(map(sql.Literal, row.values())),
        )
        return Result(
            collection=self.collection,
            mode=str(self.mode),
            batch_id=self.batch_id,
            counts=counts,
            source_count=source_count,
            raw_count=raw_count,
            quarantined=open_quarantine,
            source_hash=source_hash,
            raw_hash=raw_hash,
            seconds=(datetime.now(UTC) - self.started_at).total_seconds(),
        )

    # --- inside -----------------------------------------------------------------------------------

    def _run(self, statement: str, **names: sql.Composable) -> psycopg.Cursor:
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

    def _changes(self, statement: str, **names: sql.Composable) -> int:
        return self._run(statement, **names).rowcount

    def _count(self, statement: str) -> int:
        row = self._run(statement).fetchone()
        assert row is not None
        return int(row[0])

    def _make_temporary(self, kind: str) -> None:
        columns = {
            "stage": "_id text, _source_ts timestamptz, _doc_hash text, _types text, doc text",
            "odd": "_id text, kind text, reason text, _doc_hash text, bson bytea",
            "seen": "_id text, _doc_hash text, key bytea",
            "unstorable": "_id text, reason text",
        }[kind]
        name = sql.Identifier("pg_temp", f"ledgerline_{kind}")
        self.conn.execute(
            sql.SQL("create temporary table if not exists {} ({}) on commit drop").format(
                sql.Identifier(f"ledgerline_{kind}"), sql.SQL(columns)
            )
        )
        if kind == "stage":  # it lives for seconds: compressing it would be wasted
            self.conn.execute(sql.SQL("alter table {} alter doc set storage external").format(name))

    def _upsert(self) -> None:
        # a document that was changed while it was read can arrive twice: the last one counts
        self._run(
            """
            delete from pg_temp.ledgerline_stage as older
            using pg_temp.ledgerline_stage as newer
            where older._id = newer._id and older.ctid < newer.ctid
            """
        )
        self._run("analyze pg_temp.ledgerline_stage")
        self.counts.updated = self._changes(
            """
            update {table} as raw
            set doc = staged.doc::jsonb, _types = staged._types, _source_ts = staged._source_ts, _loaded_at = {at},
                _batch_id = {batch}, _deleted_at = null, _doc_hash = staged._doc_hash
            from pg_temp.ledgerline_stage as staged
            where raw._id = staged._id
                and (raw._doc_hash <> staged._doc_hash or raw._deleted_at is not null)
            """
        )
        self.counts.inserted = self._changes(
            """
            insert into {table} (_id, doc, _types, _source_ts, _loaded_at, _batch_id, _doc_hash)
            select _id, doc::jsonb, _types, _source_ts, {at}, {batch}, _doc_hash
            from pg_temp.ledgerline_stage as staged
            where not exists (select from {table} as raw where raw._id = staged._id)
            """
        )
        staged = self._count("select count(*) from pg_temp.ledgerline_stage")
        self.counts.unchanged = staged - self.counts.updated - self.counts.inserted

    def _quarantine_unstorable(self, again: Slices) -> bool:
        """Move documents that can't be cast to jsonb from the stage to the odd ones.

        Returns:
            False if there are none: then the error is about something else.
        """
        self._make_temporary("unstorable")
        self._run(
            """
            do $$
            declare staged record;
            begin
                for staged in select _id, doc from pg_temp.ledgerline_stage loop
                    begin
                        perform staged.doc::jsonb;
                    exception when others then
                        insert into pg_temp.ledgerline_unstorable values (staged._id, sqlerrm);
                    end;
                end loop;
            end $$
            """
        )
        found = self.conn.execute("select _id, reason from pg_temp.ledgerline_unstorable")
        reasons: dict[str, str] = dict(found.fetchall())
        if not reasons:
            return False
        self._run(
            """
            delete from pg_temp.ledgerline_stage as staged
            using pg_temp.ledgerline_unstorable as unstorable where staged._id = unstorable._id
            """
        )
        with tempfile.SpooledTemporaryFile(ODD_MEMORY_BYTES) as odd:
            for part in again():
                for document in part.originals:
                    identity = identity_of(document)
                    if identity in reasons:
                        reason = f"Postgres can't store it: {reasons[identity]}"
                        odd.write(odd_row(identity, "quarantined", reason, document))
                        self.hash_sum -= int(hash_of(document)[:15], 16)
            self._copy_odd(odd)
        self.counts.quarantined += len(reasons)
        return True

    def _copy(self, statement: str, slices: Iterable[Slice]) -> None:
        counts = self.counts
        with tempfile.SpooledTemporaryFile(ODD_MEMORY_BYTES) as odd:
            query = sql.SQL(statement).format(table=self.table)
            with self.conn.cursor() as cursor, cursor.copy(query) as copy:
                for part in slices:
                    if part.rows:
                        copy.write(part.rows)
                    counts.read += part.read
                    self.hash_sum += part.hash_sum
                    counts.unclocked += part.unclocked
                    if part.newest and (self.newest is None or part.newest > self.newest):
                        self.newest = part.newest
                    if part.odd:
                        counts.altered += part.altered
                        counts.quarantined += part.rejected
                        odd.write(part.odd)
            self._copy_odd(odd)

    def _copy_odd(self, odd: IO[bytes]) -> None:
        if odd.tell() == 0:
            return
        odd.seek(0)
        statement = "copy pg_temp.ledgerline_odd from stdin with (format text, null '')"
        with self.conn.cursor() as cursor, cursor.copy(statement) as copy:
            while data := odd.read(1 << 20):
                copy.write(data)

    def _keep_odd(self, *, arrived: sql.Composable, seen: sql.Composable | None) -> None:
        """Bring ops.quarantine and ops.altered_documents up to date with this batch."""
        for target in ("quarantine", "altered_documents"):
            # an earlier note goes when a version that needs none is in
            self._run(
                """
                delete from {target} as kept using {arrived} as arrived
                where kept.collection = {collection} and kept._id = arrived._id
                    and not exists (select from pg_temp.ledgerline_odd as odd
                        where odd._id = kept._id and odd._doc_hash = kept._doc_hash)
                """,
                target=sql.Identifier("ops", target),
                arrived=arrived,
            )
        if seen is not None:  # what the source no longer has isn't waiting for anything
            self._run(
                """
                delete from ops.quarantine as kept
                where kept.collection = {collection}
                    and not exists (select from {seen} as seen where seen._id = kept._id)
                    and not exists (select from pg_temp.ledgerline_odd as odd
                        where odd._id = kept._id)
                """,
                seen=seen,
            )
        for target, kind, at in (
            ("quarantine", "quarantined", "quarantined_at"),
            ("altered_documents", "altered", "altered_at"),
        ):
            self._run(
                """
                insert into {target} as kept
                    (collection, _id, reason, bson, _doc_hash, {column}, batch_id)
                select distinct on (_id)
                    {collection}, _id, reason, bson, _doc_hash, {at}, {batch}
                from pg_temp.ledgerline_odd
                where kind = {kind}
                order by _id, ctid desc
                on conflict (collection, _id) do update set
                    reason = excluded.reason, bson = excluded.bson, {column} = excluded.{column},
                    _doc_hash = excluded._doc_hash, batch_id = excluded.batch_id
                where kept._doc_hash <> excluded._doc_hash
                """,
                target=sql.Identifier("ops", target),
                kind=sql.Literal(kind),
                column=sql.Identifier(at),
            )

    def _drop_indexes(self) -> list[str]:
        """Drop the raw table's indexes and primary key; returns what makes them again."""
        constraints = self.conn.execute(
            """
            select conname, pg_get_constraintdef(oid) from pg_constraint
            where conrelid = %s::regclass and contype = 'p'
            """,
            [self.table.as_string(self.conn)],
        ).fetchall()
        again = []
        for name, definition in constraints:
            self._run("alter table {table} drop constraint {name}", name=sql.Identifier(name))
            again.append(
                sql.SQL("alter table {} add constraint {} {}")
                .format(self.table, sql.Identifier(name), sql.SQL(definition))
                .as_string(self.conn)
            )
        indexes = self.conn.execute(
            "select schemaname, indexname, indexdef from pg_indexes "
            "where schemaname = 'raw' and tablename = %s",
            [table_name(self.collection)],
        ).fetchall()
        for schema, name, definition in indexes:
            self._run("drop index {name}", name=sql.Identifier(schema, name))
            again.append(definition)
        return again


@dataclass(slots=True, frozen=True)
class State:
    """What the last batch of a collection left in `ops.watermarks`."""

    watermark: datetime | None
    last_loaded_at: datetime
    last_sweep_at: datetime | None


@dataclass(slots=True, frozen=True)
class Result:
    """One finished batch, as in `ops.load_runs`."""

    collection: str
    mode: str
    batch_id: int
    counts: Counts
    source_count: int | None
    raw_count: int
    quarantined: int
    source_hash: int | None
    raw_hash: int | None
    seconds: float

    @property
    def is_reconciled(self) -> bool:
        """Each document of the source is in raw or in quarantine, and raw has no others.

        Compares the counts, and the hashes too where all of the source was read.
        """
        if self.source_count is None:
            return True
        counts_agree = self.source_count == self.raw_count + self.quarantined
        return counts_agree and self.source_hash == self.raw_hash


@contextmanager
def open_batch(
    conn: psycopg.Connection, collection: str, mode: str, run_id: uuid.UUID | None = None
) -> Iterator[Batch]:
    """Begin a transaction that holds the collection's lock; it commits when the block ends well.

    The raw table must exist (`schema.ensure`).

    Raises:
        LoadInProgressError: another loader has the lock.
    """
    with conn.transaction():
        _lock(conn, collection)
        row = conn.execute(
            "select watermark_ts, last_loaded_at, last_sweep_at from ops.watermarks "
            "where collection = %s",
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
        )
        # the caller's transaction may go on with another collection
        for kind in ("stage", "odd", "seen", "differing", "unstorable"):
            conn.execute(f"drop table if exists pg_temp.ledgerline_{kind}")


def _lock(conn: psycopg.Connection, collection: str) -> None:
    deadline = time.monotonic() + LOCK_PATIENCE_SECONDS
    while True:
        got = conn.execute(
            "select pg_try_advisory_xact_lock(hashtextextended(%s, 0))",
            [f"{LOCK_NAMESPACE}.{collection}"],
        ).fetchone()
        if got == (True,):
            return
        if time.monotonic() > deadline:
            raise LoadInProgressError(
                f'another loader is working on "{collection}": run again when it is done'
            )
        time.sleep(0.2)


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
        return batch.finish(source_count=None, is_complete=is_complete)


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
                batch.copy_straight(chain([first], documents), is_complete=is_complete)
            return
        except (*NOT_STRAIGHT, *UNSTORABLE):
            batch.counts, batch.newest, batch.hash_sum = Counts(), None, 0
            documents = iter(slices())
            first = next(documents, None)
    batch.stage(chain([first] if first else [], documents))
    batch.merge(slices, seen="ledgerline_stage" if is_complete else None)
