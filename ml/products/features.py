"""What is known of every product on a day: its sales so far, its price, its peers, its reviews.

Products with a history are described by it; a new one only by what it is: category, brand, price,
season, and what the launches before it became.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

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


@dataclass(frozen=True)
class Shop:
    """Sales by day and product, and what the products are.

    Attributes:
        keys: product keys, ascending; all with a sale or in the catalogue.
        first: first day with a sale.
        today: last day that is known.
        units, amount, orders: shape (days, products), float32.
        reviews, stars: per day and product, of the product and its variants together.
        category, brand, product: codes, -1 if unknown; shape (products,).
        list_price: NaN if unknown.
        launch: day of the first sale or the catalogue's, counted from `first`; a large number
            where neither is known.
    """

    keys: np.ndarray
    first: pd.Timestamp
    today: pd.Timestamp
    units: np.ndarray
    amount: np.ndarray
    orders: np.ndarray
    reviews: np.ndarray
    stars: np.ndarray
    category: np.ndarray
    brand: np.ndarray
    product: np.ndarray
    list_price: np.ndarray
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
        row = (sales["order_date"] - first).dt.days.to_numpy()
        column = place.get_indexer(sales["product_key"])
        grids = []
        for name in ("units", "amount", "orders"):
            grid = np.zeros((days, len(keys)), np.float32)
            np.add.at(grid, (row, column), sales[name].to_numpy(np.float32))
            grids.append(grid)
        sold = grids[0] > 0
        launch = np.where(sold.any(axis=0), sold.argmax(axis=0), 10**6)
        named = known["launched_date"].to_numpy("datetime64[D]")
        offset = (named - np.datetime64(first, "D")).astype("timedelta64[D]").astype(float)
        launch = np.where(np.isnat(named), launch, np.fmin(offset, launch)).astype(int)
        product = known["product_id"].fillna(pd.Series(keys, index=keys))
        codes = pd.factorize(product, sort=True)[0]
        seen = np.zeros((2, days, len(keys)), np.float32)
        if len(reviews):
            of_product = pd.Series(codes, index=keys).reindex(reviews["product_key"]).to_numpy()
            fits = ~np.isnan(of_product) & (reviews["review_date"] >= first).to_numpy()
            when = (reviews["review_date"] - first).dt.days.to_numpy()[fits]
            per_product = np.zeros((2, days, codes.max() + 1), np.float32)
            where = (when, of_product[fits].astype(int))
            np.add.at(per_product[0], where, reviews["reviews"].to_numpy(np.float32)[fits])
            np.add.at(per_product[1], where, reviews["stars"].to_numpy(np.float32)[fits])
            seen = per_product[:, :, codes]
        return cls(
            keys=keys,
            first=first,
            today=as_of,
            units=grids[0],
            amount=grids[1],
            orders=grids[2],
            reviews=seen[0],
            stars=seen[1],
            category=pd.factorize(known["category"], sort=True)[0],
            brand=pd.factorize(known["brand"], sort=True)[0],
            product=codes,
            list_price=known["price_amount"].to_numpy(float),
            launch=launch,
        )

    @property
    def last(self) -> int:
        """Number of the last day."""
        return len(self.units) - 1

    @cached_property
    def _totals(self) -> dict[str, np.ndarray]:
        return {
            name: np.vstack(
                [
                    np.zeros((1, len(self.keys))),
                    np.cumsum(getattr(self, name), axis=0, dtype=float),
                ]
            )
            for name in ("units", "amount", "orders", "reviews", "stars")
        }

    def total(self, name: str, first: int, last: int) -> np.ndarray:
        """Sum over the days first..last, both included; days before the first count nothing."""
        total = self._totals[name]
        return (
            total[np.clip(last + 1, 0, len(total) - 1)] - total[np.clip(first, 0, len(total) - 1)]
        )

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
        sold = shop.units[: day + 1] > 0
        since_sale = np.argmax(sold[::-1], axis=0)
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
    ahead = shop.total("units", day - YEAR_DAYS + 1, day - YEAR_DAYS + HORIZON_DAYS).sum()
    behind = shop.total("units", day - YEAR_DAYS - 89, day - YEAR_DAYS).sum()
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
    units = np.full(len(product), np.nan)
    for at in np.flatnonzero(over):
        span = shop.units[day[at] : day[at] + HORIZON_DAYS, product[at]]
        units[at] = span.sum()
    # the price tag of the first day; what was not sold yet has the list price
    price = shop.list_price[product]
    first_price = np.array([_first_price(shop, one) for one in product])
    price = np.where(np.isnan(first_price), price, first_price)
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
        sibling_units = shop.total("units", before - 89, before)[siblings]
        stars = shop.total("stars", 0, before)[siblings].max(initial=0)
        reviews = shop.total("reviews", 0, before)[siblings].max(initial=0)
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
                np.log1p(shop.total("units", before - 89, before).sum()),
            ]
        )
    return Launches(
        product=product,
        day=day,
        features=np.array(rows, dtype=np.float32).reshape(len(product), len(LAUNCH_FEATURES)),
        baseline=np.array(baseline, dtype=float),
        units=units,
    )


def _first_price(shop: Shop, product: int) -> float:
    day = shop.launch[product]
    if not 0 <= day <= shop.last or shop.units[day, product] <= 0:
        return float("nan")
    return float(shop.amount[day, product] / shop.units[day, product])


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
