"""A full load: all documents of a collection, as they are at its end, in one commit for readers.

The documents are read in the order of their `_id` into the shadow table, a chunk per transaction
together with the place where it ends, so that a load that was killed goes on from there, after
100 million documents as well. Where the source has change streams, a resume token is taken before
the first document is read, and what changed since is applied in the last transaction: raw is then
equal to the source at one moment, however long the reading took. Where it hasn't, changes made
during the read come with the next incremental load, whose watermark is the clock at its start.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from itertools import chain
from typing import IO, TYPE_CHECKING

import psycopg
import structlog
from psycopg import sql

from loaders import landing, odd
from loaders.documents import encoding
from loaders.documents.encoding import Slice
from loaders.landing import Batch, Result, copy_slices
from loaders.shadow import Shadow, drop_older
from loaders.source import Source, position_of
from loaders.stream import changes
from loaders.tally import Tally

if TYPE_CHECKING:
    from loaders.modes import Observer

# A chunk's end costs a COPY and a commit, some milliseconds; what a kill loses is at most a chunk.
CHUNK_BYTES = 64 * 1024 * 1024
CAREFUL_CHUNK_BYTES = 4 * 1024 * 1024  # the documents of such a chunk are held in memory

log = structlog.get_logger(__name__)

Copy = Callable[[Iterable[Slice], Tally, IO[bytes]], None]


@dataclass(slots=True)
class Progress:
    """The row of `ops.snapshots`.

    Attributes:
        position: the last document in the shadow table, BSON {_id: …}; None before the first.
        token: where the change stream stood before the first document was read; None without one.
        clock: the source's clock at that time.
    """

    tally: Tally
    position: bytes | None
    token: bytes | None
    clock: datetime
    resumed: bool = False


class Snapshot:
    """One full load of one collection, begun or gone on with.

    Args:
        conn: autocommit, outside of a transaction. Its session holds the collection's lock.
        source: the collection.
        run_id: names the run in `ops.load_runs`.
        observer: is told of progress.
    """

    def __init__(
        self, conn: psycopg.Connection, source: Source, run_id: uuid.UUID, observer: Observer
    ) -> None:
        self.conn = conn
        self.source = source
        self.collection = source.name
        self.run_id = run_id
        self.observer = observer
        self.shadow = Shadow(conn, source.name)

    def load(self, mode: str) -> Result:
        """Read what is left to read, then hand all of it to raw in one transaction.

        Raises:
            LoadInProgressError: another loader has the collection.
        """
        landing.lock(self.conn, self.collection)
        began = self._clock()
        try:
            progress = self._begin()
            count = self.source.counting()
            self._read(progress)
            self._index(progress)
            return self._hand_over(progress, mode, began, count)
        except changes.CollectionReplacedError:
            self._forget()  # what was read is of another collection now
            raise
        finally:
            if not self.conn.closed:
                landing.unlock(self.conn, self.collection)

    # --- reading ----------------------------------------------------------------------------------

    def _begin(self) -> Progress:
        """Where to go on: after the last chunk of a load that was killed, or at the start."""
        row = self.conn.execute(
            """
            select tally, position, token, clock, coalesce(last_loaded_at > started_at, false)
            from ops.snapshots left join ops.watermarks using (collection)
            where collection = %s and source = %s and encoding = %s
            """,
            [self.collection, self.source.address, encoding.VERSION],
        ).fetchone()
        # its rows may be old: what changed since must be known, or raw mustn't have newer ones
        if row and (changes.is_known(self.source.database, row[2]) if row[2] else not row[4]):
            tally, position, token, clock, _ = row
            progress = Progress(Tally.load(tally), position, token, clock, resumed=True)
            self.observer.read(self.collection, progress.tally.read, progress.tally.size)
            log.info(
                "going on with an unfinished full load",
                collection=self.collection,
                documents=progress.tally.read,
            )
            return progress
        clock = self.source.now()
        progress = Progress(Tally(), None, self._token(), clock)
        with self.conn.transaction():
            self.shadow.create()
            self.conn.execute("delete from ops.snapshots where collection = %s", [self.collection])
            self.conn.execute(
                """
                insert into ops.snapshots (collection, run_id, source, encoding, tally, token,
                    clock, started_at, saved_at)
                values (%s, %s, %s, %s, %s, %s, %s, clock_timestamp(), clock_timestamp())
                """,
                [
                    self.collection,
                    self.run_id,
                    self.source.address,
                    encoding.VERSION,
                    progress.tally.dump(),
                    progress.token,
                    clock,
                ],
            )
        return progress

    def _token(self) -> bytes | None:
        found = changes.current_token(self.source.database)
        return found and found[0]

    def _read(self, progress: Progress) -> None:
        slices = self._slices(progress.position)
        while True:
            try:
                with self.conn.transaction():
                    done = self._chunk(progress, _Chunk(slices, CHUNK_BYTES), self._copy)
            except odd.UNSTORABLE:
                # once more from the chunk's start, to find the documents that Postgres can't hold
                slices = self._slices(progress.position)
                chunk = _Chunk(slices, CAREFUL_CHUNK_BYTES)
                with self.conn.transaction():
                    done = self._chunk(progress, chunk, self._copy_one_by_one)
            if done:
                return

    def _slices(self, position: bytes | None) -> Iterator[Slice]:
        for batch in self.source.everything(position):
            for documents in encoding.cut(batch):
                yield encoding.encode(documents)

    def _chunk(self, progress: Progress, chunk: _Chunk, copy: Copy) -> bool:
        """COPY one chunk and save where it ends; True when there was no more."""
        tally = Tally.load(progress.tally.dump())  # the progress moves only with the commit
        with odd.spool() as odd_rows:
            copy(chunk, tally, odd_rows)
            odd.copy(self.conn, odd_rows, self.shadow.odd)
        position = chunk.last and position_of(chunk.last)
        progress.position = position or progress.position
        self._save(progress.position, tally)
        progress.tally = tally
        return chunk.is_last

    def _save(self, position: bytes | None, tally: Tally) -> None:
        self.conn.execute(
            """
            update ops.snapshots
            set position = %s, tally = %s, saved_at = clock_timestamp() where collection = %s
            """,
            [position, tally.dump(), self.collection],
        )

    def _copy(self, parts: Iterable[Slice], tally: Tally, odd_rows: IO[bytes]) -> None:
        def told() -> Iterator[Slice]:
            for part in parts:
                yield part
                self.observer.read(self.collection, part.read, part.size)

        copy_slices(self.conn, self.shadow.table, told(), tally, odd_rows)

    def _copy_one_by_one(self, parts: Iterable[Slice], tally: Tally, odd_rows: IO[bytes]) -> None:
        for document in chain.from_iterable(part.originals for part in parts):
            part = encoding.encode([document])
            try:
                with self.conn.transaction():
                    copy_slices(self.conn, self.shadow.table, [part], Tally(), BytesIO())
            except odd.UNSTORABLE as error:
                reason = f"Postgres can't store it: {error.diag.message_primary}"
                identity = encoding.identity_of(document)
                row = encoding.odd_row(identity, "quarantined", reason, document)
                part = Slice(b"", count=0, read=1, size=part.size, odd=row, rejected=1)
            odd_rows.write(part.odd)
            tally.add(part)

    def _index(self, progress: Progress) -> None:
        try:
            with self.conn.transaction():
                self.shadow.index()
        except psycopg.errors.UniqueViolation:
            # read twice: the source doesn't find a place in the order in which it sorts
            with self.conn.transaction():
                for day, hash60 in drop_older(self.conn, self.shadow.table):
                    progress.tally.take_out(day, hash60)
                self.shadow.index()
                self._save(progress.position, progress.tally)

    def _clock(self) -> datetime:
        row = self.conn.execute("select clock_timestamp()").fetchone()
        assert row is not None
        return row[0]

    # --- handing over -----------------------------------------------------------------------------

    def _forget(self) -> None:
        with self.conn.transaction():
            self.shadow.drop()
            self.conn.execute("delete from ops.snapshots where collection = %s", [self.collection])

    def _hand_over(
        self, progress: Progress, mode: str, began: datetime, count: Callable[[int], int]
    ) -> Result:
        with landing.open_batch(self.conn, self.collection, mode, self.run_id) as batch:
            batch.started_at = began  # the reading is the load's time too
            batch.tally = progress.tally
            if progress.token is not None:
                count = self.source.counting()  # it will be as of now
            batch.adopt(self.shadow, is_complete=True)
            is_caught_up = progress.token is not None and self._catch_up(batch, progress.token)
            self.conn.execute("delete from ops.snapshots where collection = %s", [self.collection])
            reading = landing.Reading(
                source_count=count,
                watermark=watermark(batch, progress.clock),
                is_complete=True,
                days=batch.tally.days,
                now=self.source.now(),
            )
            result = batch.finish(reading)
            if not is_caught_up and (progress.token is not None or progress.resumed):
                batch.run(  # some rows may be old: the next `auto` compares all of them
                    "update ops.watermarks set last_sweep_at = null where collection = {collection}"
                )
            return result

    def _catch_up(self, batch: Batch, token: bytes) -> bool:
        """Apply what changed at the source while it was read; False if it no longer knows."""
        until = changes.cluster_time(self.source.database)
        assert until is not None  # a server that gave a token has a clock
        try:
            for effect in changes.catch_up(self.source.database, token, self.collection, until):
                self._take_from_tally(batch, list(effect.documents))
                batch.restage(effect.slices())
                batch.merge(effect.slices)
                batch.mark_deleted(effect.gone())
        except changes.TokenLostError as error:
            log.warning(
                "the source no longer knows what changed during this full load; it comes with "
                "the next incremental load and sweep",
                collection=self.collection,
                reason=str(error),
            )
            return False
        return True

    def _take_from_tally(self, batch: Batch, identities: Sequence[str]) -> None:
        """Documents whose later version comes with the changes: the tally has them as read."""
        rows = batch.conn.execute(
            sql.SQL(
                """
            select coalesce(to_char(_source_ts, 'YYYY-MM-DD'), ''), left(_doc_hash, 15)
            from {} as rows
            where _id = any(%s) and _deleted_at is null and not exists (
                select from ops.quarantine as kept
                where kept.collection = %s and kept._id = rows._id)
            """
            ).format(batch.table),
            [identities, self.collection],
        )
        for day, bits in rows:
            batch.tally.move(day, -1, -int(bits, 16))


class _Chunk:
    """So many bytes of slices off the front of a stream of them; remembers the last document."""

    def __init__(self, slices: Iterator[Slice], size: int) -> None:
        self.slices, self.left = slices, size
        self.last: Sequence[bytes] = ()
        self.is_last = True

    def __iter__(self) -> Iterator[Slice]:
        for part in self.slices:
            self.last = part.originals or self.last
            self.left -= part.size
            yield part
            if self.left <= 0:
                self.is_last = False
                return


def watermark(batch: Batch, started: datetime) -> tuple[datetime, str] | None:
    """The newest (updated_at, _id) read, not later than the start by the source's clock or ours.

    If one of the clocks is fast, the other keeps a date in the future from hiding later writes.
    """
    if batch.tally.newest is None:
        return None
    newest, identity = batch.tally.newest
    return min(newest.replace(tzinfo=UTC), started, batch.started_at), identity
