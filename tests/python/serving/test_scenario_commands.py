"""`ledgerline scenario …` on the tiny shop's sales and scores that were made up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date

import psycopg
import pytest
from typer.testing import CliRunner, Result

from loaders.errors import UserError
from loaders.settings import Settings
from serving import scenarios
from serving.metrics import MetricStore

pytestmark = pytest.mark.servers

CATEGORY, OTHER = "Fashion", "Books"
SCORES = f"""
alter schema predictions rename to kept_predictions;
create schema predictions;
create table predictions.current_runs (task text, status text, note text);
create table predictions.sales_forecasts (
    series text, grain text, is_champion boolean, dimension text, member text, model text,
    horizon_days integer, yhat double precision, lo95 double precision, hi95 double precision,
    as_of_date date);
insert into predictions.sales_forecasts
select 'product_sales', 'day', true, 'total', 'all', 'mean', day, 100, 80, 120, '{{as_of}}'
from generate_series(1, 90) as day;
create table predictions.price_elasticities (
    is_lead boolean, level text, member text, category text, status text, reason text,
    elasticity double precision, lo95 double precision, hi95 double precision,
    markdown_elasticity double precision, markdown_lo95 double precision,
    markdown_hi95 double precision, price_amount double precision,
    lowest_amount double precision, highest_amount double precision);
insert into predictions.price_elasticities values
    (true, 'product', 'p', '{CATEGORY}', 'identified', '', -2, -2.2, -1.8, null, null, null,
        10, 8, 12);
insert into predictions.price_elasticities values
    (true, 'shop', 'all', null, 'identified', '', -1.5, -1.7, -1.3, -3, -3.2, -2.8),
    (true, 'category', '{CATEGORY}', '{CATEGORY}', 'identified', '', -2, -2.2, -1.8,
        null, null, null);
insert into predictions.price_elasticities values
    (true, 'category', '{OTHER}', '{OTHER}', 'refused', '2 products had prices that differ');
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
# what a quarter sold, past the semantic layer
RECENT = """
select
    sum(l.amount) filter (where l.entry_type in ('sale', 'discount')) as sales,
    sum(l.quantity) filter (where l.entry_type = 'sale') as units,
    sum(l.amount) filter (where l.entry_type in ('sale', 'discount', 'return')) as net_sales,
    -sum(l.amount) filter (where l.entry_type in ('cogs', 'cogs_return')) as costs
from finance.fct_sales_ledger as l
left join core.dim_products as p on l.product_key = p.product_key
where l.is_countable and l.line_kind = 'merchandise'
    and l.order_date > %(as_of)s - 91 and l.order_date <= %(as_of)s
    and (p.category = %(category)s or %(category)s::text is null)
"""


@pytest.fixture
def shop(
    warehouse: Settings, store: MetricStore, monkeypatch: pytest.MonkeyPatch
) -> Iterator[psycopg.Connection]:
    """The tiny shop's marts with the made-up scores; afterwards its own are back."""
    monkeypatch.setenv("POSTGRES_DB", warehouse.postgres_db)
    monkeypatch.setenv("DBT_TARGET_PATH", str(warehouse.home / "target" / warehouse.postgres_db))
    monkeypatch.setenv("COLUMNS", "200")
    with psycopg.connect(**warehouse.postgres(), autocommit=True) as connection:
        connection.execute(SCORES.format(as_of=store.trust().as_of))
        yield connection
        connection.execute(
            "drop schema predictions cascade; alter schema kept_predictions rename to predictions"
        )


def run(*arguments: str) -> Result:
    done = CliRunner().invoke(scenarios.app, list(arguments))
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def recent(connection: psycopg.Connection, as_of: date, category: str | None) -> list[float]:
    row = connection.execute(RECENT, {"as_of": as_of, "category": category}).fetchone()
    assert row is not None
    return [float(value) for value in row]


def test_a_price_of_a_category(shop: psycopg.Connection, store: MetricStore) -> None:
    """Its share of 30 x 100; at -10 % and elasticity -2 revenue is / 0.9."""
    as_of = store.trust().as_of
    all_sales = recent(shop, as_of, None)[0]
    sales, units, net_sales, costs = recent(shop, as_of, CATEGORY)
    expected, margin = 3000 * sales / all_sales, 1 - costs / net_sales
    answer = json.loads(
        run("price", "--category", CATEGORY, "--change", "-10%", "--format", "json").stdout
    )
    revenue, sold, profit = answer["figures"]
    assert revenue["before"] == pytest.approx(expected, rel=1e-6)
    assert revenue["after"] == pytest.approx(expected / 0.9, rel=0.01)
    assert sold["before"] == pytest.approx(expected / (sales / units), rel=1e-6)
    assert profit["before"] == pytest.approx(expected * margin, rel=1e-6)
    shown = run("price", "--category", CATEGORY, "--change", "-10%").stdout
    for part in (f"price of {CATEGORY} -10.0% for 30 days", f"{sales / all_sales:.1%}",
                 "elasticity -2.00", f"margin {margin:.1%}"):  # fmt: skip
        assert part in shown


def test_a_promotion_uses_the_answer_to_markdowns(shop: psycopg.Connection) -> None:
    shown = run("promotion", "--category", CATEGORY, "--depth", "20%", "--for", "7").stdout
    assert f"20% off {CATEGORY} on 7 of 30 days" in shown
    assert "elasticity -3.00 (-3.20 to -2.80): answer to past markdowns" in shown


def test_costs_that_are_mostly_unknown_leave_the_margin_out(shop: psycopg.Connection) -> None:
    """The cube answers this question; its costs are gone for a moment."""
    cube = "reporting.agg_sales_cube"
    shop.execute(f"create table kept_predictions.cube as table {cube}")
    shop.execute(f"update {cube} set costed_demand_amount = 0")
    try:
        shown = run("season", "--category", CATEGORY, "--change", "+10%").stdout
    finally:
        shop.execute(f"truncate {cube}; insert into {cube} table kept_predictions.cube")
        shop.execute("drop table kept_predictions.cube")
    assert "no margin: costs are known for 0% of sales" in shown
    assert "margin" in shown and "unknown" in shown


def test_spend_of_a_channel(shop: psycopg.Connection) -> None:
    shown = run("spend", "--channel", "sms", "--change", "+50%", "--days", "70").stdout
    assert "150 instead of 100 a week" in shown
    assert "+1,000" in shown  # ten weeks of 100 more


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("price", "--category", OTHER, "--change", "5%"), "2 products had prices that differ"),
        (("price", "--category", CATEGORY, "--change", "-40%"), "-40% was never tried"),
        (("price", "--category", "Hats", "--change", "5%"), "nothing of Hats was sold"),
        (("price", "--change", "a lot"), "written like -10%"),
        (("spend", "--channel", "radio", "--change", "5%"), "display, sms"),
        (("spend", "--channel", "display", "--change", "5%"), "no response curve: 3 weeks"),
    ],
)
def test_refusals_say_why(
    shop: psycopg.Connection, arguments: tuple[str, ...], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        run(*arguments)


def test_without_scores_it_says_what_to_do(shop: psycopg.Connection) -> None:
    shop.execute("delete from predictions.price_elasticities")
    with pytest.raises(UserError, match="never measured"):
        run("price", "--change", "5%")
    shop.execute(
        "insert into predictions.current_runs values"
        " ('elasticity', 'too_little_data', '3 weeks with sales, 24 are needed')"
    )
    with pytest.raises(UserError, match="3 weeks with sales"):
        run("price", "--change", "5%")
    shop.execute("delete from predictions.sales_forecasts")
    with pytest.raises(UserError, match="no current forecast"):
        run("season", "--change", "5%")
