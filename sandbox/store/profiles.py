"""Sizes of the demo store. Counts are of the clean shop, before flaws add or remove documents."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from math import isqrt

from loaders.errors import UserError

EPOCH = date(1970, 1, 1).toordinal()
END = date(2025, 12, 31)
"""Last day of every profile's time line; `tick` goes on from the day after."""
TICK_HORIZON_DAYS = 366
"""How many days `tick` can add: the customers' future is drawn together with their past."""


@dataclass(frozen=True)
class Profile:
    """What a profile holds.

    Attributes:
        customers: people who bought at least once by the end of the time line (account or guest).
        orders: orders placed by the end of the time line.
        lines: lines of those orders.
        products: product documents.
        session_orders: orders whose web journey was recorded (the tracked sample).
        sessions: human sessions, those of recorded journeys included (approximate).
        campaigns: advertising campaigns.
    """

    name: str
    start: date
    customers: int
    orders: int
    lines: int
    products: int
    session_orders: int
    sessions: int
    campaigns: int

    @property
    def first_day(self) -> int:
        """First day, counted from 1970-01-01."""
        return self.start.toordinal() - EPOCH

    @property
    def end_day(self) -> int:
        """The day after the last one, counted from 1970-01-01."""
        return END.toordinal() + 1 - EPOCH

    @property
    def horizon_day(self) -> int:
        """The day after the last one that `tick` can reach."""
        return self.end_day + TICK_HORIZON_DAYS


PROFILES = {
    p.name: p
    for p in (
        Profile("xs", date(2024, 11, 1), 320, 1_040, 2_600, 60, 120, 1_500, 9),
        Profile("s", date(2023, 1, 1), 9_000, 40_000, 100_000, 420, 2_000, 38_000, 24),
        Profile("m", date(2023, 1, 1), 5_000, 51_000, 76_500, 1_000, 2_500, 45_000, 24),
        Profile("xl", date(2010, 1, 1), 47_580, 340_000, 763_884, 4_161, 12_000, 250_000, 96),
    )
}


def profile(name: str, scale: int = 1) -> Profile:
    """The named profile; people, orders, lines and sessions times `scale`, products times √scale.

    Raises:
        UserError: no such profile, or a scale below 1.
    """
    if name not in PROFILES:
        raise UserError(f"unknown profile '{name}': choose one of {', '.join(PROFILES)}")
    if scale < 1:
        raise UserError(f"--scale must be 1 or more, not {scale}")
    base = PROFILES[name]
    if scale == 1:
        return base
    return replace(
        base,
        name=f"{name}x{scale}",
        customers=base.customers * scale,
        orders=base.orders * scale,
        lines=base.lines * scale,
        products=base.products * isqrt(scale),
        session_orders=base.session_orders * scale,
        sessions=base.sessions * scale,
    )


def named(full_name: str) -> Profile:
    """The profile whose `name` this is, scale and all: "xs" or "sx3"."""
    for base in sorted(PROFILES, key=len, reverse=True):
        rest = full_name.removeprefix(base)
        if rest == "":
            return PROFILES[base]
        if full_name.startswith(base) and rest.startswith("x") and rest[1:].isdigit():
            return profile(base, int(rest[1:]))
    raise UserError(f"unknown profile '{full_name}': choose one of {', '.join(PROFILES)}")
