"""Change streams of MongoDB: whole events, and what a number of them amounts to.

An event that is larger than 16 MB comes in fragments, where the server can split it; they are put
together here. A resume token is handed out for whole events only, so that whoever starts again
from it gets an event that was cut short once more from its first fragment.

Tokens are handled as BSON bytes, as they are kept in `ops.streams`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

import bson
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from bson.timestamp import Timestamp
from pymongo.change_stream import DatabaseChangeStream
from pymongo.database import Database
from pymongo.errors import OperationFailure

from loaders.documents import encoding
from loaders.documents.encoding import Slice
from loaders.errors import ServerUnreachableError, UserError

BATCH_EVENTS = (
    1_000  # of one answer; with the server's 16 MB it would be three times that in memory
)
AWAIT_MS = 500  # how long the server holds an empty answer back; a stop is noticed in that time
POLL_MS = 20  # the same where only the token of the answer is wanted
CATCH_UP_BYTES = 8 * 1024 * 1024  # documents of one `Effect` of `catch_up`
CATCH_UP_PATIENCE_SECONDS = 300.0  # a majority that doesn't confirm writes for so long is broken
FRAGMENT_TRIES = 3

UNKNOWN_STAGE = 40324
NO_REPLICA_SET = {
    40573,  # "The $changeStream stage is only supported on replica sets"
    59,  # CommandNotFound, CommandNotSupported and 303: compatible servers without change streams
    115,
    303,
}
UNAUTHORIZED = 13
# A stream can't go on from its token.
LOST = {
    9,  # FailedToParse: no token of this server
    136,  # CappedPositionLost: the oplog moved past the reader
    222,  # CloseChangeStream
    260,  # InvalidResumeToken
    280,  # ChangeStreamFatalError
    286,  # ChangeStreamHistoryLost: the token is older than the oplog
    346,  # ChangeStreamInvalidated
    10334,  # BSONObjectTooLarge: an event beyond 16 MB that the server can't split
}

_RAW: CodecOptions[RawBSONDocument] = CodecOptions(document_class=RawBSONDocument)
_KEY_STRING_TIMESTAMP = 0x82  # the type in front of a timestamp in MongoDB's KeyString format


class NoChangeStreamsError(UserError):
    """The server has no change streams, or this user mayn't watch them."""


class TokenLostError(UserError):
    """The stream can't go on from its token: what happened since must be found by comparing."""


class CollectionReplacedError(UserError):
    """The collection was dropped or renamed while it was read."""


@dataclass(slots=True, frozen=True)
class Event:
    """One whole event.

    Attributes:
        kind: MongoDB's `operationType`.
        collection: what it happened to; None where that is the database.
        token: to resume after this event.
        time: cluster time, which orders the changes of a replica set.
        at: when it happened by the source's clock, aware UTC.
        key: BSON of {_id: …}, and the shard key where there is one.
        document: the document's BSON after an insert or replace; for an update as it was when the
            server looked it up, None if it was gone by then.
        to: a rename's new name, if it is in the same database.
        transaction: names the multi-document transaction that it belongs to.
    """

    kind: str
    collection: str | None
    token: bytes
    time: Timestamp
    at: datetime
    key: bytes | None = None
    document: bytes | None = None
    to: str | None = None
    transaction: tuple[bytes, int] | None = None


@dataclass(slots=True)
class Effect:
    """What events amount to for one collection, whatever they did on the way.

    Attributes:
        documents: `_id` -> newest BSON bytes, or None where the document was deleted.
        is_cleared: all documents from before are gone, but for those in `documents`.
        events, size: events taken in, BSON bytes of `documents`.
        token, time: of the newest event.
    """

    documents: dict[str, bytes | None] = field(default_factory=dict)
    is_cleared: bool = False
    events: int = 0
    size: int = 0
    token: bytes = b""
    time: Timestamp = field(default_factory=lambda: Timestamp(0, 0))

    def add(self, event: Event) -> None:
        """Take in the next event of the collection."""
        self.events += 1
        self.token, self.time = event.token, event.time
        if event.kind in ("insert", "update", "replace"):
            # looked up in vain: deleted since, or its collection was. That event is still to come.
            if event.document is not None:
                self._set(encoding.identity_of(event.document), event.document)
        elif event.kind == "delete":
            assert event.key is not None
            self._set(encoding.identity_of(event.key), None)
        elif event.kind in ("drop", "rename", "dropDatabase"):
            self.documents.clear()
            self.size = 0
            self.is_cleared = True

    def _set(self, identity: str, document: bytes | None) -> None:
        self.size += len(document or b"") - len(self.documents.get(identity) or b"")
        self.documents[identity] = document

    def slices(self) -> Iterator[Slice]:
        """The documents that are there afterwards, encoded."""
        held: list[bytes] = []
        size = 0
        for document in self.documents.values():
            if document is not None:
                held.append(document)
                size += len(document)
            if size >= encoding.SLICE_BYTES:
                yield encoding.encode(held)
                held, size = [], 0
        if held:
            yield encoding.encode(held)

    def gone(self) -> list[str]:
        """Ids of the documents that are deleted afterwards."""
        return [identity for identity, document in self.documents.items() if document is None]


def parse(fields: Mapping[str, Any]) -> Event:
    """An event as MongoDB sends it; documents inside are RawBSONDocuments."""
    namespace, to = fields.get("ns") or {}, fields.get("to")
    document, key = fields.get("fullDocument"), fields.get("documentKey")
    session, wall = fields.get("lsid"), fields.get("wallTime")
    # bytes: parts of a RawBSONDocument are memoryviews that keep all of the server's answer alive.
    # Before 6.0 there is only the cluster time, in whole seconds
    at = wall.replace(tzinfo=UTC) if wall else fields["clusterTime"].as_datetime()
    return Event(
        kind=fields["operationType"],
        collection=namespace.get("coll"),
        token=bytes(fields["_id"].raw),
        time=fields["clusterTime"],
        at=at,
        key=bytes(key.raw) if key is not None else None,
        document=bytes(document.raw) if document is not None else None,
        to=to["coll"] if to and to["db"] == namespace["db"] else None,
        transaction=(bytes(session.raw), int(fields["txnNumber"])) if session else None,
    )


class BrokenFragmentsError(Exception):
    """A fragment came that doesn't follow the one before."""


class Assembler:
    """Puts the fragments of large events together; other events pass straight through."""

    def __init__(self) -> None:
        self.fragments: list[Mapping[str, Any]] = []

    def feed(self, fields: Mapping[str, Any]) -> Event | None:
        """Take what the stream gave.

        Returns:
            The event if it is whole now. A split event's token is its last fragment's.

        Raises:
            BrokenFragmentsError: fragments before it are missing.
        """
        split = fields.get("splitEvent")
        number, total = (split["fragment"], split["of"]) if split else (1, 1)
        if number != len(self.fragments) + 1:
            raise BrokenFragmentsError(f"fragment {number} after {len(self.fragments)}")
        if number < total:
            self.fragments.append(fields)
            return None
        if not self.fragments:
            return parse(fields)
        whole: dict[str, Any] = {}
        for fragment in (*self.fragments, fields):
            whole.update(fragment)
        self.fragments = []
        return parse(whole)


class Stream:
    """A change stream on a database.

    Args:
        database: what to watch.
        token: go on after it; None begins now.
        collections: watch only these; None means all.
        await_ms: how long the server holds an empty answer back.

    Attributes:
        token: everything up to it was handed out; None only before the first answer.

    Raises:
        NoChangeStreamsError: the server has none, or this user mayn't watch.
        TokenLostError: the token is too old, or none of this server.
    """

    def __init__(
        self,
        database: Database[dict[str, Any]],
        token: bytes | None = None,
        collections: Iterable[str] | None = None,
        await_ms: int = AWAIT_MS,
    ) -> None:
        self.token = token
        self._await_ms = await_ms
        self._database = database.with_options(codec_options=_RAW)
        self._stages = _stages(collections)
        self._broken = 0
        self._open()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stream.close()

    @property
    def is_alive(self) -> bool:
        """False once the database was dropped: no more events will come."""
        return self._stream.alive

    def read(self) -> Event | None:
        """The next event, or None if none came within `await_ms`.

        Raises:
            TokenLostError: the stream can't go on.
            pymongo.errors.PyMongoError: the server is gone and didn't come back.
        """
        while True:
            try:
                fields = self._stream.try_next()
            except OperationFailure as error:
                raise _translated(error) from error
            if fields is None:
                if not self._assembler.fragments and self._stream.resume_token is not None:
                    self.token = bytes(self._stream.resume_token.raw)
                return None
            try:
                event = self._assembler.feed(fields)
            except BrokenFragmentsError as error:
                self._again_from_token(error)
                continue
            if event is not None:
                self.token = event.token
                self._broken = 0
                return event

    def _open(self) -> None:
        self._assembler = Assembler()
        try:
            try:
                self._stream = self._watch([*self._stages, {"$changeStreamSplitLargeEvent": {}}])
            except OperationFailure as error:
                # servers before 6.0.9 don't know the stage; compatible ones say so in other ways
                if error.code != UNKNOWN_STAGE and "SplitLargeEvent" not in str(error):
                    raise
                self._stream = self._watch(self._stages)
        except OperationFailure as error:
            raise _translated(error, is_resumed=self.token is not None) from error

    def _watch(self, stages: list[dict[str, Any]]) -> DatabaseChangeStream[RawBSONDocument]:
        return self._database.watch(
            stages,
            full_document="updateLookup",
            resume_after=RawBSONDocument(self.token) if self.token else None,
            max_await_time_ms=self._await_ms,
            batch_size=BATCH_EVENTS,
        )

    def _again_from_token(self, error: BrokenFragmentsError) -> None:
        self._broken += 1
        if self._broken >= FRAGMENT_TRIES or self.token is None:
            raise TokenLostError(f"a large event's fragments don't fit together ({error})")
        self._stream.close()
        self._open()


def _stages(collections: Iterable[str] | None) -> list[dict[str, Any]]:
    # what an update changed is in the document too, and can double an event's size
    stages: list[dict[str, Any]] = [{"$project": {"updateDescription": 0}}]
    if collections is not None:
        names = list(collections)
        mine = [{"ns.coll": {"$in": names}}, {"to.coll": {"$in": names}}]
        stages.insert(0, {"$match": {"$or": [*mine, {"operationType": "dropDatabase"}]}})
    return stages


def _translated(error: OperationFailure, *, is_resumed: bool = True) -> Exception:
    # what is in braces may be of a document
    text = str((error.details or {}).get("errmsg", error)).partition("{")[0][:200].strip(" .")
    if error.code in NO_REPLICA_SET or (
        error.code == UNKNOWN_STAGE and "changeStream" in text and "Split" not in text
    ):
        return NoChangeStreamsError(
            f"MongoDB has no change streams here, since it is no replica set ({text}): "
            "use `--mode auto`, which works without, or make the server a replica set"
        )
    if error.code == UNAUTHORIZED:
        return NoChangeStreamsError(
            f"the MongoDB user mayn't watch changes ({text}): grant it the role `read` on the "
            "database, or use `--mode auto`"
        )
    # servers have many unnamed codes for a token that they can't read
    is_about_token = "resume token" in text.lower()
    is_final = error.has_error_label("NonResumableChangeStreamError")
    if is_resumed and (error.code in LOST or is_final or is_about_token):
        return TokenLostError(
            f"the change stream can't go on from its token ({error.code}: {text})"
        )
    if error.has_error_label("ResumableChangeStreamError"):
        # the driver has tried once already
        return ServerUnreachableError(f"MongoDB broke off the change stream ({text}): run again")
    return error


def current_token(database: Database[dict[str, Any]]) -> tuple[bytes, Timestamp] | None:
    """A token that stands for now, and the cluster time of a moment just before.

    All changes after that time are in a stream that is resumed from the token, so a read that
    begins afterwards and the stream have them all between them.

    Returns:
        None where there are no change streams: a standalone server, or a user who mayn't watch.
    """
    now = cluster_time(database)
    if now is None:
        return None
    try:
        with Stream(database, await_ms=POLL_MS) as stream:
            stream.read()
            token = stream.token
    except NoChangeStreamsError:
        return None
    return (token, now) if token is not None else None


def is_known(database: Database[dict[str, Any]], token: bytes) -> bool:
    """True if the source can still tell what happened since."""
    try:
        with Stream(database, token, await_ms=POLL_MS):
            return True
    except (TokenLostError, NoChangeStreamsError):
        return False


def cluster_time(database: Database[dict[str, Any]]) -> Timestamp | None:
    """The replica set's present time; None where there is none."""
    return database.client.admin.command("ping").get("operationTime")


def catch_up(
    database: Database[dict[str, Any]], token: bytes, collection: str, until: Timestamp
) -> Iterator[Effect]:
    """What happened to one collection from a token on, in portions to be applied in their order.

    A snapshot whose read began after `token` was taken and ended before `until` was, is consistent
    as of `until` or a little later when all portions are applied.

    Args:
        until: `cluster_time` after the snapshot's last document was read.

    Raises:
        TokenLostError: the read took longer than the source's oplog reaches back.
        CollectionReplacedError: the collection was dropped or renamed meanwhile.
        ServerUnreachableError: the source doesn't confirm its changes.
    """
    deadline = time.monotonic() + CATCH_UP_PATIENCE_SECONDS
    effect = Effect()
    # the time in a token says when all is read; without one, an empty answer must be waited for
    await_ms = AWAIT_MS if token_time(token) is None else POLL_MS
    with Stream(database, token, [collection], await_ms) as stream:
        while True:
            event = stream.read()
            if event is None:
                assert stream.token is not None
                reached = token_time(stream.token)
                # a token of an unknown form: an answer with nothing in it must do
                if reached is None or reached >= until:
                    break
                if time.monotonic() > deadline:
                    raise ServerUnreachableError(
                        "MongoDB's replica set doesn't confirm its last changes: "
                        "run again when a majority of its members is up"
                    )
                continue
            deadline = time.monotonic() + CATCH_UP_PATIENCE_SECONDS
            if event.time > until:
                break
            if event.kind not in ("insert", "update", "replace", "delete"):
                raise CollectionReplacedError(
                    f'the source\'s collection "{collection}" was dropped or renamed '
                    "while it was read: run again"
                )
            effect.add(event)
            if effect.size >= CATCH_UP_BYTES:
                yield effect
                effect = Effect()
    if effect.events:
        yield effect


def token_time(token: bytes) -> Timestamp | None:
    """The cluster time in a resume token; None if it isn't of MongoDB's form.

    MongoDB's `_data` is hexadecimal text of a KeyString: a timestamp comes first, as its type and
    8 bytes, most significant first. Other drivers and connectors read it in the same way.
    """
    data = bson.decode(token).get("_data")
    if not isinstance(data, str):
        return None
    try:
        head = bytes.fromhex(data[:18])
    except ValueError:
        return None
    if len(head) != 9 or head[0] != _KEY_STRING_TIMESTAMP:
        return None
    return Timestamp(int.from_bytes(head[1:5], "big"), int.from_bytes(head[5:], "big"))
