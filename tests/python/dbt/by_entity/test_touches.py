"""What of a changed row touches which entities of the models that read it."""

from __future__ import annotations

import pytest
from chain import BY_ENTITY, Chain

pytestmark = [pytest.mark.servers, pytest.mark.dbt]


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
