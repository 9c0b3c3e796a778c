"""The proof catches a mart that was broken on purpose, whichever way."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from databases import drop_database
from dbt.cli.main import dbtRunner
from psycopg import sql

from loaders.settings import Settings

pytestmark = [pytest.mark.servers, pytest.mark.dbt, pytest.mark.slow]

MODELS = ("recon_collections", "recon_money")
LARGE_SALE = (
    "(select entry_id from finance.fct_sales_ledger where entry_type = 'sale' and is_countable"
    " order by amount desc, entry_id limit 1)"
)

BREAKS = {
    "a ledger entry is lost": f"delete from finance.fct_sales_ledger where entry_id = {LARGE_SALE}",
    "a sign is flipped": (
        "update finance.fct_sales_ledger set amount = -amount where entry_id ="
        " (select min(entry_id) from finance.fct_sales_ledger where entry_type = 'return')"
    ),
    "an entry stands twice": (
        "insert into finance.fct_sales_ledger select (jsonb_populate_record(ledger,"
        ' \'{"entry_id": "copy"}\')).* from finance.fct_sales_ledger as ledger'
        f" where entry_id = {LARGE_SALE}"
    ),
    "a cent is lost in the ledger": (
        "update finance.fct_sales_ledger set amount = amount - 0.01"
        " where entry_id = (select min(entry_id) from finance.fct_sales_ledger"
        " where entry_type = 'tax' and is_countable)"
    ),
    "an order line is lost in the facts": (
        "delete from core.fct_order_items where order_item_key ="
        " (select min(order_item_key) from core.fct_order_items where is_countable)"
    ),
    "an order is lost": (
        "delete from core.fct_orders where order_id ="
        " (select min(order_id) from core.fct_orders where is_countable)"
    ),
    "a line is priced wrongly": (
        "update core.fct_order_items set gross_sales_amount = gross_sales_amount + 1"
        " where order_item_key ="
        " (select min(order_item_key) from core.fct_order_items where is_countable)"
    ),
    "a day of the roll-up is off": (
        "update reporting.agg_daily_metrics set shipping_amount = shipping_amount + 0.01"
        " where (store_id, metric_date) = (select store_id, metric_date"
        " from reporting.agg_daily_metrics where orders > 0 order by 1, 2 limit 1)"
    ),
    "a day of the roll-up is lost": (
        "delete from reporting.agg_daily_metrics where (store_id, metric_date) ="
        " (select store_id, metric_date from reporting.agg_daily_metrics where orders > 0"
        " order by 1, 2 limit 1)"
    ),
    "a refund is filed under another day": (
        "update finance.fct_sales_ledger set event_date = event_date + 1 where entry_id ="
        " (select min(entry_id) from finance.fct_sales_ledger where entry_type = 'return')"
    ),
    "a document is lost before staging": (
        "delete from staging.stg_shop__users where user_id ="
        " (select min(user_id) from staging.stg_shop__users)"
    ),
    "a document is lost after the load": (
        "delete from raw.reviews where _id = (select min(_id) from raw.reviews)"
    ),
}

# mart -> (key, amount, day, a condition on the row that is broken)
MARTS = {
    "core.fct_orders": ("order_id", "gross_sales_amount", "order_date", "is_countable"),
    "core.fct_order_items": ("order_item_key", "gross_sales_amount", "order_date", "is_countable"),
    "core.fct_refunds": ("refund_key", "goods_amount", "refund_date", "is_countable"),
    "core.fct_refund_lines": ("refund_line_key", "goods_amount", "refund_date", "is_countable"),
    "core.fct_payments": ("payment_key", "presentment_amount", "payment_date", "is_countable"),
    "finance.fct_sales_ledger": ("entry_id", "amount", "event_date", "is_countable"),
    "reporting.agg_daily_metrics": ("store_id", "net_sales_amount", "metric_date", "orders > 0"),
}
WAYS = {
    "a row is dropped": "delete from {mart} where {row}",
    "a sign is flipped": "update {mart} set {amount} = -{amount} where {row}",
    "a row stands twice": (
        'insert into {mart} select (jsonb_populate_record(t, \'{{"{key}": "copy"}}\')).*'
        " from {mart} as t where {row}"
    ),
    "a cent is off": "update {mart} set {amount} = {amount} + 0.01 where {row}",
    "the day is wrong": "update {mart} set {day} = {day} + {days} where {row}",
}


@dataclass
class Copy:
    """A copy of the built warehouse that may be broken."""

    settings: Settings
    recon: dict[str, str]
    """SQL of each reconciliation model, as dbt compiles it."""
    tests: dict[str, tuple[frozenset[str], str]]
    """Data test -> (the relations that it reads, its SQL)."""
    build: Callable[[], Any]
    log: Callable[..., Any]
    """Builds the restatement log."""

    def unreconciled(self, connection: psycopg.Connection[Any]) -> dict[str, int]:
        """Rows per reconciliation model that do not hold, as this connection sees the data."""
        return {
            name: connection.execute(
                f"select count(*) from ({statement}) as recon where not is_reconciled"
            ).fetchone()[0]
            for name, statement in self.recon.items()
        }

    def is_seen(self, connection: psycopg.Connection[Any], mart: str) -> bool:
        """Whether a test that reads the mart fails, or the reconciliation does."""
        return any(
            connection.execute(f"select exists ({statement})").fetchone() == (True,)
            for relations, statement in self.tests.values()
            if mart in relations
        ) or any(self.unreconciled(connection).values())


@pytest.fixture(scope="module")
def copy(warehouse: Settings, dbt_environment: Callable[[str], list[str]]) -> Iterator[Copy]:
    """One copy for the module: whoever breaks it rolls back, but for the last test."""
    settings = warehouse.model_copy(update={"postgres_db": f"copy_{secrets.token_hex(6)}"})
    with psycopg.connect(**warehouse.postgres("postgres"), autocommit=True) as admin:
        admin.execute(
            sql.SQL("create database {} template {}").format(
                sql.Identifier(settings.postgres_db), sql.Identifier(warehouse.postgres_db)
            )
        )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POSTGRES_DB", settings.postgres_db)
        options = dbt_environment(settings.postgres_db)
        marts = [mart.split(".")[1] for mart in MARTS]
        compiled = dbtRunner().invoke(["compile", "--select", *MODELS, *marts, *options])
        assert compiled.success, compiled.exception
        nodes = {entry.node.unique_id: entry.node for entry in compiled.result}
        tests = {
            node.name: (
                frozenset(
                    f"{nodes[parent].schema}.{nodes[parent].name}"
                    for parent in node.depends_on.nodes
                    if parent in nodes
                ),
                node.compiled_code,
            )
            for node in nodes.values()
            if node.resource_type == "test"
        }
        recon = {
            entry.node.name: entry.node.compiled_code
            for entry in compiled.result
            if entry.node.name in MODELS
        }
        runner = dbtRunner()
        restatements = ["daily_metrics_history", "restatements"]
        yield Copy(
            settings,
            recon,
            tests,
            # what was changed by hand no model has logged
            lambda: runner.invoke(["build", "--select", *MODELS, "--full-refresh", *options]),
            lambda *more: runner.invoke(["build", "--select", *restatements, *more, *options]),
        )
    drop_database(settings, settings.postgres_db)


def test_a_sound_warehouse_is_reconciled(copy: Copy) -> None:
    with psycopg.connect(**copy.settings.postgres()) as connection:
        assert copy.unreconciled(connection) == dict.fromkeys(MODELS, 0)
        rows = connection.execute("select count(*) from quality.recon_money").fetchone()
    assert rows is not None
    assert rows[0] > 5_000


@pytest.mark.parametrize("how", BREAKS)
def test_a_broken_warehouse_is_seen(copy: Copy, how: str) -> None:
    with psycopg.connect(**copy.settings.postgres()) as connection:
        assert connection.execute(BREAKS[how]).rowcount == 1
        assert sum(copy.unreconciled(connection).values()) > 0
        connection.rollback()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("mart", MARTS)
def test_a_broken_mart_is_seen(copy: Copy, mart: str, way: str) -> None:
    """One break at a time: some test over the mart, or the reconciliation, finds it."""
    key, amount, day, condition = MARTS[mart]
    with psycopg.connect(**copy.settings.postgres()) as connection:
        [chosen] = connection.execute(
            f"select ctid::text from {mart} where {condition} and {amount} <> 0"
            f" and {day} is not null order by {key}, {day} limit 1"
        ).fetchone() or [None]
        broken = WAYS[way].format(
            mart=mart,
            key=key,
            amount=amount,
            day=day,
            # in a roll-up the next day is there already
            days=10_000 if ".agg_" in mart else 1,
            row=f"ctid = '{chosen}'::tid",
        )
        assert connection.execute(broken).rowcount == 1
        assert copy.is_seen(connection, mart)
        connection.rollback()


def test_a_sound_mart_fails_no_test(copy: Copy) -> None:
    """Or else what is seen above would be the tests' own."""
    with psycopg.connect(**copy.settings.postgres()) as connection:
        failing = [
            name
            for name, (_, statement) in copy.tests.items()
            if connection.execute(f"select exists ({statement})").fetchone() == (True,)
        ]
    assert len(copy.tests) > 60
    assert failing == []


def test_a_closed_day_that_moves_is_logged(copy: Copy) -> None:
    """Which day, by how much, why; once, and --full-refresh forgets nothing."""
    query = (
        "select store_id, metric_date, measure, reason, change_value, late_orders"
        " from quality.restatements order by measure"
    )
    with psycopg.connect(**copy.settings.postgres(), autocommit=True) as connection:
        before = connection.execute(query).fetchall()
        [store, day] = connection.execute(
            "select store_id, order_date from core.fct_orders where is_countable"
            " order by order_date, order_id limit 1"
        ).fetchone() or [None, None]
        connection.execute(
            "update reporting.agg_daily_metrics set net_sales_amount = net_sales_amount + 12.5,"
            " orders = orders + 1 where store_id = %s and metric_date = %s",
            [store, day],
        )
        [late] = connection.execute(
            "update staging.stg_shop__orders set _loaded_at = clock_timestamp() where order_id ="
            " any(select order_id from core.fct_orders where store_id = %s and order_date = %s)"
            " returning (select count(*) from core.fct_orders where store_id = %s"
            " and order_date = %s)",
            [store, day, store, day],
        ).fetchone() or [None]
        for more in ([], ["--full-refresh"], []):
            assert copy.log(*more).success
            added = [row for row in connection.execute(query).fetchall() if row not in before]
            assert added == [
                (store, day, "net_sales_amount", "late_orders", Decimal("12.5"), late),
                (store, day, "orders", "late_orders", Decimal(1), late),
            ]
        connection.execute(
            "update reporting.agg_daily_metrics set net_sales_amount = net_sales_amount - 12.5,"
            " orders = orders - 1 where store_id = %s and metric_date = %s",
            [store, day],
        )


def test_a_build_fails_on_a_broken_warehouse(copy: Copy) -> None:
    assert copy.build().success
    with psycopg.connect(**copy.settings.postgres()) as connection:
        connection.execute(BREAKS["a sign is flipped"])
    result = copy.build()
    assert not result.success
    failed = [entry.node.name for entry in result.result if entry.status == "fail"]
    assert failed == ["expression_is_true_recon_money_is_reconciled"], result.exception
