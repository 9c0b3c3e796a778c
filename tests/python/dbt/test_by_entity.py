"""The incremental strategy by_entity, on a chain of three models: lines, orders, customers."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from databases import create_database, drop_database
from dbt.cli.main import dbtRunner

from loaders.settings import ROOT, Settings

pytestmark = [pytest.mark.servers, pytest.mark.dbt]

BY_ENTITY = "materialized='incremental', incremental_strategy='by_entity', on_schema_change='fail'"
MODELS = {
    # reads what logs nothing: computed as a whole, its differences are written and logged
    "lines": f"""
        {{{{ config({BY_ENTITY}, unique_key=['line_id'], meta={{
            'touches': {{'order': 'order_id'}},
            'narrow_touches': {{'buyer': {{'key': 'line_id', 'columns': ['customer']}}}},
        }}) }}}}
        select line_id, order_id, customer, amount from {{{{ source('shop', 'lines') }}}}
    """,
    "orders": f"""
        {{{{ config({BY_ENTITY}, unique_key=['order_id'], meta={{
            'entity': 'order', 'entity_column': 'order_id', 'touches': {{'customer': 'customer'}},
            'touched_also': [
                "select order_id from {{{{ ref('lines') }}}}"
                ~ " where cast(amount as text) in {{{{ touched('price') }}}}",
            ],
        }}) }}}}
        select
            lines.order_id,
            max(lines.customer) as customer,
            sum(lines.amount * rates.rate) as amount
        from {{{{ ref('lines') }}}} as lines
        cross join {{{{ ref('rates') }}}} as rates
        where {{{{ is_touched('lines.order_id') }}}}
        group by lines.order_id
    """,
    "customers": f"""
        {{{{ config({BY_ENTITY}, unique_key=['customer'], meta={{
            'entity': 'customer', 'entity_column': 'customer',
        }}) }}}}
        select customer, sum(amount) as amount, count(*) as orders
        from {{{{ ref('orders') }}}}
        where {{{{ is_touched('customer') }}}}
        group by customer
    """,
    "people": """
        {{ config(materialized='view', meta={'tested': 'weekly'}) }}
        select customer, amount from {{ ref('customers') }}
    """,
    # made anew as a whole, through a view
    "totals": """
        {{ config(materialized='table') }}
        select sum(amount) as amount, count(*) as people from {{ ref('people') }}
    """,
}
SOURCES = """
version: 2
sources:
  - name: shop
    tables:
      - name: lines
"""
TESTS = """
version: 2
models:
  - name: orders
    columns:
      - name: order_id
        data_tests: [unique]
      - name: customer
        data_tests:
          - not_null
          - relationships:
              arguments: {to: ref('customers'), field: customer}
  - name: people
    columns:
      - name: amount
        data_tests: [not_null]
  - name: totals
    columns:
      - name: amount
        data_tests: [not_null, unique]
"""
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
SAME_SUM = """
    with sums as (
        select order_id, amount from {{ ref('orders') }}
        where {{ is_tested('order', 'order_id') }}
        union all
        select order_id, -amount from {{ ref('lines') }}
        where {{ is_tested('order', 'order_id') }}
    )
    select order_id from sums group by order_id having sum(amount) <> 0
"""
SHOP = """
    drop schema if exists shop cascade;
    drop schema if exists ops cascade;
    drop schema if exists marts cascade;
    drop schema if exists bi cascade;
    create schema shop;
    create table shop.lines (line_id text, order_id text, customer text, amount integer);
    insert into shop.lines values
        ('1', 'a', 'ann', 1), ('2', 'a', 'ann', 2), ('3', 'b', 'ann', 4), ('4', 'c', 'bob', 8);
"""


class Chain:
    """The small project and its database."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.folder = folder
        self.settings = settings
        self.manifest: Any = None

    def dbt(self, command: str, *arguments: str, success: bool = True) -> list[str]:
        """Run dbt, for its errors; a changed file is seen only after `parse`."""
        runner = dbtRunner(manifest=None if command == "parse" else self.manifest)
        folders = ["--project-dir", str(self.folder), "--target-path", str(self.folder / "target")]
        logs = ["--log-path", str(self.folder / "logs"), "--quiet"]
        profiles = ["--profiles-dir", os.environ["DBT_PROFILES_DIR"]]
        done = runner.invoke([command, *arguments, *folders, *profiles, *logs])
        errors = [r.message for r in getattr(done.result, "results", []) if r.status == "error"]
        assert done.success is success, (done.exception, errors)
        if command == "parse":
            self.manifest = done.result
        return errors

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(**self.settings.postgres(), autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def customers(self) -> dict[str, tuple[int, int]]:
        """{customer: (amount, orders)}."""
        rows = self.rows("select customer, amount, orders from marts.customers")
        return {customer: (int(amount), orders) for customer, amount, orders in rows}

    def tests(self) -> dict[str, tuple[str, bool]]:
        """{test: (its status, whether it asked the database by its own SQL)} in the last run."""
        results = json.loads((self.folder / "target/run_results.json").read_text())["results"]
        return {
            r["unique_id"].split(".")[2]: (r["status"], r["adapter_response"].get("code") != "SKIP")
            for r in results
            if r["unique_id"].startswith("test.")
        }

    def failed(self) -> list[str]:
        return sorted(name for name, (status, _) in self.tests().items() if status == "fail")

    def log(self) -> set[tuple[str, str, str]]:
        return set(self.rows("select model, entity, entity_id from ops.touched"))


@pytest.fixture(scope="module")
def project(
    servers: Settings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], Chain]]:
    """Writes the small project; the same macros, the same name."""
    name = f"by_entity_{secrets.token_hex(4)}"
    create_database(servers, name)
    folder = tmp_path_factory.mktemp("by_entity")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POSTGRES_DB", name)
        shutil.copytree(ROOT / "macros", folder / "macros")
        for path in (folder / "macros").glob("*.yml"):
            path.unlink()
        (folder / "models").mkdir()
        (folder / "seeds").mkdir()
        shutil.copytree(ROOT / "tests/dbt/generic", folder / "tests/dbt/generic")
        project_file = (ROOT / "dbt_project.yml").read_text().split("\nmodels:")[0]
        (folder / "dbt_project.yml").write_text(
            project_file + "\nmodels:\n  ledgerline:\n    +schema: marts\n"
            "seeds:\n  ledgerline:\n    +schema: marts\n"
        )
        chain = Chain(folder, Settings())
        written: dict[str, str] = {}

        def fresh() -> Chain:
            files = {f"models/{model}.sql": sql for model, sql in MODELS.items()}
            files |= {"models/sources.yml": SOURCES, "seeds/rates.csv": "rate\n1\n"}
            files |= {"models/tests.yml": TESTS, "tests/dbt/same_sum.sql": SAME_SUM}
            now = {name: (folder / name).read_text() for name in files if (folder / name).exists()}
            if now != files or not written:
                for name, text in files.items():
                    (folder / name).write_text(text)
                chain.dbt("parse")
                written.update(files)
            return chain

        yield fresh
    drop_database(servers, name)


@pytest.fixture
def chain(project: Callable[[], Chain]) -> Chain:
    """The chain, built once."""
    chain = project()
    chain.rows(SHOP)
    chain.dbt("build")
    assert chain.customers() == {"ann": (7, 2), "bob": (8, 1)}
    return chain


def test_a_first_build_leaves_nothing_to_take_over(chain: Chain) -> None:
    # what nobody reads is forgotten, what the children took over as well
    assert chain.log() == set()
    assert chain.rows("select count(*) from ops.built") == [(9,)]


def test_a_moved_entity_leaves_the_old_parent_too(chain: Chain) -> None:
    chain.rows("update shop.lines set customer = 'bob' where order_id = 'b'")
    chain.dbt("build")
    assert chain.customers() == {"ann": (3, 1), "bob": (12, 2)}


def test_an_entity_that_vanished_is_gone(chain: Chain) -> None:
    chain.rows("delete from shop.lines where order_id = 'c'")
    chain.dbt("build")
    assert chain.customers() == {"ann": (7, 2)}
    assert chain.rows("select count(*) from marts.orders where order_id = 'c'") == [(0,)]


def test_only_touched_entities_are_computed(chain: Chain) -> None:
    chain.rows("update marts.customers set amount = 1000 + amount")
    chain.rows("insert into shop.lines values ('5', 'd', 'bob', 16)")
    chain.dbt("build")
    assert chain.customers() == {"ann": (1007, 2), "bob": (24, 2)}


def test_a_recomputation_that_changes_nothing_goes_no_further(chain: Chain) -> None:
    chain.rows("update marts.customers set amount = 1000")
    # the sum stays
    chain.rows("update shop.lines set amount = 3 - amount::int where order_id = 'a'")
    chain.dbt("build", "--select", "lines orders")
    assert chain.log() == set()
    chain.dbt("build")
    assert chain.customers() == {"ann": (1000, 2), "bob": (1000, 1)}


def test_a_build_that_stopped_between_models_goes_on_where_it_was(chain: Chain) -> None:
    chain.rows("update shop.lines set customer = 'bob' where order_id = 'b'")
    chain.dbt("run", "--select", "lines")
    chain.rows("alter table marts.orders add constraint no_bob check (customer <> 'bob') not valid")
    chain.dbt("run", success=False)
    assert chain.customers() == {"ann": (7, 2), "bob": (8, 1)}
    chain.rows("alter table marts.orders drop constraint no_bob")
    chain.dbt("run")
    assert chain.customers() == {"ann": (3, 1), "bob": (12, 2)}


def test_a_model_built_alone_takes_over_what_its_parents_have(chain: Chain) -> None:
    chain.rows("insert into shop.lines values ('5', 'd', 'cy', 16)")
    chain.dbt("run", "--select", "customers")
    assert "cy" not in chain.customers()
    chain.dbt("run", "--select", "lines")
    chain.dbt("run", "--select", "customers")
    assert "cy" not in chain.customers()
    chain.dbt("run", "--select", "orders")
    chain.dbt("run", "--select", "customers")
    assert chain.customers()["cy"] == (16, 1)


def test_a_parent_built_from_nothing_touches_everything(chain: Chain) -> None:
    chain.rows("update marts.customers set amount = 1000")
    chain.dbt("run", "--select", "orders", "--full-refresh")
    assert chain.log() == {("orders", "*", "*")}
    chain.dbt("build")
    assert chain.customers() == {"ann": (7, 2), "bob": (8, 1)}
    assert chain.log() == set()


def test_touches_are_kept_until_all_have_taken_them_over(chain: Chain) -> None:
    for line in (5, 6):
        chain.rows(f"insert into shop.lines values ('{line}', 'd{line}', 'cy', 16)")
        chain.dbt("run", "--select", "lines orders")
    assert {entry for entry in chain.log() if entry[1] == "customer"} == {
        ("orders", "customer", "cy")
    }
    assert {entry[2] for entry in chain.log() if entry[1] == "order"} == {"d5", "d6"}
    chain.dbt("run", "--select", "customers")
    assert chain.customers()["cy"] == (32, 2)
    # tests read them too, and a table that is made anew
    chain.dbt("test")
    assert chain.log() == {("customers", "customer", "cy")}
    chain.dbt("run", "--select", "totals")
    assert chain.log() == {("totals", "*", "*")}
    chain.dbt("test")
    assert chain.log() == set()


def test_a_changed_seed_or_model_is_computed_anew(chain: Chain) -> None:
    (chain.folder / "seeds/rates.csv").write_text("rate\n10\n")
    chain.dbt("parse")
    chain.dbt("build", "--exclude", "same_sum")
    assert chain.customers() == {"ann": (70, 2), "bob": (80, 1)}
    model = chain.folder / "models/customers.sql"
    model.write_text(model.read_text().replace("count(*)", "count(*) + 100"))
    chain.dbt("parse")
    chain.dbt("build", "--exclude", "same_sum")
    assert chain.customers() == {"ann": (70, 102), "bob": (80, 101)}


def test_a_model_with_other_columns_is_made_anew(chain: Chain) -> None:
    def table() -> int:
        return chain.rows("select cast(cast('marts.customers' as regclass) as integer)")[0][0]

    model = chain.folder / "models/customers.sql"
    model.write_text(model.read_text().replace("as orders", "as orders, max(amount) as largest"))
    chain.dbt("parse")
    before = table()
    chain.dbt("build")
    assert table() != before
    largest = chain.rows("select customer, largest from marts.customers order by 1")
    assert largest == [("ann", 4), ("bob", 8)]
    assert chain.rows("select count(*) from marts.people") == [(2,)]
    anew = table()
    chain.rows("update shop.lines set amount = 16 where line_id = '4'")
    chain.dbt("build")
    assert table() == anew
    assert chain.customers() == {"ann": (7, 2), "bob": (16, 1)}


EVENTS = """
    {{ config(
        materialized='incremental', incremental_strategy='by_document', unique_key='event_id',
        on_schema_change='fail',
    ) }}
    with documents as ({{ changed_documents(source('shop', 'events')) }})
    select document_id as event_id, cast(doc ->> 'n' as integer) as n, _loaded_at
    from documents
"""


@pytest.fixture
def events(chain: Chain) -> Iterator[Chain]:
    """The chain with a staging model of two documents."""
    chain.rows(
        "create table shop.events"
        " (_id text, doc jsonb, _deleted_at timestamptz, _loaded_at timestamptz);"
        """insert into shop.events values ('a', '{"n": 1}', null, '2024-01-01'),"""
        """ ('b', '{"n": 2}', null, '2024-01-01')"""
    )
    (chain.folder / "models/sources.yml").write_text(SOURCES + "      - name: events\n")
    model = chain.folder / "models/events.sql"
    model.write_text(EVENTS)
    try:
        chain.dbt("parse")
        chain.dbt("run", "--select", "events")
        yield chain
    finally:
        model.unlink()


def read_events(chain: Chain) -> tuple[dict[str, int], bool]:
    """({event: n}, whether the model was left as it was) after another run."""
    chain.dbt("run", "--select", "events")
    results = json.loads((chain.folder / "target/run_results.json").read_text())["results"]
    [code] = [r["adapter_response"].get("code") for r in results if ".events" in r["unique_id"]]
    return dict(chain.rows("select event_id, n from marts.events")), code == "SKIP"


def test_staging_reads_what_was_loaded_since(events: Chain) -> None:
    assert read_events(events) == ({"a": 1, "b": 2}, True)
    # what a load changes has a later time; "b" is there to show that it is not read
    events.rows("""update shop.events set doc = '{"n": 7}'""")
    events.rows("update shop.events set _loaded_at = '2024-01-02' where _id = 'a'")
    assert read_events(events) == ({"a": 7, "b": 2}, False)
    assert read_events(events) == ({"a": 7, "b": 2}, True)
    events.rows("truncate marts.events")
    assert read_events(events) == ({"a": 7, "b": 7}, False)


def test_a_staging_model_that_was_changed_reads_all_documents(events: Chain) -> None:
    model = events.folder / "models/events.sql"
    model.write_text(EVENTS.replace("as integer)", "as integer) * 10"))
    events.dbt("parse")
    assert read_events(events) == ({"a": 10, "b": 20}, False)
    assert read_events(events) == ({"a": 10, "b": 20}, True)
    # one of another table, and one that was built before this was noted
    model.write_text(EVENTS.replace("as n,", "as n, 1 as one,"))
    events.dbt("parse")
    assert read_events(events) == ({"a": 1, "b": 2}, False)
    assert events.rows("select sum(one) from marts.events") == [(2,)]
    events.rows("delete from ops.built where model = 'events' and parent = 'events'")
    assert read_events(events) == ({"a": 1, "b": 2}, False)


def test_expansions_add_entities_of_other_kinds(chain: Chain) -> None:
    chain.rows("update marts.orders set amount = 1000")
    chain.rows("insert into ops.touched (model, entity, entity_id) values ('lines', 'price', '4')")
    chain.dbt("run", "--select", "orders")
    assert dict(chain.rows("select order_id, amount::int from marts.orders")) == {
        "a": 1000, "b": 4, "c": 1000,
    }  # fmt: skip


def test_of_a_touched_month_its_days_are_read(chain: Chain) -> None:
    """The months before and after it are left as they are, also their days beside it."""
    chain.rows("alter table shop.lines add column day date not null default '2024-02-29'")
    chain.rows("update shop.lines set day = '2024-03-01' where order_id = 'b'")
    chain.rows("update shop.lines set day = '2024-01-31' where order_id = 'c'")
    lines = chain.folder / "models/lines.sql"
    lines.write_text(
        lines.read_text()
        .replace("customer, amount from", "customer, amount, day from")
        .replace("'touches': {", "'touches': {'day': 'day', ")
    )
    months = chain.folder / "models/months.sql"
    months.write_text(f"""
        {{{{ config({BY_ENTITY}, unique_key=['month'], meta={{
            'entity': 'month', 'entity_column': 'month',
            'touched_also': [
                "select date_trunc('month', days.entity_id) from {{{{ touched('day') }}}} as days",
            ],
        }}) }}}}
        select cast(date_trunc('month', day) as date) as month, sum(amount) as amount
        from {{{{ ref('lines') }}}}
        where {{{{ is_touched('day', by_day=true) }}}}
        group by 1
    """)

    def amounts() -> dict[str, int]:
        return dict(chain.rows("select month::text, amount::int from marts.months"))

    try:
        chain.dbt("parse")
        chain.dbt("run", "--full-refresh", "--select", "lines months")
        assert amounts() == {"2024-01-01": 8, "2024-02-01": 3, "2024-03-01": 4}
        chain.rows("update marts.months set amount = 0 where month <> '2024-02-01'")
        chain.rows("update shop.lines set amount = 10 where line_id = '1'")
        chain.rows("insert into shop.lines values ('5', 'a', 'ann', 5, '2024-02-01')")
        chain.dbt("run", "--select", "lines months")
        assert amounts() == {"2024-01-01": 0, "2024-02-01": 17, "2024-03-01": 0}
    finally:
        months.unlink()


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


def test_a_table_is_made_anew_only_when_what_it_reads_was_touched(chain: Chain) -> None:
    def made() -> tuple[int, int]:
        """Which table it is, and the sum in it."""
        [(oid, amount)] = chain.rows(
            "select 'marts.totals'::regclass::oid::bigint, amount::int from marts.totals"
        )
        return oid, amount

    first = made()
    chain.dbt("build")
    assert made() == first
    chain.rows("update shop.lines set amount = 9 where order_id = 'c'")
    chain.dbt("build")
    second = made()
    assert second[0] != first[0]
    assert second[1] == 16
    # not by what stands in it: that is for the tests, and for a full refresh
    chain.rows("update marts.totals set amount = 0")
    chain.dbt("run", "--select", "totals")
    assert made() == (second[0], 0)
    chain.dbt("run", "--full-refresh", "--select", "totals")
    assert made()[1] == 16
    # a table that is gone, one of another text, one that reads a view of another text
    chain.rows("drop table marts.totals")
    chain.dbt("run", "--select", "totals")
    assert made()[1] == 16
    for name, before, after, amount in (
        ("totals", "sum(amount)", "sum(amount) + 1", 17),
        ("people", "amount from", "amount * 2 as amount from", 33),
    ):
        model = chain.folder / f"models/{name}.sql"
        model.write_text(model.read_text().replace(before, after))
        chain.dbt("parse")
        chain.dbt("run", "--select", "people totals")
        assert made()[1] == amount


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


def test_a_column_that_nobody_names_touches_them_not(chain: Chain) -> None:
    def buyers() -> set[str]:
        return {entity_id for _, entity, entity_id in chain.log() if entity == "buyer"}

    chain.rows("update shop.lines set amount = 5 where line_id = '3'")
    chain.dbt("run", "--select", "lines")
    assert chain.log() == {("lines", "order", "b")}
    chain.rows("update shop.lines set customer = 'bob' where line_id in ('1', '3')")
    chain.rows("delete from shop.lines where line_id = '4'")
    chain.dbt("run", "--select", "lines")
    assert buyers() == {"1", "3", "4"}


def test_columns_that_are_set_apart_touch_only_who_asks_for_them(chain: Chain) -> None:
    chain.rows("alter table shop.lines add column note text")
    apart = "{'noted_line': {'key': 'line_id', 'columns': ['note']}}"
    lines = chain.folder / "models/lines.sql"
    lines.write_text(
        lines.read_text()
        .replace("customer, amount from", "customer, amount, note from")
        .replace("meta={", f"meta={{'set_apart': {apart},")
        .replace("'touches': {", "'touches': {'line': 'line_id', ")
    )
    notes = chain.folder / "models/notes.sql"
    notes.write_text(f"""
        {{{{ config({BY_ENTITY}, unique_key=['line_id'], meta={{
            'entity': 'line', 'entity_column': 'line_id',
            'touched_also': ["select entity_id from {{{{ touched('noted_line') }}}} as lines"],
        }}) }}}}
        select line_id, note, amount from {{{{ ref('lines') }}}}
        where {{{{ is_touched('line_id') }}}}
    """)
    tests = chain.folder / "models/tests.yml"
    tests.write_text(
        tests.read_text()
        + "  - name: lines\n    columns:\n      - name: note\n        data_tests:\n"
        + "          - accepted_values: {arguments: {values: [x, y]}}\n"
    )
    try:
        chain.dbt("parse")
        chain.dbt("build", "--full-refresh")
        chain.rows("update marts.orders set amount = 1000 where order_id = 'b'")
        chain.rows("update shop.lines set note = 'x' where line_id = '3'")
        chain.dbt("run", "--select", "lines")
        assert chain.log() == {("lines", "noted_line", "3")}
        chain.dbt("run", "--select", "notes orders")
        assert chain.rows("select note from marts.notes where line_id = '3'") == [("x",)]
        assert chain.rows("select amount::int from marts.orders where order_id = 'b'") == [(1000,)]
        # beside another change, and as a whole row, it touches everything that the row touches
        chain.rows("update shop.lines set note = 'y', amount = 5 where line_id = '3'")
        chain.rows("delete from shop.lines where line_id = '4'")
        chain.dbt("build")
        assert chain.rows("select line_id, note, amount::int from marts.notes order by 1") == [
            ("1", None, 1), ("2", None, 2), ("3", "y", 5),
        ]  # fmt: skip
        assert chain.customers() == {"ann": (8, 2)}
        # the tests of the row read it, whatever changed
        chain.rows("update shop.lines set note = 'z' where line_id = '1'")
        chain.dbt("build", success=False)
    finally:
        notes.unlink()


def test_few_rows_are_found_by_an_index(chain: Chain) -> None:
    """In an increment; built from nothing it is a plain semi-join. Both give the same rows."""
    few = "select others.line_id from shop.lines as others where coalesce(others.amount, 1) > 0"
    touched = "where {{ is_touched('lines.order_id') }}"
    orders = chain.folder / "models/orders.sql"
    orders.write_text(
        orders.read_text().replace(
            touched, f'{touched} and {{{{ is_in_few("lines.line_id", "{few}") }}}}'
        )
    )
    chain.dbt("parse")
    chain.dbt("build")
    assert chain.customers() == {"ann": (7, 2), "bob": (8, 1)}
    chain.rows("insert into shop.lines values ('5', 'd', 'bob', 16), ('6', 'd', 'bob', 0)")
    chain.dbt("build", "--log-level-file", "debug")
    assert chain.customers() == {"ann": (7, 2), "bob": (24, 2)}
    sent = (chain.folder / "logs/dbt.log").read_text()
    assert "= any(array(select others.line_id" in sent


def test_a_key_without_a_value_is_refused(chain: Chain) -> None:
    chain.rows("insert into shop.lines values ('5', null, 'cy', 16)")
    chain.dbt("run", "--full-refresh", "--select", "lines orders", success=False)
    chain.rows("update shop.lines set order_id = 'd' where line_id = '5'")
    chain.dbt("build", "--full-refresh")
    with pytest.raises(psycopg.errors.NotNullViolation):
        chain.rows("insert into marts.orders (customer, amount) values ('cy', 16)")


@pytest.mark.parametrize("contract", ["true", "false"])
def test_a_null_among_personal_data_is_refused_without_showing_its_row(
    chain: Chain, contract: str
) -> None:
    (chain.folder / "models/tests.yml").write_text(
        TESTS
        + f"""
  - name: customers
    config: {{contract: {{enforced: {contract}}}}}
    columns:
      - {{name: customer, data_type: text, config: {{meta: {{pii: true}}}},
         constraints: [{{type: not_null}}]}}
      - {{name: amount, data_type: numeric, constraints: [{{type: not_null}}]}}
      - {{name: orders, data_type: bigint}}
"""
    )
    chain.dbt("parse")
    for arguments in (["--full-refresh"], []):
        chain.rows("insert into shop.lines values ('5', 'd', 'cy of 1 Mill Lane', null)")
        [error] = chain.dbt("run", "--select", "lines orders customers", *arguments, success=False)
        assert 'column "amount" of relation "customers' in error
        assert "Mill Lane" not in error
        chain.rows("delete from shop.lines where line_id = '5'")
        chain.dbt("run", "--full-refresh", "--select", "lines orders customers")


def test_a_view_is_replaced_where_it_is(chain: Chain) -> None:
    chain.rows("create view marts.on_people as select amount from marts.people")
    chain.dbt("run", "--select", "people")
    assert chain.rows("select sum(amount) from marts.on_people") == [(15,)]
    # with other columns it is made anew, and what stands on it goes, as dbt's own does at every run
    model = chain.folder / "models/people.sql"
    model.write_text(model.read_text().replace("select customer, amount", "select amount"))
    chain.dbt("parse")
    chain.dbt("run", "--select", "people")
    assert chain.rows("select * from marts.people order by 1") == [(7,), (8,)]
    assert chain.rows("select to_regclass('marts.on_people')") == [(None,)]
    # in place of a table
    chain.rows("drop view marts.people")
    chain.rows("create table marts.people (other text)")
    chain.dbt("run", "--select", "people")
    assert chain.rows("select * from marts.people order by 1") == [(7,), (8,)]
    # and an error in it is an error, with the old one left
    model.write_text("{{ config(materialized='view') }} select nobody from {{ ref('customers') }}")
    chain.dbt("parse")
    [error] = chain.dbt("run", "--select", "people", success=False)
    assert 'column "nobody" does not exist' in error
    assert chain.rows("select * from marts.people order by 1") == [(7,), (8,)]


def test_views_follow_a_table_that_is_made_anew(chain: Chain) -> None:
    chain.rows("create schema bi")
    chain.rows(
        "create view bi.buyers as select c.customer, c.amount, count(*) as orders "
        "from marts.customers c join marts.orders using (customer) group by 1, 2"
    )
    chain.rows("create view bi.best as select customer from bi.buyers where amount > 7")
    chain.rows("create view bi.orders as select * from marts.orders where order_id <> '__dbt'")
    chain.rows("grant select on bi.best to public")
    chain.rows("update shop.lines set amount = 9 where order_id = 'c'")
    chain.dbt("run", "--full-refresh", "--exclude", "people")
    assert chain.rows("select * from bi.buyers order by 1") == [("ann", 7, 2), ("bob", 9, 1)]
    assert chain.rows("select customer from bi.best") == [("bob",)]
    assert chain.rows("select relacl is not null from pg_class where relname = 'best'") == [(True,)]
    assert chain.rows("select sum(amount) from marts.people") == [(16,)]
    # one that reads what the new version has no more goes with the old one
    model = chain.folder / "models/customers.sql"
    model.write_text(model.read_text().replace(" as amount", " as total"))
    chain.dbt("parse")
    chain.dbt("run", "--full-refresh", "--select", "customers")
    assert chain.rows("select to_regclass('bi.buyers'), to_regclass('bi.best')") == [(None, None)]
    assert chain.rows("select count(*) from bi.orders") == [(3,)]
    assert chain.rows("select count(*) from pg_class where relname like '%dbt_backup'") == [(0,)]


def test_two_builds_at_once_lose_nothing_and_double_nothing(chain: Chain) -> None:
    """Each model of the second waits for the first's, then takes over what is left."""
    chain.rows("update shop.lines set customer = 'bob' where order_id = 'b'")
    chain.rows("insert into shop.lines values ('5', 'd', 'cy', 16)")
    command = [sys.executable, "-m", "dbt.cli.main", "run", "--quiet"]
    folders = ["--project-dir", ".", "--profiles-dir", os.environ["DBT_PROFILES_DIR"]]
    with psycopg.connect(**chain.settings.postgres()) as busy:
        busy.execute("lock table marts.lines in share row exclusive mode")
        both = [
            subprocess.Popen([*command, *folders, "--target-path", f"t{i}"], cwd=chain.folder)
            for i in range(2)
        ]
        waiting = "select count(*) = 2 from pg_locks join pg_database on pg_database.oid = database"
        waiting += " where not granted and datname = current_database()"
        for _ in range(600):
            if chain.rows(waiting) == [(True,)]:
                break
            time.sleep(0.1)
    assert [process.wait() for process in both] == [0, 0]
    assert chain.customers() == {"ann": (3, 1), "bob": (12, 2), "cy": (16, 1)}
