r"""Shapes of BSON documents: regular expressions of bytes that tell what a document has in it.

A document that was read exactly and had nothing odd in it gives a shape: its keys in their order,
its objects and arrays, and the values that have a note in `_types`, which must be there and be of
that type. Of other keys the value may be of any type that needs no note, or missing; arrays may be
of any length. Whatever matches is as harmless and has the same notes, so that it may go through
`transcoder.row_in_python`, which is a few times as fast. A match takes some 1 us per 600 bytes.
What C writes needs no shape: it looks at each value itself.

A value is bound to a range where other values of the type would be written in another way: a
double that jsonb prints with a point, a 64-bit integer that does or doesn't fit into 32 bits, a
string that does or doesn't look like an ObjectId or a date.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from loaders.documents import exact as bson
from loaders.documents.exact import DATE, OBJECT_ID

MAX_SHAPES = 32  # each is tried on a document that fits none
SIGHTINGS = 3  # of a shape, before it is compiled
MAX_SIGHTED = 4_096
MAX_DOCUMENT_BYTES = 65_536  # from which a shape is taken
MAX_PATTERN_BYTES = 65_536  # compiling takes some 1 us per byte
MAX_BINARY_BYTES = 64

# of a whole document: less than a megabyte, for the memory that a match of long arrays takes
_LENGTH = rb".{2}[\0-\x0f]\0"

_FITS_INT32 = rb"(?:.{3}[\0-\x7f]\0{4}|.{3}[\x80-\xff]\xff{4})"
_LOOKALIKE = rb"(?:\x19\0\0\0%b|[\x15\x1c]\0\0\0%b)\0" % (OBJECT_ID.encode(), DATE.encode())
_PLAIN_TEXT = rb"(?!\x19\0\0\0%b\0|[\x15\x1c]\0\0\0[0-9]{4}-).{4}[^\0]*\0" % OBJECT_ID.encode()

# values that need no note: nearly all of these types
_FREE = {
    bson.DOUBLE: rb".{7}[\0-\x42\x81-\xc2]",  # below 5e14, not NaN, not -0.0
    bson.STRING: _PLAIN_TEXT,
    bson.OBJECT_ID_TYPE: rb".{12}",
    bson.BOOL: rb".",
    bson.UTC_DATE: rb".{8}",
    bson.NULL: rb"",
    bson.INT: rb".{4}",
    bson.LONG: rb"(?!%b).{8}" % _FITS_INT32,
}
# values of these types with the same note each
_NOTED = {
    bson.STRING: _LOOKALIKE,
    bson.LONG: _FITS_INT32,
    # 0 to 32 decimal places, less than 2**112, not -0
    bson.DECIMAL: rb"(?!\0{14}.\xb0).{14}[%b][\x30\xb0]" % re.escape(bytes(range(0, 0x41, 2))),
}
_DBREFS = ([b"$ref\0", b"$id\0"], [b"$ref\0", b"$id\0", b"$db\0"])
_DBREF_TEXTS = (b"$ref\0", b"$db\0")


class Shape(NamedTuple):
    """What `match` finds has the notes `types`, which is the text for `_types`."""

    match: Callable[[bytes], re.Match[bytes] | None]
    types: str


class Shapes:
    """The shapes that were met.

    Attributes:
        latest: the one that fitted last.
    """

    def __init__(self) -> None:
        self.latest = Shape(lambda _: None, "")
        self._known: list[Shape] = []  # the one that was needed last comes first
        self._sighted: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self._known)

    def find(self, document: bytes) -> Shape | None:
        """The shape that the document has, if it is known."""
        for position, shape in enumerate(self._known):
            if shape.match(document):
                self._known.insert(0, self._known.pop(position))
                return shape
        return None

    def learn(self, document: bytes, types: str) -> None:
        """Note the shape of a document that was read exactly and wasn't altered."""
        if len(document) > MAX_DOCUMENT_BYTES:
            return
        try:
            pattern = _LENGTH + _object(document, 0)[0]
            if len(pattern) > MAX_PATTERN_BYTES or not self._is_frequent(pattern):
                return
            shape = Shape(re.compile(pattern, re.DOTALL).fullmatch, types)
        except (_UnfitError, RecursionError):
            return
        self._known.insert(0, shape)
        del self._known[MAX_SHAPES:]

    def _is_frequent(self, pattern: bytes) -> bool:
        if len(self._sighted) >= MAX_SIGHTED:
            self._sighted.clear()
        self._sighted[pattern] = self._sighted.get(pattern, 0) + 1
        # again after as many as that: it may have been dropped for others
        return self._sighted[pattern] % SIGHTINGS == 0


class _UnfitError(Exception):
    """The document has something that no shape can vouch for."""


def _object(data: bytes, position: int) -> tuple[bytes, bool]:
    """What follows the object's length, and whether it has notes."""
    members = list(_elements(data, position))
    keys = [key for _, key, _ in members]
    # the driver makes a DBRef of it, and loses some of any other
    is_dbref = keys in _DBREFS and all(
        kind == bson.STRING for kind, key, _ in members if key in _DBREF_TEXTS
    )
    if not is_dbref and any(key[0] == ord("$") for key in keys):
        raise _UnfitError
    parts, has_notes = [], False
    for kind, key, value_at in members:
        value, has_note = _value(kind, data, value_at)
        name = re.escape(key)
        own = re.escape(bytes([kind])) + name + value
        if not has_note and not is_dbref:
            own = _any_of(own, *_free(name, but=kind), *([] if key == b"_id\0" else [b""]))
        parts.append(own)
        has_notes |= has_note
    return rb"%b\0" % b"".join(parts), has_notes


def _array(data: bytes, position: int) -> tuple[bytes, bool]:
    name = rb"[0-9]+\0"
    elements, has_notes = [], False
    for kind, _, value_at in _elements(data, position):
        value, has_note = _value(kind, data, value_at)
        elements.append(re.escape(bytes([kind])) + name + value)
        has_notes |= has_note
    distinct = list(dict.fromkeys(elements))
    if not has_notes:
        return rb"%b*\0" % _any_of(*distinct, *_free(name)), False
    # `_types` has one tree for all elements, or that of each
    return rb"%b\0" % (b"(?:%b)+" % distinct[0] if len(distinct) == 1 else b"".join(elements)), True


def _any_of(*patterns: bytes) -> bytes:
    return b"(?:%b)" % b"|".join(dict.fromkeys(patterns))


def _free(name: bytes, but: int | None = None) -> Iterator[bytes]:
    """Elements of this name that need no note, but for those of one type."""
    for kind, value in _FREE.items():
        if kind != but:
            yield re.escape(bytes([kind])) + name + value


def _elements(data: bytes, position: int) -> Iterator[tuple[int, bytes, int]]:
    """Type, key with its NUL, and the value's place of each element."""
    end = position + int.from_bytes(data[position : position + 4], "little") - 1
    position += 4
    while position < end:
        kind, value_at = data[position], data.index(0, position + 1) + 1
        yield kind, data[position + 1 : value_at], value_at
        position = value_at + bson.size_of(kind, data, value_at)


def _value(kind: int, data: bytes, position: int) -> tuple[bytes, bool]:
    """The pattern of one value, and whether it has notes."""
    if kind in (bson.OBJECT, bson.ARRAY):
        inside, has_notes = (_object if kind == bson.OBJECT else _array)(data, position)
        return b".{4}" + inside, has_notes
    value = data[position : position + bson.size_of(kind, data, position)]
    if kind == bson.TIMESTAMP:
        return rb".{8}", False
    if kind == bson.BINARY and len(value) <= MAX_BINARY_BYTES:
        return b"%b.{%d}" % (re.escape(value[:5]), len(value) - 5), False
    for patterns, has_note in ((_FREE, False), (_NOTED, True)):
        if kind in patterns and re.fullmatch(patterns[kind], value, re.DOTALL):
            return patterns[kind], has_note
    raise _UnfitError
