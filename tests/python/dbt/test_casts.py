"""Safe casts: what the shop's documents hold comes out right, and nothing at all raises."""

# ruff: noqa: E501 - a case is one line

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

TYPES = ("text", "code", "id", "number", "integer", "boolean", "timestamp", "date")
NOON = datetime(2024, 7, 1, 12, 0, tzinfo=UTC)

# type, JSON value, what it is; None: it can't be read
CASES: list[tuple[str, Any, Any]] = [
    ("number", 12, Decimal(12)),
    ("number", 12.5, Decimal("12.5")),
    ("number", "12.50", Decimal("12.50")),
    ("number", "12,50", Decimal("12.50")),
    ("number", " -12,5 ", Decimal("-12.5")),
    ("number", "1.234,50", Decimal("1234.50")),
    ("number", "1,234.50", Decimal("1234.50")),
    ("number", "1,234,567", Decimal(1234567)),
    ("number", "1.234.567", Decimal(1234567)),
    ("number", "1.234.567,891", Decimal("1234567.891")),
    ("number", "1.234", Decimal("1.234")),
    ("number", "1,234", None),  # a thousand or one and a bit: not guessed
    ("number", "0,234", Decimal("0.234")),
    ("number", "1234,567", Decimal("1234.567")),
    ("number", "12,34,56", None),
    ("number", "1.5e3", Decimal(1500)),
    ("number", "1e999999", None),
    ("number", ".5", Decimal("0.5")),
    ("number", ".", None),
    ("number", "\u00a012.50\u00a0", Decimal("12.50")),
    ("number", "\u0661\u0662", None),  # Arabic-Indic digits, which PostgreSQL can't cast
    ("number", "12 apples", None),
    ("number", "NaN", None),
    ("number", "Infinity", None),
    ("number", "-Infinity", None),
    ("number", True, None),
    ("number", {"amount": 1}, None),
    ("number", [1], None),
    ("integer", 3, 3),
    ("integer", 3.0, 3),
    ("integer", "3", 3),
    ("integer", 3.5, None),
    ("integer", 10**30, None),
    ("boolean", True, True),
    ("boolean", False, False),
    ("boolean", "yes", True),
    ("boolean", "No ", False),
    ("boolean", 1, True),
    ("boolean", 0, False),
    ("boolean", 2, None),
    ("boolean", "maybe", None),
    ("timestamp", "2024-07-01T12:00:00Z", NOON),
    ("timestamp", "2024-07-01T12:00:00.123Z", NOON + timedelta(milliseconds=123)),
    ("timestamp", "2024-07-01T14:00:00+02:00", NOON),
    ("timestamp", "2024-07-01 14:00:00+0200", NOON),
    ("timestamp", "2024-07-01 14:00:00 +02", NOON),
    ("timestamp", "2024-07-01T13:00:00", NOON),  # the store's clock: London, summer
    ("timestamp", "2024-07-01 13:00", NOON),
    ("timestamp", "2024-01-01T12:00:00", datetime(2024, 1, 1, 12, tzinfo=UTC)),
    ("timestamp", "01/07/2024 13:00:00", NOON),
    ("timestamp", "1/7/2024 13:00", NOON),
    ("timestamp", "01/07/2024", datetime(2024, 6, 30, 23, tzinfo=UTC)),
    ("timestamp", "2024-10-27T01:30:00", datetime(2024, 10, 27, 1, 30, tzinfo=UTC)),
    ("timestamp", int(NOON.timestamp()) * 1000, NOON),
    ("timestamp", str(int(NOON.timestamp()) * 1000), NOON),
    ("timestamp", 0, datetime(1970, 1, 1, tzinfo=UTC)),
    ("timestamp", 10**18, None),
    ("timestamp", -(10**18), None),
    ("timestamp", {"$date": {"$numberLong": "9223372036854775807"}}, None),
    ("timestamp", "2024-02-29T00:00:00Z", datetime(2024, 2, 29, tzinfo=UTC)),
    ("timestamp", "2023-02-29T00:00:00Z", None),
    ("timestamp", "1900-02-29T00:00:00Z", None),
    ("timestamp", "2024-04-31", None),
    ("timestamp", "31/02/1990", None),
    ("timestamp", "13/13/2024", None),
    ("timestamp", "2024-07-01T24:00:00Z", None),
    ("timestamp", "0000-01-01T00:00:00Z", None),
    ("timestamp", "now", None),
    ("timestamp", "infinity", None),
    ("timestamp", "yesterday", None),
    ("date", "2024-07-01", date(2024, 7, 1)),
    ("date", "2024-07-01T00:00:00Z", date(2024, 7, 1)),  # midnight UTC is that day everywhere
    ("date", "2024-06-30T23:30:00Z", date(2024, 7, 1)),  # a moment is the store's day
    ("date", "01/07/2024", date(2024, 7, 1)),
    ("date", 1719792000000, date(2024, 7, 1)),
    ("date", "31/02/1990", None),
    ("date", "2023-02-29", None),
    ("date", "soon", None),
    ("text", "a", "a"),
    ("text", " a ", " a "),
    ("text", 5, "5"),
    ("text", "", None),
    ("code", " Delivered ", "delivered"),
    ("id", "65a1b2c3d4e5f60718293a4b", "65a1b2c3d4e5f60718293a4b"),
    ("id", "usr-000012", '"usr-000012"'),
    ("id", 12, "12"),
]


@pytest.fixture(scope="module")
def casts(compiled) -> dict[str, str]:
    return compiled({name: f"{{{{ safe_cast_json('v', '{name}') }}}}" for name in TYPES})


def read(
    connection: psycopg.Connection, casts: dict[str, str], values: list[Any]
) -> list[dict[str, Any]]:
    """Every cast of every value in one query; many values, so that none is folded as a constant."""
    columns = ", ".join(f"{sql} as {name}" for name, sql in casts.items()).replace("%", "%%")
    cursor = connection.cursor(row_factory=psycopg.rows.dict_row)
    return cursor.execute(
        f"select {columns} from unnest(%s::jsonb[]) with ordinality as t(v, n) order by n",
        [[json.dumps(value) for value in values]],
    ).fetchall()


@pytest.fixture(scope="module")
def shared(servers):
    with psycopg.connect(**servers.postgres(), autocommit=True) as opened:
        opened.execute("set timezone to 'America/New_York'")  # casts depend on the store's only
        yield opened


def test_every_form_in_the_table(shared, casts):
    rows = read(shared, casts, [value for _, value, _ in CASES])
    wrong = [
        (name, value, row[name], expected)
        for (name, value, expected), row in zip(CASES, rows, strict=True)
        if row[name] != expected
    ]
    assert wrong == []


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**40), 10**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
    | st.text("0123456789.,+-eE /:TZ", max_size=26)
    | st.from_regex(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2})?)?(Z|[+-][0-9]{2}:?[0-9]{2})?", fullmatch=True)
    | st.from_regex(r"[0-9]{1,2}/[0-9]{1,2}/[0-9]{4}( [0-9]{2}:[0-9]{2})?", fullmatch=True),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text("ab$", max_size=2), inner, max_size=2),
    max_leaves=4,
)  # fmt: skip


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(JSON, min_size=2, max_size=150))
@example(["1e131072", "9999-12-31T23:59:59.999999999Z", "0001-01-01", 253402300799999, "1e99"])
def test_no_value_raises(shared, casts, values):
    # as text: Python knows no year 10000, PostgreSQL does
    as_text = {name: f"cast({sql} as text)" for name, sql in casts.items()}
    assert len(read(shared, as_text, values)) == len(values)


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.decimals(-(10**9), 10**9, places=2), min_size=2, max_size=100))
def test_money_survives_every_way_of_writing_it(shared, casts, amounts):
    for write in (
        str,
        lambda x: str(x).replace(".", ","),
        lambda x: f"{x:,}",
        lambda x: f"{x:,}".translate(str.maketrans(".,", ",.")),
    ):
        rows = read(shared, casts, [write(amount) for amount in amounts])
        assert [row["number"] for row in rows] == amounts


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(
        st.datetimes(datetime(1902, 1, 1), datetime(2090, 1, 1)).map(  # noqa: DTZ001
            lambda moment: moment.replace(microsecond=0, tzinfo=UTC)
        ),
        min_size=2,
        max_size=100,
    )
)
def test_moments_survive_every_way_of_writing_them(shared, casts, moments):
    london = ZoneInfo("Europe/London")

    def local(pattern):
        return lambda moment: moment.astimezone(london).strftime(pattern)

    # an hour that the clock repeats can't be told without its zone, nor can one in which
    # two time zone libraries differ: before 1972 London's rules changed often
    clear = [
        moment
        for moment in moments
        if moment.year >= 1972
        and moment.astimezone(london).utcoffset()
        == (moment - timedelta(hours=1)).astimezone(london).utcoffset()
        == (moment + timedelta(hours=1)).astimezone(london).utcoffset()
        and moment.year < 2037
    ]
    for write, some in (
        (lambda moment: moment.strftime("%Y-%m-%dT%H:%M:%SZ"), moments),
        (lambda moment: moment.isoformat(), moments),
        (lambda moment: int(moment.timestamp()) * 1000, moments),
        (local("%Y-%m-%dT%H:%M:%S"), clear),
        (local("%d/%m/%Y %H:%M:%S"), clear),
    ):
        rows = read(shared, casts, [write(moment) for moment in some])
        assert [row["timestamp"] for row in rows] == some
