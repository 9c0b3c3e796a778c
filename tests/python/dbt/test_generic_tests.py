"""Each generic test passes on rows that keep its promise and fails on rows that break it."""

# ruff: noqa: E501 - a case is one line

from __future__ import annotations

import psycopg
import pytest

EMPTY = "(select 1 as a, 1 as b where false)"


def rows(columns: str, *values: str) -> str:
    """A relation of the given rows."""
    return f"(select * from (values {', '.join(values)}) as v({columns}))"


PARENTS = rows("id, kind", "(1, 'x')", "(2, 'y')")
DAYS = rows(
    "day, store", "(date '2024-02-28', 1)", "(date '2024-02-29', 1)", "(date '2024-03-01', 1)"
)

# name of the test, relation, arguments, whether it passes
CASES = [
    ("unique_grain", rows("a, b", "(1, 1)", "(1, 2)"), "columns=['a', 'b']", True),
    ("unique_grain", rows("a, b", "(1, 1)", "(1, 1)"), "columns=['a', 'b']", False),
    ("unique_grain", rows("a, b", "(null::int, 1)", "(null, 1)"), "columns=['a', 'b']", False),
    ("unique_grain", EMPTY, "columns=['a']", True),
    ("expression_is_true", rows("a, b", "(1, 1)", "(2, 2)"), "expression='a = b'", True),
    ("expression_is_true", rows("a, b", "(1, 1)", "(1, 2)"), "expression='a = b'", False),
    ("expression_is_true", rows("a, b", "(1, null::int)"), "expression='a = b'", False),
    ("expression_is_true", rows("a", "(1)"), "expression='> 0', column_name='a'", True),
    ("expression_is_true", rows("a", "(0)"), "expression='> 0', column_name='a'", False),
    ("accepted_values", rows("a", "('x')", "('y')", "(null)"), "column_name='a', values=['x', 'y']", True),
    ("accepted_values", rows("a", "('x')", "('z')"), "column_name='a', values=['x', 'y']", False),
    ("accepted_values", rows("a", "(1)", "(2)"), "column_name='a', values=[1, 2], quote=false", True),
    ("accepted_values", rows("a", "(1)", "(3)"), "column_name='a', values=[1, 2], quote=false", False),
    ("accepted_range", rows("a", "(0)", "(1)", "(null)"), "column_name='a', min_value=0, max_value=1", True),
    ("accepted_range", rows("a", "(-1)"), "column_name='a', min_value=0", False),
    ("accepted_range", rows("a", "(2)"), "column_name='a', max_value=1", False),
    ("accepted_range", rows("a", "(0)"), "column_name='a', min_value=0, inclusive=false", False),
    ("not_null_where", rows("a, b", "(null::int, 1)", "(1, 2)"), "column_name='a', condition='b = 2'", True),
    ("not_null_where", rows("a, b", "(null::int, 2)"), "column_name='a', condition='b = 2'", False),
    ("relationships_where", rows("a", "(1)", "(null)"), f"column_name='a', to=\"{PARENTS}\", field='id'", True),
    ("relationships_where", rows("a", "(3)"), f"column_name='a', to=\"{PARENTS}\", field='id'", False),
    ("relationships_where", rows("a", "(3)"), f"column_name='a', to=\"{PARENTS}\", field='id', condition='a < 3'", True),
    ("relationships_where", rows("a", "(2)"), f"column_name='a', to=\"{PARENTS}\", field='id', to_condition=\"kind = 'x'\"", False),
    ("row_count_matches", rows("a", "(1)", "(1)"), f"to=\"{PARENTS}\"", True),
    ("row_count_matches", rows("a", "(1)"), f"to=\"{PARENTS}\"", False),
    ("row_count_matches", rows("a", "(1)"), f"to=\"{PARENTS}\", to_condition='id = 1'", True),
    ("row_count_matches", rows("a", "(1)", "(2)"), "expected=2", True),
    ("row_count_matches", rows("a", "(1)", "(2)"), "expected=2, condition='a = 1'", False),
    ("sum_matches", rows("id", "(3)"), f"expression='id', to=\"{PARENTS}\", to_expression='id'", True),
    ("sum_matches", rows("id", "(4)"), f"expression='id', to=\"{PARENTS}\", to_expression='id'", False),
    ("sum_matches", rows("id", "(4)"), f"expression='id', to=\"{PARENTS}\", to_expression='id', tolerance=1", True),
    ("sum_matches", rows("id, kind", "(2, 'x')", "(1, 'y')"), f"expression='id', to=\"{PARENTS}\", to_expression='id', group_by=['kind']", False),
    ("sum_matches", rows("id, kind", "(1, 'x')", "(2, 'y')"), f"expression='id', to=\"{PARENTS}\", to_expression='id', group_by=['kind']", True),
    ("sum_matches", rows("id, kind", "(1, 'x')"), f"expression='id', to=\"{PARENTS}\", to_expression='id', group_by=['kind']", False),
    ("sum_matches", EMPTY, f"expression='a', to=\"{EMPTY}\", to_expression='a'", True),
    ("recency", rows("a", "(timestamp '2024-01-09')"), "column_name='a', datepart='day', interval=2, as_of=\"timestamp '2024-01-10'\"", True),
    ("recency", rows("a", "(timestamp '2024-01-07')"), "column_name='a', datepart='day', interval=2, as_of=\"timestamp '2024-01-10'\"", False),
    ("recency", rows("a", "(null::timestamp)"), "column_name='a', datepart='day', interval=2, as_of=\"timestamp '2024-01-10'\"", False),
    ("no_gaps_in_dates", DAYS, "column='day'", True),
    ("no_gaps_in_dates", f"(select * from {DAYS} as d where day <> date '2024-02-29')", "column='day'", False),
    ("no_gaps_in_dates", rows("day, store", "(date '2024-01-01', 1)", "(date '2024-01-02', 2)", "(date '2024-01-03', 1)"), "column='day', partition_by=['store']", False),
    ("no_gaps_in_dates", rows("day, store", "(date '2024-01-01', 1)", "(date '2024-01-05', 2)"), "column='day', partition_by=['store']", True),
]  # fmt: skip


@pytest.fixture(scope="module")
def failing_rows(servers, compiled):
    expressions = {
        str(n): f"{{{{ test_{name}('{{relation}}', {arguments}) }}}}"
        for n, (name, _, arguments, _) in enumerate(CASES)
    }
    sql = compiled(expressions)
    with psycopg.connect(**servers.postgres(), autocommit=True) as connection:
        yield lambda n: connection.execute(
            sql[str(n)].replace("{relation}", f"{CASES[n][1]} as given")
        ).fetchall()


@pytest.mark.parametrize("n", range(len(CASES)), ids=[f"{c[0]}-{c[3]}" for c in CASES])
def test_case(failing_rows, n):
    assert (failing_rows(n) == []) == CASES[n][3]


def test_every_generic_test_has_both_cases(manifest):
    ours = {
        macro.name.removeprefix("test_")
        for macro in manifest.macros.values()
        if macro.original_file_path.startswith("tests/dbt/generic/")
    }
    assert (
        ours == {case[0] for case in CASES if case[3]} == {case[0] for case in CASES if not case[3]}
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("test_accepted_range('t', column_name='a')", "needs min_value"),
        ("test_row_count_matches('t')", "needs either to or expected"),
    ],
)
def test_missing_arguments_are_named(compiled, call, message):
    with pytest.raises(AssertionError, match=message):
        compiled({"x": f"{{{{ {call} }}}}"})
