"""The ways to bring one collection up to date, and the run over several of them.

    full         reads everything as it is at one moment (`loaders.snapshot`), writes what changed,
                 marks what is gone; goes on where it was killed; a sweep follows where the two
                 sides differ nevertheless
    incremental  reads what `updated_at` says is new since the last watermark, less an overlap for
                 late writers, and with it, each time, all documents whose `updated_at` is missing
                 or no date; never sees a deletion
    sweep        compares ids and hashes of everything, then reads only what differs: finds
                 deletions and changes that left `updated_at` as it was
    auto         incremental; then a sweep where the counts of the two sides differ, or where the
                 last complete comparison is more than a day old
    follow       change streams, until it is stopped (`loaders.stream.follow`)

The first load of a collection is a full one, whatever the mode. A watermark is never later than
the source's clock at the start of its read, so neither a date in the future nor a write during the
read can carry it past a document that was not read.
"""

from __future__ import annotations

import gc
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import chain
from typing import Any

import psycopg
import structlog
from bson.objectid import ObjectId
from psycopg import sql
from psycopg.errors import UniqueViolation
from pymongo.database import Database
from tenacity import (
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_exponential,
)

from loaders import landing, odd, parallel, sweep
from loaders.books import Reading
from loaders.connections import describe_mongodb, open_mongodb, open_postgres, readable_errors
from loaders.documents import encoding
from loaders.documents.encoding import Slice
from loaders.errors import LoadInProgressError, ServerUnreachableError, UserError
from loaders.files.origin import refuse_documents_of_files
from loaders.landing import Batch, Result
from loaders.schema import ensure, table_name
from loaders.settings import Settings
from loaders.snapshot import Snapshot, watermark
from loaders.source import Source, collections_of, id_of, overlap_start

OVERLAP = timedelta(minutes=10)
SWEEP_EVERY = timedelta(hours=24)
LOOKUP_ROWS = 50_000  # ids of changed documents held in memory at once
ATTEMPTS = 3  # of a collection whose servers come and go
EARLIEST = datetime.min.replace(tzinfo=UTC)

log = structlog.get_logger(__name__)


class Mode(StrEnum):
    """How to load; see the module."""

    AUTO = "auto"
    INCREMENTAL = "incremental"
    FULL = "full"
    SWEEP = "sweep"
    FOLLOW = "follow"


class Observer:
    """What a caller may want to know while a run goes on; does nothing by itself."""

    def begin(self, collection: str, mode: str, expected: int | None) -> None:
        """A batch begins to read about `expected` documents; None where that isn't known."""

    def read(self, collection: str, documents: int, size: int) -> None:
        """So many more documents of it were read, of so many bytes."""

    def end(self, result: Result) -> None:
        """The batch was committed."""


def run(
    settings: Settings,
    collections: Sequence[str] = (),
    mode: Mode = Mode.AUTO,
    *,
    overlap: timedelta = OVERLAP,
    workers: int = 1,
    observer: Observer | None = None,
) -> list[Result]:
    """Load collections, each in transactions of its own.

    Args:
        settings: which servers and databases.
        collections: their names; none means all that the source has.
        mode: see the module.
        overlap: how far before the watermark an incremental read begins.
        workers: collections loaded at once, in processes of their own if there are several.
        observer: is told of progress.

    Returns:
        One result per batch, in order; `auto` and `full` may make two of a collection.

    Raises:
        UserError: a server, a right, the database or a named collection is missing, or another
            loader works on one of them. Collections finished by then stay loaded; with several
            workers, all others are finished first.
    """
    if mode is Mode.FOLLOW:
        raise ValueError("this mode has a run of its own: loaders.stream.follow.run")
    observer = observer or Observer()
    with connections(settings) as (database, conn):
        found = collections_of(database)
        ensure(conn, found)
        gone = _gone(conn, found)
        wanted = _known(found, gone, collections, mode) if collections else found
        job = Job(settings, mode, overlap, uuid.uuid4())
        if min(workers, len(wanted)) > 1:
            sizes = {name: Source(database, name).rough_count() for name in wanted}
            return parallel.run(job, sizes, workers, observer)
        results: list[Result] = []
        loader = Loader(conn, database, job, observer)
        for name in wanted:
            results += loader.load(name)
        return results


@contextmanager
def connections(
    settings: Settings,
) -> Iterator[tuple[Database[dict[str, Any]], psycopg.Connection]]:
    """Both ends of a load; errors within are made readable."""
    with readable_errors(), ExitStack() as stack:
        database = open_mongodb(settings)
        stack.enter_context(database.client)
        conn = stack.enter_context(open_postgres(settings, autocommit=True))
        yield database, conn


def collect_rarely() -> None:
    """Look for cycles of objects seldom, and never among the modules; for a process that loads.

    Documents make none, and each of a batch counts as one more object to look at.
    """
    gc.freeze()
    gc.set_threshold(50_000)


@dataclass(frozen=True)
class Job:
    """What a run is to do with each of its collections.

    Attributes:
        overlap: how far before the watermark an incremental read begins.
        run_id: names the run in `ops.load_runs`.
    """

    settings: Settings
    mode: Mode
    overlap: timedelta
    run_id: uuid.UUID


def load_one(job: Job, collection: str, observer: Observer) -> list[Result]:
    """Load one collection over connections of its own.

    Raises:
        UserError: as for `run`.
    """
    with connections(job.settings) as (database, conn):
        return Loader(conn, database, job, observer).load(collection)


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
    """Loads collections over one pair of connections.

    Args:
        conn: autocommit, outside of a transaction; replaced by a new one if it is cut.
        database: the shop.
        job: what to do.
        observer: is told of progress.
    """

    def __init__(
        self,
        conn: psycopg.Connection,
        database: Database[dict[str, Any]],
        job: Job,
        observer: Observer,
    ) -> None:
        self.conn = conn
        self.database = database
        self.job = job
        self.observer = observer
        self.address = describe_mongodb(job.settings)

    def load(self, collection: str) -> list[Result]:
        """Bring the collection up to date; a failure is noted in `ops.load_runs` and raised.

        Where a server goes away, the load is tried again: nothing of it was committed, or what
        was is gone on with.
        """
        refuse_documents_of_files(self.conn, [collection])
        started_at = datetime.now(UTC)
        source = Source(self.database, collection, self.address)
        try:
            for attempt in _attempts():
                with attempt, readable_errors():
                    if self.conn.closed:
                        self.conn = open_postgres(self.job.settings, autocommit=True)
                    return self._load(source)
        except LoadInProgressError:
            raise
        except Exception as error:
            self._note_failure(collection, started_at, error)
            raise
        raise AssertionError("an attempt ends with a result or an error")

    def _load(self, source: Source) -> list[Result]:
        auto = self.job.mode is Mode.AUTO
        results = [self._batch(source, Mode.INCREMENTAL if auto else self.job.mode)]
        if self._needs_sweep(results[0]):
            results.append(self._batch(source, Mode.SWEEP))
        return results

    def _needs_sweep(self, result: Result) -> bool:
        # a full load that was gone on with relies on the source: the order that it sorts ids in
        # must be the one in which it finds where to go on
        if result.mode == Mode.FULL and not result.is_reconciled:
            return True
        if self.job.mode is not Mode.AUTO:
            return False
        if not result.is_reconciled:
            return True
        row = self.conn.execute(
            "select last_sweep_at < clock_timestamp() - %s from ops.watermarks "
            "where collection = %s",
            [SWEEP_EVERY, result.collection],
        ).fetchone()
        return row is None or row[0] is not False

    def _batch(self, source: Source, mode: Mode) -> Result:
        if mode is not Mode.FULL and self._is_new(source.name):
            mode = Mode.FULL
        whole = mode in (Mode.FULL, Mode.SWEEP)
        self.observer.begin(source.name, mode, source.rough_count() if whole else None)
        if mode is Mode.FULL:
            snapshot = Snapshot(self.conn, source, self.job.run_id, self.observer)
            result = snapshot.load(mode)
        else:
            try:
                result = self._merge(source, mode, in_haste=True)
            except (*odd.UNSTORABLE, UniqueViolation, _DifferentError):
                # once more, with what Postgres can't hold and what came twice set aside
                result = self._merge(source, mode, in_haste=False)
        self.observer.end(result)
        _tell(result)
        return result

    def _merge(self, source: Source, mode: Mode, *, in_haste: bool) -> Result:
        load = self._sweep if mode is Mode.SWEEP else self._incremental
        with landing.open_batch(
            self.conn, source.name, mode, self.job.run_id, in_haste=in_haste
        ) as batch:
            result = load(batch, source)
            if in_haste and result.days_differing:
                raise _DifferentError
            return result

    def _is_new(self, collection: str) -> bool:
        """True for a collection that was never loaded, or of which raw has nothing."""
        query = sql.SQL(
            """
            select not exists (select from ops.watermarks where collection = {})
                or not exists (select from {})
            """
        ).format(sql.Literal(collection), sql.Identifier("raw", table_name(collection)))
        return self.conn.execute(query).fetchone() == (True,)

    def _incremental(self, batch: Batch, source: Source) -> Result:
        assert batch.last is not None
        started = source.now()
        count = source.counting()
        since = overlap_start(batch.last.watermark or EARLIEST, self.job.overlap)

        def slices() -> Iterator[Slice]:
            return self._slices(source, source.changed(since), encoding.encode)

        batch.stage(slices())
        batch.merge(slices)
        reading = Reading(
            source_count=count,
            watermark=watermark(batch, started),
            days=batch.tally.days,
            since=since,
            now=started,
        )
        return batch.finish(reading)

    def _sweep(self, batch: Batch, source: Source) -> Result:
        count = source.counting()
        sweep.note_seen(batch, self._slices(source, source.everything(), encoding.identify))

        def looked_up() -> Iterator[Iterator[Slice]]:
            for keys in sweep.differing(batch, LOOKUP_ROWS):
                ids = (ObjectId(i) if key is None else id_of(key) for i, key in keys)
                yield self._slices(source, source.lookup(ids), encoding.encode)

        for slices in looked_up():
            batch.stage(slices)
        days = sweep.merge(batch, lambda: chain.from_iterable(looked_up()))
        return batch.finish(Reading(source_count=count, is_complete=True, days=days))

    def _slices(
        self,
        source: Source,
        batches: Iterable[bytes],
        encode: Callable[[Sequence[bytes]], Slice],
    ) -> Iterator[Slice]:
        for batch in batches:
            for documents in encoding.cut(batch):
                part = encode(documents)
                yield part
                self.observer.read(source.name, part.read, part.size)

    def _note_failure(self, collection: str, started_at: datetime, error: Exception) -> None:
        with suppress(psycopg.Error):  # the connection may be what failed
            self.conn.execute(
                """
                insert into ops.load_runs
                    (batch_id, run_id, collection, mode, status, started_at, finished_at, error)
                values (nextval('ops.batch_id'), %s, %s, %s, 'failed', %s, clock_timestamp(), %s)
                """,
                [
                    self.job.run_id,
                    collection,
                    self.job.mode,
                    started_at,
                    f"{type(error).__name__}: {error}",
                ],
            )


class _DifferentError(Exception):
    """After a load in haste the sides seem to differ, as they do where a document came twice."""


def _attempts() -> Retrying:
    return Retrying(
        retry=retry_if_exception_type(ServerUnreachableError),
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_exponential(min=1, max=5),
        before_sleep=lambda state: log.warning(
            "a server went away, trying again",
            error=str(state.outcome and state.outcome.exception()),
        ),
        reraise=True,
    )


def _tell(result: Result) -> None:
    log.info(
        "loaded",
        collection=result.collection,
        mode=result.mode,
        batch_id=result.batch_id,
        read=result.counts.read,
        megabytes=round(result.counts.size / 1e6, 1),
        inserted=result.counts.inserted,
        updated=result.counts.updated,
        deleted=result.counts.deleted,
        quarantined=result.quarantined,
        source_count=result.source_count,
        raw_count=result.raw_count,
        reconciled=result.is_reconciled,
        lag_seconds=result.lag_seconds,
        seconds=round(result.seconds, 2),
    )
