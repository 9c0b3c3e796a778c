"""Reads raw BSON from MongoDB: batches of undecoded documents, one batch ahead of the reader."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import chain, islice
from typing import Any

import structlog
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.errors import BSONError
from bson.raw_bson import RawBSONDocument
from pymongo import ReadPreference
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import ConnectionFailure, OperationFailure, PyMongoError

from loaders.documents.encoding import CLOCK, cut, key_of
from loaders.errors import UserError

BATCH_DOCUMENTS = 2_000  # a server ends a batch at 16 MB anyway
CHANGED_DOCUMENTS = 500  # changes are few as a rule: Postgres gets the first of them sooner
LOOKUP_IDS = 1_000
ATTEMPTS = 8  # without a document between them; their waits are 19 s, more than an election takes
MAX_WAIT_SECONDS = 5.0

# CursorNotFound, CursorKilled, and what a server says that stops being the primary or shuts down
TRANSIENT_CODES = {43, 237, 91, 189, 10107, 11600, 11602, 13435, 13436}

# ids come back from it as they were: dates of any year, sub-documents with the bytes they have
_EXACT: CodecOptions[RawBSONDocument] = CodecOptions(
    document_class=RawBSONDocument, datetime_conversion=DatetimeConversion.DATETIME_MS
)

log = structlog.get_logger(__name__)

# every BSON type but date. Named one by one, since an index on the clock serves such a list and
# doesn't serve `$not`; array is among them because a comparison looks into arrays.
_NOT_A_DATE = [
    *("double", "string", "object", "array", "binData", "undefined", "objectId", "bool", "null"),
    *("regex", "dbPointer", "javascript", "symbol", "javascriptWithScope", "int", "timestamp"),
    *("long", "decimal", "minKey", "maxKey"),
]


class Source:
    """One collection of the shop.

    Args:
        database: where it is.
        name: the collection.
        address: what the server is called in `ops`, without a user.
    """

    def __init__(self, database: Database[dict[str, Any]], name: str, address: str = "") -> None:
        self.name = name
        self.address = address
        self.database = database
        # from the primary, whatever the URI says: a member that lags behind hasn't yet what the
        # change stream's token and the watermark's clock take for granted
        self.collection: Collection[dict[str, Any]] = database[name].with_options(
            codec_options=CodecOptions(tz_aware=False), read_preference=ReadPreference.PRIMARY
        )

    def now(self) -> datetime:
        """The server's clock, aware UTC."""
        return now(self.database)

    def counting(self) -> Callable[[int], int]:
        """Begin to watch how many documents there are while they are read.

        Returns:
            To be called at the end with the number that is expected: the documents that there are.
            Counting reads a whole index, so the server's running count is asked first; where it
            says otherwise they are counted, for after a crash it can be wrong. In a shop at work
            the number moves meanwhile, one at a time: an expected number between the first and
            the last is one that it had.
        """
        before = self.rough_count()

        def count(expected: int) -> int:
            after = self.rough_count()
            if min(before, after) <= expected <= max(before, after):
                return expected
            return self.collection.count_documents({})

        return count

    def rough_count(self) -> int:
        """About how many documents there are, from the collection's metadata."""
        return self.collection.estimated_document_count()

    def everything(self, position: bytes | None = None) -> Iterator[bytes]:
        """Batches of all documents in the order of the `_id` index: none twice, whatever its type.

        Goes on by itself where the server drops the cursor, or another one becomes primary.

        Args:
            position: begin after the document with this id (`position_of`).
        """
        last, failures = b"", 0
        while True:
            try:
                for batch in self._after(position):
                    yield batch
                    last, failures = batch, 0
                return
            except PyMongoError as error:
                failures += 1
                if failures == ATTEMPTS or not is_transient(error):
                    raise
                log.warning(
                    "the source broke off, reading goes on where it was",
                    collection=self.name,
                    error=type(error).__name__,
                )
            time.sleep(min(0.1 * 2**failures, MAX_WAIT_SECONDS))
            if last:
                position = position_of(list(_documents(last))) or position
                last = b""

    def _after(self, position: bytes | None) -> Iterator[bytes]:
        options: dict[str, Any] = {"sort": [("_id", 1)], "hint": [("_id", 1)]}
        if position is None:
            yield from self._read({}, **options)
            return
        # the index's own order, over all types: `$gt` finds only ids of the type that it is given
        start = {"_id": id_of(position)}
        batches = self._read({}, min=start, **options)
        first = next(batches, b"")
        if first and position_of([next(_documents(first))]) == position:
            first = first[int.from_bytes(first[:4], "little") :]
        if first:
            yield first
        yield from batches

    def changed(self, since: datetime) -> Iterator[bytes]:
        """Batches of the documents that may be new: `updated_at` is `since` (UTC) or later, or no
        date at all, so that it says nothing.
        """
        no_date = [{CLOCK: None}, {CLOCK: {"$type": _NOT_A_DATE}}]  # null finds missing ones too
        query = {"$or": [{CLOCK: {"$gte": since}}, *no_date]}
        return self._read(query, batch_size=CHANGED_DOCUMENTS)

    def lookup(self, ids: Iterable[Any]) -> Iterator[bytes]:
        """Batches of the documents with these ids; ids without a document are passed over."""
        ids = iter(ids)
        while chunk := list(islice(ids, LOOKUP_IDS)):
            yield from self._read({"_id": {"$in": chunk}})

    def _read(self, query: dict[str, Any], **options: Any) -> Iterator[bytes]:
        options = {"batch_size": BATCH_DOCUMENTS} | options
        return _ahead(self.collection.find_raw_batches(query, **options))


def position_of(documents: Sequence[bytes]) -> bytes | None:
    """BSON {_id: …} of the last document whose id can be asked for again; None if none can."""
    for document in reversed(documents):
        with suppress(BSONError, ValueError, IndexError):
            if key := key_of(document):
                id_of(key)
                return key
    return None


def id_of(key: bytes) -> Any:
    """The id in BSON {_id: …}, for a query.

    Raises:
        BSONError: it is text that is not UTF-8.
    """
    return RawBSONDocument(key, _EXACT)["_id"]


def _documents(batch: bytes) -> Iterator[bytes]:
    return chain.from_iterable(cut(batch))


def is_transient(error: BaseException) -> bool:
    """True if another try may find the source in order: a lost cursor, an election, a cut line."""
    if isinstance(error, OperationFailure):
        return error.code in TRANSIENT_CODES
    return isinstance(error, ConnectionFailure)


def now(database: Database[dict[str, Any]]) -> datetime:
    """The server's clock, aware UTC."""
    hello = database.client.admin.command("hello")
    return hello["localTime"].replace(tzinfo=UTC)


def collections_of(database: Database[dict[str, Any]], *, may_be_empty: bool = False) -> list[str]:
    """Names of the shop's collections, without views.

    Raises:
        UserError: the database has none, which is how MongoDB shows one that isn't there.
    """
    names = sorted(
        entry["name"]
        for entry in database.list_collections()
        if entry.get("type", "collection") != "view" and is_own(entry["name"])
    )
    if not names and not may_be_empty:
        raise UserError(
            f'MongoDB has no database "{database.name}", or nothing is in it: '
            "correct MONGODB_DATABASE, or fill the demo store with `make demo`"
        )
    return names


def is_own(collection: str) -> bool:
    """True for the shop's collections: neither the server's own nor Ledgerline's notes."""
    return not collection.startswith(("system.", "_ledgerline"))


def overlap_start(watermark: datetime | None, overlap: timedelta) -> datetime:
    """Where an incremental read begins: the watermark, less the time a late writer may take."""
    earliest = datetime.min.replace(tzinfo=UTC)
    if watermark is None or watermark - earliest < overlap:
        return earliest
    return watermark - overlap


def _ahead(batches: Iterable[bytes]) -> Iterator[bytes]:
    """The same batches, the next one fetched by a thread while the last one is worked on."""
    box: queue.Queue[bytes | BaseException | None] = queue.Queue(maxsize=1)
    stopped = threading.Event()

    def put(item: bytes | BaseException | None) -> bool:
        while not stopped.is_set():
            try:
                box.put(item, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def fetch() -> None:
        try:
            for batch in batches:
                if not put(batch):
                    return
            put(None)
        except BaseException as error:  # handed over, raised where the batches are read
            put(error)

    thread = threading.Thread(target=fetch, name="source reader", daemon=True)
    thread.start()
    try:
        while (item := box.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stopped.set()
        thread.join()
