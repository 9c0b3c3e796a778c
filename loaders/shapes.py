r"""Shapes of BSON documents: regular expressions of bytes that tell what a document has in it.

A document that was read exactly and had nothing odd in it gives a shape: its keys and types to the
letter, any values of that type. Whatever matches it is as harmless and deviates in the same places,
so that it may be read by the driver, which is ten times as fast. Some 1 us per 600 bytes.

A value is bound to a range where other values of the type would be written in another way: a
double that jsonb prints with a point, a 64-bit integer that does or doesn't fit into 32 bits, a
string that does or doesn't look like an ObjectId or a date.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from loaders import exact as bson
from loaders.exact import DATE, OBJECT_ID

MAX_SHAPES = 256
SIGHTINGS = 3  # of a shape, before it is compiled
MAX_SIGHTED = 4_096
MAX_DOCUMENT_BYTES = 65_536  # from which a shape is taken
MAX_PATTERN_BYTES = 16_384  # compiling takes some 1 us per byte
MAX_BINARY_BYTES = 64

_LOOKALIKE = rb"(?:\x19\0\0\0%b|[\x15\x1c]\0\0\0%b)\0" % (OBJECT_ID.encode(), DATE.encode())
_VALUES = {
    bson.DOUBLE: rb".{7}[\0-\x42\x81-\xc2]",  # below 1e15, not NaN, not -0.0
    bson.OBJECT_ID_TYPE: rb".{12}",
    bson.BOOL: rb".",
    bson.UTC_DATE: rb".{8}",
    bson.NULL: rb"",
    bson.INT: rb".{4}",
    bson.TIMESTAMP: rb".{8}",
    # 0 to 32 decimal places, less than 2**112, not -0
    bson.DECIMAL: rb"(?!\0{14}.\xb0).{14}[%b][\x30\xb0]" % re.escape(bytes(range(0, 0x41, 2))),
}
# of a whole document: less than a megabyte, for the memory that a match of long arrays takes
_LENGTH = rb".{2}[\0-\x0f]\0"
_FITS_INT32 = rb"(?:.{3}[\0-\x7f]\0{4}|.{3}[\x80-\xff]\xff{4})"


class Shape(NamedTuple):
    """What `match` finds deviates by `types`, which is the text for `_types`."""

    match: Callable[[bytes], re.Match[bytes] | None]
    types: str


class Shapes:
    """The shapes that were met, found by the keys of the document's first level.

    Attributes:
        latest: for whoever uses them to keep the one that fitted last.
        count: how many there are.
    """

    def __init__(self) -> None:
        self.latest = Shape(lambda _: None, "")
        self._known: dict[tuple[str, ...], list[Shape]] = {}
        self.count = 0
        self._sighted: dict[bytes, int] = {}

    def find(self, keys: tuple[str, ...], document: bytes) -> Shape | None:
        """The shape that the document has, if it is known."""
        for shape in self._known.get(keys, ()):
            if shape.match(document):
                return shape
        return None

    def learn(self, keys: tuple[str, ...], document: bytes, types: str) -> None:
        """Note the shape of a document that was read exactly and wasn't altered."""
        if len(document) > MAX_DOCUMENT_BYTES:
            return
        try:
            pattern = _LENGTH + _object(document, 0)
        except _UnfitError:
            return
        if len(pattern) > MAX_PATTERN_BYTES:
            return
        if len(self._sighted) >= MAX_SIGHTED:
            self._sighted.clear()
        sightings = self._sighted.get(pattern, 0) + 1
        self._sighted[pattern] = sightings
        if sightings == SIGHTINGS:
            if self.count >= MAX_SHAPES:
                self.__init__()  # other collections, or keys that are data: begin anew
            shape = Shape(re.compile(pattern, re.DOTALL).fullmatch, types)
            self._known.setdefault(keys, []).append(shape)
            self.count += 1


class _UnfitError(Exception):
    """The document has something that no shape can vouch for."""


def _object(data: bytes, position: int) -> bytes:
    """What follows the object's length."""
    names, values = _elements(data, position)
    if any(name[1:2] == b"$" for name in names) and not _is_dbref(names):
        raise _UnfitError
    return rb"%b\0" % b"".join(
        re.escape(name) + value for name, value in zip(names, values, strict=True)
    )


def _array(data: bytes, position: int) -> bytes:
    names, values = _elements(data, position)
    elements = [
        rb"%b[0-9]+\0%b" % (re.escape(name[:1]), value)
        for name, value in zip(names, values, strict=True)
    ]
    if elements and all(element == elements[0] for element in elements):
        elements = [b"(?:%b)+" % elements[0]]
    return rb"%b\0" % b"".join(elements)


def _elements(data: bytes, position: int) -> tuple[list[bytes], list[bytes]]:
    """The elements' types with their names, and patterns of their values."""
    end = position + int.from_bytes(data[position : position + 4], "little") - 1
    position += 4
    names, values = [], []
    while position < end:
        start, position = position, data.index(0, position + 1) + 1
        names.append(data[start:position])
        size = bson.size_of(data[start], data, position)
        values.append(_value(data[start], data, position, size))
        position += size
    return names, values


def _is_dbref(names: list[bytes]) -> bool:
    """True for an object of which the driver makes a DBRef that has all of its keys."""
    collection, identity = b"\x02$ref\0", b"$id\0"
    return (
        names[0] == collection
        and len(names) > 1
        and names[1][1:] == identity
        and names[2:] in ([], [b"\x02$db\0"])
    )


def _value(kind: int, data: bytes, position: int, size: int) -> bytes:
    if kind == bson.OBJECT:
        return b".{4}" + _object(data, position)
    if kind == bson.ARRAY:
        return b".{4}" + _array(data, position)
    value = data[position : position + size]
    if kind == bson.STRING:
        is_lookalike = re.fullmatch(_LOOKALIKE, value)
        return _LOOKALIKE if is_lookalike else b"(?!%b).{4}[^\0]*\0" % _LOOKALIKE
    if kind == bson.LONG:
        fits = re.fullmatch(_FITS_INT32, value, re.DOTALL)
        return _FITS_INT32 if fits else b"(?!%b).{8}" % _FITS_INT32
    if kind == bson.BINARY and size <= MAX_BINARY_BYTES:
        return b"%b.{%d}" % (re.escape(value[:5]), size - 5)
    pattern = _VALUES.get(kind)
    if pattern is None or not re.fullmatch(pattern, value, re.DOTALL):
        raise _UnfitError
    return pattern
