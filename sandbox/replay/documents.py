"""A collection in memory: BSON documents in the order of their `_id`, found by indexes.

Each field that a query names gets an index when it is first asked for, so that no query looks at
documents one by one. What isn't understood is refused, never ignored.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from itertools import accumulate
from typing import Any

import bson
from bson.binary import Binary
from bson.code import Code
from bson.datetime_ms import DatetimeMS
from bson.dbref import DBRef
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.max_key import MaxKey
from bson.min_key import MinKey
from bson.objectid import ObjectId
from bson.regex import Regex
from bson.timestamp import Timestamp

from sandbox.replay.wire import MAX_BATCH, OPTIONS

BATCH_BYTES = 16 * 1024 * 1024  # where a server ends a batch
BAD_VALUE = 2

_OBJECT_ID_FIRST = b"\x07_id\0"
# a type's place in the order of BSON values, its names for `$type`
_TYPES: dict[type, tuple[int, str]] = {
    MinKey: (0, "minKey"),
    type(None): (1, "null"),
    int: (2, "int"),
    Int64: (2, "long"),
    float: (2, "double"),
    Decimal128: (2, "decimal"),
    str: (3, "string"),
    dict: (4, "object"),
    DBRef: (4, "object"),
    list: (5, "array"),
    bytes: (6, "binData"),
    Binary: (6, "binData"),
    ObjectId: (7, "objectId"),
    bool: (8, "bool"),
    DatetimeMS: (9, "date"),
    Timestamp: (10, "timestamp"),
    Regex: (11, "regex"),
    Code: (12, "javascript"),
    MaxKey: (13, "maxKey"),
}
_MISSING = object()

Key = tuple[int, Any]


class CommandError(Exception):
    """A command fails: the reply has this code."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def unsupported(what: str) -> CommandError:
    """The replay server doesn't do that."""
    return CommandError(BAD_VALUE, f"the replay server doesn't support {what}")


def order(value: Any) -> Key:
    """What BSON values are sorted and compared by: the place of the type, then the value."""
    rank = _TYPES[type(value)][0]
    match value:
        case bool():
            return rank, value
        case int() | float():
            return rank, (0, 0) if math.isnan(value) else (1, value)
        case Decimal128():
            number = value.to_decimal()
            return rank, (0, 0) if number.is_nan() else (1, number)
        case str():
            return rank, value.encode("utf-8", "surrogatepass")
        case dict():
            return rank, tuple((order(item)[0], name, order(item)) for name, item in value.items())
        case DBRef():
            return order(dict(value.as_doc()))
        case list():
            return rank, tuple(map(order, value))
        case bytes():
            return rank, (len(value), getattr(value, "subtype", 0), bytes(value))
        case ObjectId():
            return rank, value.binary
        case DatetimeMS():
            return rank, int(value)
        case Timestamp():
            return rank, (value.time, value.inc)
        case Regex():
            return rank, (value.pattern, value.flags)
        case _:
            return rank, 0


def id_order(document: bytes) -> Key:
    """`order` of a document's `_id`, without decoding it where that is an ObjectId."""
    if document[4:9] == _OBJECT_ID_FIRST:
        return 7, document[9:21]
    return order(bson.decode(document, OPTIONS).get("_id"))


class Index:
    """Positions of documents by the value of a field; an array is there with each element."""

    def __init__(self, values: Iterable[tuple[Any, int]]) -> None:
        self.types: dict[str, set[int]] = {}
        entries: list[tuple[Key, int]] = []
        for value, position in values:
            if value is _MISSING:
                entries.append((order(None), position))
                continue
            for item in [value, *value] if type(value) is list else [value]:
                self.types.setdefault(_TYPES[type(item)][1], set()).add(position)
                entries.append((order(item), position))
        entries.sort()
        self._keys = [key for key, _ in entries]
        self.positions = [position for _, position in entries]

    def equal(self, value: Any) -> set[int]:
        """Documents with this value; null finds those without the field too."""
        key = order(value)
        return self._slice(bisect_left(self._keys, key), bisect_right(self._keys, key))

    def compare(self, operator: str, value: Any) -> set[int]:
        """Documents with a value of the same type that is greater or less."""
        key = order(value)
        first, end = bisect_left(self._keys, (key[0],)), bisect_left(self._keys, (key[0] + 1,))
        match operator:
            case "$gt":
                first = bisect_right(self._keys, key)
            case "$gte":
                first = bisect_left(self._keys, key)
            case "$lt":
                end = bisect_left(self._keys, key)
            case "$lte":
                end = bisect_right(self._keys, key)
        return self._slice(first, end)

    def bound(self, value: Any) -> int:
        """How many entries come before this value."""
        return bisect_left(self._keys, order(value))

    def _slice(self, first: int, end: int) -> set[int]:
        return set(self.positions[first:end])


class Documents:
    """The documents of one collection, never changed: `put` and `without` give another one.

    Args:
        documents: mappings, or BSON; of two with the same `_id` both are served.
    """

    def __init__(self, documents: Iterable[bytes | Mapping[str, Any]] = ()) -> None:
        raw = [one if isinstance(one, bytes) else bson.encode(one) for one in documents]
        if any(map(_is_greater, raw, raw[1:])):
            raw.sort(key=id_order)
        self.raw = raw
        self._indexes: dict[str, Index] = {}

    def __len__(self) -> int:
        return len(self.raw)

    @cached_property
    def size(self) -> int:
        """Bytes of BSON."""
        return sum(map(len, self.raw))

    def index(self, field: str) -> Index:
        """The index on a field, made now if it is the first time."""
        if field not in self._indexes:
            self._indexes[field] = Index(self._values(field))
        return self._indexes[field]

    def put(self, document: Mapping[str, Any]) -> Documents:
        """With this document, instead of the one that has its `_id`."""
        return Documents([*self.without(document["_id"]).raw, bson.encode(document)])

    def without(self, identity: Any) -> Documents:
        """Without the document that has this `_id`."""
        gone = self.index("_id").equal(identity)
        return Documents(raw for position, raw in enumerate(self.raw) if position not in gone)

    def find(self, command: Mapping[str, Any]) -> Sequence[int]:
        """Positions of the documents that a find command asks for, in its order.

        Raises:
            CommandError: the command has something that isn't supported.
        """
        query = command.get("filter") or {}
        found: Sequence[int] = self._matching(query)
        if command.get("min") or command.get("max"):
            found = self._bounded(found, command.get("min"), command.get("max"))
        if sort := command.get("sort"):
            found = self._sorted(found, sort)
        skip, limit = command.get("skip", 0), abs(command.get("limit", 0))
        return found[skip : skip + limit if limit else None]

    def batch(self, positions: Sequence[int], start: int, count: int | None) -> list[bytes]:
        """At most `count` documents from `positions[start]` on, and no more than a reply holds."""
        chosen = positions[start : start + min(count or MAX_BATCH, MAX_BATCH)]
        if isinstance(chosen, range) and chosen.step == 1:
            documents = self.raw[chosen.start : chosen.stop]
        else:
            documents = list(map(self.raw.__getitem__, chosen))
        ends = list(accumulate(map(len, documents)))
        return documents[: max(1, bisect_right(ends, BATCH_BYTES))]

    def _values(self, field: str) -> Iterable[tuple[Any, int]]:
        path = field.split(".")
        for position, raw in enumerate(self.raw):
            if field == "_id" and raw[4:9] == _OBJECT_ID_FIRST:
                yield ObjectId(raw[9:21]), position
                continue
            value: Any = bson.decode(raw, OPTIONS)
            for name in path:
                value = value.get(name, _MISSING) if isinstance(value, dict) else _MISSING
            yield value, position

    def _matching(self, query: Mapping[str, Any]) -> Sequence[int]:
        everything = range(len(self.raw))
        if not query:
            return everything
        return sorted(set.intersection(*(self._where(*item) for item in query.items())))

    def _where(self, field: str, condition: Any) -> set[int]:
        match field:
            case "$or":
                return set().union(*map(self._matching, condition))
            case "$and":
                return set.intersection(*(set(self._matching(part)) for part in condition))
            case "$comment":
                return set(range(len(self.raw)))
        if field.startswith("$"):
            raise unsupported(f"{field} in a filter")
        index = self.index(field)
        if not isinstance(condition, dict) or not any(key.startswith("$") for key in condition):
            return index.equal(condition)
        return set.intersection(*(self._apply(index, *item) for item in condition.items()))

    def _apply(self, index: Index, operator: str, value: Any) -> set[int]:
        match operator:
            case "$eq":
                return index.equal(value)
            case "$in":
                return set().union(*map(index.equal, value))
            case "$gt" | "$gte" | "$lt" | "$lte":
                return index.compare(operator, value)
            case "$type":
                names = value if isinstance(value, list) else [value]
                return set().union(*(index.types.get(name, ()) for name in names))
            case "$ne":
                return set(range(len(self.raw))) - index.equal(value)
            case "$exists":
                there = set().union(*index.types.values())
                return there if value else set(range(len(self.raw))) - there
        raise unsupported(f"{operator} in a filter")

    def _bounded(self, found: Sequence[int], low: Any, high: Any) -> Sequence[int]:
        """Those from the bound `min` to before `max`, which cross the borders of types."""
        if {*(low or {}), *(high or {})} - {"_id"}:
            raise unsupported("min and max of another index than that of _id")
        index = self.index("_id")
        first = index.bound(low["_id"]) if low else 0
        end = index.bound(high["_id"]) if high else len(self.raw)
        if isinstance(found, range):
            return found[first : max(first, end)]
        return [position for position in found if first <= position < end]

    def _sorted(self, found: Sequence[int], sort: Mapping[str, int]) -> Sequence[int]:
        """In the order of one field and then of `_id`."""
        (field, direction), *more = sort.items()
        if more not in ([], [("_id", direction)]):
            raise unsupported(f"the sort {dict(sort)}")
        if field not in ("_id", "$natural"):
            wanted = set(found)
            ordered = self.index(field).positions
            found = list(dict.fromkeys(position for position in ordered if position in wanted))
        return found[::-1] if direction < 0 else found


def _is_greater(one: bytes, other: bytes) -> bool:
    return id_order(one) > id_order(other)
