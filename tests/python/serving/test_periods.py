"""Periods, and what they are compared with."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loaders.errors import UserError
from serving import periods
from serving.periods import Period, parse

AS_OF = date(2025, 8, 12)  # a Tuesday
DAYS = st.dates(date(2000, 1, 1), date(2040, 12, 31))


@pytest.mark.parametrize(
    ("text", "start", "end", "is_partial"),
    [
        ("last_month", "2025-07-01", "2025-08-01", False),
        ("this_month", "2025-08-01", "2025-08-13", True),
        ("last_quarter", "2025-04-01", "2025-07-01", False),
        ("this_quarter", "2025-07-01", "2025-08-13", True),
        ("this_year", "2025-01-01", "2025-08-13", True),
        ("last_year", "2024-01-01", "2025-01-01", False),
        ("this_week", "2025-08-11", "2025-08-13", True),
        ("last_week", "2025-08-04", "2025-08-11", False),
        ("last_28_days", "2025-07-16", "2025-08-13", False),
        ("2024", "2024-01-01", "2025-01-01", False),
        ("2025", "2025-01-01", "2025-08-13", True),
        ("2025-Q2", "2025-04-01", "2025-07-01", False),
        ("2025-07", "2025-07-01", "2025-08-01", False),
        ("2025-07-14", "2025-07-14", "2025-07-15", False),
        ("2025-07-01/2025-07-15", "2025-07-01", "2025-07-15", False),
        ("2025-08-01/2025-09-01", "2025-08-01", "2025-08-13", True),
    ],
)
def test_a_name_of_a_period(text: str, start: str, end: str, is_partial: bool) -> None:
    period = parse(text, AS_OF)
    assert (period.start, period.end) == (date.fromisoformat(start), date.fromisoformat(end))
    assert period.is_partial == is_partial


def test_the_last_month_is_the_one_that_is_over_on_its_last_day_too() -> None:
    assert parse("last_month", date(2025, 7, 31)).start == date(2025, 7, 1)
    assert not parse("this_month", date(2025, 7, 31)).is_partial


@pytest.mark.parametrize("text", ["", "yesterweek", "2025-13", "2025-02-30", "2025-7", "a/b"])
def test_what_is_no_period_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(UserError) as refused:
        parse(text, AS_OF)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "comparison", "start", "end"),
    [
        # as many days of the month before, not all of it
        ("this_month", "previous_period", "2025-07-01", "2025-07-13"),
        ("2025-07", "previous_period", "2025-06-01", "2025-07-01"),
        ("2025-Q2", "previous_period", "2025-01-01", "2025-04-01"),
        ("this_year", "previous_period", "2024-01-01", "2024-08-12"),  # 224 days, leap year
        ("last_28_days", "previous_period", "2025-06-18", "2025-07-16"),
        ("2025-05-01/2025-07-01", "previous_period", "2025-03-01", "2025-05-01"),
        ("2025-07", "prior_year", "2024-07-01", "2024-08-01"),
        ("this_month", "prior_year", "2024-08-01", "2024-08-13"),
        ("2025-07-01/2025-07-15", "prior_year", "2024-07-01", "2024-07-15"),
        ("2025-07-14", "weekday_aligned", "2024-07-15", "2024-07-16"),
    ],
)
def test_what_a_period_is_compared_with(text, comparison, start, end) -> None:
    before = parse(text, AS_OF).before(comparison)
    assert (before.start, before.end) == (date.fromisoformat(start), date.fromisoformat(end))


def test_31_days_of_march_are_compared_with_28_of_february() -> None:
    march = Period(date(2025, 3, 1), date(2025, 4, 1), "month", is_partial=True)
    assert march.before("previous_period") == Period(date(2025, 2, 1), date(2025, 3, 1))


def test_what_has_no_beginning_is_compared_with_nothing() -> None:
    with pytest.raises(UserError, match="beginning"):
        parse("all", AS_OF).before("prior_year")


@given(start=DAYS, length=st.integers(1, 400))
def test_days_before_are_as_many_and_touch(start: date, length: int) -> None:
    period = Period(start, start + timedelta(days=length))
    before = period.before("previous_period")
    assert before.end == period.start
    months = start.day == period.end.day == 1
    assert months or before.days == period.days


@given(start=DAYS, length=st.integers(1, 800))
def test_weekdays_stay_weekdays(start: date, length: int) -> None:
    before = Period(start, start + timedelta(days=length)).before("weekday_aligned")
    assert before.start is not None
    assert before.start.weekday() == start.weekday()


@given(as_of=DAYS, unit=st.sampled_from(["week", "month", "quarter", "year"]))
def test_a_running_period_is_compared_with_no_more_days_than_it_has(as_of, unit) -> None:
    period = parse(f"this_{unit}", as_of)
    before = period.before("previous_period")
    assert before.days is not None and period.days is not None
    if period.is_partial:
        assert before.days <= period.days
    assert before.end <= period.start


@given(day=DAYS, grain=st.sampled_from(periods.GRAINS), length=st.integers(1, 900))
def test_buckets_hold_every_day_once(day: date, grain: periods.Grain, length: int) -> None:
    end = day + timedelta(days=length)
    found = list(periods.buckets(day, end, grain))
    assert found == sorted(set(found))
    seen = {periods.truncate(day + timedelta(days=n), grain) for n in range(length)}
    assert seen == set(found)


@given(day=DAYS, months=st.integers(-40, 40))
def test_months_later_is_that_month(day: date, months: int) -> None:
    later = periods.add_months(day, months)
    assert (later.year * 12 + later.month) - (day.year * 12 + day.month) == months
    assert later.day <= day.day
