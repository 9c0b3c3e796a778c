r"""BSON documents to rows in Postgres' COPY text format. Pure: no server, no clock.

The fast path decodes a slice of some 32 KB at a time (Python objects of a slice stay in the
processor's cache: a whole 16 MB batch costs 2.4 times as much), writes JSON with orjson and
escapes once per slice. A slice in which anything looks odd is done again one document at a time.

How a document is written (`doc`, jsonb):

    string, bool, null, array, object   as they are
    int32, int64, finite double         number; all 64 bits and 17 digits are kept
    Decimal128, finite                  number with all its digits, trailing zeros too
    NaN, Infinity, -Infinity            those words as strings
    ObjectId                            24 hex digits as a string
    UTC date in the years 1 to 9999     "2024-01-31T12:00:00Z", with .123000 where it has them
    any other date                      {"$date": {"$numberLong": "<ms since 1970>"}}
    binary, regex, timestamp, min and max key, code, DBRef
                                        Extended JSON objects ($binary, $regularExpression, …);
                                        values inside code and DBRef follow this table

Altered on the way, so the document's BSON is kept in `ops.altered_documents`: NUL and bytes that
are not UTF-8 become U+FFFD; the obsolete types symbol, undefined and DBPointer become string, null
and DBRef. Of a key that stands twice in one object the last is kept, as jsonb itself does.

How an `_id` is written (text, the primary key): an ObjectId as 24 hex digits; a string, number,
boolean or null as its JSON text (so a string has quotes and can't be mistaken for an ObjectId);
all else as canonical Extended JSON text, in which every type is named.
"""

from __future__ import annotations

import math
import re
import struct
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import blake2b
from itertools import accumulate
from typing import Any

import bson
import orjson
from bson import json_util
from bson.code import Code
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.dbref import DBRef
from bson.decimal128 import Decimal128
from bson.errors import BSONError
from bson.int64 import Int64
from bson.objectid import ObjectId

_PLAIN = (str, int, bool, type(None))

SLICE_BYTES = 32 * 1024
VERSION = 2  # of what is written for a document; part of every hash, so that a sweep writes it anew
CLOCK = "updated_at"  # the field that a shop sets at each change
# A b-tree entry must fit into a third of a page: 2,704 bytes with its header.
MAX_ID_BYTES = 2_600

# naive datetimes are the cheaper to decode and to print; dates beyond them come as DatetimeMS
_STRICT = CodecOptions(tz_aware=False, datetime_conversion=DatetimeConversion.DATETIME_AUTO)
_LENIENT = _STRICT.with_options(unicode_decode_error_handler="replace")
_CANONICAL = json_util.CANONICAL_JSON_OPTIONS.with_options(tz_aware=False, tzinfo=None)
# subclasses go to the hook: Code is a str, and orjson would write it as one
_FLAGS = orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z | orjson.OPT_PASSTHROUGH_SUBCLASS

# a double (type 1, key, NUL) whose exponent bits are all ones; the last \x01 before the NUL is
# enough, and excluding it from the key keeps the search linear
_NON_FINITE = re.compile(rb"\x01[^\0\x01]*\0.{6}[\xf0-\xff][\x7f\xff]", re.DOTALL)
# undefined (6), DBPointer (12), symbol (14) before what looks like a key and a value of that type:
# a hint, which `_obsolete` then follows up. Three patterns, since a fixed first byte is what makes
# a search six times as fast.
_KEY = rb"[\x20-\x7e\xc2-\xf4][^\0-\x1f\x7f\xff]*\0"
_OBSOLETE_HINTS = [
    re.compile(first + _KEY + value, re.DOTALL)
    for first, value in (
        (rb"\x06", rb"[\0-\x13\x7f\xff]"),  # then the next element's type or the object's end
        (rb"\x0c", rb"..[\0\1]\0"),  # then a length of at most 16 MB
        (rb"\x0e", rb"..[\0\1]\0"),
    )
]
# an escaped NUL, not a backslash followed by u0000: an even number of backslashes before it
_NUL = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")

# what `identity_of` calls a document whose `_id` can't be a key, and why it can't
_UNUSABLE = {
    "no _id": "it has no _id",
    "undecodable": "its BSON can't be decoded",
    "not UTF-8": "its _id is not UTF-8",
    "long _id": f"its _id is longer than the {MAX_ID_BYTES} bytes that an index entry may have",
}

_OBJECT_ID_FIRST = b"\x07_id\0"  # bytes 4 to 8 of nearly every document
_BID = struct.Struct("<QQ")
_PERSON = b"ledgerline %d" % VERSION


@dataclass(slots=True)
class Slice:
    """Some whole documents, encoded.

    Attributes:
        rows: COPY text rows of (_id, _source_ts, _doc_hash, _types, doc); an empty field is null.
        count: documents in `rows`.
        read: documents read, rejected ones included.
        size: BSON bytes read.
        days: UTC day of `updated_at` ("YYYY-MM-DD", "" where it has none) -> (documents in `rows`,
            sum of the first 60 bits of their hashes).
        odd: COPY text rows of (_id, kind, reason, _doc_hash, bson), kind `altered` or
            `quarantined`, for documents that are in `rows` with changes, or not at all.
        altered, rejected: number of each kind in `odd`.
        unclocked: documents without a usable `updated_at`.
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
    """One document on the careful path; `doc` is None where it can't be stored."""

    identity: str
    doc: bytes | None
    clock: datetime | None
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
    joined = b"".join(documents)
    if not _NON_FINITE.search(joined) and not _any_obsolete(joined, documents):
        try:
            return _encode_fast(joined, documents)
        except (_OddError, BSONError, KeyError, orjson.JSONEncodeError):
            pass
    return _encode_carefully(documents)


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
    for an ObjectId. Documents whose `_id` is unusable are in `odd`, as in `encode`.
    """
    result = Slice(rows=b"", count=0, read=len(documents), size=sum(map(len, documents)))
    rows, unusable = [], []
    for document in documents:
        identity = identity_of(document)
        if identity.startswith(tuple(_UNUSABLE)):
            unusable.append(document)
            continue
        key = b""
        if document[4:9] != _OBJECT_ID_FIRST:
            value = bson.decode(document, _LENIENT)["_id"]
            key = b"\\\\x" + bson.encode({"_id": value}).hex().encode()
        name = identity.encode().replace(b"\\", b"\\\\")
        rows.append(b"%b\t%b\t%b\n" % (name, hash_of(document).encode(), key))
    result.rows, result.count = b"".join(rows), len(rows)
    if unusable:
        rejected = _encode_carefully(unusable)
        result.odd, result.rejected = rejected.odd, rejected.rejected
    return result


def hash_of(document: bytes) -> str:
    """32 hex digits that name this version of the document: BLAKE2b-128 of its BSON bytes.

    The encoding's version personalises it: rows that an earlier one wrote count as changed.
    """
    return blake2b(document, digest_size=16, person=_PERSON).hexdigest()


def identity_of(document: bytes) -> str:
    """What a BSON document is called in raw and ops, whatever is wrong with it.

    That is `id_text` of its `_id`; where the id is missing, unreadable or too long for an index,
    a name that begins with one of the words `no _id`, `undecodable`, `not UTF-8` and `long _id`,
    and can't be taken for an id.
    """
    if document[4:9] == _OBJECT_ID_FIRST:  # servers keep `_id` first, and it mostly is an ObjectId
        return document[9:21].hex()
    try:
        value = bson.decode(document, _STRICT)["_id"]
    except KeyError:
        return f"no _id: {hash_of(document)}"
    except BSONError:
        return _identity_of_broken(document)
    return _checked(id_text(value))


def _identity_of_broken(document: bytes) -> str:
    try:
        identity = id_text(bson.decode(document, _LENIENT)["_id"])
    except (BSONError, KeyError, RecursionError):
        return f"undecodable: {hash_of(document)}"
    # two ids with other bytes could look the same now: only their bytes keep them apart
    return f"not UTF-8: {hash_of(document)}" if "\ufffd" in identity else _checked(identity)


def _checked(identity: str) -> str:
    data = identity.encode()
    return identity if len(data) <= MAX_ID_BYTES else f"long _id: {hash_of(data)}"


def id_text(value: Any) -> str:
    """An `_id` as the text that is raw's primary key; no two different ids give the same."""
    kind = type(value)
    if kind is ObjectId:
        return value.binary.hex()
    if kind is Decimal128:
        text = decimal_text(value.bid)
        if text[0] != '"':
            return text
    elif (
        value is None or kind in (str, bool, int, Int64) or (kind is float and math.isfinite(value))
    ):
        return orjson.dumps(int(value) if kind is Int64 else value).decode()
    if kind is datetime:
        value = value.replace(tzinfo=UTC)
    return json_util.dumps(value, json_options=_CANONICAL, separators=(",", ":"))


def decimal_text(bid: bytes) -> str:
    """A Decimal128 (16 bytes, binary integer decimal) as JSON: a number, or a word in quotes.

    `str(Decimal128)` says the same in four times the time.
    """
    low, high = _BID.unpack(bid)
    if high >> 61 & 3 == 3:
        if high >> 59 & 3 == 3:
            return '"NaN"' if high >> 58 & 1 else '"-Infinity"' if high >> 63 else '"Infinity"'
        # a coefficient with its implied leading bits is beyond 34 digits: by the standard, zero
        exponent, coefficient = (high >> 47 & 0x3FFF) - 6176, 0
    else:
        exponent = (high >> 49 & 0x3FFF) - 6176
        coefficient = (high & 0x1FFFFFFFFFFFF) << 64 | low
        if coefficient >= 10**34:
            coefficient = 0
    sign = "-" if high >> 63 else ""
    if exponent == 0:
        return f"{sign}{coefficient}"
    if -34 <= exponent < 0:
        digits = f"{coefficient:0{1 - exponent}d}"
        return f"{sign}{digits[:exponent]}.{digits[exponent:]}"
    return f"{sign}{coefficient}E{exponent}"


class _OddError(Exception):
    """The slice needs the careful path."""


def _any_obsolete(joined: bytes, documents: Sequence[bytes]) -> bool:
    hints = [match.start() for hint in _OBSOLETE_HINTS for match in hint.finditer(joined)]
    if not hints:
        return False
    ends = list(accumulate(map(len, documents)))
    return any(_obsolete(documents[i]) for i in {bisect_right(ends, hint) for hint in hints})


def _encode_fast(joined: bytes, documents: Sequence[bytes]) -> Slice:
    dumps, hook, flags = orjson.dumps, _hook, _FLAGS
    newest: tuple[datetime, str] | None = None
    latest = datetime.min  # noqa: DTZ901 -- decoded dates are naive UTC
    unclocked = hash_sum = 0
    parts: list[bytes] = []
    days: dict[str, tuple[int, int]] = {}
    for document, original in zip(bson.decode_all(joined, _STRICT), documents, strict=True):
        identity = document["_id"]
        identity = identity.binary.hex() if type(identity) is ObjectId else id_text(identity)
        if len(identity) > MAX_ID_BYTES // 4:  # a character takes up to four bytes
            raise _OddError
        clock = document.get(CLOCK)
        if type(clock) is datetime:
            if clock > latest:
                latest, newest = clock, (clock, identity)
            stamp = clock.isoformat() + "Z"
        else:
            unclocked += 1
            stamp = ""
        digest = hash_of(original)
        bits = int(digest[:15], 16)
        hash_sum += bits
        held, sum_ = days.get(stamp[:10], (0, 0))
        days[stamp[:10]] = held + 1, sum_ + bits
        parts.append(f"{identity}\t{stamp}\t{digest}\t\t".encode())
        parts.append(dumps(document, hook, flags))
        parts.append(b"\n")
    rows = b"".join(parts)
    if b"\\u0000" in rows:
        raise _OddError
    return Slice(
        rows=rows.replace(b"\\", b"\\\\"),
        count=len(documents),
        read=len(documents),
        size=len(joined),
        days=days,
        unclocked=unclocked,
        newest=newest,
        hash_sum=hash_sum,
        originals=documents,
    )


def _encode_carefully(documents: Sequence[bytes]) -> Slice:
    result = Slice(rows=b"", count=0, read=len(documents), originals=documents)
    result.size = sum(map(len, documents))
    rows, odd = [], []
    for original in documents:
        one = _encode_one(original)
        digest = hash_of(original)
        if one.clock is None:
            result.unclocked += 1
        elif result.newest is None or one.clock > result.newest[0]:
            result.newest = one.clock, one.identity
        if one.doc is None:
            result.rejected += 1
        else:
            result.count += 1
            result.altered += bool(one.reasons)
            bits = int(digest[:15], 16)
            result.hash_sum += bits
            stamp = "" if one.clock is None else one.clock.isoformat() + "Z"
            held, sum_ = result.days.get(stamp[:10], (0, 0))
            result.days[stamp[:10]] = held + 1, sum_ + bits
            rows.append(f"{one.identity}\t{stamp}\t{digest}\t\t".encode() + one.doc)
        if one.reasons:
            kind = "quarantined" if one.doc is None else "altered"
            odd.append(odd_row(one.identity, kind, "; ".join(one.reasons), original))
    result.rows = b"".join(row + b"\n" for row in rows).replace(b"\\", b"\\\\")
    result.odd = b"".join(odd)
    return result


def odd_row(identity: str, kind: str, reason: str, original: bytes) -> bytes:
    """One COPY text row for `Slice.odd`."""
    why = orjson.dumps(reason)[1:-1].decode()  # on one line
    row = f"{identity}\t{kind}\t{why}\t{hash_of(original)}\t\\x{original.hex()}\n"
    return row.encode().replace(b"\\", b"\\\\")


def _encode_one(original: bytes) -> _One:
    identity = identity_of(original)
    reasons: list[str] = []
    try:
        try:
            document = bson.decode(original, _STRICT)
        except BSONError:
            document = bson.decode(original, _LENIENT)
            reasons.append("text that is not UTF-8")
        reasons.extend(_obsolete(original))
    except (BSONError, RecursionError) as error:
        return _One(identity, None, None, [f"its BSON can't be decoded: {error}"])
    clock = document.get(CLOCK)
    clock = clock if type(clock) is datetime else None
    if unusable := next(
        (why for start, why in _UNUSABLE.items() if identity.startswith(start)), ""
    ):
        return _One(identity, None, clock, [unusable])
    try:
        if _NON_FINITE.search(original):
            document = _finite(document)
        doc = orjson.dumps(document, _hook, _FLAGS)
    except (orjson.JSONEncodeError, RecursionError) as error:
        return _One(identity, None, clock, [f"it can't be written as JSON: {error}"])
    if b"\\u0000" in doc:
        doc, nuls = _NUL.subn(rb"\1\\ufffd", doc)
        if nuls:
            reasons.append("NUL in text")
    return _One(identity, doc, clock, reasons)


def _hook(value: Any) -> Any:
    """What orjson can't write by itself, most frequent types first."""
    kind = type(value)
    if kind is ObjectId:
        return value.binary.hex()
    if kind is Decimal128:
        return orjson.Fragment(decimal_text(value.bid))
    if kind is Int64:
        return int(value)
    if kind in (DBRef, Code):
        return _opened(value)
    return json_util.default(value, _CANONICAL)


def _opened(value: DBRef | Code) -> dict[str, Any]:
    """The two types that hold other values, as an object whose values are still BSON's."""
    if isinstance(value, DBRef):
        return dict(value.as_doc())
    scope = {} if value.scope is None else {"$scope": dict(value.scope)}
    return {"$code": str(value)} | scope


def _finite(value: Any) -> Any:
    """The same with NaN and infinities as words: orjson would write them as null."""
    kind = type(value)
    if kind is dict:
        return {key: _finite(item) for key, item in value.items()}
    if kind is list:
        return [_finite(item) for item in value]
    if kind in (DBRef, Code):
        return _finite(_opened(value))
    if kind is float and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


# bytes after the key of each fixed-size type; the others carry their length in front
_FIXED = {0x01: 8, 0x06: 0, 0x07: 12, 0x08: 1, 0x09: 8, 0x0A: 0}
_OBSOLETE_TYPES = {0x06: "undefined", 0x0C: "DBPointer", 0x0E: "symbol"}
_FIXED |= {0x10: 4, 0x11: 8, 0x12: 8, 0x13: 16, 0x7F: 0, 0xFF: 0}


def _obsolete(document: bytes) -> list[str]:
    """The obsolete types in a document: decoding gives a string, None and a DBRef for them."""
    found = set()
    todo = [0]
    while todo:
        position = todo.pop()
        end = position + int.from_bytes(document[position : position + 4], "little") - 1
        position += 4
        while position < end:
            kind = document[position]
            position = document.index(0, position + 1) + 1  # past the key
            size = int.from_bytes(document[position : position + 4], "little")
            if kind in _FIXED:
                size = _FIXED[kind]
            elif kind in (0x02, 0x0D, 0x0E):  # string, code, symbol: length, text
                size += 4
            elif kind == 0x05:  # binary: length, subtype, bytes
                size += 5
            elif kind == 0x0B:  # regex: two C strings
                size = document.index(0, document.index(0, position) + 1) + 1 - position
            elif kind == 0x0C:  # DBPointer: length, text, ObjectId
                size += 16
            elif kind in (0x03, 0x04):
                todo.append(position)
            if kind in _OBSOLETE_TYPES:
                found.add(f"the obsolete type {_OBSOLETE_TYPES[kind]}")
            position += size
    return sorted(found)
