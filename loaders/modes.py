"""The ways to bring one collection up to date, and the run over several of them.

    full         reads everything, writes what changed, marks what is gone
    incremental  reads what `updated_at` says is new since the last watermark, less an overlap for
                 late writers, and with it, each time, all documents whose `updated_at` is missing
                 or no date; never sees a deletion
    sweep        compares ids and hashes of everything, then reads only what differs: finds
                 deletions and changes that left `updated_at` as it was
    auto         incremental; then a sweep where the counts of the two sides differ, or where the
                 last complete comparison is more than a day old

The first load of a collection is a full one, whatever the mode. A watermark is never later than
the source's clock at the start of its read, so neither a date in the future nor a write during the
read can carry it past a document that was not read.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import chain

import bson
import psycopg
import structlog
from bson.objectid import ObjectId

from loaders import encoding, landing
from loaders.connections import open_mongodb, open_postgres, readable_errors
from loaders.encoding import Slice
from loaders.errors import LoadInProgressError, UserError
from loaders.landing import Batch, Result
from loaders.schema import ensure
from loaders.settings import Settings
from loaders.source import Source, collections_of, overlap_start

OVERLAP = timedelta(minutes=10)
SWEEP_EVERY = timedelta(hours=24)
LOOKUP_ROWS = 50_000  # ids of changed documents held in memory at once

log = structlog.get_logger(__name__)

OnRead = Callable[[int], None]


class Mode(StrEnum):
    """How to load; see the module."""

    AUTO = "auto"
    INCREMENTAL = "incremental"
    FULL = "full"
    SWEEP = "sweep"


class Observer:
    """What a caller may want to know while a run goes on; does nothing by itself."""

    def begin(self, collection: str, mode: str, expected: int | None) -> None:
        """A batch begins to read about `expected` documents; None where that isn't known."""

    def read(self, documents: int) -> None:
        """So many more documents were read."""

    def end(self, result: Result) -> None:
        """The batch was committed."""


def run(
    settings: Settings,
    collections: Sequence[str] = (),
    mode: Mode = Mode.AUTO,
    *,
    overlap: timedelta = OVERLAP,
    observer: Observer | None = None,
) -> list[Result]:
    """Load collections one after another, each in transactions of its own.

    Args:
        settings: which servers and databases.
        collections: their names; none means all that the source has.
        mode: see the module.
        overlap: how far before the watermark an incremental read begins.
        observer: is told of progress.

    Returns:
        One result per batch, in order; `auto` may make two of a collection.

    Raises:
        UserError: a server, a right, the database or a named collection is missing, or another
            loader works on one of them. Collections finished by then stay loaded.
    """
    with readable_errors():
        database = open_mongodb(settings)
        try:
            conn = open_postgres(settings, autocommit=True)
        except BaseException:
            database.client.close()
            raise
        with database.client, conn:
            found = collections_of(database)
            ensure(conn, found)
            gone = _gone(conn, found)
            wanted = _known(found, gone, collections, mode) if collections else found
            results: list[Result] = []
            run_id = uuid.uuid4()
            for name in wanted:
                loader = Loader(conn, Source(database, name), run_id, overlap, observer)
                results += loader.load(mode)
            return results


def _gone(conn: psycopg.Connection, found: Sequence[str]) -> list[str]:
    """Collections that were loaded before and that the source has no more.

    They aren't emptied by themselves: a wrong MONGODB_DATABASE looks just the same.
    """
    rows = conn.execute(
        "select distinct collection from ops.load_runs "
        "where status = 'done' and mode = any(%s) and raw_count > 0 and collection <> all(%s)",
        [[str(mode) for mode in Mode], list(found)],
    ).fetchall()
    for (name,) in rows:
        log.warning(
            "collection is gone from the source; its documents stay in raw",
            collection=name,
            to_mark_them_deleted=f"ledgerline load {name} --mode sweep",
        )
    return [name for (name,) in rows]


def _known(
    found: Sequence[str], gone: Sequence[str], wanted: Sequence[str], mode: Mode
) -> Sequence[str]:
    """The wanted collections, if each is in the source or is to be marked as deleted."""
    loadable = {*found, *gone} if mode in (Mode.FULL, Mode.SWEEP) else set(found)
    missing = [name for name in wanted if name not in loadable]
    if missing:
        raise UserError(
            f"the source has no collection {', '.join(missing)}; it has {', '.join(found)}"
        )
    return wanted


class Loader:
    """Loads one collection over one pair of connections.

    Args:
        conn: autocommit, outside of a transaction.
        source: the collection.
        run_id: names the run in `ops.load_runs`.
        overlap: how far before the watermark an incremental read begins.
        observer: is told of progress.
    """

    def __init__(
        self,
        conn: psycopg.Connection,
        source: Source,
        run_id: uuid.UUID,
        overlap: timedelta = OVERLAP,
        observer: Observer | None = None,
    ) -> None:
        self.conn = conn
        self.source = source
        self.run_id = run_id
        self.overlap = overlap
        self.observer = observer or Observer()

    def load(self, mode: Mode) -> list[Result]:
        """Bring the collection up to date; a failure is noted in `ops.load_runs` and raised."""
        started_at = datetime.now(UTC)
        try:
            if mode is not Mode.AUTO:
                return [self._batch(mode)]
            results = [self._batch(Mode.INCREMENTAL)]
            if self._needs_sweep(results[0]):
                results.append(self._batch(Mode.SWEEP))
            return results
        except LoadInProgressError:
            raise
        except Exception as error:
            self._note_failure(mode, started_at, error)
            raise

    def _needs_sweep(self, result: Result) -> bool:
        if not result.is_reconciled:
            return True
        row = self.conn.execute(
            "select last_sweep_at < clock_timestamp() - %s from ops.watermarks "
            "where collection = %s",
            [SWEEP_EVERY, self.source.name],
        ).fetchone()
        return row is None or row[0] is not False

    def _batch(self, mode: Mode) -> Result:
        with landing.open_batch(self.conn, self.source.name, mode, self.run_id) as batch:
            if batch.last is None or batch.is_first():
                mode = Mode.FULL
                batch.mode = mode
            started = self.source.now()
            whole = mode in (Mode.FULL, Mode.SWEEP)
            self.observer.begin(
                self.source.name, mode, self.source.rough_count() if whole else None
            )
            if mode is Mode.FULL:
                result = self._full(batch, started)
            elif mode is Mode.SWEEP:
                result = self._sweep(batch)
            else:
                result = self._incremental(batch, started)
        self.observer.end(result)
        log.info(
            "loaded",
            collection=result.collection,
            mode=result.mode,
            batch_id=result.batch_id,
            read=result.counts.read,
            inserted=result.counts.inserted,
            updated=result.counts.updated,
            deleted=result.counts.deleted,
            quarantined=result.quarantined,
            source_count=result.source_count,
            raw_count=result.raw_count,
            reconciled=result.is_reconciled,
            seconds=round(result.seconds, 2),
        )
        return result

    def _full(self, batch: Batch, started: datetime) -> Result:
        landing.fill(
            batch, lambda: self._slices(self.source.everything(), encoding.encode), is_complete=True
        )
        return batch.finish(
            source_count=self.source.count,
            watermark=_watermark(batch, started),
            is_complete=True,
            source_hash=batch.hash_sum,
        )

    def _incremental(self, batch: Batch, started: datetime) -> Result:
        assert batch.last is not None
        since = overlap_start(
            batch.last.watermark or datetime.min.replace(tzinfo=UTC), self.overlap
        )

        def slices() -> Iterator[Slice]:
            return self._slices(self.source.changed(since), encoding.encode)

        batch.stage(slices())
        batch.merge(slices)
        return batch.finish(source_count=self.source.count, watermark=_watermark(batch, started))

    def _sweep(self, batch: Batch) -> Result:
        seen = self._slices(self.source.everything(), encoding.identify)
        batch.note_seen(seen)
        batch.compare_seen()

        def looked_up() -> Iterator[Iterator[Slice]]:
            for keys in batch.differing(LOOKUP_ROWS):
                ids = (ObjectId(i) if key is None else bson.decode(key)["_id"] for i, key in keys)
                yield self._slices(self.source.lookup(ids), encoding.encode)

        for slices in looked_up():
            batch.stage(slices)
        source_hash = batch.merge_seen(lambda: chain.from_iterable(looked_up()))
        return batch.finish(
            source_count=self.source.count, is_complete=True, source_hash=source_hash
        )

    def _slices(
        self, batches: Iterable[bytes], encode: Callable[[Sequence[bytes]], Slice]
    ) -> Iterator[Slice]:
        for batch in batches:
            for documents in encoding.cut(batch):
                yield encode(documents)
                self.observer.read(len(documents))

    def _note_failure(self, mode: str, started_at: datetime, error: Exception) -> None:
        with suppress(psycopg.Error):  # the connection may be what failed
            self.conn.execute(
                """
                insert into ops.load_runs
                    (batch_id, run_id, collection, mode, status, started_at, finished_at, error)
                values (nextval('ops.batch_id'), %s, %s, %s, 'failed', %s, clock_timestamp(), %s)
                """,
                [
                    self.run_id,
                    self.source.name,
                    mode,
                    started_at,
                    f"{type(error).__name__}: {error}",
                ],
            )


def _watermark(batch: Batch, started: datetime) -> tuple[datetime, str] | None:
    """The newest (updated_at, _id) read, not later than the source's clock at the start."""
    if batch.newest is None:
        return None
    newest, identity = batch.newest
    return min(newest.replace(tzinfo=UTC), started), identity
