"""What is known of every product on a day: its sales so far, its price, its peers, its reviews.

Products with a history are described by it; a new one only by what it is: category, brand, price,
season, and what the launches before it became.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

HORIZON_DAYS = 90
YEAR_DAYS = 364  # whole weeks
NEW_DAYS = 30  # a product that is younger has no history to speak of
# a product that first sold so soon after the shop's first day was there before
UNKNOWN_START_DAYS = 60
WINDOWS = (7, 28, 90, 180, 364)
RATING_PRIOR = 5.0  # reviews of the shop's mean rating that each product's is shrunk by
PEER_PRIOR = 5.0  # launches of the shop's mean that each category's and brand's is shrunk by

HISTORY_FEATURES = (
    *(f"log_units_{days}d" for days in WINDOWS),
    "trend_28d", "trend_90d", "season", "shop_season", "shop_trend", "category_trend",
    "log_orders_90d", "age_days", "days_since_sale", "log_price", "price_to_category",
    "price_change", "category_level", "brand_level", "log_reviews", "rating", "reviews_90d",
)  # fmt: skip
LAUNCH_FEATURES = (
    "category_mean", "brand_mean", "shop_mean", "log_price", "price_to_category", "season_sin",
    "season_cos", "siblings", "sibling_level", "sibling_rating", "shop_level",
)  # fmt: skip

# what tells nearly the same stands together, see `ml.importance`
HISTORY_FACTS: Mapping[str, tuple[str, ...]] = {
    "sales so far": (*(f"log_units_{days}d" for days in WINDOWS), "log_orders_90d"),
    "its trend": ("trend_28d", "trend_90d"),
    "season": ("season", "shop_season"),
    "trend of shop and category": ("shop_trend", "category_trend"),
    "age": ("age_days",),
    "time since the last sale": ("days_since_sale",),
    "price": ("log_price", "price_to_category", "price_change"),
    "level of category and brand": ("category_level", "brand_level"),
    "reviews": ("log_reviews", "rating", "reviews_90d"),
}
LAUNCH_FACTS: Mapping[str, tuple[str, ...]] = {
    "earlier launches": ("category_mean", "brand_mean", "shop_mean"),
    "price": ("log_price", "price_to_category"),
    "season": ("season_sin", "season_cos"),
    "variants": ("siblings", "sibling_level", "sibling_rating"),
    "level of the shop": ("shop_level",),
}


@dataclass(frozen=True)
class Sums:
    """Sums over days per product, from the days on which something happened.

    A grid of days by products would hold a large catalogue's many years of nothing.

    Attributes:
        days: of the shop; they are counted from 0.
        place: product times (days + 1) plus day of each event, ascending.
        running: by name, what all events before each of them sum up to; one longer than `place`.
    """

    days: int
    place: np.ndarray
    running: dict[str, np.ndarray]

    @classmethod
    def of(
        cls, days: int, product: np.ndarray, day: np.ndarray, values: dict[str, np.ndarray]
    ) -> Sums:
        """Of events at products and days, in any order; all arrays of shape (events,)."""
        place = product.astype(np.int64) * (days + 1) + day
        order = np.argsort(place, kind="stable")
        running = {
            name: np.concatenate([[0.0], np.cumsum(value[order], dtype=float)])
            for name, value in values.items()
        }
        return cls(days, place[order], running)

    def total(
        self, name: str, product: np.ndarray, first: int | np.ndarray, last: int | np.ndarray
    ) -> np.ndarray:
        """Sum of each product's days first..last, both included, shape as `product`."""
        running = self.running[name]
        return running[self._before(product, last, 1)] - running[self._before(product, first, 0)]

    def last_day(self, product: np.ndarray, until: int) -> np.ndarray:
        """Day of each product's newest event up to a day; -1 where there is none."""
        at = self._before(product, until, 1) - 1
        found = np.where(at >= 0, self.place[np.maximum(at, 0)], -1)
        return np.where(found // (self.days + 1) == product, found % (self.days + 1), -1)

    def first_day(self, product: np.ndarray, never: int) -> np.ndarray:
        """Day of each product's first event; `never` where there is none."""
        at = self._before(product, 0, 0)
        found = np.append(self.place, -1)[at]
        return np.where(found // (self.days + 1) == product, found % (self.days + 1), never)

    def _before(self, product: np.ndarray, day: int | np.ndarray, more: int) -> np.ndarray:
        """How many events lie before this day (plus `more`) of each product, in the order kept."""
        day = np.clip(np.asarray(day) + more, 0, self.days)
        return np.searchsorted(self.place, product * (self.days + 1) + day)


@dataclass(frozen=True)
class Shop:
    """Sales by day and product, and what the products are.

    Attributes:
        keys: product keys, ascending; all with a sale or in the catalogue.
        first: first day with a sale.
        today: last day that is known.
        sales: units, amount and orders of each.
        sold: the same of the days on which units were sold, not given back alone.
        rated: reviews and stars by `product`, of a product and its variants together.
        shop_units: units of all products up to each day, 0 before the first; shape (days + 1,).
        category, brand, product: codes, -1 if unknown; shape (products,).
        list_price: NaN if unknown.
        is_active: whether it is for sale as far as the catalogue says; shape (products,).
        launch: day of the first sale or the catalogue's, counted from `first`; a large number
            where neither is known.
    """

    keys: np.ndarray
    first: pd.Timestamp
    today: pd.Timestamp
    sales: Sums
    sold: Sums
    rated: Sums
    shop_units: np.ndarray
    category: np.ndarray
    brand: np.ndarray
    product: np.ndarray
    list_price: np.ndarray
    is_active: np.ndarray
    launch: np.ndarray

    @classmethod
    def from_frames(
        cls,
        sales: pd.DataFrame,
        attributes: pd.DataFrame,
        reviews: pd.DataFrame,
        as_of: pd.Timestamp,
    ) -> Shop:
        """The shop up to `as_of`; see `products.fit` for the frames."""
        first = sales["order_date"].min()
        days = (as_of - first).days + 1
        keys = np.unique(
            np.concatenate([sales["product_key"].to_numpy(object), attributes["product_key"]])
        ).astype(object)
        place = pd.Index(keys)
        known = attributes.set_index("product_key").reindex(keys)
        day = (sales["order_date"] - first).dt.days.to_numpy()
        column = place.get_indexer(sales["product_key"])
        values = {name: sales[name].to_numpy(float) for name in ("units", "amount", "orders")}
        sold = values["units"] > 0
        sold_on = Sums.of(days, column[sold], day[sold], {})
        launch = sold_on.first_day(np.arange(len(keys)), never=10**6)
        named = known["launched_date"].to_numpy("datetime64[D]")
        offset = (named - np.datetime64(first, "D")).astype("timedelta64[D]").astype(float)
        launch = np.where(np.isnat(named), launch, np.fmin(offset, launch)).astype(int)
        product = known["product_id"].fillna(pd.Series(keys, index=keys))
        codes = pd.factorize(product, sort=True)[0]
        of_product = pd.Series(codes, index=keys).reindex(reviews["product_key"]).to_numpy(float)
        fits = ~np.isnan(of_product) & (reviews["review_date"] >= first).to_numpy(bool)
        seen = reviews[fits]
        rated = Sums.of(
            days,
            of_product[fits].astype(np.int64),
            (seen["review_date"] - first).dt.days.to_numpy(),
            {name: seen[name].to_numpy(float) for name in ("reviews", "stars")},
        )
        of_day = np.bincount(day, values["units"], days)
        return cls(
            keys=keys,
            first=first,
            today=as_of,
            sales=Sums.of(days, column, day, values),
            sold=sold_on,
            rated=rated,
            shop_units=np.concatenate([[0.0], np.cumsum(of_day)]),
            category=pd.factorize(known["category"], sort=True)[0],
            brand=pd.factorize(known["brand"], sort=True)[0],
            product=codes,
            list_price=known["price_amount"].to_numpy(float),
            is_active=known["is_active"].astype("boolean").fillna(True).to_numpy(bool),
            launch=launch,
        )

    @property
    def last(self) -> int:
        """Number of the last day."""
        return self.sales.days - 1

    def total(
        self,
        name: str,
        first: int | np.ndarray,
        last: int | np.ndarray,
        of: np.ndarray | None = None,
    ) -> np.ndarray:
        """Sum over the days first..last, both included, of some or all products.

        Days before the first count nothing.
        """
        of = np.arange(len(self.keys)) if of is None else of
        if name in self.rated.running:
            return self.rated.total(name, self.product[of], first, last)
        return self.sales.total(name, of, first, last)

    def all_units(self, first: int, last: int) -> float:
        """Units of all products over the days first..last, both included."""
        at = np.clip([first, last + 1], 0, self.sales.days)
        return float(np.diff(self.shop_units[at])[0])

    def ahead(self, day: int) -> np.ndarray:
        """Units of the `HORIZON_DAYS` after a day; NaN where they are not over."""
        if day + HORIZON_DAYS > self.last:
            return np.full(len(self.keys), np.nan)
        return self.total("units", day + 1, day + HORIZON_DAYS)

    def price(self, day: int) -> np.ndarray:
        """Mean price of a unit of the last 90 days with sales, else of all days, else listed."""
        recent = self._ratio(day - 89, day)
        return np.where(np.isnan(recent), self._ever_price(day), recent)

    def _ever_price(self, day: int) -> np.ndarray:
        ever = self._ratio(0, day)
        return np.where(np.isnan(ever), self.list_price, ever)

    def _ratio(self, first: int, last: int) -> np.ndarray:
        units = self.total("units", first, last)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(units > 0, self.total("amount", first, last) / units, np.nan)


def established(shop: Shop, day: int) -> np.ndarray:
    """Products with a history: at least `NEW_DAYS` old and sold within a year."""
    old = shop.launch <= day - NEW_DAYS
    return np.flatnonzero(old & (shop.total("units", day - YEAR_DAYS + 1, day) > 0))


def history_features(shop: Shop, day: int, of: np.ndarray) -> np.ndarray:
    """`HISTORY_FEATURES` of some products as of a day, NaN where undefined."""
    units = {days: shop.total("units", day - days + 1, day) for days in WINDOWS}
    before = shop.total("units", day - 179, day - 90)
    price = shop.price(day)
    with np.errstate(divide="ignore", invalid="ignore"):
        season = _log_ratio(
            shop.total("units", day - YEAR_DAYS + 1, day - YEAR_DAYS + HORIZON_DAYS),
            shop.total("units", day - YEAR_DAYS - 89, day - YEAR_DAYS),
        )
        year_known = day >= YEAR_DAYS + 89
        since_sale = day - shop.sold.last_day(np.arange(len(shop.keys)), day)
        reviews = shop.total("reviews", 0, day)
        stars = shop.total("stars", 0, day)
        mean_rating = stars.sum() / reviews.sum() if reviews.sum() else np.nan
        category_price = _peer_median(price, shop.category)
        columns = {
            **{f"log_units_{days}d": np.log1p(units[days]) for days in WINDOWS},
            "trend_28d": _log_ratio(units[28] * 90 / 28, units[90]),
            "trend_90d": _log_ratio(units[90], before),
            "season": np.where(year_known, season, np.nan),
            "shop_season": np.full(len(price), shop_season(shop, day)),
            "shop_trend": np.full(len(price), _log_ratio(units[90].sum(), before.sum())),
            "category_trend": _peer_log_ratio(units[90], before, shop.category),
            "log_orders_90d": np.log1p(shop.total("orders", day - 89, day)),
            "age_days": np.minimum(day - shop.launch, 730).astype(float),
            "days_since_sale": since_sale.astype(float),
            "log_price": np.log(price),
            "price_to_category": np.log(price / category_price),
            "price_change": np.log(shop._ratio(day - 27, day) / shop._ratio(day - 179, day - 28)),
            "category_level": _peer_level(units[90], shop.category),
            "brand_level": _peer_level(units[90], shop.brand),
            "log_reviews": np.log1p(reviews),
            "rating": (stars + RATING_PRIOR * mean_rating) / (reviews + RATING_PRIOR),
            "reviews_90d": shop.total("reviews", day - 89, day),
        }
    table = np.column_stack([columns[name] for name in HISTORY_FEATURES])[of]
    table[~np.isfinite(table)] = np.nan
    return table.astype(np.float32)


def shop_season(shop: Shop, day: int) -> float:
    """Log ratio of the 90 days ahead to the 90 days behind, a year ago; NaN if that isn't known."""
    if day < YEAR_DAYS + 89:
        return float("nan")
    ahead = shop.all_units(day - YEAR_DAYS + 1, day - YEAR_DAYS + HORIZON_DAYS)
    behind = shop.all_units(day - YEAR_DAYS - 89, day - YEAR_DAYS)
    return float(_log_ratio(ahead, behind))


@dataclass(frozen=True)
class Launches:
    """Products on the day before they went on sale, in the order of their launch.

    Attributes:
        product: place in the shop's keys.
        day: of the launch.
        features: shape (launches, LAUNCH_FEATURES), NaN where undefined.
        baseline: units of the category's median launch so far, of the shop's where there is none.
        units: of the first `HORIZON_DAYS`; NaN where they are not over.
    """

    product: np.ndarray
    day: np.ndarray
    features: np.ndarray
    baseline: np.ndarray
    units: np.ndarray

    def part(self, keep: np.ndarray) -> Launches:
        """Some of them."""
        return Launches(
            *(
                getattr(self, name)[keep]
                for name in ("product", "day", "features", "baseline", "units")
            )
        )


def launches(shop: Shop) -> Launches:
    """All launches whose day is known, those of the coming 90 days included."""
    known = (shop.launch >= UNKNOWN_START_DAYS) & (shop.launch <= shop.last + HORIZON_DAYS)
    product = np.flatnonzero(known)
    product = product[np.argsort(shop.launch[product], kind="stable")]
    day = shop.launch[product]
    over = day + HORIZON_DAYS - 1 <= shop.last
    units = np.where(over, shop.total("units", day, day + HORIZON_DAYS - 1, product), np.nan)
    price = _first_price(shop, product, day)
    log_units = np.log1p(units)
    done = day + HORIZON_DAYS - 1
    rows, baseline = [], []
    for at, (one, when) in enumerate(zip(product, day, strict=True)):
        # launches whose first 90 days were over on the day before
        earlier = np.flatnonzero(done < when)
        peers = earlier[shop.category[product[earlier]] == shop.category[one]]
        brand = earlier[shop.brand[product[earlier]] == shop.brand[one]]
        mean = log_units[earlier].mean() if len(earlier) else np.nan
        pool = peers if len(peers) >= PEER_PRIOR else earlier
        baseline.append(np.expm1(np.median(log_units[pool])) if len(pool) else np.nan)
        siblings = np.flatnonzero((shop.product == shop.product[one]) & (shop.launch < when))
        before = min(when, shop.last + 1) - 1
        sibling_units = shop.total("units", before - 89, before, siblings)
        stars = shop.total("stars", 0, before, siblings).max(initial=0)
        reviews = shop.total("reviews", 0, before, siblings).max(initial=0)
        angle = 2 * np.pi * (shop.first + pd.Timedelta(days=int(when))).day_of_year / 365.25
        rows.append(
            [
                _shrunk(log_units[peers], mean),
                _shrunk(log_units[brand], mean) if shop.brand[one] >= 0 else np.nan,
                mean,
                np.log(price[at]) if price[at] > 0 else np.nan,
                _relative_price(price, product, shop.category, at, earlier),
                np.sin(angle),
                np.cos(angle),
                float(len(siblings)),
                np.log1p(sibling_units.mean()) if len(siblings) else np.nan,
                stars / reviews if reviews else np.nan,
                np.log1p(shop.all_units(before - 89, before)),
            ]
        )
    return Launches(
        product=product,
        day=day,
        features=np.array(rows, dtype=np.float32).reshape(len(product), len(LAUNCH_FEATURES)),
        baseline=np.array(baseline, dtype=float),
        units=units,
    )


def _first_price(shop: Shop, product: np.ndarray, day: np.ndarray) -> np.ndarray:
    """The price tag of the first day; what was not sold on it has the list price."""
    units = shop.total("units", day, day, product)
    amount = shop.total("amount", day, day, product)
    is_sold = (day >= 0) & (day <= shop.last) & (units > 0)
    return np.where(is_sold, amount / np.where(is_sold, units, 1), shop.list_price[product])


def _relative_price(
    price: np.ndarray, product: np.ndarray, category: np.ndarray, at: int, earlier: np.ndarray
) -> float:
    peers = earlier[category[product[earlier]] == category[product[at]]]
    peers = peers[price[peers] > 0]
    if not len(peers) or not price[at] > 0:
        return float("nan")
    return float(np.log(price[at] / np.median(price[peers])))


def _shrunk(values: np.ndarray, mean: float) -> float:
    return float((values.sum() + PEER_PRIOR * mean) / (len(values) + PEER_PRIOR))


def _log_ratio(one: np.ndarray | float, other: np.ndarray | float) -> np.ndarray:
    """Log of a ratio of counts, with one unit added to both."""
    return np.log((np.asarray(one) + 1) / (np.asarray(other) + 1))


def _peer_level(units: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Log of the mean units of a product's group."""
    code = group + 1
    mean = np.bincount(code, weights=units) / np.maximum(np.bincount(code), 1)
    return np.where(group >= 0, np.log1p(mean)[code], np.nan)


def _peer_log_ratio(one: np.ndarray, other: np.ndarray, group: np.ndarray) -> np.ndarray:
    code = group + 1
    ratio = _log_ratio(np.bincount(code, weights=one), np.bincount(code, weights=other))
    return ratio[code]


def _peer_median(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    return pd.Series(values).groupby(group).transform("median").to_numpy()
