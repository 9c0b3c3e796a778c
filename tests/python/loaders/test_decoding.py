"""BSON to raw and back, through a real jsonb column: nothing is lost that isn't said to be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import NamedTuple

import bson
import psycopg
import pytest
from bson.decimal128 import Decimal128
from bson.objectid import ObjectId
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from loaders.documents import binary, encoding
from loaders.documents.decoding import decode
from tests.python.loaders.bson_values import documents, odd_values, plain_values
from tests.python.loaders.raw_bson import content, element, raw_object

pytestmark = pytest.mark.servers


class Row(NamedTuple):
    identity: str
    types: str | None
    doc: str


Store = Callable[[bytes], list[Row]]


@pytest.fixture
def store(warehouse) -> Iterator[Store]:
    """Puts COPY rows into a table as landing does, and gives what it then has."""
    conn: psycopg.Connection = warehouse.conn
    conn.execute(
        "create temporary table stored (_id text, _source_ts timestamptz, _doc_hash text, "
        "_types text, doc jsonb)"
    )

    def put(rows: bytes) -> list[Row]:
        conn.execute("truncate stored")
        with conn.cursor().copy("copy stored from stdin with (format binary)") as copy:
            copy.write(binary.HEADER + rows + binary.TRAILER)
        found = conn.execute("select _id, _types, doc::text from stored order by ctid")
        return [Row(*row) for row in found]

    yield put


def kept(part: encoding.Slice) -> dict[str, tuple[str, bytes]]:
    """What `odd` has: kind and BSON by name."""
    rows = [line.replace("\\\\", "\\").split("\t") for line in part.odd.decode().splitlines()]
    return {row[0]: (row[1], bytes.fromhex(row[4].removeprefix("\\x"))) for row in rows}


quick = settings(
    max_examples=150,
    deadline=None,
    # a failure names the one document it is about: shrinking a dozen others takes minutes
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@quick
@given(documents(plain_values))
def test_what_is_not_noted_as_altered_comes_back_equal(store, originals):
    part = encoding.encode(originals)
    assert (part.count, part.odd) == (len(originals), b"")
    rows = store(part.rows)
    back = [decode(row.identity, row.doc, row.types) for row in rows]
    for original, data in zip(originals, back, strict=True):
        assert content(data) == content(original)
    assert store(encoding.encode(back).rows) == rows


@quick
@given(documents(odd_values))
def test_what_is_altered_is_kept_and_the_rest_comes_back_equal(store, originals):
    part = encoding.encode(originals)
    odd = kept(part)
    assert (part.count, part.altered) == (len(originals), len(odd))
    rows = store(part.rows)
    back = [decode(row.identity, row.doc, row.types) for row in rows]
    for original, row, data in zip(originals, rows, back, strict=True):
        if row.identity in odd:
            assert odd[row.identity] == ("altered", original)
        else:
            assert content(data) == content(original)
    # even an altered row is what its BSON would give
    assert store(encoding.encode(back).rows) == rows


@quick
@given(st.lists(plain_values.filter(lambda value: value[0] != 4), max_size=12))
def test_an_id_of_any_type_comes_back_and_is_like_no_other(store, ids):
    originals = [raw_object(element(kind, b"_id", value)) for kind, value in ids]
    part = encoding.encode(originals)
    rows = store(part.rows)
    assert len(rows) == len(originals)
    for original, row in zip(originals, rows, strict=True):
        assert content(decode(row.identity, row.doc, row.types)) == content(original)
        assert encoding.identity_of(original) == row.identity


@pytest.mark.parametrize(
    "identity",
    [
        {"b": 1, "a": [{"z": 1, "y": "t"}]},
        {"$id": 1, "$ref": "users"},
        {"l": ObjectId("0" * 24), "d": datetime(2024, 1, 1, tzinfo=UTC), "a": Decimal128("1.50")},
    ],
)
def test_an_id_that_is_an_object_keeps_the_order_of_its_keys(store, identity):
    original = bson.encode({"_id": identity, "n": 1})
    [row] = store(encoding.encode([original]).rows)
    assert decode(row.identity, row.doc, row.types) == original
