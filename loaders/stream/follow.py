"""Follows the shop: change streams bring inserts, updates, deletions, renames and drops into raw.

One stream per source database. Its resume token is in `ops.streams`, and moves in the transaction
of the rows that it covers: after a kill at any point the stream goes on with the first event that
is not in raw. An event that comes again changes nothing, since the newest version of a document is
what counts.

Where there is no token, or the source no longer knows it, all collections are compared with raw
and brought up to date first: with a token taken before, so that nothing falls between the two.
That is told in a warning. It also finds the deletions that no event told of.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar

import psycopg
import structlog
from psycopg import sql
from pymongo.database import Database
from pymongo.read_preferences import ReadPreference
from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_random
from tenacity.nap import sleep_using_event

from loaders import landing, modes
from loaders.connections import describe_mongodb
from loaders.errors import LoadInProgressError, ServerUnreachableError, UserError
from loaders.files.origin import refuse_documents_of_files
from loaders.landing import Batch, Result
from loaders.modes import Job, Loader, Mode
from loaders.schema import ensure, table_name
from loaders.settings import Settings
from loaders.snapshot import watermark
from loaders.source import Source, collections_of, is_own, now
from loaders.stream.changes import AWAIT_MS, POLL_MS, Effect, Event, Stream, TokenLostError

# A commit costs some 10 ms per collection, so events are gathered. A second is far below what
# models are built in, and 86,400 lines of ops.load_runs a day at the most.
LINGER = timedelta(seconds=1)
BATCH_EVENTS = 10_000
BATCH_BYTES = 16 * 1024 * 1024  # of documents, all held in memory
TRANSACTION_BYTES = 2 * BATCH_BYTES  # a transaction of the source is kept whole up to this size
SAVE_IDLE = timedelta(seconds=10)  # an oplog reaches back hours at least
RECONCILE_EVERY = timedelta(minutes=1)
PATIENCE = timedelta(minutes=5)  # with a server that is gone
RESTARTS = 3  # of the stream without an event between them

log = structlog.get_logger(__name__)

T = TypeVar("T")


@dataclass(slots=True)
class Status:
    """How it goes, and at the end how it went.

    Attributes:
        source: what is followed.
        events: taken over.
        rows: of raw that were inserted, updated or marked deleted.
        batches: committed.
        restarts: times that the token was lost, so that everything was compared.
        lag: from the newest event taken over to its batch, by the source's clock; None before one.
        rate: events per second lately.
        started: by the monotonic clock.
    """

    source: str
    events: int = 0
    rows: int = 0
    batches: int = 0
    restarts: int = 0
    lag: timedelta | None = None
    rate: float = 0.0
    started: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self.started


class Observer(modes.Observer):
    """What a caller may want to know; does nothing by itself."""

    def follows(self, status: Status) -> None:
        """Some time has passed, or a batch was committed."""


def run(
    settings: Settings,
    collections: Sequence[str] = (),
    *,
    until_idle: timedelta | None = None,
    stop: threading.Event | None = None,
    observer: Observer | None = None,
) -> Status:
    """Follow the source until told to stop.

    Args:
        settings: which servers and databases.
        collections: follow only these; none means all, those to come as well.
        until_idle: end when no change came for so long.
        stop: end when it is set, after the batch in hand.
        observer: is told of progress.

    Returns:
        What was done.

    Raises:
        UserError: the source has no change streams, or another follower is at work, or a server is
            gone for longer than `PATIENCE`; all that was committed stays.
    """
    follower = Follower(settings, collections, until_idle, stop or threading.Event(), observer)
    return follower.run()


class _Gathered:
    """Events since the last commit, summed up by collection."""

    def __init__(self) -> None:
        self.effects: dict[str, Effect] = {}
        self.events = 0
        self.last: Event | None = None
        self.since = time.monotonic()

    def add(self, event: Event, *, is_followed: bool) -> None:
        if not self.events:
            self.since = time.monotonic()
        self.events += 1
        self.last = event
        if is_followed and event.collection is not None:
            self.effects.setdefault(event.collection, Effect()).add(event)

    def is_due(self, following: Event | None) -> bool:
        """True if it is to be committed before `following` is taken in."""
        if self.last is None:
            return False
        size = sum(effect.size for effect in self.effects.values())
        if size >= TRANSACTION_BYTES:
            return True
        if following and following.transaction and following.transaction == self.last.transaction:
            return False
        waited = time.monotonic() - self.since
        return (
            self.events >= BATCH_EVENTS or size >= BATCH_BYTES or waited >= LINGER.total_seconds()
        )


class Follower:
    """One run of `follow.run`; see there."""

    def __init__(
        self,
        settings: Settings,
        collections: Sequence[str],
        until_idle: timedelta | None,
        stop: threading.Event,
        observer: Observer | None,
    ) -> None:
        self.settings = settings
        self.wanted = sorted(set(collections))
        self.until_idle = until_idle
        self.stop = stop
        self.observer = observer or Observer()
        address = describe_mongodb(settings)
        # of some collections it is another stream: its token tells nothing of the rest
        self.source = f"{address}: {', '.join(self.wanted)}" if self.wanted else address
        self.lock = f"the changes of {address}"
        self.run_id = uuid.uuid4()
        self.status = Status(self.source)
        self.good_at: float | None = None  # when a server last did what it was asked
        self.event_at = time.monotonic()  # when the last event came
        self.restarts = 0  # since then
        self.touched: set[str] = set()  # collections changed since they were last reconciled
        self.differing: dict[str, int] = {}  # those that did: events there had been by then
        self.reconcile_at = 0.0

    def run(self) -> Status:
        """Follow; where a server goes away, go on from the saved token when it is back."""
        retrying = Retrying(
            retry=retry_if_exception_type(ServerUnreachableError),
            stop=self._is_out_of_patience,
            wait=wait_random(0.5, 2),
            sleep=sleep_using_event(self.stop),
            before_sleep=lambda state: log.warning(
                "a server is gone, going on when it is back",
                error=str(state.outcome and state.outcome.exception()),
            ),
            reraise=True,
        )
        try:
            for attempt in retrying:
                with attempt, modes.connections(self.settings) as (database, conn):
                    # another member may be behind: what it hasn't yet would be in neither the
                    # snapshot nor the stream
                    primary = database.with_options(read_preference=ReadPreference.PRIMARY)
                    Session(self, primary, conn).run()
        except (ServerUnreachableError, LoadInProgressError):
            if not self.stop.is_set():
                raise
            # told to stop while it was waiting: what is committed is whole
        return self.status

    def _is_out_of_patience(self, _state: RetryCallState) -> bool:
        if self.good_at is None or self.stop.is_set():
            return True
        return time.monotonic() - self.good_at > PATIENCE.total_seconds()

    def is_good(self) -> None:
        """Note that the servers are there."""
        self.good_at = time.monotonic()

    def follows(self, collection: str | None) -> bool:
        """True for the collections whose events are taken over."""
        if collection is None or not is_own(collection):
            return False
        return not self.wanted or collection in self.wanted


class Session:
    """A follower's work over one pair of connections.

    Args:
        follower: what it is part of, and keeps what outlives the connections.
        database: the shop.
        conn: autocommit, outside of a transaction.
    """

    def __init__(
        self, follower: Follower, database: Database[dict[str, Any]], conn: psycopg.Connection
    ) -> None:
        self.follower = follower
        self.database = database
        self.conn = conn
        self.known: set[str] = set()  # collections with a raw table
        self.saved: bytes | None = None  # the token in ops.streams
        self.saved_at = 0.0

    def run(self) -> None:
        """Follow until told to stop, or until a server goes away."""
        self._lock()
        token = self._begin()
        while not self.follower.stop.is_set():
            try:
                with Stream(self.database, token, self._wanted, AWAIT_MS) as stream:
                    self.follower.event_at = time.monotonic()
                    if self._follow(stream):
                        return
                    token = stream.token
            except TokenLostError as error:
                token = self._start_over(str(error))
            else:  # the server has closed the cursor without a word
                self.follower.stop.wait(1)

    @property
    def _wanted(self) -> list[str] | None:
        return self.follower.wanted or None

    # --- beginning --------------------------------------------------------------------------------

    def _lock(self) -> None:
        try:
            landing.lock(self.conn, self.follower.lock)
        except LoadInProgressError:
            raise LoadInProgressError(
                f"another loader follows {self.follower.lock} already: one is enough"
            ) from None

    def _begin(self) -> bytes:
        """The token to go on from, all collections being as it says or later."""
        ensure(self.conn)
        self._tell_of_time_series()
        row = self.conn.execute(
            "select token, collections from ops.streams where source = %s", [self.follower.source]
        ).fetchone()
        if row is None:
            found = collections_of(self.database)
            if missing := [name for name in self.follower.wanted if name not in found]:
                raise UserError(
                    f"the source has no collection {', '.join(missing)}; it has {', '.join(found)}"
                )
            return self._start_over(None)
        self.saved, self.known = bytes(row[0]), set(row[1])
        ensure(self.conn, self.known)
        refuse_documents_of_files(self.conn, self.known)
        for name in sorted({*self._found(), *self.known}):
            self._ensure(name)
            if self._is_empty(name):  # its events alone wouldn't bring back what it had
                self._load(name, Mode.FULL)
        return self.saved

    def _tell_of_time_series(self) -> None:
        for entry in self.database.list_collections(filter={"type": "timeseries"}):
            if self.follower.follows(entry["name"]):
                log.warning(
                    "MongoDB has no change stream of a time series: it isn't followed",
                    collection=entry["name"],
                    to_load_it=f"ledgerline load {entry['name']}",
                )

    def _is_empty(self, name: str) -> bool:
        query = sql.SQL("select not exists (select from {})").format(
            sql.Identifier("raw", table_name(name))
        )
        return self.conn.execute(query).fetchone() == (True,)

    def _found(self) -> list[str]:
        found = collections_of(self.database, may_be_empty=True)
        return [name for name in found if self.follower.follows(name)]

    def _start_over(self, reason: str | None) -> bytes:
        """Take a token, then bring every collection up to date; crashes begin it anew.

        The token is saved last: with it saved earlier, a crash would leave collections behind that
        nobody compares any more.
        """
        if reason is not None:
            self.follower.status.restarts += 1
            self.follower.restarts += 1
            log.warning(
                "the change stream is broken: comparing all collections with raw",
                source=self.follower.source,
                reason=reason,
            )
            if self.follower.restarts > RESTARTS:
                raise UserError(
                    f"the change stream broke {RESTARTS} times without one event between them "
                    f"({reason}): use `--mode auto`, and look after the source's oplog"
                )
        with Stream(self.database, None, self._wanted, POLL_MS) as stream:
            stream.read()
            token = stream.token
        if token is None:
            raise ServerUnreachableError("MongoDB's change stream gives no resume token")
        for name in sorted({*self._found(), *self.known}):
            self._load(name, Mode.SWEEP)
        self._save(token)
        return token

    def _load(self, name: str, mode: Mode) -> None:
        """Bring one collection up to date by reading it."""
        self._ensure(name)
        job = Job(self.follower.settings, mode, modes.OVERLAP, self.follower.run_id)

        def load() -> None:
            loader = Loader(self.conn, self.database, job, self.follower.observer)
            for result in loader.load(name):
                self.follower.status.rows += result.counts.written

        self._when_free(load)
        self.follower.is_good()

    def _ensure(self, name: str) -> None:
        if name not in self.known:
            ensure(self.conn, [name])
            self.known.add(name)

    # --- going on ---------------------------------------------------------------------------------

    def _follow(self, stream: Stream) -> bool:
        """Take over events until told to stop (True), or until the stream has ended (False)."""
        gathered = _Gathered()
        while True:
            event = stream.read()
            self.follower.is_good()
            if event is not None:
                self.follower.event_at = time.monotonic()
                self.follower.restarts = 0
            is_done = self._is_done()
            # what a rename or the end of the stream leads to is committed apart
            is_cut = is_done or (event is not None and event.kind in ("rename", "invalidate"))
            if gathered.is_due(event) or (is_cut and gathered.events):
                self._commit(gathered)
                gathered = _Gathered()
            if event is None and not gathered.events:
                self._rest(stream, is_done=is_done)
            if is_done or not (event or stream.is_alive):
                return is_done  # an event in hand is none of what was saved: it comes again
            if event is not None:
                self._take_in(event, gathered)

    def _take_in(self, event: Event, gathered: _Gathered) -> None:
        if event.kind == "invalidate":
            raise TokenLostError("the database was dropped")
        if event.kind == "rename" and self.follower.follows(event.to):
            # under its new name it is read; the event itself empties the old one
            assert event.to is not None
            self._load(event.to, Mode.SWEEP)
        gathered.add(event, is_followed=self.follower.follows(event.collection))

    def _is_done(self) -> bool:
        follower = self.follower
        if follower.stop.is_set():
            return True
        if follower.until_idle is None:
            return False
        return time.monotonic() - follower.event_at >= follower.until_idle.total_seconds()

    def _commit(self, gathered: _Gathered) -> None:
        last = gathered.last
        assert last is not None
        for name in gathered.effects:
            self._ensure(name)
        lag = max(now(self.database) - last.at, timedelta(0))
        rows = self._when_free(lambda: self._apply(gathered, last, lag))
        status = self.follower.status
        status.events += gathered.events
        status.rows += rows
        status.batches += 1
        status.lag = lag
        status.rate = gathered.events / max(time.monotonic() - gathered.since, 0.001)
        self.follower.touched |= set(gathered.effects)
        self.follower.is_good()
        self.follower.observer.follows(status)

    def _apply(self, gathered: _Gathered, last: Event, lag: timedelta) -> int:
        """Rows and token in one transaction; returns how many rows were changed."""
        rows, batch_id = 0, None
        with self.conn.transaction():
            # in one order, or two loaders could wait for each other
            for name in sorted(gathered.effects):
                with landing.open_batch(
                    self.conn, name, Mode.FOLLOW, self.follower.run_id
                ) as batch:
                    _take_over(batch, gathered.effects[name], last.at, lag)
                    rows += batch.counts.written
                    batch_id = batch.batch_id
            self._save(last.token, last.at, batch_id)
        return rows

    def _save(self, token: bytes, at: datetime | None = None, batch_id: int | None = None) -> None:
        self.conn.execute(
            """
            insert into ops.streams as kept
                (source, collections, token, token_time, batch_id, saved_at)
            values (%s, %s, %s, %s, %s, clock_timestamp())
            on conflict (source) do update set
                collections = excluded.collections,
                token = excluded.token,
                token_time = coalesce(excluded.token_time, kept.token_time),
                batch_id = coalesce(excluded.batch_id, kept.batch_id),
                saved_at = excluded.saved_at
            """,
            [self.follower.source, sorted(self.known), token, at, batch_id],
        )
        self.saved, self.saved_at = token, time.monotonic()

    def _when_free(self, work: Callable[[], T]) -> T:
        """Do it when no other loader has one of the collections."""
        told = False
        while True:
            try:
                return work()
            except LoadInProgressError as error:
                if self.follower.stop.is_set():
                    raise
                if not told:
                    log.warning("waiting for another loader", reason=str(error))
                    told = True
                self.follower.is_good()

    # --- while nothing happens --------------------------------------------------------------------

    def _rest(self, stream: Stream, *, is_done: bool) -> None:
        """No event is in hand: keep the token young, and see whether the two sides agree."""
        follower = self.follower
        follower.status.rate = 0.0
        follower.observer.follows(follower.status)
        began = time.monotonic()
        is_saved_long_ago = began - self.saved_at >= SAVE_IDLE.total_seconds()
        if stream.token not in (None, self.saved) and (is_done or is_saved_long_ago):
            assert stream.token is not None
            self._save(stream.token)
            follower.restarts = 0
        if not follower.stop.is_set() and (is_done or began >= follower.reconcile_at):
            self._reconcile(is_done=is_done)
            took = time.monotonic() - began
            # counting a large collection shall not be what the time is spent on
            pause = max(RECONCILE_EVERY.total_seconds(), 20 * took)
            follower.reconcile_at = time.monotonic() + pause

    def _reconcile(self, *, is_done: bool) -> None:
        """Count the collections that were changed; read those anew in which a document is missing.

        A difference may be a change that has just been made. It counts when no event came since.
        """
        follower = self.follower
        for name in sorted(follower.touched):
            result = self._when_free(lambda name=name: self._count(name))
            follower.touched.discard(name)
            if result.is_reconciled:
                follower.differing.pop(name, None)
            elif not is_done and follower.differing.get(name) != follower.status.events:
                follower.differing[name] = follower.status.events
                follower.touched.add(name)
            else:
                log.error(
                    "raw differs from the source although no change is outstanding: comparing",
                    collection=name,
                    source_count=result.source_count,
                    raw_count=result.raw_count,
                )
                self._load(name, Mode.SWEEP)
                follower.differing.pop(name, None)

    def _count(self, name: str) -> Result:
        with landing.open_batch(self.conn, name, Mode.FOLLOW, self.follower.run_id) as batch:
            return batch.finish(
                landing.Reading(source_count=Source(self.database, name).counting())
            )


def _take_over(batch: Batch, effect: Effect, at: datetime, lag: timedelta) -> None:
    """Bring the raw table to where the events lead.

    Args:
        at: the source's clock at the newest event.
        lag: what has passed since.
    """
    if effect.is_cleared:
        batch.counts.deleted += batch.changes(
            """
            update {table} set _deleted_at = {at}, _loaded_at = {at}, _batch_id = {batch}
            where _deleted_at is null
            """
        )
        batch.run("delete from ops.quarantine where collection = {collection}")
    gone = effect.gone()
    if len(gone) < len(effect.documents):
        batch.stage(effect.slices())
        batch.merge(effect.slices)
    if gone:
        batch.mark_deleted(gone)
    batch.finish(landing.Reading(watermark=watermark(batch, at)))
    batch.run(
        "update ops.load_runs set lag_seconds = {lag} where batch_id = {batch}",
        lag=sql.Literal(lag.total_seconds()),
    )
