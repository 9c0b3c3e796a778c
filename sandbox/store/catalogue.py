"""Products: categories, variants, price and cost history, promotions, planted rules, demand."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np

from sandbox.store.calendar import black_friday
from sandbox.store.exact import pick, rng, shares
from sandbox.store.profiles import EPOCH, Profile


@dataclass(frozen=True)
class Category:
    """A first-level category and how its customers behave.

    Attributes:
        weight: demand per product, relative.
        price: median list price in pence.
        elasticity: change of demand in percent for one percent of price (planted).
        returns: lines returned, per 1000.
        margin: share of the price that is not cost, percent.
        season: factor per month in percent.
        leaves: second and third level and nouns for titles.
    """

    name: str
    code: str
    weight: int
    share: int
    price: int
    elasticity: float
    returns: int
    margin: int
    season: tuple[int, ...]
    leaves: tuple[tuple[str, str, str], ...]


_FLAT = (100,) * 12
CATEGORIES = (
    Category("Electronics", "EL", 190, 18, 5200, -1.8, 42, 34,
             (95, 90, 92, 92, 94, 96, 98, 96, 100, 104, 122, 126),
             (("Audio", "Headphones", "Headphones"), ("Audio", "Speakers", "Speaker"),
              ("Phones", "Chargers", "Charger"), ("Computing", "Keyboards", "Keyboard"))),
    Category("Home", "HO", 130, 22, 1900, -1.2, 20, 52, _FLAT,
             (("Kitchen", "Mugs", "Mug"), ("Kitchen", "Pans", "Pan"),
              ("Decor", "Candles", "Candle"), ("Decor", "Lighting", "Lamp"),
              ("Bedding", "Throws", "Throw"))),
    Category("Fashion", "FA", 110, 16, 2900, -1.6, 72, 56,
             (90, 88, 104, 108, 110, 104, 96, 94, 104, 104, 102, 100),
             (("Women", "Dresses", "Dress"), ("Men", "Shirts", "Shirt"),
              ("Shoes", "Trainers", "Trainers"))),
    Category("Beauty", "BE", 90, 10, 1500, -1.1, 14, 60, _FLAT,
             (("Skin", "Creams", "Cream"), ("Hair", "Shampoo", "Shampoo"))),
    Category("Toys", "TO", 80, 10, 2100, -1.4, 18, 46,
             (70, 72, 80, 86, 84, 84, 88, 88, 92, 108, 160, 195),
             (("Games", "Puzzles", "Puzzle"), ("Outdoor", "Kites", "Kite"),
              ("Craft", "Sets", "Craft Set"))),
    Category("Garden", "GA", 60, 8, 2600, -1.3, 18, 44,
             (50, 60, 110, 155, 175, 160, 130, 105, 80, 60, 50, 55),
             (("Plants", "Pots", "Pot"), ("Tools", "Hand Tools", "Trowel"))),
    Category("Sports", "SP", 70, 8, 3400, -1.5, 30, 42,
             (130, 112, 104, 104, 108, 108, 100, 96, 98, 90, 88, 92),
             (("Fitness", "Mats", "Mat"), ("Cycling", "Lights", "Bike Light"))),
    Category("Books", "BO", 60, 6, 1100, -0.8, 6, 40, _FLAT,
             (("Fiction", "Novels", "Novel"), ("Cooking", "Recipes", "Cookbook"))),
    Category("Pets", "PE", 60, 2, 1700, -1.0, 14, 45, _FLAT,
             (("Dogs", "Beds", "Dog Bed"), ("Cats", "Toys", "Cat Toy"))),
)  # fmt: skip
PETS = 8
"""The category that opens half-way through the time line."""
BOOKS = 7
GIFT_CARD = len(CATEGORIES)
"""Index of the gift card's own category."""

_ADJECTIVES = (
    "Classic", "Nordic", "Vintage", "Compact", "Everyday", "Premium", "Soft", "Bright", "Urban",
    "Natural", "Little", "Grand", "Silent", "Bold", "Handmade", "Café", "Smart", "Eco",
)  # fmt: skip
_COLOURS = ("Black", "White", "Red", "Sage", "Blue", "Sand", "Rosé", "Grey")
_SIZES = ("S", "M", "L", "XL")
_BRANDS = (
    "Alder & Finch", "Brightwell", "Corvid", "Dunmore", "Elska", "Fernhill", "Gable", "Häuser",
    "Isla", "Juniper Lane", "Kestrel", "Lumen", "Mossley", "Northbank", "Orchard", "Pénélope",
)  # fmt: skip
SUPPLIERS = 14


@dataclass(frozen=True)
class Promotion:
    """A price cut on one category (or all, -1) that lifts demand and borrows from the weeks after.

    Days are counted from 1970; `end` and `pull_end` are exclusive.
    """

    code: str
    category: int
    start: int
    end: int
    percent: int
    extra_lift: float
    pull_end: int
    pull: float


class Catalogue:
    """All products of a shop as columns; `sku_*` arrays are ordered by category, then product."""

    def __init__(self, profile: Profile, seed: int) -> None:
        r = rng(seed, "catalogue")
        self.profile = profile
        n = self.products = profile.products
        goods = n - 1  # the last product is the gift card
        category = np.sort(shares(r, [c.share for c in CATEGORIES], goods), kind="stable")
        self.category = np.append(category, GIFT_CARD)
        self.leaf = r.integers(0, 60, n)
        self.adjective = r.integers(0, len(_ADJECTIVES), n)
        self.brand = r.integers(0, len(_BRANDS), n)
        self.supplier = r.integers(0, SUPPLIERS, n)
        self.lead_days = r.integers(4, 29, n)
        self.moq = r.choice(np.array([6, 12, 24, 48]), n)
        self.quality = np.round(r.normal(0.0, 1.0, n), 3)
        self.defective = r.random(n) < 0.05
        self.defective[goods // 2] = True
        self.cost_unknown = r.random(n) < 0.03
        self.cost_unknown[[1, n - 1]] = True

        first, end, horizon = profile.first_day, profile.end_day, profile.horizon_day
        span = end - first
        launch = first - r.integers(20, 900, n)
        late = r.random(n) < 0.42
        launch[late] = first + r.integers(0, span - 40, late.sum())
        half = first + span // 2
        pets = self.category == PETS
        launch[pets] = half + r.integers(0, max(1, span // 8), pets.sum())
        launch[n - 1] = first - 400
        self.launch = launch
        self.half_life = r.integers(280, 1100, n)

        spread = np.round(np.exp(r.normal(0.0, 0.45, n)), 4)
        medians = np.array([c.price for c in CATEGORIES] + [2500])
        margin = np.array([c.margin for c in CATEGORIES] + [0])
        self.base_price = np.maximum(
            199, np.round(medians[self.category] * spread / 100).astype(np.int64) * 100 - 1
        )
        margins = margin[self.category] + r.integers(-8, 9, n)
        self.base_cost = self.base_price * (100 - margins) * 62 // 10_000
        self.base_price[n - 1], self.base_cost[n - 1] = 2500, 0
        self._history(seed, first, horizon)
        self._variants(r)
        self.promotions = self._promotions(seed)
        self._rules(seed)

    def _history(self, seed: int, first: int, horizon: int) -> None:
        """Price and cost changes at midnight UTC, flat and sorted by (product, day)."""
        r = rng(seed, "prices")
        n, profile = self.products, self.profile
        rows: list[tuple[int, int, int, int]] = []
        # suppliers raise their prices in the middle of a year
        years = range(date.fromordinal(EPOCH + first).year, date.fromordinal(EPOCH + horizon).year)
        rises = {
            (year, s): int(percent)
            for year in years
            for s, percent in enumerate(r.integers(-4, 13, SUPPLIERS))
        }
        self.typo_product = int(n // 3)
        self.typo_day = profile.end_day - 45
        for p in range(n):
            launch, base, cost = (
                int(self.launch[p]),
                int(self.base_price[p]),
                int(self.base_cost[p]),
            )
            events: dict[int, list[int | None]] = {launch: [base, cost]}
            if p != n - 1:
                changes = int(r.poisson(1.5 * (horizon - launch) / 365))
                days = r.integers(launch + 30, max(launch + 31, horizon), changes)
                factors = r.choice(np.array([85, 90, 95, 105, 110, 115, 120]), changes)
                for day, factor in zip(days.tolist(), factors.tolist(), strict=True):
                    events.setdefault(day, [None, None])[0] = max(
                        99, base * factor // 10_000 * 100 + 99
                    )
                for year in years:
                    day = date(year, 7, 1).toordinal() - EPOCH
                    rise = rises[year, int(self.supplier[p])]
                    if day > launch and rise > 2:
                        cost = min(cost * (100 + rise) // 100, max(cost, base * 55 // 100))
                        events.setdefault(day, [None, None])[1] = cost
            if p == self.typo_product:
                before = [d for d in events if d < self.typo_day and events[d][0] is not None]
                right = events[max(before)][0] if before else base
                for day in (self.typo_day, self.typo_day + 1):
                    events.pop(day, None)
                events[self.typo_day] = [right // 10, None]
                events[self.typo_day + 1] = [right, None]
            price_now, cost_now = base, int(self.base_cost[p])
            for day in sorted(events):
                price, new_cost = events[day]
                price_now = price_now if price is None else price
                cost_now = cost_now if new_cost is None else new_cost
                rows.append((p, day, price_now, cost_now))
        table = np.array(rows, dtype=np.int64)
        self.history_product, self.history_day = table[:, 0], table[:, 1]
        self.history_price, self.history_cost = table[:, 2], table[:, 3]
        self._history_key = table[:, 0] * 100_000 + table[:, 1]
        self.history_start = np.searchsorted(table[:, 0], np.arange(n + 1))

    def _variants(self, r: np.random.Generator) -> None:
        """Variants share their product's price and cost; they differ in colour, size and demand."""
        n = self.products
        count = np.minimum(1 + pick(r, [62, 20, 12, 6], n), 4)
        count[n - 1] = 1
        self.sku_product = np.repeat(np.arange(n), count)
        self.skus = self.sku_product.size
        self.first_sku = np.concatenate([[0], np.cumsum(count)])
        number = np.arange(self.skus) - self.first_sku[self.sku_product]
        colour = r.integers(0, len(_COLOURS), n)[self.sku_product]
        self.sku_colour = (colour + number) % len(_COLOURS)
        self.sku_size = number % len(_SIZES)
        self.sku_weight_g = r.integers(40, 3000, n)[self.sku_product]
        self.sku_category = self.category[self.sku_product]
        popularity = np.round(np.exp(r.normal(0.0, 1.0, n)), 4)
        weights = np.array([c.weight for c in CATEGORIES] + [0])
        self.sku_popularity = np.round(
            (popularity * weights[self.category])[self.sku_product] * 0.7**number, 4
        )
        self.sku_codes = [
            f"{'GC' if p == n - 1 else CATEGORIES[self.category[p]].code}{p:05d}-{v + 1}"
            for p, v in zip(self.sku_product.tolist(), number.tolist(), strict=True)
        ]
        # first sku of each category block; the gift card's block is last
        self.block = np.searchsorted(self.sku_category, np.arange(len(CATEGORIES) + 2))

    def _promotions(self, seed: int) -> list[Promotion]:
        r = rng(seed, "promotions")
        first, horizon = self.profile.first_day, self.profile.horizon_day
        found, day = [], first + 25
        while day < horizon - 40:
            category = int(r.integers(0, len(CATEGORIES)))
            length, percent = int(r.integers(5, 13)), int(r.choice(np.array([10, 15, 20, 25])))
            code = f"{CATEGORIES[category].code}{percent}-{day % 1000:03d}"
            pull_end = day + length + 14
            found.append(
                Promotion(code, category, day, day + length, percent, 1.15, pull_end, 0.82)
            )
            day += int(r.integers(24, 46))
        for year in range(
            date.fromordinal(EPOCH + first).year, date.fromordinal(EPOCH + horizon).year + 1
        ):
            start = black_friday(year).toordinal() - EPOCH
            found.append(Promotion(f"BLACK{year}", -1, start, start + 4, 20, 1.0, start + 18, 0.9))
        return sorted(found, key=lambda p: (p.start, p.code))

    def _rules(self, seed: int) -> None:
        """Planted basket rules: who buys the first sku and more takes the second with p."""
        r = rng(seed, "rules")
        top = np.argsort(-self.sku_popularity * self._on_sale_share(), kind="stable")
        count = max(4, min(16, self.products // 25))
        chosen = top[: 2 * count]
        mixed = r.permutation(chosen)
        self.rules = [
            (int(a), int(b), int(p))
            for a, b, p in zip(mixed[:count], mixed[count:], r.integers(25, 50, count), strict=True)
        ]
        self.rule_target = np.full(self.skus, -1)
        self.rule_percent = np.zeros(self.skus, dtype=np.int64)
        for a, b, percent in self.rules:
            self.rule_target[a], self.rule_percent[a] = b, percent

    def _on_sale_share(self) -> np.ndarray:
        early = self.launch <= self.profile.first_day
        return early[self.sku_product].astype(float)

    def history_at(self, product: np.ndarray, day: np.ndarray) -> np.ndarray:
        """Row of the price history valid for each product on each day."""
        key = np.asarray(product) * 100_000 + np.asarray(day)
        row = np.searchsorted(self._history_key, key, side="right") - 1
        return np.maximum(row, self.history_start[product])

    def promotion_on(self, days: np.ndarray, category: np.ndarray) -> np.ndarray:
        """Index of the promotion that covers each (day, category), -1 if none; later ones win."""
        found = np.full(len(days), -1)
        for index, promo in enumerate(self.promotions):
            hit = (days >= promo.start) & (days < promo.end)
            if promo.category >= 0:
                hit &= category == promo.category
            found[hit & (category < GIFT_CARD)] = index
        return found

    def demand(self, days: np.ndarray) -> np.ndarray:
        """Integer choice weight of every sku on each day. Shape: (days, skus).

        popularity x age x season x (price / base price)^elasticity x promotion.
        """
        product = self.sku_product
        age = days[:, None] - self.launch[None, :]
        ramp = np.clip(age / 30, 0.0, 1.0)
        decay = 0.18 + 0.82 * np.exp2(-np.maximum(age, 0) / self.half_life[None, :])
        rows = self.history_at(
            np.broadcast_to(np.arange(self.products), age.shape).ravel(),
            np.repeat(days, self.products),
        )
        price = self.history_price[rows].reshape(age.shape) / self.base_price[None, :]
        elasticity = np.array([c.elasticity for c in CATEGORIES] + [0.0])[self.category]
        weight = ramp * decay * price ** elasticity[None, :]
        months = np.array([date.fromordinal(EPOCH + int(d)).month - 1 for d in days])
        season = np.array([c.season for c in CATEGORIES] + [(0,) * 12]).T[months] / 100
        weight *= season[:, self.category]
        for promo in self.promotions:
            inside = (days >= promo.start) & (days < promo.end)
            after = (days >= promo.end) & (days < promo.pull_end)
            if not (inside.any() or after.any()):
                continue
            members = (
                self.category < GIFT_CARD if promo.category < 0 else self.category == promo.category
            )
            lift = (1 - promo.percent / 100) ** elasticity[members] * promo.extra_lift
            weight[np.ix_(inside, members)] *= lift[None, :]
            weight[np.ix_(after, members)] *= promo.pull
        return np.round(weight[:, product] * self.sku_popularity[None, :] * 1000).astype(np.int64)

    def title(self, product: int) -> str:
        """The product's name."""
        if product == self.products - 1:
            return "Gift card"
        leaves = CATEGORIES[self.category[product]].leaves
        noun = leaves[self.leaf[product] % len(leaves)][2]
        return f"{_ADJECTIVES[self.adjective[product]]} {noun} No. {product + 1}"

    def path(self, product: int) -> str:
        """The product's category path, like Home>Kitchen>Mugs."""
        if product == self.products - 1:
            return "Gift cards"
        category = CATEGORIES[self.category[product]]
        second, third, _ = category.leaves[self.leaf[product] % len(category.leaves)]
        return f"{category.name}>{second}>{third}"

    def brand_name(self, product: int) -> str:
        """The product's brand."""
        return _BRANDS[self.brand[product]]

    def options(self, sku: int) -> dict[str, str]:
        """Colour and size of a variant."""
        return {"color": _COLOURS[self.sku_colour[sku]], "size": _SIZES[self.sku_size[sku]]}
