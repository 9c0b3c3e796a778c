"""Rows in Postgres' COPY binary format.

Postgres takes them with a fifth less work than the same rows as text: no field has to be searched
for its end, unescaped and parsed (https://www.postgresql.org/docs/current/sql-copy.html).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"
JSONB_VERSION = b"\x01"  # a byte before the JSON

_NULL = b"\xff\xff\xff\xff"
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_NAIVE_EPOCH = _EPOCH.replace(tzinfo=None)
_MICROSECOND = timedelta(microseconds=1)


def row(*fields: bytes | None) -> bytes:
    """One row; None is null."""
    parts = [len(fields).to_bytes(2, "big")]
    for field in fields:
        if field is None:
            parts.append(_NULL)
        else:
            parts += len(field).to_bytes(4, "big"), field
    return b"".join(parts)


def timestamp(naive: datetime) -> bytes:
    """A field of type timestamptz, of a naive UTC time."""
    return ((naive - _NAIVE_EPOCH) // _MICROSECOND).to_bytes(8, "big", signed=True)


def moment(field: bytes) -> datetime:
    """The time (UTC) in a field of type timestamptz."""
    return _EPOCH + int.from_bytes(field, "big", signed=True) * _MICROSECOND


def fields_of(rows: bytes) -> Iterator[list[bytes | None]]:
    """The fields of each row; of none but whole rows."""
    at = 0
    while at < len(rows):
        (count,) = struct.unpack_from("!h", rows, at)
        at += 2
        fields: list[bytes | None] = []
        for _ in range(count):
            (size,) = struct.unpack_from("!i", rows, at)
            at += 4
            fields.append(None if size < 0 else rows[at : at + size])
            at += max(size, 0)
        yield fields


def document_as_text(fields: list[bytes | None]) -> bytes:
    """The same row of (_id, _source_ts, _doc_hash, _types, doc) in the text format; '' is null."""
    identity, source_ts, digest, types, doc = fields
    stamp = (
        moment(source_ts).replace(tzinfo=None).isoformat().encode() + b"Z" if source_ts else None
    )
    document = doc and doc.removeprefix(JSONB_VERSION)
    line = b"\t".join(field or b"" for field in (identity, stamp, digest, types, document))
    return line.replace(b"\\", b"\\\\") + b"\n"
