"""BSON documents to rows in Postgres' COPY binary format. Pure: no server, no clock.

Most documents are written by `transcoder` in C; one that this passes on, in Python, if it is of a
shape that was met before (`shapes`); any other is read to the letter (`exact`). They go through in
slices of some 32 KB, which stay in the processor's cache: a whole 16 MB batch costs more.

How a document is written (`doc`, jsonb), and what is then noted of a value in `_types`:

    BSON                         doc                                        _types
    string                       the text                                   "string" if it looks
                                                                            like one of the next two
    ObjectId                     24 lower-case hex digits
    UTC date, years 1 to 9999    "2024-01-31T12:00:00Z", with .123000
                                 where it has milliseconds
    any other date               {"$date": {"$numberLong": "<ms since 1970>"}}
    bool, null, array            true and false, null, [...]
    object                       {...}                                      "object" if it has the
                                                                            keys of a $-form here
    int32                        number without a point
    int64                        number without a point                     "long" if it fits int32
    double                       number with a point
      1e16 and beyond            number without a point                     "double"
      NaN, Infinity, -Infinity   those words as strings                     "double"
      -0.0, other NaNs           0.0, "NaN"                                 "double:<8 bytes>"
    Decimal128                   number with all its digits                 "decimal"
      NaN, Infinity, -Infinity   those words as strings                     "decimal"
      1E+3, -0, other NaNs       1000, 0, "NaN"                             "decimal:<16 bytes>"
    binary                       {"$binary": {"base64": "...", "subType": "04"}}
    regex                        {"$regularExpression": {"pattern": "...", "options": "i"}}
    timestamp                    {"$timestamp": {"t": <seconds>, "i": <increment>}}
    min key, max key             {"$minKey": 1}, {"$maxKey": 1}
    code                         {"$code": "..."}, with "$scope" an object where it has one
    DBRef                        {"$ref": ..., "$id": ...}: in BSON it is an object, too

`_types` is null or the JSON text of a tree that mirrors the document down to the values that have a
note: of an object a dict with those keys only; of an array a list of one tree that holds for every
element, or else a dict of "#<index>"; a note has the bytes as BSON does, in hex. An "object" whose
members have notes is ["object", {...}]. `documents.decoding` turns a row back into BSON.

Altered on the way, so the document's BSON is kept in `ops.altered_documents`: NUL and bytes that
are not UTF-8 become U+FFFD; the obsolete types symbol, undefined and DBPointer become string, null
and {"$ref": ..., "$id": ...}; of a key that stands twice in one object the last is kept.

How an `_id` is written (text, the primary key): an ObjectId as 24 hex digits; a string, number,
boolean or null as its JSON text (so a string has quotes and can't be mistaken for an ObjectId);
all else as canonical Extended JSON text, in which every type is named; and where that says less
than its bytes (a key that stands twice) as {"$bson": "<BSON of {_id: ...} in hex>"}.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any

import bson
import orjson
from bson import json_util
from bson.decimal128 import Decimal128
from bson.errors import BSONError
from bson.int64 import Int64
from bson.objectid import ObjectId

from loaders.documents import binary, decimals, exact, transcoder
from loaders.documents.exact import EPOCH
from loaders.documents.shapes import Shapes
from loaders.documents.transcoder import CANONICAL, CLOCK, FLAGS, STRICT, Rows, Write

SLICE_BYTES = 32 * 1024
VERSION = 3  # of what is written for a document; part of every hash, so that a sweep writes it anew
# A b-tree entry must fit into a third of a page: 2,704 bytes with its header.
MAX_ID_BYTES = 2_600

LONG_ID = "long _id"  # transcoder.c knows it too
# what `identity_of` calls a document whose `_id` can't be a key, and why it can't
_UNUSABLE = {
    "no _id": "it has no _id",
    "undecodable": "its BSON can't be decoded",
    "not UTF-8": "its _id is not UTF-8",
    LONG_ID: f"its _id is longer than the {MAX_ID_BYTES} bytes that an index entry may have",
}

_LENIENT = STRICT.with_options(unicode_decode_error_handler="replace")
_OBJECT_ID_FIRST = b"\x07_id\0"  # bytes 4 to 8 of nearly every document
_HASH = blake2b(digest_size=16, person=b"ledgerline %d" % VERSION)

_shapes = Shapes()  # a cache: what is written doesn't depend on it


@dataclass(slots=True)
class Slice:
    """Some whole documents, encoded.

    Attributes:
        rows: COPY binary rows of (_id, _source_ts, _doc_hash, _types, doc) without header and
            trailer; `doc` as jsonb is sent, a byte before its text.
        count: documents in `rows`.
        read: documents read, rejected ones included.
        size: BSON bytes read.
        days: UTC day of `updated_at` ("YYYY-MM-DD", "" where it has none) -> (documents in `rows`,
            sum of the first 60 bits of their hashes).
        odd: COPY text rows of (_id, kind, reason, _doc_hash, bson), kind `altered` or
            `quarantined`, for documents that are in `rows` with changes, or not at all.
        altered, rejected: number of each kind in `odd`.
        unclocked: documents in `rows` without a usable `updated_at`.
        newest: largest `updated_at` (naive UTC) with its document's id, or None.
        hash_sum: sum of the first 60 bits of the hashes of `rows`.
        originals: the BSON documents read, or nothing where there were none.
    """

    rows: bytes
    count: int
    read: int
    size: int = 0
    days: dict[str, tuple[int, int]] = field(default_factory=dict)
    odd: bytes = b""
    altered: int = 0
    rejected: int = 0
    unclocked: int = 0
    newest: tuple[datetime, str] | None = None
    hash_sum: int = 0
    originals: Sequence[bytes] = ()


@dataclass(slots=True)
class _One:
    """One document, read exactly; `doc` is None where it can't be stored."""

    doc: bytes | None = None
    types: str = ""
    clock: Any = None
    reasons: list[str] = field(default_factory=list)


def cut(batch: bytes, slice_bytes: int = SLICE_BYTES) -> Iterator[list[bytes]]:
    """Cut concatenated BSON documents into lists of about `slice_bytes` in all.

    Raises:
        ValueError: the batch isn't a whole number of documents.
    """
    position, end = 0, len(batch)
    documents: list[bytes] = []
    held = 0
    while position < end:
        size = int.from_bytes(batch[position : position + 4], "little")
        if size < 5 or position + size > end:
            raise ValueError(f"broken BSON length {size} at byte {position} of {end}")
        documents.append(batch[position : position + size])
        position += size
        held += size
        if held >= slice_bytes:
            yield documents
            documents, held = [], 0
    if documents:
        yield documents


def encode(documents: Sequence[bytes]) -> Slice:
    """Encode the BSON documents of one slice; a document that can't be stored is in `odd`."""
    return _encode(documents, transcoder.rows_in_c or _pass_on, _shapes)


def encode_mappings(documents: Iterable[Mapping[str, Any]]) -> Iterator[Slice]:
    """Encode Python documents (of files, say) by way of BSON, so that the same rules hold."""
    held: list[bytes] = []
    size = 0
    for document in documents:
        held.append(bson.encode(document))
        size += len(held[-1])
        if size >= SLICE_BYTES:
            yield encode(held)
            held, size = [], 0
    if held:
        yield encode(held)


def identify(documents: Sequence[bytes]) -> Slice:
    """Only names and hashes: `rows` are (_id, _doc_hash, key), to compare with what raw has.

    `key` is the BSON of {_id: …} where the text can't be turned back into the id as it was; null
    for an ObjectId. Documents whose `_id` is unusable are in `odd`, as in `encode`. There are no
    `days`: a document whose hash raw has has raw's day, too.
    """
    result = Slice(rows=b"", count=0, read=len(documents), size=sum(map(len, documents)))
    rows, unusable = [], []
    for document in documents:
        if document[4:9] == _OBJECT_ID_FIRST:
            rows.append(binary.row(document[9:21].hex().encode(), hash_of(document).encode(), None))
            continue
        identity = identity_of(document)
        if identity.startswith(tuple(_UNUSABLE)):
            unusable.append(document)
            continue
        rows.append(binary.row(identity.encode(), hash_of(document).encode(), key_of(document)))
    result.rows, result.count = b"".join(rows), len(rows)
    if unusable:
        rejected = encode_exactly(unusable)
        result.odd, result.rejected = rejected.odd, rejected.rejected
    return result


def hash_of(document: bytes) -> str:
    """32 hex digits that name this version of the document: BLAKE2b-128 of its BSON bytes.

    The encoding's version personalises it: rows that an earlier one wrote count as changed.
    """
    state = _HASH.copy()  # cheaper than a new one
    state.update(document)
    return state.hexdigest()


def identity_of(document: bytes) -> str:
    """What a BSON document is called in raw and ops, whatever is wrong with it.

    That is `id_text` of its `_id`; where the id is missing, unreadable or too long for an index,
    a name that begins with one of the words `no _id`, `undecodable`, `not UTF-8` and `long _id`,
    and can't be taken for an id.
    """
    if document[4:9] == _OBJECT_ID_FIRST:  # servers keep `_id` first, and it mostly is an ObjectId
        return document[9:21].hex()
    try:
        element = _id_of(bytes(document))  # RawBSONDocument has a memoryview
        if element is None:
            return f"no _id: {hash_of(document)}"
        alone = _alone(element)
        if exact.read(alone).reasons == ["text that is not UTF-8"]:
            return f"not UTF-8: {hash_of(document)}"
        value = bson.decode(alone, _LENIENT)["_id"]
    except (BSONError, ValueError, IndexError, struct.error, RecursionError):
        return f"undecodable: {hash_of(document)}"
    if bson.encode({"_id": value}, codec_options=STRICT) != alone:
        return _checked(f'{{"$bson":"{alone.hex()}"}}')
    return _checked(id_text(value))


def key_of(document: bytes) -> bytes | None:
    """BSON of {_id: …}, to the byte; None where there is no `_id`.

    Raises:
        ValueError, IndexError: the BSON is broken.
    """
    element = _id_of(document)
    return None if element is None else _alone(element)


def _id_of(document: bytes) -> bytes | None:
    """The element `_id`: type, key and value.

    Raises:
        ValueError, IndexError: the BSON is broken.
    """
    position = 4
    while kind := document[position]:
        value = document.index(0, position + 1) + 1
        end = value + exact.size_of(kind, document, value)
        if document[position + 1 : value] == b"_id\0":
            return document[position:end]
        position = end
    return None


def _alone(element: bytes) -> bytes:
    """A document with this element only."""
    return struct.pack("<i", len(element) + 5) + element + b"\0"


def _checked(identity: str) -> str:
    data = identity.encode()
    return identity if len(data) <= MAX_ID_BYTES else f"{LONG_ID}: {hash_of(data)}"


def id_text(value: Any) -> str:
    """An `_id` as the text that is raw's primary key; no two different ids give the same."""
    kind = type(value)
    if kind is ObjectId:
        return value.binary.hex()
    if kind is Decimal128:
        text = decimals.to_text(value.bid)
        if text[0] != '"':
            return text
    elif (
        value is None or kind in (str, bool, int, Int64) or (kind is float and math.isfinite(value))
    ):
        return orjson.dumps(int(value) if kind is Int64 else value).decode()
    if kind is datetime:
        value = value.replace(tzinfo=UTC)
    return json_util.dumps(value, json_options=CANONICAL, separators=(",", ":"))


def odd_row(identity: str, kind: str, reason: str, original: bytes) -> bytes:
    """One COPY text row for `Slice.odd`."""
    why = orjson.dumps(reason)[1:-1].decode()  # on one line
    row = f"{identity}\t{kind}\t{why}\t{hash_of(original)}\t\\x{original.hex()}\n"
    return row.encode().replace(b"\\", b"\\\\")


def encode_exactly(documents: Sequence[bytes]) -> Slice:
    """The same as `encode`, with each document read to the letter."""
    return _encode(documents, _pass_on, Shapes())


def _pass_on(_: Sequence[bytes], __: Sequence[str], ___: Sequence[str], start: int) -> Rows:
    return b"", start, {}, None


def _encode(originals: Sequence[bytes], write: Write, shapes: Shapes) -> Slice:
    documents = list(originals)
    result = Slice(rows=b"", count=0, read=len(documents), originals=documents)
    identities, digests = list(map(identity_of, documents)), list(map(hash_of, documents))
    days: dict[str, tuple[int, int]] = {}
    latest: int | None = None
    rows: list[bytes] = []
    odd: list[bytes] = []
    unknown: tuple[bytes, str] | None = None
    at = 0
    while at < len(documents):
        written, end, found, newest = write(documents, identities, digests, at)
        if end == at:
            end, original, identity, digest = at + 1, documents[at], identities[at], digests[at]
            made = _row_by_shape(original, identity, digest, shapes)
            if made is None:
                one = _read_exactly(original, identity)
                if one.reasons:
                    kind = "altered" if one.doc else "quarantined"
                    odd.append(odd_row(identity, kind, "; ".join(one.reasons), original))
                    result.altered += bool(one.doc)
                else:
                    unknown = original, one.types
                if one.doc:
                    made = transcoder.row_of(one.doc, one.clock, identity, digest, one.types)
            if made is not None:
                written, day, milliseconds = made
                found = {day: (1, int(digest[:15], 16))}
                newest = None if milliseconds is None else (milliseconds, at)
        rows.append(written)
        for day, (count, hashes) in found.items():
            had, sum_ = days.get(day, (0, 0))
            days[day] = had + count, sum_ + hashes
        if newest and (latest is None or newest[0] > latest):
            latest = newest[0]
            result.newest = EPOCH + timedelta(milliseconds=latest), identities[newest[1]]
        at = end
    if unknown:
        shapes.learn(*unknown)
    result.rows = b"".join(rows)
    result.odd = b"".join(odd)
    result.count = sum(count for count, _ in days.values())
    result.rejected = len(documents) - result.count
    result.size = sum(map(len, documents))
    result.days = days
    result.hash_sum = sum(hashes for _, hashes in days.values())
    result.unclocked = days.get("", (0, 0))[0]
    return result


def _row_by_shape(
    original: bytes, identity: str, digest: str, shapes: Shapes
) -> transcoder.Row | None:
    """The row of a document of a shape that was met before; None of any other."""
    shape = shapes.latest
    if not shape.match(original):
        found = shapes.find(original)
        if found is None:
            return None
        shapes.latest = shape = found
    if identity.startswith(LONG_ID):
        return None
    return transcoder.row_in_python(original, identity, digest, shape.types)


def _read_exactly(original: bytes, identity: str) -> _One:
    try:
        read = exact.read(original)
    except RecursionError:
        return _One(reasons=["it is nested too deep"])
    except exact.BROKEN as error:
        return _One(reasons=[f"its BSON can't be decoded: {error}"])
    unusable = next((why for start, why in _UNUSABLE.items() if identity.startswith(start)), "")
    if unusable:
        return _One(reasons=[unusable])
    try:
        doc = orjson.dumps(read.document, option=FLAGS)
    except (orjson.JSONEncodeError, RecursionError) as error:
        return _One(reasons=[f"it can't be written as JSON: {error}"])
    types = orjson.dumps(read.types, option=orjson.OPT_SORT_KEYS).decode() if read.types else ""
    return _One(doc, types, read.document.get(CLOCK), read.reasons)
