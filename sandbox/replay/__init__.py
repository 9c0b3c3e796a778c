"""A MongoDB server out of memory: for timing what reads from one, and for faults on command.

It speaks the wire protocol over TCP, so real drivers connect to it; it has reads and change streams
only. As a source for tests, in the test's process:

    documents = [{"_id": ObjectId(), "updated_at": datetime(2026, 1, 1), "total": 3}, ...]
    with ReplayServer({"shop.orders": documents}) as server:      # mappings, or BSON bytes
        client = pymongo.MongoClient(server.uri)

Its answers are scripted with `on(command, answer, nth=, times=, where=)`:

    server.on("getMore", error(43, "cursor id 7 not found"), nth=3)   # the third getMore from now
    server.on("getMore", error(10107))               # the primary steps down; also 189, 11602
    server.on("find", CLOSE, times=2)                # the connection breaks; drivers find twice
    server.on("find", error(13, "not authorized"), times=None)        # for good
    server.on("saslStart", error(18, "Authentication failed."), times=None)
    server.on("getMore", error(280), where=lambda command: command["collection"] == "orders")
    server.on("getMore", lambda command: server.put("shop.orders", later), nth=2)
        # a function may do anything meanwhile; where it returns None the usual answer follows

Change streams see what `change` does, which changes the collection as well:

    server.change("shop.orders", "insert", {"_id": 1, "total": 3})    # update, replace: the same
    server.change("shop.orders", "update", document, fullDocument=None)     # gone when looked up
    server.change("shop.orders", "delete", key=1)
    server.change("shop.orders", "insert", large, fragments=[["operationType", "ns"],
        ["documentKey", "fullDocument"]])            # for streams with $changeStreamSplitLargeEvent
    server.change("shop.orders", "drop"); server.change("shop.orders", "invalidate")
    server.change("shop.orders", "rename", to={"db": "shop", "coll": "old_orders"})
    server.feed.forget()                             # tokens till now are too old: error 286

Other states of a server:

    ReplayServer(..., role="standalone")             # no replica set: $changeStream is refused
    server.role = "secondary"                        # what hello says from now on
    server.clock = lambda: datetime(2030, 1, 1, tzinfo=UTC)           # its clock is wrong
    server.disconnect(); server.forget_cursors()     # as if it had been started again
    server.commands                                  # what was asked, to count round trips

A queried field gets an index when it is first asked for. What the server doesn't understand it
refuses with error 2. For timings run it in a process of its own, so that its work isn't the
measured one's:

    with replay_process({"shop.orders": "orders.bson"}, indexes=["updated_at"]) as it:
        client = pymongo.MongoClient(it.uri)
        it.put("shop.orders", "later.bson")
"""

from sandbox.replay.documents import Documents
from sandbox.replay.process import replay_process
from sandbox.replay.script import CLOSE, Close, error
from sandbox.replay.server import ReplayServer, uri_of

__all__ = ["CLOSE", "Close", "Documents", "ReplayServer", "error", "replay_process", "uri_of"]
