"""The commands and their usual answers."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar, Literal

import bson
from bson.int64 import Int64
from bson.objectid import ObjectId

from sandbox.replay import wire
from sandbox.replay.documents import CommandError, Documents, unsupported
from sandbox.replay.feed import Feed, Stream
from sandbox.replay.script import Command, error

VERSION = (7, 0, 14)
WIRE_VERSION = 21
FIRST_BATCH = 101  # documents, where a find doesn't say
AWAIT_SECONDS = 1.0

COMMAND_NOT_FOUND, CURSOR_NOT_FOUND, NO_REPLICA_SET, FAILED = 59, 43, 40573, 8

Role = Literal["primary", "secondary", "standalone"]


@dataclass
class _Cursor:
    """Documents that are still to be sent."""

    namespace: str
    documents: Documents
    positions: Sequence[int]
    at: int = 0

    def next(self, count: int | None) -> list[bytes]:
        batch = self.documents.batch(self.positions, self.at, count)
        self.at += len(batch)
        return batch

    @property
    def is_done(self) -> bool:
        return self.at >= len(self.positions)


@dataclass
class _StreamCursor:
    """A change stream and how far it has been read."""

    namespace: str
    stream: Stream
    at: int
    is_done: bool = False


class Answers:
    """What a server has and what it says; without a network.

    Attributes:
        collections: documents by namespace (`database.collection`).
        role: `primary` or `secondary` of a replica set, or `standalone`.
        feed: what change streams see.
        clock: gives the server's time, aware UTC.
    """

    SET_NAME: ClassVar[str] = "replay"
    port = 0

    def __init__(self, role: Role = "primary") -> None:
        self.collections: dict[str, Documents] = {}
        self.role = role
        self.feed = Feed()
        self.clock: Callable[[], datetime] = lambda: datetime.now(UTC)
        self._cursors: dict[int, _Cursor | _StreamCursor] = {}
        self._ids = itertools.count(1_000)
        self._lock = threading.RLock()

    def usual_answer(self, name: str, command: Command) -> bytes:
        """The reply's document to the command of this name."""
        method = getattr(self, f"_do_{name}", None)
        try:
            if method is None:
                raise CommandError(COMMAND_NOT_FOUND, f"no such command: '{name}'")
            given = method(command)
        except CommandError as failure:
            given = error(failure.code, str(failure))
        except Exception as failure:  # the client is told, whatever went wrong here
            given = error(FAILED, f"the replay server failed: {failure!r}")
        return given if isinstance(given, bytes) else bson.encode(self._ending() | given)

    def _ending(self) -> dict[str, Any]:
        """The fields that every reply has."""
        times = {} if self.role == "standalone" else {"operationTime": self.feed.now()}
        return {"ok": 1.0, **times}

    def _do_hello(self, command: Command) -> dict[str, Any]:
        is_primary = self.role != "secondary"
        reply = {
            "helloOk": True,
            "isWritablePrimary": is_primary,
            "ismaster": is_primary,
            "maxBsonObjectSize": 16 * 1024 * 1024,
            "maxMessageSizeBytes": 48_000_000,
            "maxWriteBatchSize": 100_000,
            "localTime": self.clock(),
            "logicalSessionTimeoutMinutes": 30,
            "connectionId": 1,
            "minWireVersion": 0,
            "maxWireVersion": WIRE_VERSION,
            "readOnly": False,
        }
        if self.role != "standalone":
            me = f"127.0.0.1:{self.port}"
            reply |= {"setName": self.SET_NAME, "hosts": [me], "me": me, "setVersion": 1}
            reply |= {"secondary": not is_primary}
            if is_primary:
                reply |= {"primary": me, "electionId": ObjectId("7fffffff0000000000000001")}
        return reply

    _do_isMaster = _do_ismaster = _do_hello  # noqa: N815 -- the commands' names

    def _do_ping(self, command: Command) -> dict[str, Any]:
        return {}

    _do_endSessions = _do_ping  # noqa: N815

    def _do_buildInfo(self, command: Command) -> dict[str, Any]:  # noqa: N802
        version = ".".join(map(str, VERSION))
        return {"version": version, "versionArray": [*VERSION, 0], "maxBsonObjectSize": 1 << 24}

    _do_buildinfo = _do_buildInfo

    def _do_listDatabases(self, command: Command) -> dict[str, Any]:  # noqa: N802
        sizes: dict[str, int] = {}
        for namespace, documents in self.collections.items():
            database = namespace.partition(".")[0]
            sizes[database] = sizes.get(database, 0) + documents.size
        databases = [
            {"name": name, "sizeOnDisk": Int64(size), "empty": False}
            for name, size in sizes.items()
        ]
        return {"databases": databases, "totalSize": Int64(sum(sizes.values()))}

    def _do_listCollections(self, command: Command) -> bytes:  # noqa: N802
        database = command["$db"]
        entries = Documents(
            {
                "_id": name,
                "name": name,
                "type": "collection",
                "options": {},
                "info": {"readOnly": False},
                "idIndex": {"v": 2, "key": {"_id": 1}, "name": "_id_"},
            }
            for name in (
                namespace.partition(".")[2]
                for namespace in self.collections
                if namespace.startswith(f"{database}.")
            )
        )
        return self._open(f"{database}.$cmd.listCollections", entries, command)

    def _do_listIndexes(self, command: Command) -> bytes:  # noqa: N802
        entries = Documents([{"_id": 0, "v": 2, "key": {"_id": 1}, "name": "_id_"}])
        return self._open(_namespace(command, "listIndexes"), entries, {})

    def _do_find(self, command: Command) -> bytes:
        namespace = _namespace(command, "find")
        return self._open(namespace, self._documents(namespace), command)

    def _do_aggregate(self, command: Command) -> bytes:
        pipeline = command["pipeline"]
        if pipeline and "$changeStream" in pipeline[0]:
            return self._open_stream(command, pipeline)
        namespace = _namespace(command, "aggregate")
        documents = self._documents(namespace)
        find: Command = {**command.get("cursor", {}), "readConcern": command.get("readConcern", {})}
        for position, stage in enumerate(pipeline):
            [(name, value)] = stage.items()
            match name:
                case "$match" if position == 0:
                    find["filter"] = value
                case "$sort" | "$skip" | "$limit" if name[1:] not in find:
                    find[name[1:]] = value
                case "$project":
                    find["projection"] = value
                case "$sample":  # evenly spaced, so that each run is the same
                    step = max(1, len(documents) // value["size"])
                    documents = Documents(documents.raw[::step][: value["size"]])
                case "$group" | "$count":
                    total = len(documents.find(find))
                    label = value if name == "$count" else _counted(value)
                    documents, find = Documents([{"_id": 1, label: total}] if total else []), {}
                case "$collStats":
                    stats = {"count": len(documents), "storageStats": _stats(documents)}
                    documents = Documents([{"_id": 0, **stats}])
                case _:
                    raise unsupported(f"{name} at this place of a pipeline")
        return self._open(namespace, documents, find)

    def _do_count(self, command: Command) -> dict[str, Any]:
        documents = self._documents(_namespace(command, "count"))
        return {"n": len(documents.find({**command, "filter": command.get("query")}))}

    def _do_collStats(self, command: Command) -> dict[str, Any]:  # noqa: N802
        return _stats(self._documents(_namespace(command, "collStats")))

    def _do_getMore(self, command: Command) -> bytes:  # noqa: N802
        cursor_id = int(command["getMore"])
        with self._lock:
            cursor = self._cursors.get(cursor_id)
        if cursor is None:
            raise CommandError(CURSOR_NOT_FOUND, f"cursor id {cursor_id} not found")
        if isinstance(cursor, _StreamCursor):
            seconds = int(command.get("maxTimeMS", AWAIT_SECONDS * 1000)) / 1000
            return self._stream_batch("nextBatch", cursor_id, cursor, command, seconds)
        batch = cursor.next(command.get("batchSize"))
        return self._reply("nextBatch", cursor_id, cursor, batch, {})

    def _do_killCursors(self, command: Command) -> dict[str, Any]:  # noqa: N802
        asked = [int(one) for one in command["cursors"]]
        with self._lock:
            killed = [Int64(one) for one in asked if self._cursors.pop(one, None)]
        return {"cursorsKilled": killed, "cursorsNotFound": []}

    # --- cursors ----------------------------------------------------------------------------------

    def _documents(self, namespace: str) -> Documents:
        return self.collections.get(namespace) or Documents()

    def _open(self, namespace: str, documents: Documents, find: Command) -> bytes:
        positions = documents.find(find)
        if projection := find.get("projection"):
            documents = Documents(_projected(documents, positions, projection))
            positions = range(len(documents))
        cursor = _Cursor(namespace, documents, positions)
        count = find.get("batchSize", FIRST_BATCH)
        cursor_id = next(self._ids)
        snapshot = find.get("readConcern", {}).get("level") == "snapshot"
        if find.get("singleBatch"):
            cursor.positions = positions[:count]
        with self._lock:
            self._cursors[cursor_id] = cursor
        batch = cursor.next(count) if count else []
        more = {"atClusterTime": self.feed.now()} if snapshot else {}
        return self._reply("firstBatch", cursor_id, cursor, batch, more)

    def _reply(
        self,
        name: str,
        cursor_id: int,
        cursor: _Cursor | _StreamCursor,
        batch: list[bytes],
        more: Mapping[str, Any],
    ) -> bytes:
        if cursor.is_done:
            with self._lock:
                self._cursors.pop(cursor_id, None)
            cursor_id = 0
        fields = {"id": Int64(cursor_id), "ns": cursor.namespace, **more}
        return wire.cursor_body(name, batch, fields, self._ending())

    def _open_stream(self, command: Command, pipeline: Sequence[Mapping[str, Any]]) -> bytes:
        if self.role == "standalone":
            raise CommandError(
                NO_REPLICA_SET, "The $changeStream stage is only supported on replica sets"
            )
        stage = pipeline[0]["$changeStream"]
        is_database = command["aggregate"] == 1
        namespace = command["$db"] if is_database else _namespace(command, "aggregate")
        watched = "" if stage.get("allChangesForCluster") else namespace
        cursor = _StreamCursor(
            f"{namespace}.$cmd.aggregate" if is_database else namespace,
            Stream.of(watched, pipeline),
            self.feed.start(stage),
        )
        cursor_id = next(self._ids)
        with self._lock:
            self._cursors[cursor_id] = cursor
        return self._stream_batch("firstBatch", cursor_id, cursor, command["cursor"], 0.0)

    def _stream_batch(
        self, name: str, cursor_id: int, cursor: _StreamCursor, command: Command, seconds: float
    ) -> bytes:
        self.feed.wait(cursor.at, seconds)
        limit = command.get("batchSize") or wire.MAX_BATCH
        events, cursor.at, cursor.is_done = self.feed.read(cursor.stream, cursor.at, limit)
        more = {"postBatchResumeToken": self.feed.token(cursor.at)}
        return self._reply(name, cursor_id, cursor, list(map(bson.encode, events)), more)


def _namespace(command: Command, name: str) -> str:
    return f"{command['$db']}.{command[name]}"


def _stats(documents: Documents) -> dict[str, Any]:
    count, size = len(documents), documents.size
    return {"count": count, "size": size, "avgObjSize": size // count if count else 0}


def _counted(group: Mapping[str, Any]) -> str:
    """The name of the count in the `$group` stage by which drivers count documents."""
    names = [name for name, value in group.items() if value == {"$sum": 1}]
    if len(names) != 1 or set(group) != {"_id", *names}:
        raise unsupported("a $group other than a count")
    return names[0]


def _projected(
    documents: Documents, positions: Sequence[int], projection: Mapping[str, Any]
) -> Iterable[bytes]:
    """The named top-level fields of the documents, and `_id` unless it is left out."""
    wanted = {name for name, value in projection.items() if value}
    left_out = set(projection) - wanted
    if left_out - {"_id"} or any("." in name for name in wanted):
        raise unsupported(f"the projection {dict(projection)}")
    wanted |= {"_id"} - left_out
    for position in positions:
        document = bson.decode(documents.raw[position], wire.OPTIONS)
        yield bson.encode({name: value for name, value in document.items() if name in wanted})
