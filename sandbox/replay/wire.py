"""Framing of the MongoDB wire protocol: OP_MSG, and OP_QUERY for a driver's first hello.

https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import bson
from bson.codec_options import CodecOptions, DatetimeConversion

# dates as numbers: those before year 1 and after 9999 are dates too
OPTIONS = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_MS)

_HEADER = struct.Struct("<iiii")  # length, request id, response to, operation
_REPLY, _QUERY, _MSG = 1, 2004, 2013
_CHECKSUM_PRESENT, _MORE_TO_COME = 1, 2

MAX_BATCH = 100_000  # documents that a reply may hold
_KEYS = [b"\x03%d\0" % position for position in range(MAX_BATCH)]


@dataclass(frozen=True)
class Request:
    """One command.

    Attributes:
        command: its document; sections of documents are in it as lists.
        is_legacy: it came as OP_QUERY and is answered with OP_REPLY.
        is_answered: the sender waits for a reply.
    """

    id: int
    command: dict[str, Any]
    is_legacy: bool = False
    is_answered: bool = True


def read(stream: BinaryIO) -> Request | None:
    """The next request, or None when the sender has closed the connection."""
    head = stream.read(_HEADER.size)
    if len(head) < _HEADER.size:
        return None
    length, request_id, _, operation = _HEADER.unpack(head)
    body = stream.read(length - _HEADER.size)
    if len(body) < length - _HEADER.size:
        return None
    if operation == _MSG:
        flags = int.from_bytes(body[:4], "little")
        end = len(body) - 4 * bool(flags & _CHECKSUM_PRESENT)
        return Request(request_id, _sections(body[4:end]), is_answered=not flags & _MORE_TO_COME)
    if operation == _QUERY:
        name_end = body.index(0, 4)
        command = bson.decode(body[name_end + 9 :], OPTIONS)  # past skip and limit
        database = body[4:name_end].decode().partition(".")[0]
        return Request(request_id, {**command, "$db": database}, is_legacy=True)
    raise ValueError(f"operation {operation} is not served")


def _sections(body: bytes) -> dict[str, Any]:
    command: dict[str, Any] = {}
    position = 0
    while position < len(body):
        kind = body[position]
        position += 1
        size = int.from_bytes(body[position : position + 4], "little")
        section = body[position : position + size]
        position += size
        if kind == 0:
            command = bson.decode(section, OPTIONS) | command
        else:  # a list of documents under its name
            name_end = section.index(0, 4)
            command[section[4:name_end].decode()] = bson.decode_all(
                section[name_end + 1 :], OPTIONS
            )
    return command


def message(request: Request, body: bytes) -> bytes:
    """The answer to a request whose reply document is `body`."""
    if request.is_legacy:
        operation, start = _REPLY, struct.pack("<iqii", 8, 0, 0, 1)  # one document follows
    else:
        operation, start = _MSG, b"\0\0\0\0\0"  # no flags; a section of kind 0
    length = _HEADER.size + len(start) + len(body)
    return b"".join((_HEADER.pack(length, 0, request.id, operation), start, body))


def cursor_body(
    name: str,
    documents: Sequence[bytes],
    cursor: Mapping[str, Any],
    rest: Mapping[str, Any],
) -> bytes:
    """A cursor's reply around documents that are BSON already.

    Args:
        name: `firstBatch` or `nextBatch`.
        documents: at most `MAX_BATCH`.
        cursor: the other fields of `cursor`.
        rest: the fields beside `cursor`.
    """
    elements = [b""] * (2 * len(documents))
    elements[::2] = _KEYS[: len(documents)]
    elements[1::2] = documents
    batch = b"\x04" + name.encode() + b"\0" + _document(b"".join(elements))
    fields = _document(batch, bson.encode(cursor)[4:-1])
    return _document(b"\x03cursor\0", fields, bson.encode(rest)[4:-1])


def _document(*elements: bytes) -> bytes:
    length = 5 + sum(map(len, elements))
    return b"".join((length.to_bytes(4, "little"), *elements, b"\0"))
