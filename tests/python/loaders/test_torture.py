"""Every BSON type and every shape in one collection: loaded with no error, and back as it was."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import bson
import pytest
from bson import Binary, Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.datetime_ms import DatetimeMS
from bson.errors import BSONError
from bson.raw_bson import RawBSONDocument

from loaders.documents import encoding
from loaders.documents.decoding import decode
from loaders.documents.encoding import Slice
from loaders.landing import land
from loaders.modes import Mode
from tests.python.loaders.bson_values import (
    DECIMALS,
    DOUBLES,
    EDGES,
    KEYS_LIKE_OURS,
    TEXTS_LIKE_OURS,
)
from tests.python.loaders.conftest import Warehouse
from tests.python.loaders.raw_bson import (
    OBJECT_ID,
    binary,
    content,
    element,
    of_members,
    raw_array,
    raw_object,
    scoped_code,
    string,
)

pytestmark = pytest.mark.servers

Value = tuple[int, bytes]

MEGABYTE = 1024 * 1024
UPDATED = (9, struct.pack("<q", 1_700_000_000_000))


def of(value: Any) -> Value:
    """Type and bytes that the driver writes for a value."""
    [(_, (kind, data))] = _members(bson.encode({"v": value}))
    return kind, data


def _members(document: bytes) -> list[tuple[bytes, Value]]:
    stop = document.index(0, 5)
    return [(document[5:stop], (document[4], document[stop + 1 : -1]))]


def deep(levels: int) -> Value:
    value: Value = (2, string(b"bottom"))
    for level in range(levels):
        value = (3, of_members({b"n": value})) if level % 2 else (4, raw_array(value))
    return value


def all_of(kind: int, values: list[bytes]) -> Value:
    return 4, raw_array(*((kind, value) for value in values))


# --- values that come back equal ------------------------------------------------------------------

VALUES: dict[str, Value] = {
    "ObjectId": (7, OBJECT_ID),
    "text that looks like one of ours": all_of(2, [string(text) for text in TEXTS_LIKE_OURS]),
    "text": of("quotes \" ' backslash \\ \\N tab \t newline \n 漢字 😀 \x7f \x01"),
    "long text": of("é" * 300_000),
    "int32": all_of(16, [struct.pack("<i", x) for x in EDGES if -(2**31) <= x < 2**31]),
    "int64": all_of(18, [struct.pack("<q", x) for x in EDGES]),
    "double": all_of(1, DOUBLES),
    "NaN and infinities, nested": of([{"x": [float("nan"), float("-inf")]}, float("inf")]),
    "decimal": all_of(19, DECIMALS),
    "decimal with 34 digits": of(Decimal128("-1234567890123456789012345678901234")),
    "decimal with an exponent": of([Decimal128("1E+6000"), Decimal128("1E-6176")]),
    "dates": of([DatetimeMS(ms) for ms in (0, 123, -1, -62135596800000, 253402300799999)]),
    "date before year 1": of(DatetimeMS(-93692592000000)),
    "date after 9999": of(DatetimeMS(254380000000000)),
    "farthest dates": of([DatetimeMS(-(2**63)), DatetimeMS(2**63 - 1)]),
    "bool and null": of([True, False, None]),
    "UUID": of([Binary(bytes(range(16)), subtype) for subtype in (3, 4)]),
    "regex": (11, b"^a.*\\\\b\0ix\0"),
    "regex with all options": (11, b"5f1e8a9b0c2d3e4f5a6b7c8d\0ilmsux\0"),
    "timestamp": of([Timestamp(1_700_000_000, 7), Timestamp(2**32 - 1, 2**32 - 1)]),
    "min and max key": of([MinKey(), MaxKey()]),
    "code": of(Code("function() { return 1 }")),
    "code with scope": of(Code("x", {"x": Decimal128("1.10"), "n": Int64(1), "e": {}})),
    "code with a scope that looks like ours": (
        15,
        scoped_code(b"2024-01-31T12:00:00Z", raw_object(element(18, b"$date", b"\1" + b"\0" * 7))),
    ),
    "DBRef": of([DBRef("users", ObjectId(OBJECT_ID)), DBRef("users", 1, "crm", more=Int64(2))]),
    "DBRef in another order": (
        3,
        raw_object(element(18, b"$id", b"\1" + b"\0" * 7), element(2, b"$ref", string(b"u"))),
    ),
    "DBRef that is none": (
        3,
        raw_object(element(16, b"$ref", b"\0\0\0\0"), element(10, b"$db", b"")),
    ),
    "objects that look like ours": of(
        [
            {"$date": "2024-01-31T12:00:00Z"},
            {"$date": {"$numberLong": "1"}},
            {"$date": {"$numberLong": Int64(1)}},
            {"$binary": {"base64": "AA==", "subType": "00"}},
            {"$code": "x", "$scope": {"n": Int64(1)}},
            {"$minKey": 1},
            {"$oid": str(ObjectId(OBJECT_ID))},
        ]
    ),
    "keys": of({key.decode(): number for number, key in enumerate(KEYS_LIKE_OURS)}),
    "key twins": of({"Name": 1, "name": 2, "userName": 3, "user_name": 4}),
    "key of 70,000 bytes": of({"k" * 70_000: 1}),
    "1,700 fields": of({f"f{number}": number for number in range(1700)}),
    "empty": of([{}, [], "", None, {"": {}}, [[]]]),
    "types that change within an array": of([1, "1", {"a": 1}, [1], None, Int64(1), 1.0]),
    "100 levels": deep(97),
    "120 levels": deep(117),
    "200 levels": deep(197),
} | {f"binary {subtype:02x}": (5, binary(subtype, bytes(range(16)))) for subtype in range(256)}

# --- values that jsonb can't have as they are: stored with a change, the BSON beside them ---------

ALTERED: dict[str, Value] = {
    "NUL": of("a\0b"),
    "NUL in code": (13, string(b"a\0b")),
    "not UTF-8": (2, string(b"\xff!")),
    "lone surrogate": (2, string(b"\xed\xa0\x80")),
    "key that is not UTF-8": (3, raw_object(element(10, b"\xff", b""))),
    "symbol": (14, string(b"sym")),
    "undefined": (6, b""),
    "DBPointer": (12, string(b"users") + OBJECT_ID),
    "symbol under an odd key": (3, raw_object(element(14, b"\x01\x0e$", string(b"sym")))),
    "key twice": (3, raw_object(element(16, b"a", b"\1\0\0\0"), element(2, b"a", string(b"x")))),
}

# --- ids ------------------------------------------------------------------------------------------

IDS: dict[str, Value] = {
    "ObjectId": (7, OBJECT_ID),
    "its hex": of(OBJECT_ID.hex()),
    "1": of(1),
    '"1"': of("1"),
    "1.5": of(1.5),
    "2**53 + 1": of(Int64(2**53 + 1)),
    "decimal": of(Decimal128("2.50")),
    "NaN": of(float("nan")),
    '"NaN"': of("NaN"),
    "infinity": of(float("inf")),
    "null": of(None),
    '"null"': of("null"),
    "empty text": of(""),
    "true": of(True),
    "date": of(DatetimeMS(1_706_702_400_000)),
    "date's text": of("2024-01-31T12:00:00Z"),
    "date's form": of({"$date": "2024-01-31T12:00:00Z"}),
    "year -1000": of(DatetimeMS(-93692592000000)),
    "binary": of(b"12345678"),
    "UUID": of(Binary(bytes(range(16)), 4)),
    "object": of({"a": 1, "b": ObjectId(OBJECT_ID)}),
    "object with its hex": of({"a": 1, "b": OBJECT_ID.hex()}),
    "object in another order": of({"b": ObjectId(OBJECT_ID), "a": 1}),
    "object like ours": of({"$oid": OBJECT_ID.hex()}),
    "timestamp": of(Timestamp(1, 2)),
    "min key": of(MinKey()),
    "max key": of(MaxKey()),
    "DBRef": of(DBRef("users", 1)),
    "code": of(Code("x")),
    "DBRef in another order": VALUES["DBRef in another order"],
    "DBRef that is none": VALUES["DBRef that is none"],
    "key twice": ALTERED["key twice"],
    "regex": of(Regex("x", "i")),
}


def torture() -> dict[str, bytes]:
    """Documents by what they are about."""
    named = VALUES | ALTERED
    documents = {
        f"value {name}": of_members(
            {b"_id": of(f"value {name}"), b"updated_at": UPDATED, b"value": value}
        )
        for name, value in named.items()
    }
    documents |= {
        f"_id {name}": of_members({b"_id": value, b"updated_at": UPDATED, b"name": of(name)})
        for name, value in IDS.items()
    }
    documents["all at once"] = of_members(
        {b"_id": of("all"), b"updated_at": UPDATED}
        | {name.encode(): value for name, value in VALUES.items() if name != "200 levels"}
    )
    documents["16 MB"] = of_members({b"_id": of("big"), b"value": of("x" * (16 * MEGABYTE - 200))})
    return documents


IS_ALTERED = {f"value {name}" for name in ALTERED} | {"_id key twice"}

# what the sandbox's server doesn't take to the letter, though MongoDB takes most of it
REFUSED = {
    *(f"value {name}" for name in ("date before year 1", "date after 9999", "farthest dates")),
    "value DBRef in another order",
    *(f"value {name}" for name in ALTERED.keys() - {"NUL", "NUL in code"}),
    *(f"_id {name}" for name in ("date's form", "year -1000", "object like ours", "key twice")),
    *(f"_id {name}" for name in IDS if name.startswith("DBRef")),
    "all at once",
}
UNDECODED = {"value not UTF-8", "value lone surrogate", "value key that is not UTF-8"}
UNDECODED |= {"all at once", "_id DBRef that is none"}  # a driver's DBRef has a text in "$ref"


def assert_all_arrived(warehouse: Warehouse, documents: dict[str, bytes]) -> None:
    rows = warehouse.all("select _id, doc::text, _types from raw.orders where _deleted_at is null")
    stored = {identity: (doc, types) for identity, doc, types in rows}
    altered = {
        identity: bytes(original)
        for identity, original in warehouse.all("select _id, bson from ops.altered_documents")
    }
    identities = {name: encoding.identity_of(document) for name, document in documents.items()}
    assert stored.keys() == set(identities.values())
    assert len(stored) == len(documents), "no two ids are the same"
    for name, document in documents.items():
        doc, types = stored[identities[name]]
        if name in IS_ALTERED:
            assert altered.pop(identities[name]) == document, name
        else:
            assert content(decode(identities[name], doc, types)) == content(document), name
    assert not altered


def test_torture_collection_of_a_server(warehouse, shop):
    documents = {name: data for name, data in torture().items() if name not in REFUSED}
    orders: Any = shop.orders.with_options(CodecOptions(document_class=RawBSONDocument))
    for data in documents.values():
        orders.insert_one(RawBSONDocument(data))
    kept = {bytes(document.raw) for document in orders.find({})}
    assert kept == set(documents.values()), "the server keeps them to the letter"
    load_in_every_mode(warehouse, documents)


def test_torture_collection_with_what_that_server_refuses(replayed, replay_server):
    documents = {name: data for name, data in torture().items() if is_decoded(data)}
    assert documents.keys() >= REFUSED - UNDECODED
    replay_server.put("shop.orders", list(documents.values()))
    load_in_every_mode(replayed, documents)


def test_torture_collection_with_what_drivers_refuse_too(warehouse):
    """Servers check text on the way in, so these come in by the door for files."""
    documents = torture()

    def slices() -> Iterator[Slice]:
        yield from map(encoding.encode, encoding.cut(b"".join(documents.values())))

    for _ in range(2):
        result = land(warehouse.conn, "orders", slices, mode="files", is_complete=True)
        assert (result.quarantined, result.is_reconciled) == (0, True)
        assert_all_arrived(warehouse, documents)
    assert result.counts.written == 0


def is_decoded(document: bytes) -> bool:
    try:
        bson.decode(document, CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_MS))
    except BSONError:
        return False
    return True


def load_in_every_mode(warehouse: Warehouse, documents: dict[str, bytes]) -> None:
    for mode in (Mode.FULL, Mode.INCREMENTAL, Mode.SWEEP, Mode.FULL):
        [result] = warehouse.load("orders", mode=mode)
        assert (result.quarantined, result.is_reconciled) == (0, True), mode
        assert result.source_count == result.raw_count == len(documents)
        assert_all_arrived(warehouse, documents)
    assert result.counts.written == 0


def test_nesting_deeper_than_the_json_writer_takes_is_quarantined(warehouse):
    documents = [
        of_members({b"_id": of(levels), b"value": deep(levels)}) for levels in (250, 260, 3000)
    ]
    for _ in range(2):
        result = land(
            warehouse.conn,
            "orders",
            lambda: iter([encoding.encode(documents)]),
            mode="files",
            is_complete=True,
        )
        assert (result.raw_count, result.quarantined) == (1, 2)
    [row] = warehouse.all("select _id, doc::text, _types from raw.orders")
    assert content(decode(*row)) == content(documents[0])
    kept = dict(warehouse.all("select _id, bson from ops.quarantine"))
    assert kept == {"260": documents[1], "3000": documents[2]}
