"""`--mode follow`: what happens in the shop is in raw, whatever happens to the follower.

Cases 28 to 37 are those that a loader must pass to be trusted with change streams.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pymongo
import pytest
from bson.binary import Binary
from bson.code import Code
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.max_key import MaxKey
from bson.min_key import MinKey
from bson.objectid import ObjectId
from bson.timestamp import Timestamp
from conftest import Warehouse
from pydantic import SecretStr
from structlog.testing import capture_logs

from loaders.connections import open_postgres
from loaders.errors import LoadInProgressError, ServerUnreachableError, UserError
from loaders.modes import Mode
from loaders.settings import Settings
from loaders.stream import changes, follow
from sandbox.replay import CLOSE, ReplayServer, error

pytestmark = pytest.mark.servers

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
IDLE = timedelta(seconds=0.3)
PATIENCE = 30.0


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Streams answer sooner than they do for a shop."""
    monkeypatch.setattr(follow, "AWAIT_MS", 100)


def caught_up(warehouse, *collections, **options):
    """Follow until nothing more comes."""
    return follow.run(warehouse.settings, collections, until_idle=IDLE, **options)


def fill(shop, count=100, name="orders"):
    shop[name].insert_many(
        {"_id": i, "n": i, "updated_at": NOON + timedelta(seconds=i)} for i in range(count)
    )


def wait_until(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it never came to this"
        time.sleep(0.02)


class Following:
    """A follower in a thread."""

    def __init__(self, warehouse, **options):
        self.stop = threading.Event()
        self.outcome = None
        self.error = None
        self.thread = threading.Thread(target=self._run, args=(warehouse, options))

    def _run(self, warehouse, options):
        try:
            self.outcome = follow.run(warehouse.settings, stop=self.stop, **options)
        except Exception as error:
            self.error = error

    def end(self):
        self.stop.set()
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive()
        if self.error:
            raise self.error
        return self.outcome


@contextmanager
def following(warehouse, **options):
    follower = Following(warehouse, **options)
    follower.thread.start()
    try:
        yield follower
    finally:
        follower.end()


def saved(warehouse):
    return warehouse.all("select token, collections from ops.streams")


def deleted(warehouse, collection="orders"):
    return {row[0] for row in warehouse.rows(collection).values() if row[5] is not None}


COMMAND = [sys.executable, "-c", "from loaders.cli import app; app()", "--mode", "follow"]


def command(*options):
    return subprocess.Popen(
        [*COMMAND, *options],
        env=os.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


WAITING = (
    "select count(*) from pg_stat_activity where datname = current_database() "
    "and application_name = 'ledgerline loader' and wait_event_type = 'Lock'"
)
POINTS = {
    "at the first row": "lock table raw.orders in share mode",
    "at the second collection": "lock table raw.reviews in share mode",
    "before the state": "lock table ops.watermarks in share mode",
    "before the run is noted": "lock table ops.load_runs in share mode",
    "before the token": "lock table ops.streams in share mode",
}


def change(shop):
    """Something for every statement of the follower, in two collections."""
    shop.orders.update_many({"_id": {"$lt": 40}}, {"$set": {"x": 1}})
    shop.orders.delete_many({"_id": {"$gte": 40, "$lt": 60}})
    shop.orders.insert_many([{"_id": 10_000 + i, "nul": "\0"} for i in range(30)])
    shop.reviews.delete_many({"_id": {"$lt": 10}})
    shop.reviews.insert_one({"_id": "new"})


# --- the usual way --------------------------------------------------------------------------------


def test_first_run_loads_everything_and_later_ones_what_changed(warehouse, shop):
    fill(shop)
    first = caught_up(warehouse)
    assert (first.events, first.rows, first.restarts) == (0, 100, 0)
    shop.orders.update_many({"_id": {"$lt": 10}}, {"$set": {"x": 1}})
    shop.orders.delete_one({"_id": 50})
    second = caught_up(warehouse)
    assert (second.events, second.rows) == (11, 11)
    assert second.lag < timedelta(minutes=1)
    assert warehouse.equals(shop)
    assert deleted(warehouse) == {"50"}
    third = caught_up(warehouse)
    assert (third.events, third.rows, third.batches) == (0, 0, 0)


def test_batch_and_token_are_in_the_books(warehouse, shop):
    fill(shop)
    caught_up(warehouse)
    shop.orders.insert_one({"_id": 100, "nul": "a\0b", "updated_at": NOON})
    shop.orders.delete_one({"_id": 3})
    caught_up(warehouse)
    batch, counted = warehouse.all(
        "select read, inserted, updated, deleted, altered, raw_count, source_count "
        "from ops.load_runs where mode = 'follow' order by batch_id"
    )
    assert batch == (1, 1, 0, 1, 1, 100, None)
    assert counted == (0, 0, 0, 0, 0, 100, 100)  # both sides, when it was quiet
    assert warehouse.one("select batch_id from ops.streams") == warehouse.one(
        "select batch_id from ops.load_runs where mode = 'follow' and source_count is null"
    )
    assert warehouse.one("select token_time > now() - interval '1 minute' from ops.streams")
    assert warehouse.one(
        "select max(lag_seconds) between 0 and 60 from ops.load_runs where mode = 'follow'"
    )
    assert warehouse.one("select count(*) from ops.altered_documents") == 1


def test_incremental_load_after_it_reads_only_the_overlap(warehouse, shop):
    fill(shop, 1000)
    caught_up(warehouse)
    now = datetime.now(UTC)
    shop.orders.insert_many([{"_id": 2000 + i, "updated_at": now} for i in range(5)])
    caught_up(warehouse)
    time.sleep(1.1)  # a change by a clock that the watermark may follow
    [result] = warehouse.load("orders", mode=Mode.INCREMENTAL)
    assert (result.counts.read, result.counts.written) == (5, 0)
    assert result.is_reconciled


def test_date_in_the_future_does_not_carry_the_watermark_along(warehouse, shop):
    fill(shop)
    caught_up(warehouse)
    shop.orders.insert_one({"_id": "later", "updated_at": datetime(2200, 1, 1, tzinfo=UTC)})
    caught_up(warehouse)
    assert warehouse.one("select watermark_ts < now() + interval '1 minute' from ops.watermarks")


def test_collection_that_comes_later_is_followed(warehouse, shop):
    fill(shop)
    caught_up(warehouse)
    shop["new things"].insert_many([{"_id": i} for i in range(3)])
    shop["_ledgerline_notes"].insert_one({"_id": 1})
    caught_up(warehouse)
    assert warehouse.equals(shop, "new things")
    assert saved(warehouse)[0][1] == ["new things", "orders"]


def test_only_the_named_collections_are_followed(warehouse, shop):
    fill(shop)
    fill(shop, name="reviews")
    caught_up(warehouse, "orders")
    fill(shop, name="returns")
    shop.orders.delete_one({"_id": 1})
    shop.reviews.delete_one({"_id": 1})
    assert caught_up(warehouse, "orders").events == 1
    assert warehouse.equals(shop, "orders")
    assert warehouse.docs("reviews") == {}
    # all of them are another stream, which begins with what there is
    caught_up(warehouse)
    assert warehouse.equals(shop, "reviews")
    assert warehouse.equals(shop, "returns")


def test_raw_table_that_was_emptied_is_filled_again(warehouse, shop):
    fill(shop)
    caught_up(warehouse)
    warehouse.conn.execute("truncate raw.orders")
    shop.orders.insert_one({"_id": 100})
    caught_up(warehouse)
    assert warehouse.equals(shop)


def test_document_that_raw_cannot_hold_is_quarantined_until_it_is_gone(warehouse, shop):
    fill(shop)
    caught_up(warehouse)
    shop.orders.insert_one({"_id": "short"})
    shop.orders.insert_one({"_id": "x" * 3000})
    caught_up(warehouse)
    [(name,)] = warehouse.all("select _id from ops.quarantine where _id like 'long%%'")
    assert name not in warehouse.docs("orders")
    shop.orders.delete_many({"_id": {"$type": "string"}})
    caught_up(warehouse)
    assert warehouse.all("select _id from ops.quarantine") == []
    assert warehouse.equals(shop)


def test_difference_that_no_event_explains_is_found_and_mended(warehouse, shop):
    fill(shop)
    caught_up(warehouse)
    warehouse.conn.execute("delete from raw.orders where _id = '7'")
    warehouse.conn.execute("update ops.watermarks set raw_count = 99")
    shop.orders.insert_one({"_id": 100})
    with capture_logs() as logs:
        caught_up(warehouse)
    assert [line for line in logs if "raw differs from the source" in line["event"]]
    assert warehouse.equals(shop)


# --- cases 28 to 37 -------------------------------------------------------------------------------


class Writes(follow.Observer):
    """Changes the shop while the snapshot is read."""

    def __init__(self, write):
        self.write = write

    def begin(self, collection, mode, expected):
        self.write("before the first document")

    def read(self, collection, documents, size):
        self.write("after a document")


def test_case_28_what_changes_during_the_snapshot_is_applied_after_it(warehouse, shop):
    fill(shop, 3000)
    fill(shop, 100, "reviews")
    number = 0

    def write(when):
        nonlocal number
        number += 1
        shop.orders.insert_one({"_id": f"{when} {number}"})
        shop.orders.update_one({"_id": number}, {"$set": {"x": number}})
        shop.orders.delete_one({"_id": 2000 + number})
        shop.reviews.delete_one({"_id": number})

    caught_up(warehouse, observer=Writes(write))
    assert number > 3
    assert warehouse.equals(shop)
    assert warehouse.equals(shop, "reviews")


def test_case_28_events_of_the_snapshot_window_change_nothing_that_is_there(warehouse, shop):
    fill(shop)
    token, _ = changes.current_token(shop)
    shop.orders.update_many({}, {"$set": {"x": 1}})
    shop.orders.delete_one({"_id": 5})
    caught_up(warehouse)
    before = warehouse.rows("orders")
    warehouse.conn.execute("update ops.streams set token = %s", [token])
    again = caught_up(warehouse)
    assert (again.events, again.rows) == (101, 0)
    assert warehouse.rows("orders") == before


def test_case_29_insert_update_delete_in_one_batch(warehouse, shop):
    fill(shop)
    caught_up(warehouse)
    shop.orders.insert_one({"_id": "short", "n": 1})
    shop.orders.update_one({"_id": "short"}, {"$set": {"n": 2}})
    shop.orders.delete_one({"_id": "short"})
    status = caught_up(warehouse)
    assert (status.events, status.batches, status.rows) == (3, 1, 0)
    assert '"short"' not in warehouse.rows("orders")


def test_case_29_deleted_and_inserted_again_in_one_batch(warehouse, shop):
    fill(shop)
    caught_up(warehouse)
    shop.orders.delete_one({"_id": 7})
    shop.orders.insert_one({"_id": 7, "n": "again"})
    shop.orders.delete_one({"_id": 8})
    shop.orders.insert_one({"_id": 8, "n": "gone again"})
    shop.orders.delete_one({"_id": 8})
    assert caught_up(warehouse).batches == 1
    assert warehouse.docs("orders")["7"] == {"_id": 7, "n": "again"}
    assert deleted(warehouse) == {"8"}
    assert warehouse.equals(shop)


def test_case_29_deleted_and_inserted_again_in_two_batches(warehouse, shop, monkeypatch):
    monkeypatch.setattr(follow, "BATCH_EVENTS", 1)
    fill(shop)
    caught_up(warehouse)
    shop.orders.delete_one({"_id": 7})
    shop.orders.insert_one({"_id": 7, "n": "again"})
    assert caught_up(warehouse).batches == 2
    assert deleted(warehouse) == set()
    assert warehouse.equals(shop)


def test_case_30_update_of_a_document_that_is_gone_by_then(warehouse, shop, monkeypatch):
    monkeypatch.setattr(follow, "BATCH_EVENTS", 1)
    fill(shop)
    caught_up(warehouse)
    shop.orders.update_one({"_id": 7}, {"$set": {"n": 8}})
    shop.orders.delete_one({"_id": 7})
    shop.orders.insert_one({"_id": "new"})
    shop.orders.update_one({"_id": "new"}, {"$set": {"n": 8}})
    shop.orders.delete_one({"_id": "new"})
    assert caught_up(warehouse).events == 5
    assert deleted(warehouse) == {"7", '"new"'}
    assert warehouse.equals(shop)


@pytest.fixture
def replay():
    with ReplayServer({"shop.orders": [{"_id": i} for i in range(100)]}) as server:
        yield server


@pytest.fixture
def warehouse_of(pg_database):
    """A warehouse whose source is another server."""

    @contextmanager
    def connect(server):
        uri = {"mongodb_uri": SecretStr(server.uri), "mongodb_database": "shop"}
        settings = Settings().model_copy(update=uri)
        with (
            open_postgres(settings, autocommit=True) as conn,
            pymongo.MongoClient(server.uri) as client,
        ):
            yield Warehouse(settings, conn), client["shop"]

    return connect


@pytest.fixture
def replayed(warehouse_of, replay):
    with warehouse_of(replay) as pair:
        yield pair


def test_case_31_history_lost_is_told_and_everything_compared(replay, replayed):
    warehouse, shop = replayed
    caught_up(warehouse)
    replay.change("shop.orders", "delete", key=7)
    replay.change("shop.orders", "update", {"_id": 8, "x": 1})
    replay.change("shop.orders", "insert", {"_id": 200})
    replay.feed.forget()
    with capture_logs() as logs:
        status = caught_up(warehouse)
    assert status.restarts == 1
    [warning] = [line for line in logs if "stream is broken" in line["event"]]
    assert warning["log_level"] == "warning"
    assert "286" in warning["reason"]
    assert warehouse.equals(shop)
    assert deleted(warehouse) == {"7"}
    replay.change("shop.orders", "insert", {"_id": 201})
    assert caught_up(warehouse).restarts == 0
    assert warehouse.equals(shop)


def test_case_31_collection_dropped_in_the_gap_is_emptied(replay, replayed):
    warehouse, shop = replayed
    replay.change("shop.reviews", "insert", {"_id": 1})
    caught_up(warehouse)
    replay.change("shop.reviews", "drop")
    replay.feed.forget()
    caught_up(warehouse)
    assert deleted(warehouse, "reviews") == {"1"}
    assert warehouse.equals(shop)


@pytest.mark.parametrize("code", [280, 286])
def test_case_31_stream_that_breaks_while_it_is_read(replay, replayed, code):
    warehouse, shop = replayed
    caught_up(warehouse)
    replay.change("shop.orders", "delete", key=7)
    replay.on("getMore", error(code, "broken"))
    status = caught_up(warehouse)
    assert status.restarts == 1
    assert warehouse.equals(shop)


def test_case_31_killed_before_all_is_compared_it_is_compared_again(replay, replayed):
    warehouse, shop = replayed
    replay.change("shop.reviews", "insert", {"_id": 1})
    replay.change("shop.reviews", "insert", {"_id": 2})
    caught_up(warehouse)
    before = saved(warehouse)
    replay.change("shop.orders", "delete", key=7)
    replay.change("shop.reviews", "delete", key=1)
    replay.feed.forget()

    class Killed(follow.Observer):
        def begin(self, collection, mode, expected):
            if collection == "reviews":
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        caught_up(warehouse, observer=Killed())
    assert saved(warehouse) == before  # no new token before all is done
    caught_up(warehouse)
    assert warehouse.equals(shop)
    assert warehouse.equals(shop, "reviews")


def test_case_31_stream_that_breaks_again_and_again_ends_with_what_to_do(replay, replayed):
    warehouse, _ = replayed
    caught_up(warehouse)
    replay.on("getMore", error(280, "broken"), times=None)
    with pytest.raises(UserError, match=r"280.*"):
        caught_up(warehouse)


def test_case_32_token_moves_on_while_nothing_is_changed(warehouse, shop, monkeypatch):
    monkeypatch.setattr(follow, "SAVE_IDLE", timedelta(0))
    fill(shop)
    with following(warehouse):
        wait_until(lambda: warehouse.all("select to_regclass('ops.streams')::text") != [(None,)])
        wait_until(lambda: saved(warehouse))
        before = saved(warehouse)
        shop.client[shop.name + "_elsewhere"].things.insert_one({"_id": 1})
        wait_until(lambda: saved(warehouse) != before)
    assert warehouse.one("select count(*) from ops.load_runs where mode = 'follow'") == 0


def test_case_33_drop_marks_the_rows_as_deleted(warehouse, shop):
    fill(shop)
    fill(shop, name="reviews")
    caught_up(warehouse)
    shop.orders.drop()
    shop.orders.insert_one({"_id": 3, "n": "new"})
    caught_up(warehouse)
    assert warehouse.equals(shop)
    assert warehouse.equals(shop, "reviews")
    assert len(deleted(warehouse)) == 99


def test_case_33_rename_moves_the_rows(warehouse, shop):
    fill(shop)
    caught_up(warehouse)
    shop.orders.update_one({"_id": 1}, {"$set": {"x": 1}})  # looked up where it is no more
    shop.orders.rename("old_orders")
    shop.old_orders.delete_one({"_id": 2})
    fill(shop, 5)
    caught_up(warehouse)
    for name in ("orders", "old_orders"):
        assert warehouse.equals(shop, name)
    assert len(deleted(warehouse)) == 95


def test_case_33_rename_over_another_collection(warehouse, shop):
    fill(shop)
    shop.fresh.insert_many([{"_id": i, "n": "fresh"} for i in range(50, 150)])
    caught_up(warehouse)
    shop.fresh.rename("orders", dropTarget=True)
    caught_up(warehouse)
    assert warehouse.equals(shop)
    assert warehouse.docs("fresh") == {}


def test_case_33_renamed_twice_before_the_follower_comes(warehouse, shop):
    fill(shop)
    caught_up(warehouse)
    shop.orders.rename("one")
    shop.one.rename("two")
    shop.two.insert_one({"_id": 100})
    caught_up(warehouse)
    assert warehouse.docs("orders") == warehouse.docs("one") == {}
    assert warehouse.equals(shop, "two")


def test_case_33_dropped_database_ends_the_stream_and_a_new_one_begins(warehouse, shop):
    fill(shop)
    fill(shop, name="reviews")
    with following(warehouse) as follower:
        wait_until(lambda: saved_anything(warehouse))
        shop.client.drop_database(shop.name)
        wait_until(lambda: warehouse.docs("orders") == warehouse.docs("reviews") == {})
        fill(shop, 3)
        wait_until(lambda: len(warehouse.docs("orders")) == 3)
        status = follower.end()
    assert status.restarts == 1
    assert warehouse.equals(shop)


def saved_anything(warehouse):
    exists = warehouse.one("select to_regclass('ops.streams') is not null")
    return exists and saved(warehouse)


LARGE = [["operationType", "ns"], ["documentKey"], ["fullDocument"]]


def one_at_a_time(command):
    """A server that sends one fragment an answer."""
    if "pipeline" in command:
        command["cursor"] = {"batchSize": 1}
    else:
        command["batchSize"] = 1


def send_one_at_a_time(replay):
    for name in ("aggregate", "getMore"):
        replay.on(name, one_at_a_time, times=None)


def test_case_34_fragments_of_a_large_event_are_put_together(replay, replayed):
    warehouse, shop = replayed
    caught_up(warehouse)
    send_one_at_a_time(replay)
    replay.change("shop.orders", "update", {"_id": 1, "text": "large"}, fragments=LARGE)
    status = caught_up(warehouse)
    assert (status.events, status.rows) == (1, 1)
    assert warehouse.equals(shop)


@pytest.mark.slow
@pytest.mark.parametrize("fragment", [2, 3])
def test_case_34_killed_between_two_fragments(replay, replayed, monkeypatch, fragment):
    warehouse, shop = replayed
    caught_up(warehouse)
    before = saved(warehouse)
    replay.change("shop.orders", "update", {"_id": 1, "text": "large"}, fragments=LARGE)
    send_one_at_a_time(replay)
    waits, is_killed = threading.Event(), threading.Event()

    def keep_waiting(_command):
        waits.set()
        is_killed.wait(PATIENCE)
        return CLOSE

    replay.on("getMore", keep_waiting, nth=fragment - 1)
    monkeypatch.setenv("MONGODB_URI", replay.uri)
    monkeypatch.setenv("MONGODB_DATABASE", "shop")
    process = command()
    wait_until(lambda: waits.is_set() or process.poll() is not None)
    process.kill()
    process.communicate()
    is_killed.set()
    assert saved(warehouse) == before
    assert caught_up(warehouse).events == 1
    assert warehouse.equals(shop)


@pytest.mark.parametrize("fragment", [2, 3])
def test_case_34_connection_cut_between_two_fragments(replay, replayed, fragment):
    warehouse, shop = replayed
    caught_up(warehouse)
    replay.change("shop.orders", "update", {"_id": 1, "text": "large"}, fragments=LARGE)
    send_one_at_a_time(replay)
    replay.on("getMore", CLOSE, nth=fragment - 1)
    assert caught_up(warehouse).events == 1
    assert warehouse.equals(shop)


def test_case_34_server_that_cannot_split_large_events(replay, replayed):
    warehouse, shop = replayed
    caught_up(warehouse)
    replay.on(
        "aggregate",
        error(40324, "Unrecognized pipeline stage name: '$changeStreamSplitLargeEvent'"),
        where=lambda command: "$changeStreamSplitLargeEvent" in command["pipeline"][-1],
        times=None,
    )
    replay.change("shop.orders", "update", {"_id": 1, "text": "large"}, fragments=LARGE)
    replay.change("shop.orders", "delete", key=2)
    assert caught_up(warehouse).restarts == 1  # the event can't be had: all is compared instead
    assert warehouse.equals(shop)


def test_case_35_transaction_with_many_documents_arrives_in_one_commit(
    warehouse, shop, monkeypatch
):
    monkeypatch.setattr(follow, "BATCH_EVENTS", 10)
    fill(shop)
    fill(shop, name="reviews")
    caught_up(warehouse)
    with shop.client.start_session() as session, session.start_transaction():
        shop.orders.insert_many([{"_id": 1000 + i} for i in range(300)], session=session)
        shop.reviews.delete_many({}, session=session)
        shop.orders.update_many({"_id": {"$lt": 50}}, {"$set": {"x": 1}}, session=session)
    status = caught_up(warehouse)
    assert (status.events, status.rows, status.batches) == (450, 450, 1)
    assert warehouse.equals(shop)
    assert warehouse.docs("reviews") == {}


def test_case_35_transaction_that_was_aborted_leaves_nothing(warehouse, shop):
    fill(shop)
    caught_up(warehouse)
    with shop.client.start_session() as session:
        session.start_transaction()
        shop.orders.insert_one({"_id": 1000}, session=session)
        session.abort_transaction()
    assert caught_up(warehouse).events == 0


def test_case_36_standalone_server_is_one_clear_line(warehouse_of):
    documents = [{"_id": i} for i in range(10)]
    with (
        ReplayServer({"shop.orders": documents}, role="standalone") as server,
        warehouse_of(server) as (warehouse, shop),
    ):
        with pytest.raises(UserError, match=r"no replica set.*`--mode auto`") as raised:
            caught_up(warehouse)
        assert "\n" not in str(raised.value)
        warehouse.load("orders")  # as it says
        assert warehouse.equals(shop)


def test_case_36_user_who_may_not_watch_is_one_clear_line(replay, replayed):
    warehouse, _ = replayed
    replay.on(
        "aggregate",
        error(13, "not authorized on shop to execute command"),
        where=lambda command: "$changeStream" in command["pipeline"][0],
        times=None,
    )
    with pytest.raises(UserError, match=r"mayn't watch.*`read`"):
        caught_up(warehouse)


IDENTITIES = [
    *(1, -5, 1.5, Int64(2**60), "1", 'text with "quotes" and \\ and ü', "", True, None),
    *(ObjectId("65e1a0000000000000000000"), "65e1a0000000000000000000"),
    *(Decimal128("1.10"), float("nan"), float("inf"), Decimal128("-Infinity"), -0.5),
    *({"a": 1, "b": {"c": 2}}, {"b": {"c": 2}, "a": 1}, datetime(2024, 1, 1, tzinfo=UTC), b"bytes"),
    *(Binary(b"1234567890123456", 4), Timestamp(1, 2), MinKey(), MaxKey(), Code("f()")),
    *("x" * 3000, datetime(1, 1, 1, tzinfo=UTC), "a\tb\nc"),
]


def test_case_37_deletion_finds_the_row_whatever_the_type_of_its_id(warehouse, shop):
    shop.orders.insert_many([{"_id": identity} for identity in IDENTITIES[:10]])
    caught_up(warehouse)
    shop.orders.insert_many([{"_id": identity} for identity in IDENTITIES[10:]])
    caught_up(warehouse)
    rows = warehouse.one("select count(*) from raw.orders where _deleted_at is null")
    kept = warehouse.one("select count(*) from ops.quarantine")
    assert (rows + kept, kept) == (len(IDENTITIES), 1)
    for identity in IDENTITIES:
        assert shop.orders.delete_one({"_id": identity}).deleted_count == 1
    status = caught_up(warehouse)
    assert status.events == len(IDENTITIES)
    assert warehouse.docs("orders") == {}
    assert len(deleted(warehouse)) == rows
    assert warehouse.one("select count(*) from ops.quarantine") == 0


# --- when servers come and go ---------------------------------------------------------------------


def test_primary_that_steps_down_is_no_reason_to_end(replay, replayed):
    warehouse, shop = replayed
    caught_up(warehouse)
    replay.change("shop.orders", "insert", {"_id": 200})
    for code in (10107, 189, 11602, 13435, 91):
        replay.on("getMore", error(code, "not primary"))
    replay.on("getMore", CLOSE, nth=4)
    replay.change("shop.orders", "delete", key=1)
    status = caught_up(warehouse)
    assert status.restarts == 0
    assert warehouse.equals(shop)


def test_source_that_is_gone_for_a_while_is_waited_for(replay, replayed):
    warehouse, shop = replayed
    with capture_logs() as logs, following(warehouse):
        wait_until(lambda: saved_anything(warehouse))
        replay.on("aggregate", CLOSE, times=6)
        replay.on("getMore", CLOSE, times=6)
        replay.change("shop.orders", "insert", {"_id": 200})
        wait_until(lambda: "200" in warehouse.docs("orders"))
    assert [line for line in logs if "a server is gone" in line["event"]]
    assert warehouse.equals(shop)


def test_stop_while_the_source_is_gone_is_no_error(replay, replayed):
    warehouse, _ = replayed
    with capture_logs() as logs, following(warehouse) as follower:
        wait_until(lambda: saved_anything(warehouse))
        replay.on("aggregate", CLOSE, times=None)
        replay.on("getMore", CLOSE, times=None)
        wait_until(lambda: [line for line in logs if "a server is gone" in line["event"]])
        assert follower.end().restarts == 0


def test_source_that_does_not_come_back_is_given_up(replay, replayed, monkeypatch):
    monkeypatch.setattr(follow, "PATIENCE", timedelta(seconds=1))
    warehouse, _ = replayed
    with following(warehouse) as follower:
        wait_until(lambda: saved_anything(warehouse))
        replay.on("aggregate", CLOSE, times=None)
        replay.on("getMore", CLOSE, times=None)
        wait_until(lambda: follower.error)
        assert isinstance(follower.error, ServerUnreachableError)
        follower.error = None


def test_connection_cut_by_postgres_is_opened_again(warehouse, shop):
    fill(shop)
    with following(warehouse) as follower:
        wait_until(lambda: saved_anything(warehouse))
        for i in range(200, 203):
            warehouse.conn.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where datname = "
                "current_database() and pid <> pg_backend_pid() "
                "and application_name = 'ledgerline loader'"
            )
            shop.orders.insert_one({"_id": i})
            wait_until(lambda i=i: str(i) in warehouse.docs("orders"))
        status = follower.end()
    assert (status.events, status.restarts) == (3, 0)
    assert warehouse.equals(shop)


@pytest.mark.parametrize("point", ["at the second collection", "before the token"])
def test_connection_cut_in_the_middle_of_a_commit(warehouse, shop, point):
    fill(shop)
    fill(shop, name="reviews")
    with following(warehouse) as follower:
        wait_until(lambda: saved_anything(warehouse))
        with open_postgres(warehouse.settings) as other:
            other.execute(POINTS[point])
            change(shop)
            wait_until(lambda: warehouse.one(WAITING))
            warehouse.conn.execute(WAITING.replace("count(*)", "pg_terminate_backend(pid)", 1))
            other.rollback()
        wait_until(lambda: warehouse.equals(shop) and warehouse.equals(shop, "reviews"))
        status = follower.end()
    assert (status.events, status.rows - 200, status.restarts) == (101, 101, 0)


def test_second_follower_of_the_same_source_refuses(warehouse, shop):
    fill(shop)
    with following(warehouse):
        wait_until(lambda: saved_anything(warehouse))
        with pytest.raises(LoadInProgressError, match=r"follows the changes of .* already"):
            caught_up(warehouse, "orders")


def test_loads_beside_a_follower(warehouse, shop):
    fill(shop)
    with following(warehouse):
        wait_until(lambda: saved_anything(warehouse))
        for mode in (Mode.INCREMENTAL, Mode.SWEEP, Mode.FULL):
            shop.orders.insert_one({"_id": str(mode), "updated_at": datetime.now(UTC)})
            shop.orders.delete_one({"_id": 1})
            warehouse.load("orders", mode=mode)
        wait_until(lambda: warehouse.equals(shop))


def test_collection_that_another_loader_holds_is_waited_for(warehouse, shop, monkeypatch):
    monkeypatch.setattr(follow.landing, "LOCK_PATIENCE_SECONDS", 0.2)
    fill(shop)
    with capture_logs() as logs, following(warehouse):
        wait_until(lambda: saved_anything(warehouse))
        with open_postgres(warehouse.settings, autocommit=True) as other:
            follow.landing.lock(other, "orders")
            shop.orders.insert_one({"_id": 200})
            wait_until(lambda: [line for line in logs if "waiting for another" in line["event"]])
            assert "200" not in warehouse.docs("orders")
        wait_until(lambda: "200" in warehouse.docs("orders"))


def test_wrong_collection_is_one_clear_line(warehouse, shop):
    fill(shop)
    with pytest.raises(UserError, match=r"no collection ordres; it has orders"):
        caught_up(warehouse, "ordres")


def test_database_without_a_collection_is_one_clear_line(warehouse, shop):
    with pytest.raises(UserError, match="has no database"):
        caught_up(warehouse)


def test_stop_is_heeded_while_the_shop_is_busy(warehouse, shop):
    fill(shop)
    done = threading.Event()

    def write():
        for i in range(10**6):
            shop.orders.insert_one({"_id": 1000 + i})
            if done.is_set():
                return

    writer = threading.Thread(target=write)
    writer.start()
    try:
        with following(warehouse) as follower:
            followed = (
                "select count(*) > 0 from ops.load_runs where mode = 'follow' and inserted > 0"
            )
            wait_until(lambda: saved_anything(warehouse) and warehouse.one(followed))
            began = time.monotonic()
            status = follower.end()
            assert time.monotonic() - began < 5
    finally:
        done.set()
        writer.join()
    assert status.events > 0
    caught_up(warehouse)
    assert warehouse.equals(shop)


# --- the command, and what kills it ---------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_the_command_with_one_line(warehouse, shop, number):
    fill(shop)
    process = command()
    wait_until(lambda: saved_anything(warehouse) or process.poll() is not None)
    shop.orders.insert_one({"_id": 200})
    wait_until(lambda: "200" in warehouse.docs("orders"))
    process.send_signal(number)
    output = process.communicate(timeout=PATIENCE)[0]
    assert process.returncode == 0, output
    last = output.splitlines()[-1]
    assert last.startswith("followed ")
    assert "events=1 rows=101" in last
    assert os.environ["MONGODB_DATABASE"] in last
    assert "password" not in output


@pytest.mark.slow
def test_command_ends_by_itself_when_nothing_comes(warehouse, shop):
    fill(shop)
    output = command("--until-idle", "0.5").communicate(timeout=PATIENCE)[0]
    assert output.splitlines()[-1].startswith("followed ")
    assert warehouse.equals(shop)


@pytest.mark.slow
@pytest.mark.parametrize("point", list(POINTS))
def test_killed_follower_and_rerun_ends_as_undisturbed(warehouse, shop, point):
    fill(shop)
    fill(shop, name="reviews")
    caught_up(warehouse)
    before = warehouse.state("orders"), warehouse.state("reviews"), saved(warehouse)
    change(shop)
    with open_postgres(warehouse.settings) as other:
        other.execute(POINTS[point])
        process = command()
        wait_until(lambda: process.poll() is not None or warehouse.one(WAITING))
        assert process.poll() is None, process.communicate()[0]
        process.kill()
        process.communicate()
        other.rollback()
    wait_until(
        lambda: warehouse.one("select count(*) from pg_locks where locktype='advisory'") == 0
    )
    # one commit has all of it
    assert (warehouse.state("orders"), warehouse.state("reviews"), saved(warehouse)) == before
    status = caught_up(warehouse)
    assert (status.events, status.rows, status.restarts) == (101, 101, 0)
    for name in ("orders", "reviews"):
        assert warehouse.equals(shop, name)
    assert warehouse.one("select count(*) from ops.altered_documents") == 30


@pytest.mark.slow
def test_killed_again_and_again_with_a_writer_at_work(warehouse, shop):
    fill(shop, 500)
    fill(shop, 50, "reviews")
    caught_up(warehouse)
    done = threading.Event()

    def write():
        i = 0
        while not done.is_set():
            i += 1
            shop.orders.insert_one({"_id": 10_000 + i, "n": i})
            shop.orders.update_one({"_id": i * 7 % 500}, {"$set": {"x": i}})
            shop.orders.delete_one({"_id": 10_000 + i - 20})
            shop.reviews.replace_one({"_id": i % 50}, {"n": i}, upsert=True)
            time.sleep(0.002)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for kill in range(4):
            process = command()
            token = saved(warehouse)
            if kill % 2:  # else it is killed wherever it is
                wait_until(lambda token=token: saved(warehouse) != token)
            else:
                time.sleep(1 + kill / 10)
            assert process.poll() is None, process.communicate()[0]
            process.kill()
            process.communicate()
    finally:
        done.set()
        writer.join()
    status = caught_up(warehouse)
    assert status.restarts == 0
    for name in ("orders", "reviews"):
        assert warehouse.equals(shop, name)
    ids = "select count(*) from raw.orders group by _id having count(*) > 1"
    assert warehouse.all(ids) == []
    assert warehouse.one("select count(*) from ops.quarantine") == 0
