"""Any shop works: the demo shop's own features with most of it missing, through every task.

Each task scores what can be scored, or says what is missing. None fails, and no number that it
writes is NaN or infinite.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Mapping

import psycopg
import pytest
from databases import create_database, drop_database
from psycopg import sql

from loaders.settings import Settings
from ml import jobs, schema
from ml.jobs.running import NO_DATA, Outcome

pytestmark = pytest.mark.servers

FEATURES = sorted({table for task in jobs.TASKS.values() for table in task.reads})
DAYS = {
    "basket_lines": "order_date",
    "channel_weeks": "week_start_date",
    "customer_days": "activity_date",
    "customer_rfm": "as_of_date",
    "daily_metrics": "metric_date",
    "daily_sales": "metric_date",
    "daily_sales_members": "metric_date",
    "order_facts": "order_date",
    "product_price_weeks": "week_start_date",
    "product_reviews": "review_date",
    "product_stock": "valid_from",
    "review_texts": "review_date",
}
COSTS = {
    "channel_weeks": ("gross_profit_amount",),
    "customer_facts": ("margin_amount",),
    "daily_sales": ("net_profit_amount",),
    "daily_sales_members": ("net_profit_amount",),
    "product_price_weeks": ("unit_cost_amount",),
}
ATTRIBUTES = {
    "customer_facts": ("first_country",),
    "product_attributes": ("category", "brand", "price_amount", "lead_time_days", "launched_date"),
    "product_price_weeks": ("category",),
    "review_texts": ("language",),
}


@pytest.fixture(scope="module")
def features(warehouse: Settings) -> Iterator[Settings]:
    """A database that holds the demo shop's features as tables."""
    settings = warehouse.model_copy(update={"postgres_db": "odd_shops"})
    create_database(settings, settings.postgres_db)
    with (
        psycopg.connect(**warehouse.postgres()) as source,
        psycopg.connect(**settings.postgres()) as target,
    ):
        target.execute("create schema features")
        for name in FEATURES:
            _copy(source, target, name)
    yield settings
    drop_database(settings, settings.postgres_db)


def _copy(source: psycopg.Connection, target: psycopg.Connection, name: str) -> None:
    table = sql.Identifier("features", name)
    columns = source.execute(
        "select attname, format_type(atttypid, atttypmod) from pg_attribute"
        " where attrelid = %s::regclass and attnum > 0 order by attnum",
        [f"features.{name}"],
    ).fetchall()
    typed = [sql.SQL("{} {}").format(sql.Identifier(one), sql.SQL(kind)) for one, kind in columns]
    target.execute(sql.SQL("create table {} ({})").format(table, sql.SQL(", ").join(typed)))
    reading = sql.SQL("copy (select * from {}) to stdout (format binary)").format(table)
    writing = sql.SQL("copy {} from stdin (format binary)").format(table)
    with source.cursor().copy(reading) as rows, target.cursor().copy(writing) as copy:
        for row in rows:
            copy.write(row)


@pytest.fixture
def connection(features: Settings) -> Iterator[psycopg.Connection]:
    """A copy that a test may change."""
    name = f"{features.postgres_db}_{secrets.token_hex(4)}"
    settings = features.model_copy(update={"postgres_db": name})
    create_database(settings, name, features.postgres_db)
    with psycopg.connect(**settings.postgres()) as opened:
        schema.ensure(opened)
        yield opened
    drop_database(settings, name)


def score(connection: psycopg.Connection, tables: Iterable[str] = FEATURES) -> dict[str, Outcome]:
    """What came of each task that reads one of these tables."""
    connection.commit()
    wanted = [task for task in jobs.TASKS.values() if {*task.reads} & {*tables}]
    outcomes = {task.name: task.run(connection) for task in wanted}
    for name, outcome in outcomes.items():
        if outcome.status == NO_DATA:
            assert outcome.note and not outcome.rows and outcome.champion is None, name
        else:
            assert outcome.status == "ok" and outcome.rows, name
    _assert_finite(connection)
    return outcomes


def _assert_finite(connection: psycopg.Connection) -> None:
    numbers = connection.execute(
        "select table_name, column_name from information_schema.columns"
        " where table_schema = 'ml' and data_type in ('double precision', 'numeric', 'real')"
    ).fetchall()
    for table, column in numbers:
        query = sql.SQL(
            "select count(*) from {} where {}::text in ('NaN', 'Infinity', '-Infinity')"
        ).format(sql.Identifier("ml", table), sql.Identifier(column))
        assert connection.execute(query).fetchone() == (0,), f"{table}.{column}"
    connection.commit()


def scored(outcomes: Mapping[str, Outcome]) -> set[str]:
    """Tasks that had enough data."""
    return {name for name, outcome in outcomes.items() if outcome.status != NO_DATA}


def keep(connection: psycopg.Connection, table: str, condition: str) -> None:
    """Leave these rows alone."""
    connection.execute(f"delete from features.{table} where ({condition}) is not true")


def test_three_weeks_of_history(connection: psycopg.Connection) -> None:
    for table, day in DAYS.items():
        keep(connection, table, f"{day} > (select max({day}) - 21 from features.{table})")
    outcomes = score(connection)
    assert scored(outcomes) == {"forecast", "recommendations", "segments", "sentiment"}
    assert "no interval" in outcomes["forecast"].note


def test_one_day_of_history(connection: psycopg.Connection) -> None:
    for table, day in DAYS.items():
        keep(connection, table, f"{day} = (select max({day}) from features.{table})")
    # people's states and reviews of one day are as good as those of any other
    assert scored(score(connection)) == {"segments", "sentiment"}


def test_one_customer(connection: psycopg.Connection) -> None:
    best = connection.execute(
        "select customer_key from features.customer_days group by 1 order by count(*) desc limit 1"
    ).fetchone()
    for table in ("customer_days", "customer_rfm", "customer_facts", "basket_lines", "order_facts"):
        keep(connection, table, f"customer_key = '{best[0]}'")
    outcomes = score(connection)
    assert not scored(outcomes) & {"churn", "lifetime", "segments", "recommendations"}
    assert {"forecast", "products", "demand", "sentiment"} <= scored(outcomes)


def test_one_product(connection: psycopg.Connection) -> None:
    best = connection.execute(
        "select product_key from features.basket_lines group by 1 order by count(*) desc limit 1"
    ).fetchone()
    for table in ("basket_lines", "product_attributes", "product_price_weeks", "product_reviews",
                  "product_stock", "review_texts"):  # fmt: skip
        keep(connection, table, f"product_key = '{best[0]}'")
    outcomes = score(connection)
    assert not scored(outcomes) & {"elasticity", "recommendations"}
    assert {"forecast", "products", "demand", "churn", "segments"} <= scored(outcomes)


def test_no_costs(connection: psycopg.Connection) -> None:
    for table, columns in COSTS.items():
        connection.execute(
            f"update features.{table} set {', '.join(f'{one} = null' for one in columns)}"
        )
    for table in ("channel_weeks", "customer_facts", "daily_sales"):
        connection.execute(f"update features.{table} set costed_demand_amount = 0")
    outcomes = score(connection, COSTS)
    assert "profit: not forecast" in outcomes["forecast"].note
    assert "costs" in outcomes["churn"].note
    assert "marketing" in scored(outcomes)


def test_nothing_is_known_of_products_and_people(connection: psycopg.Connection) -> None:
    for table, columns in ATTRIBUTES.items():
        connection.execute(
            f"update features.{table} set {', '.join(f'{one} = null' for one in columns)}"
        )
    assert {"products", "demand", "churn", "sentiment"} <= scored(score(connection, ATTRIBUTES))


@pytest.mark.parametrize("table", FEATURES)
def test_a_table_is_empty(connection: psycopg.Connection, table: str) -> None:
    connection.execute(f"truncate features.{table}")
    outcomes = score(connection, [table])
    # what a task reads first it can't do without; only orders are judged also without days
    about_it = {name for name in outcomes if jobs.TASKS[name].reads[0] == table} - {"anomalies"}
    assert not scored(outcomes) & about_it


def test_nobody_buys_twice_and_all_on_one_day(connection: psycopg.Connection) -> None:
    connection.execute(
        "delete from features.customer_days as d using features.customer_days as other"
        " where d.customer_key = other.customer_key and d.activity_date > other.activity_date"
    )
    connection.execute("update features.customer_days set activity_date = date '2025-06-02'")
    assert not scored(score(connection, ["customer_days"]))
