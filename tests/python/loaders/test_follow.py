"""`--mode follow`: what happens in the shop is in raw, whatever happens to the follower.

The cases are those of a trustworthy loader on change streams, by number.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest

from loaders import follow
from loaders.modes import Mode

pytestmark = pytest.mark.servers

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
IDLE = timedelta(seconds=0.5)


def catch_up(warehouse, *collections, **options):
    """Follow until nothing more comes."""
    return follow.run(warehouse.settings, collections, until_idle=IDLE, **options)


def fill(shop, count=100, name="orders"):
    shop[name].insert_many(
        {"_id": i, "n": i, "updated_at": NOON + timedelta(seconds=i)} for i in range(count)
    )


def live(warehouse, collection="orders"):
    return set(warehouse.docs(collection))


def test_first_follow_loads_everything_then_only_what_changed(warehouse, shop):
    fill(shop)
    first = catch_up(warehouse)
    assert (first.events, first.rows, first.restarts) == (0, 100, 0)
    shop.orders.update_many({"_id": {"$lt": 10}}, {"$set": {"x": 1}})
    shop.orders.delete_one({"_id": 50})
    second = catch_up(warehouse)
    assert (second.events, second.rows) == (11, 11)
    assert warehouse.equals(shop)
    third = catch_up(warehouse)
    assert (third.events, third.rows) == (0, 0)
