"""A document of a known shape is written just as if it had been read to the letter."""

from __future__ import annotations

import struct
from datetime import UTC, datetime

import bson
import pytest
from bson import DBRef, Int64, ObjectId
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from loaders.documents import encoding, transcoder
from loaders.documents.encoding import Slice
from loaders.documents.shapes import MAX_SHAPES, SIGHTINGS, Shapes
from tests.python.loaders.bson_values import (
    BY_TYPE,
    DECIMALS,
    DOUBLES,
    EDGES,
    TEXTS_LIKE_OURS,
    documents,
    plain_values,
    texts,
)
from tests.python.loaders.raw_bson import OBJECT_ID, of_members, raw_array, string


@pytest.fixture(autouse=True)
def shapes(monkeypatch) -> Shapes:
    """None are known yet, and C, which needs none, isn't there."""
    monkeypatch.setattr(transcoder, "rows_in_c", None)
    fresh = Shapes()
    monkeypatch.setattr(encoding, "_shapes", fresh)
    return fresh


def exactly(originals: list[bytes]) -> Slice:
    return encoding.encode_exactly(originals)


def encode_as_known(originals: list[bytes]) -> Slice:
    for original in originals:
        for _ in range(SIGHTINGS):
            encoding.encode([original])
    return encoding.encode(originals)


def reads_exactly(monkeypatch, originals: list[bytes]) -> int:
    """How many of them aren't of a known shape."""
    read: list[bytes] = []
    one = encoding._read_exactly
    with monkeypatch.context() as patch:
        patch.setattr(encoding, "_read_exactly", lambda *data: read.append(data[0]) or one(*data))
        encoding.encode(originals)
    return len(read)


quick = settings(
    max_examples=100, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate]
)


@quick
@given(documents(plain_values))
def test_any_document(originals):
    assert encode_as_known(originals) == exactly(originals)


@st.composite
def alike(draw):
    """Documents with the same keys and types, and other values: what one teaches, others use."""
    kinds = draw(st.lists(st.sampled_from(list(BY_TYPE)), min_size=1, max_size=4))
    in_array = draw(st.lists(st.sampled_from(list(BY_TYPE)), max_size=2))

    def members(kinds):
        found = {}
        for number, kind in enumerate(kinds):
            if draw(st.integers(0, 9)):  # now and then a key is missing, or has another type
                other = kind if draw(st.integers(0, 9)) else draw(st.sampled_from(list(BY_TYPE)))
                found[b"k%d" % number] = other, draw(BY_TYPE[other])
        return found

    return [
        of_members(
            {b"_id": (16, struct.pack("<i", number)), b"updated_at": (9, draw(BY_TYPE[9]))}
            | members(kinds)
            | {
                b"array": (
                    4,
                    raw_array(
                        *(
                            (3, of_members(members(in_array)))
                            for _ in range(draw(st.integers(0, 2)))
                        )
                    ),
                ),
                b"texts": (4, raw_array(*((2, string(draw(texts))) for _ in range(number % 3)))),
            }
        )
        for number in range(6)
    ]


@settings(quick, max_examples=300)
@given(alike())
def test_documents_that_differ_in_values_only(originals):
    for original in originals[:2]:
        encode_as_known([original])
    assert encoding.encode(originals) == exactly(originals)


def order(number: int, count: int, **more: object) -> bytes:
    line = {"sku": "s" * (number % 7), "ref": DBRef("products", ObjectId())}
    order = {"_id": ObjectId(), "at": {"x": 1.5}, "n": Int64(number), "lines": [line] * count}
    return bson.encode(order | more)


def test_shape_is_known_after_some_sightings(monkeypatch):
    for number in range(SIGHTINGS):
        assert reads_exactly(monkeypatch, [order(number, 2)]) == 1
    assert reads_exactly(monkeypatch, [order(n, n) for n in range(9)]) == 0
    # a number that needs 64 bits has another note, namely none
    assert reads_exactly(monkeypatch, [order(2**40, 1)]) == 1


def test_values_without_a_note_may_be_of_other_types_or_missing(monkeypatch):
    encode_as_known([order(1, 2)])
    others = [
        1,
        1.5,
        None,
        "text",
        True,
        ObjectId(),
        datetime(2024, 1, 1, tzinfo=UTC),
        [1, "a", None],
        {},
    ]
    originals = [order(1, 1, at={"x": other}) for other in others[:7]]
    originals += [order(1, 0, lines=None), order(1, 0, lines=[1, 2.5, "x"]), order(1, 1, at=None)]
    assert reads_exactly(monkeypatch, originals) == 0
    assert reads_exactly(monkeypatch, [order(1, 1, at={"x": other}) for other in others[7:]]) == 2
    assert reads_exactly(monkeypatch, [order(1, 1, n=None), order(1, 1, more=1)]) == 2


@pytest.mark.parametrize("reference", [{"$ref": "u"}, {"$ref": "u", "$id": 1, "$db": None}])
def test_reference_of_which_the_driver_would_lose_something_is_read_exactly(monkeypatch, reference):
    original = bson.encode({"_id": 1, "r": reference})
    encode_as_known([original, bson.encode({"_id": 1, "r": DBRef("u", 1, "db")})])
    assert reads_exactly(monkeypatch, [original]) == 1


@pytest.mark.parametrize(
    ("kind", "plain", "others"),
    [
        (1, struct.pack("<d", 1.5), DOUBLES),
        (2, string(b"text"), [string(text) for text in TEXTS_LIKE_OURS]),
        (2, string(OBJECT_ID.hex().encode()), [string(text) for text in TEXTS_LIKE_OURS]),
        (18, struct.pack("<q", 1), [struct.pack("<q", number) for number in EDGES]),
        (18, struct.pack("<q", 2**40), [struct.pack("<q", number) for number in EDGES]),
        (19, struct.pack("<QQ", 125, 0x303C << 48), DECIMALS),
    ],
)
def test_values_that_are_written_in_another_way(kind, plain, others):
    def document(value: bytes) -> bytes:
        return of_members({b"_id": (10, b""), b"v": (kind, value)})

    encode_as_known([document(plain)])
    originals = [document(value) for value in others]
    assert encoding.encode(originals) == exactly(originals)


def test_nul_in_text_is_found_though_the_shape_fits():
    plain = bson.encode({"_id": 1, "a": "x", "b": None})
    encode_as_known([plain])
    # the bytes after the NUL are what a null with the key b would be
    twin = bson.encode({"_id": 2, "a": "x\0\x0ab"})
    assert encoding._shapes.find(twin)
    part = encoding.encode([plain, twin])
    assert (part.count, part.altered) == (2, 1)


def test_document_without_an_id_is_rejected_though_it_has_all_else():
    encode_as_known([bson.encode({"_id": 1, "a": 1})])
    assert encoding.encode([bson.encode({"a": 1})]).rejected == 1


def test_one_document_the_driver_refuses_leaves_the_others_as_they_are():
    plain = bson.encode({"_id": 1, "a": "xyz"})
    broken = plain.replace(b"xyz", b"\xff\xfe\xfd")
    encode_as_known([plain])
    part = encoding.encode([plain, broken])
    assert (part.count, part.altered) == (2, 1)
    assert part.rows.startswith(encoding.encode([plain]).rows)


def test_keys_that_are_data_do_not_pile_up(shapes):
    for number in range(MAX_SHAPES + 10):
        encode_as_known([bson.encode({"_id": 1, "views": {f"day {number}": 1}})])
    assert len(shapes) == MAX_SHAPES
