"""Documents that jsonb can't hold as they are: altered and kept, or quarantined; never lost."""

from __future__ import annotations

import struct
from datetime import UTC, datetime

import bson
import pytest
from bson import Decimal128, ObjectId
from bson.datetime_ms import DatetimeMS

from loaders.documents import decimals, encoding, transcoder
from loaders.landing import land
from loaders.modes import Mode

pytestmark = pytest.mark.servers

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
OID = ObjectId("5f1e8a9b0c2d3e4f5a6b7c8d")


def deep(levels: int) -> object:
    value: object = "bottom"
    for level in range(levels):
        value = {"n": value} if level % 2 else [value]
    return value


# what the sandbox's MongoDB server refuses though MongoDB takes it: loaded by another door
REFUSED = {
    "year -1000": DatetimeMS(-93692592000000),
    "year 10031": DatetimeMS(254380000000000),
}


def test_nul_is_replaced_and_the_original_is_kept_till_it_is_gone(warehouse, shop):
    shop.orders.insert_many([{"_id": 1, "s": "a\0b"}, {"_id": 2, "s": "fine"}])
    [result] = warehouse.load("orders")
    assert result.counts.altered == 1
    assert warehouse.docs("orders")["1"]["s"] == "a\ufffdb"
    [(identity, reason, kept)] = warehouse.all(
        "select _id, reason, bson from ops.altered_documents where collection = 'orders'"
    )
    assert (identity, reason) == ("1", "NUL in text")
    assert bson.decode(kept) == {"_id": 1, "s": "a\0b"}

    for mode in (Mode.FULL, Mode.INCREMENTAL, Mode.SWEEP):
        before = warehouse.all("select * from ops.altered_documents")
        [result] = warehouse.load("orders", mode=mode)
        assert result.counts.written == 0
        assert warehouse.all("select * from ops.altered_documents") == before

    shop.orders.update_one({"_id": 1}, {"$set": {"s": "clean"}})
    warehouse.load("orders", mode=Mode.INCREMENTAL)
    assert warehouse.one("select count(*) from ops.altered_documents") == 0


def test_document_that_cannot_be_stored_is_quarantined_and_released(warehouse, shop):
    """Nesting of 300 levels passes the shop's server, and is more than the JSON writer takes."""
    shop.orders.insert_many([{"_id": 1, "v": deep(300)}, {"_id": 2}])
    [result] = warehouse.load("orders")
    assert (result.source_count, result.raw_count, result.quarantined) == (2, 1, 1)
    assert result.is_reconciled
    [(identity, reason, kept)] = warehouse.all("select _id, reason, bson from ops.quarantine")
    assert identity == "1"
    assert reason.startswith("it can't be written as JSON")
    assert bson.decode(kept) == {"_id": 1, "v": deep(300)}

    for mode in (Mode.FULL, Mode.INCREMENTAL, Mode.SWEEP):
        before = warehouse.all("select * from ops.quarantine")
        [result] = warehouse.load("orders", mode=mode)
        assert (result.counts.written, result.is_reconciled) == (0, True)
        assert warehouse.all("select * from ops.quarantine") == before

    shop.orders.replace_one({"_id": 1}, {"v": deep(3)})
    [result] = warehouse.load("orders", mode=Mode.INCREMENTAL)
    assert (result.counts.inserted, result.quarantined) == (1, 0)
    assert warehouse.one("select count(*) from ops.quarantine") == 0
    assert warehouse.equals(shop)


@pytest.mark.parametrize("mode", [Mode.FULL, Mode.SWEEP, Mode.INCREMENTAL])
def test_document_that_only_postgres_refuses_is_quarantined_alone(
    warehouse, shop, monkeypatch, mode
):
    """No BSON document is known to do this, so the encoder is made to write such a number."""
    shop.orders.insert_many([{"_id": i, "n": i} for i in range(200)])
    if mode is not Mode.FULL:
        warehouse.load("orders")
    monkeypatch.setattr(transcoder, "rows_in_c", None)
    monkeypatch.setattr(decimals, "to_text", lambda bid: "1e200000")
    shop.orders.update_one({"_id": 77}, {"$set": {"n": Decimal128("1")}})
    [result] = warehouse.load("orders", mode=mode)
    assert (result.quarantined, result.is_reconciled) == (mode is Mode.FULL, True)
    [(identity, reason, kept)] = warehouse.all("select _id, reason, bson from ops.quarantine")
    assert identity == "77"
    assert reason == "Postgres can't store it: value overflows numeric format"
    assert bson.decode(kept) == {"_id": 77, "n": Decimal128("1")}
    before = warehouse.rows("orders")
    assert len(before) == 199 + (mode is not Mode.FULL)
    [result] = warehouse.load("orders", mode=mode)
    assert (result.counts.written, result.is_reconciled) == (0, True)

    monkeypatch.undo()
    shop.orders.update_one({"_id": 77}, {"$set": {"n": Decimal128("2")}})
    warehouse.load("orders", mode=mode)
    assert warehouse.one("select count(*) from ops.quarantine") == 0
    assert warehouse.equals(shop)


def test_stored_document_whose_new_version_is_quarantined_keeps_the_old_one(warehouse, shop):
    shop.orders.insert_one({"_id": 1, "v": 1})
    warehouse.load("orders")
    shop.orders.update_one({"_id": 1}, {"$set": {"v": deep(300)}})
    for mode in (Mode.INCREMENTAL, Mode.FULL, Mode.SWEEP):
        [result] = warehouse.load("orders", mode=mode)
        assert (result.raw_count, result.counts.written, result.is_reconciled) == (1, 0, True)
        assert warehouse.docs("orders")["1"]["v"] == 1
        assert warehouse.one("select count(*) from ops.quarantine") == 1


@pytest.mark.parametrize("mode", [Mode.FULL, Mode.SWEEP])
def test_quarantined_document_that_is_deleted_leaves_quarantine(warehouse, shop, mode):
    shop.orders.insert_many([{"_id": 1, "v": deep(300)}, {"_id": "x" * 3000}, {"_id": 3}])
    [result] = warehouse.load("orders")
    assert (result.quarantined, result.is_reconciled) == (2, True)
    [result] = warehouse.load("orders", mode=mode)
    assert (result.quarantined, result.is_reconciled) == (2, True)
    shop.orders.delete_many({"_id": {"$ne": 3}})
    [result] = warehouse.load("orders", mode=mode)
    assert (result.quarantined, result.raw_count, result.is_reconciled) == (0, 1, True)


def test_dates_beyond_four_digit_years_are_kept_to_the_millisecond(warehouse):
    documents = [{"_id": 1, **REFUSED}, {"_id": 2, "updated_at": REFUSED["year 10031"]}]
    land(
        warehouse.conn,
        "orders",
        lambda: encoding.encode_mappings(documents),
        mode="files",
        is_complete=True,
    )
    assert warehouse.docs("orders")["1"] == {"_id": 1} | {
        name: {"$date": {"$numberLong": str(int(value))}} for name, value in REFUSED.items()
    }
    assert warehouse.rows("orders")["2"][2] is None, "no date that Postgres could compare"


def test_text_that_is_not_utf8_is_stored_and_kept(warehouse):
    """Servers check text on the way in, so this comes in by the door for files."""
    text = b"\xff!\0"
    body = b"\x10_id\0\x01\0\0\0" + b"\x02s\0" + struct.pack("<i", len(text)) + text + b"\0"
    original = struct.pack("<i", len(body) + 4) + body
    result = land(
        warehouse.conn,
        "orders",
        lambda: iter([encoding.encode([original])]),
        mode="files",
        is_complete=True,
    )
    assert (result.counts.inserted, result.counts.altered) == (1, 1)
    assert warehouse.docs("orders")["1"]["s"] == "\ufffd!"
    assert warehouse.one("select bson from ops.altered_documents") == original


def test_same_id_twice_in_one_stream_keeps_the_last(warehouse):
    def slices():
        return encoding.encode_mappings({"_id": i % 3, "n": i} for i in range(9))

    for _ in range(2):
        result = land(warehouse.conn, "orders", slices, mode="files", is_complete=True)
        assert {i: doc["n"] for i, doc in warehouse.docs("orders").items()} == {
            "0": 6,
            "1": 7,
            "2": 8,
        }
    assert result.counts.written == 0
