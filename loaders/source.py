"""Reads raw BSON from MongoDB: batches of undecoded documents, one batch ahead of the reader."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from bson.codec_options import CodecOptions
from pymongo.collection import Collection
from pymongo.database import Database

from loaders.encoding import CLOCK
from loaders.errors import UserError

BATCH_DOCUMENTS = 2_000  # a server ends a batch at 16 MB anyway
LOOKUP_IDS = 1_000

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
    """

    def __init__(self, database: Database[dict[str, Any]], name: str) -> None:
        self.name = name
        self.collection: Collection[dict[str, Any]] = database[name].with_options(
            codec_options=CodecOptions(tz_aware=False)
        )

    def now(self) -> datetime:
        """The server's clock, aware UTC."""
        hello = self.collection.database.client.admin.command("hello")
        return hello["localTime"].replace(tzinfo=UTC)

    def count(self, expected: int) -> int:
        """Documents in the collection at this moment.

        Counting reads a whole index, so the server's running count is asked first: where it says
        `expected`, that is it. Where not, they are counted, for after a crash it can be wrong.
        """
        if self.rough_count() == expected:
            return expected
        return self.collection.count_documents({})

    def rough_count(self) -> int:
        """About how many documents there are, from the collection's metadata."""
        return self.collection.estimated_document_count()

    def everything(self) -> Iterator[bytes]:
        """Batches of all documents in the order of the `_id` index: none twice, whatever its type.

        No range of ids is asked for: a comparison finds only ids of its own BSON type.
        """
        return self._read({}, sort=[("_id", 1)], hint=[("_id", 1)])

    def changed(self, since: datetime) -> Iterator[bytes]:
        """Batches of the documents that may be new: `updated_at` is `since` (UTC) or later, or no
        date at all, so that it says nothing.
        """
        no_date = [{CLOCK: None}, {CLOCK: {"$type": _NOT_A_DATE}}]  # null finds missing ones too
        return self._read({"$or": [{CLOCK: {"$gte": since}}, *no_date]})

    def lookup(self, ids: Iterable[Any]) -> Iterator[bytes]:
        """Batches of the documents with these ids; ids without a document are passed over."""
        ids = iter(ids)
        while chunk := list(islice(ids, LOOKUP_IDS)):
            yield from self._read({"_id": {"$in": chunk}})

    def _read(self, query: dict[str, Any], **options: Any) -> Iterator[bytes]:
        cursor = self.collection.find_raw_batches(query, batch_size=BATCH_DOCUMENTS, **options)
        return _ahead(cursor)


def collections_of(database: Database[dict[str, Any]]) -> list[str]:
    """Names of the shop's collections: without views, the server's own and Ledgerline's notes.

    Raises:
        UserError: the database has none, which is how MongoDB shows one that isn't there.
    """
    names = sorted(
        entry["name"]
        for entry in database.list_collections()
        if entry.get("type", "collection") != "view"
        and not entry["name"].startswith(("system.", "_ledgerline"))
    )
    if not names:
        raise UserError(
            f'MongoDB has no database "{database.name}", or nothing is in it: '
            "correct MONGODB_DATABASE, or fill the demo store with `make demo`"
        )
    return names


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
