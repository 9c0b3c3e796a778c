"""Two weeks of the real Online Retail II files in the marts, against sums taken from the files."""

from __future__ import annotations

import os
import secrets
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pymongo
import pytest
from databases import drop_database
from psycopg import sql
from shop import ledgerline

from loaders.settings import Settings

DATA = Path(
    os.environ.get("LEDGERLINE_DATA", Path(__file__).resolve().parents[4] / "shared" / "data")
)
FILES = [DATA / f"online_retail_ii_{years}.parquet" for years in ("2009_2010", "2010_2011")]
# both files hold 1 to 9 December 2010, so an import that counts the overlap twice is seen
FIRST, LAST = datetime(2010, 11, 30), datetime(2010, 12, 13)  # noqa: DTZ001 - local, as in the file

pytestmark = [
    pytest.mark.servers,
    pytest.mark.dbt,
    pytest.mark.slow,
    pytest.mark.skipif(
        not all(path.exists() for path in FILES),
        reason="the Online Retail II files are not there: set LEDGERLINE_DATA to their folder",
    ),
]


@pytest.fixture(scope="module")
def weeks() -> list[pa.Table]:
    """The two weeks, from each file."""
    tables = [pq.read_table(path) for path in FILES]
    return [
        table.filter(
            pc.and_(
                pc.greater_equal(table["InvoiceDate"], pa.scalar(FIRST)),
                pc.less(table["InvoiceDate"], pa.scalar(LAST)),
            )
        )
        for table in tables
    ]


@pytest.fixture(scope="module")
def lines(weeks: list[pa.Table]) -> list[dict[str, Any]]:
    """Every line once: an invoice that stands in both files is taken from the second."""
    second = set(weeks[1]["Invoice"].to_pylist())
    first = [row for row in weeks[0].to_pylist() if row["Invoice"] not in second]
    assert len(first) < weeks[0].num_rows
    return first + weeks[1].to_pylist()


@pytest.fixture(scope="module")
def warehouse(
    servers: Settings, weeks: list[pa.Table], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[psycopg.Connection[Any]]:
    """The two weeks imported, loaded and built, in databases of this module."""
    name = f"retail_{secrets.token_hex(4)}"
    settings = servers.model_copy(update={"postgres_db": name, "mongodb_database": name})
    folder = tmp_path_factory.mktemp("retail")
    paths = []
    for source, table in zip(FILES, weeks, strict=True):
        paths.append(folder / source.name)
        pq.write_table(table, paths[-1])
    with psycopg.connect(**servers.postgres("postgres"), autocommit=True) as admin:
        admin.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        ledgerline(settings, "online-retail", *map(str, paths))
        ledgerline(settings, "load")
        ledgerline(settings, "dbt", "build", "--exclude-resource-type", "unit_test")
        with psycopg.connect(**settings.postgres()) as connection:
            yield connection
    drop_database(servers, name)
    with pymongo.MongoClient(servers.mongodb()) as client:
        client.drop_database(name)


def amount(row: dict[str, Any]) -> Decimal:
    return row["Quantity"] * Decimal(str(row["Price"]))


def test_every_invoice_is_found_again_line_by_line(
    warehouse: psycopg.Connection[Any], lines: list[dict[str, Any]]
) -> None:
    expected: dict[str, list[Any]] = defaultdict(lambda: [0, 0, Decimal(0)])
    for row in lines:
        invoice = expected[row["Invoice"]]
        invoice[0] += 1
        invoice[1] += row["Quantity"]
        invoice[2] += amount(row)
    found = {
        invoice: list(values)
        for invoice, *values in warehouse.execute(
            "select source_document_no, count(*), sum(quantity), sum(amount)"
            " from finance.fct_sales_ledger where is_source_line group by 1"
        )
    }
    assert len(found) > 1_000
    assert found == expected


def test_what_is_not_merchandise_is_told_apart_and_not_dropped(
    warehouse: psycopg.Connection[Any], lines: list[dict[str, Any]]
) -> None:
    by_kind = dict(
        warehouse.execute(
            "select line_kind, sum(amount) from finance.fct_sales_ledger"
            " where is_source_line group by 1"
        ).fetchall()
    )
    postage = sum(amount(row) for row in lines if row["StockCode"] in ("POST", "DOT", "C2"))
    assert by_kind["shipping"] == postage
    assert by_kind["manual"] == sum(amount(row) for row in lines if row["StockCode"] in "Mm")
    assert by_kind["fee"] == sum(
        amount(row) for row in lines if row["StockCode"] in ("BANK CHARGES", "AMAZONFEE")
    )
    assert sum(by_kind.values()) == sum(map(amount, lines))


def test_sales_returns_and_customers(
    warehouse: psycopg.Connection[Any], lines: list[dict[str, Any]]
) -> None:
    """Goods sold and given back, over all days; a cancellation is a return wherever it was tied."""
    measures = dict(
        warehouse.execute(
            "select entry_type, sum(amount) from finance.fct_sales_ledger"
            " where is_source_line and line_kind = 'merchandise' group by 1"
        ).fetchall()
    )
    goods = {"POST", "DOT", "C2", "M", "m", "D", "B", "BANK CHARGES", "AMAZONFEE", "CRUK", "S",
             "PADS"}  # fmt: skip
    merchandise = [
        row
        for row in lines
        if row["StockCode"] not in goods
        and not row["StockCode"].startswith(("gift_", "GIFT", "TEST", "ADJUST"))
    ]
    cancelled = [row for row in merchandise if row["Invoice"].startswith("C")]
    assert measures["return"] == sum(map(amount, cancelled))
    assert measures["sale"] == sum(map(amount, merchandise)) - measures["return"]
    accounts = warehouse.execute(
        "select count(*) from core.dim_customers where customer_type = 'account'"
    ).fetchone()
    assert accounts == (len({row["Customer ID"] for row in lines} - {None}),)


def test_a_profit_is_not_told_where_no_cost_is_known(
    warehouse: psycopg.Connection[Any],
) -> None:
    found = warehouse.execute(
        "select cost_coverage, net_profit_amount, total_sales_amount > 0"
        " from reporting.agg_headline_kpis"
    ).fetchone()
    assert found == (0, None, True)
