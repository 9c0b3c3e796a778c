"""Events of change streams: put together, and summed up to what they amount to."""

from __future__ import annotations

import bson
import pymongo
import pytest
from bson.decimal128 import Decimal128
from bson.objectid import ObjectId
from bson.raw_bson import RawBSONDocument
from bson.timestamp import Timestamp

from loaders.documents import encoding
from loaders.stream import changes
from loaders.stream.changes import (
    Assembler,
    BrokenFragmentsError,
    CollectionReplacedError,
    Effect,
    NoChangeStreamsError,
    Stream,
    TokenLostError,
)
from sandbox.replay import ReplayServer, error

TOKEN = {"_data": "01"}


def sent(kind, **fields):
    """An event as the driver hands it over."""
    return RawBSONDocument(
        bson.encode(
            {
                "_id": TOKEN,
                "operationType": kind,
                "clusterTime": Timestamp(10, 1),
                "ns": {"db": "shop", "coll": "orders"},
                **fields,
            }
        )
    )


def put(document, kind="insert"):
    key = {"_id": document["_id"]}
    return changes.parse(sent(kind, documentKey=key, fullDocument=document))


def deleted(identity):
    return changes.parse(sent("delete", documentKey={"_id": identity}))


def effect_of(*events):
    effect = Effect()
    for event in events:
        effect.add(event)
    return effect


def there(effect):
    return {
        identity: bson.decode(document)
        for identity, document in effect.documents.items()
        if document is not None
    }


def test_event_keeps_the_documents_bytes():
    document = {"_id": 1, "total": Decimal128("1.10"), "tags": ["a", {"b": None}]}
    event = put(document)
    assert event.document == bson.encode(document)
    assert (event.kind, event.collection, event.time) == ("insert", "orders", Timestamp(10, 1))
    assert bson.decode(event.token) == TOKEN


def test_last_event_of_a_document_counts():
    effect = effect_of(
        put({"_id": 1, "n": 1}),
        put({"_id": 1, "n": 2}, "update"),
        put({"_id": 2, "n": 1}),
        deleted(2),
        deleted(3),
        put({"_id": 3, "n": 9}),
    )
    assert there(effect) == {"1": {"_id": 1, "n": 2}, "3": {"_id": 3, "n": 9}}
    assert effect.gone() == ["2"]
    assert effect.events == 6
    assert effect.size == len(bson.encode({"_id": 1, "n": 2})) * 2


def test_update_looked_up_in_vain_leaves_what_was_there():
    vain = changes.parse(sent("update", documentKey={"_id": 1}, fullDocument=None))
    assert there(effect_of(put({"_id": 1}), vain)) == {"1": {"_id": 1}}
    assert effect_of(vain).documents == {}


@pytest.mark.parametrize("kind", ["drop", "rename", "dropDatabase"])
def test_end_of_a_collection_takes_all_that_was_before(kind):
    effect = effect_of(put({"_id": 1}), changes.parse(sent(kind)), put({"_id": 2}))
    assert effect.is_cleared
    assert list(effect.documents) == ["2"]


def test_slices_are_the_documents_that_stay():
    effect = effect_of(*(put({"_id": i, "text": "x" * 100}) for i in range(1000)), deleted(5))
    slices = list(effect.slices())
    assert sum(part.count for part in slices) == 999
    assert len(slices) > 1


@pytest.mark.parametrize(
    "identity", [1, 1.5, "1", ObjectId(), None, True, {"a": 1}, b"x", Decimal128("1.0")]
)
def test_deletion_has_the_name_of_the_insert(identity):
    document = {"_id": identity, "more": 1}
    [name] = effect_of(put(document)).documents
    assert effect_of(deleted(identity)).gone() == [name]
    # a sharded collection's key has more fields, and not always `_id` first
    sharded = changes.parse(sent("delete", documentKey={"region": "EU", "_id": identity}))
    assert effect_of(sharded).gone() == [name]
    assert name == encoding.identity_of(bson.encode(document))


# --- fragments ------------------------------------------------------------------------------------


def fragments():
    return [
        RawBSONDocument(bson.encode(part))
        for part in (
            {
                "_id": {"_data": "a"},
                "splitEvent": {"fragment": 1, "of": 3},
                "operationType": "update",
            },
            {
                "_id": {"_data": "b"},
                "splitEvent": {"fragment": 2, "of": 3},
                "clusterTime": Timestamp(3, 1),
                "ns": {"db": "shop", "coll": "orders"},
                "fullDocument": {"_id": 1, "x": 2},
            },
            {
                "_id": {"_data": "c"},
                "splitEvent": {"fragment": 3, "of": 3},
                "documentKey": {"_id": 1},
            },
        )
    ]


def test_fragments_make_one_event_with_the_last_ones_token():
    assembler = Assembler()
    first, second, third = fragments()
    assert assembler.feed(first) is None
    assert assembler.feed(second) is None
    event = assembler.feed(third)
    assert event.document == bson.encode({"_id": 1, "x": 2})
    assert bson.decode(event.token) == {"_data": "c"}
    assert assembler.feed(sent("drop")).kind == "drop"


def test_fragment_without_those_before_is_refused():
    first, second, third = fragments()
    for order in ([second], [first, third], [first, sent("drop")], [first, first]):
        assembler = Assembler()
        with pytest.raises(BrokenFragmentsError):
            for part in order:
                assembler.feed(part)


# --- tokens ---------------------------------------------------------------------------------------


def test_time_of_a_token_of_mongodb():
    # the example of MongoDB's own token decoder
    data = (
        "82612E8513000000012B022C0100296E5A1004A5093ABB38FE4B9EA67F01BB1A96D8"
        "12463C5F6964003C5F5F5F78000004"
    )
    assert changes.token_time(bson.encode({"_data": data})) == Timestamp(1630438675, 1)


@pytest.mark.parametrize("data", ["", "82", "no hex", "0" * 40, 7])
def test_token_of_another_form_has_no_known_time(data):
    assert changes.token_time(bson.encode({"_data": data})) is None


@pytest.fixture
def replay():
    with ReplayServer({"shop.orders": [{"_id": 1}]}) as server:
        yield server


@pytest.fixture
def replayed(replay):
    with pymongo.MongoClient(replay.uri) as client:
        yield client["shop"]


def test_no_token_where_there_is_no_replica_set():
    with (
        ReplayServer({"shop.orders": []}, role="standalone") as server,
        pymongo.MongoClient(server.uri) as client,
    ):
        assert changes.current_token(client["shop"]) is None
        with pytest.raises(NoChangeStreamsError, match=r"no replica set.*--mode auto"):
            Stream(client["shop"])


def test_no_token_for_a_user_who_may_not_watch(replay, replayed):
    replay.on("aggregate", error(13, "not authorized on shop"), times=None)
    assert changes.current_token(replayed) is None
    with pytest.raises(NoChangeStreamsError, match="grant it the role `read`"):
        Stream(replayed)


def test_server_that_cannot_split_is_watched_without(replay, replayed):
    replay.on(
        "aggregate",
        error(40324, "Unrecognized pipeline stage name: '$changeStreamSplitLargeEvent'"),
        where=lambda command: "$changeStreamSplitLargeEvent" in command["pipeline"][-1],
    )
    with Stream(replayed) as stream:
        replay.change("shop.orders", "insert", {"_id": 2})
        assert stream.read().kind == "insert"


@pytest.mark.parametrize("code", sorted(changes.LOST))
def test_token_that_the_server_refuses_is_lost(replay, replayed, code):
    token, _ = changes.current_token(replayed)
    replay.on("aggregate", error(code, "no"), times=None)
    with pytest.raises(TokenLostError, match=str(code)):
        Stream(replayed, token)


def test_another_error_of_the_server_is_not_taken_for_a_lost_token(replay, replayed):
    token, _ = changes.current_token(replayed)
    replay.on("aggregate", error(8000, "something else"), times=None)
    with pytest.raises(pymongo.errors.OperationFailure):
        Stream(replayed, token)


# --- catching up with one collection --------------------------------------------------------------


def caught_up(database, token, collection="orders", until=None):
    until = until or changes.cluster_time(database)
    return list(changes.catch_up(database, token, collection, until))


@pytest.mark.servers
def test_catch_up_sees_all_of_one_collection_since_the_token(shop):
    shop.orders.insert_many([{"_id": i, "n": 0} for i in range(10)])
    token, before = changes.current_token(shop)
    assert before <= changes.cluster_time(shop)
    shop.orders.update_many({"_id": {"$lt": 3}}, {"$set": {"n": 1}})
    shop.orders.delete_one({"_id": 2})
    shop.orders.insert_one({"_id": 10})
    shop.reviews.insert_one({"_id": 99})
    [effect] = caught_up(shop, token)
    assert there(effect) == {"0": {"_id": 0, "n": 1}, "1": {"_id": 1, "n": 1}, "10": {"_id": 10}}
    assert effect.gone() == ["2"]
    assert caught_up(shop, effect.token) == []


@pytest.mark.servers
def test_catch_up_ends_while_the_collection_is_written_to(shop):
    shop.orders.insert_one({"_id": 0})
    token, _ = changes.current_token(shop)
    shop.orders.insert_one({"_id": 1})
    until = changes.cluster_time(shop)
    shop.orders.insert_many([{"_id": i} for i in range(2, 50)])
    [effect] = caught_up(shop, token, until=until)
    assert set(effect.documents) == {"1"}


@pytest.mark.servers
def test_catch_up_is_cut_into_portions(shop, monkeypatch):
    monkeypatch.setattr(changes, "CATCH_UP_BYTES", 1000)
    token, _ = changes.current_token(shop)
    shop.orders.insert_many([{"_id": i, "text": "x" * 90} for i in range(50)])
    shop.orders.delete_one({"_id": 49})
    effects = caught_up(shop, token)
    assert len(effects) > 3
    assert {name for effect in effects for name in effect.documents} == {str(i) for i in range(50)}
    assert effects[-1].gone() == ["49"]


@pytest.mark.servers
@pytest.mark.parametrize("end", ["drop", "rename", "renamed over it"])
def test_catch_up_tells_when_the_collection_was_replaced(shop, end):
    shop.orders.insert_one({"_id": 0})
    shop.others.insert_one({"_id": 0})
    token, _ = changes.current_token(shop)
    match end:
        case "drop":
            shop.orders.drop()
        case "rename":
            shop.orders.rename("old_orders")
        case _:
            shop.others.rename("orders", dropTarget=True)
    with pytest.raises(CollectionReplacedError, match=r'"orders" was dropped or renamed'):
        caught_up(shop, token)


def test_catch_up_tells_when_the_oplog_moved_past_the_token(replay, replayed):
    token, _ = changes.current_token(replayed)
    replay.change("shop.orders", "insert", {"_id": 2})
    replay.feed.forget()
    with pytest.raises(TokenLostError, match="286"):
        caught_up(replayed, token)


def test_catch_up_puts_fragments_together(replay, replayed):
    token, _ = changes.current_token(replayed)
    replay.change(
        "shop.orders",
        "update",
        {"_id": 1, "text": "large"},
        fragments=[["operationType", "ns"], ["documentKey"], ["fullDocument"]],
    )
    [effect] = caught_up(replayed, token)
    assert there(effect) == {"1": {"_id": 1, "text": "large"}}
