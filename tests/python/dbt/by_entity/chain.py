"""A project of three models in a chain (lines, orders, customers), of the strategy by_entity."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import psycopg
from dbt.cli.main import dbtRunner

from loaders.settings import Settings

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
