"""Which rows the tests of a build read: what was written since they passed, and all each week."""

from __future__ import annotations

import pytest
from chain import Chain

pytestmark = [pytest.mark.servers, pytest.mark.dbt]


def test_a_build_tests_what_was_written_since_the_tests_passed(chain: Chain) -> None:
    chain.rows("update marts.orders set customer = null where order_id = 'b'")
    chain.rows("insert into shop.lines values ('5', 'd', 'cy', 16)")
    chain.dbt("build")
    chain.dbt("build", "--vars", "test_scope: all", success=False)
    chain.dbt("build")
    chain.dbt("test", success=False)


def test_a_unique_index_is_asked_instead_of_the_rows(chain: Chain) -> None:
    chain.dbt("test", "--select", "unique_orders_order_id")
    compiled = next((chain.folder / "target/compiled").rglob("unique_orders_order_id.sql"))
    assert "nothing to read" in compiled.read_text()
    [(index,)] = chain.rows("select indexname from pg_indexes where tablename = 'orders'")
    chain.rows(f"drop index marts.{index}")
    chain.rows("insert into marts.orders select * from marts.orders where order_id = 'a'")
    chain.dbt("test", "--select", "unique_orders_order_id", success=False)


def test_a_column_that_cannot_be_null_is_not_searched_for_nulls(chain: Chain) -> None:
    chain.rows("alter table marts.orders alter column customer set not null")
    chain.dbt("test", "--select", "not_null_orders_customer")
    compiled = next((chain.folder / "target/compiled").rglob("not_null_orders_customer.sql"))
    assert "nothing to read" in compiled.read_text()
    chain.dbt("test", "--select", "not_null_orders_customer", "--vars", "test_scope: all")
    assert "nothing to read" not in compiled.read_text()
    chain.rows("alter table marts.orders alter column customer drop not null")
    chain.rows("update marts.orders set customer = null where order_id = 'b'")
    chain.dbt("test", "--select", "not_null_orders_customer", success=False)


def test_a_test_of_a_table_reads_it_when_it_was_made_anew(chain: Chain) -> None:
    chain.rows("update marts.totals set amount = null")
    chain.dbt("build")
    chain.dbt("test", "--select", "totals", success=False)
    chain.rows("update shop.lines set amount = null where order_id in ('b', 'c')")
    chain.rows("update shop.lines set amount = null where order_id = 'a'")
    chain.dbt("build", success=False)
    chain.dbt("build", success=False)
    chain.rows("update shop.lines set amount = 9 where order_id = 'c'")
    chain.dbt("build")
    assert chain.log() == set()


def test_a_test_that_failed_fails_until_it_is_mended(chain: Chain) -> None:
    chain.rows("insert into shop.lines values ('5', 'd', null, 16)")
    chain.dbt("build", success=False)
    chain.rows("insert into shop.lines values ('6', 'e', 'bob', 16)")
    chain.dbt("build", success=False)
    chain.dbt("build", success=False)
    chain.rows("update shop.lines set customer = 'cy' where order_id = 'd'")
    chain.dbt("build")
    assert chain.log() == set()


def test_a_row_whose_parent_is_gone_is_found_though_it_did_not_change(chain: Chain) -> None:
    chain.rows("delete from marts.customers where customer = 'ann'")
    chain.dbt("build")
    chain.rows("insert into ops.touched (model, entity, entity_id)"
               " values ('customers', 'customer', 'ann')")  # fmt: skip
    chain.dbt("build", success=False)


def test_singular_tests_compare_touched_entities(chain: Chain) -> None:
    chain.rows("update marts.orders set amount = 1000 where order_id = 'b'")
    chain.dbt("build")
    chain.rows("insert into ops.touched (model, entity, entity_id)"
               " values ('orders', 'order', 'b')")  # fmt: skip
    chain.dbt("build", success=False)
    chain.dbt("build", success=False)


def test_a_singular_test_reads_when_something_was_touched(chain: Chain) -> None:
    test = chain.folder / "tests/dbt/sums.sql"
    text = """
        select 1 as one
        from (select sum(amount) as amount from {{ ref('orders') }}) as orders
        cross join (select sum(amount) as amount from {{ ref('people') }}) as people
        where orders.amount <> people.amount
    """

    def write(text: str) -> None:
        test.write_text(text)
        chain.dbt("parse")

    try:
        write(text)
        chain.dbt("build")
        assert chain.tests()["sums"] == ("pass", True)
        chain.dbt("build")
        assert chain.tests()["sums"] == ("pass", False)
        chain.rows("update marts.orders set amount = 1000 where order_id = 'b'")
        chain.dbt("build")
        # everything, in a test or when it is asked for; another test has passed nothing yet
        chain.dbt("test", "--select", "sums", success=False)
        chain.dbt("build", "--select", "sums", "--vars", "test_scope: all", success=False)
        chain.dbt("build", "--select", "sums")
        write(text + "-- again")
        chain.dbt("build", "--select", "sums", success=False)
        write(text)
        chain.dbt("build", "--select", "sums")
        chain.rows("update shop.lines set amount = 9 where order_id = 'c'")
        for _ in range(2):
            chain.dbt("build", success=False)
            assert chain.failed() == ["sums"]
        chain.rows("update marts.orders set amount = 4 where order_id = 'b'")
        chain.dbt("build")
        chain.dbt("build")
        assert chain.tests()["sums"] == ("pass", False)
        chain.rows("update marts.orders set amount = 1000 where order_id = 'b'")
        chain.rows("update ops.tested set all_at = all_at - interval '8 days'")
        chain.dbt("build", success=False)
    finally:
        test.unlink()
        chain.dbt("parse")


def test_sums_are_compared_of_touched_entities(chain: Chain) -> None:
    tests = chain.folder / "models/tests.yml"
    arguments = (
        "{expression: amount, to: ref('orders'), to_expression: amount,"
        " entity: customer, entity_column: customer}"
    )
    tests.write_text(
        tests.read_text()
        + f"  - name: customers\n    data_tests:\n      - sum_matches: {{arguments: {arguments}}}\n"
    )
    chain.dbt("parse")
    chain.dbt("build")
    # ann is wrong by hand, and nobody touches her
    chain.rows("update marts.customers set amount = 1000 where customer = 'ann'")
    chain.rows("insert into shop.lines values ('5', 'd', 'bob', 16)")
    chain.dbt("build")
    # bob is wrong, and something touches him
    chain.rows("update marts.customers set amount = 1000 where customer = 'bob'")
    chain.rows(
        "insert into ops.touched (model, entity, entity_id) values ('customers', 'customer', 'bob')"
    )
    chain.dbt("build", success=False)
    chain.rows("update marts.customers set amount = 24 where customer = 'bob'")
    chain.dbt("build")
    # all are compared after a week, and in dbt test
    chain.dbt("test", "--select", "customers", success=False)
    chain.rows("update ops.tested set all_at = all_at - interval '8 days'")
    chain.dbt("build", success=False)


def test_everything_is_tested_again_after_a_week(chain: Chain) -> None:
    chain.rows("update marts.orders set customer = null where order_id = 'b'")
    chain.dbt("build")
    chain.rows("update ops.tested set all_at = all_at - interval '8 days'")
    chain.dbt("build", success=False)


def test_what_is_tested_weekly_waits_for_the_week(chain: Chain) -> None:
    chain.rows("update marts.customers set amount = null")
    chain.dbt("build")
    chain.dbt("test", "--select", "people", success=False)
    chain.rows("update ops.tested set all_at = all_at - interval '8 days'")
    chain.dbt("build", "--select", "people", success=False)
    chain.rows("update marts.customers set amount = 0")
    chain.dbt("build", "--select", "people")
    chain.rows("update marts.customers set amount = null")
    chain.dbt("build", "--select", "people")
    # a view that was changed has passed nothing yet
    model = chain.folder / "models/people.sql"
    model.write_text(model.read_text().replace("amount from", "amount + 1 as amount from"))
    chain.dbt("parse")
    chain.dbt("build", "--select", "people", success=False)


def test_a_weekly_test_of_whole_tables_waits_for_the_week(chain: Chain) -> None:
    weekly = chain.folder / "tests/dbt/nobody_bought_much.sql"
    weekly.write_text(
        "{{ config(meta={'tested': 'weekly'}) }}"
        " select customer from {{ ref('customers') }} where amount > 100"
    )
    try:
        chain.dbt("parse")
        chain.dbt("build")
        assert chain.tests()["nobody_bought_much"] == ("pass", True)
        chain.rows("update shop.lines set amount = 200 where order_id = 'c'")
        chain.dbt("build")
        assert chain.tests()["nobody_bought_much"] == ("pass", False)
        chain.dbt("test", "--select", "nobody_bought_much", success=False)
        chain.rows("update ops.tested set all_at = all_at - interval '8 days'")
        chain.dbt("build", success=False)
        assert chain.failed() == ["nobody_bought_much"]
    finally:
        weekly.unlink()
        chain.dbt("parse")
