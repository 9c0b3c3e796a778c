"""BSON built and taken apart byte by byte, by code that shares nothing with the loader's."""

from __future__ import annotations

import struct
from typing import Any

OBJECT_ID = bytes.fromhex("5f1e8a9b0c2d3e4f5a6b7c8d")

SIZES = {1: 8, 6: 0, 7: 12, 8: 1, 9: 8, 10: 0, 16: 4, 17: 8, 18: 8, 19: 16, 127: 0, 255: 0}


def element(kind: int, key: bytes, value: bytes) -> bytes:
    return bytes([kind]) + key + b"\0" + value


def raw_object(*elements: bytes) -> bytes:
    body = b"".join(elements)
    return struct.pack("<i", len(body) + 5) + body + b"\0"


def of_members(members: dict[bytes, tuple[int, bytes]]) -> bytes:
    return raw_object(*(element(kind, key, value) for key, (kind, value) in members.items()))


def raw_array(*values: tuple[int, bytes]) -> bytes:
    return raw_object(*(element(kind, b"%d" % i, value) for i, (kind, value) in enumerate(values)))


def raw_document(*elements: bytes, identity: bytes | None = None) -> bytes:
    first = element(7, b"_id", OBJECT_ID) if identity is None else identity
    return raw_object(first, *elements)


def string(text: bytes) -> bytes:
    return struct.pack("<i", len(text) + 1) + text + b"\0"


def binary(subtype: int, data: bytes) -> bytes:
    if subtype == 2:
        data = struct.pack("<i", len(data)) + data
    return struct.pack("<iB", len(data), subtype) + data


def scoped_code(code: bytes, scope: bytes) -> bytes:
    data = string(code) + scope
    return struct.pack("<i", len(data) + 4) + data


def content(data: bytes) -> dict[bytes, Any]:
    """A document as nested dicts and lists of (type, bytes): equal if all but key order is.

    Raises:
        ValueError: a key stands twice.
    """
    found = dict(pairs := list(_elements(data)))
    if len(found) < len(pairs):
        raise ValueError("a key stands twice")
    return found


def _elements(data: bytes) -> Any:
    position = 4
    assert struct.unpack("<i", data[:4]) == (len(data),)
    while kind := data[position]:
        stop = data.index(0, position + 1)
        key, position = data[position + 1 : stop], stop + 1
        (length,) = struct.unpack("<i", data[position : position + 4].ljust(4, b"\0"))
        if kind in SIZES:
            size = SIZES[kind]
        elif kind in (2, 13, 14):
            size = length + 4
        elif kind == 5:
            size = length + 5
        elif kind == 11:
            size = data.index(0, data.index(0, position) + 1) + 1 - position
        elif kind == 12:
            size = length + 16
        else:
            assert kind in (3, 4, 15), kind
            size = length
        value = data[position : position + size]
        position += size
        yield key, (kind, _value(kind, value))
    assert position == len(data) - 1


def _value(kind: int, value: bytes) -> Any:
    if kind == 3:
        return content(value)
    if kind == 4:
        return [item for _, item in _elements(value)]
    if kind == 15:
        scope_at = 8 + struct.unpack("<i", value[4:8])[0]
        return value[4:scope_at], content(value[scope_at:])
    return value
