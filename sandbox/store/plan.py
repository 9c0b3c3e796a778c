"""Every order's header as columns: who, when, where, how it ends, and which flaw it carries."""

from __future__ import annotations

import numpy as np

from sandbox.store import places
from sandbox.store.exact import DAY, local, pick, rng, some
from sandbox.store.marketing import FREE_WEIGHTS, Marketing
from sandbox.store.people import People
from sandbox.store.profiles import Profile

(NORMAL, CANCELLED_UNPAID, CANCELLED_PAID, TEST, FRAUD, SAMPLE, GIFT, NON_POSITIVE) = range(8)
OUTCOMES = {
    CANCELLED_UNPAID: 60, CANCELLED_PAID: 90, TEST: 30, FRAUD: 35,
    SAMPLE: 20, GIFT: 35, NON_POSITIVE: 20,
}  # fmt: skip
"""Orders of each outcome per 10,000."""

EXCLUSION = {
    TEST: "test",
    FRAUD: "fraud",
    CANCELLED_UNPAID: "cancelled_before_payment",
    SAMPLE: "zero_value",
    GIFT: "gift_card_only",
    NON_POSITIVE: "negative_or_zero_quantity",
}
"""Why an order of this outcome is not countable."""

FLAWS = {
    # name: orders per 10,000; an order carries at most one of these
    "hard_deleted": 20,
    "duplicate_order": 50,
    "duplicate_payment": 20,
    "empty_items": 10,
    "type_drift": 200,
    "totals_differ": 30,
    "unknown_sku": 15,
    "delivered_before_shipped": 10,
    "future_delivery": 8,
    "zone_lost": 8,
    "updated_at_missing": 40,
    "updated_at_equal": 40,
    "updated_at_not_bumped": 20,
    "items_as_map": 200,
    "session_missing": 20,
    "late_edit": 100,
}
FLAW_CODES = {name: code for code, name in enumerate(FLAWS, start=1)}

METHODS = ("card", "paypal", "klarna", "cod", "gift_card", "transfer")
CHANNELS = ("web", "app", "pos", "marketplace")
DEVICES = ("desktop", "mobile", "tablet")
SHIPPING = ("standard", "express", "pickup")


class Plan:
    """Columns of all orders in the order of time; `past` of them belong to the time line."""

    def __init__(self, profile: Profile, seed: int, people: People, marketing: Marketing) -> None:
        self.profile, self.seed = profile, seed
        arrivals = people.arrivals
        self.past, n = arrivals.past, arrivals.person.size
        self.count = n
        self.person, self.placed = arrivals.person, arrivals.placed.copy()
        self.store = people.store[self.person]
        self.cutoff = profile.end_day * DAY
        self.version_two_at = (
            profile.first_day + (profile.end_day - profile.first_day) * 2 // 5
        ) * DAY
        r = rng(seed, "plan")

        uk = self.store == places.UK
        trade = self.store == places.TRADE
        self.channel = pick(r, [72, 20, 0, 8], n)
        self.channel[uk] = pick(r, [62, 20, 12, 6], int(uk.sum()))
        self.channel[trade] = pick(r, [97, 3, 0, 0], int(trade.sum()))
        self.device = pick(r, [44, 49, 7], n)
        self.method = pick(r, [62, 22, 8, 4, 4, 0], n)
        self.method[trade] = pick(r, [66, 16, 0, 0, 0, 18], int(trade.sum()))
        pos = self.channel == 2
        self.method[pos] = pick(r, [92, 0, 0, 0, 8, 0], int(pos.sum()))
        self.shipping = pick(r, [78, 18, 4], n)
        self.shipping[pos] = 2
        self.guest = people.guest_orders()
        self.account = (
            (people.second_account[self.person] >= 0)
            & (self.placed >= people.second_signup[self.person])
            & ~self.guest
        ).astype(np.int64)
        firsts = np.zeros(n, dtype=bool)
        firsts[np.unique(self.person, return_index=True)[1]] = True
        self.is_first = firsts

        self._times(r)
        self._outcomes(r)
        self._lines(r, people)
        self._flaws(r)
        self._clock_change(r)

        self.campaign, self.caused = marketing.campaign, marketing.caused
        self.free_source = pick(r, FREE_WEIGHTS, n)
        self.no_utm = r.random(n) < 0.06
        self.phone_only = self.guest & ~people.no_phone[self.person] & (r.random(n) < 0.2)
        self.no_device = r.random(n) < 0.02
        self.tracked = np.zeros(n, dtype=bool)
        web = (self.channel <= 1) & (self.outcome == NORMAL)
        window = np.arange(n) < self.past
        self.tracked[some(r, web & window, profile.session_orders)] = True
        share = profile.session_orders / max(1, int((web & window).sum()))
        self.tracked[web & ~window & (r.random(n) < share)] = True

    def _times(self, r: np.random.Generator) -> None:
        """When the order would be paid, packed, shipped and delivered, had all gone well."""
        n = self.count
        transfer, cod = self.method == 5, self.method == 3
        self.paid = self.placed + r.integers(20, 400, n)
        self.paid[transfer] += r.integers(1, 4, n)[transfer] * DAY
        packed = np.where(transfer, self.paid, self.placed) + r.integers(2, 34, n) * 3600
        self.packed = packed + r.integers(0, 3600, n)
        self.shipped = self.packed + r.integers(1, 20, n) * 3600
        far = np.isin(self.store, (places.INTL, places.US, places.JP, places.GULF))
        days = np.where(self.shipping == 1, r.integers(1, 3, n), r.integers(2, 6, n))
        days = days + np.where(far, r.integers(2, 8, n), 0)
        late = r.random(n) < 0.06
        self.delivered = self.shipped + days * DAY + r.integers(0, 8, n) * 3600
        self.delivered[late] += r.integers(3, 15, n)[late] * DAY
        promised = np.where(self.shipping == 1, 3, 6) + np.where(far, 8, 0)
        self.promised = (self.placed // DAY + promised) * DAY + 18 * 3600
        pos = self.channel == 2
        for column in (self.paid, self.packed, self.shipped, self.delivered):
            column[pos] = self.placed[pos] + 60
        self.paid[cod] = self.delivered[cod]
        self.refund_delay = r.integers(1, 61, n) * DAY + r.integers(0, DAY, n)
        self.cancelled = np.minimum(self.paid, self.placed + 7200) + r.integers(600, 20 * 3600, n)

    def _windows(self) -> tuple[tuple[np.ndarray, int], ...]:
        index = np.arange(self.count)
        settled = self.placed < self.cutoff - 4 * DAY
        past = (index < self.past) & settled
        return ((past, self.past), (index >= self.past, self.count - self.past))

    def _outcomes(self, r: np.random.Generator) -> None:
        self.outcome = np.zeros(self.count, dtype=np.int64)
        self.outage_day = self.profile.end_day - 100
        on_day = self.placed // DAY == self.outage_day
        self.outage = (
            on_day & (self.method == 0) & (self.channel != 2) & (r.random(self.count) < 0.7)
        )
        self.outcome[self.outage] = CANCELLED_UNPAID
        for window, size in self._windows():
            for outcome, rate in OUTCOMES.items():
                eligible = window & (self.outcome == NORMAL) & (self.channel != 2)
                if outcome == CANCELLED_PAID:
                    eligible &= self.method != 3
                wanted = max(2, round(size * rate / 10_000))
                self.outcome[some(r, eligible, wanted)] = outcome
        unpaid = self.outcome == CANCELLED_UNPAID
        self.cancelled[unpaid] = (self.placed + 1200 + self.placed % 7200)[unpaid]

    def _lines(self, r: np.random.Generator, people: People) -> None:
        """Lines per order, exact in sum over the past, one oversized order among them."""
        past = self.past
        mean = self.profile.lines / self.profile.orders
        weight = np.clip(people.basket[self.person], 0.3, 4.0)
        average = float(weight.mean())
        lines = 1 + r.poisson(np.round((mean - 1) * weight / average, 6))
        special = np.isin(self.outcome, (GIFT, SAMPLE))
        lines[special] = 1
        big = np.flatnonzero((self.outcome == NORMAL) & (self.store == places.TRADE))
        big = int(big[np.searchsorted(big, past // 2)])
        self.oversized = big
        lines[big] = min(400, self.profile.lines // 20)
        difference = self.profile.lines - int(lines[:past].sum())
        while difference:
            open_to_change = ~special[:past] & (np.arange(past) != big)
            if difference < 0:
                open_to_change &= lines[:past] > 1
            chosen = some(r, open_to_change, abs(difference))
            lines[chosen] += 1 if difference > 0 else -1
            difference = self.profile.lines - int(lines[:past].sum())
        self.lines = lines
        self.line_start = np.concatenate([[0], np.cumsum(lines)])

    def _flaws(self, r: np.random.Generator) -> None:
        """At most one structural flaw per order, at exact rates, on settled ordinary orders."""
        self.flaw = np.zeros(self.count, dtype=np.int64)
        index = np.arange(self.count)
        longest = self.delivered + self.refund_delay + 30 * DAY
        self.settled = longest < self.cutoff
        local_second = local(self.placed) % DAY
        for window, size in (
            (index < self.past, self.past),
            (index >= self.past, self.count - self.past),
        ):
            for name, rate in FLAWS.items():
                eligible = window & (self.flaw == 0) & (self.outcome == NORMAL)
                eligible &= index != self.oversized
                eligible &= self.settled | (index >= self.past)
                if name == "items_as_map":
                    eligible &= self.placed < self.version_two_at
                if name == "duplicate_order":
                    eligible &= (local_second > 1200) & (local_second < DAY - 1200)
                if name == "session_missing":
                    eligible &= self.channel <= 1
                if name in ("delivered_before_shipped", "future_delivery"):
                    eligible &= self.channel != 2
                chosen = some(r, eligible, max(2, round(size * rate / 10_000)))
                self.flaw[chosen] = FLAW_CODES[name]
        # a day on which a batch was imported twice
        self.import_day = self.profile.end_day - 130
        same_day = (self.placed // DAY == self.import_day) & (self.outcome == NORMAL)
        same_day &= (self.flaw == 0) & (local_second > 1200) & (local_second < DAY - 1200)
        batch = np.flatnonzero(same_day & self.settled)[: max(2, self.past // 2500)]
        self.flaw[batch] = FLAW_CODES["duplicate_order"]
        self.imported_twice = np.zeros(self.count, dtype=bool)
        self.imported_twice[batch] = True

    def _clock_change(self, r: np.random.Generator) -> None:
        """Some orders fall into the hour that the autumn clock change repeats."""
        moved = []
        for day in np.unique(self.placed // DAY):
            midnight = int(day) * DAY
            if int(local(np.array([midnight]))[0]) - midnight == 3600 and (
                int(local(np.array([midnight + DAY]))[0]) == midnight + DAY
            ):
                eligible = (self.placed // DAY == day) & (self.flaw == 0)
                eligible &= (self.outcome == NORMAL) & (self.channel != 2)
                moved.extend(some(r, eligible, 2).tolist())
        self.clock_hour = np.array(sorted(moved), dtype=np.int64)
        for position, order in enumerate(self.clock_hour.tolist()):
            second = 1800 if position % 2 == 0 else 5400  # 01:30 the first and the second time
            shift = (int(self.placed[order]) // DAY) * DAY + second - int(self.placed[order])
            for column in (self.placed, self.paid, self.packed, self.shipped, self.delivered,
                           self.cancelled):  # fmt: skip
                column[order] += shift

    def has(self, flaw: str) -> np.ndarray:
        """Orders that carry the flaw."""
        return self.flaw == FLAW_CODES[flaw]

    def has_one(self, flaw: str, order: int) -> bool:
        """Whether one order carries the flaw."""
        return bool(self.flaw[order] == FLAW_CODES[flaw])

    def order_no(self, order: int) -> str:
        """The number that the customer sees."""
        return f"LL{order + 1:08d}"

    @staticmethod
    def number_of(order_no: str) -> int:
        """The order's index from its number."""
        return int(order_no.removeprefix("LL")) - 1

    def month_bounds(self, first_day: int, last_day: int) -> tuple[int, int]:
        """Orders placed on the UTC days [first_day, last_day)."""
        day = self.placed // DAY  # moved orders stay on their UTC day, so days are sorted
        return int(np.searchsorted(day, first_day)), int(np.searchsorted(day, last_day))
