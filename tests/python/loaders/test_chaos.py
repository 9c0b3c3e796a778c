"""A loader killed at any point, and run again, ends where an undisturbed run would have ended.

The points are held open from outside: another session holds a lock that the loader needs there,
and lets it go when the loader is dead.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import pytest

from loaders.connections import open_postgres
from loaders.modes import Mode

pytestmark = [pytest.mark.servers, pytest.mark.slow]

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
PATIENCE = 30.0

LOADER = [sys.executable, "-c", "from loaders.cli import app; app()", "orders", "--mode"]

# where a loader waits for the other session's lock
BEFORE_THE_FIRST_ROW = "lock table raw.orders in access exclusive mode"
AT_THE_FIRST_CHANGED_ROW = "lock table raw.orders in share mode"
BEFORE_THE_STATE = "lock table ops.watermarks in share mode"
BEFORE_THE_RUN_IS_NOTED = "lock table ops.load_runs in share mode"

WAITING = (
    "select count(*) from pg_stat_activity where datname = current_database() "
    "and application_name = 'ledgerline loader' and wait_event_type = 'Lock'"
)


def fill(shop, count=3000):
    shop.orders.insert_many(
        {"_id": i, "n": i, "text": "x" * 200, "updated_at": NOON + timedelta(seconds=i)}
        for i in range(count)
    )


def change(shop):
    """New, changed, gone, odd: something for every statement of the loader."""
    late = {"updated_at": NOON + timedelta(hours=5)}
    shop.orders.update_many({"_id": {"$lt": 40}}, {"$set": {"x": 1} | late})
    shop.orders.delete_many({"_id": {"$gte": 40, "$lt": 60}})
    shop.orders.insert_many([{"_id": 10_000 + i, "nul": "\0"} | late for i in range(30)])


def wait_until(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "the loader never came to this point"
        time.sleep(0.01)


def start(mode):
    return subprocess.Popen(
        [*LOADER, mode], env=os.environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def kill(process):
    assert process.poll() is None, f"it ended by itself: {process.communicate()[0]}"
    process.send_signal(signal.SIGKILL)
    process.communicate()


def kill_at(warehouse, mode, lock):
    """Start a loader, wait until it stands before `lock`, kill it, give the lock back."""
    with open_postgres(warehouse.settings) as other:
        other.execute(lock)
        process = start(mode)
        wait_until(lambda: process.poll() is not None or warehouse.one(WAITING))
        kill(process)
        other.rollback()


def assert_nothing_is_left(warehouse):
    """No session, no lock, no temporary table, and the raw table with all of its indexes."""
    sessions = (
        "select count(*) from pg_stat_activity where datname = current_database() "
        "and application_name = 'ledgerline loader' and pid <> pg_backend_pid() "
        "and backend_type = 'client backend'"
    )
    wait_until(lambda: warehouse.one(sessions) == 0)
    assert warehouse.one("select count(*) from pg_locks where locktype = 'advisory'") == 0
    assert warehouse.one("select count(*) from pg_class where relname like 'ledgerline%%'") == 0
    indexes = "select count(*) from pg_indexes where schemaname = 'raw' and tablename = 'orders'"
    assert warehouse.one(indexes) == 3


@pytest.mark.parametrize("mode", ["full", "incremental", "sweep"])
@pytest.mark.parametrize(
    "lock",
    [BEFORE_THE_FIRST_ROW, AT_THE_FIRST_CHANGED_ROW, BEFORE_THE_STATE, BEFORE_THE_RUN_IS_NOTED],
)
def test_case_13_killed_update_and_rerun_ends_as_undisturbed(warehouse, shop, mode, lock):
    fill(shop)
    warehouse.load("orders")
    before = warehouse.state("orders"), warehouse.all("select * from ops.watermarks")
    change(shop)
    kill_at(warehouse, mode, lock)
    assert_nothing_is_left(warehouse)
    assert (warehouse.state("orders"), warehouse.all("select * from ops.watermarks")) == before
    assert warehouse.one("select count(*) from ops.altered_documents") == 0

    results = warehouse.load("orders", mode=Mode(mode))
    if mode == "incremental":  # which sees no deletion, disturbed or not
        assert results[-1].raw_count == 3030
        results = warehouse.load("orders", mode=Mode.SWEEP)
    assert results[-1].is_reconciled
    assert warehouse.equals(shop)
    assert warehouse.one("select count(*) from ops.altered_documents") == 30
    assert sum(deleted for _, _, deleted in warehouse.state("orders").values()) == 20


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_case_13_killed_first_load_and_rerun_ends_as_undisturbed(warehouse, shop, share):
    count = 12_000
    fill(shop, count)
    shop.reviews.insert_one({"_id": 1})
    warehouse.load("reviews")  # makes the schemas
    copied = (
        "select coalesce(max(tuples_processed), 0) from pg_stat_progress_copy "
        "where datname = current_database()"
    )
    with open_postgres(warehouse.settings) as other:
        other.execute(BEFORE_THE_STATE)  # it can't end before it is killed
        process = start("full")
        wait_until(
            lambda: (
                process.poll() is not None
                or warehouse.one(WAITING)
                or warehouse.one(copied) > share * count
            )
        )
        kill(process)
        other.rollback()
    assert_nothing_is_left(warehouse)
    assert warehouse.state("orders") == {}
    assert warehouse.one("select count(*) from ops.watermarks where collection = 'orders'") == 0
    [result] = warehouse.load("orders", mode=Mode.FULL)
    assert (result.counts.inserted, result.is_reconciled) == (count, True)
    assert warehouse.equals(shop)


def test_rerun_right_after_the_kill_waits_for_the_dead_loaders_lock(warehouse, shop):
    fill(shop)
    warehouse.load("orders")
    change(shop)
    kill_at(warehouse, "full", BEFORE_THE_STATE)
    *_, result = warehouse.load("orders")  # at once, whatever Postgres has noticed by now
    assert result.is_reconciled
    assert warehouse.equals(shop)


def test_connection_cut_by_postgres_is_made_anew_and_the_load_goes_on(warehouse, shop):
    fill(shop, 12_000)
    shop.reviews.insert_one({"_id": 1})
    warehouse.load("reviews")
    process = start("full")
    loader = (
        "select pid from pg_stat_activity where datname = current_database() "
        "and application_name = 'ledgerline loader' and query ilike 'copy%%'"
    )
    wait_until(lambda: process.poll() is not None or warehouse.all(loader))
    warehouse.one(f"select pg_terminate_backend(({loader}))")
    output = process.communicate()[0].decode()
    assert "trying again" in output
    assert process.returncode == 0, output
    assert_nothing_is_left(warehouse)
    assert warehouse.equals(shop)


def test_writer_at_work_during_a_full_load_is_caught_up(warehouse, shop):
    fill(shop, 8000)
    process = start("full")
    touched = 0
    while process.poll() is None:
        now = {"updated_at": datetime.now(UTC)}
        shop.orders.update_one({"_id": touched * 7 % 8000}, {"$set": {"x": touched, **now}})
        shop.orders.insert_one({"_id": 20_000 + touched, **now})
        shop.orders.delete_one({"_id": 7999 - touched})
        touched += 1
    assert process.returncode == 0, process.communicate()
    assert touched > 10
    *_, result = warehouse.load("orders")
    assert result.is_reconciled
    assert warehouse.equals(shop)
