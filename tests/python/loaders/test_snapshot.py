"""A full load: goes on where it was killed, and ends equal to the source whatever happens to that.

The source is a replay server, so that a test decides what happens between two of its answers.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from raw_bson import element, raw_document, string
from structlog.testing import capture_logs

from benchmarks.loader import orders
from loaders import snapshot, source
from loaders.documents import encoding
from loaders.errors import LoadInProgressError, UserError
from loaders.modes import Mode, Observer
from loaders.schema import ensure
from loaders.settings import Settings
from loaders.stream.changes import CollectionReplacedError
from sandbox.replay import ReplayServer, error, replay_process

pytestmark = pytest.mark.servers

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
PATIENCE = 30.0
COUNT = 1_000
BATCH = 100  # documents of an answer
CHUNK_BYTES = 20_000  # two answers

COMMAND = f"""
import sys, time
from loaders import landing, shadow, snapshot, source
snapshot.CHUNK_BYTES, source.BATCH_DOCUMENTS = {CHUNK_BYTES}, {BATCH}

def hold_after(owner, name):
    step = getattr(owner, name)
    def held(*arguments, **options):
        result = step(*arguments, **options)
        print("held", flush=True)
        time.sleep({PATIENCE})
        return result
    setattr(owner, name, held)
"""


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(snapshot, "CHUNK_BYTES", CHUNK_BYTES)
    monkeypatch.setattr(source, "BATCH_DOCUMENTS", BATCH)


def order(number, **more):
    return {"_id": number, "text": "x" * 70, "updated_at": NOON} | more


def days_ago(days):
    return NOON - timedelta(days=days)


def fill(server, count=COUNT):
    server.put("shop.orders", [order(i) for i in range(count)])


def of_orders(command):
    return command["collection"] == "orders"


class Readings(Observer):
    """Notes how many documents were read; does something after so many."""

    def __init__(self, after=0, action=None):
        self.readings = []
        self.after, self.action = after, action

    def read(self, collection, documents, size):
        self.readings.append(documents)
        if self.action and sum(self.readings) >= self.after:
            action, self.action = self.action, None
            action()

    @property
    def total(self):
        return sum(self.readings)


class Killed(BaseException):
    """Ends a load on the spot, as a signal would, in this process."""


def kill():
    raise Killed


def load_half(warehouse):
    """A full load that ends after 500 documents: 400 of them are committed."""
    with pytest.raises(Killed):
        warehouse.load("orders", mode=Mode.FULL, observer=Readings(COUNT // 2, kill))
    assert warehouse.one("select tally::json->>'read' from ops.snapshots") == "400"


def load_on(warehouse, **options):
    """The full load after it.

    Returns:
        Its result, and how many documents it got from the first load and read by itself.
    """
    readings = Readings()
    [result] = warehouse.load("orders", mode=Mode.FULL, observer=readings, **options)
    kept, *read = readings.readings
    return result, kept, sum(read)


def assert_nothing_is_left(warehouse):
    assert warehouse.one("select count(*) from ops.snapshots") == 0
    assert warehouse.all("select tablename from pg_tables where schemaname = 'shadow'") == []
    assert warehouse.one("select count(*) from pg_locks where locktype = 'advisory'") == 0


# --- killed and gone on with ----------------------------------------------------------------------


def start(script=""):
    command = [sys.executable, "-c", f"{COMMAND}\n{script}\nfrom loaders.cli import app\napp()"]
    return subprocess.Popen(
        [*command, "orders", "--mode", "full"],
        env=os.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def end(process):
    assert process.poll() is None, process.communicate()
    process.kill()
    process.communicate()


def wait_until(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it never came to this"
        time.sleep(0.01)


def test_killed_load_goes_on_from_its_last_committed_chunk(replayed, replay_server):
    fill(replay_server)
    ensure(replayed.conn)
    killed = threading.Event()

    def hold(_):
        killed.wait(PATIENCE)

    replay_server.on("getMore", hold, nth=6, where=of_orders)
    process = start()
    committed = "select coalesce(max((tally::json->>'read')::int), 0) from ops.snapshots"
    wait_until(lambda: process.poll() is not None or replayed.one(committed) == 600)
    end(process)
    killed.set()
    assert replayed.rows("orders") == {}, "readers see nothing of it yet"

    asked = len(replay_server.commands)
    result, kept, read = load_on(replayed)
    assert (kept, read) == (600, 400)
    finds = [command for command in replay_server.commands[asked:] if "find" in command]
    assert [command["min"] for command in finds] == [{"_id": 599}]
    assert (result.counts.read, result.counts.inserted, result.is_reconciled) == (1000, 1000, True)
    assert replayed.mirrors(replay_server)
    assert_nothing_is_left(replayed)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("step", "loaded_before"),
    [
        ("snapshot.Snapshot, '_read'", False),
        ("shadow.Shadow, 'index'", False),
        ("landing.Batch, 'finish'", False),
        ("landing.Batch, 'finish'", True),
    ],
)
def test_killed_after_the_last_document_reads_nothing_again(
    replayed, replay_server, step, loaded_before
):
    """Killed before and in the making of the index, and when all is handed over but the commit."""
    fill(replay_server)
    if loaded_before:
        replayed.load("orders")
        replay_server.change("shop.orders", "delete", key=3)
    before = replayed.rows("orders") if loaded_before else {}
    process = start(f"hold_after({step})")
    assert process.stdout.readline() == "held\n"
    end(process)
    if loaded_before:
        assert replayed.rows("orders") == before
    result, kept, read = load_on(replayed)
    assert (kept, read) == (COUNT - loaded_before, 0)
    assert result.is_reconciled
    assert replayed.mirrors(replay_server)
    assert_nothing_is_left(replayed)


@pytest.mark.parametrize("other_loads", [False, True])
def test_what_changed_behind_the_position_while_no_loader_ran_is_caught_up(
    replayed, replay_server, other_loads
):
    fill(replay_server)
    if other_loads:
        replayed.load("orders")
    load_half(replayed)
    replay_server.change("shop.orders", "update", order(5, x=1))  # updated_at is as it was
    replay_server.change("shop.orders", "delete", key=6)
    replay_server.change("shop.orders", "insert", order(6.5))
    replay_server.change("shop.orders", "delete", key=399)  # at which the load goes on
    replay_server.change("shop.orders", "update", order(800, x=1))
    replay_server.change("shop.orders", "delete", key=801)
    if other_loads:  # which make raw newer than what the unfinished one has read
        replayed.load("orders", mode=Mode.SWEEP)
    result, kept, read = load_on(replayed)
    assert (kept, read) == (400, 599)
    assert replayed.mirrors(replay_server)
    assert result.is_reconciled
    assert_nothing_is_left(replayed)


def test_place_to_go_on_from_is_any_document_with_an_id(replayed, replay_server):
    """Even if nothing else in it can be read."""
    text = element(2, b"text", string(b"\xff" * 70))
    identities = (element(7, b"_id", number.to_bytes(12, "big")) for number in range(COUNT))
    replay_server.put("shop.orders", [raw_document(text, identity=one) for one in identities])
    load_half(replayed)
    result, kept, read = load_on(replayed)
    assert (kept, read) == (400, 600)
    assert (result.counts.read, result.counts.altered, result.days_differing) == (COUNT, COUNT, 0)
    assert replayed.mirrors(replay_server)


def test_another_version_of_the_encoding_starts_anew(replayed, replay_server, monkeypatch):
    fill(replay_server)
    load_half(replayed)
    monkeypatch.setattr(encoding, "VERSION", encoding.VERSION + 1)
    result, first, _ = load_on(replayed)
    assert (first, result.counts.read) == (BATCH, COUNT)
    assert_nothing_is_left(replayed)


def test_another_source_starts_anew(replayed, replay_server, monkeypatch):
    fill(replay_server)
    load_half(replayed)
    with ReplayServer({"shop.orders": [order(i, other=True) for i in range(600)]}) as other:
        monkeypatch.setenv("MONGODB_URI", other.uri)
        replayed.settings = Settings()
        result, first, _ = load_on(replayed)
        assert (first, result.counts.read) == (BATCH, 600)
        assert replayed.mirrors(other)
    assert_nothing_is_left(replayed)


def test_unfinished_load_from_before_the_oplog_starts_anew(replayed, replay_server):
    """Its rows are old, and nobody can tell any more which: they mustn't come over newer ones."""
    fill(replay_server)
    replayed.load("orders")
    load_half(replayed)
    replay_server.change("shop.orders", "update", order(5, x=1, updated_at=NOON + timedelta(1)))
    replayed.load("orders")
    replay_server.feed.forget()
    _, first, _ = load_on(replayed)
    assert first == BATCH
    assert replayed.mirrors(replay_server)


@pytest.mark.parametrize("loads_between", [True, False])
def test_unfinished_load_without_change_streams(replayed, replay_server, loads_between):
    replay_server.role = "standalone"
    fill(replay_server)
    if loads_between:
        replayed.load("orders")
    load_half(replayed)
    replay_server.change("shop.orders", "update", order(5, x=1, updated_at=NOON + timedelta(1)))
    if loads_between:  # what is in the shadow is older than raw now
        replayed.load("orders")
    _, first, _ = load_on(replayed)
    assert first == (BATCH if loads_between else 400)
    if not loads_between:
        replayed.load("orders")  # by its clock
    assert replayed.mirrors(replay_server)


# --- a source that changes meanwhile --------------------------------------------------------------


def test_case_16_writer_at_work_between_any_two_answers(replayed, replay_server):
    fill(replay_server)
    steps = iter(range(100))

    def write(_):
        step = next(steps)
        replay_server.change("shop.orders", "update", order(step, x=step))
        replay_server.change("shop.orders", "update", order(990 - step, x=step))
        replay_server.change("shop.orders", "insert", order(-1 - step))
        replay_server.change("shop.orders", "insert", order(2000 + step))
        replay_server.change("shop.orders", "delete", key=100 + step)
        replay_server.change("shop.orders", "delete", key=900 - step)

    replay_server.on("getMore", write, times=None, where=of_orders)
    [result] = replayed.load("orders", mode=Mode.FULL)
    assert next(steps) >= 9
    assert result.is_reconciled
    assert result.days_differing == 0
    assert replayed.mirrors(replay_server)


def test_case_16_writer_behind_and_before_the_cursor_of_a_real_server(warehouse, shop):
    shop.orders.insert_many([order(i) for i in range(COUNT)])

    def write():
        shop.orders.update_many({"_id": {"$in": [1, 998]}}, {"$set": {"x": 1}})
        shop.orders.delete_many({"_id": {"$in": [2, 997]}})
        shop.orders.insert_many([order(-1), order(COUNT), order("late")])
        shop.orders.delete_one({"_id": 3})
        shop.orders.insert_one(order(3, again=True))

    [result] = warehouse.load("orders", mode=Mode.FULL, observer=Readings(1, write))
    assert result.is_reconciled
    assert result.days_differing == 0
    assert warehouse.equals(shop)


def nested(levels):
    value = 1
    for _ in range(levels):
        value = [value]
    return value


def test_odd_documents_that_are_mended_or_made_during_the_load(replayed, replay_server):
    """Notes are of the versions that raw has, not of those that were read first; a deleted row
    keeps the bytes of what it shows.
    """
    odd = {1: {"v": nested(300)}, 2: {"v": "nul \0"}, 3: {"v": nested(300)}, 4: {"v": "nul \0"}}
    replay_server.put("shop.orders", [order(i, **odd.get(i, {})) for i in range(COUNT)])

    def write():
        replay_server.change("shop.orders", "update", order(1))
        replay_server.change("shop.orders", "update", order(2))
        replay_server.change("shop.orders", "delete", key=3)
        replay_server.change("shop.orders", "delete", key=4)
        replay_server.change("shop.orders", "update", order(5, v=nested(300)))
        replay_server.change("shop.orders", "update", order(6, v="nul \0"))

    [result] = replayed.load("orders", mode=Mode.FULL, observer=Readings(BATCH, write))
    assert replayed.all("select _id from ops.quarantine") == [("5",)]
    assert replayed.all("select _id from ops.altered_documents order by 1") == [("4",), ("6",)]
    assert result.is_reconciled
    assert result.days_differing == 0


@pytest.mark.parametrize("told_by", ["clock", "count", "bytes"])
def test_changes_that_the_source_forgot_are_told_and_found_by_the_next_load(
    replayed, replay_server, told_by
):
    """A full load that takes longer than the oplog reaches back."""
    replay_server.put(
        "shop.orders", [order(i, updated_at=days_ago(COUNT - i)) for i in range(COUNT)]
    )

    def write():
        match told_by:
            case "clock":
                replay_server.change("shop.orders", "update", order(1, x=1, updated_at=days_ago(0)))
            case "count":
                replay_server.change("shop.orders", "delete", key=1)
            case "bytes":
                document = order(1, x=1, updated_at=days_ago(COUNT - 1))
                replay_server.change("shop.orders", "update", document)
        replay_server.change("shop.orders", "insert", order(COUNT, updated_at=days_ago(0)))
        replay_server.feed.forget()

    with capture_logs() as logs:
        replayed.load("orders", mode=Mode.FULL, observer=Readings(BATCH, write))
    assert [each["collection"] for each in logs if each["log_level"] == "warning"] == ["orders"]
    *_, result = replayed.load("orders")
    assert result.is_reconciled
    assert replayed.mirrors(replay_server)
    assert len(replayed.load("orders")) == 1, "compared once, not each time"


@pytest.mark.parametrize("again", [False, True])
def test_collection_dropped_during_the_load(replayed, replay_server, again):
    fill(replay_server)
    replay_server.put("shop.reviews", [{"_id": 1}])

    def drop():
        replay_server.change("shop.orders", "drop")
        if again:
            replay_server.change("shop.orders", "insert", order(1, again=True))

    with pytest.raises(CollectionReplacedError, match="dropped or renamed while it was read"):
        replayed.load("orders", mode=Mode.FULL, observer=Readings(BATCH, drop))
    assert replayed.rows("orders") == {}
    assert_nothing_is_left(replayed)
    if again:
        replayed.load("orders", mode=Mode.FULL)
        assert replayed.mirrors(replay_server)


def test_case_18_second_loader_is_refused_all_along(replayed, replay_server, monkeypatch):
    monkeypatch.setattr("loaders.landing.LOCK_PATIENCE_SECONDS", 0.1)
    fill(replay_server)
    refused = []

    def load_as_well():
        for mode in (Mode.FULL, Mode.AUTO):
            with pytest.raises(LoadInProgressError) as raised:
                replayed.load("orders", mode=mode)
            refused.append(str(raised.value))

    [result] = replayed.load("orders", observer=Readings(5 * BATCH, load_as_well))
    assert refused == ['another loader is working on "orders": run again when it is done'] * 2
    assert (result.counts.inserted, result.is_reconciled) == (COUNT, True)


# --- documents that only Postgres refuses ---------------------------------------------------------


def test_case_19_documents_that_postgres_refuses_are_named_and_none_is_lost(
    replayed, replay_server, monkeypatch
):
    """No BSON is known to do this, so the encoder is made to write numbers that are too large."""
    encode = encoding.encode

    def broken(documents):
        part = encode(documents)
        part.rows = part.rows.replace(b'"refused"', b"1e2000000")
        return part

    monkeypatch.setattr(encoding, "encode", broken)
    fill(replay_server)
    bad = {350: "refused", 351: "refused", 777: "refused"}
    for number in bad:
        replay_server.change("shop.orders", "update", order(number, v="refused"))
    replay_server.change("shop.orders", "update", order(778, v="refused", w="nul \0"))
    replay_server.change("shop.orders", "update", order(779, w="nul \0"))
    [result] = replayed.load("orders", mode=Mode.FULL)
    assert (result.counts.inserted, result.quarantined) == (COUNT - 4, 4)
    assert result.is_reconciled
    assert result.days_differing == 0
    found = dict(replayed.all("select _id, reason from ops.quarantine"))
    assert found.keys() == {"350", "351", "777", "778"}
    assert set(found.values()) == {"Postgres can't store it: value overflows numeric format"}
    assert replayed.all("select _id from ops.altered_documents") == [("779",)]
    live = {encoding.identity_of(raw) for raw in replay_server.collections["shop.orders"].raw}
    assert replayed.docs("orders").keys() == live - found.keys()


# --- what stands around the raw table -------------------------------------------------------------


def test_rights_comments_and_indexes_of_an_empty_raw_table_stay(replayed, replay_server):
    fill(replay_server)
    ensure(replayed.conn)
    for statement in (
        "grant select on raw.orders to public",
        "grant select, insert on raw.orders to pg_monitor",
        "grant select on raw.orders to pg_read_all_stats with grant option",
        "comment on table raw.orders is 'What was ordered: 100 %, ''quoted'''",
        "comment on column raw.orders.doc is 'All of it'",
        "create index mine on raw.orders ((doc->>'text'))",
    ):
        replayed.conn.execute(statement)
    questions = (
        "select relacl::text[] from pg_class where oid = 'raw.orders'::regclass",
        "select attname, description from pg_description left join pg_attribute "
        "on attrelid = objoid and attnum = objsubid where objoid = 'raw.orders'::regclass",
        "select indexdef from pg_indexes where schemaname = 'raw' and tablename = 'orders' "
        "order by 1",
        "select column_name, data_type, is_nullable, column_default "
        "from information_schema.columns where table_schema = 'raw' and table_name = 'orders' "
        "order by 1",
    )
    before = [sorted(map(str, replayed.all(question))) for question in questions]
    oid = replayed.one("select 'raw.orders'::regclass::oid")
    replayed.load("orders")
    assert replayed.one("select 'raw.orders'::regclass::oid") != oid, "it was replaced"
    assert [sorted(map(str, replayed.all(question))) for question in questions] == before


def test_long_names_that_begin_alike_get_in_each_others_way_nowhere(replayed, replay_server):
    names = ["n" * length + end for length in (45, 50, 70) for end in ("_a", "_b")]
    for name in names:
        replay_server.put(f"shop.{name}", [order(i) for i in range(3)])
    for mode in (Mode.FULL, Mode.FULL, Mode.SWEEP):
        results = replayed.load(mode=mode)
        assert [(each.raw_count, each.is_reconciled) for each in results] == [(3, True)] * 6
    indexes = "select count(*) from pg_indexes where schemaname = 'raw' and tablename like 'nnn%%'"
    assert replayed.one(indexes) == 3 * len(names)


@pytest.mark.parametrize("loaded_before", [False, True])
def test_case_17_view_on_raw_survives_a_full_load(replayed, replay_server, loaded_before):
    ensure(replayed.conn)
    replayed.conn.execute(
        "create view numbers as select _id, doc->'x' as x from raw.orders where _deleted_at is null"
    )
    if loaded_before:
        fill(replay_server, 10)
        replayed.load("orders")
    replay_server.put("shop.orders", [order(i, x=7) for i in range(COUNT)])
    replayed.load("orders", mode=Mode.FULL)
    assert replayed.all("select count(*), min(x::int), max(x::int) from numbers") == [(COUNT, 7, 7)]
    assert_nothing_is_left(replayed)


# --- several at once ------------------------------------------------------------------------------


class Events(Observer):
    """Everything an observer is told, by collection."""

    def __init__(self):
        self.told = {}

    def begin(self, collection, mode, expected):
        self.told[collection] = [(mode, expected), 0, None]

    def read(self, collection, documents, size):
        self.told[collection][1] += documents

    def end(self, result):
        self.told[result.collection][2] = result.raw_count


@pytest.mark.slow
def test_two_workers_skip_and_repeat_nothing_of_a_source_that_is_written_to(
    replayed, replay_server
):
    """They do what one does, and tell as much."""
    sizes = {"orders": 4500, "reviews": 4500, "users": 1, "weird name": 40}
    for name, size in sizes.items():
        replay_server.put(f"shop.{name}", [order(i) for i in range(size)])
    written = []

    def write(command):
        name, step = command["collection"], len(written)
        replay_server.change(f"shop.{name}", "delete", key=step)
        replay_server.change(f"shop.{name}", "insert", order(-1 - step))
        replay_server.change(f"shop.{name}", "update", order(4_400 - step, x=1))
        written.append(name)

    replay_server.on(
        "getMore", write, times=None, where=lambda command: command["collection"] in sizes
    )
    events = Events()
    results = replayed.load(workers=2, observer=events)
    assert set(written) == {"orders", "reviews"}
    assert [result.collection for result in results] == sorted(sizes)
    assert all(result.is_reconciled for result in results)
    assert events.told == {name: [("full", size), size, size] for name, size in sizes.items()}
    assert replayed.one("select count(distinct run_id) from ops.load_runs") == 1
    assert all(replayed.mirrors(replay_server, name) for name in sizes)


@pytest.mark.slow
def test_collection_that_fails_does_not_stop_the_others(replayed, replay_server):
    names = ["orders", "reviews", "users"]
    for name in names:
        replay_server.put(f"shop.{name}", [order(i) for i in range(200)])
    replay_server.on(
        "find",
        error(13, "not authorized on shop"),
        times=None,
        where=lambda command: command["find"] == "orders",
    )
    with pytest.raises(UserError, match="the MongoDB user lacks a right"):
        replayed.load(workers=2)
    assert [len(replayed.rows(name)) for name in names] == [0, 200, 200]
    runs = "select collection, status from ops.load_runs order by 1"
    assert replayed.all(runs) == [("orders", "failed"), ("reviews", "done"), ("users", "done")]


# --- memory ---------------------------------------------------------------------------------------


@pytest.mark.slow
def test_peak_memory_of_a_full_load(pg_database, tmp_path, monkeypatch):
    """60,000 orders, under 160 MiB."""
    program = """
from pathlib import Path
from loaders.modes import Mode, run
from loaders.settings import Settings
[result] = run(Settings(), ["orders"], Mode.FULL)
# not getrusage: its peak includes that of the process which started this one
status = Path("/proc/self/status").read_text()
print(result.raw_count, int(status.split("VmHWM:")[1].split()[0]) // 1024)
"""
    files = orders.write(tmp_path, 60_000)
    with replay_process({"shop.orders": files.orders}) as server:
        monkeypatch.setenv("MONGODB_URI", server.uri)
        monkeypatch.setenv("MONGODB_DATABASE", "shop")
        command = [sys.executable, "-c", program]
        done = subprocess.run(command, capture_output=True, check=True, text=True)
    count, mebibytes = map(int, done.stdout.splitlines()[-1].split())
    print(f"peak: {mebibytes} MiB")
    assert count == 60_000
    assert mebibytes < 160
