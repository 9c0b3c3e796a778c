"""The reconciliation catches a mart that was broken on purpose, whichever way."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
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


@dataclass
class Copy:
    """A copy of the built warehouse that may be broken."""

    settings: Settings
    recon: dict[str, str]
    """SQL of each reconciliation model, as dbt compiles it."""
    build: Callable[[], Any]

    def unreconciled(self, connection: psycopg.Connection[Any]) -> dict[str, int]:
        """Rows per reconciliation model that do not hold, as this connection sees the data."""
        return {
            name: connection.execute(
                f"select count(*) from ({statement}) as recon where not is_reconciled"
            ).fetchone()[0]
            for name, statement in self.recon.items()
        }


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
        compiled = dbtRunner().invoke(["compile", "--select", *MODELS, *options])
        assert compiled.success, compiled.exception
        recon = {
            entry.node.name: entry.node.compiled_code
            for entry in compiled.result
            if entry.node.name in MODELS
        }
        runner = dbtRunner()
        yield Copy(settings, recon, lambda: runner.invoke(["build", "--select", *MODELS, *options]))
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


def test_a_build_fails_on_a_broken_warehouse(copy: Copy) -> None:
    assert copy.build().success
    with psycopg.connect(**copy.settings.postgres()) as connection:
        connection.execute(BREAKS["a sign is flipped"])
    result = copy.build()
    assert not result.success
    failed = [entry.node.name for entry in result.result if entry.status == "fail"]
    assert failed == ["expression_is_true_recon_money_is_reconciled"], result.exception
