"""Macros on values alone: no table of the warehouse is read."""

# ruff: noqa: E501 - a case is one line

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal

import psycopg
import pytest

DOCUMENT = {
    "name": {"first": "Ada"},
    "empty": "",
    "nothing": None,
    "list": [{"n": 1, "v": "1,5"}, {"n": 2, "v": 2, "main": True}],
    "map": {"b": {"n": 1}, "a": {"n": 2}},
    "word": "one",
    "old_name": "v1",
}
TABLE = f"(select 1 as id, '{json.dumps(DOCUMENT)}'::jsonb as doc) as d"

EXPRESSIONS = {
    "value": "{{ json_value('d.doc', 'list.1.n') }}",
    "text": "{{ json_text('d.doc', 'name.first') }}",
    "text_of_nothing": "{{ json_text('d.doc', 'nothing') }}",
    "text_of_no_path": "{{ json_text('d.doc', 'name.first.more') }}",
    "flagged": "{{ json_array_first('d.doc', 'list', 'main') }}",
    "unflagged": "{{ json_array_first('d.doc', 'list', 'absent') }}",
    "length": "{{ json_array_length('d.doc', 'list') }}",
    "length_of_map": "{{ json_array_length('d.doc', 'map') }}",
    "length_of_word": "{{ json_array_length('d.doc', 'word') }}",
    "length_of_nothing": "{{ json_array_length('d.doc', 'nothing') }}",
    "sum": "{{ json_array_sum('d.doc', 'list', 'v') }}",
    "sum_of_nothing": "{{ json_array_sum('d.doc', 'nothing', 'v') }}",
    "rows": "{{ json_array_rows('d', 'doc', 'list', ['id']) }}",
    "rows_of_map": "{{ json_array_rows('d', 'doc', 'map', ['id']) }}",
    "rows_of_word": "{{ json_array_rows('d', 'doc', 'word', ['id']) }}",
    "rows_of_first_path": "{{ json_array_rows('d', 'doc', ['absent', 'list'], ['id']) }}",
    "rows_of_nothing": "{{ json_array_rows('d', 'doc', 'nothing', ['id']) }}",
    "rows_of_empty": "{{ json_array_rows('d', 'doc', 'empty', ['id']) }}",
    "columns": """{{ json_to_columns('d', 'doc', [
        ('first_name', 'text', ['names.first', 'name.first']),
        ('old_name', 'text', ['new_name', 'old_name']),
        ('end', 'text', 'end'),
        ('empty', 'number', 'empty'),
        ('nothing', 'number', 'nothing'),
        ('word', 'number', 'word'),
        ('list', 'timestamp', 'list'),
    ] | rejectattr('0', 'equalto', 'end') | list, ['id']) }}""",
    "key": "{{ surrogate_key(['x', 'y']) }}",
    "agg": "{{ string_agg('x') }}",
    "agg_ordered": "{{ string_agg('x', \"'; '\", 'y desc') }}",
    "dates": "{{ date_rows(\"cast('2024-02-28' as date)\", \"cast('2024-03-01' as date)\") }}",
    "no_dates": "{{ date_rows(\"cast('2024-02-02' as date)\", \"cast('2024-02-01' as date)\") }}",
    "local_date": "{{ local_date('x') }}",
    "currency": "{{ store_currency() }}",
    "timezone": "{{ store_timezone() }}",
    "schema_of_folder": "{{ generate_schema_name('core', none) }}",
    "schema_of_none": "{{ generate_schema_name(none, none) }}",
    "comment": "{{ query_comment(none) }}",
    "comment_of_node": "{{ query_comment({'unique_id': 'model.ledgerline.x'}) }}",
    "is_day": "{{ is_day_of_month('x') }}",
    "day_first": "{{ day_first_to_iso('x') }}",
    "round_money": "{{ round_money('m.amount', 'm.currency') }}",
    "round_store_money": "{{ round_money('m.amount') }}",
}


@pytest.fixture(scope="module")
def macro(compiled) -> dict[str, str]:
    return {name: sql.strip() for name, sql in compiled(EXPRESSIONS).items()}


@pytest.fixture(scope="module")
def query(servers):
    with psycopg.connect(**servers.postgres(), autocommit=True) as connection:
        yield lambda sql: connection.execute(sql).fetchall()


@pytest.fixture
def document(query, macro):
    return lambda name: query(f"select {macro[name]} from {TABLE}")[0][0]


def test_paths(document):
    assert document("value") == 2
    assert document("text") == "Ada"
    assert document("text_of_nothing") is None
    assert document("text_of_no_path") is None


def test_arrays_as_one_value(document):
    assert document("flagged")["n"] == 2
    assert document("unflagged")["n"] == 1
    assert document("length") == 2
    assert document("length_of_map") == 2
    assert document("length_of_word") == 0
    assert document("length_of_nothing") == 0
    assert document("sum") == Decimal("3.5")
    assert document("sum_of_nothing") is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("rows", [(1, None, 1), (2, None, 2)]),
        ("rows_of_map", [(1, "a", 2), (2, "b", 1)]),
        ("rows_of_first_path", [(1, None, 1), (2, None, 2)]),
        ("rows_of_nothing", []),
        ("rows_of_empty", []),
    ],
)
def test_array_rows(query, macro, name, expected):
    sql = macro[name].replace("from d\n", f"from {TABLE}\n")
    found = query(f"select element_position, element_key, (element ->> 'n')::int from ({sql}) as r")
    assert found == expected


def test_one_value_in_place_of_a_list(query, macro):
    sql = macro["rows_of_word"].replace("from d\n", f"from {TABLE}\n")
    assert query(f"select element_position, element from ({sql}) as r") == [(1, "one")]


def test_columns_name_the_casts_that_failed(query, macro):
    sql = macro["columns"].replace("from d\n", f"from {TABLE}\n")
    columns = "first_name, old_name, empty, nothing, word, list, cast_failures"
    assert query(f"select {columns} from ({sql}) as r") == [
        ("Ada", "v1", None, None, None, None, "word,list")
    ]


def test_surrogate_keys_do_not_collide(query, macro):
    values = (
        "(values ('a','bc'), ('ab','c'), ('a',null), (null,'a'), ('a',''), (null,null)) as t(x, y)"
    )
    keys = query(f"select {macro['key']} from {values}")
    assert len(set(keys)) == 6
    assert query(f"select {macro['key']} from {values}") == keys


def test_string_agg_is_ordered(query, macro):
    values = "(values ('b', 1), ('a', 2)) as t(x, y)"
    assert query(f"select {macro['agg']}, {macro['agg_ordered']} from {values}") == [
        ("a,b", "a; b")
    ]


def test_date_rows(query, macro):
    assert query(macro["dates"]) == [
        (date(2024, 2, 28),), (date(2024, 2, 29),), (date(2024, 3, 1),)
    ]  # fmt: skip
    assert query(macro["no_dates"]) == []


def test_local_date_is_the_stores(query, macro):
    values = "(values (timestamptz '2024-07-01 23:30Z'), ('2024-01-01 23:30Z')) as t(x)"
    assert query(f"select {macro['local_date']} from {values}") == [
        (date(2024, 7, 2),), (date(2024, 1, 1),)
    ]  # fmt: skip


def test_settings_become_sql_text(query, macro):
    assert query(f"select {macro['currency']}, {macro['timezone']}") == [("GBP", "Europe/London")]


def test_schema_is_the_folders(macro):
    assert macro["schema_of_folder"] == "core"
    assert macro["schema_of_none"] == "public"


def test_query_comment_without_a_node(macro):
    assert macro["comment"] == "ledgerline"
    assert macro["comment_of_node"] == "ledgerline model.ledgerline.x"


def test_days_of_months(query, macro):
    values = "(values ('2024-02-29', true), ('2023-02-29', false), ('2024-12-31', true), ('2024-4-31', false)) as t(x, y)"
    assert query(f"select y from {values} where {macro['is_day']} is distinct from y") == []
    assert query(f"select {macro['day_first']} from (values ('7/1/2024 10:00'), ('x')) as t(x)") == [
        ("2024-1-7 10:00",), ("x",)
    ]  # fmt: skip


def test_money_is_rounded_to_its_currency(query, macro):
    money = "(values (1.2345, 'GBP'), (1.5, 'JPY'), (1.2345, 'KWD'), (-1.005, 'EUR'), (1.005, '???')) as m(amount, currency)"
    table = (
        "(values ('GBP', 2), ('JPY', 0), ('KWD', 3), ('EUR', 2)) as money(currency_code, decimals)"
    )

    def values_only(sql: str) -> str:
        start, end = sql.index("from ") + 5, sql.index(" as money")
        return sql[:start] + table + sql[end + len(" as money") :]

    found = query(f"select {values_only(macro['round_money'])} from {money}")
    assert [amount for (amount,) in found] == [
        Decimal("1.23"), Decimal(2), Decimal("1.235"), Decimal("-1.01"), Decimal("1.01")
    ]  # fmt: skip
    found = query(f"select {values_only(macro['round_store_money'])} from {money} limit 1")
    assert found == [(Decimal("1.23"),)]


def test_an_unknown_type_is_named(compiled):
    with pytest.raises(AssertionError, match="no safe cast to 'money'"):
        compiled({"x": "{{ safe_cast_json('v', 'money') }}"})
