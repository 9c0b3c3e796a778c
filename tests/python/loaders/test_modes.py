"""Full, incremental, sweep and auto against real servers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from bson import Decimal128, Int64, ObjectId

from loaders.errors import LoadInProgressError, UserError
from loaders.files.cli import load_files
from loaders.landing import open_batch
from loaders.modes import Mode
from loaders.schema import COLLECTIONS, ensure
from loaders.source import Source
from loaders.stream import follow

pytestmark = pytest.mark.servers

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def order(number, updated_at=NOON, **more):
    return {"_id": number, "order_no": f"A-{number}", "updated_at": updated_at, **more}


def fill(shop, count, start=NOON):
    shop.orders.insert_many([order(i, start + i * MINUTE) for i in range(count)])


# --- schema ---------------------------------------------------------------------------------------


def test_every_known_collection_has_a_table_though_it_is_empty(warehouse, shop):
    fill(shop, 1)
    shop["something_else"].insert_one({"_id": 1})
    warehouse.load()
    tables = {
        name
        for (name,) in warehouse.all("select tablename from pg_tables where schemaname = 'raw'")
    }
    assert tables == {*COLLECTIONS, "something_else"}


def test_ensure_twice_changes_nothing(warehouse):
    ensure(warehouse.conn)
    before = warehouse.all("select oid, relname from pg_class order by oid")
    ensure(warehouse.conn)
    assert warehouse.all("select oid, relname from pg_class order by oid") == before


@pytest.mark.parametrize("name", ["Weird name.with 'quotes\" %s", "x" * 70, "orders_é"])
def test_any_collection_name_can_be_loaded(warehouse, shop, name):
    shop[name].insert_many([{"_id": i} for i in range(3)])
    [result] = warehouse.load(name)
    [again] = warehouse.load(name, mode=Mode.FULL)
    assert (result.raw_count, again.counts.written) == (3, 0)


# --- full -----------------------------------------------------------------------------------------


def test_first_load_is_whole_and_keeps_its_indexes(warehouse, shop):
    ensure(warehouse.conn)
    indexes = "select indexdef from pg_indexes where schemaname = 'raw' order by 1"
    before = warehouse.all(indexes)
    fill(shop, 2500)
    [result] = warehouse.load("orders", mode=Mode.FULL)
    assert (result.counts.read, result.counts.inserted) == (2500, 2500)
    assert result.is_reconciled
    assert result.source_hash == result.raw_hash
    assert warehouse.all(indexes) == before
    assert warehouse.equals(shop)
    row = warehouse.rows("orders")["7"]
    assert row[2] == NOON + 7 * MINUTE
    assert row[4] == result.batch_id


def test_first_load_under_a_view_that_needs_the_primary_key(warehouse, shop):
    fill(shop, 10)
    ensure(warehouse.conn)
    warehouse.conn.execute(
        "create view per_id as select _id, doc, count(*) from raw.orders group by _id"
    )
    [result] = warehouse.load("orders", mode=Mode.FULL)
    assert (result.counts.inserted, result.is_reconciled) == (10, True)
    assert warehouse.one("select count(*) from per_id") == 10


def test_full_again_writes_nothing(warehouse, shop):
    fill(shop, 100)
    warehouse.load("orders", mode=Mode.FULL)
    before = warehouse.rows("orders")
    [again] = warehouse.load("orders", mode=Mode.FULL)
    assert (again.counts.read, again.counts.unchanged, again.counts.written) == (100, 100, 0)
    assert warehouse.rows("orders") == before


def test_full_writes_only_what_changed_vanished_or_came_back(warehouse, shop):
    fill(shop, 10)
    warehouse.load("orders", mode=Mode.FULL)
    first = warehouse.rows("orders")

    shop.orders.update_one({"_id": 1}, {"$set": {"status": "paid"}})
    shop.orders.delete_one({"_id": 2})
    shop.orders.insert_one(order(99))
    [result] = warehouse.load("orders", mode=Mode.FULL)
    counts = result.counts
    assert (counts.inserted, counts.updated, counts.deleted, counts.unchanged) == (1, 1, 1, 8)
    second = warehouse.rows("orders")
    assert [i for i in first if first[i] == second[i]] == ["0", *map(str, range(3, 10))]
    gone = second["2"]
    assert gone[1] == first["2"][1], "the document of a deleted row is kept"
    assert gone[5] == gone[3] == second["1"][3] == second["99"][3]
    assert gone[3] > first["2"][3]

    shop.orders.insert_one(order(2, NOON + 2 * MINUTE))
    [result] = warehouse.load("orders", mode=Mode.FULL)
    assert (result.counts.updated, result.counts.written) == (1, 1)
    third = warehouse.rows("orders")["2"]
    assert third[5] is None
    assert third[3] > gone[3]
    assert warehouse.equals(shop)


def test_emptied_collection_is_marked_deleted_as_a_whole(warehouse, shop):
    fill(shop, 5)
    warehouse.load("orders")
    shop.orders.delete_many({})
    *_, last = warehouse.load("orders")
    assert (last.mode, last.counts.deleted, last.raw_count) == ("sweep", 5, 0)


def test_empty_collection_loads_as_nothing(warehouse, shop):
    shop.create_collection("reviews")
    [result] = warehouse.load("reviews")
    assert (result.source_count, result.raw_count, result.counts.read) == (0, 0, 0)
    assert result.is_reconciled


# --- incremental ----------------------------------------------------------------------------------


def test_incremental_reads_only_from_the_overlap_on(warehouse, shop):
    fill(shop, 100)
    warehouse.load("orders", mode=Mode.FULL)
    shop.orders.insert_one(order(500, NOON + 99 * MINUTE + timedelta(seconds=1)))
    [result] = warehouse.load("orders", mode=Mode.INCREMENTAL, overlap=10 * MINUTE)
    assert (result.counts.read, result.counts.inserted, result.counts.updated) == (12, 1, 0)
    assert warehouse.equals(shop)


def test_case_26_incremental_with_nothing_new_writes_nothing(warehouse, shop):
    fill(shop, 20)
    warehouse.load("orders")
    before = warehouse.rows("orders")
    [result] = warehouse.load("orders", mode=Mode.INCREMENTAL)
    assert result.counts.written == 0
    assert warehouse.rows("orders") == before


def test_case_21_ties_at_the_watermark_are_all_read(warehouse, shop):
    shop.orders.insert_many([order(i) for i in (5, 6)])
    warehouse.load("orders")
    # same millisecond as the watermark; one id below those seen, one above
    shop.orders.insert_many([order(i) for i in (1, 9)])
    [result] = warehouse.load("orders", mode=Mode.INCREMENTAL, overlap=timedelta(0))
    assert result.counts.inserted == 2
    assert warehouse.equals(shop)


def test_case_22_late_writer_is_found_inside_the_overlap_and_outside_of_it_by_sweep(
    warehouse, shop
):
    fill(shop, 100)
    warehouse.load("orders")
    shop.orders.update_one({"_id": 3}, {"$set": {"x": 1, "updated_at": NOON + 95 * MINUTE}})
    shop.orders.update_one({"_id": 4}, {"$set": {"x": 1, "updated_at": NOON + 5 * MINUTE}})
    [result] = warehouse.load("orders", mode=Mode.INCREMENTAL, overlap=10 * MINUTE)
    assert result.counts.updated == 1
    assert warehouse.docs("orders")["3"]["x"] == 1
    assert "x" not in warehouse.docs("orders")["4"]
    [result] = warehouse.load("orders", mode=Mode.SWEEP)
    assert result.counts.updated == 1
    assert warehouse.equals(shop)


@pytest.mark.parametrize(
    "clock",
    [None, "2024-03-01", 1709294400000, [NOON - timedelta(days=9)], {"at": NOON}, True, ...],
)
def test_case_23_document_without_a_usable_clock_is_found_each_time(warehouse, shop, clock):
    fill(shop, 3)
    warehouse.load("orders")
    document = order("odd", clock)
    if clock is ...:
        del document["updated_at"]
    shop.orders.insert_one(document)
    [result] = warehouse.load("orders", mode=Mode.INCREMENTAL, overlap=timedelta(0))
    assert (result.counts.inserted, result.counts.unclocked) == (1, 1)
    shop.orders.update_one({"_id": "odd"}, {"$set": {"x": 1}})
    [result] = warehouse.load("orders", mode=Mode.INCREMENTAL, overlap=timedelta(0))
    assert (result.counts.updated, result.counts.unclocked) == (1, 1)
    assert warehouse.equals(shop)
    assert warehouse.one("select unclocked from ops.load_runs order by batch_id desc limit 1") == 1


def test_case_24_clock_in_the_future_does_not_move_the_watermark_past_now(warehouse, shop):
    fill(shop, 3)
    shop.orders.insert_one(order(50, datetime(2999, 1, 1, tzinfo=UTC)))
    warehouse.load("orders")
    watermark = warehouse.one("select watermark_ts from ops.watermarks")
    assert watermark <= datetime.now(UTC) + timedelta(seconds=5)
    shop.orders.insert_one(order(51, datetime.now(UTC)))
    shop.orders.update_one({"_id": 50}, {"$set": {"x": 1}})
    [result] = warehouse.load("orders", mode=Mode.INCREMENTAL)
    assert (result.counts.inserted, result.counts.updated) == (1, 1)
    assert warehouse.equals(shop)


def test_document_that_moves_while_it_is_read_arrives_twice_and_counts_once(
    warehouse, shop, monkeypatch
):
    fill(shop, 20)
    warehouse.load("orders")
    day_after = NOON + timedelta(days=1)
    shop.orders.update_many({"_id": {"$lt": 5}}, {"$set": {"x": 1, "updated_at": NOON}})
    changed = Source.changed

    def read_twice(source, since):
        yield from changed(source, since)
        shop.orders.update_one({"_id": 2}, {"$set": {"x": 2, "updated_at": day_after}})
        yield from changed(source, since)

    monkeypatch.setattr(Source, "changed", read_twice)
    [result] = warehouse.load("orders", mode=Mode.INCREMENTAL, overlap=timedelta(days=1))
    assert (result.counts.read, result.counts.updated) == (40, 5)
    assert (result.days_differing, result.is_reconciled) == (0, True)
    assert warehouse.equals(shop)


def test_watermark_never_goes_back(warehouse, shop):
    fill(shop, 3)
    warehouse.load("orders")
    shop.orders.delete_many({"_id": {"$in": [1, 2]}})
    warehouse.load("orders", mode=Mode.FULL)
    assert warehouse.one("select watermark_ts from ops.watermarks") == NOON + 2 * MINUTE


def test_collection_without_any_clock_is_kept_up_to_date(warehouse, shop):
    shop.orders.insert_many([{"_id": i} for i in range(5)])
    warehouse.load("orders")
    shop.orders.update_one({"_id": 3}, {"$set": {"x": 1}})
    shop.orders.insert_one({"_id": 7})
    [result] = warehouse.load("orders", mode=Mode.INCREMENTAL)
    assert (result.counts.updated, result.counts.inserted) == (1, 1)
    assert warehouse.equals(shop)


# --- sweep and auto -------------------------------------------------------------------------------


def test_auto_is_incremental_alone_while_counts_agree(warehouse, shop):
    fill(shop, 10)
    warehouse.load("orders")
    shop.orders.insert_one(order(50, NOON + timedelta(days=1)))
    [result] = warehouse.load("orders")
    assert (result.mode, result.counts.inserted) == ("incremental", 1)


def test_case_25_hard_delete_is_found_by_the_counts(warehouse, shop):
    fill(shop, 10)
    warehouse.load("orders")
    shop.orders.delete_one({"_id": 4})
    first, second = warehouse.load("orders")
    assert not first.is_reconciled
    assert (second.mode, second.counts.deleted, second.is_reconciled) == ("sweep", 1, True)
    assert warehouse.rows("orders")["4"][5] is not None


def test_auto_finds_a_delete_that_an_insert_hides_from_the_counts(warehouse, shop):
    fill(shop, 10)
    warehouse.load("orders")
    shop.orders.delete_one({"_id": 4})
    shop.orders.insert_one(order(400, NOON - timedelta(days=9)))
    incremental, sweep = warehouse.load("orders")
    assert (incremental.source_count, incremental.raw_count) == (10, 10)
    assert (incremental.days_differing, sweep.days_differing) == (1, 0)
    assert warehouse.equals(shop)


@pytest.mark.parametrize("mode", [Mode.AUTO, Mode.FULL, Mode.SWEEP])
def test_a_shop_at_work_is_reconciled(warehouse, shop, monkeypatch, mode):
    fill(shop, 10)
    warehouse.load("orders")
    count = Source.rough_count

    def count_in_a_shop_at_work(source):
        shop.orders.insert_one({"updated_at": datetime.now(UTC)})
        return count(source)

    monkeypatch.setattr(Source, "rough_count", count_in_a_shop_at_work)
    [result] = warehouse.load("orders", mode=mode)
    assert result.is_reconciled
    monkeypatch.undo()
    [result] = warehouse.load("orders", mode=Mode.INCREMENTAL)
    assert result.is_reconciled
    assert warehouse.equals(shop)


def test_auto_sweeps_when_the_last_one_is_a_day_old(warehouse, shop):
    fill(shop, 10)
    warehouse.load("orders")
    # older than what is read again: one gone, one come, a third changed without its clock
    shop.orders.delete_one({"_id": 4})
    shop.orders.insert_one(order(400, NOON - timedelta(days=9)))
    shop.orders.update_one({"_id": 5}, {"$set": {"x": 1, "updated_at": NOON - timedelta(days=9)}})
    assert len(warehouse.load("orders", overlap=timedelta(0))) == 1
    warehouse.conn.execute("update ops.watermarks set last_sweep_at = now() - interval '25 hours'")
    _, sweep = warehouse.load("orders")
    counts = sweep.counts
    assert (counts.deleted, counts.inserted, counts.updated, counts.unchanged) == (1, 1, 1, 8)
    assert warehouse.equals(shop)
    assert len(warehouse.load("orders", overlap=timedelta(0))) == 1


def test_sweep_twice_writes_nothing(warehouse, shop):
    fill(shop, 50)
    warehouse.load("orders")
    before = warehouse.rows("orders")
    [result] = warehouse.load("orders", mode=Mode.SWEEP)
    assert (result.counts.read, result.counts.unchanged, result.counts.written) == (50, 50, 0)
    assert warehouse.rows("orders") == before


def test_sweep_looks_up_many_changes_in_several_goes(warehouse, shop, monkeypatch):
    monkeypatch.setattr("loaders.modes.LOOKUP_ROWS", 7)
    monkeypatch.setattr("loaders.source.LOOKUP_IDS", 3)
    fill(shop, 40)
    warehouse.load("orders")
    shop.orders.update_many({"_id": {"$gte": 10}}, {"$set": {"x": 1}})
    [result] = warehouse.load("orders", mode=Mode.SWEEP)
    assert result.counts.updated == 30
    assert warehouse.equals(shop)


# --- ids of every type ----------------------------------------------------------------------------

OID = ObjectId("5f1e8a9b0c2d3e4f5a6b7c8d")
MIXED = [
    *(OID, str(OID), "abc", 1, 2.5, Int64(2**60), True, Decimal128("7.10"), NOON, b"\x01\x02"),
    *({"a": 1}, {"a": OID}, {"a": str(OID)}, 'quote"back\\slash\ttab\nline é'),
]


@pytest.mark.parametrize("mode", [Mode.FULL, Mode.SWEEP, Mode.INCREMENTAL])
def test_ids_of_all_types_in_one_collection(warehouse, shop, mode):
    shop.orders.insert_many([{"_id": value, "n": n} for n, value in enumerate(MIXED)])
    warehouse.load("orders")
    assert len(warehouse.rows("orders")) == len(MIXED)
    assert warehouse.docs("orders")[str(OID)]["n"] == 0
    assert warehouse.docs("orders")[f'"{OID}"']["n"] == 1

    shop.orders.update_many({}, {"$set": {"x": 1}})
    [result] = warehouse.load("orders", mode=mode)
    assert result.counts.updated == len(MIXED)
    assert warehouse.equals(shop)

    shop.orders.delete_one({"_id": str(OID)})
    *_, result = warehouse.load("orders")
    assert result.counts.deleted == 1
    rows = warehouse.rows("orders")
    assert rows[f'"{OID}"'][5] is not None
    assert rows[str(OID)][5] is None


# --- order of commits, locks, failures ------------------------------------------------------------


def test_loaded_at_grows_strictly_from_batch_to_batch(warehouse, shop):
    fill(shop, 2)
    warehouse.load("orders")
    # as if the clock had been set back since
    warehouse.conn.execute("update ops.watermarks set last_loaded_at = now() + interval '1 hour'")
    future = warehouse.one("select last_loaded_at from ops.watermarks")
    shop.orders.insert_one(order(70, NOON + timedelta(days=1)))
    warehouse.load("orders")
    assert warehouse.rows("orders")["70"][3] == future + timedelta(microseconds=1)
    shop.orders.insert_one(order(71, NOON + timedelta(days=1)))
    warehouse.load("orders")
    assert warehouse.rows("orders")["71"][3] == future + timedelta(microseconds=2)


def test_second_loader_refuses_and_leaves_the_first_alone(warehouse, shop, monkeypatch):
    monkeypatch.setattr("loaders.landing.LOCK_PATIENCE_SECONDS", 0.3)
    fill(shop, 3)
    shop.reviews.insert_one({"_id": 1})
    ensure(warehouse.conn)
    with open_batch(warehouse.conn, "orders", "full"):
        with pytest.raises(LoadInProgressError, match='another loader is working on "orders"'):
            warehouse.load("orders")
        assert warehouse.load("reviews")[0].raw_count == 1, "other collections are free"
    assert warehouse.load("orders")[0].raw_count == 3


def test_case_27_failure_leaves_rows_and_state_as_they_were_and_a_note(warehouse, shop):
    fill(shop, 10)
    warehouse.load("orders")
    before = warehouse.rows("orders"), warehouse.all("select * from ops.watermarks")
    shop.orders.update_many({}, {"$set": {"x": 1}})
    warehouse.conn.execute("alter table ops.watermarks add constraint no check (false) not valid")
    with pytest.raises(Exception, match="constraint"):
        warehouse.load("orders", mode=Mode.FULL)
    assert (warehouse.rows("orders"), warehouse.all("select * from ops.watermarks")) == before
    status, error = warehouse.all(
        "select status, error from ops.load_runs order by batch_id desc limit 1"
    )[0]
    assert status == "failed"
    assert "constraint" in error
    warehouse.conn.execute("alter table ops.watermarks drop constraint no")
    [result] = warehouse.load("orders", mode=Mode.FULL)
    assert result.counts.updated == 10


def test_load_runs_tells_what_the_result_tells(warehouse, shop):
    fill(shop, 10)
    warehouse.load("orders")
    shop.orders.delete_one({"_id": 1})
    results = warehouse.load("orders")
    told = warehouse.all(
        "select batch_id, mode, status, source_count, raw_count, read, inserted, updated, "
        "unchanged, deleted, quarantined, watermark_ts from ops.load_runs "
        "order by batch_id desc limit 2"
    )
    for result, row in zip(reversed(results), told, strict=True):
        counts = result.counts
        assert row[:11] == (
            *(result.batch_id, result.mode, "done", result.source_count, result.raw_count),
            *(counts.read, counts.inserted, counts.updated, counts.unchanged, counts.deleted),
            result.quarantined,
        )
        assert row[11] == NOON + 9 * MINUTE


# --- collections that are not there ---------------------------------------------------------------


def test_missing_collection_is_refused_and_those_there_are_named(warehouse, shop):
    fill(shop, 1)
    with pytest.raises(UserError, match="no collection oders; it has orders"):
        warehouse.load("oders")


def test_missing_database_is_refused(warehouse, shop):
    with pytest.raises(UserError, match="MongoDB has no database"):
        warehouse.load()


def test_dropped_collection_is_emptied_only_when_asked_for(warehouse, shop):
    fill(shop, 4)
    shop.reviews.insert_one({"_id": 1})
    warehouse.load()
    shop.orders.drop()
    assert {result.collection for result in warehouse.load()} == {"reviews"}
    assert len(warehouse.docs("orders")) == 4
    with pytest.raises(UserError, match="no collection orders"):
        warehouse.load("orders")
    [result] = warehouse.load("orders", mode=Mode.SWEEP)
    assert (result.counts.deleted, result.raw_count) == (4, 0)
    assert not warehouse.docs("orders")


def test_documents_of_files_are_not_replaced_by_a_mongodbs(warehouse, shop, tmp_path):
    file = tmp_path / "customers.csv"
    file.write_text("customer_id,email\n1,a@example.com\n")
    load_files(warehouse.settings, {"customers": [file]})
    before = warehouse.rows("users")
    shop.users.insert_one({"_id": 7})
    with pytest.raises(UserError, match="holds documents of files"):
        warehouse.load("users")
    with pytest.raises(UserError, match="holds documents of files"):
        follow.run(warehouse.settings, ["users"], until_idle=timedelta(seconds=1))
    assert warehouse.rows("users") == before
    warehouse.conn.execute("truncate raw.users")
    assert warehouse.load("users")[0].is_reconciled
    assert warehouse.equals(shop, "users")
