"""What change streams see: events in order, each with a resume token."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bson.timestamp import Timestamp

from sandbox.replay.documents import CommandError, unsupported

HISTORY_LOST, INVALID_TOKEN, TOO_LARGE = 286, 260, 10334
_START = 1_700_000_000  # seconds; cluster time of the feed's beginning
_TIMESTAMP, _TOKEN_END = "82", "2B0229296E04"  # a KeyString's type; what ends a token of a time


@dataclass(frozen=True)
class _Entry:
    namespace: str
    event: dict[str, Any]
    whole: Mapping[str, Any]  # of which `event` may be a fragment
    is_too_large: bool = False


class Feed:
    """The events so far; any thread may add to them while streams wait for more."""

    def __init__(self) -> None:
        self._entries: list[_Entry] = []
        self._forgotten = 0
        self._changed = threading.Condition()

    @property
    def end(self) -> int:
        """How many events there have been."""
        return len(self._entries)

    def now(self, position: int | None = None) -> Timestamp:
        """Cluster time after so many events."""
        return Timestamp(_START + (self.end if position is None else position), 1)

    def token(self, position: int | None = None) -> dict[str, str]:
        """The resume token that stands after so many events; by default after all."""
        time = self.now(position)  # comes first in a real token, as MongoDB's KeyString
        return {"_data": f"{_TIMESTAMP}{time.time:08X}{time.inc:08X}{_TOKEN_END}"}

    def append(
        self, namespace: str, event: Mapping[str, Any], fragments: Sequence[Sequence[str]] = ()
    ) -> dict[str, Any]:
        """Add an event; `_id`, `clusterTime` and `wallTime` are given to it.

        Args:
            namespace: the database and, after a dot, the collection whose streams see it.
            event: its other fields.
            fragments: the event is too large for one document: the fields of each fragment.

        Returns:
            The event, or its first fragment.
        """
        times = {"wallTime": datetime.now(UTC)}
        with self._changed:
            first = self.end
            for number, fields in enumerate(fragments or [list(event)], start=1):
                part = {name: event[name] for name in fields}
                if fragments:
                    part["splitEvent"] = {"fragment": number, "of": len(fragments)}
                if number == 1:
                    part |= {"clusterTime": self.now(first + 1), **times}
                part = {"_id": self.token(self.end + 1), **part}
                self._entries.append(_Entry(namespace, part, event, bool(fragments)))
            self._changed.notify_all()
            return self._entries[first].event

    def forget(self) -> None:
        """The oplog has moved on: tokens from before the last event are too old from now on."""
        with self._changed:
            self._forgotten = self.end

    def start(self, stage: Mapping[str, Any]) -> int:
        """Position at which a `$changeStream` stage begins.

        Raises:
            CommandError: the token is too old, or that of an invalidate event to resume after.
        """
        if token := stage.get("startAfter") or stage.get("resumeAfter"):
            position = _position(token)
            before = self._entries[position - 1].event if 0 < position <= self.end else {}
            if before.get("operationType") == "invalidate" and "resumeAfter" in stage:
                raise CommandError(INVALID_TOKEN, "can't resume after an invalidate event")
        elif since := stage.get("startAtOperationTime"):
            position = min(max(since.time - _START - 1, 0), self.end)
        else:
            return self.end
        if position < self._forgotten:
            raise CommandError(
                HISTORY_LOST, "Resume of change stream was not possible: the history is lost"
            )
        return position

    def wait(self, position: int, seconds: float) -> None:
        """Return when there is an event after `position`, or when the time is over."""
        with self._changed:
            self._changed.wait_for(lambda: self.end > position, timeout=seconds)

    def read(
        self, stream: Stream, position: int, limit: int
    ) -> tuple[list[dict[str, Any]], int, bool]:
        """Events of a stream after `position`.

        Returns:
            The events, the position after them, and whether the stream has ended with them.
        """
        events: list[dict[str, Any]] = []
        entries = self._entries[position:]
        for entry in entries:
            position += 1
            if not stream.sees(entry.namespace, entry.whole):
                continue
            if entry.is_too_large and not stream.splits:
                raise CommandError(TOO_LARGE, "BSONObj size is invalid: it is over 16 MB")
            events.append(stream.shown(entry.event))
            if entry.event.get("operationType") == "invalidate":
                return events, position, True
            if len(events) == limit:
                break
        return events, position, False


@dataclass(frozen=True)
class Stream:
    """One open change stream.

    Attributes:
        namespace: database and collection; the database alone for all of its collections, the
            empty string for the whole server.
        operations: types of events that it asked for, None for all.
        conditions: field and the values it asked for, one of which must hold; none for all.
        hidden: top-level fields that it doesn't want.
        looks_up: it asked for the whole document of an update.
        splits: it asked for large events in fragments.
    """

    namespace: str
    operations: frozenset[str] | None
    conditions: tuple[tuple[str, frozenset[Any]], ...]
    hidden: frozenset[str]
    looks_up: bool
    splits: bool

    @classmethod
    def of(cls, namespace: str, pipeline: Sequence[Mapping[str, Any]]) -> Stream:
        """The stream that a pipeline describes.

        Raises:
            CommandError: it has a stage that isn't supported.
        """
        operations: frozenset[str] | None = None
        conditions: list[tuple[str, frozenset[Any]]] = []
        hidden: frozenset[str] = frozenset()
        splits = False
        for stage in pipeline[1:]:
            match stage:
                case {"$match": {"operationType": {"$in": names}}}:
                    operations = frozenset(names)
                case {"$match": {"$or": [*alternatives]}}:
                    for alternative in alternatives:
                        for name, value in alternative.items():
                            wanted = value["$in"] if isinstance(value, Mapping) else [value]
                            conditions.append((name, frozenset(wanted)))
                case {"$project": fields} if not any(fields.values()):
                    hidden = frozenset(fields)
                case {"$changeStreamSplitLargeEvent": _}:
                    splits = True
                case _:
                    raise unsupported(f"{next(iter(stage))} in a change stream")
        whole = pipeline[0]["$changeStream"].get("fullDocument", "default")
        return cls(namespace, operations, tuple(conditions), hidden, whole != "default", splits)

    def sees(self, namespace: str, event: Mapping[str, Any]) -> bool:
        """True if the event is one of this stream's."""
        wanted = self.operations is None or event.get("operationType", "") in self.operations
        wanted &= not self.conditions or any(
            _value(event, name) in values for name, values in self.conditions
        )
        is_here = not self.namespace or f"{namespace}.".startswith(f"{self.namespace}.")
        return is_here and (wanted or event.get("operationType") == "invalidate")

    def shown(self, event: dict[str, Any]) -> dict[str, Any]:
        """The event as this stream shows it."""
        if event.get("operationType") == "update" and not self.looks_up:
            event = {name: value for name, value in event.items() if name != "fullDocument"}
        return {name: value for name, value in event.items() if name not in self.hidden}


def _position(token: Mapping[str, Any]) -> int:
    data = str(token.get("_data"))
    if not (data.startswith(_TIMESTAMP) and data.endswith(_TOKEN_END)):
        raise CommandError(INVALID_TOKEN, "not a resume token of this server")
    return int(data[2:10], 16) - _START


def _value(event: Any, path: str) -> Any:
    """What stands at a dotted path; None where nothing does."""
    for name in path.split("."):
        event = event.get(name) if isinstance(event, Mapping) else None
    return event
