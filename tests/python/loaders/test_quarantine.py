"""`ledgerline quarantine`: nothing that was rejected is lost, and it is stored once it can be."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime

import bson
import pytest
from bson import Decimal128
from test_odd_documents import deep

from loaders import quarantine
from loaders.documents import decimals, encoding, transcoder
from loaders.files.cli import load_files
from loaders.modes import Mode

pytestmark = pytest.mark.servers

LONG = "k" * 500
THEN = datetime(2024, 1, 1, tzinfo=UTC)


def put(warehouse, document, *, name=None, batch_id=None, collection="orders"):
    """Keep a document as an earlier release did that could not store it."""
    data = document if isinstance(document, bytes) else bson.encode(document)
    warehouse.conn.execute(
        "insert into ops.quarantine values (%s, %s, 'an earlier reason', %s, %s, %s, "
        "coalesce(%s, nextval('ops.batch_id')))",
        [
            collection,
            name or encoding.identity_of(data),
            data,
            encoding.hash_of(data),
            THEN,
            batch_id,
        ],
    )


def notes(warehouse):
    return dict(warehouse.all("select _id, reason from ops.quarantine"))


def replay(warehouse, collection=None):
    return quarantine.replay(warehouse.settings, collection)


def everything(warehouse):
    tables = ("raw.orders", "ops.quarantine", "ops.altered_documents")
    return [warehouse.all(f"select * from {table} order by 1, 2") for table in tables]


def test_a_larger_limit_lets_in_what_was_too_long(warehouse, shop, monkeypatch):
    shop.orders.insert_many([{"_id": LONG, "v": 1}, {"_id": 1}])
    with monkeypatch.context() as patch:
        patch.setattr(encoding, "MAX_ID_BYTES", 100)
        [result] = warehouse.load("orders", mode=Mode.FULL)
        assert (result.quarantined, result.is_reconciled) == (1, True)
        assert [done.released for done in replay(warehouse)] == [0]
    [name] = notes(warehouse)
    assert name.startswith("long _id")

    [done] = replay(warehouse)
    assert (done.tried, done.released, done.overtaken) == (1, 1, 0)
    assert notes(warehouse) == {}
    assert warehouse.docs("orders")[f'"{LONG}"']["v"] == 1
    assert warehouse.equals(shop)
    assert warehouse.all(
        "select mode, status, read, inserted, quarantined from ops.load_runs "
        "order by batch_id desc limit 1"
    ) == [("replay", "done", 1, 1, 0)]
    [result] = warehouse.load("orders", mode=Mode.SWEEP)
    assert (result.counts.written, result.is_reconciled) == (0, True)


def test_a_new_encoder_stores_what_an_earlier_one_rejected(warehouse, shop):
    shop.orders.insert_many([{"_id": 1, "s": "a\0b"}, {"_id": 2, "s": "fine"}])
    warehouse.load("orders")
    put(warehouse, {"_id": 3, "s": "new", "updated_at": THEN})
    put(warehouse, {"_id": 2, "s": "changed"})  # raw holds the version before
    put(warehouse, {"_id": 4, "s": "c\0d"})
    put(warehouse, {"_id": 9}, collection="reviews")
    [done] = replay(warehouse, "orders")
    assert (done.tried, done.released) == (3, 3)
    docs = warehouse.docs("orders")
    assert {key: doc["s"] for key, doc in docs.items()} == {
        "1": "a\ufffdb", "2": "changed", "3": "new", "4": "c\ufffdd"
    }  # fmt: skip
    assert warehouse.rows("orders")["3"][2] == THEN
    altered = warehouse.all("select _id from ops.altered_documents order by 1")
    assert altered == [("1",), ("4",)]
    assert notes(warehouse) == {"9": "an earlier reason"}, "another collection's"


def test_what_still_cannot_be_stored_stays_with_its_reason_renewed(warehouse, shop):
    shop.orders.insert_one({"_id": 1})
    warehouse.load("orders")
    put(warehouse, {"_id": 2, "v": deep(300)})
    before = warehouse.all("select bson, quarantined_at, batch_id from ops.quarantine")
    [done] = replay(warehouse)
    assert (done.tried, done.released) == (1, 0)
    assert notes(warehouse)["2"].startswith("it can't be written as JSON")
    assert warehouse.all("select bson, quarantined_at, batch_id from ops.quarantine") == before
    now = everything(warehouse)
    replay(warehouse)
    assert everything(warehouse) == now, "twice is once"


def test_what_postgres_itself_refused_goes_in_when_the_encoder_is_mended(
    warehouse, shop, monkeypatch
):
    shop.orders.insert_many([{"_id": 1}, {"_id": 2, "n": Decimal128("1.50")}])
    with monkeypatch.context() as patch:
        patch.setattr(transcoder, "rows_in_c", None)
        patch.setattr(decimals, "to_text", lambda bid: "1e200000")
        warehouse.load("orders")
        put(warehouse, {"_id": 3, "v": "fine"})
        assert [(done.tried, done.released) for done in replay(warehouse)] == [(2, 1)]
        assert notes(warehouse) == {"2": "Postgres can't store it: value overflows numeric format"}
    assert [done.released for done in replay(warehouse)] == [1]
    assert warehouse.docs("orders")["2"]["n"] == 1.5
    assert notes(warehouse) == {}


def test_a_replay_never_overwrites_a_later_version(warehouse, shop):
    shop.orders.insert_many([{"_id": 1, "v": "old"}, {"_id": 2, "v": "old"}])
    warehouse.load("orders")
    for identity in (1, 2, 3):
        put(warehouse, {"_id": identity, "v": "kept"}, batch_id=2)
    warehouse.conn.execute("alter sequence ops.batch_id restart with 10")
    # as loads after that note have it: changed, gone, come
    shop.orders.update_one({"_id": 1}, {"$set": {"v": "new"}})
    shop.orders.delete_one({"_id": 2})
    shop.orders.insert_one({"_id": 3, "v": "new"})
    held = warehouse.all("select * from ops.quarantine")
    warehouse.load("orders", mode=Mode.SWEEP)
    for note in held:
        warehouse.conn.execute(
            "insert into ops.quarantine values (%s, %s, %s, %s, %s, %s, %s) on conflict do nothing",
            note,
        )
    before = warehouse.rows("orders")
    [done] = replay(warehouse)
    assert (done.tried, done.released, done.overtaken) == (0, 0, 3)
    assert warehouse.rows("orders") == before
    assert notes(warehouse) == {}
    assert replay(warehouse) == []


@pytest.mark.parametrize("mode", [Mode.FULL, Mode.SWEEP, Mode.INCREMENTAL])
def test_a_document_that_went_back_to_its_stored_version_is_not_replayed(warehouse, shop, mode):
    good, bad = {"_id": 1, "v": 1}, {"_id": 1, "v": deep(300)}
    shop.orders.insert_one(good)
    warehouse.load("orders")
    shop.orders.replace_one({"_id": 1}, bad)
    warehouse.load("orders", mode=Mode.SWEEP)
    assert set(notes(warehouse)) == {"1"}
    shop.orders.replace_one({"_id": 1}, good)
    [result] = warehouse.load("orders", mode=mode)
    assert (result.counts.written, result.is_reconciled) == (0, True)
    assert notes(warehouse) == {}, "else a replay could store what the source has no more"


def test_of_two_notes_of_one_document_the_younger_counts(warehouse, shop):
    """A limit that was raised gives a document another name, so that it can have two."""
    shop.orders.insert_one({"_id": 1})
    warehouse.load("orders")
    put(warehouse, {"_id": 7, "v": "older"}, name="long _id: 00ff")
    put(warehouse, {"_id": 7, "v": "younger"})
    [done] = replay(warehouse)
    assert (done.tried, done.released, done.overtaken) == (1, 1, 1)
    assert warehouse.docs("orders")["7"]["v"] == "younger"
    assert notes(warehouse) == {}


def test_lines_of_files_are_passed_over(warehouse, tmp_path):
    path = tmp_path / "people.csv"
    path.write_text("customer_id,name\nC1,Ada\n,Bob\n")
    load_files(warehouse.settings, {"customers": [path]})
    before = warehouse.all("select * from ops.quarantine")
    [done] = replay(warehouse)
    assert (done.collection, done.tried, done.lines) == ("users", 0, 1)
    assert warehouse.all("select * from ops.quarantine") == before


def test_many_and_large_documents_are_replayed_page_by_page(warehouse, shop, monkeypatch):
    shop.orders.insert_one({"_id": 0})
    warehouse.load("orders")
    monkeypatch.setattr(quarantine, "PAGE_BYTES", 10_000)
    for identity in range(1, 41):
        put(warehouse, {"_id": identity, "v": "x" * (100 if identity % 10 else 25_000)})
    put(warehouse, {"_id": 99, "v": deep(300)})
    [done] = replay(warehouse)
    assert (done.tried, done.released) == (41, 40)
    assert len(warehouse.docs("orders")) == 41


def ledgerline(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "orchestration.cli", "quarantine", *arguments],
        env=os.environ.copy(),
        capture_output=True,
        text=True,
        check=False,
        **options,
    )


def test_list_never_shows_the_content_and_show_warns(warehouse, shop):
    assert ledgerline("list").stdout == ""
    shop.orders.insert_one({"_id": "ada", "secret": "Lovelace", "v": deep(300)})
    warehouse.load("orders")
    listed = ledgerline("list", "orders")
    assert listed.returncode == 0, listed.stderr
    [line] = listed.stdout.splitlines()
    collection, identity, reason, size, since, batch = line.split("\t")
    assert (collection, identity) == ("orders", '"ada"')
    assert reason.startswith("it can't be written as JSON")
    assert int(size) > 0
    assert int(batch) > 0
    assert datetime.fromisoformat(since).tzinfo
    assert "Lovelace" not in listed.stdout
    assert ledgerline("list", "reviews").stdout == ""

    for name in ('"ada"', "ada"):
        shown = ledgerline("show", "orders", name)
        assert shown.returncode == 0, shown.stderr
        assert '"secret": "Lovelace"' in shown.stdout
        assert "may hold personal data" in shown.stderr
    missing = ledgerline("show", "orders", "nobody")
    assert (missing.returncode, missing.stdout) == (2, "")
    [line] = missing.stderr.splitlines()
    assert 'nothing of the collection orders is kept under "nobody"' in line


def test_show_reads_as_much_of_broken_bson_as_there_is(warehouse):
    whole = bson.encode({"_id": 5, "name": "Ada", "nested": {"ok": True}, "after": "x"})
    flag = whole.index(b"ok\0") + 3
    broken = whole[:flag] + b"\x07" + whole[flag + 1 :]  # a boolean that is neither
    text = quarantine.readable(broken)
    assert '"name": "Ada"' in text
    assert '"after": "x"' in text
    assert "can't be read" in text
    assert '"_id": 5' in quarantine.readable(whole)
    # cut off in the middle
    assert '"name": "Ada"' in (text := quarantine.readable(whole[:-20]))
    assert "can't be read from byte" in text
    assert "can't be read from byte" in quarantine.readable(b"")


def test_show_prints_the_line_of_a_file(warehouse, tmp_path):
    path = tmp_path / "people.csv"
    path.write_text("customer_id,name\nC1,Ada\n,Bob\n")
    load_files(warehouse.settings, {"customers": [path]})
    shown = ledgerline("show", "users", "people.csv, line 3")
    assert shown.returncode == 0, shown.stderr
    assert '"line": 3' in shown.stdout
    assert "Bob" in shown.stdout


def test_a_killed_replay_loses_nothing(warehouse, shop):
    shop.orders.insert_one({"_id": 0})
    warehouse.load("orders")
    data = [bson.encode({"_id": n, "v": "x" * 2_000}) for n in range(1, 3_001)]
    with warehouse.conn.cursor() as cursor:
        cursor.executemany(
            "insert into ops.quarantine values ('orders', %s, 'earlier', %s, 'h', now(), 2)",
            [(str(n), document) for n, document in enumerate(data, start=1)],
        )
    process = subprocess.Popen(
        [sys.executable, "-m", "orchestration.cli", "quarantine", "replay"],
        env=os.environ.copy(),
        stdout=subprocess.DEVNULL,
    )
    busy = (
        "select 1 from pg_stat_activity where strpos(query, 'ledgerline_') > 0 "
        "and pid <> pg_backend_pid() and datname = current_database()"
    )
    deadline = time.monotonic() + 60
    while not warehouse.all(busy):
        assert process.poll() is None, "it ended before it was seen to work"
        assert time.monotonic() < deadline
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert warehouse.one("select count(*) from ops.quarantine") == 3_000
    assert list(warehouse.rows("orders")) == ["0"]

    [done] = replay(warehouse)
    assert done.released == 3_000
    assert warehouse.one("select count(*) from ops.quarantine") == 0
    assert len(warehouse.rows("orders")) == 3_001
