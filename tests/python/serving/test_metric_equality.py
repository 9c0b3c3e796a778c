"""Under any filter: ledger = facts = cube = semantic layer, to the cent and to the row."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.metrics import Filter, MetricStore, Question
from serving.periods import Period

# written again by hand, on purpose: this is the second opinion
ORDER_WORDS = """
    o.store_id as store,
    coalesce(g.country_code, 'unknown') as country,
    coalesce(h.sales_channel, 'unknown') as sales_channel,
    coalesce(h.marketing_channel, 'unknown') as channel,
    coalesce(o.device, 'unknown') as device,
    coalesce(m.payment_method, 'unknown') as payment_method,
    case o.is_new_customer when true then 'new' when false then 'returning' else 'anonymous' end
        as customer_kind
"""
ORDER_JOINS = """
    left join core.dim_geography as g on o.geography_key = g.geography_key
    left join core.dim_channels as h on o.channel_key = h.channel_key
    left join core.dim_payment_methods as m on o.payment_method_key = m.payment_method_key
"""
LEDGER = f"""
    select e.*, p.category, {ORDER_WORDS}
    from finance.fct_sales_ledger as e
    join core.fct_orders as o on e.order_id = o.order_id
    join core.dim_products as p on e.product_key = p.product_key
    {ORDER_JOINS}
    where e.is_countable
"""
ORDERS = f"""
    select
        o.order_date, o.is_countable, o.is_money_countable, o.gross_sales_amount,
        o.discount_amount, o.returns_amount, o.net_sales_amount, o.shipping_amount, o.tax_amount,
        {ORDER_WORDS}
    from core.fct_orders as o
    {ORDER_JOINS}
"""
LINES = f"""
    select i.*, p.category, {ORDER_WORDS}
    from core.fct_order_items as i
    join core.fct_orders as o on i.order_id = o.order_id
    join core.dim_products as p on i.product_key = p.product_key
    {ORDER_JOINS}
    where i.is_countable
"""
CUBE = """
    select
        c.*, store_id as store, country_code as country, marketing_channel as channel,
        replace(customer_type, 'unknown', 'anonymous') as customer_kind,
        replace(category, '(order)', 'Unknown') as category_word
    from reporting.agg_sales_cube as c
"""
ORDER_DIMENSIONS = (
    "store", "country", "sales_channel", "channel", "device", "payment_method", "customer_kind",
)  # fmt: skip
LINE_DIMENSIONS = (*ORDER_DIMENSIONS, "category")


def total(*types: str) -> str:
    listed = ", ".join(f"'{each}'" for each in types)
    return f"sum(case when entry_type in ({listed}) then amount else 0 end)"


COSTS = (
    "payment_fee", "payment_fee_estimate", "shipping_cost", "fulfilment", "packaging",
    "return_handling",
)  # fmt: skip
# metric -> from the ledger, from the cube without its prefix
MONEY = {
    "gross_sales": (total("sale"), "gross_sales_amount"),
    "discounts": (f"-{total('discount')}", "discount_amount"),
    "returns": (f"-{total('return')}", "returns_amount"),
    "net_sales": (total("sale", "discount", "return"), "net_sales_amount"),
    "shipping_revenue": (total("shipping"), "shipping_amount"),
    "tax": (total("tax"), "tax_amount"),
    "total_sales": (total("sale", "discount", "return", "shipping", "tax"), "total_sales_amount"),
    "cogs": (f"-{total('cogs', 'cogs_return')}", "cogs_amount"),
    "variable_costs": (
        f"-{total('adjustment', *COSTS)}",
        "variable_cost_amount",
    ),
    "cm2": (
        "sum(case when entry_type not in ('tax', 'gift_card') then amount else 0 end)",
        "cm2_amount",
    ),
    "units_returned": (
        "-sum(case when entry_type = 'return' then quantity else 0 end)",
        "returned_units",
    ),
}
ONE_BASIS = {"gross_sales"}  # the same on both: the cube has it once


class Asked(NamedTuple):
    """A random question."""

    dimensions: tuple[str, ...]
    filters: tuple[Filter, ...]
    period: Period
    basis: str


@pytest.fixture(scope="session")
def words(rows: Callable[..., Any]) -> dict[str, list[str]]:
    """Values of each dimension, and one that none has."""
    found = {}
    for name in LINE_DIMENSIONS:
        values = rows(f"select distinct {name} as v from ({LEDGER}) as e order by 1")
        found[name] = [*(row["v"] for row in values), "nowhere"]
    return found


def asked(words: dict[str, list[str]], names: tuple[str, ...], as_of: date) -> st.SearchStrategy:
    def condition(name: str) -> st.SearchStrategy[Filter]:
        values = st.lists(st.sampled_from(words[name]), min_size=1, max_size=3, unique=True)
        operators = st.sampled_from(["=", "!="])
        return st.builds(lambda v, o: Filter(name, tuple(v), o), values, operators)

    period = st.builds(
        lambda back, length: Period(
            as_of - timedelta(days=back + length), as_of - timedelta(days=back) + timedelta(days=1)
        ),
        st.integers(0, 700),
        st.integers(0, 400),
    )
    return st.builds(
        Asked,
        st.lists(st.sampled_from(names), max_size=2, unique=True).map(tuple),
        st.lists(st.sampled_from(names), max_size=3, unique=True).flatmap(
            lambda chosen: st.tuples(*map(condition, chosen))
        ),
        period,
        st.sampled_from(["event", "order"]),
    )


def by_hand(rows, source: str, day: str, sums: dict[str, str], question: Asked, category: str):
    """Sums of a table by the question's dimensions; groups of nothing are left out."""
    column = {"category": category}
    where = [f"{day} >= %s", f"{day} < %s"]
    parameters: list[Any] = [question.period.start, question.period.end]
    for each in question.filters:
        sign = "= any(%s)" if each.operator == "=" else "<> all(%s)"
        where.append(f"{column.get(each.dimension, each.dimension)} {sign}")
        parameters.append(list(each.values))
    keys = [f"{column.get(name, name)} as {name}" for name in question.dimensions]
    listed = [f"coalesce({sql}, 0) as {name}" for name, sql in sums.items()]
    groups = ", ".join(str(number + 1) for number in range(len(keys)))
    found = rows(
        f"select {', '.join([*keys, *listed])} from ({source}) as e where {' and '.join(where)}"
        + (f" group by {groups}" if keys else ""),
        parameters,
    )
    return {
        tuple(row[name] for name in question.dimensions): {n: row[n] for n in sums}
        for row in found
        if any(row[n] for n in sums) or not keys
    }


def by_name(store: MetricStore, names, question: Asked, with_rollups: bool):
    answer = store.ask(
        Question(
            tuple(names),
            question.dimensions,
            question.filters,
            period=question.period,
            basis=question.basis,
            with_rollups=with_rollups,
            with_totals=False,
        )
    )
    return {
        tuple(row.keys.values()): dict(row.values)
        for row in answer.rows
        if any(row.values.values()) or not question.dimensions
    }


def test_money_is_the_same_from_ledger_cube_and_semantic_layer(store, rows, words) -> None:
    as_of = store.trust().as_of

    @given(question=asked(words, LINE_DIMENSIONS, as_of))
    @settings(max_examples=40, deadline=None)
    def check(question: Asked) -> None:
        day = "event_date" if question.basis == "event" else "order_date"
        prefix = "" if question.basis == "event" else "order_basis_"
        ledger = {name: sql for name, (sql, _) in MONEY.items()}
        cube = {
            name: f"sum({'' if name in ONE_BASIS else prefix}{column})"
            for name, (_, column) in MONEY.items()
        }
        expected = by_hand(rows, LEDGER, day, ledger, question, "category")
        assert by_hand(rows, CUBE, "sales_date", cube, question, "category_word") == expected
        assert by_name(store, MONEY, question, with_rollups=False) == expected
        assert by_name(store, MONEY, question, with_rollups=True) == expected

    check()


def test_money_of_orders_is_that_of_the_ledger_on_the_order_basis(store, rows, words) -> None:
    as_of = store.trust().as_of
    names = ("gross_sales", "discounts", "returns", "net_sales", "shipping_revenue", "tax")
    columns = ("gross_sales", "discount", "returns", "net_sales", "shipping", "tax")

    @given(question=asked(words, ORDER_DIMENSIONS, as_of))
    @settings(max_examples=25, deadline=None)
    def check(question: Asked) -> None:
        question = question._replace(basis="order")
        facts = {
            name: f"sum(case when is_money_countable then {column}_amount else 0 end)"
            for name, column in zip(names, columns, strict=True)
        }
        expected = by_hand(rows, ORDERS, "order_date", facts, question, "")
        ledger = {name: MONEY[name][0] for name in names}
        assert by_hand(rows, LEDGER, "order_date", ledger, question, "category") == expected
        assert by_name(store, names, question, with_rollups=True) == expected

    check()


def test_rows_are_as_many_everywhere(store, rows, words) -> None:
    """Orders, lines and entries, counted in the tables and asked for by name."""
    as_of = store.trust().as_of

    @given(question=asked(words, ORDER_DIMENSIONS, as_of))
    @settings(max_examples=25, deadline=None)
    def check(question: Asked) -> None:
        orders = {"orders": "count(*) filter (where is_countable)"}
        counted = by_hand(rows, ORDERS, "order_date", orders, question, "")
        cubed = by_hand(rows, CUBE, "sales_date", {"orders": "sum(orders)"}, question, "")
        assert cubed == counted
        for with_rollups in (True, False):
            assert by_name(store, ["orders"], question, with_rollups) == counted
        lines = {"sold_lines": "count(*) filter (where measure = 'sale')"}
        counted = by_hand(rows, LINES, "order_date", lines, question, "category")
        sums = {"sold_lines": "sum(order_lines)"}
        assert by_hand(rows, CUBE, "sales_date", sums, question, "") == counted
        for with_rollups in (True, False):
            assert by_name(store, ["sold_lines"], question, with_rollups) == counted
        day = "event_date" if question.basis == "event" else "order_date"
        entries = {"ledger_entries": "count(*)"}
        counted = by_hand(rows, LEDGER, day, entries, question, "category")
        assert by_name(store, ["ledger_entries"], question, with_rollups=True) == counted

    check()
