"""Reads one BSON document to the letter: its values as JSON has them, and all that JSON hides.

Drivers smooth things over: of a key that stands twice the last is kept, obsolete types become
others. Here nothing is passed over in silence. The price is a walk in Python, some 0.5 us a value,
so `documents.encoding` reads this way only what isn't of a shape that is known to be harmless.
"""

from __future__ import annotations

import math
import re
import struct
from base64 import b64encode
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import orjson

from loaders.documents import decimals

# What doc's text shows by itself (`documents.decoding` reads it so). Data that happen to look like
# that have a note in `_types`.
OBJECT_ID = "[0-9a-f]{24}"
DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{3}000)?Z"
LOOKALIKE = re.compile(f"{OBJECT_ID}|{DATE}")
EXTENDED = {
    frozenset(keys)
    for keys in (
        ["$binary"],
        ["$regularExpression"],
        ["$timestamp"],
        ["$minKey"],
        ["$maxKey"],
        ["$code"],
        ["$code", "$scope"],
        ["$date"],
    )
}

EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 -- BSON dates are UTC; naive ones are cheaper to print
FIRST_MS, LAST_MS = -62_135_596_800_000, 253_402_300_799_999  # years 1 to 9999
NAN = struct.pack("<d", math.nan)
WHOLE = 1e16  # doubles from here on are written as digits without a point
INT32 = range(-(2**31), 2**31)

# element types, as bsonspec.org numbers them
DOUBLE, STRING, OBJECT, ARRAY, BINARY, UNDEFINED, OBJECT_ID_TYPE = 1, 2, 3, 4, 5, 6, 7
BOOL, UTC_DATE, NULL, REGEX, DB_POINTER, CODE, SYMBOL, SCOPED_CODE = 8, 9, 10, 11, 12, 13, 14, 15
INT, TIMESTAMP, LONG, DECIMAL, MAX_KEY, MIN_KEY = 16, 17, 18, 19, 127, 255

# bytes after the key of each type whose values have one size
FIXED = {DOUBLE: 8, UNDEFINED: 0, OBJECT_ID_TYPE: 12, BOOL: 1, UTC_DATE: 8, NULL: 0}
FIXED |= {INT: 4, TIMESTAMP: 8, LONG: 8, DECIMAL: 16, MAX_KEY: 0, MIN_KEY: 0}

# bytes around what the length in front of a value counts: itself, a subtype, an ObjectId
_AROUND = {STRING: 4, CODE: 4, SYMBOL: 4, BINARY: 5, DB_POINTER: 16}
_AROUND |= {OBJECT: 0, ARRAY: 0, SCOPED_CODE: 0}

Tree = str | dict[str, Any] | list[Any] | None
"""Which values have another type than `doc` shows (`documents.decoding`); None: there are none."""

_DOUBLE = struct.Struct("<d")

BROKEN = (ValueError, IndexError, struct.error, RecursionError)
"""What is raised for BSON that isn't sound, or nested more than some 400 levels deep."""


@dataclass(slots=True)
class Exact:
    """A document as it is to be written.

    Attributes:
        document: for orjson, which needs no hook for it.
        types: for `_types`.
        reasons: what of it `document` can't show; the same order every time.
    """

    document: dict[str, Any]
    types: Tree
    reasons: list[str]


def read(data: bytes) -> Exact:
    """Read one document.

    Raises:
        One of BROKEN.
    """
    reader = _Reader(data)
    document, types, end = reader.container(OBJECT, 0)
    if end != len(data):
        raise ValueError(f"it ends at byte {end} of {len(data)}")
    return Exact(document, types, sorted(reader.reasons))


def size_of(kind: int, data: bytes, position: int) -> int:
    """Bytes of the value of this type that begins there."""
    if kind in FIXED:
        return FIXED[kind]
    if kind == REGEX:  # two C strings
        return data.index(0, data.index(0, position) + 1) + 1 - position
    if kind not in _AROUND:
        raise ValueError(f"there is no type {kind}")
    return _AROUND[kind] + int.from_bytes(data[position : position + 4], "little")


@dataclass(slots=True)
class _Reader:
    data: bytes
    reasons: set[str] = field(default_factory=set)

    def container(self, kind: int, position: int) -> tuple[Any, Tree, int]:
        """The value of a type that holds others, its tree, and where it ends."""
        if kind == OBJECT:
            keys, values, trees, end = self.elements(position)
            return *self.object(keys, values, trees), end
        if kind == ARRAY:
            # what the elements are called ("0", "1", …) is of no account, says the standard
            _, values, trees, end = self.elements(position)
            return values, _common(trees), end
        end = position + size_of(kind, self.data, position)  # code with its scope
        scope_at = position + 4 + size_of(CODE, self.data, position + 4)
        code, _ = self.code(self.data[position + 4 : scope_at])
        scope, tree, scope_end = self.container(OBJECT, scope_at)
        if scope_end != end:
            raise ValueError(f"code with its scope ends at byte {scope_end} instead of {end}")
        return code | {"$scope": scope}, {"$scope": tree} if tree else None, end

    def elements(self, position: int) -> tuple[list[bytes], list[Any], list[Tree], int]:
        """Keys, values and trees of the object or array that begins there, and where it ends."""
        data = self.data
        end = position + int.from_bytes(data[position : position + 4], "little") - 1
        position += 4
        keys: list[bytes] = []
        values: list[Any] = []
        trees: list[Tree] = []
        while position < end:
            kind = data[position]
            stop = data.index(0, position + 1)
            keys.append(data[position + 1 : stop])
            start = stop + 1
            read = _SCALARS.get(kind)
            if read is None:
                value, tree, position = self.container(kind, start)
            else:
                size = FIXED.get(kind)
                position = start + (size_of(kind, data, start) if size is None else size)
                value, tree = read(self, data[start:position])
            values.append(value)
            trees.append(tree)
        if position != end or data[end]:
            raise ValueError(f"an object or array ends at byte {position} instead of {end}")
        return keys, values, trees, end + 1

    def object(
        self, keys: list[bytes], values: list[Any], trees: list[Tree]
    ) -> tuple[dict[str, Any], Tree]:
        try:
            names = [key.decode() for key in keys]
        except UnicodeDecodeError:
            names = [self.text(key) for key in keys]
        members = dict(zip(names, values, strict=True))
        if len(members) < len(names):
            self.reasons.add("a key that stands twice in one object")
        types: Tree = None
        if any(trees):  # of a key that stands twice, the last one's
            noted = dict(zip(names, trees, strict=True))
            types = {name: tree for name, tree in noted.items() if tree} or None
        if len(members) < 3 and frozenset(members) in EXTENDED:  # data with our own forms' names
            return members, ["object", types] if types else "object"
        return members, types

    def text(self, data: bytes) -> str:
        """UTF-8 that jsonb can hold."""
        try:
            text = data.decode()
        except UnicodeDecodeError:
            self.reasons.add("text that is not UTF-8")
            text = data.decode(errors="replace")
        if "\0" in text:
            self.reasons.add("NUL in text")
            text = text.replace("\0", "\ufffd")
        return text

    def counted(self, data: bytes) -> str:
        """Text with its length in front and a NUL after it."""
        if len(data) < 5 or data[-1]:
            raise ValueError("no NUL ends a string")
        return self.text(data[4:-1])

    def string(self, data: bytes) -> tuple[str, Tree]:
        text = self.counted(data)
        return text, "string" if len(text) < 28 and LOOKALIKE.fullmatch(text) else None

    def symbol(self, data: bytes) -> tuple[str, Tree]:
        self.reasons.add("the obsolete type symbol")
        return self.string(data)

    def undefined(self, _: bytes) -> tuple[None, Tree]:
        self.reasons.add("the obsolete type undefined")
        return None, None

    def db_pointer(self, data: bytes) -> tuple[dict[str, str], Tree]:
        self.reasons.add("the obsolete type DBPointer")
        collection, tree = self.string(data[:-12])
        return {"$ref": collection, "$id": data[-12:].hex()}, tree and {"$ref": tree}

    def code(self, data: bytes) -> tuple[dict[str, str], Tree]:
        return {"$code": self.counted(data)}, None

    def regex(self, data: bytes) -> tuple[dict[str, Any], Tree]:
        pattern, options, _ = data.split(b"\0")
        named = {"pattern": self.text(pattern), "options": self.text(options)}
        return {"$regularExpression": named}, None


def _common(trees: list[Tree]) -> Tree:
    """One tree for all elements of an array, or those of single ones by their index."""
    if not any(trees):
        return None
    if all(tree == trees[0] for tree in trees):
        return [trees[0]]
    return {f"#{index}": tree for index, tree in enumerate(trees) if tree is not None}


def _double(_: _Reader, data: bytes) -> tuple[Any, Tree]:
    (value,) = _DOUBLE.unpack(data)
    if value != value:
        return "NaN", "double" if data == NAN else f"double:{data.hex()}"
    if value in (math.inf, -math.inf):
        return "Infinity" if value > 0 else "-Infinity", "double"
    if value == 0 and data[7]:
        return value, f"double:{data.hex()}"
    return value, "double" if abs(value) >= WHOLE else None


def _bool(_: _Reader, data: bytes) -> tuple[bool, Tree]:
    if data not in (b"\0", b"\1"):
        raise ValueError(f"a boolean is {data.hex()}")
    return data == b"\1", None


def _binary(_: _Reader, data: bytes) -> tuple[Any, Tree]:
    content = data[5:]
    if data[4] == 2:  # the old subtype has its length once more inside
        if int.from_bytes(content[:4], "little") != len(content) - 4:
            raise ValueError("binary of subtype 2 has two lengths")
        content = content[4:]
    named = {"base64": b64encode(content).decode(), "subType": f"{data[4]:02x}"}
    return {"$binary": named}, None


def _date(_: _Reader, data: bytes) -> tuple[Any, Tree]:
    milliseconds = int.from_bytes(data, "little", signed=True)
    if FIRST_MS <= milliseconds <= LAST_MS:
        return EPOCH + timedelta(milliseconds=milliseconds), None
    return {"$date": {"$numberLong": str(milliseconds)}}, None


def _timestamp(_: _Reader, data: bytes) -> tuple[Any, Tree]:
    increment, time = struct.unpack("<II", data)
    return {"$timestamp": {"t": time, "i": increment}}, None


def _int(_: _Reader, data: bytes) -> tuple[int, Tree]:
    return int.from_bytes(data, "little", signed=True), None


def _long(_: _Reader, data: bytes) -> tuple[int, Tree]:
    value = int.from_bytes(data, "little", signed=True)
    return value, "long" if value in INT32 else None


def _decimal(_: _Reader, data: bytes) -> tuple[Any, Tree]:
    tree = "decimal" if decimals.is_plain(data) else f"decimal:{data.hex()}"
    return orjson.Fragment(decimals.to_text(data)), tree


_SCALARS = {
    DOUBLE: _double,
    STRING: _Reader.string,
    BINARY: _binary,
    UNDEFINED: _Reader.undefined,
    OBJECT_ID_TYPE: lambda _, data: (data.hex(), None),
    BOOL: _bool,
    UTC_DATE: _date,
    NULL: lambda _, __: (None, None),
    REGEX: _Reader.regex,
    DB_POINTER: _Reader.db_pointer,
    CODE: _Reader.code,
    SYMBOL: _Reader.symbol,
    INT: _int,
    TIMESTAMP: _timestamp,
    LONG: _long,
    DECIMAL: _decimal,
    MAX_KEY: lambda _, __: ({"$maxKey": 1}, None),
    MIN_KEY: lambda _, __: ({"$minKey": 1}, None),
}
