"""The whole chain on the tiny shop, against real servers: `ledgerline demo` and `refresh`."""

import io
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
import psycopg
import pytest
from psycopg import sql
from rich.console import Console

from loaders.connections import open_postgres
from loaders.settings import ROOT, Settings
from ml import jobs
from orchestration import automation, datasets, page, refresh

pytestmark = [pytest.mark.servers, pytest.mark.dbt, pytest.mark.slow]

# what a reader sees; staging and raw carry the time of their load
SHOWN = ("core", "finance", "customers", "products", "marketing", "operations", "reporting")
SHOWN += ("features", "predictions", "quality", "ml", "snapshots")
# when a run looked, not what it found
CLOCKS = ("confirmed_at", "source_counted_at")


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "orchestration.cli", *arguments]


def environment(settings: Settings) -> dict[str, str]:
    names = {
        "POSTGRES_DB": settings.postgres_db,
        "MONGODB_DATABASE": settings.mongodb_database,
        "DBT_TARGET_PATH": str(settings.home / "target" / settings.postgres_db),
        "COLUMNS": "160",
    }
    return {**os.environ, **names}


def run(*arguments: str, settings: Settings) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments),
        cwd=ROOT,
        env=environment(settings),
        capture_output=True,
        text=True,
        timeout=500,
    )


def contents(settings: Settings) -> dict[str, str]:
    """{schema.table: hash of its rows} of all that a reader sees."""
    with open_postgres(settings) as conn:
        tables = conn.execute(
            "select table_schema, table_name from information_schema.tables"
            " where table_schema = any(%s) order by 1, 2",
            [list(SHOWN)],
        ).fetchall()
        hashes = {}
        for schema, table in tables:
            query = sql.SQL(
                "select count(*) || ' ' || coalesce(md5(string_agg(r, '' order by r)), '')"
                " from (select (to_jsonb(t) - %s::text[])::text as r from {} as t) as x"
            ).format(sql.Identifier(schema, table))
            hashes[f"{schema}.{table}"] = conn.execute(query, [list(CLOCKS)]).fetchone()[0]
    return hashes


def test_the_page_shows_what_the_marts_say(warehouse: Settings) -> None:
    console = Console(width=160, record=True, file=io.StringIO())
    page.show(console, warehouse, datasets.DATASETS["xs"])
    shown = console.export_text()
    with open_postgres(warehouse) as conn:
        kpis = conn.execute(
            "select total_sales_amount, net_sales_amount, orders, customers, currency,"
            " average_order_value, orders_last_month from reporting.agg_headline_kpis"
        ).fetchone()
        revenue = conn.execute(
            "select sum(total_sales_amount) from reporting.agg_daily_metrics where is_complete"
        ).fetchone()[0]
        collections = conn.execute(
            "select collection, is_reconciled from quality.recon_collections"
        ).fetchall()
    assert kpis[0] == revenue
    for amount in (kpis[0], kpis[1], kpis[5]):
        assert f"{amount:,.2f} {kpis[4]}" in shown
    for label, number in (("orders", kpis[2]), ("customers", kpis[3]), ("orders last", kpis[6])):
        assert re.search(rf"{label}.* {number:,}\b", shown), label
    for collection, is_reconciled in collections:
        assert re.search(rf"{'✓' if is_reconciled else '✗'} {collection}\b", shown)
    assert str(warehouse.sandbox_postgres_port) in shown
    assert warehouse.postgres()["password"] not in shown


def test_one_asset_alone_can_be_materialised(
    warehouse: Settings, home_of_dagster: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the UI does for a selection: that model, its tests, and nothing else."""
    for name, value in environment(warehouse).items():
        monkeypatch.setenv(name, value)
    from orchestration.definitions import defs

    with dg.DagsterInstance.get() as instance:
        result = (
            defs()
            .resolve_job_def("refresh")
            .execute_in_process(
                instance=instance, asset_selection=[dg.AssetKey(["core", "fct_orders"])]
            )
        )
    made = result.get_asset_materialization_events()
    assert [event.asset_key.path for event in made] == [["core", "fct_orders"]]
    assert result.get_asset_check_evaluations()


def test_runs_are_kept_with_rows_and_seconds(warehouse: Settings, home_of_dagster: None) -> None:
    from orchestration import project

    with dg.DagsterInstance.get() as instance:
        for key, measure in (
            (dg.AssetKey(["raw", "orders"]), "source_count"),
            (project.model("dim_date"), "dagster/row_count"),
            (dg.AssetKey(["ml", "forecasts"]), "dagster/row_count"),
        ):
            event = instance.get_latest_materialization_event(key)
            assert event is not None, key
            metadata = event.asset_materialization.metadata
            assert metadata[measure].value > 0, key
            assert metadata["seconds"].value >= 0, key


@pytest.fixture
def home_of_dagster(warehouse: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(warehouse.home / "dagster"))


@contextmanager
def lost_review(warehouse: Settings) -> Iterator[None]:
    """A review that staging has lost: a later refresh has no reason to read it again."""
    with open_postgres(warehouse, autocommit=True) as conn:
        conn.execute(
            "create table public.lost as select * from staging.stg_shop__reviews"
            " order by review_id limit 1"
        )
        lost = (
            "delete from staging.stg_shop__reviews where review_id in (select review_id from lost)"
        )
        conn.execute(lost)
        yield
        conn.execute(lost)
        conn.execute("insert into staging.stg_shop__reviews select * from public.lost")
        conn.execute("drop table public.lost")


def test_a_refresh_that_does_not_reconcile_fails_and_the_next_ends_where_the_first_did(
    warehouse: Settings,
) -> None:
    """The next one finds nothing new in the shop, and changes no row of any mart or score."""
    from orchestration.defs.publish.reconciliation import broken_rows

    before = contents(warehouse)
    assert len(before) > 30
    with lost_review(warehouse):
        done = run("refresh", settings=warehouse)
        assert done.returncode == 2
        assert "Traceback" not in done.stdout + done.stderr
        [line] = done.stderr.strip().splitlines()
        assert re.match(r"error: refresh stopped at warehouse: dbt: test \w*recon_", line)
        assert "ledgerline.log" in line
        assert "score churn" not in done.stdout, "models learned from numbers that don't reconcile"
        with open_postgres(warehouse) as conn:
            key = dg.AssetKey(["quality", "recon_collections"])
            [reviews], total = broken_rows(conn, key)
        assert reviews["collection"] == "reviews"
        assert reviews["staging_count"] == reviews["raw_count"] - 1
        assert total > 5
    done = run("refresh", settings=warehouse)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 changed" in done.stdout
    assert contents(warehouse) == before


def test_a_failing_model_leaves_its_scores_and_the_other_models(
    warehouse: Settings, home_of_dagster: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment(warehouse).items():
        monkeypatch.setenv(name, value)
    from orchestration.definitions import defs

    broken = [dg.AssetKey(["ml", table]) for table in jobs.TASKS["segments"].writes]
    sound = [dg.AssetKey(["ml", table]) for table in jobs.TASKS["anomalies"].writes]
    runs = "select task, scored_at from ml.runs where task in ('segments', 'anomalies')"
    rows = "select md5(string_agg(t::text, '' order by t::text)) from ml.customer_segments as t"
    with open_postgres(warehouse, autocommit=True) as conn:
        before = conn.execute(rows).fetchone()
        known = dict(conn.execute(runs).fetchall())
        conn.execute(
            "create function ml.fail() returns trigger language plpgsql"
            " as $$ begin raise 'the disk is full'; end $$"
        )
        conn.execute(
            "create trigger fail before insert on ml.customer_segments"
            " for each row execute function ml.fail()"
        )
        try:
            with dg.DagsterInstance.get() as instance:
                result = (
                    defs()
                    .resolve_job_def("refresh")
                    .execute_in_process(
                        instance=instance,
                        asset_selection=[*broken, *sound],
                        tags={automation.RETRAIN: "by hand"},
                    )
                )
        finally:
            conn.execute("drop function ml.fail cascade")
        scored = dict(conn.execute(runs).fetchall())
        assert conn.execute(rows).fetchone() == before
    assert result.success
    [reason] = refresh._failed_tasks(result)
    assert reason.startswith("segments (the disk is full")
    assert scored["segments"] == known["segments"]
    assert scored["anomalies"] > known["anomalies"]


def test_two_refreshes_at_once_do_not_mix(warehouse: Settings) -> None:
    from orchestration.dbt import sole_builder

    with sole_builder(warehouse):
        done = run("refresh", settings=warehouse)
    assert done.returncode == 2
    assert "another refresh" in done.stderr


def test_a_killed_refresh_goes_on_to_the_same_end(warehouse: Settings) -> None:
    before = contents(warehouse)
    with open_postgres(warehouse, autocommit=True) as conn:
        # everything above raw is to be built again, so that the kill meets it half built
        for schema in {*SHOWN, "staging", "intermediate"} - {"ml", "snapshots"}:
            conn.execute(sql.SQL("drop schema if exists {} cascade").format(sql.Identifier(schema)))
        process = subprocess.Popen(
            command("refresh"),
            cwd=ROOT,
            env=environment(warehouse),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        half_way = "select to_regclass('core.dim_date') is not null"
        while process.poll() is None and not conn.execute(half_way).fetchone()[0]:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, "it was done before it was killed"
        assert not conn.execute("select to_regclass('reporting.agg_headline_kpis')").fetchone()[0]
    done = run("refresh", settings=warehouse)
    assert done.returncode == 0, done.stdout + done.stderr
    assert contents(warehouse) == before


def test_a_killed_run_does_not_block_the_ui(warehouse: Settings, home_of_dagster: None) -> None:
    with dg.DagsterInstance.get() as instance:
        dead = subprocess.Popen(["true"])
        dead.wait()
        run_id = instance.create_run_for_job(
            dg.JobDefinition(name="refresh", graph_def=dg.GraphDefinition(name="refresh")),
            status=dg.DagsterRunStatus.STARTED,
            tags={
                refresh._PID: str(dead.pid),
                refresh._HOST: os.uname().nodename,
            },
        ).run_id
        refresh.close_dead_runs(instance)
        assert instance.get_run_by_id(run_id).status is dg.DagsterRunStatus.FAILURE


def test_readers_may_connect_with_any_client(warehouse: Settings) -> None:
    with psycopg.connect(**warehouse.postgres()) as conn:
        assert conn.execute("select count(*) from core.fct_orders").fetchone()[0] > 0
