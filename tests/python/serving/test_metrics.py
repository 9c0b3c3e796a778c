"""Questions to the semantic layer, asked of the tiny shop."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from itertools import pairwise

import psycopg
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from psycopg import sql
from pydantic import SecretStr

from loaders.settings import Settings
from serving import periods
from serving.metrics import Filter, MetricError, MetricStore, Question
from serving.periods import Period

EIGHT = (
    "total_sales", "net_sales", "orders", "average_order_value", "new_customers", "gross_margin",
    "discount_rate", "net_units",
)  # fmt: skip


def number(value):
    return None if value is None else round(float(value), 6)


def by_key(answer):
    return {
        tuple(row.keys.values()): {name: number(value) for name, value in row.values.items()}
        for row in answer.rows
    }


# --- one definition, whatever computes it ---------------------------------------------------------


def test_every_metric_answers(store: MetricStore) -> None:
    for name, metric in store.catalogue.metrics.items():
        grain = "year" if metric.needs_grain else None
        answer = store.ask(Question((name,), period="all", grain=grain))
        assert answer.versions == {name: metric.version}
        assert answer.statements[0].sources


def test_what_is_put_on_top_equals_metricflow_itself(store: MetricStore, rows) -> None:
    """Ratios and derived metrics: MetricFlow's own statement gives the same number."""
    from metricflow.engine.metricflow_engine import MetricFlowQueryRequest

    engine = store._compiler._engine("", None, "event")
    end = store.trust().as_of
    for name, metric in store.catalogue.metrics.items():
        if metric.is_leaf:
            continue
        plan = engine.explain(
            MetricFlowQueryRequest.create(
                metric_names=[name],
                where_constraints=[f"{{{{ TimeDimension('metric_time', 'day') }}}} <= '{end}'"],
            )
        )
        expected = rows(plan.sql_statement.sql)[0][name]
        answer = store.ask(Question((name,), period="all", with_rollups=False))
        assert answer.totals is not None
        assert answer.totals.values[name] == pytest.approx(expected), name


def covered(store: MetricStore, model, rollup, basis: str) -> list[str]:
    """Metrics that a roll-up can answer by itself; what is put on top of them follows."""
    return [
        name
        for name, metric in store.catalogue.metrics.items()
        if metric.kind == "simple"
        and store.catalogue.model_of(name) == model.name
        and set(metric.measures) <= set(rollup.measures)
        and set(metric.filter_dimensions) <= set(rollup.dimensions)
        and all(model.measures[measure]["agg"] == "sum" for measure in metric.measures)
    ]


@pytest.mark.parametrize("basis", ["event", "order"])
def test_roll_ups_and_facts_give_the_same_numbers(store: MetricStore, basis: str) -> None:
    """Every metric of every roll-up: as a whole, by each of its dimensions and by month."""
    tried = set()
    for model in store.catalogue.models.values():
        for rollup in model.rollups:
            names = covered(store, model, rollup, basis)
            if rollup.basis not in (None, basis) or not names:
                continue
            for dimension in (None, *rollup.dimensions):
                quick = Question(
                    tuple(names),
                    dimensions=(dimension,) if dimension else (),
                    grain="month" if dimension in (None, "store") else None,
                    period="all",
                    basis=basis,  # type: ignore[arg-type] -- a parameter of the test
                )
                found = store.ask(quick)
                facts = store.ask(dataclasses.replace(quick, with_rollups=False))
                tables = {t for one in found.statements for t in one.sources.values()}
                assert all(table.startswith("agg_") for table in tables), (rollup, dimension)
                assert by_key(found) == by_key(facts), (rollup.table, dimension)
                assert found.totals.values == facts.totals.values
                tried |= {(name, dimension) for name in names}
    assert len(tried) > 100


def test_a_roll_up_is_taken_where_it_suffices(store: MetricStore) -> None:
    def tables(*metrics, **asked):
        statement = store.ask(Question(metrics, period="last_90_days", **asked)).statements[0]
        return set(statement.sources.values())

    assert tables("net_sales", "orders") == {"agg_daily_metrics"}
    assert tables("net_sales", dimensions=("store",)) == {"agg_daily_metrics"}
    assert tables("net_sales", "orders", dimensions=("country",)) == {"agg_sales_cube"}
    assert tables("new_customer_revenue") == {"agg_sales_cube"}
    assert tables("net_sales", filters=(Filter("category", ("Home",)),)) == {"agg_sales_cube"}
    assert tables("net_sales", dimensions=("brand",)) == {"fct_sales_ledger"}
    assert tables("net_sales", basis="order") == {"agg_daily_metrics"}
    assert tables("discounts", basis="order") == {"agg_sales_cube"}


def test_distinct_counts_never_come_from_a_roll_up(store: MetricStore) -> None:
    for name, metric in store.catalogue.metrics.items():
        kinds = {
            store.catalogue.models[store.catalogue.model_of_measure[m]].measures[m]["agg"]
            for m in metric.measures
        }
        if kinds - {"sum", "sum_boolean"} and metric.is_leaf:
            for statement in store.ask(Question((name,), period="all")).statements:
                used = set(statement.sources.values())
                assert not {"agg_daily_metrics", "agg_sales_cube"} & used, name


def test_active_customers_of_the_parts_are_more_than_those_of_the_whole(store, rows) -> None:
    answer = store.ask(Question(("active_customers",), grain="month", period="all"))
    people = rows(
        "select count(distinct customer_key) as n from core.fct_orders"
        " where is_countable and is_new_customer is not null and order_date <= %s",
        [answer.trust.as_of],
    )[0]["n"]
    assert answer.totals.values["active_customers"] == people
    assert sum(row.values["active_customers"] for row in answer.rows) > people


# --- what an answer says --------------------------------------------------------------------------


def test_an_answer_says_what_it_rests_on(store: MetricStore, warehouse: Settings) -> None:
    answer = store.ask(Question(EIGHT, period="last_month", compare="prior_year"))
    assert (answer.currency, answer.timezone) == ("GBP", "Europe/London")
    assert answer.basis == "event"
    assert answer.trust.is_reconciled is True
    assert answer.trust.gaps == 0
    assert answer.period.end <= answer.trust.as_of.replace(year=answer.trust.as_of.year + 1)
    assert set(answer.versions) == set(EIGHT)
    assert all(len(version) == 10 for version in answer.versions.values())
    assert "agg_daily_metrics" in answer.statements[0].sql


def test_ratios_are_sums_divided_never_means(store: MetricStore) -> None:
    answer = store.ask(
        Question(("average_order_value", "demand_sales", "orders"), ("country",), period="all")
    )
    values = answer.totals.values
    assert values["average_order_value"] == pytest.approx(
        float(sum(row.values["demand_sales"] for row in answer.rows))
        / sum(row.values["orders"] for row in answer.rows)
    )


def test_a_ratio_over_nothing_is_unknown_and_a_sum_over_nothing_is_0(store: MetricStore) -> None:
    nothing = Period(date(1990, 1, 1), date(1990, 2, 1))
    answer = store.ask(Question(("net_sales", "orders", "average_order_value"), period=nothing))
    assert answer.totals.values == {"net_sales": 0, "orders": 0, "average_order_value": None}


def test_variants_stand_side_by_side_and_differ(store: MetricStore) -> None:
    names = ("average_order_value", "aov_gross", "aov_total_sales", "aov_shopify")
    values = store.ask(Question(names, period="all")).totals.values
    assert len({round(value, 2) for value in values.values()}) == 4
    inverse = store.ask(
        Question(("blended_roas", "acos", "mer_polar", "mer_triple_whale"), period="all")
    )
    values = inverse.totals.values
    assert values["blended_roas"] == values["mer_polar"]
    assert values["acos"] == values["mer_triple_whale"] == pytest.approx(1 / values["mer_polar"])


def test_the_bases_differ_by_day_and_agree_in_the_end(store: MetricStore, rows) -> None:
    event = store.ask(Question(("net_sales", "returns"), grain="month", period="all"))
    order = store.ask(
        Question(("net_sales", "returns"), grain="month", period="all", basis="order")
    )
    assert by_key(event) != by_key(order)
    expected = rows(
        "select date_trunc('month', order_date::timestamp)::date as month,"
        " sum(net_sales_amount) as n from core.fct_orders"
        " where is_money_countable and order_date <= %s group by 1",
        [event.trust.as_of],
    )
    assert {row.keys["month"]: row.values["net_sales"] for row in order.rows} == {
        row["month"]: row["n"] for row in expected
    }


def test_attribution_models_share_out_the_same_revenue(store: MetricStore) -> None:
    names = tuple(n for n in store.catalogue.metrics if n.startswith("attributed_revenue"))
    values = store.ask(Question(names, period="all")).totals.values
    assert len(names) == 7
    assert len(set(values.values())) == 1


# --- comparisons ----------------------------------------------------------------------------------


def test_each_row_is_compared_with_its_counterpart(store: MetricStore) -> None:
    asked = Question(("net_sales", "orders"), ("country",), period="last_90_days")
    now = store.ask(dataclasses.replace(asked, compare="previous_period"))
    then = by_key(store.ask(dataclasses.replace(asked, period=now.before)))
    assert {tuple(row.keys.values()) for row in now.rows} >= set(then)
    for row in now.rows:
        before = then.get(tuple(row.keys.values()), {"net_sales": 0, "orders": 0})
        assert {k: number(v) for k, v in row.before.items()} == before


def test_months_of_a_year_are_compared_in_their_places(store: MetricStore) -> None:
    answer = store.ask(
        Question(("total_sales",), grain="month", period="last_year", compare="prior_year")
    )
    older = store.ask(Question(("total_sales",), grain="month", period=answer.before))
    sums = {row.keys["month"].month: row.values["total_sales"] for row in older.rows}
    assert answer.rows
    for row in answer.rows:
        assert row.before["total_sales"] == sums.get(row.keys["month"].month, 0)


def test_growth_is_unknown_where_nothing_was_before(store: MetricStore) -> None:
    first = store.ask(Question(("net_sales",), grain="day", period="all")).rows[0].keys["day"]
    month = f"{first:%Y-%m}"
    answer = store.ask(Question(("net_sales",), period=month, compare="prior_year"))
    assert answer.totals.before == {"net_sales": 0}
    assert answer.totals.growth("net_sales") is None


def test_metricflows_own_growth_agrees_with_the_comparison(store: MetricStore) -> None:
    asked = Question(("total_sales",), grain="month", period="last_year", compare="prior_year")
    compared = store.ask(asked)
    grown = store.ask(Question(("total_sales_growth",), grain="month", period="last_year"))
    growth = {row.keys["month"]: row.values["total_sales_growth"] for row in grown.rows}
    known = [row for row in compared.rows if row.growth("total_sales") is not None]
    assert known
    for row in known:
        assert float(growth[row.keys["month"]]) == pytest.approx(row.growth("total_sales"))


# --- order and limit ------------------------------------------------------------------------------


def test_the_highest_come_first_and_ties_by_name(store: MetricStore) -> None:
    answer = store.ask(Question(("net_sales",), ("country",), period="all"))
    assert all(
        (-a.values["net_sales"], a.keys["country"]) <= (-b.values["net_sales"], b.keys["country"])
        for a, b in pairwise(answer.rows)
    )
    few = store.ask(Question(("net_sales",), ("country",), period="all", limit=2))
    assert few.rows == answer.rows[:2]
    assert few.is_cut and not answer.is_cut
    assert few.totals == answer.totals  # of all rows, not of those shown


def test_metrics_equal_the_headline(store: MetricStore, rows) -> None:
    """The page at the end of `make demo` and the semantic layer tell the same."""
    same = {
        "gross_sales": "gross_sales_amount",
        "discounts": "discount_amount",
        "returns": "returns_amount",
        "net_sales": "net_sales_amount",
        "shipping_revenue": "shipping_amount",
        "tax": "tax_amount",
        "total_sales": "total_sales_amount",
        "cogs": "cogs_amount",
        "variable_costs": "variable_cost_amount",
        "marketing_spend": "marketing_spend_amount",
        "overheads": "overhead_amount",
        "total_cost": "total_cost_amount",
        "net_profit": "net_profit_amount",
        "cost_coverage": "cost_coverage",
        "orders": "orders",
        "units_sold": "units",
        "active_customers": "customers",
        "repeat_purchase_rate": "repeat_purchase_rate",
    }
    headline = rows("select * from reporting.agg_headline_kpis")[0]
    values = store.ask(Question(tuple(same), period="all")).totals.values
    for name, column in same.items():
        assert float(values[name]) == pytest.approx(float(headline[column]), abs=1e-6), name
    assert round(
        store.ask(Question(("average_order_value",), period="all")).totals.values[
            "average_order_value"
        ],
        2,
    ) == float(headline["average_order_value"])


def test_metrics_equal_the_reports_that_state_them(store: MetricStore, rows) -> None:
    """Returning customers by month, and CM2 by day, as reporting has them."""
    people = rows(
        "select period_start_date as month, active_customers, new_customers, returning_customers"
        " from reporting.agg_customer_periods where period_grain = 'month' and is_complete"
    )
    names = ("active_customers", "new_customers", "returning_customers")
    answer = store.ask(Question(names, grain="month", period="all"))
    found = {row.keys["month"]: dict(row.values) for row in answer.rows}
    assert people
    for row in people:
        month = row.pop("month")
        assert found.get(month, dict.fromkeys(names, 0)) == row, month
    days = rows(
        "select metric_date as day, sum(cm2_amount) as cm2, sum(cm3_amount) as cm3"
        " from reporting.agg_daily_metrics where is_complete group by 1"
    )
    answer = store.ask(Question(("cm2", "cm3"), grain="day", period="all", with_rollups=False))
    found = {row.keys["day"]: (row.values["cm2"], row.values["cm3"]) for row in answer.rows}
    for row in days:
        assert found.get(row["day"], (0, 0)) == (row["cm2"], row["cm3"]), row["day"]


def test_the_best_day_is_the_first_by_day_descending(store: MetricStore, rows) -> None:
    answer = store.ask(
        Question(("total_sales",), grain="day", period="all", order=("-total_sales",), limit=1)
    )
    best = rows(
        "select best_date, best_date_total_sales_amount as s from reporting.agg_headline_kpis"
    )
    assert answer.rows[0].keys["day"] == best[0]["best_date"]
    assert answer.rows[0].values["total_sales"] == best[0]["s"]


def test_the_best_weekday_is_that_of_means(store: MetricStore, rows) -> None:
    answer = store.ask(Question(("total_sales_per_day",), ("weekday",), period="all"))
    best = rows("select best_weekday from reporting.agg_headline_kpis")
    first = rows("select first_date from reporting.agg_headline_kpis")[0]["first_date"]
    since = store.ask(
        Question(
            ("total_sales_per_day",),
            ("weekday",),
            period=Period(first, answer.period.end),
        )
    )
    assert since.rows[0].keys["weekday"] == best[0]["best_weekday"]


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"metrics": ("netsales",)}, "did you mean net_sales"),
        ({"metrics": ("xyzzy",)}, "`ledgerline metrics list` lists all"),
        ({"metrics": ()}, "needs a metric"),
        ({"metrics": ("net_sales",), "dimensions": ("contry",)}, "did you mean country"),
        ({"metrics": ("net_sales",), "dimensions": ("month",)}, "month is a grain"),
        (
            {"metrics": ("net_profit",), "dimensions": ("country",)},
            r"net_profit can't be broken down by country, since .* isn't known by it",
        ),
        ({"metrics": ("orders",), "dimensions": ("category",)}, "orders can't be broken down by"),
        ({"metrics": ("net_sales",), "grain": "fortnight"}, "no grain"),
        ({"metrics": ("net_sales",), "compare": "yesterday"}, "no comparison"),
        ({"metrics": ("net_sales",), "basis": "cash"}, "no basis"),
        ({"metrics": ("net_sales",), "limit": 0}, "at least 1"),
        ({"metrics": ("net_sales",), "order": ("-orders",)}, "not in the question"),
        ({"metrics": ("total_sales_growth",)}, "needs a grain"),
        (
            {"metrics": ("net_sales",), "filters": (Filter("order_date", ("soon",), ">="),)},
            "should look like",
        ),
        (
            {"metrics": ("net_sales",), "filters": (Filter("country", ("GB",), "=="),)},
            "no operator",
        ),
        ({"metrics": ("net_sales",), "filters": (Filter("country", ()),)}, "names no value"),
    ],
)
def test_what_cannot_be_answered_is_refused_in_one_line(store, asked, message) -> None:
    with pytest.raises(MetricError, match=message) as refused:
        store.ask(Question(**asked))
    assert "\n" not in str(refused.value)


def test_conditions_as_text() -> None:
    assert Filter.parse("country=GB,FR") == Filter("country", ("GB", "FR"))
    assert Filter.parse("device != mobile") == Filter("device", ("mobile",), "!=")
    assert Filter.parse("product_name~a, b") == Filter("product_name", ("a, b",), "contains")
    assert Filter.parse("order_date>=2025-01-01").operator == ">="
    with pytest.raises(MetricError, match="no condition"):
        Filter.parse("country")


def test_conditions_mean_what_they_say(store: MetricStore) -> None:
    def sales(*filters: Filter) -> Decimal:
        return store.ask(Question(("demand_sales",), filters=filters, period="all")).totals.values[
            "demand_sales"
        ]

    whole = sales()
    assert sales(Filter("country", ("GB",))) + sales(Filter("country", ("GB",), "!=")) == whole
    name = "product_name"
    assert (
        sales(Filter(name, ("a",), "contains")) + sales(Filter(name, ("A",), "does not contain"))
        == whole
    )
    early = Filter("order_date", ("2025-06-01",), "<")
    late = Filter("order_date", ("2025-06-01",), ">=")
    assert 0 < sales(early) < whole
    assert sales(early) + sales(late) == whole


# --- nothing gets through a filter ----------------------------------------------------------------

HOSTILE = [
    "' or 1=1 --", "'; drop table core.fct_orders; --", "{{ 1/0 }}", "{% raw %}", "%(p0)s", "%s",
    "__p0__", '"', "\\", "$1", "/* */", "GB') or ('1'='1", "{{ Dimension('order__country') }}", "%",
]  # fmt: skip
TEXT = st.one_of(
    st.sampled_from(HOSTILE), st.text(st.characters(codec="utf-8", exclude_characters="\0"))
)


@given(value=TEXT, operator=st.sampled_from(["=", "!=", "contains", "begins with"]))
@settings(max_examples=150, deadline=None)
def test_a_value_is_never_read_as_sql(store: MetricStore, value: str, operator) -> None:
    """Whatever it holds, it is compared as text: the answer is that of a comparison in Python."""
    sold = by_key(store.ask(Question(("demand_sales",), ("country",), period="all")))
    kept = {
        "=": lambda country: country == value,
        "!=": lambda country: country != value,
        "contains": lambda country: value.lower() in country.lower(),
        "begins with": lambda country: country.lower().startswith(value.lower()),
    }[operator]
    expected = {key: row for key, row in sold.items() if kept(key[0])}
    found = store.ask(
        Question(
            ("demand_sales",),
            ("country",),
            (Filter("country", (value,), operator),),
            period="all",
            with_totals=False,
        )
    )
    assert by_key(found) == expected
    statement = found.statements[0]
    assert value in statement.parameters.values()


@given(name=TEXT)
@settings(max_examples=50, deadline=None)
def test_a_name_is_looked_up_never_run(store: MetricStore, name: str) -> None:
    assume(name not in periods.GRAINS)
    for asked in (
        Question((name,)),
        Question(("net_sales",), (name,)),
        Question(("net_sales",), filters=(Filter(name, ("x",)),)),
        Question(("net_sales",), order=(name,)),
        Question(("net_sales",), grain=name),  # type: ignore[arg-type] -- wrong on purpose
    ):
        with pytest.raises(MetricError):
            store.ask(asked)


def test_the_connection_can_only_read(store: MetricStore) -> None:
    store.trust()
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        store._run("delete from core.fct_orders", {})


def test_a_connection_that_was_lost_is_opened_again(store: MetricStore) -> None:
    first = store.ask(Question(("orders",), period="all")).totals
    store._connection.close()
    assert store.ask(Question(("orders",), period="all")).totals == first


def test_a_question_over_gaps_says_so(store: MetricStore, warehouse: Settings, rows) -> None:
    """The stamp follows the proof: a comparison that fails shows on every answer."""
    one = "(basis, store_id, metric_date, measure) = (%s, %s, %s, %s)"
    row = rows("select * from quality.recon_money order by 1, 2, 3, 4 limit 1")[0]
    key = [row["basis"], row["store_id"], row["metric_date"], row["measure"]]
    change = f"update quality.recon_money set is_reconciled = not is_reconciled where {one}"
    rows(f"{change} returning 1", key)
    try:
        store._trust = None
        trust = store.ask(Question(("orders",), period="all")).trust
        assert (trust.is_reconciled, trust.gaps) == (False, 1)
    finally:
        rows(f"{change} returning 1", key)
        store._trust = None
    assert store.trust().is_reconciled is True


@pytest.fixture
def as_reader(store: MetricStore, warehouse: Settings) -> Iterator[MetricStore]:
    """The same shop, asked by a login that may see neither costs nor personal data."""
    name, password = f"login_{secrets.token_hex(4)}", secrets.token_hex(16)
    owner = psycopg.connect(**warehouse.postgres(), autocommit=True)
    owner.execute(
        sql.SQL("create role {} login password {} in role ledgerline_reader").format(
            sql.Identifier(name), sql.Literal(password)
        )
    )
    to = warehouse.postgres()
    mine = {
        "postgres_host": to["host"],
        "postgres_port": to["port"],
        "postgres_user": name,
        "postgres_password": SecretStr(password),
    }
    with MetricStore(warehouse.model_copy(update=mine), store.catalogue) as reader:
        yield reader
    owner.execute(sql.SQL("drop role {}").format(sql.Identifier(name)))
    owner.close()


def test_a_reader_is_told_everything_but_costs(store: MetricStore, as_reader: MetricStore) -> None:
    for name, metric in store.catalogue.metrics.items():
        grain = "year" if metric.needs_grain else None
        for with_rollups in (True, False):
            question = Question((name,), period="all", grain=grain, with_rollups=with_rollups)
            if metric.meta.get("finance"):
                with pytest.raises(MetricError, match="ledgerline_finance"):
                    as_reader.ask(question)
            else:
                assert as_reader.ask(question).totals == store.ask(question).totals, name


def test_a_reader_is_told_nothing_personal(as_reader: MetricStore) -> None:
    for name, dimension in as_reader.catalogue.dimensions.items():
        if dimension.is_personal:
            with pytest.raises(MetricError, match="the database refuses"):
                as_reader.ask(Question(("orders",), (name,), period="all"))


def test_periods_are_cut_at_the_last_complete_day(store: MetricStore) -> None:
    as_of = store.trust().as_of
    future = Period(as_of, periods.add_months(as_of, 3))
    answer = store.ask(Question(("orders",), period=future, grain="day"))
    assert answer.period.is_partial
    assert all(row.keys["day"] <= as_of for row in answer.rows)
