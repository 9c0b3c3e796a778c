"""The customers' macros on values alone: no table of the warehouse is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import psycopg
import pytest

pytestmark = [pytest.mark.servers, pytest.mark.dbt]

EXPRESSIONS = {
    "months": "{{ full_months('a', 'b') }}",
    "score": "{{ rfm_score('x asc', 'g') }}",
}


@pytest.fixture(scope="module")
def macro(compiled: Callable[[Mapping[str, str]], dict[str, str]]) -> dict[str, str]:
    return compiled(EXPRESSIONS)


@pytest.mark.parametrize(
    ("first", "second", "months"),
    [
        ("2024-01-15", "2024-02-14", 0),
        ("2024-01-15", "2024-02-15", 1),
        ("2023-11-30", "2024-02-28", 2),  # a leap year's February has one day more
        ("2023-11-30", "2024-02-29", 3),
        ("2023-01-31", "2023-02-28", 1),  # a month without that day ends on its last
        ("2024-12-31", "2025-01-01", 0),
        ("2024-02-29", "2025-02-28", 12),
        ("2010-06-01", "2025-05-31", 179),
        ("2024-03-05", "2024-03-05", 0),
    ],
)
def test_whole_months(connection, macro, first, second, months):
    table = f"(values (date '{first}', date '{second}')) as t(a, b)"
    assert connection.execute(f"select {macro['months']} from {table}").fetchone() == (months,)


def scores(connection: psycopg.Connection[Any], macro: Mapping[str, str], *values: int) -> list:
    rows = ", ".join(f"(1, {value})" for value in values)
    found = connection.execute(
        f"select {macro['score']} from (values {rows}) as t(g, x) order by x"
    ).fetchall()
    return [score for (score,) in found]


def test_scores_of_fifths(connection, macro):
    assert scores(connection, macro, *range(10)) == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]


def test_equals_score_equally(connection, macro):
    assert scores(connection, macro, 1, 1, 1, 1, 1, 1, 1, 2, 3, 4) == [1] * 7 + [4, 5, 5]


def test_one_alone_has_the_lowest_score(connection, macro):
    assert scores(connection, macro, 7) == [1]


def test_groups_are_scored_apart(connection, macro):
    found = connection.execute(
        f"select g, {macro['score']} from (values (1, 5), (1, 6), (2, 1), (2, 2)) as t(g, x)"
        " order by g, x"
    ).fetchall()
    assert found == [(1, 1), (1, 5), (2, 1), (2, 5)]
