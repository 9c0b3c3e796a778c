"""The server: connections, the script, and what a test may do to it."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, ClassVar

import bson

from sandbox.replay import wire
from sandbox.replay.answers import Answers, Role
from sandbox.replay.documents import Documents
from sandbox.replay.script import Answer, Close, Command, Rule


class ReplayServer(Answers, socketserver.ThreadingTCPServer):
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

    UNRECORDED: ClassVar[set[str]] = {"hello", "isMaster", "ismaster", "ping", "endSessions"}

    def __init__(
        self,
        collections: Mapping[str, Iterable[bytes | Mapping[str, Any]]] | None = None,
        *,
        port: int = 0,
        role: Role = "primary",
    ) -> None:
        Answers.__init__(self, role)
        self.commands: list[Command] = []
        self._rules: list[Rule] = []
        self._connections: set[socket.socket] = set()
        for namespace, documents in (collections or {}).items():
            self.put(namespace, documents)
        socketserver.ThreadingTCPServer.__init__(self, ("127.0.0.1", port), _Connection)

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
            self._rules.append(Rule(command, answer, nth, times, where))

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

    # --- for its connections ----------------------------------------------------------------------

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
        return self.usual_answer(name, command)


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
