"""Whatever happens to a shop, in whatever order it is loaded: raw follows, and so does staging."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest
from bson import ObjectId

from loaders.modes import Mode

pytestmark = [pytest.mark.servers, pytest.mark.slow]

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)


def deep(levels):
    value = "bottom"
    for _ in range(levels):
        value = [value]
    return value


class Shop:
    """A collection to which random things happen: well-kept clocks, and all the other kinds."""

    def __init__(self, collection, seed):
        self.collection = collection
        self.random = random.Random(seed)
        self.now = NOON
        self.ids = []

    def clock(self):
        kind = self.random.random()
        if kind < 0.7:
            return {"updated_at": self.now}
        odd = (
            None,
            "2024-03-01",
            7,
            self.now - timedelta(days=5),
            datetime(2999, 1, 1, tzinfo=UTC),
        )
        return {"updated_at": self.random.choice(odd)} if kind < 0.9 else {}

    def new_id(self):
        number = len(self.ids)
        kinds = (number, f"order-{number}", ObjectId(), number + 0.5, {"n": number})
        return self.random.choice(kinds)

    def body(self):
        fine = ("text", 1.5, float("nan"), {"a": [1, 2]}, "é😀\\u0000")
        return {"value": self.random.choice((*fine, "nul \0", deep(300)))}

    def happen(self):
        self.now += timedelta(seconds=self.random.choice((0, 0, 1, 40)))
        what = self.random.random()
        if what < 0.4 or not self.ids:
            identity = self.new_id()
            self.ids.append(identity)
            self.collection.insert_one({"_id": identity} | self.body() | self.clock())
            return
        identity = self.random.choice(self.ids)
        if what < 0.75:
            document = self.body() | self.clock()
            self.collection.replace_one({"_id": identity}, document, upsert=what < 0.5)
        elif what < 0.85:  # a direct write that forgets the clock
            self.collection.update_one({"_id": identity}, {"$set": {"x": self.random.random()}})
        else:
            self.collection.delete_one({"_id": identity})


class Staging:
    """What an incremental dbt model does: take rows newer than the newest that it has."""

    def __init__(self, warehouse):
        self.warehouse = warehouse
        self.rows = {}

    def build(self):
        newest = max((row[3] for row in self.rows.values()), default=None)
        for identity, row in self.warehouse.rows("orders").items():
            if newest is None or row[3] > newest:
                self.rows[identity] = row


@pytest.mark.parametrize("seed", range(4))
def test_raw_and_staging_follow_a_shop_to_which_anything_happens(warehouse, shop, seed):
    source = Shop(shop.orders, seed)
    staging = Staging(warehouse)
    modes = random.Random(seed)
    for _ in range(12):
        for _ in range(modes.choice((0, 1, 15))):
            source.happen()
        if not source.ids:
            continue
        mode = modes.choice([mode for mode in Mode if mode is not Mode.FOLLOW])
        *_, result = warehouse.load("orders", mode=mode)
        if mode is not Mode.INCREMENTAL:
            assert result.is_reconciled, mode
        before = warehouse.rows("orders")
        *_, again = warehouse.load("orders", mode=Mode(result.mode))
        assert again.counts.written == 0
        assert warehouse.rows("orders") == before
        staging.build()
        assert staging.rows == before

    [result] = warehouse.load("orders", mode=Mode.SWEEP)
    assert result.is_reconciled
    quarantined = dict(warehouse.all("select _id, _doc_hash from ops.quarantine"))
    source_hashes = warehouse.source_hashes(shop, "orders")
    live = {row[0]: row[6] for row in warehouse.rows("orders").values() if row[5] is None}
    assert live | quarantined == source_hashes, "each newest version is in raw or in quarantine"
    altered = dict(warehouse.all("select _id, _doc_hash from ops.altered_documents"))
    for identity, (doc, version, is_deleted) in warehouse.state("orders").items():
        if not is_deleted:
            assert (altered.get(identity) == version) == ("nul " in doc), identity
