"""The rows that C writes are those of a document that is read to the letter, or none."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import bson
import orjson
import pytest
from bson import Decimal128, Int64, ObjectId
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loaders.documents import binary, encoding, transcoder
from loaders.documents.compile import compile_transcoder
from loaders.documents.exact import EPOCH
from loaders.documents.transcoder import Rows
from tests.python.loaders.bson_values import documents as any_documents
from tests.python.loaders.bson_values import odd_values, plain_values
from tests.python.loaders.written import assert_alike, in_order

in_c = pytest.mark.skipif(
    transcoder.rows_in_c is None,
    reason="NOT COMPILED HERE: no C compiler or no Python headers at set-up",
)


def in_c_alone(*originals: bytes) -> tuple[Rows, list[str], list[str]]:
    """What C makes of them, and what they are called."""
    identities = list(map(encoding.identity_of, originals))
    digests = list(map(encoding.hash_of, originals))
    return transcoder.rows_in_c(list(originals), identities, digests, 0), identities, digests


def passes_on(original: bytes) -> bool:
    (rows, end, days, newest), _, _ = in_c_alone(original)
    assert end in (0, 1)
    assert end or (rows, days, newest) == (b"", {}, None)
    return not end


def assert_as_exactly(*originals: bytes) -> None:
    """All of them are for C, and it writes what is read to the letter."""
    (rows, end, days, newest), identities, _ = in_c_alone(*originals)
    exact = encoding.encode_exactly(originals)
    assert end == len(originals)
    assert not exact.odd
    assert (rows, days) == (in_order(exact.rows), exact.days)
    if newest is None:
        assert exact.newest is None
    else:
        milliseconds, which = newest
        latest = EPOCH + timedelta(milliseconds=milliseconds)
        assert (latest, identities[which]) == exact.newest


dates = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59)).map(  # noqa: DTZ001
    lambda value: value.replace(microsecond=value.microsecond // 1000 * 1000)
)
decimals = st.decimals(
    min_value=Decimal("-1e20"), max_value=Decimal("1e20"), places=4, allow_nan=False
).map(Decimal128)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.text(st.characters(codec="utf-8"), max_size=20),
    st.integers(-(2**31), 2**31 - 1),
    st.integers(-(2**63), 2**63 - 1).map(Int64),
    st.floats(-1e14, 1e14),
    st.floats(-1e6, 1e6).map(lambda value: round(value, 2)),
    st.binary(min_size=12, max_size=12).map(ObjectId),
    dates,
    decimals,
)
keys = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)
documents = st.dictionaries(keys | st.just("updated_at"), values, max_size=8)


@in_c
@settings(max_examples=200, deadline=None)
@given(st.lists(documents, max_size=4))
def test_c_writes_what_is_read_to_the_letter(members):
    originals = [bson.encode({"_id": n} | {**one, "_id": n}) for n, one in enumerate(members)]
    for original in originals:
        if passes_on(original):
            text = repr(bson.decode(original, transcoder.STRICT))
            oddities = ("\\x00", "-0.0", "$")
            assert any(oddity in text for oddity in oddities), "else Python must do it, slowly"
    fit = [original for original in originals if not passes_on(original)]
    if fit:
        assert_as_exactly(*fit)
    assert_alike(encoding.encode(originals), encoding.encode_exactly(originals))


@in_c
@settings(max_examples=200, deadline=None)
@given(any_documents(plain_values | odd_values))
def test_documents_of_any_kind_are_written_alike(originals):
    assert_alike(encoding.encode(originals), encoding.encode_exactly(originals))


# values with and without a note, in few types and under few keys: trees of every form come up
noted = st.recursive(
    st.sampled_from([Int64(1), Int64(2**40), Decimal128("1.5"), "0" * 24, "2024-01-31T12:00:00Z"])
    | st.sampled_from([1, 1.5, None, "x", "2024-01-31T12:00:00.123000Z", "2024-01-31T12:00:00.1Z"]),
    lambda inner: (
        st.lists(inner, max_size=12)
        | st.dictionaries(st.sampled_from(["b", "a", 'é"', "a\\", "", "aa"]), inner)
    ),
    max_leaves=12,
)


@in_c
@settings(max_examples=300, deadline=None)
@given(noted)
def test_notes_are_those_of_the_exact_reader(value):
    original = bson.encode({"_id": 1, "v": value})
    if not passes_on(original):
        assert_as_exactly(original)
    assert_alike(encoding.encode([original]), encoding.encode_exactly([original]))


@in_c
@pytest.mark.parametrize("count", [9, 11, 64])
def test_elements_of_an_array_may_have_other_notes(count):
    lines = [{"price": Decimal128("1.50"), "n": Int64(n if n % 3 else 2**40)} for n in range(count)]
    assert_as_exactly(bson.encode({"_id": 1, "lines": lines}))


@in_c
def test_an_array_of_many_elements_with_one_note_is_for_it():
    assert_as_exactly(bson.encode({"_id": 1, "lines": [{"price": Decimal128("1.50")}] * 2000}))


@in_c
def test_ids_of_many_kinds_are_for_it():
    ids = [ObjectId(), 'a\\b"\n', 7, Int64(2**40), 1.5, True, {"shop": 1, "no": "x"}]
    assert_as_exactly(*(bson.encode({"_id": one, "updated_at": datetime.now(UTC)}) for one in ids))


@in_c
@settings(max_examples=800, deadline=None)
@given(
    st.floats(-1e14, 1e14)
    | st.floats(-1e-3, 1e-3)
    | st.integers(-(10**15), 10**15).map(lambda n: n / 10**6)
)
def test_every_double_comes_back_to_the_bit(value):
    original = bson.encode({"_id": 1, "v": value})
    if value == 0 and str(value) == "-0.0":
        assert passes_on(original)
    else:
        (rows, *_), _, _ = in_c_alone(original)
        [[*_, doc]] = binary.fields_of(rows)
        text = doc[1:].replace(b',"_id":1', b"")
        assert text == orjson.dumps({"v": value})
        assert json.loads(text)["v"].hex() == value.hex()
        assert b"." in text or b"e" in text, "jsonb must show that it is a double"


@in_c
@pytest.mark.parametrize(
    "milliseconds",
    [
        0,
        -1,
        951782399999,
        -62135596800000,
        253402300799999,
        951782400000,
        1709164800000,
        4107542399999,
    ],
)
def test_a_date_is_the_one_that_python_makes_of_it(milliseconds):
    original = bson.encode({"_id": 1, "updated_at": EPOCH + timedelta(milliseconds=milliseconds)})
    assert_as_exactly(original)
    (_, _, _, newest), _, _ = in_c_alone(original)
    assert newest == (milliseconds, 0)


@in_c
@pytest.mark.parametrize(
    "document",
    [
        bson.encode({"_id": 1, "a": float("nan")}),
        bson.encode({"_id": 1, "a": float("inf")}),
        bson.encode({"_id": 1, "a": -0.0}),
        bson.encode({"_id": 1, "a": 1e15}),
        bson.encode({"_id": 1, "a": "x\0y"}),
        bson.encode({"_id": 1, "a": Decimal128("1E+3")}),
        bson.encode({"_id": 1, "a": Decimal128("NaN")}),
        bson.encode({"_id": 1, "a": Decimal128("-0.00")}),
        bson.encode({"_id": 1, "a": bson.Regex("x")}),
        bson.encode({"_id": 1, "a": {"$date": 1}}),
        bson.encode({"_id": 1, "a": "é"}).replace("é".encode(), b"\xc3\x28"),
        bson.encode({"_id": 1, "a": "€€"}).replace("€€".encode(), b"\xed\xa0\x80\xe2\x82\xac"),
        bson.encode({"_id": 1, "ab": 1, "ac": 2}).replace(b"ac", b"ab"),
        bson.encode({"_id": 1, "a": {"b": 1, "c": 2}}).replace(b"c", b"b"),
        bson.encode({"a": 1}),
        bson.encode({"_id": "x" * 3_000}),
    ],
)
def test_what_it_is_not_made_for_it_passes_on(document):
    assert passes_on(document)


@in_c
def test_no_damage_to_the_bytes_makes_it_read_beyond_them():
    chance = random.Random(5)
    whole = bson.encode(
        {"_id": ObjectId(), "a": [{"b": "text", "c": 1.5}], "d": datetime.now(UTC), "e": {"f": [1]}}
    )
    for _ in range(30_000):
        damaged = bytearray(whole[: chance.randrange(len(whole) + 1)])
        for _ in range(chance.randrange(4)):
            if damaged:
                damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        rows, *_ = transcoder.rows_in_c([bytes(damaged)], ["1"], ["0" * 32], 0)
        if rows:
            exact = in_order(encoding.encode_exactly([bytes(damaged)]).rows)
            [[_, stamp, _, types, doc]] = binary.fields_of(exact)
            assert rows == binary.row(b"1", stamp, b"0" * 32, types, doc)


@in_c
def test_nesting_has_a_limit():
    deep = b""
    for _ in range(5000):
        deep = (len(deep) + 8).to_bytes(4, "little") + b"\x03a\0" + (deep or b"") + b"\0"
    assert transcoder.rows_in_c([deep], ["1"], ["0" * 32], 0)[1] == 0


def test_rows_are_the_same_with_either(monkeypatch):
    chance = random.Random(1)
    originals = [
        bson.encode(
            {
                "_id": ObjectId(),
                "number": Int64(chance.randrange(2**31)),
                "total": Decimal128(f"{chance.randrange(10**9)}.{chance.randrange(100):02d}"),
                "items": [{"price": chance.random(), "name": 'ab\\c"d\né'}] * chance.randrange(3),
                "updated_at": datetime.fromtimestamp(chance.randrange(2**31), UTC),
            }
        )
        for _ in range(300)
    ]
    first = encoding.encode(originals)
    exact = encoding.encode_exactly(originals)
    monkeypatch.setattr(transcoder, "rows_in_c", None)
    for _ in range(4):  # shapes are learned after some sightings
        encoding.encode(originals)
    assert_alike(encoding.encode(originals), first, exact)


@in_c
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8", exclude_characters="\0")).filter(
            lambda key: not key.startswith("$") and key != "_id"
        ),
        st.none(),
        max_size=20,
    )
)
def test_keys_come_in_the_order_that_jsonb_gives_them(warehouse, members):
    document = {"_id": 1, "inner": [members], **members}
    (rows, end, _, _), _, _ = in_c_alone(bson.encode(document))
    assert end == 1
    [[*_, doc]] = binary.fields_of(rows)
    [(stored,)] = warehouse.conn.execute("select %s::jsonb::text", [doc[1:].decode()]).fetchall()
    assert keys_of(doc[1:]) == keys_of(stored)


def keys_of(text: str | bytes) -> list:
    """All keys, in their order."""
    return json.loads(text, object_pairs_hook=list)


def test_without_a_compiler_it_says_why_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("CC", "no-such-compiler")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert compile_transcoder(tmp_path) == "there is no C compiler"
    assert not list(tmp_path.iterdir())


@in_c
def test_a_failing_compiler_says_why_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("CC", "false")
    assert compile_transcoder(tmp_path).startswith("false failed")
    assert not list(tmp_path.iterdir())
