"""Periods of business days, and the period that another one is compared with.

Half-open, in the store's zone. A period never reaches beyond the last complete day: one that does
is cut there and says so, and is compared with as many days of the other one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from loaders.errors import UserError

Grain = Literal["day", "week", "month", "quarter", "year"]
Comparison = Literal["previous_period", "prior_year", "weekday_aligned"]

GRAINS: tuple[Grain, ...] = ("day", "week", "month", "quarter", "year")
COMPARISONS: dict[Comparison, str] = {
    "previous_period": "the period before, of the same length or calendar unit",
    "prior_year": "the same dates a year before",
    "weekday_aligned": "364 days before: the same weekdays",
}
_MONTHS = {"month": 1, "quarter": 3, "year": 12}
_LAST_DAYS = re.compile(r"last_(\d{1,4})_days")
_EXAMPLES = (
    "last_month, this_year, last_28_days, 2025, 2025-Q3, 2025-07, 2025-07-14, "
    "2025-07-01/2025-07-15 (the end is not part of it), all"
)


@dataclass(frozen=True)
class Period:
    """Days from `start` to the one before `end`.

    Attributes:
        start: first day; None: from the beginning.
        end: the day after the last one.
        unit: the calendar unit that it is, or None.
        is_partial: whether it was cut off at the last complete day.
    """

    start: date | None
    end: date
    unit: Grain | None = None
    is_partial: bool = False

    @property
    def days(self) -> int | None:
        """How many days it has; None where it has no start."""
        return None if self.start is None else max((self.end - self.start).days, 0)

    def cut(self, as_of: date) -> Period:
        """The part of it that is over in the data."""
        limit = as_of + timedelta(days=1)
        if self.end <= limit:
            return self
        start = None if self.start is None else min(self.start, limit)
        return Period(start, limit, self.unit, is_partial=True)

    def before(self, comparison: Comparison) -> Period:
        """The period to compare it with.

        Raises:
            UserError: it has no beginning.
        """
        if self.start is None:
            raise UserError(
                "a period without a beginning has nothing before it: "
                f"name one to compare, such as {_EXAMPLES.split(', ')[0]}"
            )
        if comparison == "weekday_aligned":
            shift = timedelta(days=364)
            return Period(self.start - shift, self.end - shift)
        months = 12 if comparison == "prior_year" else _whole_months(self)
        if months is None:
            length = self.end - self.start
            return Period(self.start - length, self.start)
        start = add_months(self.start, -months)
        if self.unit is None:
            # whole months, or any dates of another year
            return Period(start, add_months(self.end, -months))
        whole = add_unit(start, self.unit)
        if not self.is_partial:
            return Period(start, whole)
        return Period(start, min(start + (self.end - self.start), whole))


def _whole_months(period: Period) -> int | None:
    """Of how many months it consists; None where of days or weeks."""
    start, end = period.start, period.end
    assert start is not None
    if period.unit in _MONTHS:
        return _MONTHS[period.unit]
    if period.unit is None and start.day == end.day == 1 and start < end:
        return (end.year - start.year) * 12 + end.month - start.month
    return None


def parse(text: str, as_of: date) -> Period:
    """The period that a text names, cut off at the last complete day.

    Raises:
        UserError: it names none.
    """
    word = text.strip()
    tomorrow = as_of + timedelta(days=1)
    if word == "all":
        return Period(None, tomorrow)
    if found := _LAST_DAYS.fullmatch(word):
        return Period(tomorrow - timedelta(days=max(int(found[1]), 1)), tomorrow)
    if found := re.fullmatch(r"(this|last)_(day|week|month|quarter|year)", word):
        unit: Grain = found[2]  # type: ignore[assignment] -- the pattern admits grains only
        # "last" is the newest one that is over, as of the day after the last complete one
        anchor = truncate(as_of if found[1] == "this" else tomorrow, unit)
        start = anchor if found[1] == "this" else truncate(anchor - timedelta(days=1), unit)
        return Period(start, add_unit(start, unit), unit).cut(as_of)
    try:
        period = _calendar(word)
    except ValueError:
        period = None
    if period is None:
        raise UserError(f"{text!r} is no period: write it as {_EXAMPLES}")
    return period.cut(as_of)


def _calendar(word: str) -> Period | None:
    if "/" in word:
        first, _, second = word.partition("/")
        start, end = date.fromisoformat(first), date.fromisoformat(second)
        if end <= start:
            raise UserError(f"the period {word} ends before it begins; its end is not part of it")
        return Period(start, end)
    if re.fullmatch(r"\d{4}", word):
        start = date(int(word), 1, 1)
        return Period(start, add_unit(start, "year"), "year")
    if found := re.fullmatch(r"(\d{4})-[Qq]([1-4])", word):
        start = date(int(found[1]), int(found[2]) * 3 - 2, 1)
        return Period(start, add_unit(start, "quarter"), "quarter")
    if re.fullmatch(r"\d{4}-\d{2}", word):
        start = date.fromisoformat(f"{word}-01")
        return Period(start, add_unit(start, "month"), "month")
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}", word):
        start = date.fromisoformat(word)
        return Period(start, start + timedelta(days=1), "day")
    return None


def truncate(day: date, grain: Grain) -> date:
    """First day of the unit that holds the day; weeks begin on Monday."""
    if grain == "week":
        return day - timedelta(days=day.weekday())
    if grain == "month":
        return day.replace(day=1)
    if grain == "quarter":
        return date(day.year, (day.month - 1) // 3 * 3 + 1, 1)
    if grain == "year":
        return date(day.year, 1, 1)
    return day


def add_unit(day: date, grain: Grain) -> date:
    """The same day one unit later."""
    if grain in _MONTHS:
        return add_months(day, _MONTHS[grain])
    return day + timedelta(days=7 if grain == "week" else 1)


def add_months(day: date, months: int) -> date:
    """The same day of another month, or the last one that this has."""
    index = day.year * 12 + day.month - 1 + months
    first = date(index // 12, index % 12 + 1, 1)
    following = date((index + 1) // 12, (index + 1) % 12 + 1, 1)
    return first + timedelta(days=min(day.day, (following - first).days) - 1)


def buckets(start: date, end: date, grain: Grain) -> Iterator[date]:
    """First days of the units that the days from `start` to before `end` lie in."""
    day = truncate(start, grain)
    while day < end:
        yield day
        day = add_unit(day, grain)
