"""The marts' macros on values alone: no table of the warehouse is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from psycopg import sql

pytestmark = [pytest.mark.servers, pytest.mark.dbt]

EXPRESSIONS = {
    "email": "{{ normalised_email('x') }}",
    "phone": "{{ normalised_phone('x') }}",
    "channel": "{{ marketing_channel('s', 'm') }}",
    "rounded": "{{ round_to_decimals('amount', 'decimals') }}",
    "converted": "{{ to_store_currency('amount') }}",
    "money": "cast(x as {{ type_money() }})",
    "captured": "x in ({{ captured_payment_statuses() }})",
}


@pytest.fixture(scope="module")
def macro(compiled: Callable[[Mapping[str, str]], dict[str, str]]) -> dict[str, str]:
    return compiled(EXPRESSIONS)


def query(connection: psycopg.Connection[Any], expression: str, table: str) -> list[Any]:
    statement = f"select {expression} from {table}"
    return [value for (value,) in connection.execute(sql.SQL(statement.replace("{", "{{")))]


def texts(*values: str | None) -> str:
    rows = ", ".join(
        "(null::text)" if v is None else sql.Literal(v).as_string().join("()") for v in values
    )
    return f"(values {rows}) as t(x)"


def test_emails_of_one_mailbox(connection, macro):
    table = texts(" Ann@X.org", "ann+tag@x.org", "a.n.n@x.org", "A.n.n+1@GoogleMail.com")
    assert query(connection, macro["email"], table) == [
        "ann@x.org", "ann@x.org", "a.n.n@x.org", "ann@gmail.com",
    ]  # fmt: skip


def test_what_is_no_email(connection, macro):
    table = texts("ann", "ann@", "@x.org", "+tag@x.org", "ann lee@x.org", "", None)
    assert query(connection, macro["email"], table) == [None] * 7


def test_phones(connection, macro):
    table = texts("+44 20 7946-0958", "0044 (20) 7946.0958", "123456", None)
    assert query(connection, macro["phone"], table) == ["442079460958", "442079460958", None, None]


def test_marketing_channels(connection, macro):
    table = (
        "(values ('Google ', 'CPC'), (null, null), ('facebok', 'paid_social'), ('x', 'e-mail'),"
        " ('x', 'carrier pigeon'), ('(direct)', '(none)')) as t(s, m)"
    )
    assert query(connection, macro["channel"], table) == [
        "paid_search", "direct", "paid_social", "email", "other", "direct",
    ]  # fmt: skip


def test_rounding_to_a_currency_s_decimals(connection, macro):
    table = "(values (1.2345, 0), (2.5, 0), (1.005, 2), (-1.005, 2), (1.2345, 3)) as t(amount, decimals)"  # noqa: E501
    assert query(connection, macro["rounded"], table) == [
        Decimal(text) for text in ("1", "3", "1.01", "-1.01", "1.235")
    ]


def test_conversion_leaves_the_store_s_own_currency_alone(connection, macro):
    connection.execute("create schema reference")
    connection.execute("create table reference.currencies (currency_code text, decimals int)")
    connection.execute("insert into reference.currencies values ('GBP', 2)")
    statement = macro["converted"]
    # the compiled look-up names the database that was parsed
    database = connection.info.dbname
    parsed = statement.split('"')[1]
    table = (
        "(values (0.001, 'GBP', 1.0), (909, 'JPY', 0.00531234), (5, 'CHF', null))"
        " as t(amount, currency, fx_rate)"
    )
    assert query(connection, statement.replace(f'"{parsed}"', f'"{database}"'), table) == [
        Decimal("0.001"), Decimal("4.83"), Decimal(0),
    ]  # fmt: skip


def test_money_keeps_a_tenth_of_a_cent(connection, macro):
    assert query(connection, macro["money"], "(values (0.001), (1.00005)) as t(x)") == [
        Decimal("0.0010"), Decimal("1.0001"),
    ]  # fmt: skip


def test_captured_payments(connection, macro):
    assert query(connection, macro["captured"], texts("captured", "refunded", "failed")) == [
        True, True, False,
    ]  # fmt: skip
