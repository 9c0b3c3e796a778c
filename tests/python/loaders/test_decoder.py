"""The decoder for documents of a known shape writes what the driver's own would have written."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import bson
import pytest
from bson import Decimal128, Int64, ObjectId

from loaders.documents import decoder, encoding


def document(chance: random.Random) -> dict:
    """One shape, any values: small and large integers apart, since these are two shapes."""
    return {
        "_id": ObjectId(),
        "user_id": ObjectId(),
        "number": Int64(chance.randrange(-(2**31), 2**31)),
        "total": Decimal128(f"{chance.randrange(-(10**9), 10**9)}.{chance.randrange(100):02d}"),
        "items": [
            {
                "product_id": ObjectId(),
                "price": chance.random() * 100,
                "name": 'ab\\c"d\n\u00e9\u2028',
            }
            for _ in range(chance.randrange(1, 4))
        ],
        "updated_at": datetime.fromtimestamp(chance.randrange(2**31), UTC),
    }


@pytest.fixture
def documents():
    chance = random.Random(1)
    return [bson.encode(document(chance)) for _ in range(400)]


def test_it_is_in_use():
    assert decoder.decode_all is not bson.decode_all, (
        "the driver's module has changed: see _is_right"
    )


def test_rows_are_those_of_the_drivers_own_decoder(documents, monkeypatch):
    for _ in range(4):  # shapes are learned after some sightings
        fast = encoding.encode(documents)
    monkeypatch.setattr(encoding, "decode_all", bson.decode_all)
    assert encoding.encode(documents) == fast
    assert fast.count == len(documents)


def test_rows_are_those_of_the_exact_reading(documents):
    for _ in range(4):
        fast = encoding.encode(documents)
    exact = encoding._encode(documents, [None] * len(documents))
    assert fast.rows == exact.rows


def test_the_driver_is_left_as_it_is(documents):
    [found] = bson.decode_all(documents[0])
    assert type(found["_id"]) is ObjectId
    assert type(found["number"]) is Int64
    assert type(found["total"]) is Decimal128
