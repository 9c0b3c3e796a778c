"""The jobs against a real Postgres: idempotent, honest about too little data, all or nothing."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import psycopg
import pytest

from loaders.settings import Settings
from ml import jobs, runs, schema
from ml.jobs import forecast, segments

pytestmark = pytest.mark.servers

DAILY = """
create schema features;
create table features.daily_sales (
    total_sales_amount numeric(20, 4), product_sales_amount numeric(20, 4),
    net_profit_amount numeric(20, 4), demand_amount numeric(20, 4),
    costed_demand_amount numeric(20, 4), orders integer, metric_date date);
create table features.daily_sales_members (
    dimension text, member text, total_sales_amount numeric(20, 4),
    product_sales_amount numeric(20, 4), net_profit_amount numeric(20, 4), orders integer,
    metric_date date);
create table features.customer_rfm (
    customer_key text, as_of_date date, recency_days integer, order_days integer,
    monetary_amount numeric(20, 4), is_latest boolean);
create table features.customer_days (
    customer_key text, activity_date date, orders integer, is_purchase boolean,
    demand_amount numeric(20, 4), returns_amount numeric(20, 4),
    same_day_returns_amount numeric(20, 4));
create table features.product_price_weeks (
    product_key text, product_id text, category text, store_id text, buyer_group text,
    orders integer, units numeric(20, 4), price_amount numeric(20, 4),
    unit_cost_amount numeric(20, 4), markdown_share numeric(9, 6), week_start_date date,
    week_end_date date);
create table features.daily_metrics (
    dimension text, member text, revenue_amount numeric(20, 4), orders integer,
    order_lines integer, units integer, cancelled_orders integer, sessions integer,
    tagged_sessions integer, tracked_purchases integer, metric_date date);
create table features.order_facts (
    order_id text, customer_key text, demand_amount numeric(20, 4),
    gross_sales_amount numeric(20, 4), discount_amount numeric(20, 4), units integer,
    order_lines integer, order_date date, placed_at timestamptz);
create table features.review_texts (
    review_id text, product_key text, language text, text text, rating numeric(20, 4),
    review_date date);
create table features.customer_facts (
    customer_key text, first_country text, net_amount numeric(20, 4), margin_amount numeric(20, 4),
    demand_amount numeric(20, 4), costed_demand_amount numeric(20, 4));
create table features.basket_lines (
    order_id text, product_key text, customer_key text, quantity numeric(20, 4),
    amount numeric(20, 4), order_date date);
create table features.channel_weeks (
    marketing_channel text, attribution_model text, attributed_orders numeric(20, 6),
    spend_amount numeric(20, 4), net_sales_amount numeric(20, 4),
    gross_profit_amount numeric(20, 4), demand_amount numeric(20, 4),
    costed_demand_amount numeric(20, 4), week_start_date date, week_end_date date);
create table features.product_stock (
    product_key text, available numeric(20, 4), incoming numeric(20, 4), is_unknown boolean,
    valid_from date, valid_until date);
create table features.product_attributes (
    product_key text, product_id text, category text, brand text, price_amount numeric(20, 4),
    lead_time_days integer, is_active boolean, launched_date date);
create table features.product_reviews (
    product_key text, reviews integer, stars numeric(20, 4), review_date date);
"""


@pytest.fixture
def connection(pg_database: Settings) -> Iterator[psycopg.Connection]:
    with psycopg.connect(**pg_database.postgres()) as opened:
        opened.execute(DAILY)
        schema.ensure(opened)
        yield opened


def fill_days(connection: psycopg.Connection, days: int, costs: float = 1.0) -> None:
    random = np.random.default_rng(1)
    connection.execute("truncate features.daily_sales")
    with connection.cursor().copy("copy features.daily_sales from stdin") as copy:
        for day in pd.date_range("2024-01-01", periods=days):
            sales = 100 * random.lognormal(0, 0.2) * (1 + day.day_of_week / 10)
            copy.write_row([sales, sales, sales / 3, sales, sales * costs, 5, day.date()])
    connection.commit()


def fill_members(connection: psycopg.Connection) -> None:
    """Two countries, a third and two thirds of every day."""
    for member, share, orders in (("DE", "1 / 3.0", 2), ("GB", "2 / 3.0", 3)):
        connection.execute(
            "insert into features.daily_sales_members select 'country', %s,"
            f" total_sales_amount * {share}, product_sales_amount * {share},"
            f" net_profit_amount * {share}, {orders}, metric_date from features.daily_sales",
            [member],
        )
    connection.commit()


def fill_customers(connection: psycopg.Connection, n: int) -> None:
    random = np.random.default_rng(1)
    with connection.cursor().copy("copy features.customer_rfm from stdin") as copy:
        for i in range(n):
            recency, money = random.integers(1, 300), random.lognormal(3, 1)
            orders = int(1 + random.poisson(2))
            copy.write_row([f"c{i}", "2024-03-31", int(recency), orders, money, True])
    connection.commit()


def rows(connection: psycopg.Connection, table: str) -> list[tuple]:
    found = connection.execute(f"select * from ml.{table} as t order by t::text").fetchall()
    connection.commit()
    return found


def test_the_same_data_are_scored_once(connection):
    fill_days(connection, 90)
    first = forecast.run(connection)
    before = rows(connection, "forecasts"), rows(connection, "model_metrics")
    second = forecast.run(connection)
    assert (first.reused, second.reused) == (False, True)
    assert first.run_id == second.run_id and first.rows == second.rows == len(before[0])
    assert (rows(connection, "forecasts"), rows(connection, "model_metrics")) == before
    assert first.metadata()["metrics"] == second.metadata()["metrics"] != {}


def test_writing_a_run_again_replaces_its_rows_and_no_others(connection):
    fill_days(connection, 90)
    other = forecast.run(connection)
    fill_days(connection, 91)
    again = forecast.run(connection)
    daily = runs.read(connection, "select * from features.daily_sales")
    run = runs.Run("forecast", "test", daily["metric_date"].max().date(), {}, "test")
    for _ in range(2):
        runs.write(connection, run, forecast.result(daily))
    count = dict(
        connection.execute("select run_id, count(*) from ml.forecasts group by run_id").fetchall()
    )
    assert count == {other.run_id: other.rows, again.run_id: again.rows, run.run_id: again.rows}


def test_going_back_to_known_data_makes_its_run_current_again(connection):
    newest = "select run_id from ml.runs where task = 'forecast' order by confirmed_at desc limit 1"
    fill_days(connection, 90)
    first = forecast.run(connection)
    fill_days(connection, 91)
    second = forecast.run(connection)
    assert connection.execute(newest).fetchone() == (second.run_id,)
    fill_days(connection, 90)
    assert forecast.run(connection).reused
    assert connection.execute(newest).fetchone() == (first.run_id,)


def test_a_failed_write_leaves_the_scores_of_before(connection):
    fill_days(connection, 90)
    forecast.run(connection)
    before = rows(connection, "forecasts"), rows(connection, "runs")
    daily = runs.read(connection, "select * from features.daily_sales")
    found = forecast.result(daily)
    broken = found.tables["forecasts"].assign(yhat=None)
    run = runs.Run("forecast", "test", daily["metric_date"].max().date(), {}, "test")
    with pytest.raises(psycopg.errors.NotNullViolation):
        runs.write(connection, run, runs.Result("ok", tables={"forecasts": broken}))
    connection.rollback()
    assert (rows(connection, "forecasts"), rows(connection, "runs")) == before


def test_an_empty_shop_has_no_scores_and_says_so(connection):
    for name, task in jobs.TASKS.items():
        outcome = task.run(connection)
        assert (outcome.status, outcome.rows, outcome.champion) == ("too_little_data", 0, None), (
            name
        )
        assert outcome.note and task.run(connection).reused
    assert connection.execute("select count(*) from ml.runs").fetchone() == (len(jobs.TASKS),)


def test_profit_is_not_forecast_where_costs_are_unknown(connection):
    fill_days(connection, 70, costs=0.5)
    outcome = forecast.run(connection)
    assert outcome.status == "ok"
    assert "profit: not forecast, costs are known for 50% of sales" in outcome.note
    series = connection.execute("select distinct series from ml.forecasts order by 1").fetchall()
    assert series == [("orders",), ("product_sales",), ("revenue",)]


def test_parts_are_written_beside_the_total_and_add_up_to_it(connection):
    fill_days(connection, 70)
    fill_members(connection)
    outcome = forecast.run(connection)
    assert "by category: not forecast" in outcome.note and "by country" not in outcome.note
    sums = connection.execute(
        "select series, target_date, sum(yhat) filter (where dimension = 'country'),"
        " sum(yhat) filter (where dimension = 'total' and is_champion)"
        " from ml.forecasts where grain = 'day' group by 1, 2"
    ).fetchall()
    assert len(sums) == 4 * 90 and all(parts == total for _, _, parts, total in sums)
    members = "select distinct member from ml.forecasts where dimension = 'country' order by 1"
    assert connection.execute(members).fetchall() == [("DE",), ("GB",)]


def test_every_forecast_made_stays_as_it_was_made(connection):
    fill_days(connection, 70)
    forecast.run(connection)
    before = rows(connection, "forecast_archive")
    assert before == rows(connection, "forecasts") != []
    for change in (
        "update ml.forecast_archive set yhat = 0",
        "delete from ml.forecast_archive",
        "truncate ml.forecast_archive",
    ):
        with pytest.raises(psycopg.errors.RaiseException, match="never changed"):
            connection.execute(change)
        connection.rollback()
    connection.execute("delete from ml.runs")
    connection.commit()
    assert rows(connection, "forecasts") == []
    assert rows(connection, "forecast_archive") == before
    # the same run again: the first copy is the forecast that was made
    forecast.run(connection)
    assert rows(connection, "forecast_archive") == before
    fill_days(connection, 71)
    second = forecast.run(connection)
    assert len(rows(connection, "forecast_archive")) == len(before) + second.rows


def test_a_table_of_before_there_were_months_takes_them(connection):
    connection.execute(
        "alter table ml.forecasts drop constraint forecasts_grain_check,"
        " add constraint forecasts_grain_check check (grain in ('day', 'year'))"
    )
    connection.execute("comment on schema ml is 'tables of before'")
    schema.ensure(connection)
    found = connection.execute(
        "select pg_get_constraintdef(oid) from pg_constraint"
        " where conname = 'forecasts_grain_check'"
    ).fetchone()
    assert "month" in found[0]


def test_clusters_are_written_for_every_customer(connection):
    fill_customers(connection, 150)
    outcome = segments.run(connection)
    clusters = rows(connection, "cluster_profiles")
    assert outcome.status == "ok" and outcome.rows == 150 + len(clusters)
    assert len(rows(connection, "customer_segments")) == 150 and len(clusters) > 2
    assert "customers.stability" in outcome.metrics


def test_a_later_day_keeps_the_labels_of_the_clusters(connection):
    fill_customers(connection, 150)
    segments.run(connection)
    connection.execute("update features.customer_rfm set as_of_date = as_of_date + 1")
    later = segments.run(connection)
    assert not later.reused
    found = connection.execute(
        "select p.cluster, p.is_new, p.shift from ml.cluster_profiles as p where run_id = %s",
        [later.run_id],
    ).fetchall()
    connection.commit()
    assert all(not is_new and shift == pytest.approx(0) for _, is_new, shift in found)
    assert segments.run(connection).reused


def test_the_schema_can_be_ensured_again(connection):
    fill_customers(connection, 150)
    segments.run(connection)
    before = rows(connection, "customer_segments")
    schema.ensure(connection)
    assert rows(connection, "customer_segments") == before


def test_reading_keeps_types_and_missing_values(connection):
    frame = runs.read(
        connection,
        "select * from (values ('00a', 1, 1.50::numeric, true, date '2024-02-29'),"
        " ('x,\"y', 2, null, null, null)) as t (key, n, amount, flag, day) order by n",
    )
    assert frame["key"].tolist() == ["00a", 'x,"y']
    assert frame["n"].tolist() == [1, 2] and frame["n"].dtype == "int64"
    assert frame["amount"].tolist()[0] == 1.5 and frame["amount"].isna().tolist() == [False, True]
    assert frame["flag"].tolist()[0] is True and frame["flag"].isna().tolist() == [False, True]
    assert frame["day"][0] == pd.Timestamp("2024-02-29") and frame["day"].isna()[1]


def test_a_fingerprint_knows_values_and_columns_but_no_order_of_rows():
    frame = pd.DataFrame({"a": [1, 2, 3], "b": ["x", "y", None]})
    same = runs.fingerprint(frame.sample(frac=1, random_state=1))
    assert runs.fingerprint(frame) == same
    assert runs.fingerprint(frame.assign(a=[1, 2, 4])) != same
    assert runs.fingerprint(frame.rename(columns={"a": "c"})) != same


def test_a_run_is_named_by_what_decides_its_result():
    base = {"task": "churn", "model_version": "1", "as_of_date": None, "parameters": {"k": 1}}
    ids = {
        runs.Run(**{**base, **change}, data_fingerprint="f").run_id
        for change in ({}, {"task": "x"}, {"model_version": "2"}, {"parameters": {"k": 2}})
    }
    assert len(ids) == 4
    assert runs.Run(**base, data_fingerprint="g").run_id not in ids
    assert runs.Run(**base, data_fingerprint="f").run_id in ids


def test_an_unknown_table_is_refused(connection):
    with pytest.raises(ValueError, match="no table"):
        runs.write(
            connection,
            runs.Run("churn", "1", None, {}, ""),
            runs.Result("ok", tables={"nonsense": pd.DataFrame()}),
        )
