"""The real Online Retail II files in the marts, against sums that another engine takes from them.

A sample by default: two weeks of all customers, and all weeks of one customer in a hundred, so that
there are cohorts. `make proof` takes all of it.
"""

# ruff: noqa: E501 - questions in SQL

from __future__ import annotations

import os
import secrets
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pymongo
import pytest
from databases import drop_database
from psycopg import sql
from shop import ledgerline

from loaders.settings import ROOT, Settings
from sandbox.online_retail.documents import COUNTRY_CODES

DATA = Path(
    os.environ.get("LEDGERLINE_DATA", Path(__file__).resolve().parents[4] / "shared" / "data")
)
FILES = [DATA / f"online_retail_ii_{years}.parquet" for years in ("2009_2010", "2010_2011")]
# both files hold 1 to 9 December 2010, so an import that counts the overlap twice is seen
FIRST, LAST = datetime(2010, 11, 30), datetime(2010, 12, 13)  # noqa: DTZ001 - local, as in the file
ALL = os.environ.get("PROOF") == "full"

pytestmark = [
    pytest.mark.servers,
    pytest.mark.dbt,
    pytest.mark.slow,
    pytest.mark.skipif(
        not all(path.exists() for path in FILES),
        reason="the Online Retail II files are not there: set LEDGERLINE_DATA to their folder",
    ),
]


def chosen(table: pa.Table) -> pa.Table:
    """The lines of a file that are looked at."""
    if ALL:
        return table
    in_weeks = pc.and_(
        pc.greater_equal(table["InvoiceDate"], pa.scalar(FIRST)),
        pc.less(table["InvoiceDate"], pa.scalar(LAST)),
    )
    ids = table["Customer ID"]
    hundredth = pc.equal(pc.subtract(ids, pc.multiply(pc.floor(pc.divide(ids, 100)), 100)), 77)
    return table.filter(pc.or_(in_weeks, pc.fill_null(hundredth, fill_value=False)))


@pytest.fixture(scope="module")
def weeks() -> list[pa.Table]:
    """The chosen lines, from each file."""
    return [chosen(pq.read_table(path)) for path in FILES]


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


# --- another engine -------------------------------------------------------------------------------

# DuckDB over the files, by the definitions of docs/DECISIONS.md and nothing of the models' SQL
LINES = """
create table lines as
with files as (
    select *, 1 as file from read_parquet('{first}')
    union all
    select *, 2 as file from read_parquet('{second}')
), counted as (
    select * exclude (file), file, count(*) as times from files group by all
), once as (
    select * exclude (file, times), max(times) as times from counted group by all
)
select
    "Invoice" as invoice,
    "StockCode" as code,
    "Quantity" as quantity,
    times,
    cast("Price" as decimal(18, 3)) * "Quantity" * times as amount,
    cast("Customer ID" as bigint) as customer,
    "Country" as country,
    min("InvoiceDate") over (partition by "Invoice") as invoiced_at,
    "InvoiceDate" as entered_at,
    case left("Invoice", 1) when 'C' then 'cancellation' when 'A' then 'adjustment' else 'sale' end as document,
    case
        when "StockCode" in ('POST', 'DOT', 'C2', 'C3') then 'shipping'
        when "StockCode" = 'D' then 'discount'
        when "StockCode" in ('B', 'BANK CHARGES', 'AMAZONFEE', 'CRUK') then 'other'
        when "StockCode" like 'ADJUST%' then 'other'
        when "StockCode" like 'TEST%' then 'test'
        when "StockCode" like 'gift\\_%' escape '\\' or "StockCode" = 'GIFT' then 'gift_card'
        else 'goods'
    end as kind
from once
"""
ORDERS = """
create table orders as
select
    invoice,
    any_value(customer) as customer,
    any_value(country) as country,
    cast(min(invoiced_at) as date) as day,
    sum(quantity * times) > 0 and max(abs(amount)) > 0 and sum(amount) <> 0
    and bool_or(kind <> 'gift_card') and bool_or(kind <> 'test') as counts
from lines where document = 'sale' group by invoice
"""
# goods of orders that count, discounts given as lines, and goods that came back on the day they did
MONEY = """
create table money as
select
    lines.invoice, lines.code, lines.customer, lines.country, lines.quantity * lines.times as quantity,
    lines.amount, 'gross' as measure, orders.day
from lines inner join orders using (invoice) where lines.kind = 'goods' and orders.counts
union all
select
    invoice, code, lines.customer, lines.country, quantity * times, -amount, 'discount',
    cast(if(document = 'sale', invoiced_at, entered_at) as date)
from lines left join orders using (invoice)
where kind = 'discount' and (document = 'cancellation' or orders.counts)
union all
select
    invoice, code, customer, country, quantity * times, -amount, 'returns', cast(entered_at as date)
from lines where kind = 'goods' and document = 'cancellation'
"""


@pytest.fixture(scope="module")
def engine(weeks: list[pa.Table], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A DuckDB connection with the tables above."""
    folder = tmp_path_factory.mktemp("engine")
    names = {}
    for name, table in zip(("first", "second"), weeks, strict=True):
        names[name] = folder / f"{name}.parquet"
        pq.write_table(table, names[name])
    with duckdb.connect() as connection:
        connection.execute(LINES.format(**names))
        connection.execute(ORDERS)
        connection.execute(MONEY)
        yield connection


def equal(engine: Any, question: str, warehouse: psycopg.Connection[Any], answer: str) -> int:
    """Both answers, row by row; returns how many rows they have."""
    expected = engine.execute(question).fetchall()
    found = warehouse.execute(answer).fetchall()
    assert found == expected
    return len(found)


def test_sales_returns_orders_units_and_customers_by_month(
    warehouse: psycopg.Connection[Any], engine: Any
) -> None:
    months = equal(
        engine,
        """
        select strftime(day, '%Y-%m') as month,
            sum(if(measure = 'gross', amount, 0)), sum(if(measure = 'discount', amount, 0)),
            sum(if(measure = 'returns', amount, 0)),
            sum(if(measure = 'gross', amount, -amount)),
            cast(sum(if(measure = 'gross', quantity, 0)) as bigint)
        from money group by month order by month
        """,
        warehouse,
        """
        select to_char(metric_date, 'YYYY-MM'), sum(gross_sales_amount), sum(discount_amount),
            sum(returns_amount), sum(net_sales_amount), sum(units)::bigint
        from reporting.agg_daily_metrics group by 1
        having sum(abs(gross_sales_amount) + abs(discount_amount) + abs(returns_amount)) > 0
        order by 1
        """,
    )
    assert months >= (25 if ALL else 12)
    equal(
        engine,
        """
        select strftime(day, '%Y-%m') as month, count(*), count(distinct customer)
        from orders where counts group by month order by month
        """,
        warehouse,
        """
        select to_char(order_date, 'YYYY-MM'), count(*),
            count(distinct case when is_new_customer is not null then customer_key end)
        from core.fct_orders where is_countable group by 1 order by 1
        """,
    )


def test_the_twenty_products_that_sold_most(
    warehouse: psycopg.Connection[Any], engine: Any
) -> None:
    rows = equal(
        engine,
        """
        select code, sum(amount) as sold from money where measure = 'gross'
        group by code order by sold desc, code limit 20
        """,
        warehouse,
        """
        select products.sku, sum(items.gross_sales_amount) as sold
        from core.fct_order_items as items inner join core.dim_products as products using (product_key)
        where items.is_countable and items.measure = 'sale'
        group by 1 order by sold desc, products.sku collate "C" limit 20
        """,
    )
    assert rows == 20


def test_revenue_by_country(warehouse: psycopg.Connection[Any], engine: Any) -> None:
    codes = pa.table(
        {"country": list(COUNTRY_CODES), "code": list(COUNTRY_CODES.values())},
    )
    engine.register("codes", codes)
    countries = equal(
        engine,
        """
        select coalesce(if(codes.country is null, upper(orders.country), codes.code), '-') as place,
            count(distinct orders.invoice), sum(money.amount)
        from money inner join orders using (invoice) left join codes on orders.country = codes.country
        where measure = 'gross' group by place order by place
        """,
        warehouse,
        """
        select coalesce(places.country_code, '-'), count(*), sum(orders.gross_sales_amount)
        from core.fct_orders as orders inner join core.dim_geography as places using (geography_key)
        where orders.is_countable
            and exists (select from core.fct_order_items as items where items.order_id = orders.order_id
                and items.measure = 'sale')
        group by 1 order by coalesce(places.country_code, '-') collate "C"
        """,
    )
    assert countries >= (38 if ALL else 10)


def test_cohorts_by_month(warehouse: psycopg.Connection[Any], engine: Any) -> None:
    """People by the month of their first order, and how many were back k months of theirs later."""
    cells = equal(
        engine,
        """
        with firsts as (
            select customer, min(day) as first_day from orders
            where counts and customer is not null group by customer
        ), aged as (
            select date_trunc('month', first_day) as cohort, customer,
                datesub('month', first_day, day) as k
            from orders inner join firsts using (customer) where counts
        ), sized as (
            select cohort, count(distinct customer) as size from aged group by cohort
        )
        select strftime(cohort, '%Y-%m'), k, any_value(size), count(distinct customer)
        from aged inner join sized using (cohort) group by cohort, k order by cohort, k
        """,
        warehouse,
        """
        select to_char(cohort_start_date, 'YYYY-MM'), k::bigint, cohort_size::bigint,
            returning_customers::bigint
        from reporting.agg_cohorts
        where cohort_grain = 'month' and cohort_dimension = 'all' and returning_customers > 0
        order by 1, 2
        """,
    )
    assert cells > (250 if ALL else 40)


def test_rfm_segments(warehouse: psycopg.Connection[Any], engine: Any) -> None:
    """Quintiles in which equals are equal, worked out in whole numbers: no float decides a border."""
    segments = equal(
        engine,
        f"""
        with last as (select max(day) as day from orders),
        ordered as (
            select customer, count(distinct day) as days, max(day) as last_day
            from orders where counts and customer is not null group by customer
        ), valued as (
            select customer, sum(if(measure = 'gross', amount, -amount)) as value
            from money where customer is not null group by customer
        ), ranked as (
            select customer, count(*) over () as people,
                rank() over (order by last_day) as r, rank() over (order by days) as f,
                rank() over (order by coalesce(value, 0)) as m
            from ordered left join valued using (customer)
        ), scored as (
            select 100 * least(5, 1 + (r - 1) * 5 // (people - 1))
                + 10 * least(5, 1 + (f - 1) * 5 // (people - 1))
                + least(5, 1 + (m - 1) * 5 // (people - 1)) as code
            from ranked
        )
        select rfm_segment, count(*) from scored
        inner join read_csv('{ROOT / "seeds" / "rfm_segments.csv"}') as codes
            on scored.code = codes.rfm_code
        group by rfm_segment order by rfm_segment
        """,
        warehouse,
        """
        select rfm_segment, count(*) from customers.fct_customer_snapshot
        where month_start_date = (select max(month_start_date) from customers.fct_customer_snapshot)
        group by 1 order by rfm_segment collate "C"
        """,
    )
    assert segments >= (11 if ALL else 6)
