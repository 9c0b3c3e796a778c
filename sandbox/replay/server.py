"""The commands, and the script by which a test changes their answers."""

from __future__ import annotations

import itertools
import socket
import socketserver
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar, Literal

import bson
from bson.int64 import Int64
from bson.objectid import ObjectId

from sandbox.replay import wire
from sandbox.replay.documents import CommandError, Documents, unsupported
from sandbox.replay.feed import Feed, Stream

VERSION = (7, 0, 14)
WIRE_VERSION = 21
FIRST_BATCH = 101  # documents, where a find doesn't say
AWAIT_SECONDS = 1.0

COMMAND_NOT_FOUND, CURSOR_NOT_FOUND, NO_REPLICA_SET, FAILED = 59, 43, 40573, 8

_NAMES = {
    2: "BadValue",
    13: "Unauthorized",
    18: "AuthenticationFailed",
    43: "CursorNotFound",
    59: "CommandNotFound",
    189: "PrimarySteppedDown",
    237: "CursorKilled",
    260: "InvalidResumeToken",
    280: "ChangeStreamFatalError",
    286: "ChangeStreamHistoryLost",
    10107: "NotWritablePrimary",
    10334: "BSONObjectTooLarge",
    11600: "InterruptedAtShutdown",
    11602: "InterruptedDueToReplStateChange",
    13435: "NotPrimaryNoSecondaryOk",
}


class Close(Exception):  # noqa: N818 -- an answer, not an error of this server
    """The answer that is none: the connection is closed."""


CLOSE = Close()

Command = dict[str, Any]
Answer = Mapping[str, Any] | Close | Callable[[Command], "Mapping[str, Any] | Close | None"]


def error(code: int, message: str = "scripted by the test", *labels: str) -> dict[str, Any]:
    """The reply of a command that failed with this number."""
    reply = {"ok": 0.0, "errmsg": message, "code": code}
    reply["codeName"] = _NAMES.get(code, f"Location{code}")
    return reply | ({"errorLabels": list(labels)} if labels else {})


@dataclass
class _Rule:
    """One line of the script."""

    command: str
    answer: Answer
    first: int
    times: int | None
    where: Callable[[Command], bool]
    seen: int = 0

    def applies(self, name: str, command: Command) -> bool:
        if name != self.command or not self.where(command):
            return False
        self.seen += 1
        return self.seen >= self.first and (
            self.times is None or self.seen < self.first + self.times
        )


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


class ReplayServer(socketserver.ThreadingTCPServer):
    """A MongoDB server for reading, out of memory. See the package for examples.

    Args:
        collections: documents by namespace (`database.collection`).
        port: 0 for any free one.
        role: `primary` or `secondary` of a replica set, or `standalone`; may be changed later.

    Attributes:
        feed: what change streams see.
        commands: every command received, except what drivers send by themselves.
        clock: gives the server's time, aware UTC; replace it to set the clock wrong.
    """

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 100

    SET_NAME: ClassVar[str] = "replay"
    UNRECORDED: ClassVar[set[str]] = {"hello", "isMaster", "ismaster", "ping", "endSessions"}

    def __init__(
        self,
        collections: Mapping[str, Iterable[bytes | Mapping[str, Any]]] | None = None,
        *,
        port: int = 0,
        role: Literal["primary", "secondary", "standalone"] = "primary",
    ) -> None:
        self.collections: dict[str, Documents] = {}
        self.role = role
        self.feed = Feed()
        self.commands: list[Command] = []
        self.clock: Callable[[], datetime] = lambda: datetime.now(UTC)
        self._rules: list[_Rule] = []
        self._cursors: dict[int, _Cursor | _StreamCursor] = {}
        self._ids = itertools.count(1_000)
        self._lock = threading.RLock()
        self._connections: set[socket.socket] = set()
        for namespace, documents in (collections or {}).items():
            self.put(namespace, documents)
        super().__init__(("127.0.0.1", port), _Connection)

    # --- for tests --------------------------------------------------------------------------------

    @property
    def port(self) -> int:
        """The TCP port."""
        return self.server_address[1]

    @property
    def uri(self) -> str:
        """Where drivers find it."""
        return uri_of(self.port)

    def __enter__(self) -> ReplayServer:
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()
        self.disconnect()

    def put(self, namespace: str, documents: Iterable[bytes | Mapping[str, Any]]) -> None:
        """Set all documents of a collection; change streams don't hear of it."""
        if not isinstance(documents, Documents):
            documents = Documents(documents)
        self.collections[namespace] = documents

    def on(
        self,
        command: str,
        answer: Answer,
        *,
        nth: int = 1,
        times: int | None = 1,
        where: Callable[[Command], bool] = lambda _: True,
    ) -> None:
        """Answer a command otherwise than usual.

        Args:
            command: its name, as the driver sends it.
            answer: the reply's document (`error(…)` makes that of a failure), `CLOSE` to close the
                connection, or a function that is called with the command and gives one of these,
                or None for the usual answer.
            nth: the first such command, counted from now on, that is answered so.
            times: how many are, None for all that follow. A driver repeats a failed find once.
            where: only commands for which this is true are counted.
        """
        with self._lock:
            self._rules.append(_Rule(command, answer, nth, times, where))

    def change(
        self,
        namespace: str,
        operation: str,
        document: Mapping[str, Any] | None = None,
        *,
        key: Any = None,
        fragments: Sequence[Sequence[str]] = (),
        **fields: Any,
    ) -> dict[str, Any]:
        """Change a collection as a writer would, and let change streams know.

        Args:
            namespace: `database.collection`, or a database for `dropDatabase`.
            operation: `insert`, `update`, `replace`, `delete`, `drop`, `rename`, `invalidate`, ….
            document: the whole document after an insert, update or replace.
            key: `_id` of a deleted document.
            fragments: send the event in parts: names of the fields in each.
            fields: more fields of the event, or others than the usual ones
                (`fullDocument=None`: it was deleted again before the server looked it up).

        Returns:
            The event as it is sent, or its first fragment.
        """
        database, _, collection = namespace.partition(".")
        event: dict[str, Any] = {"operationType": operation}
        with self._lock:
            here = self.collections.get(namespace, Documents())
            if operation != "invalidate":
                event["ns"] = {"db": database} | ({"coll": collection} if collection else {})
            if document is not None:
                event |= {"documentKey": {"_id": document["_id"]}, "fullDocument": document}
                self.collections[namespace] = here.put(document)
            elif operation == "delete":
                event["documentKey"] = {"_id": key}
                self.collections[namespace] = here.without(key)
            elif operation in ("drop", "rename", "dropDatabase"):
                for name in [*self.collections]:
                    if f"{name}.".startswith(f"{namespace}."):
                        moved = self.collections.pop(name)
                        if to := fields.get("to"):
                            self.collections[f"{to['db']}.{to['coll']}"] = moved
            if operation == "update":
                event["updateDescription"] = {"updatedFields": {}, "removedFields": []}
            return self.feed.append(namespace, event | fields, fragments)

    def disconnect(self) -> None:
        """Close every connection."""
        for connection in [*self._connections]:
            with suppress(OSError):  # it was closed already
                connection.shutdown(socket.SHUT_RDWR)

    def forget_cursors(self) -> None:
        """As after a restart: every open cursor is unknown."""
        with self._lock:
            self._cursors.clear()

    # --- answers ----------------------------------------------------------------------------------

    def answer(self, command: Command) -> bytes:
        """The reply's document.

        Raises:
            Close: the script says to close the connection.
        """
        name = next(iter(command))
        with self._lock:
            if name not in self.UNRECORDED:
                self.commands.append(command)
            applying = [rule for rule in self._rules if rule.applies(name, command)]
        for rule in applying:
            given = rule.answer(command) if callable(rule.answer) else rule.answer
            if isinstance(given, Close):
                raise given
            if given is not None:
                return bson.encode(given)
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


def uri_of(port: int) -> str:
    """Where drivers find the server that has this port."""
    return f"mongodb://127.0.0.1:{port}/?directConnection=true"


class _Connection(socketserver.StreamRequestHandler):
    """Reads requests and sends the answers, till either side closes."""

    server: ReplayServer
    disable_nagle_algorithm = True

    def handle(self) -> None:
        """Serve one client."""
        self.server._connections.add(self.connection)
        try:
            while (request := wire.read(self.rfile)) is not None:
                body = self.server.answer(request.command)
                if request.is_answered:
                    self.connection.sendall(wire.message(request, body))
        except (Close, OSError):
            pass  # the script or the client ends it
        finally:
            self.server._connections.discard(self.connection)


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
