"""Campaigns: what they truly cause, what their platforms claim, and what they cost.

A campaign multiplies the arrival rate by (1 + lift) while it runs. Which of the window's orders
it caused is drawn with probability lift / (1 + all lifts), as the superposition of Poisson
processes says: those orders would not exist without it, and they are its true effect.
"""

from __future__ import annotations

import numpy as np

from sandbox.store.exact import DAY, rng
from sandbox.store.profiles import Profile

OBJECTIVES = ("awareness", "sales", "winback")
CHANNELS = ("search", "social", "email", "affiliate", "display", "sms")
SOURCES = {
    "search": ("google", "cpc"),
    "social": ("facebook", "paid_social"),
    "email": ("newsletter", "email"),
    "affiliate": ("awin", "affiliate"),
    "display": ("criteo", "display"),
    "sms": ("klaviyo", "sms"),
}
FREE_SOURCES = (
    (None, None), ("google", "organic"), ("bing", "organic"), ("instagram", "social"),
    ("newsletter", "email"), ("blog.example", "referral"),
)  # fmt: skip
FREE_WEIGHTS = [34, 32, 6, 10, 10, 8]
AVERAGE_ORDER_PENCE = 9_000


class Marketing:
    """Campaigns as columns; days are counted from 1970, `end` is exclusive."""

    def __init__(self, profile: Profile, seed: int) -> None:
        self.profile, self.seed = profile, seed
        r = rng(seed, "campaigns")
        first, end, horizon = profile.first_day, profile.end_day, profile.horizon_day
        # the same density of campaigns goes on after the end, for `tick`
        later = max(2, profile.campaigns * (horizon - end) // (end - first))
        n = self.count = profile.campaigns + later
        step = (end - first - 50) // profile.campaigns
        start = (
            first + 12 + np.arange(profile.campaigns) * step + r.integers(0, 12, profile.campaigns)
        )
        after = end + 5 + np.arange(later) * ((horizon - end - 40) // later)
        self.start = np.concatenate([start, after])
        self.end = self.start + r.integers(14, 40, n)
        self.channel = (np.arange(n) + r.integers(0, 2, n)) % len(CHANNELS)
        self.lift = r.integers(250, 1100, n)
        """True lift of arrivals, in 10,000ths."""
        self.touch_factor = r.integers(20, 36, n)
        """Orders touched for one caused, in tenths."""
        self.roas_claimed = r.integers(30, 60, n)
        """Platform revenue for one of spend, in tenths."""
        self.objective = r.integers(0, 3, n)

    def lift_per_day(self) -> np.ndarray:
        """1 + sum of lifts on each day of the horizon, 10,000 = no campaign."""
        first, horizon = self.profile.first_day, self.profile.horizon_day
        table = np.full(horizon - first, 10_000, dtype=np.int64)
        for k in range(self.count):
            table[self.start[k] - first : self.end[k] - first] += self.lift[k]
        return table

    def assign(self, placed: np.ndarray) -> None:
        """Decide for each order which campaign caused it, or at least touched it.

        Sets `campaign` (-1 none), `caused` (bool) and `expected` orders per campaign day.
        """
        r = rng(self.seed, "touches")
        lifts, first = self.lift_per_day(), self.profile.first_day
        self.campaign = np.full(placed.size, -1)
        self.caused = np.zeros(placed.size, dtype=bool)
        draw = r.integers(0, 1_000_000, placed.size)
        day = placed // DAY
        used = np.zeros(placed.size, dtype=np.int64)  # probability mass already given away
        for k in range(self.count):
            lo, hi = np.searchsorted(placed, [self.start[k] * DAY, self.end[k] * DAY])
            share = self.lift[k] * 1_000_000 // lifts[day[lo:hi] - first]
            caused = (draw[lo:hi] >= used[lo:hi]) & (draw[lo:hi] < used[lo:hi] + share)
            touched_to = used[lo:hi] + share * self.touch_factor[k] // 10
            touched = (draw[lo:hi] >= used[lo:hi]) & (draw[lo:hi] < touched_to)
            self.campaign[lo:hi][touched] = k
            self.caused[lo:hi] = self.caused[lo:hi] | caused
            used[lo:hi] = touched_to
        self._spend(placed)

    def _spend(self, placed: np.ndarray) -> None:
        """Daily spend in pence, so that the claimed return on spend comes out as drawn."""
        r = rng(self.seed, "spend")
        self.spend: list[np.ndarray] = []
        for k in range(self.count):
            lo, hi = np.searchsorted(placed, [self.start[k] * DAY, self.end[k] * DAY])
            days = int(self.end[k] - self.start[k])
            expected = (int(hi - lo) * int(self.lift[k]) * int(self.touch_factor[k])) // 100
            # expected is in 1/1000 touched orders; 13/10 is the platforms' over-claim
            total = expected * AVERAGE_ORDER_PENCE * 13 // (1_000 * int(self.roas_claimed[k]))
            noise = r.integers(70, 131, days)
            self.spend.append(np.maximum(100, total * noise // (100 * days)))

    def code(self, k: int) -> str:
        """The campaign's name in utm parameters."""
        return f"{CHANNELS[self.channel[k]]}_{OBJECTIVES[self.objective[k]]}_{k + 1:03d}"


class Books:
    """What each campaign brought, day by day: the truth, and the platform's claim."""

    OVERCLAIM_ORDERS = 13
    OVERCLAIM_REVENUE = 125

    def __init__(self, marketing: Marketing) -> None:
        self.marketing = marketing
        width = int((marketing.end - marketing.start).max())
        self.touched = np.zeros((marketing.count, width), dtype=np.int64)
        self.touched_net = np.zeros((marketing.count, width), dtype=np.int64)
        self.caused = np.zeros(marketing.count, dtype=np.int64)
        self.caused_net = np.zeros(marketing.count, dtype=np.int64)

    def book(self, lo: int, day: np.ndarray, net: np.ndarray, counts: np.ndarray) -> None:
        """Add the orders from index `lo` on: UTC day, net pence, and whether they count."""
        m = self.marketing
        campaign = m.campaign[lo : lo + day.size]
        hit = (campaign >= 0) & counts
        k = campaign[hit]
        np.add.at(self.touched, (k, day[hit] - m.start[k]), 1)
        np.add.at(self.touched_net, (k, day[hit] - m.start[k]), net[hit])
        own = hit & m.caused[lo : lo + day.size]
        np.add.at(self.caused, campaign[own], 1)
        np.add.at(self.caused_net, campaign[own], net[own])

    def claims(self, k: int, day: int) -> tuple[int, int]:
        """Orders and pence that the platform claims for one day."""
        at = day - int(self.marketing.start[k])
        orders = int(self.touched[k, at]) * self.OVERCLAIM_ORDERS
        return -(-orders // 10), int(self.touched_net[k, at]) * self.OVERCLAIM_REVENUE // 100
