"""The row that C writes is the one that Python writes, or none."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import bson
import orjson
import pytest
from bson import Decimal128, Int64, ObjectId
from hypothesis import given, settings
from hypothesis import strategies as st

from loaders.documents import encoding, transcoder
from loaders.documents.compile import compile_transcoder

in_c = pytest.mark.skipif(
    transcoder.row is transcoder.row_in_python,
    reason="NOT COMPILED HERE: no C compiler or no Python headers at set-up",
)


def both(document):
    names = ('"näme"', "0" * 32, '{"a":"long"}')
    return transcoder.row(document, *names), transcoder.row_in_python(document, *names)


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
@settings(max_examples=600, deadline=None)
@given(documents)
def test_c_writes_what_python_writes(document):
    compiled, python = both(bson.encode(document))
    if compiled is None:  # it may pass on what it isn't made for
        text = repr(document)
        assert "\\x00" in text or "-0.0" in text, "else Python would have had to do it slowly"
    else:
        assert compiled == python


@in_c
@settings(max_examples=1500, deadline=None)
@given(
    st.floats(-1e14, 1e14)
    | st.floats(-1e-3, 1e-3)
    | st.integers(-(10**15), 10**15).map(lambda n: n / 10**6)
)
def test_every_double_comes_back_to_the_bit(value):
    made = transcoder.row(bson.encode({"v": value}), "", "", "")
    if value == 0 and str(value) == "-0.0":
        assert made is None
    else:
        text = made[0].split(b"\t")[4]
        assert text == orjson.dumps({"v": value}) + b"\n"
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
    value = transcoder.EPOCH + timedelta(milliseconds=milliseconds)
    compiled, python = both(bson.encode({"updated_at": value}))
    assert compiled == python
    assert compiled[2] == milliseconds


@in_c
@pytest.mark.parametrize(
    "document",
    [
        bson.encode({"a": float("nan")}),
        bson.encode({"a": float("inf")}),
        bson.encode({"a": -0.0}),
        bson.encode({"a": 1e15}),
        bson.encode({"a": "x\0y"}),
        bson.encode({"a": Decimal128("1E+3")}),
        bson.encode({"a": Decimal128("NaN")}),
        bson.encode({"a": Decimal128("-0.00")}),
        bson.encode({"a": bson.Regex("x")}),
        bson.encode({"a": "é"}).replace("é".encode(), b"\xc3\x28"),
        bson.encode({"a": "€€"}).replace("€€".encode(), b"\xed\xa0\x80\xe2\x82\xac"),
    ],
)
def test_what_it_is_not_made_for_it_passes_on(document):
    assert transcoder.row(document, "", "", "") is None


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
        made = transcoder.row(bytes(damaged), "", "", "")
        if made is not None:
            json.loads(made[0].split(b"\t", 4)[4])


@in_c
def test_nesting_has_a_limit():
    document: dict = {}
    for _ in range(5000):
        document = {"a": document}
    deep = b""
    for _ in range(5000):
        deep = (len(deep) + 8).to_bytes(4, "little") + b"\x03a\0" + (deep or b"") + b"\0"
    assert transcoder.row(deep, "", "", "") is None


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
    for _ in range(4):  # shapes are learned after some sightings
        first = encoding.encode(originals)
    exact = encoding.encode_exactly(originals)
    monkeypatch.setattr(transcoder, "row", transcoder.row_in_python)
    assert encoding.encode(originals) == first == exact


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
