"""How busy each day is: trend, weekday, payday, season, holidays per country, Black Friday."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np

from sandbox.store.places import HOLIDAY_GROUPS
from sandbox.store.profiles import EPOCH

WEEKDAY = (104, 106, 103, 101, 97, 88, 101)
"""Monday to Sunday, percent."""
MONTH = (88, 86, 93, 94, 97, 96, 93, 92, 100, 106, 124, 131)
HOURS = (8, 5, 3, 2, 2, 4, 10, 20, 34, 46, 54, 58, 62, 58, 54, 52, 54, 58, 66, 74, 76, 66, 42, 20)

FIXED_HOLIDAYS = {
    "GB": {(1, 1): 60, (12, 24): 70, (12, 25): 35, (12, 26): 135},
    "DE": {(1, 1): 60, (5, 1): 75, (10, 3): 70, (12, 25): 35, (12, 26): 55},
    "FR": {(1, 1): 60, (5, 1): 75, (7, 14): 70, (8, 15): 75, (12, 25): 35},
    "US": {(1, 1): 65, (7, 4): 75, (12, 25): 35},
    "JP": {(1, 1): 50, (1, 2): 60, (5, 3): 80, (5, 4): 80, (5, 5): 80},
    "KW": {(2, 25): 75, (2, 26): 75},
    "other": {(1, 1): 65, (12, 25): 45},
}
"""Day's business in percent of an ordinary day, by group of countries."""


def easter(year: int) -> date:
    """Western Easter Sunday (anonymous Gregorian algorithm)."""
    a, b, c = year % 19, year // 100, year % 100
    d, e = b // 4, b % 4
    g = (b - (b + 8) // 25 + 1) // 3
    h = (19 * a + b - d - g + 15) % 30
    i, k = c // 4, c % 4
    j = (32 + 2 * e + 2 * i - h - k) % 7
    m = (a + 11 * h + 22 * j) // 451
    month, day = divmod(h + j - 7 * m + 114, 31)
    return date(year, month, day + 1)


def black_friday(year: int) -> date:
    """The day after the fourth Thursday of November."""
    first = date(year, 11, 1)
    return first + timedelta(days=(3 - first.weekday()) % 7 + 22)


def busyness(first_day: int, last_day: int) -> np.ndarray:
    """Relative business of each day by group of countries, 10,000 = an ordinary day.

    Shape: (len(HOLIDAY_GROUPS), last_day - first_day), integers.
    """
    table = np.zeros((len(HOLIDAY_GROUPS), last_day - first_day), dtype=np.int64)
    for column in range(last_day - first_day):
        day = date.fromordinal(EPOCH + first_day + column)
        base = 10_000 * WEEKDAY[day.weekday()] * MONTH[day.month - 1] // 10_000
        if day.day >= 27 or day.day <= 3:  # salaries have come
            base = base * 108 // 100
        friday = (day - black_friday(day.year)).days
        if 0 <= friday <= 3:
            base = base * (240, 165, 150, 205)[friday] // 100
        elif -6 <= friday < 0:
            base = base * 93 // 100  # customers wait for it
        easter_distance = abs((day - easter(day.year)).days)
        for row, group in enumerate(HOLIDAY_GROUPS):
            factor = FIXED_HOLIDAYS[group].get((day.month, day.day), 100)
            if easter_distance <= 1 and group in ("GB", "DE", "FR", "US"):
                factor = factor * 78 // 100
            if group == "KW" and day.weekday() == 4:
                factor = factor * 80 // 100  # Friday is the day of rest
            table[row, column] = base * factor // 100
    return table


def seconds_of_day(generator: np.random.Generator, size: int) -> np.ndarray:
    """Seconds after midnight UTC, busy in the evening."""
    edges = np.cumsum(HOURS)
    hours = np.searchsorted(edges, generator.integers(0, edges[-1], size), side="right")
    return hours * 3600 + generator.integers(0, 3600, size)
