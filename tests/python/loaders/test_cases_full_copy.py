"""Cases 14, 15 and 20: servers that break off while everything is read, and ids of mixed types.

The others of a full copy: 13 in test_chaos.py, 16 to 19 in test_snapshot.py.
"""

from __future__ import annotations

import os
import signal
from datetime import UTC, datetime

import pymongo
import pytest
from bson import Binary, Decimal128, Int64, MaxKey, MinKey, ObjectId, Timestamp
from bson.datetime_ms import DatetimeMS

from loaders import snapshot, source
from loaders.connections import open_postgres
from loaders.documents import encoding
from loaders.errors import ServerUnreachableError
from loaders.modes import Mode, Observer
from loaders.source import Source, position_of
from sandbox.replay import CLOSE, error
from sandbox.servers import manager, processes
from sandbox.servers.postgres import Postgres

pytestmark = pytest.mark.servers

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
COUNT = 1_000
BATCH = 100


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr(source, "BATCH_DOCUMENTS", BATCH)
    monkeypatch.setattr(snapshot, "CHUNK_BYTES", 20_000)


def order(number, **more):
    return {"_id": number, "text": "x" * 70, "updated_at": NOON} | more


def fill(server, **more):
    server.put("shop.orders", [order(i, **more) for i in range(COUNT)])


def of_orders(command):
    return command.get("collection", command.get("find")) == "orders"


class Act(Observer):
    """Does something after so many documents, once."""

    def __init__(self, after, action):
        self.left, self.action = after, action

    def read(self, collection, documents, size):
        self.left -= documents
        if self.left <= 0 and self.action:
            action, self.action = self.action, None
            action()


@pytest.mark.slow
@pytest.mark.parametrize("loaded_before", [False, True])
def test_case_14_postgres_restarted_in_mid_copy(replayed, replay_server, loaded_before):
    fill(replay_server)
    if loaded_before:
        replayed.load("orders")
        fill(replay_server, x=1)

    def restart():
        server = Postgres(replayed.settings)
        if loaded_before:
            os.kill(server.pid(), signal.SIGKILL)
            assert processes.wait_until(lambda: server.pid() is None, 10)
        else:
            server.stop()
        manager.up(replayed.settings)

    [result] = replayed.load("orders", mode=Mode.FULL, observer=Act(COUNT // 2, restart))
    replayed.conn.close()
    with open_postgres(replayed.settings, autocommit=True) as replayed.conn:
        assert (result.counts.read, result.is_reconciled) == (COUNT, True)
        assert replayed.mirrors(replay_server)
        assert replayed.one("select count(*) from pg_tables where schemaname = 'shadow'") == 0


# a lost cursor, a killed one, a broken connection, and what a server says that steps down
FAULTS = {
    "cursor not found": error(43, "cursor id 7 not found"),
    "cursor killed": error(237),
    "connection closed": CLOSE,
    "not primary": error(10107),
    "stepped down": error(189),
    "shutting down": error(91),
    "state change": error(11602),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_case_15_cursor_that_breaks_off_is_gone_on_with_by_id(replayed, replay_server, fault):
    fill(replay_server)
    replay_server.on("getMore", FAULTS[fault], nth=4, where=of_orders)
    [result] = replayed.load("orders", mode=Mode.FULL)
    assert (result.counts.read, result.counts.inserted, result.is_reconciled) == (
        *(COUNT, COUNT),
        True,
    )
    finds = [command for command in replay_server.commands if "find" in command]
    assert [find.get("min") for find in finds] == [None, {"_id": 399}]
    assert replayed.mirrors(replay_server)


def test_case_15_source_that_was_started_again(replayed, replay_server):
    def restart():
        replay_server.forget_cursors()
        replay_server.disconnect()

    fill(replay_server)
    [result] = replayed.load("orders", mode=Mode.FULL, observer=Act(COUNT // 2, restart))
    assert (result.counts.read, result.is_reconciled) == (COUNT, True)
    assert replayed.mirrors(replay_server)


@pytest.mark.parametrize("mode", [Mode.INCREMENTAL, Mode.SWEEP])
@pytest.mark.parametrize("command", ["find", "getMore"])
def test_primary_that_steps_down_while_changes_are_read(replayed, replay_server, mode, command):
    """The reads that can't go on by id begin anew; nothing of them was committed."""
    fill(replay_server)
    replayed.load("orders")
    fill(replay_server, x=1)
    # a driver repeats a find by itself once
    replay_server.on(command, error(10107), times=2, where=of_orders)
    [result] = replayed.load("orders", mode=mode)
    assert (result.counts.updated, result.is_reconciled) == (COUNT, True)
    assert replayed.mirrors(replay_server)


@pytest.mark.parametrize("mode", [Mode.FULL, Mode.INCREMENTAL, Mode.SWEEP])
def test_connection_cut_by_postgres_in_any_mode(replayed, replay_server, mode):
    fill(replay_server)
    replayed.load("orders")
    fill(replay_server, x=1)

    def cut():
        replayed.all(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where datname = current_database() and application_name = 'ledgerline loader' "
            "and pid <> pg_backend_pid() and backend_type = 'client backend'"
        )

    [result] = replayed.load("orders", mode=mode, observer=Act(COUNT // 2, cut))
    assert (result.counts.updated, result.is_reconciled) == (COUNT, True)
    assert replayed.mirrors(replay_server)


def test_source_that_stays_away_is_given_up_with_one_line(replayed, replay_server, monkeypatch):
    monkeypatch.setattr(source, "MAX_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(source, "ATTEMPTS", 3)
    monkeypatch.setattr("loaders.modes.ATTEMPTS", 1)
    fill(replay_server)
    replay_server.on("getMore", error(189), nth=4, times=None, where=of_orders)
    replay_server.on("find", error(189), nth=2, times=None, where=of_orders)
    with pytest.raises(ServerUnreachableError, match="MongoDB can't be reached") as raised:
        replayed.load("orders", mode=Mode.FULL)
    assert "\n" not in str(raised.value)
    assert replayed.rows("orders") == {}


IDS = [
    *(MinKey(), None, 1, Int64(2**60), 2.5, float("nan"), Decimal128("7.1"), "a", "b", "ü"),
    *({"a": 1}, {"a": 1, "b": 2}, {"b": 1, "a": 2}, b"1234", Binary(b"12345678", 4)),
    *(ObjectId("5f1e8a9b0c2d3e4f5a6b7c8d"), ObjectId("6f1e8a9b0c2d3e4f5a6b7c8d"), False, True),
    *(NOON, DatetimeMS(-93692592000000), DatetimeMS(254380000000456), Timestamp(1, 2), MaxKey()),
]


def read(batches):
    return [document for batch in batches for part in encoding.cut(batch) for document in part]


def assert_reading_goes_on_after_each(database, count):
    """`{_id: {$gt: x}}` finds only ids of x's type: the rest would be skipped in silence."""
    orders = Source(database, "orders")
    everything = read(orders.everything())
    assert len(everything) == count
    for number, document in enumerate(everything, start=1):
        assert read(orders.everything(position_of([document]))) == everything[number:]


def test_case_20_reading_goes_on_after_an_id_of_any_type(shop):
    ids = [each for each in IDS if not isinstance(each, DatetimeMS)]  # which this server refuses
    shop.orders.insert_many([{"_id": identity} for identity in ids])
    assert_reading_goes_on_after_each(shop, len(IDS) - 2)


def test_case_20_reading_goes_on_after_an_id_of_any_type_and_year(replay_server):
    replay_server.put("shop.orders", [{"_id": identity} for identity in IDS])
    with pymongo.MongoClient(replay_server.uri) as client:
        assert_reading_goes_on_after_each(client["shop"], len(IDS))


def test_case_20_cursor_lost_after_each_answer_over_mixed_ids(replayed, replay_server, monkeypatch):
    monkeypatch.setattr(source, "BATCH_DOCUMENTS", 3)
    monkeypatch.setattr(source, "MAX_WAIT_SECONDS", 0)
    replay_server.put("shop.orders", [{"_id": identity} for identity in IDS])
    replay_server.on("getMore", error(43), times=None, where=of_orders)
    [result] = replayed.load("orders", mode=Mode.FULL)
    assert (result.counts.read, result.is_reconciled) == (len(IDS), True)
    assert replayed.mirrors(replay_server)
