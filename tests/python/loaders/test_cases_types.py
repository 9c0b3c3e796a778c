"""Cases 1 to 12 of a loader that can be trusted: every type, key, id and shape that BSON has.

Each collection comes in both ways, as a new one and as changes, and is compared with the source
byte by byte (`arrivals`); what stands here is how it looks in Postgres.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from uuid import UUID

import bson
import pytest
from arrivals import Arrivals
from bson import (
    Binary,
    Code,
    DBRef,
    Decimal128,
    Int64,
    MaxKey,
    MinKey,
    ObjectId,
    Regex,
    Timestamp,
    json_util,
)
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.datetime_ms import DatetimeMS
from raw_bson import element, raw_document, raw_object, string

from loaders.documents import encoding

pytestmark = pytest.mark.servers

SOURCE = Arrivals()
OID = ObjectId("5f1e8a9b0c2d3e4f5a6b7c8d")
NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)


def values(**named):
    """Documents with one value each, called by its name."""
    return SOURCE.has(*({"_id": name, "v": value} for name, value in named.items()))


@values(
    digits=Decimal128("1234567890123456789012345678901234"),
    negative=Decimal128("-9999999999999999999999999999999999E-33"),
    zeros=Decimal128("12.500"),
    nan=Decimal128("NaN"),
    infinite=Decimal128("-Infinity"),
    large=Decimal128("1E+6000"),
    small=Decimal128("1E-6176"),
    zero=Decimal128("-0.00"),
)
def test_case_01_decimal128(arrived):
    assert arrived.value("digits") == "1234567890123456789012345678901234"
    assert arrived.value("negative") == "-9.999999999999999999999999999999999"
    assert arrived.value("zeros") == "12.500"
    assert arrived.value("nan") == '"NaN"'
    assert arrived.value("infinite") == '"-Infinity"'
    assert arrived.value("large") == "1" + "0" * 6000
    assert arrived.value("small") == "0." + "0" * 6175 + "1"
    assert arrived.value("zero") == "0.00"


@values(
    beyond=Int64(2**53 + 1), least=Int64(-(2**63)), most=Int64(2**63 - 1), small=Int64(5), int32=5
)
def test_case_02_int64_beyond_what_a_double_holds(arrived):
    assert arrived.value("beyond") == "9007199254740993"
    assert arrived.value("least") == "-9223372036854775808"
    assert arrived.value("most") == "9223372036854775807"
    assert arrived.value("small") == arrived.value("int32") == "5"


NAN, INFINITY = float("nan"), float("inf")


@values(
    top=NAN,
    plus=INFINITY,
    minus=-INFINITY,
    nested=[1.5, NAN, {"x": [-INFINITY, {"y": INFINITY}]}],
    words=["NaN", "Infinity"],
    minus_zero=-0.0,
)
def test_case_03_nan_and_infinities_at_the_top_and_in_arrays(arrived):
    assert arrived.value("top") == '"NaN"'
    assert arrived.value("plus") == '"Infinity"'
    assert arrived.value("minus") == '"-Infinity"'
    nested = [1.5, "NaN", {"x": ["-Infinity", {"y": "Infinity"}]}]
    assert json.loads(arrived.value("nested")) == nested
    assert arrived.value("words") == '["NaN", "Infinity"]'
    assert arrived.rows['"top"'].types != arrived.rows['"words"'].types


@values(
    value="a\0b",
    alone="\0",
    nested=[{"like a key": "x\0y"}],
    text="\\u0000",
    path="C:\\new\\u0000\\\\u0000",
    both="\\\0",
)
def test_case_04_nul_in_text_and_the_text_that_only_looks_like_it(arrived):
    assert json.loads(arrived.value("value")) == "a\ufffdb"
    assert json.loads(arrived.value("nested")) == [{"like a key": "x\ufffdy"}]
    assert json.loads(arrived.value("text")) == "\\u0000"
    assert json.loads(arrived.value("path")) == "C:\\new\\u0000\\\\u0000"
    assert json.loads(arrived.value("both")) == "\\\ufffd"
    altered = {f'"{name}"': "NUL in text" for name in ("value", "alone", "nested", "both")}
    assert arrived.reasons == altered


@values(
    minus_1000=DatetimeMS(-93692592000123),
    year_10031=DatetimeMS(254380000000456),
    first=DatetimeMS(-62135596800000),
    last=DatetimeMS(253402300799999),
    milliseconds=NOON + timedelta(milliseconds=7),
    before_1970=datetime(1815, 6, 18, 11, 35, 0, 1000, tzinfo=UTC),
)
def test_case_05_dates_of_any_year_to_the_millisecond(arrived):
    assert json.loads(arrived.value("minus_1000")) == {"$date": {"$numberLong": "-93692592000123"}}
    assert json.loads(arrived.value("year_10031")) == {"$date": {"$numberLong": "254380000000456"}}
    assert arrived.value("first") == '"0001-01-01T00:00:00Z"'
    assert arrived.value("last") == '"9999-12-31T23:59:59.999000Z"'
    assert arrived.value("milliseconds") == '"2024-03-01T12:00:00.007000Z"'
    assert arrived.value("before_1970") == '"1815-06-18T11:35:00.001000Z"'


@SOURCE.has(
    *(
        {"_id": name, "v": value}
        for name, value in {
            "binary": Binary(b"\0\x01\xff", 128),
            "generic": b"",
            "uuid 4": Binary(UUID(int=7).bytes, 4),
            "uuid 3": Binary(UUID(int=7).bytes, 3),
            "regex": Regex("^a.*\\\\b/\"'", "imsx"),
            "timestamp": Timestamp(2**32 - 1, 7),
            "code": Code("function() { return 1 }"),
            "scope": Code("x", {"x": Decimal128("1.10"), "nan": NAN}),
            "keys": [MinKey(), MaxKey()],
            "dbref": DBRef("users", OID, "crm", more=Int64(1)),
        }.items()
    ),
    raw_document(element(14, b"v", string(b"sym")), identity=element(16, b"_id", b"\1\0\0\0")),
    raw_document(element(6, b"v", b""), identity=element(16, b"_id", b"\2\0\0\0")),
    raw_document(
        element(12, b"v", string(b"users") + OID.binary),
        identity=element(16, b"_id", b"\3\0\0\0"),
    ),
)
def test_case_06_types_that_json_lacks(arrived):
    shown = {
        "binary": {"$binary": {"base64": "AAH/", "subType": "80"}},
        "generic": {"$binary": {"base64": "", "subType": "00"}},
        "uuid 4": {"$binary": {"base64": "AAAAAAAAAAAAAAAAAAAABw==", "subType": "04"}},
        "uuid 3": {"$binary": {"base64": "AAAAAAAAAAAAAAAAAAAABw==", "subType": "03"}},
        "regex": {"$regularExpression": {"pattern": "^a.*\\\\b/\"'", "options": "imsx"}},
        "timestamp": {"$timestamp": {"t": 2**32 - 1, "i": 7}},
        "code": {"$code": "function() { return 1 }"},
        "scope": {"$code": "x", "$scope": {"x": 1.10, "nan": "NaN"}},
        "keys": [{"$minKey": 1}, {"$maxKey": 1}],
        "dbref": {"$ref": "users", "$id": str(OID), "$db": "crm", "more": 1},
        1: "sym",
        2: None,
        3: {"$ref": "users", "$id": str(OID)},
    }
    assert {name: json.loads(arrived.value(name)) for name in shown} == shown
    obsolete = {"1": "symbol", "2": "undefined", "3": "DBPointer"}
    assert arrived.reasons == {i: f"the obsolete type {kind}" for i, kind in obsolete.items()}


def with_text(number, text):
    """A document with the bytes of a string, under an ObjectId."""
    return raw_document(
        element(2, b"v", string(text)), identity=element(7, b"_id", b"\0" * 11 + bytes([number]))
    )


@SOURCE.has(
    with_text(1, b"\xff!"),
    with_text(2, b"\xed\xa0\x80"),  # half of a surrogate pair
    with_text(3, b"\xed\xa0\xbd\xed\xb8\x80"),  # both halves, as only Java writes them
    with_text(4, b"\xc0\x80\0"),  # NUL in two bytes, and a real one
    with_text(5, "é😀\ufffd".encode()),
)
def test_case_07_text_that_is_not_utf8(arrived):
    def value(number):
        return json.loads(arrived.value(ObjectId(b"\0" * 11 + bytes([number]))))

    assert value(1) == "\ufffd!"
    assert value(2) == "\ufffd" * 3
    assert value(3) == "\ufffd" * 6
    assert value(4) == "\ufffd" * 3
    assert value(5) == "é😀\ufffd"
    reasons = [arrived.reasons.get("0" * 23 + str(number)) for number in range(1, 6)]
    not_utf8 = "text that is not UTF-8"
    assert reasons == [not_utf8, not_utf8, not_utf8, f"NUL in text; {not_utf8}", None]


KEYS = {"": 1, "a.b": 2, "$x": 3, "Name": 4, "name": 5, "k" * 70: 6, "é" * 100: 7, "\t\n\\N": 8}
LIKE_OURS = {"$date": "no date"}, {"$oid": str(OID)}, {"$binary": 1}, {"$numberLong": "5"}


@SOURCE.has(
    {"_id": "any", "v": KEYS, **KEYS},
    {"_id": "like ours", "v": [*LIKE_OURS]},
    raw_document(
        element(16, b"v", b"\1\0\0\0"),
        element(3, b"w", raw_object(element(16, b"x", b"\3\0\0\0"), element(10, b"x", b""))),
        element(16, b"v", b"\2\0\0\0"),
    ),
)
def test_case_08_keys_of_any_kind(arrived):
    assert json.loads(arrived.value("any")) == KEYS
    assert json.loads(arrived.rows['"any"'].doc) == {"_id": "any", "v": KEYS, **KEYS}
    assert json.loads(arrived.value("like ours")) == [*LIKE_OURS]
    # of two the last is kept, as jsonb does; the document's bytes are kept beside it
    assert arrived.value(OID) == "2"
    assert json.loads(arrived.value(OID, "w")) == {"x": None}
    assert arrived.reasons == {str(OID): "a key that stands twice in one object"}


IDS = [
    *(OID, str(OID), "abc", "1", "", "null", "a\\u0000b", 1, Int64(2**53 + 1), 1.5, NAN, "NaN"),
    *(True, None, Decimal128("2.50"), Decimal128("Infinity"), NOON, "2024-03-01T12:00:00Z"),
    *(DatetimeMS(254380000000456), Binary(b"12345678"), Binary(UUID(int=7).bytes, 4)),
    *(Binary(UUID(int=7).bytes, 3), {"a": 1, "b": OID}, {"a": 1, "b": str(OID)}),
    *({"b": OID, "a": 1}, {"a": Int64(1), "b": OID}, {"$oid": str(OID)}, Timestamp(1, 2)),
    *(MinKey(), MaxKey(), Code("f"), "f", DBRef("users", 1), 'tab\tquote"back\\slash\nline é'),
]


@SOURCE.has(*({"_id": identity, "v": number} for number, identity in enumerate(IDS)))
def test_case_09_ids_of_each_type_in_one_collection(arrived):
    assert [arrived.value(identity) for identity in IDS] == [str(i) for i in range(len(IDS))]
    assert arrived.rows[str(OID)].doc != arrived.rows[f'"{OID}"'].doc
    assert {"1", '"1"', "true", "null", '"null"', "2.50"} <= arrived.rows.keys()


def deep(levels):
    value = "bottom"
    for level in range(levels):
        value = {"n": value} if level % 2 else [value]
    return value


LARGEST = 16 * 1024 * 1024 - 1024
FIELDS = {f"field_{i}": i for i in range(1700)}


@SOURCE.has(
    {"_id": "large", "v": "x" * (LARGEST - len(bson.encode({"_id": "large", "v": ""})))},
    {"_id": "deep", "v": deep(99)},
    {"_id": "wide", "v": 0, **FIELDS},
)
def test_case_10_large_deep_and_wide_documents(arrived):
    assert len(arrived.rows['"large"'].source) == LARGEST
    assert json.loads(arrived.value("deep")) == deep(99)
    assert json.loads(arrived.rows['"wide"'].doc) == {"_id": "wide", "v": 0, **FIELDS}


CHANGING = [1, "1", {"a": 1}, [1], None, 1.0, True, NOON, OID, str(OID), Decimal128("1")]


@SOURCE.has(*({"_id": i, "v": value} for i, value in enumerate(CHANGING * 20)))
def test_case_11_field_whose_type_changes_in_mid_collection(arrived):
    shown = [arrived.value(i) for i in range(len(CHANGING))]
    assert shown[:8] == ["1", '"1"', '{"a": 1}', "[1]", "null", "1.0", "true", f'"{ISO_NOON}"']
    assert shown[8:] == [f'"{OID}"', f'"{OID}"', "1"]
    assert [arrived.value(i) for i in range(220)] == shown * 20


ISO_NOON = "2024-03-01T12:00:00Z"


@SOURCE.has()
def test_case_11_empty_collection(arrived):
    assert arrived.rows == {}


@SOURCE.has({"_id": 1, "v": 1})
def test_case_11_collection_of_one_document(arrived):
    assert [*arrived.rows] == ["1"]


EXACT = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_MS)


def content_hash(documents):
    """Over (id, canonical Extended JSON), in the order of the ids."""
    options = {"json_options": json_util.CANONICAL_JSON_OPTIONS, "sort_keys": True}
    lines = (
        json_util.dumps([identity, bson.decode(document, EXACT)], **options)
        for identity, document in documents.items()
    )
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


@pytest.mark.parametrize("name", [name for name in SOURCE.documents if "_07_" not in name])
def test_case_12_count_and_content_hash_are_those_of_the_source(loaded, name):
    """Case 7 has text that no JSON can hold; its bytes are compared."""
    rows = {identity: row.bson for identity, row in loaded(name).rows.items()}
    source = {encoding.identity_of(document): document for document in SOURCE.documents[name]}
    assert len(rows) == len(source) == len(SOURCE.documents[name])
    assert content_hash(rows) == content_hash(source)
    for identity, document in [*source.items()][:1]:
        other = bson.encode({**bson.decode(document, EXACT), "v": "another value"})
        assert content_hash(rows | {identity: other}) != content_hash(source)
