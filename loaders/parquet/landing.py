"""Documents as partitioned Parquet, for an engine where one Postgres is too small.

The same reader and encoder as for raw, the same columns, `doc` as JSON text. A dataset only grows:

    full         the first time, all documents; later as sweep
    incremental  the versions that `updated_at` says are new, as in `loaders.modes`
    sweep        compares the hashes of everything: writes what differs, and a tombstone (a row with
                 `_deleted_at` and no doc) for what is gone
    auto         incremental; then a sweep where the counts differ or the last is a day old

Of the rows of an `_id` the latest by (_loaded_at, _batch_id) counts, and none if it is a tombstone.
A version that is there is never written again. `_quarantine/` has the bytes of documents that could
not be stored, or not unchanged; there too the latest row of an `_id` counts (kind `released`: it
waits no longer).

A batch is there when `_state.json` names it, which is replaced in one step after its files are
on disk. Files of a batch that was killed are removed by the next run. What a dataset holds of each
document is kept in an index on disk (`parquet.index`), so memory doesn't grow with it.
"""

from __future__ import annotations

import errno
import sqlite3
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import structlog
from pymongo.database import Database

from loaders.books import Counts, Result
from loaders.connections import open_mongodb, readable_errors
from loaders.documents import binary, encoding
from loaders.documents.encoding import Slice
from loaders.errors import UserError
from loaders.modes import EARLIEST, OVERLAP, SWEEP_EVERY, Mode, Observer
from loaders.parquet.files import (
    ODD,
    QUARANTINE_FOLDER,
    BatchFiles,
    add_days,
    files_of,
    table_of,
)
from loaders.parquet.index import Entry, Index, open_index
from loaders.parquet.state import State, folder_name, locked
from loaders.settings import Settings
from loaders.source import Source, collections_of, overlap_start
from loaders.tally import Days, Tally

log = structlog.get_logger(__name__)


def run(
    settings: Settings,
    collections: Sequence[str],
    mode: Mode,
    out: Path,
    observer: Observer | None = None,
    *,
    overlap: timedelta = OVERLAP,
) -> list[Result]:
    """Bring the datasets of collections up to date, one after another.

    Args:
        settings: which MongoDB.
        collections: their names; none means all that the source has.
        mode: see the module.
        out: the folder of the datasets.
        observer: is told of progress.
        overlap: how far before the watermark an incremental read begins.

    Returns:
        One result per batch; `raw_count` is the number of documents that a reader finds.

    Raises:
        UserError: the server, the folder or a collection isn't as it must be, or another loader
            writes there. Collections finished by then stay written.
    """
    if mode is Mode.FOLLOW:
        raise UserError(
            "--mode follow writes to Postgres only: run `--to parquet` with --mode auto, as often "
            "as you like"
        )
    with readable_errors():
        database = open_mongodb(settings)
        with database.client, _disk(out), locked(out, database.name):
            found = collections_of(database)
            results: list[Result] = []
            for name in _wanted(found, collections, mode, out):
                dataset = _Dataset(database, name, out, observer or Observer(), overlap)
                results += dataset.load(mode)
            return results


def _wanted(
    found: Sequence[str], collections: Sequence[str], mode: Mode, out: Path
) -> Sequence[str]:
    """The collections to load: one that the source has no more only if it is named, for a sweep."""
    loadable = set(found)
    if mode in (Mode.FULL, Mode.SWEEP):
        loadable |= {
            name for name in collections if State.load(out / folder_name(name), name).batch_id
        }
    missing = [name for name in collections if name not in loadable]
    if missing:
        raise UserError(
            f"the source has no collection {', '.join(missing)}; it has {', '.join(found)}"
        )
    return collections or found


@contextmanager
def _disk(out: Path) -> Iterator[None]:
    """Errors of the disk in one line; whatever it was, the last state stands."""
    try:
        yield
    except (OSError, sqlite3.OperationalError) as error:
        is_full = getattr(error, "errno", None) == errno.ENOSPC or "full" in str(error)
        reason = getattr(error, "strerror", None) or str(error)
        what = "free some space" if is_full else "correct it or name another folder with --out"
        raise UserError(
            f"{out} can't be written ({reason}): {what} and run again; the dataset is as it was"
        ) from error


@dataclass(frozen=True, slots=True)
class _Start:
    """A batch before it reads.

    Attributes:
        clock: the source's.
        count: says how many documents there are, as `Source.counting` does.
        seconds: of a clock that only measures.
    """

    mode: Mode
    clock: datetime
    count: Callable[[int], int]
    seconds: float

    @property
    def is_whole(self) -> bool:
        """All of the source is read."""
        return self.mode in (Mode.FULL, Mode.SWEEP)


class _Dataset:
    """One collection and its dataset.

    Args:
        database: the shop.
        name: the collection.
        out: the folder of the datasets.
        observer: is told of progress.
        overlap: how far before the watermark an incremental read begins.
    """

    def __init__(
        self,
        database: Database[dict[str, Any]],
        name: str,
        out: Path,
        observer: Observer,
        overlap: timedelta,
    ) -> None:
        self.source = Source(database, name)
        self.name = name
        self.folder = out / folder_name(name)
        self.observer = observer
        self.overlap = overlap

    def load(self, mode: Mode) -> list[Result]:
        """Write what is new; `auto` may make two batches of it."""
        state = State.load(self.folder, self.name)
        self._clean(state)
        if mode is not Mode.AUTO:
            return [self._batch(state, mode)[0]]
        result, state = self._batch(state, Mode.INCREMENTAL)
        last = state.last_sweep_at
        if result.is_reconciled and last and datetime.now(UTC) - last < SWEEP_EVERY:
            return [result]
        return [result, self._batch(state, Mode.SWEEP)[0]]

    def _clean(self, state: State) -> None:
        """Remove what a killed run left.

        Raises:
            UserError: files are missing.
        """
        there = 0
        for folder in (self.folder, self.folder / QUARANTINE_FOLDER):
            for file in files_of(folder):
                if file.batch_id > state.batch_id or file.path.name.startswith("."):
                    file.path.unlink()
                else:
                    there += 1
        if there != state.files:
            raise UserError(
                f"{self.folder} has {there} files of {state.files}: put the others back, or move "
                "it away and load it anew"
            )

    def _batch(self, state: State, mode: Mode) -> tuple[Result, State]:
        is_first = state.batch_id == 0
        mode = Mode.FULL if is_first else mode
        self.folder.mkdir(parents=True, exist_ok=True)
        start = _Start(mode, self.source.now(), self.source.counting(), time.monotonic())
        whole = start.is_whole
        self.observer.begin(self.name, mode, self.source.rough_count() if whole else None)
        loaded_at = datetime.now(UTC)
        if state.last_loaded_at:
            loaded_at = max(loaded_at, state.last_loaded_at + timedelta(microseconds=1))
        files = BatchFiles(self.folder, state.batch_id + 1, loaded_at)
        work = _Everything(files) if is_first else _Changes(files, self.folder, state, whole=whole)
        try:
            if whole:
                batches = self.source.everything()
            else:
                since = state.watermark[0] if state.watermark else EARLIEST
                batches = self.source.changed(overlap_start(since, self.overlap))
            self._read(batches, work.take)
            work.finish()
            new = self._commit(state, work, start)
        except BaseException:
            files.discard()
            raise
        finally:
            work.close()
        result = _result(new, work, start)
        self.observer.end(result)
        log.info(
            "written",
            collection=self.name,
            mode=str(mode),
            batch_id=new.batch_id,
            read=result.counts.read,
            written=result.counts.written,
            quarantined=new.quarantined,
            source_count=new.source_count,
            dataset_count=new.live,
            reconciled=result.is_reconciled,
            seconds=round(result.seconds, 2),
        )
        return result, new

    def _read(self, batches: Iterable[bytes], take: Callable[[Sequence[bytes]], None]) -> None:
        for batch in batches:
            for documents in encoding.cut(batch):
                take(documents)
                self.observer.read(self.name, len(documents), sum(map(len, documents)))

    def _commit(self, state: State, work: _Work, start: _Start) -> State:
        files = work.files
        new = replace(
            state,
            live=work.live,
            quarantined=work.quarantined,
            days=work.days,
            source_count=start.count(work.live + work.quarantined),
        )
        if work.tally.newest:
            at, identity = work.tally.newest
            mark = min(at.replace(tzinfo=UTC), start.clock), identity
            new.watermark = max(state.watermark or mark, mark)
        if start.is_whole:
            new.last_sweep_at = datetime.now(UTC)
            new.source_hash = sum(hashes for _, hashes in work.source_days.values())
            new.dataset_hash = sum(hashes for _, hashes in work.days.values())
            new.days_differing = _differing(work.source_days, work.days)
        written = files.publish()
        if written or state.batch_id == 0:
            new.batch_id = files.batch_id
            new.last_loaded_at = files.loaded_at
            new.files += written
        new.save(self.folder)
        with suppress(sqlite3.Error):  # the batch is there; an index that lags behind is made anew
            work.committed(new.batch_id)
        return new


class _Work(ABC):
    """What is done with the documents of a batch.

    Attributes:
        tally: of the documents that were encoded.
        source_days: what the source has of each day and raw could hold, where all was read.
        live, quarantined, days: of the dataset, once `finish` was called.
    """

    def __init__(self, files: BatchFiles) -> None:
        self.files = files
        self.counts = Counts()
        self.tally = Tally()
        self.source_days: Days = {}
        self.live = self.quarantined = 0
        self.days: Days = {}

    @abstractmethod
    def take(self, documents: Sequence[bytes]) -> None:
        """Some more documents of the source."""

    @abstractmethod
    def finish(self) -> None:
        """There are no more: all is written, and read again."""

    @abstractmethod
    def committed(self, batch_id: int) -> None:
        """The batch is there."""

    @abstractmethod
    def close(self) -> None:
        """Nothing more will be done."""

    def _write(self, part: Slice) -> None:
        self.files.add(part)
        self.tally.add(part)

    def _read_again(self) -> Days:
        """Sums by day of what the new files hold.

        Raises:
            RuntimeError: not what they were given.
        """
        found: Days = {}
        for path in self.files.close():
            add_days(found, path)
        if found != self.tally.days:
            raise RuntimeError(f"{self.files.batch_id}: the files don't hold what was written")
        return found


class _Everything(_Work):
    """The first batch: there is nothing to compare with."""

    def take(self, documents: Sequence[bytes]) -> None:
        self.counts.read += len(documents)
        self._write(encoding.encode(documents))

    def finish(self) -> None:
        self.days = self._read_again()
        self.source_days = self.tally.days
        self.live = self.counts.inserted = sum(count for count, _ in self.days.values())
        self.quarantined = self.tally.rejected

    def committed(self, batch_id: int) -> None:
        pass  # the index is made when a later batch asks for it

    def close(self) -> None:
        pass


class _Changes(_Work):
    """A later batch: only what the dataset hasn't is written.

    Args:
        files: of the batch.
        folder: the dataset.
        state: before the batch.
        whole: all documents of the source will come; what doesn't is gone.
    """

    def __init__(self, files: BatchFiles, folder: Path, state: State, *, whole: bool) -> None:
        super().__init__(files)
        self.whole = whole
        self.live, self.quarantined = state.live, state.quarantined
        self._sums = Tally(days=dict(state.days))
        self.index: Index = open_index(folder, state.batch_id)
        if whole:
            self.index.begin_seen()

    def take(self, documents: Sequence[bytes]) -> None:
        self.counts.read += len(documents)
        names = [encoding.identity_of(document) for document in documents]
        known = self.index.get(names)
        if self.whole:
            self.index.see(names)
        new: dict[str, bytes] = {}
        for name, document in zip(names, documents, strict=True):
            if name in new:  # changed while it was read: two versions in one slice
                self._encode(new, known)
                new, known = {}, self.index.get(names)
            if not self._has(name, encoding.hash_of(document), known):
                new[name] = document
        self._encode(new, known)

    def _has(self, name: str, digest: str, known: dict[str, Entry]) -> bool:
        """True if the dataset, or its quarantine, has this version as its latest."""
        entry = known.get(name)
        if entry is None:
            return False
        if entry.note == digest:
            return True
        if not entry.is_live or entry.digest != digest:
            return False
        if entry.note:  # the source went back to the version before
            self._put(name, entry, replace(entry, note=""))
            known[name] = replace(entry, note="")
        if self.whole:
            _add(self.source_days, entry.day, digest)
        self.counts.unchanged += 1
        return True

    def _encode(self, documents: dict[str, bytes], known: dict[str, Entry]) -> None:
        if not documents:
            return
        if any(known[n].batch_id == self.files.batch_id for n in documents if n in known):
            self.files.later()
        part = encoding.encode(list(documents.values()))
        self._write(part)
        for day, (count, hashes) in part.days.items() if self.whole else ():
            had, sum_ = self.source_days.get(day, (0, 0))
            self.source_days[day] = had + count, sum_ + hashes
        batch_id = self.files.batch_id
        for name, day, digest in _rows(part):
            old = known.get(name, Entry())
            if old.digest:
                self.counts.updated += 1
            else:
                self.counts.inserted += 1
            self._put(name, old, Entry(digest, day, is_live=True, batch_id=batch_id))
        for name, digest in _rejected(part):
            old = known.get(name, Entry())
            self._put(name, old, replace(old, note=digest, batch_id=batch_id))

    def _put(self, name: str, old: Entry, new: Entry) -> None:
        if old.note and not new.note:
            self.files.release([(name, old.note)])
        self.index.put([(name, new)])
        for entry, sign in ((old, -1), (new, 1)):
            self.live += sign * entry.is_live
            self.quarantined += sign * (bool(entry.note) and not entry.is_live)
            if entry.counted:
                day, bits = entry.counted
                self._sums.move(day, sign, sign * bits)

    def finish(self) -> None:
        for gone in self.index.unseen() if self.whole else ():
            deleted = [(name, entry.digest) for name, entry in gone if entry.is_live]
            if deleted:
                self.files.delete(deleted)
                self.counts.deleted += len(deleted)
            for name, entry in gone:
                self._put(name, entry, replace(entry, is_live=False, note=""))
        self._read_again()
        self.days = self._sums.days
        if self.whole:
            self.live, self.quarantined, self.days = self.index.totals()

    def committed(self, batch_id: int) -> None:
        self.index.commit(batch_id)

    def close(self) -> None:
        self.index.close()


def _rows(part: Slice) -> Iterator[tuple[str, str, str]]:
    """(_id, day, hash) of a slice's rows."""
    for identity, source_ts, digest, *_ in binary.fields_of(part.rows):
        assert identity is not None
        assert digest is not None
        day = binary.moment(source_ts).date().isoformat() if source_ts else ""
        yield identity.decode(), day, digest.decode()


def _rejected(part: Slice) -> list[tuple[str, str]]:
    """(_id, hash) of the documents that can't be stored."""
    if not part.rejected:
        return []
    odd = table_of(part.odd, ODD).select(["_id", "kind", "_doc_hash"]).to_pylist()
    return [(row["_id"], row["_doc_hash"]) for row in odd if row["kind"] == "quarantined"]


def _add(days: Days, day: str, digest: str) -> None:
    count, sum_ = days.get(day, (0, 0))
    days[day] = count + 1, sum_ + int(digest[:15], 16)


def _differing(one: Days, other: Days) -> int:
    return sum(one.get(day) != other.get(day) for day in one.keys() | other.keys())


def _result(state: State, work: _Work, start: _Start) -> Result:
    whole = start.is_whole
    counts, tally = work.counts, work.tally
    counts.quarantined, counts.altered = tally.rejected, tally.altered
    counts.unclocked, counts.size = tally.unclocked, tally.size
    lag = None
    if tally.newest and counts.written:
        lag = max(0.0, (start.clock - tally.newest[0].replace(tzinfo=UTC)).total_seconds())
    return Result(
        collection=state.collection,
        mode=str(start.mode),
        batch_id=state.batch_id,
        counts=counts,
        source_count=state.source_count,
        raw_count=state.live,
        quarantined=state.quarantined,
        source_hash=state.source_hash if whole else None,
        raw_hash=state.dataset_hash if whole else None,
        days_differing=state.days_differing if whole else None,
        lag_seconds=lag,
        seconds=time.monotonic() - start.seconds,
    )
