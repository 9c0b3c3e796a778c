"""People who buy till they die, their accounts, and when they order.

Model (Schmittlein, Morrison and Colombo 1987, "Counting your customers"): a person's first order
falls on the acquisition curve, later ones follow a Poisson process of an own rate until an
exponential life ends. The process is non-homogeneous: its clock is the calendar's busyness.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sandbox.store import places
from sandbox.store.calendar import busyness, seconds_of_day
from sandbox.store.exact import DAY, pick, rng, shares, some
from sandbox.store.profiles import Profile

GROWTH_PER_YEAR = 1.22
"""Growth of acquisition for profiles of up to four years; longer ones grow by 1.10."""
MEAN_LIFE_DAYS = 420

SECOND_ACCOUNT_KINDS = ("case", "plus_address", "typo")


@dataclass
class Arrivals:
    """Order times of all people, sorted by time; first the exact past, then the horizon's."""

    person: np.ndarray
    placed: np.ndarray
    first: np.ndarray
    past: int


class People:
    """All persons as columns: those of the past come first, then those acquired after the end."""

    def __init__(self, profile: Profile, seed: int, lift: np.ndarray) -> None:
        """`lift`: campaigns' true effect per day of the horizon, 10,000 = none."""
        self.profile, self.seed = profile, seed
        first, end, horizon = profile.first_day, profile.end_day, profile.horizon_day
        busy = busyness(first, horizon) * lift[None, :] // 10_000
        past, years = end - first, (horizon - first) / 365.25
        growth = GROWTH_PER_YEAR if years < 6 else 1.10
        # a longer window before the shop's first day is not needed: it opens on day one
        trend = np.round(10_000 * growth ** (np.arange(horizon - first) / 365.25)).astype(np.int64)
        curve = busy[0] * trend // 10_000
        self.past = profile.customers
        future = int(self.past * int(curve[past:].sum()) // int(curve[:past].sum()))
        n = self.count = self.past + future

        r = rng(seed, "people")
        day = np.concatenate(
            [
                pick(r, curve[:past].tolist(), self.past),
                past + pick(r, curve[past:].tolist(), future),
            ]
        )
        self.store = np.concatenate(
            [
                shares(r, [s.share for s in places.STORES], self.past),
                pick(r, [s.share for s in places.STORES], future),
            ]
        )
        self.country = self._countries(r)
        self.group = places.COUNTRY_GROUP[self.country]
        self.first_day = first + day
        self.activity = np.round(r.gamma(0.75, 1.0, n), 6) + 0.02
        life_scale = MEAN_LIFE_DAYS * (0.4 + 0.6 * np.minimum(self.activity, 3.0))
        self.life_days = np.round(r.exponential(1.0, n) * life_scale, 3) + 1
        self.death = (self.first_day * DAY + np.round(self.life_days * DAY)).astype(np.int64)
        taste = np.round(np.exp(r.normal(0.0, 0.5, n)), 4)
        self.basket = np.round(taste * (0.7 + 0.3 * np.minimum(self.activity, 3.0)), 4)
        self.favourite = pick(r, [22, 20, 16, 10, 9, 8, 8, 5, 2], n)
        self.birth_day = r.integers(-14_000, 12_800, n)  # 1931 to 2005
        self.gender = pick(r, [48, 44, 3, 5], n)  # f, m, other, not told
        self.name_picks = r.integers(0, 1 << 20, (n, 2))
        self.city = r.integers(0, 1 << 20, n)
        self.house = r.integers(1, 240, n)
        self.street = r.integers(0, len(places.STREETS), n)
        self.phone = r.integers(10**8, 10**9, n)
        self.domain = r.integers(0, 5, n)
        self.no_phone = r.random(n) < 0.2

        # kinds of person: guest only, guest first and account later, two accounts
        self.guest_only = np.zeros(n, dtype=bool)
        self.guest_first = np.zeros(n, dtype=bool)
        self.second_account = np.full(n, -1)
        for start, stop in ((0, self.past), (self.past, n)):
            order = start + r.permutation(stop - start)
            size = stop - start
            cut = [size * 12 // 100, size * 15 // 100, size * 17 // 100 + 3]
            self.guest_only[order[: cut[0]]] = True
            self.guest_first[order[cut[0] : cut[1]]] = True
            twice = order[cut[1] : cut[2]]
            self.second_account[twice] = np.arange(twice.size) % len(SECOND_ACCOUNT_KINDS)
        self.arrivals = self._arrivals(busy, first, past)

    def _countries(self, r: np.random.Generator) -> np.ndarray:
        country = np.zeros(self.count, dtype=np.int64)  # GB for the stores uk and trade
        irish = (self.store == places.TRADE) & (r.random(self.count) < 0.06)
        country[irish] = [c.code for c in places.COUNTRIES].index("IE")
        for column, store in enumerate((places.INTL, places.EU, places.US, places.JP, places.GULF)):
            members = np.flatnonzero(self.store == store)
            weights = [c.weights[column] for c in places.COUNTRIES]
            known = members[members < self.past]
            if known.size >= len(weights):
                country[known] = shares(r, weights, known.size)
            else:
                country[known] = pick(r, weights, known.size)
            later = members[members >= self.past]
            country[later] = pick(r, weights, later.size)
        return country

    def _arrivals(self, busy: np.ndarray, first: int, past: int) -> Arrivals:
        r = rng(self.seed, "arrivals")
        n, days = self.count, busy.shape[1]
        clock = np.concatenate([np.zeros((len(busy), 1), np.int64), np.cumsum(busy, axis=1)], 1)
        begin = self.first_day - first
        stop = np.minimum(self.death // DAY - first, days)
        exposure = clock[self.group, stop] - clock[self.group, begin + 1].clip(max=clock.max())
        exposure = np.maximum(exposure, 0)
        seen = clock[self.group, np.minimum(stop, past)] - clock[self.group, begin + 1]
        seen = np.where(begin < past, np.maximum(seen, 0), 0)
        wanted = self.profile.orders - self.profile.customers
        base = 1.06 * wanted / float((self.activity[: self.past] * seen[: self.past]).sum())
        while True:
            rate = np.round(self.activity * base, 12)
            count = r.poisson(np.round(rate * exposure, 9))
            owner = np.repeat(np.arange(n), count)
            place = r.random(owner.size)
            start = clock[self.group[owner], begin[owner] + 1]
            target = start + np.floor(place * exposure[owner]).astype(np.int64)
            day = np.zeros(owner.size, dtype=np.int64)
            for group in range(len(busy)):
                mine = self.group[owner] == group
                day[mine] = np.searchsorted(clock[group], target[mine], side="right") - 1
            early = np.flatnonzero(day < past)
            if early.size >= wanted:
                break
            base *= 1.08
        # thinning a Poisson process leaves a Poisson process: exact counts keep the truth true
        keep = np.zeros(owner.size, dtype=bool)
        keep[early[r.permutation(early.size)[:wanted]]] = True
        later = np.flatnonzero(day >= past)
        keep[later[r.random(later.size) * early.size < wanted]] = True
        self.rate_per_day = np.round(rate * 10_000 * wanted / early.size, 9)
        """Orders per ordinary day while alive."""

        person = np.concatenate([np.arange(n), owner[keep]])
        day = np.concatenate([begin, day[keep]]) + first
        placed = day * DAY + seconds_of_day(r, day.size)
        order = np.lexsort((person, placed))
        person, placed = person[order], placed[order]
        firsts = np.unique(person, return_index=True)[1]  # persons are 0..n-1, each has an order
        is_first = np.zeros(person.size, dtype=bool)
        is_first[firsts] = True
        self.first_order_at = placed[firsts]
        return Arrivals(person, placed, is_first, int((placed < self.profile.end_day * DAY).sum()))

    # --- accounts -------------------------------------------------------------------------------

    def accounts(self) -> None:
        """Decide when accounts open; needs the arrivals."""
        r = rng(self.seed, "accounts")
        a = self.arrivals
        self.signup = self.first_order_at - r.integers(60, 20 * DAY, self.count)
        order = np.lexsort((a.placed, a.person))
        starts = np.searchsorted(a.person[order], np.arange(self.count))
        size = np.append(starts[1:], order.size) - starts
        second = np.where(size > 1, a.placed[order][np.minimum(starts + 1, order.size - 1)], 0)
        late = self.guest_first
        self.signup[late] = np.where(second > 0, second - 120, self.first_order_at + 3 * DAY)[late]
        self.signup[late] = np.maximum(self.signup[late], self.first_order_at[late] + 60)
        self.second_signup = self.first_order_at + r.integers(20, 200, self.count) * DAY
        self.signup_campaign_pick = r.random(self.count)

    def guest_orders(self, share: float = 0.18) -> np.ndarray:
        """Which arrivals are guest checkouts: exact share of the past, the same rate after it."""
        r = rng(self.seed, "guests")
        a = self.arrivals
        forced = self.guest_only[a.person] | (a.placed < self.signup[a.person])
        free = ~forced
        for start, stop in ((0, a.past), (a.past, a.person.size)):
            window = np.zeros(a.person.size, dtype=bool)
            window[start:stop] = True
            missing = round(share * (stop - start)) - int((forced & window).sum())
            if missing > 0:
                forced[some(r, free & window, missing)] = True
        return forced

    def name(self, person: int) -> tuple[str, str]:
        """First and last name."""
        locale = places.COUNTRIES[self.country[person]].locale
        female, male, last = places.names(locale)
        a, b = self.name_picks[person].tolist()
        firsts = female if self.gender[person] == 0 else male
        return firsts[a % len(firsts)], last[b % len(last)]

    def email(self, person: int) -> str:
        """The person's main address, in its normal form; unique by the number in it."""
        first, last = self.name(person)
        plain = "".join(
            c for c in f"{first}.{last}".lower() if c.isascii() and (c.isalnum() or c == ".")
        )
        domain = ("gmail.com", "outlook.com", "yahoo.co.uk", "icloud.com", "example.org")
        return f"{plain.strip('.') or 'shopper'}{person}@{domain[self.domain[person]]}"

    def other_email(self, person: int) -> str:
        """The address of the person's second account."""
        kind = SECOND_ACCOUNT_KINDS[self.second_account[person]]
        user, domain = self.email(person).split("@")
        if kind == "case":
            return f"{user.title()}@{domain.upper()}"
        if kind == "plus_address":
            return f"{user}+shop@{domain}"
        return f"{user}@{domain[:2]}{domain[3:]}"  # a letter lost

    def phone_number(self, person: int) -> str:
        """E.164 number."""
        return f"+{places.COUNTRIES[self.country[person]].calling}{self.phone[person]}"

    def address(self, person: int) -> dict[str, object]:
        """The person's address without kind and default."""
        country = places.COUNTRIES[self.country[person]]
        city, region, lat, lng = country.cities[self.city[person] % len(country.cities)]
        return {
            "line1": f"{self.house[person]} {places.STREETS[self.street[person]]}",
            "city": city,
            "region": region,
            "postal": f"{country.code}{self.phone[person] % 90_000 + 10_000}",
            "country": country.code,
            "geo": {
                "lat": round(lat + (int(self.house[person]) - 120) / 4000, 4),
                "lng": round(lng + (int(self.street[person]) - 9) / 400, 4),
            },
        }
