"""The reconciliation catches a mart that was broken on purpose, whichever way."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from dbt.cli.main import dbtRunner
from psycopg import sql
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from loaders.settings import Settings

pytestmark = [pytest.mark.servers, pytest.mark.dbt, pytest.mark.slow]

PROOF = ("build", "--select", "recon_money", "recon_collections")
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
    """A database made anew from the built warehouse for each test, always of one name.

    dbt's parsed manifest names its database, so one name saves a parse a test.
    """

    warehouse: Settings
    name: str
    build: Callable[[], Any]

    def renew(self) -> None:
        """Drop it and copy the warehouse again."""
        self.drop()
        name, template = sql.Identifier(self.name), sql.Identifier(self.warehouse.postgres_db)
        with psycopg.connect(**self.warehouse.postgres("postgres"), autocommit=True) as admin:
            admin.execute(sql.SQL("create database {} template {}").format(name, template))

    @retry(
        retry=retry_if_exception_type(psycopg.errors.InsufficientPrivilege),
        stop=stop_after_delay(30),
        wait=wait_fixed(0.2),
    )
    def drop(self) -> None:
        """Drop it; an autovacuum worker in it can't be ended by us, only waited for."""
        statement = sql.SQL("drop database if exists {} with (force)")
        with psycopg.connect(**self.warehouse.postgres("postgres"), autocommit=True) as admin:
            admin.execute(statement.format(sql.Identifier(self.name)))

    def execute(self, statement: str) -> psycopg.Cursor[Any]:
        """Run one statement in it."""
        with psycopg.connect(**self.warehouse.postgres(self.name), autocommit=True) as connection:
            return connection.execute(statement)


@pytest.fixture(scope="module")
def proof(warehouse: Settings, dbt_environment: Callable[[str], list[str]]) -> Iterator[Copy]:
    """The copy, with dbt parsed for it."""
    name = f"copy_{secrets.token_hex(6)}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POSTGRES_DB", name)
        options = dbt_environment(name)
        parsed = dbtRunner().invoke(["parse", *options])
        assert parsed.success, parsed.exception
        runner = dbtRunner(manifest=parsed.result)
        made = Copy(warehouse, name, lambda: runner.invoke([*PROOF, *options]))
        yield made
    made.drop()


@pytest.fixture
def copy(proof: Copy) -> Copy:
    """A fresh copy of the warehouse that may be broken."""
    proof.renew()
    return proof


def test_a_sound_warehouse_is_reconciled(copy: Copy) -> None:
    result = copy.build()
    assert result.success, result.exception
    assert copy.execute(
        "select count(*) > 5000, bool_and(is_reconciled) from quality.recon_money"
    ).fetchone() == (True, True)


@pytest.mark.parametrize("how", BREAKS)
def test_a_broken_warehouse_is_caught(copy: Copy, how: str) -> None:
    assert copy.execute(BREAKS[how]).rowcount == 1
    result = copy.build()
    assert not result.success
    failed = {entry.node.name for entry in result.result if entry.status == "fail"}
    assert any(name.startswith("expression_is_true_recon_") for name in failed), result.exception
