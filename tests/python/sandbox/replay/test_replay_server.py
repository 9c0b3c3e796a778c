"""The replay server, as a real driver sees it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import bson
import psutil
import pymongo
import pytest
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.max_key import MaxKey
from bson.min_key import MinKey
from bson.objectid import ObjectId
from bson.timestamp import Timestamp
from pymongo import errors
from pymongo.collection import Collection

from sandbox.replay import CLOSE, ReplayServer, error, replay_process

START = datetime(2026, 1, 1)  # noqa: DTZ001 -- as the driver decodes it
ORDERS = [
    {"_id": ObjectId(f"{number:024x}"), "updated_at": START + timedelta(hours=number), "n": number}
    for number in range(250)
]
Orders = Collection[dict[str, Any]]


@pytest.fixture
def server() -> Iterator[ReplayServer]:
    with ReplayServer({"shop.orders": ORDERS, "shop.users": [], "other.things": [{}]}) as server:
        yield server


@pytest.fixture
def orders(server: ReplayServer) -> Iterator[Orders]:
    with pymongo.MongoClient(server.uri, serverSelectionTimeoutMS=3_000) as client:
        yield client.shop.orders


def _ids(documents: Iterator[dict[str, Any]]) -> list[Any]:
    return [document["_id"] for document in documents]


class TestReads:
    def test_all_documents_come_in_the_order_of_their_ids(self, orders: Orders) -> None:
        assert list(orders.find().sort("_id", 1).hint([("_id", 1)])) == ORDERS
        assert list(orders.find().sort("_id", -1)) == ORDERS[::-1]
        assert list(orders.find().skip(10).limit(5)) == ORDERS[10:15]

    def test_raw_batches_have_as_many_documents_as_asked_for(
        self, server: ReplayServer, orders: Orders
    ) -> None:
        batches = list(orders.find_raw_batches(batch_size=100))
        assert b"".join(batches) == b"".join(map(bson.encode, ORDERS))
        assert [len(bson.decode_all(batch)) for batch in batches] == [100, 100, 50]
        assert [next(iter(command)) for command in server.commands] == ["find", *["getMore"] * 2]

    def test_a_batch_ends_at_16_mb(self, server: ReplayServer, orders: Orders) -> None:
        server.put("shop.orders", [{"_id": number, "text": "x" * 5_000_000} for number in range(5)])
        assert len(list(orders.find_raw_batches(batch_size=100))) == 2

    def test_a_document_of_16_mb_comes_alone(self, server: ReplayServer, orders: Orders) -> None:
        large = {"_id": 1, "text": "x" * (16 * 1024 * 1024 - 30)}
        server.put("shop.orders", [{"_id": 0}, large, {"_id": 2}])
        assert [len(bson.decode_all(one)) for one in orders.find_raw_batches()] == [1, 1, 1]

    def test_ids_of_all_types_are_in_bson_order(self, server: ReplayServer, orders: Orders) -> None:
        ids = [
            *(MinKey(), None, float("nan"), -1.5, 1, Decimal128("1.5"), Int64(2**60)),
            *("", "a", {"a": 1}, {"b": 0}, b"x", ObjectId("0" * 24), False, True),
            *(START, Timestamp(1, 2), MaxKey()),
        ]
        server.put("shop.orders", [{"_id": identity} for identity in reversed(ids)])
        assert list(map(repr, _ids(orders.find()))) == list(map(repr, ids))

    def test_a_comparison_finds_only_values_of_its_type(
        self, server: ReplayServer, orders: Orders
    ) -> None:
        server.put("shop.orders", [{"_id": one} for one in (1, 2, "a", "b", ORDERS[0]["_id"])])
        assert _ids(orders.find({"_id": {"$gt": 1}})) == [2]
        assert _ids(orders.find({"_id": {"$lte": "b"}})) == ["a", "b"]

    def test_min_and_max_cross_the_borders_of_types(
        self, server: ReplayServer, orders: Orders
    ) -> None:
        server.put("shop.orders", [{"_id": one} for one in (1, 2, "a", "b")])
        bounded = orders.find().min([("_id", 2)]).max([("_id", "b")]).hint([("_id", 1)])
        assert _ids(bounded) == [2, "a"]

    def test_documents_are_found_by_a_date_by_its_absence_and_by_its_type(
        self, server: ReplayServer, orders: Orders
    ) -> None:
        odd = [{"_id": 1}, {"_id": 2, "updated_at": None}, {"_id": 3, "updated_at": "later"}]
        server.put("shop.orders", [*odd, *ORDERS])
        since = {"updated_at": {"$gte": START + timedelta(hours=248)}}
        assert _ids(orders.find(since)) == _ids(ORDERS[248:])
        assert _ids(orders.find({"updated_at": None})) == [1, 2]
        assert _ids(orders.find({"updated_at": {"$type": ["string", "null"]}})) == [2, 3]
        assert _ids(orders.find({"updated_at": {"$exists": False}})) == [1]
        both = {"$or": [since, {"updated_at": None}]}
        assert _ids(orders.find(both)) == [1, 2, *_ids(ORDERS[248:])]
        assert _ids(orders.find(both | {"n": {"$in": [1, 249]}})) == [ORDERS[249]["_id"]]

    def test_an_array_is_found_by_its_elements(self, server: ReplayServer, orders: Orders) -> None:
        server.put("shop.orders", [{"_id": 1, "n": [3, "x"]}, {"_id": 2, "n": {"m": 5}}])
        assert _ids(orders.find({"n": {"$gte": 3}})) == [1]
        assert _ids(orders.find({"n.m": 5})) == [2]

    def test_documents_are_sorted_by_a_field(self, server: ReplayServer, orders: Orders) -> None:
        server.put("shop.orders", [{"_id": 1, "n": 2}, {"_id": 2, "n": 1}, {"_id": 3, "n": 2}])
        assert _ids(orders.find().sort([("n", 1), ("_id", 1)])) == [2, 1, 3]

    def test_a_projection_leaves_the_named_fields(self, orders: Orders) -> None:
        assert orders.find_one({"n": 7}, {"n": 1}) == {"_id": ORDERS[7]["_id"], "n": 7}
        assert orders.find_one({"n": 7}, {"n": 1, "_id": 0}) == {"n": 7}

    def test_counts_and_names(self, orders: Orders) -> None:
        assert orders.estimated_document_count() == 250
        assert orders.count_documents({"n": {"$lt": 10}}) == 10
        assert orders.count_documents({"n": -1}) == 0
        database = orders.database
        assert database.list_collection_names() == ["orders", "users"]
        assert database.list_collection_names(filter={"name": "users"}) == ["users"]
        assert database.client.list_database_names() == ["shop", "other"]
        assert list(database.nothing.find()) == []

    def test_a_pipeline_of_match_sort_and_limit(self, orders: Orders) -> None:
        found = orders.aggregate(
            [{"$match": {"n": {"$gt": 5}}}, {"$sort": {"n": -1}}, {"$limit": 2}]
        )
        assert [document["n"] for document in found] == [249, 248]
        assert len(list(orders.aggregate([{"$sample": {"size": 10}}]))) == 10

    @pytest.mark.parametrize(
        "filter_", [{"$where": "true"}, {"n": {"$mod": [2, 0]}}, {"$nor": [{"n": 1}]}]
    )
    def test_what_is_not_understood_is_refused(
        self, orders: Orders, filter_: dict[str, Any]
    ) -> None:
        with pytest.raises(errors.OperationFailure, match="doesn't support"):
            list(orders.find(filter_))

    def test_an_unknown_command_is_refused_as_such(self, orders: Orders) -> None:
        with pytest.raises(errors.OperationFailure, match="no such command"):
            orders.insert_one({})


class TestScript:
    def test_the_nth_get_more_fails_and_the_cursor_stays(
        self, server: ReplayServer, orders: Orders
    ) -> None:
        server.on("getMore", error(43, "cursor id 7 not found"), nth=2)
        cursor = orders.find(batch_size=100)
        with pytest.raises(errors.CursorNotFound, match="cursor id 7 not found"):
            list(cursor)
        assert cursor.retrieved == 200
        assert list(orders.find(batch_size=100)) == ORDERS  # the second try meets no fault

    @pytest.mark.parametrize("code", [189, 10107, 11602])
    def test_the_primary_steps_down(self, server: ReplayServer, orders: Orders, code: int) -> None:
        server.on("getMore", error(code))
        with pytest.raises((errors.NotPrimaryError, errors.OperationFailure)) as caught:
            list(orders.find())
        assert caught.value.details["code"] == code

    def test_a_secondary_says_so(self, server: ReplayServer, orders: Orders) -> None:
        server.role = "secondary"
        hello = orders.database.client.admin.command("hello")
        assert (hello["setName"], hello["secondary"]) == ("replay", True)
        assert len(list(orders.find())) == 250

    def test_a_closed_connection_is_noticed(self, server: ReplayServer, orders: Orders) -> None:
        server.on("getMore", CLOSE)
        with pytest.raises(errors.AutoReconnect):
            list(orders.find())

    def test_a_find_is_retried_so_two_must_fail(self, server: ReplayServer, orders: Orders) -> None:
        server.on("find", CLOSE)
        assert len(list(orders.find())) == 250
        server.on("find", CLOSE, times=2)
        with pytest.raises(errors.AutoReconnect):
            list(orders.find())

    def test_a_function_answers_or_acts_meanwhile(
        self, server: ReplayServer, orders: Orders
    ) -> None:
        server.on("getMore", lambda command: server.put("shop.orders", []))
        assert list(orders.find(batch_size=100)) == ORDERS  # an open cursor sees what was there
        assert list(orders.find()) == []
        server.on("count", lambda command: {"ok": 1.0, "n": len(command["count"])})
        assert orders.estimated_document_count() == len("orders")

    def test_only_the_commands_meant_are_answered_so(
        self, server: ReplayServer, orders: Orders
    ) -> None:
        server.on("find", error(13), times=None, where=lambda command: command["find"] == "users")
        assert orders.find_one() == ORDERS[0]
        for _ in range(3):
            with pytest.raises(errors.OperationFailure, match="scripted"):
                orders.database.users.find_one()

    def test_a_login_is_refused(self, server: ReplayServer) -> None:
        server.on("saslStart", error(18, "Authentication failed."), times=None)
        uri = server.uri.replace("//", "//somebody:secret@")
        with (
            pymongo.MongoClient(uri) as client,
            pytest.raises(errors.OperationFailure, match="Authentication failed"),
        ):
            client.shop.orders.find_one()

    def test_a_restart_forgets_cursors_and_connections(
        self, server: ReplayServer, orders: Orders
    ) -> None:
        cursor = orders.find(batch_size=100)
        next(cursor)
        server.forget_cursors()
        server.disconnect()
        with pytest.raises((errors.AutoReconnect, errors.CursorNotFound)):
            list(cursor)
        assert list(orders.find()) == ORDERS

    def test_the_clock_can_be_wrong(self, server: ReplayServer, orders: Orders) -> None:
        server.clock = lambda: datetime(2040, 1, 1, tzinfo=UTC)
        assert orders.database.client.admin.command("hello")["localTime"].year == 2040


class TestChangeStreams:
    def test_a_stream_sees_what_happens_after_it_was_opened(
        self, server: ReplayServer, orders: Orders
    ) -> None:
        server.change("shop.orders", "insert", {"_id": 1})
        with orders.watch(max_await_time_ms=50) as stream:
            assert stream.try_next() is None
            server.change("shop.orders", "replace", {"_id": 1, "a": 2})
            server.change("shop.users", "insert", {"_id": 9})
            server.change("shop.orders", "delete", key=1)
            events = [next(stream), next(stream)]
        assert [event["operationType"] for event in events] == ["replace", "delete"]
        assert events[0]["fullDocument"] == {"_id": 1, "a": 2}
        assert events[1]["documentKey"] == {"_id": 1}
        assert orders.find_one({"_id": 1}) is None

    def test_a_stream_goes_on_after_its_token(self, server: ReplayServer, orders: Orders) -> None:
        first = server.change("shop.orders", "insert", {"_id": 1})
        server.change("shop.orders", "insert", {"_id": 2})
        for options in ({"resume_after": first["_id"]}, {"start_after": first["_id"]}):
            with orders.watch(**options) as stream:
                assert next(stream)["documentKey"] == {"_id": 2}
        with orders.watch(start_at_operation_time=first["clusterTime"]) as stream:
            assert next(stream)["documentKey"] == {"_id": 1}

    def test_the_token_moves_on_while_others_write(
        self, server: ReplayServer, orders: Orders
    ) -> None:
        with orders.watch(max_await_time_ms=20) as stream:
            before = stream.resume_token
            server.change("shop.users", "insert", {"_id": 1})
            assert stream.try_next() is None
            assert stream.resume_token["_data"] > before["_data"]

    def test_an_event_wakes_a_waiting_stream(self, server: ReplayServer, orders: Orders) -> None:
        server.on("getMore", lambda _: server.change("shop.orders", "insert", {"_id": 1}) and None)
        before = time.monotonic()
        with orders.watch(max_await_time_ms=60_000) as stream:
            assert next(stream)["documentKey"] == {"_id": 1}
        assert time.monotonic() - before < 30

    def test_a_database_is_watched_with_all_its_collections(
        self, server: ReplayServer, orders: Orders
    ) -> None:
        with orders.database.watch() as stream:
            for name in ("shop.orders", "shopping.orders", "shop.users"):
                server.change(name, "insert", {"_id": 1})
            assert [next(stream)["ns"]["coll"] for _ in range(2)] == ["orders", "users"]

    def test_an_update_shows_the_document_only_if_asked(
        self, server: ReplayServer, orders: Orders
    ) -> None:
        with orders.watch() as plain, orders.watch(full_document="updateLookup") as whole:
            server.change("shop.orders", "update", {"_id": 1, "a": 1})
            server.change("shop.orders", "update", {"_id": 1, "a": 2}, fullDocument=None)
            assert "fullDocument" not in next(plain)
            assert [next(whole)["fullDocument"] for _ in range(2)] == [{"_id": 1, "a": 1}, None]

    def test_a_token_that_is_too_old_is_refused(self, server: ReplayServer, orders: Orders) -> None:
        first = server.change("shop.orders", "insert", {"_id": 1})
        server.change("shop.orders", "insert", {"_id": 2})
        server.feed.forget()
        with pytest.raises(errors.OperationFailure) as caught:
            orders.watch(resume_after=first["_id"])
        assert caught.value.code == 286
        with orders.watch(max_await_time_ms=20, resume_after=server.feed.token()) as stream:
            assert stream.try_next() is None

    def test_another_servers_token_is_refused(self, orders: Orders) -> None:
        with pytest.raises(errors.OperationFailure) as caught:
            orders.watch(resume_after={"_data": "8265"})
        assert caught.value.code == 260

    def test_a_token_holds_its_time_as_real_ones_do(
        self, server: ReplayServer, orders: Orders
    ) -> None:
        event = server.change("shop.orders", "insert", {"_id": 1})
        time = event["clusterTime"]
        assert event["_id"]["_data"].startswith(f"82{time.time:08X}{time.inc:08X}")
        assert orders.database.command("ping")["operationTime"] == time

    def test_a_stream_fails_for_good(self, server: ReplayServer, orders: Orders) -> None:
        server.on("getMore", error(280, "resume token was not found"))
        with orders.watch() as stream, pytest.raises(errors.OperationFailure) as caught:
            next(stream)
        assert caught.value.code == 280

    def test_an_invalidate_event_ends_the_stream(
        self, server: ReplayServer, orders: Orders
    ) -> None:
        with orders.watch() as stream:
            server.change("shop.orders", "drop")
            end = server.change("shop.orders", "invalidate")
            server.change("shop.orders", "insert", {"_id": 1})
            assert [event["operationType"] for event in stream] == ["drop", "invalidate"]
        with pytest.raises(errors.OperationFailure, match="invalidate"):
            orders.watch(resume_after=end["_id"])
        with orders.watch(start_after=end["_id"]) as stream:
            assert next(stream)["documentKey"] == {"_id": 1}

    def test_a_renamed_collection_keeps_its_documents(
        self, server: ReplayServer, orders: Orders
    ) -> None:
        server.change("shop.orders", "rename", to={"db": "shop", "coll": "old"})
        assert orders.database.list_collection_names() == ["old", "users"]
        assert orders.database.old.estimated_document_count() == 250

    def test_large_events_come_in_fragments_or_not_at_all(
        self, server: ReplayServer, orders: Orders
    ) -> None:
        splits: list[dict[str, Any]] = [{"$changeStreamSplitLargeEvent": {}}]
        with orders.watch(splits) as stream, orders.watch() as poisoned:
            fields = [["operationType", "ns"], ["documentKey", "fullDocument"]]
            server.change("shop.orders", "insert", {"_id": 1}, fragments=fields)
            parts = [next(stream), next(stream)]
            with pytest.raises(errors.OperationFailure) as caught:
                next(poisoned)
        assert caught.value.code == 10334
        assert [part["splitEvent"] for part in parts] == [
            {"fragment": number, "of": 2} for number in (1, 2)
        ]
        assert parts[1]["fullDocument"] == {"_id": 1}
        with orders.watch(splits, resume_after=parts[0]["_id"]) as stream:
            assert next(stream)["splitEvent"]["fragment"] == 2

    def test_a_stream_may_ask_for_some_operations(
        self, server: ReplayServer, orders: Orders
    ) -> None:
        with orders.watch([{"$match": {"operationType": {"$in": ["delete"]}}}]) as stream:
            server.change("shop.orders", "insert", {"_id": 1})
            server.change("shop.orders", "delete", key=1)
            assert next(stream)["operationType"] == "delete"

    def test_a_standalone_server_has_none(self) -> None:
        with (
            ReplayServer(role="standalone") as server,
            pymongo.MongoClient(server.uri) as client,
            pytest.raises(errors.OperationFailure) as caught,
        ):
            assert "setName" not in client.admin.command("hello")
            client.shop.orders.watch()
        assert caught.value.code == 40573


class TestProcess:
    def test_a_process_serves_a_file_and_ends_with_its_starter(self, tmp_path: Path) -> None:
        file = tmp_path / "orders.bson"
        file.write_bytes(b"".join(map(bson.encode, ORDERS)))
        with replay_process({"shop.orders": file}, indexes=["updated_at"]) as process:
            with pymongo.MongoClient(process.uri) as client:
                assert list(client.shop.orders.find()) == ORDERS
                file.write_bytes(bson.encode({"_id": 1}))
                process.put("shop.orders", file)
                assert list(client.shop.orders.find()) == [{"_id": 1}]
            running = psutil.Process(process.pid)
        assert not running.is_running()

    def test_a_missing_file_is_an_error(self, tmp_path: Path) -> None:
        with (
            pytest.raises(RuntimeError, match="has ended"),
            replay_process({"shop.orders": tmp_path / "none.bson"}),
        ):
            pass
