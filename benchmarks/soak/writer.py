"""The shop at work: inserts, changes and deletes that it remembers once they are acknowledged."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import bson
import pymongo
from bson.codec_options import CodecOptions, DatetimeConversion
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.errors import BulkWriteError, DuplicateKeyError, PyMongoError

from benchmarks.soak.documents import LONG_ID, SHARES, identity, make
from loaders.settings import Settings
from loaders.source import is_transient

DUPLICATE_KEY = 11000
# ids come back as they were sent
EXACT = CodecOptions[dict[str, Any]](datetime_conversion=DatetimeConversion.DATETIME_MS)

T = TypeVar("T")


class Writer:
    """Changes the shop until it is stopped; it is the only one who does.

    Each operation is tried until the source acknowledges it, and is such that trying it again makes
    no difference. So `revisions` is what the source must have whenever the writer holds its lock.

    Args:
        settings: the source.
        seed: of its random numbers.
        rate: operations a second, at the most.
        journal: file that gets a line per operation.

    Attributes:
        held: whoever holds it, the writer does nothing and owes nothing.
        revisions: collection -> BSON of {_id: …} -> the version last acknowledged.
        done: kind of operation -> how often.
        retries: times that the source was away.
    """

    def __init__(self, settings: Settings, seed: int, rate: float, journal: Path) -> None:
        self.client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(
            settings.mongodb(),
            serverSelectionTimeoutMS=2000,
            connectTimeoutMS=2000,
            socketTimeoutMS=20_000,
        )
        self.database = self.client.get_database(settings.mongodb_database, EXACT)
        self.random = Random(seed)
        self.rate = rate
        self.journal = journal.open("a")
        self.thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self.held = threading.Lock()
        self.ended = threading.Event()
        self.error: BaseException | None = None
        self.revisions: dict[str, dict[bytes, int]] = {name: {} for name in SHARES}
        self.sizes: dict[str, int] = {}
        self.done: Counter[str] = Counter()
        self.retries = 0
        self.number = self.revision = 0

    def fill(self, documents: int) -> None:
        """Put the first documents in."""
        self.database.orders.create_index("updated_at")
        for name, share in SHARES.items():
            self.sizes[name] = int(documents * share)
            for done in range(0, self.sizes[name], 500):
                self._insert(name, min(500, self.sizes[name] - done))
        document = make(self.random, "oddities", LONG_ID, self._next())
        self._try(lambda: self.database.oddities.insert_one(document))
        self._note("insert", "oddities", [document])

    def start(self) -> None:
        """Begin to work, in a thread."""
        self.thread.start()

    def _run(self) -> None:
        try:
            while not self.ended.wait(self.random.uniform(0.5, 1.5) / self.rate):
                with self.held:
                    self._work()
        except BaseException as error:  # raised where the writer is stopped
            self.error = error

    def stop(self) -> None:
        """End, after the operation in hand.

        Raises:
            Exception: what the writer itself failed with.
        """
        self.ended.set()
        if self.thread.is_alive():
            self.thread.join()
        self.journal.close()
        self.client.close()
        if self.error:
            raise self.error

    def take_lost(self) -> list[str]:
        """What the source lost or brought back though it acknowledged otherwise; then forgets it.

        Call it while holding `held`.
        """
        lost = []
        for name, expected in self.revisions.items():
            found = {
                bson.encode({"_id": document["_id"]}): document["revision"]
                for document in self.database[name].find({}, {"revision": 1})
            }
            for key in expected.keys() | found:
                if expected.get(key) != found.get(key):
                    what = f"{expected.get(key, 'deleted')}, found {found.get(key, 'none')}"
                    lost.append(f"{name} {bson.decode(key)['_id']!r:.60}: {what}")
            self.revisions[name] = found
        return lost

    # --- operations -------------------------------------------------------------------------------

    def _work(self) -> None:
        name = self.random.choice(list(SHARES))
        few = self.random.randrange(1, 8)
        is_full = len(self.revisions[name]) >= self.sizes[name]
        kinds: list[Callable[[str, int], None]] = [
            self._delete if is_full else self._insert,
            self._touch,
            self._change_silently,
            self._replace,
            self._replace_deleted,
            self._move_clock,
            self._transact,
        ]
        self.random.choice(kinds)(name, few)

    def _insert(self, name: str, count: int) -> None:
        documents = [self._new(name) for _ in range(count)]

        def insert() -> None:
            try:
                self.database[name].insert_many(documents, ordered=False)
            except BulkWriteError as error:  # those that came through when it was tried before
                if any(one["code"] != DUPLICATE_KEY for one in error.details["writeErrors"]):
                    raise

        self._try(insert)
        self._note("insert", name, documents)

    def _delete(self, name: str, count: int) -> None:
        keys = self._some(name, count)
        self._try(lambda: self.database[name].delete_many(_these(keys)))
        for key in keys:
            del self.revisions[name][bson.encode(key)]
        self._count("delete", name, keys, 0)

    def _touch(self, name: str, count: int) -> None:
        """Change documents as a shop should: the clock moves, if there is one."""
        clock = {} if name == "events" else {"updated_at": datetime.now(UTC)}
        self._set("update", name, self._some(name, count), clock)

    def _change_silently(self, name: str, count: int) -> None:
        self._set("update, same clock", name, self._some(name, count), {})

    def _move_clock(self, name: str, count: int) -> None:
        if name == "events":
            return
        days = self.random.choice([-400, -30, -1, 1])
        clock = {"updated_at": datetime.now(UTC) + timedelta(days=days)}
        self._set("clock moved", name, self._some(name, min(count, 2)), clock)

    def _set(self, kind: str, name: str, keys: Sequence[dict[str, Any]], fields: dict) -> None:
        revision = self._next()
        change = {"$set": {"revision": revision, **fields}}
        self._try(lambda: self.database[name].update_many(_these(keys), change))
        for key in keys:
            self.revisions[name][bson.encode(key)] = revision
        self._count(kind, name, keys, revision)

    def _replace(self, name: str, count: int) -> None:
        for key in self._some(name, min(count, 3)):
            document = make(self.random, name, key["_id"], self._next())
            self._try(lambda key=key, document=document: self._put(name, document))
            self._note("replace", name, [document])

    def _replace_deleted(self, name: str, count: int) -> None:
        """Delete a document and insert another one with its id."""
        [key] = self._some(name, 1)
        document = make(self.random, name, key["_id"], self._next())
        self._try(lambda: self.database[name].delete_one(key))

        def insert() -> None:
            try:
                self.database[name].insert_one(document)
            except DuplicateKeyError:  # it came through when it was tried before
                self._put(name, document)

        self._try(insert)
        self._note("delete and insert", name, [document])

    def _transact(self, name: str, count: int) -> None:
        """One transaction over two collections: new, changed and deleted documents."""
        changed = [make(self.random, name, key["_id"], self._next()) for key in self._some(name, 2)]
        new = [self._new("tickets") for _ in range(count)]
        gone = [] if name == "tickets" else self._some("tickets", count)

        def write(session: ClientSession) -> None:
            for document in changed:
                self._put(name, document, session)
            for document in new:
                self._put("tickets", document, session)
            self.database.tickets.delete_many(_these(gone), session=session)

        def transact() -> None:
            with self.client.start_session() as session:
                session.with_transaction(write)

        self._try(transact)
        self._note("transaction", name, changed)
        self._note("transaction", "tickets", new)
        for key in gone:
            self.revisions["tickets"].pop(bson.encode(key))
        self._count("transaction", "tickets", gone, 0)

    # --- their parts ------------------------------------------------------------------------------

    def _next(self) -> int:
        self.revision += 1
        return self.revision

    def _new(self, name: str) -> dict[str, Any]:
        self.number += 1
        return make(self.random, name, identity(self.random, name, self.number), self._next())

    def _some(self, name: str, count: int) -> list[dict[str, Any]]:
        """Ids of documents that are there, each {_id: …}."""
        keys = list(self.revisions[name])
        long = bson.encode({"_id": LONG_ID})
        picked = self.random.sample(keys, min(count, len(keys)))
        return [bson.decode(key, EXACT) for key in picked if key != long] or (
            self._some(name, count)
        )

    def _put(
        self, name: str, document: dict[str, Any], session: ClientSession | None = None
    ) -> None:
        collection: Collection[dict[str, Any]] = self.database[name]
        collection.replace_one({"_id": document["_id"]}, document, upsert=True, session=session)

    def _try(self, operation: Callable[[], T]) -> T:
        """Do it until it is acknowledged."""
        while True:
            try:
                return operation()
            except PyMongoError as error:
                if self.ended.is_set() or not is_transient(error):
                    raise
                self.retries += 1
                self.journal.write(f"{datetime.now(UTC):%H:%M:%S.%f} again: {error!r:.200}\n")
                time.sleep(0.1)

    def _note(self, kind: str, name: str, documents: Sequence[dict[str, Any]]) -> None:
        for document in documents:
            key = {"_id": document["_id"]}
            self.revisions[name][bson.encode(key)] = document["revision"]
            self._count(kind, name, [key], document["revision"])

    def _count(self, kind: str, name: str, keys: Sequence[dict[str, Any]], revision: int) -> None:
        self.done[kind] += len(keys)
        ids = ", ".join(f"{key['_id']!r:.60}" for key in keys)
        self.journal.write(f"{datetime.now(UTC):%H:%M:%S.%f} {kind} {name} {revision}: {ids}\n")


def _these(keys: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {"_id": {"$in": [key["_id"] for key in keys]}}
