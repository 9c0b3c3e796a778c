"""What a batch writes of itself into `ops`: counts, watermark, and source against raw by day."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from psycopg import sql

from loaders.tally import Days, minus

if TYPE_CHECKING:
    from loaders.landing import Batch

# order-independent content hash of rows: the sum of the first 60 bits of each document's hash
HASH_SUM = "coalesce(sum(('x0' || left({}, 15))::bit(64)::bigint), 0)"


@dataclass(slots=True)
class Counts:
    """What one batch read and what it did.

    Attributes:
        read: documents read; `changed` and `unclocked` queries may read one twice.
        inserted, updated, unchanged, deleted: rows of the raw table; a document that came back
            after a deletion is updated.
        revived: those that came back.
        quarantined: documents rejected in this batch.
        altered: documents stored with changes in this batch.
        unclocked: documents read that have no usable `updated_at`.
        size: BSON bytes read.
    """

    read: int = 0
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    deleted: int = 0
    revived: int = 0
    quarantined: int = 0
    altered: int = 0
    unclocked: int = 0
    size: int = 0

    @property
    def written(self) -> int:
        """Rows of the raw table that were changed."""
        return self.inserted + self.updated + self.deleted


@dataclass(slots=True, frozen=True)
class State:
    """What the last batch of a collection left in `ops.watermarks`."""

    watermark: datetime | None
    last_loaded_at: datetime
    last_sweep_at: datetime | None
    raw_count: int | None
    deleted_count: int | None


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
    days_differing: int | None
    lag_seconds: float | None
    seconds: float

    @property
    def is_reconciled(self) -> bool:
        """Each document of the source is in raw or in quarantine, and raw has no others.

        Compares the counts, and count and hash of each day that was read.
        """
        if self.days_differing:
            return False
        return self.source_count is None or self.source_count == self.raw_count + self.quarantined


@dataclass(slots=True, frozen=True, kw_only=True)
class Reading:
    """What a batch knows of the source when it has read what it wanted.

    Attributes:
        source_count: documents that the source has, or who says so when told how many raw and
            quarantine have together; None where it means nothing (a part of a file).
        watermark: (updated_at, _id) up to which it was read; the one before is kept if None or
            older.
        is_complete: all of it was read.
        days: documents and hashes by day that it has and raw can hold, to be compared with raw's;
            None where the source can't say.
        since: `days` begin here (UTC); None: they are all.
        now: the source's clock, for the lag.
    """

    source_count: int | Callable[[int], int] | None = None
    watermark: tuple[datetime, str] | None = None
    is_complete: bool = False
    days: Days | None = None
    since: datetime | None = None
    now: datetime | None = None


def close(batch: Batch, reading: Reading) -> Result:
    """Write the batch's counts and state."""
    counts, tally, since = batch.counts, batch.tally, reading.since
    counts.read = counts.read or tally.read
    counts.size = tally.size
    counts.altered, counts.quarantined = tally.altered, tally.rejected
    counts.unclocked = tally.unclocked
    raw_days = None if reading.days is None else _raw_days(batch, since)
    raw_count = _raw_count(batch, raw_days, reading)
    quarantined = batch.count(
        """
        select count(*) from ops.quarantine as kept
        where kept.collection = {collection} and not exists (
            select from {table} as raw where raw._id = kept._id and raw._deleted_at is null)
        """
    )
    source_count = reading.source_count
    if callable(source_count):
        source_count = source_count(raw_count + quarantined)
    source_hash = raw_hash = differing = None
    if reading.days is not None and raw_days is not None:
        differing = _reconcile(batch, reading.days, raw_days, since)
        if since is None:
            source_hash = sum(hashes for _, hashes in reading.days.values())
            raw_hash = sum(hashes for _, hashes in raw_days.values())
    lag = None
    if reading.now and tally.newest and counts.written:
        lag = max(0.0, (reading.now - tally.newest[0].replace(tzinfo=UTC)).total_seconds())
    _write_watermark(batch, reading, raw_count)
    row = {
        "source_count": source_count,
        "raw_count": raw_count,
        "read": counts.read,
        "inserted": counts.inserted,
        "updated": counts.updated,
        "unchanged": counts.unchanged,
        "deleted": counts.deleted,
        "quarantined": quarantined,
        "altered": counts.altered,
        "unclocked": counts.unclocked,
        "source_hash": source_hash,
        "raw_hash": raw_hash,
        "bytes": counts.size,
        "lag_seconds": lag,
        "days_differing": differing,
    }
    seconds = _write_run(batch, row)
    return Result(
        collection=batch.collection,
        mode=str(batch.mode),
        batch_id=batch.batch_id,
        counts=counts,
        source_count=source_count,
        raw_count=raw_count,
        quarantined=quarantined,
        source_hash=source_hash,
        raw_hash=raw_hash,
        days_differing=differing,
        lag_seconds=lag,
        seconds=seconds,
    )


def _raw_count(batch: Batch, raw_days: Days | None, reading: Reading) -> int:
    """Rows that are not deleted.

    Counting them reads the whole table. That is for loads that read the whole source; the others
    go on from the count that the batch before left, under the collection's lock.
    """
    counts = batch.counts
    if raw_days is not None and reading.since is None:
        return sum(count for count, _ in raw_days.values()) + batch.count(
            """
            select count(*) from ops.quarantine as kept inner join {table} as raw using (_id)
            where kept.collection = {collection} and raw._deleted_at is null
            """
        )
    if reading.is_complete or batch.last is None or batch.last.raw_count is None:
        return batch.count("select count(*) from {table} where _deleted_at is null")
    return batch.last.raw_count + counts.inserted + counts.revived - counts.deleted


def _deleted_count(batch: Batch) -> int | None:
    """Rows that are marked deleted; None where an earlier version didn't count them."""
    before = 0 if batch.last is None else batch.last.deleted_count
    counts = batch.counts
    return None if before is None else before + counts.deleted - counts.revived


def _raw_days(batch: Batch, since: datetime | None) -> Days:
    """Raw's side: rows that are live and not an older version of a quarantined document."""
    days = _days_of(batch, "{table} as rows where _deleted_at is null", since)
    # taken away afterwards: they are few, and an anti-join would hold all rows in memory
    older = _days_of(
        batch,
        """
        {table} as rows inner join ops.quarantine as kept using (_id)
        where kept.collection = {collection} and rows._deleted_at is null
        """,
        since,
    )
    return minus(days, older)


def _days_of(batch: Batch, rows: str, since: datetime | None) -> Days:
    """Documents and hashes by day.

    Args:
        rows: FROM and WHERE of the rows to add up, the table's alias being `rows`.
        since: only these days, and the documents without a date.
    """
    found = batch.run(
        f"""
        select (rows._source_ts at time zone 'UTC')::date, count(*),
            {HASH_SUM.format("rows._doc_hash")}
        from {rows} and (rows._source_ts >= {{since}} or rows._source_ts is null)
        group by 1
        """,  # noqa: S608 -- texts of this package
        since=sql.Literal(since if since else "-infinity"),
    ).fetchall()
    return {day.isoformat() if day else "": (count, int(hashes)) for day, count, hashes in found}


def _reconcile(batch: Batch, source: Days, raw: Days, since: datetime | None) -> int:
    """Write `ops.reconciliation` for the days compared; returns on how many the sides differ.

    A batch that changed nothing and found the sides equal leaves a line that says the same; the end
    of a day says less than the whole day that is there.
    """
    if since is None:
        batch.run("delete from ops.reconciliation where collection = {collection}")
    first = since.astimezone(UTC).date().isoformat() if since else ""
    nothing = (0, 0)
    counts = batch.counts
    has_changed = counts.inserted + counts.updated + counts.deleted + counts.quarantined > 0
    rows = []
    for day in source.keys() | raw.keys():
        mine, theirs = source.get(day, nothing), raw.get(day, nothing)
        whole = since is None or day != first
        rows.append((batch.collection, day or None, *mine, *theirs, whole))
    with batch.conn.cursor() as cursor:
        cursor.executemany(
            """
            insert into ops.reconciliation as kept (collection, day, source_count, source_hash,
                raw_count, raw_hash, is_whole_day, compared_at, batch_id)
            values (%s, %s, %s, %s, %s, %s, %s, clock_timestamp(), %s)
            on conflict (collection, day) do update set
                source_count = excluded.source_count, source_hash = excluded.source_hash,
                raw_count = excluded.raw_count, raw_hash = excluded.raw_hash,
                is_whole_day = excluded.is_whole_day, compared_at = excluded.compared_at,
                batch_id = excluded.batch_id
            where %s
                or (excluded.source_count, excluded.source_hash)
                    is distinct from (excluded.raw_count, excluded.raw_hash)
                or (excluded.is_whole_day and (kept.is_whole_day, excluded.source_count,
                        excluded.source_hash, excluded.raw_count, excluded.raw_hash)
                    is distinct from (true, kept.source_count,
                        kept.source_hash, kept.raw_count, kept.raw_hash))
            """,
            [(*row, batch.batch_id, has_changed) for row in rows],
        )
    return sum(source.get(day, nothing) != raw.get(day, nothing) for day in source.keys() | raw)


def _write_watermark(batch: Batch, reading: Reading, raw_count: int) -> None:
    at, identity = reading.watermark or (None, None)
    batch.run(
        """
        insert into ops.watermarks as kept
            (collection, watermark_ts, watermark_id, last_loaded_at, last_sweep_at, raw_count,
                deleted_count)
        values ({collection}, {ts}, {id}, {at}, {sweep}, {raw_count}, {deleted_count})
        on conflict (collection) do update set
            watermark_ts = greatest(kept.watermark_ts, excluded.watermark_ts),
            watermark_id = case when excluded.watermark_ts >= kept.watermark_ts
                or kept.watermark_ts is null
                then excluded.watermark_id else kept.watermark_id end,
            last_loaded_at = excluded.last_loaded_at,
            last_sweep_at = coalesce(excluded.last_sweep_at, kept.last_sweep_at),
            raw_count = excluded.raw_count, deleted_count = excluded.deleted_count
        """,
        ts=sql.Literal(at),
        id=sql.Literal(identity),
        sweep=sql.Literal(batch.started_at if reading.is_complete else None),
        raw_count=sql.Literal(raw_count),
        deleted_count=sql.Literal(_deleted_count(batch)),
    )


def _write_run(batch: Batch, row: dict[str, float | None]) -> float:
    """Write the line of `ops.load_runs`; returns the seconds that the batch took."""
    found = batch.run(
        """
        insert into ops.load_runs (batch_id, run_id, collection, mode, status, started_at,
            finished_at, watermark_ts, watermark_id, {columns})
        select {batch}, {run_id}, {collection}, {mode}, 'done', {started_at},
            clock_timestamp(), watermark_ts, watermark_id, {values}
        from ops.watermarks where collection = {collection}
        returning extract(epoch from finished_at - started_at)
        """,
        run_id=sql.Literal(batch.run_id),
        mode=sql.Literal(str(batch.mode)),
        started_at=sql.Literal(batch.started_at),
        columns=sql.SQL(", ").join(map(sql.Identifier, row)),
        values=sql.SQL(", ").join(map(sql.Literal, row.values())),
    ).fetchone()
    assert found is not None
    return float(found[0])
