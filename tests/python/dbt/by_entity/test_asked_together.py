"""Tests that look at rows by themselves are asked in one query, and each fails for itself."""

from __future__ import annotations

import pytest
from chain import Chain

pytestmark = [pytest.mark.servers, pytest.mark.dbt]

TOGETHER = """
version: 2
models:
  - name: lines
    columns:
      - name: line_id
        data_tests: [unique]
  - name: orders
    columns:
      - name: order_id
        data_tests: [unique]
      - name: customer
        data_tests:
          - not_null
          - not_null_where:
              arguments: {condition: amount = 7}
          - accepted_values:
              arguments: {values: [ann, bob, cy]}
      - name: amount
        data_tests:
          - accepted_range:
              arguments: {min_value: 0, max_value: 60}
          - expression_is_true:
              arguments: {expression: <> 50}
  - name: totals
    columns:
      - name: amount
        data_tests:
          - accepted_range:
              arguments: {max_value: 70}
          - expression_is_true:
              arguments: {expression: <> 55}
"""


@pytest.fixture
def together(chain: Chain) -> Chain:
    """The chain with many tests that look at rows by themselves, which have passed."""
    (chain.folder / "models/tests.yml").write_text(TOGETHER)
    chain.dbt("parse")
    chain.dbt("build")
    return chain


# what an order says, and the tests that find it
FAILING: list[tuple[str | None, int, list[str]]] = [
    (None, 16, ["not_null_orders_customer"]),
    (None, 7, ["not_null_orders_customer", "not_null_where_orders_customer__amount_7"]),
    ("zed", 16, ["accepted_values_orders_customer__ann__bob__cy"]),
    ("cy", 61, ["accepted_range_orders_amount__60__0"]),
    ("cy", 50, ["expression_is_true_orders_amount___50"]),
    # in a table that is made anew after the first test has asked what was touched
    ("cy", 56, ["accepted_range_totals_amount__70"]),
    ("cy", 40, ["expression_is_true_totals_amount___55"]),
    ("cy", 16, []),
]


def test_of_tests_that_are_asked_together_those_fail_that_find_rows(together: Chain) -> None:
    together.rows("insert into shop.lines values ('5', 'd', 'cy', 0)")
    for customer, amount, failing in FAILING:
        value = f"'{customer}'" if customer else "null"
        together.rows(
            f"update shop.lines set customer = {value}, amount = {amount} where line_id = '5'"
        )
        for _ in range(2):
            together.dbt("build", "--threads", "1", success=not failing)
            assert together.failed() == failing, (customer, amount)
            alone = [name for name, state in together.tests().items() if state == ("pass", True)]
            assert not [name for name in alone if "_orders_" in name or "_totals_" in name]
    assert together.log() == set()


def test_all_rows_are_asked_together_too(together: Chain) -> None:
    together.rows("update marts.orders set amount = 61 where order_id = 'b'")
    together.dbt("build")
    together.dbt("test", "--select", "orders", "--exclude", "same_sum", success=False)
    assert together.failed() == ["accepted_range_orders_amount__60__0"]
    together.dbt("test", "--select", "expression_is_true_orders_amount___50")
    assert together.tests() == {"expression_is_true_orders_amount___50": ("pass", True)}


def test_a_test_with_an_error_fails_for_itself(together: Chain) -> None:
    tests = together.folder / "models/tests.yml"
    tests.write_text(TOGETHER.replace("amount = 7", "amounts = 7"))
    together.dbt("parse")
    for _ in "again":
        together.dbt("test", "--threads", "1", success=False)
        states = {n: s for n, (s, _) in together.tests().items() if "_orders_" in n}
        assert states.pop("not_null_where_orders_customer__amounts_7") == "error"
        # and for the one that asked for all of them
        assert sorted(states.values()) == ["error", "pass", "pass", "pass", "pass"]


def test_an_index_that_goes_while_the_run_goes_on_proves_nothing(together: Chain) -> None:
    # the test of the lines has asked the catalogue when the orders are made anew
    orders = together.folder / "models/orders.sql"
    bare = "select order_id, customer, amount from {{ ref('lines') }}"
    orders.write_text("{{ config(materialized='table') }}" + bare)
    together.dbt("parse")
    together.dbt("build", "--threads", "1", success=False)
    assert together.failed() == ["unique_orders_order_id"]


def test_an_index_that_is_gone_proves_nothing_in_a_build(together: Chain) -> None:
    [(index,)] = together.rows("select indexname from pg_indexes where tablename = 'orders'")
    together.rows(f"drop index marts.{index}")
    together.rows("insert into marts.orders select * from marts.orders where order_id = 'a'")
    together.rows("update shop.lines set amount = 5 where order_id = 'b'")
    together.dbt("build", success=False)
    assert together.failed() == ["unique_orders_order_id"]
