"""A shop that lives on, built increment by increment, is the shop built from nothing."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pymongo
import pytest
from databases import drop_database
from dbt.cli.main import dbtRunner
from psycopg import sql
from shop import ledgerline

from loaders.settings import Settings

pytestmark = [
    pytest.mark.servers,
    pytest.mark.dbt,
    pytest.mark.slow,
    pytest.mark.timeout(1800),  # ten loads and builds
]

SCHEMAS = (
    "staging", "intermediate", "core", "finance", "customers", "products", "marketing",
    "operations", "reporting", "features", "quality",
)  # fmt: skip
# ten in `make proof`; two keep continuous integration short
TICKS = 10 if os.environ.get("PROOF") == "full" else 2
KINDS = [f"--resource-type={kind}" for kind in ("seed", "snapshot", "model")]


@pytest.fixture(scope="module")
def living(servers: Settings) -> Iterator[Settings]:
    """Settings with databases of this module."""
    name = f"living_{secrets.token_hex(4)}"
    settings = servers.model_copy(update={"postgres_db": name, "mongodb_database": name})
    with psycopg.connect(**servers.postgres("postgres"), autocommit=True) as admin:
        admin.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
    yield settings
    drop_database(servers, name)
    with pymongo.MongoClient(servers.mongodb()) as client:
        client.drop_database(name)


def contents(settings: Settings) -> dict[str, tuple[int, str]]:
    """{schema.table: (rows, hash of all rows)} of what dbt built."""
    with psycopg.connect(**settings.postgres()) as connection:
        tables = connection.execute(
            "select schemaname, tablename from pg_tables where schemaname = any(%s) order by 1, 2",
            [list(SCHEMAS)],
        ).fetchall()
        found = {}
        for schema, table in tables:
            statement = sql.SQL(
                "select count(*), coalesce(md5(string_agg(row, '|' order by row)), '')"
                " from (select t::text as row from {} as t) as rows"
            ).format(sql.Identifier(schema, table))
            found[f"{schema}.{table}"] = connection.execute(statement).fetchone()
    return found


@pytest.fixture(scope="module")
def build(
    living: Settings, dbt_environment: Callable[[str], list[str]]
) -> Iterator[Callable[..., None]]:
    """dbt build in this process, parsed once: half the time of a process of its own."""
    options = dbt_environment("living")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POSTGRES_DB", living.postgres_db)
        parsed = dbtRunner().invoke(["parse", *options])
        assert parsed.success, parsed.exception

        def invoke(*arguments: str) -> None:
            runner = dbtRunner(manifest=parsed.result)
            done = runner.invoke(["build", *KINDS, *arguments, *options])
            assert done.success, done.exception or [
                result.message for result in done.result if result.status == "error"
            ]

        yield invoke


def _place_without_a_date(settings: Settings) -> None:
    """An order as one is there, of which nobody wrote down when."""
    with pymongo.MongoClient(settings.mongodb()) as client:
        orders = client[settings.mongodb_database]["orders"]
        order = orders.find_one({"status": "delivered"}, sort=[("_id", 1)])
        assert order is not None
        for name in ("_id", "placed_at", "created_at", "updated_at"):
            order.pop(name, None)
        orders.insert_one(order | {"order_no": "undated", "payments": [], "refunds": []})


@pytest.fixture(scope="module")
def folder(living: Settings, build: Callable[..., None]) -> Path:
    """The shop after ten ticks, each loaded and built as an increment; the store's folder."""
    out = living.home / "living"
    ledgerline(living, "store", "generate", "--profile", "xs", "--seed", "7", "--out", str(out))
    ledgerline(living, "load")
    build()
    _place_without_a_date(living)
    for _ in range(TICKS):
        ledgerline(living, "store", "tick", "--days", "3", "--out", str(out))
        ledgerline(living, "load", "--mode", "sweep")
        build()
    return out / "xs-7"


def test_increments_end_where_a_full_build_ends(
    living: Settings, folder: Path, build: Callable[..., None]
) -> None:
    """After late updates, refunds, deletions and merges of customers: every table, row by row."""
    increments = contents(living)
    assert len(increments) > 120
    build("--full-refresh")
    full = contents(living)
    assert {name: (increments.get(name), full[name]) for name in full
            if increments.get(name) != full[name]} == {}  # fmt: skip
    assert increments.keys() == full.keys()


def test_a_second_build_changes_nothing(
    living: Settings, folder: Path, build: Callable[..., None]
) -> None:
    before = contents(living)
    build()
    assert contents(living) == before


def test_an_order_without_any_date_stands_aside(living: Settings, folder: Path) -> None:
    with psycopg.connect(**living.postgres()) as connection:
        found = connection.execute(
            "select exclusion_reason, is_money_countable, count(*) from core.fct_orders"
            " where order_no = 'undated' group by 1, 2"
        ).fetchall()
        entries = connection.execute(
            "select count(*), count(*) filter (where entries.is_countable)"
            " from finance.fct_sales_ledger as entries join core.fct_orders using (order_id)"
            " where order_no = 'undated'"
        ).fetchone()
    assert found == [("no_date", False, 1)]
    assert entries is not None
    assert entries[0] > 0
    assert entries[1] == 0


def test_flaw_01_late_updates_change_the_marts_by_what_they_say(
    living: Settings, folder: Path
) -> None:
    """The truth before plus what each tick adds; deleted orders keep facts, leave the metrics."""
    names = ("gross_sales", "discounts", "returns", "shipping", "tax", "cogs", "refund_adjustments")
    base = json.loads((folder / "truth" / "totals.json").read_text())
    expected = {name: Decimal(base[name]) for name in names}
    orders = base["orders"]
    deleted: list[str] = []
    for path in sorted(folder.glob("ticks/*/truth.json")):
        tick = json.loads(path.read_text())
        for row in tick["money_added"]:
            orders += row["orders"]
            for name in names:
                expected[name] += Decimal(row[name])
        for row in tick["deleted_orders"]:
            deleted.append(row["order_id"])
    assert len(list(folder.glob("ticks/*/truth.json"))) == TICKS
    assert deleted
    with psycopg.connect(**living.postgres()) as connection:
        facts: dict[str, Any] = dict(
            zip(
                names,
                connection.execute(
                    "select sum(gross_sales_amount), sum(discount_amount), sum(returns_amount),"
                    " sum(shipping_amount), sum(tax_amount), sum(cogs_amount),"
                    " -sum(adjustment_amount) from core.fct_orders"
                    " where is_money_countable or exclusion_reason = 'deleted'"
                ).fetchone()
                or (),
                strict=True,
            )
        )
        kept = connection.execute(
            "select order_id, is_deleted, exclusion_reason, is_money_countable"
            " from core.fct_orders where order_id = any(%s)",
            [deleted],
        ).fetchall()
        merged = connection.execute(
            "select count(*) from staging.stg_shop__users where merged_into_user_id is not null"
            " and _loaded_at > (select min(_loaded_at) + interval '1 second' from raw.users)"
        ).fetchone()
        countable = connection.execute(
            "select count(*) from core.fct_orders where is_countable"
        ).fetchone()
        in_metrics = connection.execute(
            "select coalesce(sum(abs(amount)), 0) from finance.fct_sales_ledger"
            " where is_countable and order_id = any(%s)",
            [deleted],
        ).fetchone()
    # the facts of deleted orders are kept, flagged, and in no metric
    assert {row[0] for row in kept} == set(deleted)
    assert {row[1:] for row in kept} == {(True, "deleted", False)}
    assert in_metrics == (0,)
    assert facts == expected
    assert merged is not None
    assert merged[0] > 0
    assert countable == (orders - len(deleted),)
