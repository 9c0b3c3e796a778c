"""BSON to JSON, checked against a slow encoder that shares no code with the fast one."""

from __future__ import annotations

import base64
import json
import math
import struct
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import bson
import pytest
from bson import Binary, Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.datetime_ms import DatetimeMS
from hypothesis import example, given, settings
from hypothesis import strategies as st

from loaders.documents import binary, encoding
from loaders.documents.decimals import to_text
from tests.python.loaders.written import in_order

OID = ObjectId("5f1e8a9b0c2d3e4f5a6b7c8d")
EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 -- BSON dates decode to naive UTC
FIRST_MS = (datetime.min - EPOCH) // timedelta(milliseconds=1)  # noqa: DTZ901
LAST_MS = (datetime.max - EPOCH) // timedelta(milliseconds=1)  # noqa: DTZ901
AUTO = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_AUTO)


# --- the slow encoder: what each type must look like once it is in jsonb --------------------------


def expected(value):
    """The JSON value as Python reads it with parse_float=Decimal, parse_int=Decimal."""
    match value:
        case None | bool():
            return value
        case Code():
            if value.scope is None:
                return {"$code": str(value)}
            return {"$code": str(value), "$scope": expected(dict(value.scope))}
        case str():
            return value.replace("\0", "\ufffd")
        case int():
            return Decimal(int(value))
        case float():
            if math.isnan(value):
                return "NaN"
            if math.isinf(value):
                return "Infinity" if value > 0 else "-Infinity"
            return Decimal(repr(value))
        case Decimal128():
            number = value.to_decimal()
            if number.is_nan():
                return "NaN"
            if number.is_infinite():
                return "-Infinity" if number < 0 else "Infinity"
            return number
        case ObjectId():
            return str(value)
        case datetime():
            return ("date", value.replace(tzinfo=UTC))
        case DatetimeMS():
            if FIRST_MS <= int(value) <= LAST_MS:
                return ("date", (EPOCH + timedelta(milliseconds=int(value))).replace(tzinfo=UTC))
            return {"$date": {"$numberLong": str(int(value))}}
        case bytes():
            subtype = getattr(value, "subtype", 0)
            data = base64.b64encode(value).decode()
            return {"$binary": {"base64": data, "subType": f"{subtype:02x}"}}
        case Regex():
            flags = "".join(
                letter
                for letter, flag in (("i", 2), ("l", 4), ("m", 8), ("s", 16), ("u", 32), ("x", 64))
                if value.flags & flag
            )
            return {"$regularExpression": {"pattern": value.pattern, "options": flags}}
        case Timestamp():
            return {"$timestamp": {"t": Decimal(value.time), "i": Decimal(value.inc)}}
        case MinKey():
            return {"$minKey": Decimal(1)}
        case MaxKey():
            return {"$maxKey": Decimal(1)}
        case DBRef():
            return expected(dict(value.as_doc()))
        case dict():
            return {key: expected(item) for key, item in value.items()}
        case list():
            return [expected(item) for item in value]
    raise AssertionError(f"no rule for {type(value)}")


def same(got, want):
    """Equality in which a date is its ISO text, and decimals keep their trailing zeros."""
    match want:
        case ("date", moment):
            assert isinstance(got, str)
            assert got.endswith("Z")
            return datetime.fromisoformat(got) == moment
        case dict():
            return (
                isinstance(got, dict)
                and got.keys() == want.keys()
                and all(same(got[key], want[key]) for key in want)
            )
        case list():
            return (
                isinstance(got, list)
                and len(got) == len(want)
                and all(same(*pair) for pair in zip(got, want, strict=True))
            )
        case Decimal():
            if type(got) is not Decimal or got != want:
                return False
            # a JSON number has no negative zero and no exponent of its own beyond its digits
            return want.as_tuple().exponent >= 0 or got.as_tuple() == want.as_tuple() or not got
    return got == want and type(got) is type(want)


def rows_of(part: encoding.Slice) -> list[list[str]]:
    """The rows as Postgres reads them, as text; null is empty."""
    rows = []
    for identity, source_ts, digest, types, doc in binary.fields_of(part.rows):
        stamp = binary.moment(source_ts).isoformat().replace("+00:00", "Z") if source_ts else ""
        assert doc[:1] == b"\x01", "the version of jsonb's format"
        rows.append(
            [identity.decode(), stamp, digest.decode(), (types or b"").decode(), doc[1:].decode()]
        )
    assert len(rows) == part.count
    return rows


def doc_of(document: dict):
    part = encoding.encode([bson.encode(document)])
    assert part.rejected == 0
    [[*_, doc]] = rows_of(part)
    return json.loads(doc, parse_float=Decimal, parse_int=Decimal)


# --- every type, in any nesting -------------------------------------------------------------------

keys = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8
).filter(lambda key: key != "_id" and not key.startswith("$"))
texts = st.text(st.characters(exclude_categories=["Cs"]))
ints = st.one_of(st.integers(-(2**31), 2**31 - 1), st.integers(-(2**63), 2**63 - 1).map(Int64))
decimals = st.builds(
    lambda sign, digits, exponent: Decimal128(
        Decimal((sign, tuple(map(int, str(digits))), exponent))
    ),
    st.sampled_from([0, 1]),
    st.integers(0, 10**34 - 1),
    st.integers(-6176, 6111),
) | st.sampled_from(["NaN", "sNaN", "-NaN", "Infinity", "-Infinity", "0E+3", "-0.00"]).map(
    Decimal128
)
dates = st.integers(-(2**62), 2**62).map(DatetimeMS) | st.integers(FIRST_MS, LAST_MS).map(
    DatetimeMS
)
binaries = st.builds(Binary, st.binary(max_size=20), st.sampled_from([0, 3, 4, 5, 128]))
scalars = st.one_of(
    st.none(),
    st.booleans(),
    texts,
    ints,
    st.floats(),
    decimals,
    dates,
    binaries,
    st.binary(min_size=12, max_size=12).map(ObjectId),
    st.builds(Regex, st.from_regex(r"[a-z\\.]*", fullmatch=True), st.sampled_from([0, 2, 10])),
    st.builds(Timestamp, st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1)),
    st.builds(DBRef, st.just("users"), st.binary(min_size=12, max_size=12).map(ObjectId)),
    st.just(MinKey()),
    st.just(MaxKey()),
    st.builds(DBRef, st.just("users"), st.floats()),
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=15,
)
documents = st.dictionaries(keys, values, max_size=6)


@settings(max_examples=400, deadline=None)
@given(documents)
@example({"a": "\\u0000", "b": "\\\0", "c": "\\\\\0x", "d": "\\\\u0000"})
@example({"nan": [{"deep": float("nan")}], "half": float("-inf"), "text": "NaN"})
@example({"a\x01b": float("nan")})
@example({"code": [Code("f()"), Code("f()", {"x": OID}), Code("f()", {"x": float("nan")})]})
@example({"": 1, "a.b": 2, "A": 3, "a": 4, "x" * 300: 5, "tab\tnew\nline": "\t\n\r\\N"})
@example({"m": Decimal128("1E+6111"), "n": Decimal128("-1E-6176"), "o": Decimal128("12.500")})
@example({"n": Int64(2**53 + 1), "d": 273.878, "e": 1e300, "z": -0.0})
def test_document_is_written_as_the_slow_encoder_says(document):
    document = {"_id": OID} | document
    assert same(doc_of(document), expected(document))


@settings(max_examples=150, deadline=None)
@given(st.lists(documents, min_size=1, max_size=5))
def test_fast_and_careful_path_write_the_same(many):
    originals = [bson.encode({"_id": i} | document) for i, document in enumerate(many)]
    for _ in range(4):  # by then their shapes are known
        part = encoding.encode(originals)
    careful = encoding.encode_exactly(originals)
    assert in_order(part.rows) == in_order(careful.rows)
    for name in ("hash_sum", "newest", "unclocked", "days", "size", "count"):
        assert getattr(part, name) == getattr(careful, name)


@given(decimals)
def test_decimal_text_is_the_same_number_as_str(value):
    got = json.loads(to_text(value.bid), parse_int=Decimal, parse_float=Decimal)
    assert same(got, expected(value))


def test_decimal_with_more_than_34_digits_is_zero_as_the_standard_says():
    coefficient = 10**34
    bid = struct.pack("<QQ", coefficient & (2**64 - 1), 6176 << 49 | coefficient >> 64)
    assert to_text(bid) == "0"


# --- what is altered or can't be stored -----------------------------------------------------------


def element(kind: int, key: bytes, value: bytes) -> bytes:
    return bytes([kind]) + key + b"\0" + value


def raw_document(*elements: bytes, identity: bytes | None = None) -> bytes:
    first = element(0x07, b"_id", OID.binary) if identity is None else identity
    body = first + b"".join(elements) + b"\0"
    return struct.pack("<i", len(body) + 4) + body


def string(text: bytes) -> bytes:
    return struct.pack("<i", len(text) + 1) + text + b"\0"


def odd_of(part: encoding.Slice) -> list[list[str]]:
    lines = part.odd.decode().split("\n")
    assert lines.pop() == ""
    return [[field.replace("\\\\", "\\") for field in line.split("\t")] for line in lines]


@pytest.mark.parametrize(
    ("original", "doc", "reason"),
    [
        (raw_document(element(2, b"s", string(b"a\0b"))), "a\ufffdb", "NUL in text"),
        (raw_document(element(2, b"s", string(b"\xff!"))), "\ufffd!", "text that is not UTF-8"),
        (
            raw_document(element(2, b"s", string(b"\xed\xa0\x80"))),  # half of a surrogate pair
            "\ufffd\ufffd\ufffd",
            "text that is not UTF-8",
        ),
        (raw_document(element(0x0E, b"s", string(b"sym"))), "sym", "the obsolete type symbol"),
        (raw_document(element(0x06, b"s", b"")), None, "the obsolete type undefined"),
        (
            raw_document(element(0x0C, b"s", string(b"users") + OID.binary)),
            {"$ref": "users", "$id": str(OID)},
            "the obsolete type DBPointer",
        ),
    ],
)
def test_altered_document_is_stored_and_its_bytes_are_kept(original, doc, reason):
    plain = bson.encode({"_id": 1, "x": "plain"})
    part = encoding.encode([plain, original])
    assert (part.count, part.altered, part.rejected) == (2, 1, 0)
    assert json.loads(rows_of(part)[1][4])["s"] == doc
    assert odd_of(part) == [
        [str(OID), "altered", reason, encoding.hash_of(original), "\\x" + original.hex()]
    ]


def test_backslash_before_u0000_is_no_nul():
    part = encoding.encode([bson.encode({"_id": OID, "s": "C:\\u0000"})])
    assert part.altered == 0
    assert json.loads(rows_of(part)[0][4])["s"] == "C:\\u0000"


def test_id_that_is_too_long_is_rejected_in_a_document_of_a_known_shape_too():
    for _ in range(2):
        encoding.encode([bson.encode({"_id": "short", "n": 1})])
    part = encoding.encode([bson.encode({"_id": "x" * 3000, "n": 1})])
    assert (part.count, part.rejected) == (0, 1)


@pytest.mark.parametrize(
    ("original", "name", "reason"),
    [
        (raw_document(identity=b""), "no _id: ", "it has no _id"),
        (
            raw_document(identity=element(2, b"_id", string(b"\xfe"))),
            "not UTF-8: ",
            "its _id is not UTF-8",
        ),
        (bson.encode({"_id": "x" * 3000}), "long _id: ", "its _id is longer than"),
        (
            raw_document(element(0x42, b"x", b"")),  # no such type
            str(OID),
            "its BSON can't be decoded",
        ),
        (
            raw_document(identity=element(0x42, b"_id", b"")),
            "undecodable: ",
            "its BSON can't be decoded",
        ),
    ],
)
def test_document_that_cannot_be_stored_is_rejected_with_its_bytes(original, name, reason):
    plain = bson.encode({"_id": 1})
    part = encoding.encode([original, plain])
    assert (part.count, part.read, part.rejected) == (1, 2, 1)
    assert rows_of(part)[0][0] == "1"
    [[identity, kind, why, digest, data]] = odd_of(part)
    assert identity.startswith(name)
    assert (kind, digest, data) == (
        "quarantined",
        encoding.hash_of(original),
        "\\x" + original.hex(),
    )
    assert why.startswith(reason)
    assert encoding.identity_of(original) == identity


def test_nesting_beyond_what_the_json_writer_takes_is_rejected_not_lost():
    value: object = 1
    for _ in range(100):
        value = {"n": value}
    assert encoding.encode([bson.encode({"_id": 1, "v": value})]).count == 1
    for _ in range(200):
        value = {"n": value}
    part = encoding.encode([bson.encode({"_id": 1, "v": value})])
    assert (part.count, part.rejected) == (0, 1)


# --- ids ------------------------------------------------------------------------------------------

IDS = [
    OID,
    str(OID),
    "abc",
    "1",
    "",
    "null",
    "a\0b",
    "a\ufffdb",
    "a\\u0000b",
    1,
    Int64(2**53 + 1),
    1.5,
    float("nan"),
    float("inf"),
    "NaN",
    True,
    None,
    Decimal128("2.50"),
    Decimal128("NaN"),
    datetime(2024, 1, 31, 12),  # noqa: DTZ001
    "2024-01-31T12:00:00Z",
    Binary(b"12345678"),
    Binary.from_uuid(UUID(int=7)),
    {"a": 1, "b": OID},
    {"a": 1, "b": str(OID)},
    {"b": OID, "a": 1},
    {"$oid": str(OID)},
    Timestamp(1, 2),
    MinKey(),
]


def test_no_two_ids_share_a_name():
    names = [encoding.identity_of(bson.encode({"_id": value})) for value in IDS]
    assert len(set(names)) == len(IDS)
    assert names[:5] == [str(OID), f'"{OID}"', '"abc"', '"1"', '""']
    assert names[9] == "1"


@pytest.mark.parametrize("value", IDS, ids=repr)
def test_encode_and_identify_name_a_document_alike(value):
    original = bson.encode({"_id": value, "x": "é"})
    [[identity, _, digest, *_]] = rows_of(encoding.encode([original]))
    seen = encoding.identify([original])
    [[name, hashed, key]] = binary.fields_of(seen.rows)
    assert (
        (name.decode(), hashed.decode())
        == (identity, digest)
        == (encoding.id_text(value), encoding.hash_of(original))
    )
    if isinstance(value, ObjectId):
        assert key is None
    else:
        found = bson.decode(key, AUTO)["_id"]
        assert encoding.id_text(found) == identity


# --- the document's clock, slices -----------------------------------------------------------------


def test_clock_is_updated_at_where_it_is_a_date():
    moment = datetime(2024, 5, 6, 7, 8, 9, 120000)  # noqa: DTZ001
    many = [
        {"_id": 1, "updated_at": moment},
        {"_id": 2, "updated_at": moment - timedelta(days=1)},
        {"_id": 3},
        {"_id": 4, "updated_at": None},
        {"_id": 5, "updated_at": "2024-05-06"},
        {"_id": 6, "updated_at": [moment]},
        {"_id": 7, "updated_at": DatetimeMS(2**60)},
    ]
    part = encoding.encode([bson.encode(document) for document in many])
    assert [row[1] for row in rows_of(part)] == [
        "2024-05-06T07:08:09.120000Z",
        "2024-05-05T07:08:09.120000Z",
        *[""] * 5,
    ]
    assert part.newest == (moment, "1")
    assert part.unclocked == 5
    bits = {row[0]: int(row[2][:15], 16) for row in rows_of(part)}
    assert part.days == {
        "2024-05-06": (1, bits["1"]),
        "2024-05-05": (1, bits["2"]),
        "": (5, sum(bits[name] for name in "34567")),
    }
    assert part.hash_sum == sum(bits.values())


def test_cut_gives_whole_documents_in_order():
    originals = [bson.encode({"_id": i, "x": "y" * i}) for i in range(300)]
    slices = list(encoding.cut(b"".join(originals), slice_bytes=2000))
    assert [document for part in slices for document in part] == originals
    assert max(sum(map(len, part)) for part in slices[:-1]) < 2000 + max(map(len, originals))
    assert list(encoding.cut(b"")) == []


@pytest.mark.parametrize("broken", [b"\x05\0\0\0", b"\x04\0\0\0\0", bson.encode({"a": 1})[:-1]])
def test_cut_refuses_half_a_document(broken):
    with pytest.raises(ValueError, match="broken BSON length"):
        list(encoding.cut(bson.encode({"_id": 1}) + broken))


def test_hash_sees_every_byte_and_nothing_else():
    one = bson.encode({"_id": 1, "a": 1})
    assert encoding.hash_of(one) == encoding.hash_of(bson.encode({"_id": 1, "a": 1}))
    others = (
        {"_id": 1, "a": 1.0},
        {"_id": 1, "a": Int64(1)},
        {"_id": 1, "b": 1},
        {"_id": 2, "a": 1},
    )
    assert encoding.hash_of(one) not in {encoding.hash_of(bson.encode(other)) for other in others}


def test_mappings_follow_the_same_rules():
    many = ({"_id": f"row-{i}", "price": Decimal128("1.50"), "note": "\0"} for i in range(5000))
    parts = list(encoding.encode_mappings(many))
    assert len(parts) > 5
    assert sum(part.count for part in parts) == sum(part.altered for part in parts) == 5000
    assert rows_of(parts[0])[0][0] == '"row-0"'
