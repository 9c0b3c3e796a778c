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
from collections.abc import Callable, Sequence
from typing import NamedTuple

from loaders import exact as bson
from loaders.exact import DATE, OBJECT_ID

MAX_SHAPES = 256
MAX_DOCUMENT_BYTES = 16_384  # of which a shape is taken: compiling one takes 2 us per byte
SIGHTINGS = 3  # of a shape, before it is compiled
MAX_SIGHTED = 4_096
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
_FITS_INT32 = rb"(?:.{3}[\0-\x7f]\0{4}|.{3}[\x80-\xff]\xff{4})"


class Shape(NamedTuple):
    """What `match` finds deviates by `types`, which is the text for `_types`."""

    match: Callable[[bytes], re.Match[bytes] | None]
    types: str


class Shapes:
    """The shapes that were met, found by the keys of the document's first level.

    Attributes:
        latest: for whoever uses them to keep the one that fitted last.
    """

    def __init__(self) -> None:
        self.latest = Shape(lambda _: None, "")
        self._known: dict[tuple[str, ...], list[Shape]] = {}
        self._count = 0
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
            pattern = _object(document, 0)
        except _UnfitError:
            return
        if len(self._sighted) >= MAX_SIGHTED:
            self._sighted.clear()
        sightings = self._sighted.get(pattern, 0) + 1
        self._sighted[pattern] = sightings
        if sightings == SIGHTINGS:
            if self._count >= MAX_SHAPES:
                self.__init__()  # other collections, or keys that are data: begin anew
            shape = Shape(re.compile(pattern, re.DOTALL).fullmatch, types)
            self._known.setdefault(keys, []).append(shape)
            self._count += 1


class _UnfitError(Exception):
    """The document has something that no shape can vouch for."""


def _object(data: bytes, position: int) -> bytes:
    return rb".{4}%b\0" % b"".join(_elements(data, position, is_array=False))


def _array(data: bytes, position: int) -> bytes:
    elements = _elements(data, position, is_array=True)
    if elements and all(element == elements[0] for element in elements):
        elements = [b"(?:%b)+" % elements[0]]
    return rb".{4}%b\0" % b"".join(elements)


def _elements(data: bytes, position: int, *, is_array: bool) -> Sequence[bytes]:
    end = position + int.from_bytes(data[position : position + 4], "little") - 1
    position += 4
    elements = []
    while position < end:
        kind = data[position]
        start, position = position, data.index(0, position + 1) + 1
        if is_array:
            name = re.escape(data[start : start + 1]) + rb"[0-9]+\0"
        elif data[start + 1] == ord("$"):
            raise _UnfitError
        else:
            name = re.escape(data[start:position])
        size = bson.size_of(kind, data, position)
        elements.append(name + _value(kind, data, position, size))
        position += size
    return elements


def _value(kind: int, data: bytes, position: int, size: int) -> bytes:
    if kind == bson.OBJECT:
        return _object(data, position)
    if kind == bson.ARRAY:
        return _array(data, position)
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
