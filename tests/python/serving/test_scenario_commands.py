"""`ledgerline scenario …` on scores that were made up: what it reads, prints and refuses."""

from __future__ import annotations

import json
from collections.abc import Iterator

import psycopg
import pytest
from typer.testing import CliRunner, Result

from loaders.errors import UserError
from loaders.settings import Settings
from serving import scenarios

pytestmark = pytest.mark.servers

TABLES = """
create schema predictions;
create schema core;
create table predictions.current_runs (task text, status text, note text);
create table predictions.sales_forecasts (
    series text, grain text, is_champion boolean, dimension text, member text, model text,
    horizon_days integer, yhat double precision, lo95 double precision, hi95 double precision,
    as_of_date date);
insert into predictions.sales_forecasts
select 'product_sales', 'day', true, 'total', 'all', 'mean', day, 100, 80, 120, '2024-06-30'
from generate_series(1, 90) as day;
create table core.dim_products (product_key text, category text);
insert into core.dim_products values ('a', 'Toys'), ('b', 'Books');
create table core.fct_order_items (
    product_key text, gross_sales_amount numeric, discount_amount numeric, quantity numeric,
    unit_cost_amount numeric, is_countable boolean, measure text, line_kind text, order_date date);
insert into core.fct_order_items values
    ('a', 700, 0, 70, 6, true, 'sale', 'merchandise', '2024-06-01'),
    ('b', 350, 50, 10, null, true, 'sale', 'merchandise', '2024-06-30'),
    ('b', 9999, 0, 10, 1, true, 'sale', 'merchandise', '2023-01-01');
create table predictions.price_elasticities (
    is_lead boolean, level text, member text, category text, status text, reason text,
    elasticity double precision, lo95 double precision, hi95 double precision,
    markdown_elasticity double precision, markdown_lo95 double precision,
    markdown_hi95 double precision, price_amount double precision,
    lowest_amount double precision, highest_amount double precision);
insert into predictions.price_elasticities values
    (true, 'product', 'p', 'Toys', 'identified', '', -2, -2.2, -1.8, null, null, null, 10, 8, 12);
insert into predictions.price_elasticities values
    (true, 'shop', 'all', null, 'identified', '', -1.5, -1.7, -1.3, -3, -3.2, -2.8),
    (true, 'category', 'Toys', 'Toys', 'identified', '', -2, -2.2, -1.8, null, null, null);
insert into predictions.price_elasticities values
    (true, 'category', 'Books', 'Books', 'refused', '2 products had prices that differ');
create table predictions.budget_advice (
    marketing_channel text, reason text, usual_spend_amount double precision);
insert into predictions.budget_advice values ('sms', '', 100), ('display', '3 weeks', 10);
create table predictions.channel_responses (
    marketing_channel text, point integer, weekly_spend_amount double precision,
    incremental_amount double precision, incremental_lo95 double precision,
    incremental_hi95 double precision);
insert into predictions.channel_responses values
    ('sms', 0, 0, 0, 0, 0), ('sms', 1, 100, 300, 100, 500), ('sms', 2, 200, 500, 200, 800);
"""


@pytest.fixture
def run(pg_database: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator:
    with psycopg.connect(**pg_database.postgres()) as connection:
        connection.execute(TABLES)
    monkeypatch.setenv("COLUMNS", "200")

    def invoke(*arguments: str) -> Result:
        done = CliRunner().invoke(scenarios.app, list(arguments))
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done

    return invoke


def test_a_price_of_a_category(run) -> None:
    """Toys are 70 % of sales: 21 of 30 x 100; at -10 % and elasticity -2 revenue is / 0.9."""
    answer = json.loads(
        run("price", "--category", "Toys", "--change", "-10%", "--format", "json").stdout
    )
    revenue, units, margin = answer["figures"]
    assert revenue["before"] == pytest.approx(2100, rel=1e-6)
    assert revenue["after"] == pytest.approx(2100 / 0.9, rel=0.01)
    assert units["before"] == pytest.approx(210, rel=1e-6)
    assert margin["before"] == pytest.approx(2100 * 0.4, rel=1e-6)
    shown = run("price", "--category", "Toys", "--change", "-10%").stdout
    for part in ("price of Toys -10.0% for 30 days", "70.0%", "elasticity -2.00", "margin 40.0%"):
        assert part in shown


def test_a_promotion_uses_the_answer_to_markdowns(run) -> None:
    shown = run("promotion", "--category", "Toys", "--depth", "20%", "--for", "7").stdout
    assert "20% off Toys on 7 of 30 days" in shown
    assert "elasticity -3.00 (-3.20 to -2.80): answer to past markdowns" in shown


def test_costs_that_are_mostly_unknown_leave_the_margin_out(run) -> None:
    shown = run("season", "--change", "+10%").stdout
    assert "no margin: costs are known for 70% of sales" in shown
    assert "margin" in shown and "unknown" in shown


def test_spend_of_a_channel(run) -> None:
    shown = run("spend", "--channel", "sms", "--change", "+50%", "--days", "70").stdout
    assert "150 instead of 100 a week" in shown
    assert "+1,000" in shown  # ten weeks of 100 more


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("price", "--category", "Books", "--change", "5%"), "2 products had prices that differ"),
        (("price", "--category", "Toys", "--change", "-40%"), "-40% was never tried"),
        (("price", "--category", "Hats", "--change", "5%"), "nothing of Hats was sold"),
        (("price", "--change", "a lot"), "written like -10%"),
        (("spend", "--channel", "radio", "--change", "5%"), "display, sms"),
        (("spend", "--channel", "display", "--change", "5%"), "no response curve: 3 weeks"),
    ],
)
def test_refusals_say_why(run, arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        run(*arguments)


def test_without_scores_it_says_what_to_do(run, pg_database: Settings) -> None:
    with psycopg.connect(**pg_database.postgres()) as connection:
        connection.execute("delete from predictions.price_elasticities")
    with pytest.raises(UserError, match="never measured"):
        run("price", "--change", "5%")
    with psycopg.connect(**pg_database.postgres()) as connection:
        connection.execute(
            "insert into predictions.current_runs values"
            " ('elasticity', 'too_little_data', '3 weeks with sales, 24 are needed')"
        )
    with pytest.raises(UserError, match="3 weeks with sales"):
        run("price", "--change", "5%")
    with psycopg.connect(**pg_database.postgres()) as connection:
        connection.execute("delete from predictions.sales_forecasts")
    with pytest.raises(UserError, match="no current forecast"):
        run("season", "--change", "5%")
