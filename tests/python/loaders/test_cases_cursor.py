"""Clocks that can't be trusted: cases 21 to 27 are in test_modes.py, here is what they leave open.

The source is a replay server, whose clock a test can set.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from loaders import source
from loaders.modes import Mode

pytestmark = pytest.mark.servers

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
BATCH = 10


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr(source, "BATCH_DOCUMENTS", BATCH)


def order(number, updated_at=NOON, **more):
    return {"_id": number, "updated_at": updated_at, **more}


def put(server, documents):
    server.put("shop.orders", documents)


@pytest.mark.parametrize("ties", [BATCH, BATCH + 1, 3 * BATCH])
def test_case_21_ties_across_the_border_of_a_batch(replayed, replay_server, ties):
    """All with one moment, which is the watermark's: more of them than an answer of the source."""
    put(replay_server, [order(i) for i in range(ties)])
    replayed.load("orders")
    put(replay_server, [order(i, x=i % 2) for i in range(-5, ties + 5)])
    [result] = replayed.load("orders", mode=Mode.INCREMENTAL, overlap=timedelta(0))
    assert (result.counts.updated, result.counts.inserted) == (ties, 10)
    assert replayed.mirrors(replay_server)


@pytest.mark.parametrize("skew", [-HOUR, HOUR], ids=["behind", "ahead"])
@pytest.mark.parametrize("of_writer", [-HOUR, timedelta(0), HOUR], ids=["behind", "right", "ahead"])
def test_case_24_no_skew_of_clocks_carries_the_watermark_past_a_later_write(
    replayed, replay_server, skew, of_writer
):
    """One writer's clock is wrong, the source's is; another writer's, whose write is the later
    one, is right.
    """
    now = datetime.now(UTC)
    replay_server.clock = lambda: datetime.now(UTC) + skew
    put(replay_server, [order(1, now + of_writer), order(2, now - timedelta(days=1))])
    replayed.load("orders")
    assert replayed.one("select watermark_ts from ops.watermarks") <= datetime.now(UTC)
    replay_server.change("shop.orders", "update", order(2, datetime.now(UTC), x=1))
    [result] = replayed.load("orders", mode=Mode.INCREMENTAL)
    assert result.counts.updated == 1
    assert replayed.mirrors(replay_server)


def test_document_that_moves_back_in_time_is_found_by_auto(replayed, replay_server):
    """Its new version is older than the watermark less the overlap; a backup was restored, say."""
    put(replay_server, [order(i, NOON - i * HOUR) for i in range(50)])
    replayed.load("orders")
    replay_server.change("shop.orders", "update", order(0, NOON - 99 * HOUR, x=1))
    first, *more = replayed.load("orders")
    assert first.days_differing == 1, "the day that it was in lacks it"
    assert [result.mode for result in more] == ["sweep"]
    assert replayed.mirrors(replay_server)
    row = replayed.one("select _source_ts from raw.orders where _id = '0'")
    assert row == NOON - 99 * HOUR


def test_document_that_moves_back_by_less_than_the_overlap(replayed, replay_server):
    put(replay_server, [order(i, NOON - i * HOUR) for i in range(50)])
    replayed.load("orders")
    replay_server.change("shop.orders", "update", order(0, NOON - timedelta(minutes=9), x=1))
    [result] = replayed.load("orders")
    assert result.counts.updated == 1
    assert replayed.mirrors(replay_server)
    assert replayed.one("select watermark_ts from ops.watermarks") == NOON


def test_older_version_that_arrives_later_is_the_one_that_counts(replayed, replay_server):
    """What the source has now is right, whatever its clock says of it."""
    put(replay_server, [order(1, NOON, v="new"), order(2)])
    replayed.load("orders")
    replay_server.change("shop.orders", "replace", order(1, NOON - timedelta(minutes=5), v="old"))
    replayed.load("orders", mode=Mode.INCREMENTAL)
    assert replayed.docs("orders")["1"]["v"] == "old"
    assert replayed.mirrors(replay_server)
