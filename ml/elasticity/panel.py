"""Weekly prices and units of products, side by side: what elasticities are learned from.

A product is sold as several SKUs and in several stores, each with a price list of its own. So that
a week in which the dearer store sold more is no rise in price, a row's log price is taken apart
into what the SKU costs in that store at all times and what the product costs in that week:

    log price = level of (SKU, store) + log price of (product, week)

solved by alternating means. The second part is the price that elasticities see; its level is
arbitrary, its changes are not.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

SWEEPS = 50  # alternating means; a shop with one store and no variants needs two
TOLERANCE = 1e-6
# a price that is off its product's median by more than this factor is a slip of the keyboard
MAX_PRICE_RATIO = 3.0
MAX_MARKDOWN = 0.9  # a gift has no price


@dataclass(frozen=True)
class Rows:
    """Rows of `features.product_price_weeks` of one buyer group as integers, sorted.

    Attributes:
        products, weeks: labels by code, sorted; weeks are those with any sale.
        product, unit, week: codes per row; a unit is a SKU in a store.
        log_price, units, markdown: per row; markdown as log(1 - share), 0 without one.
        category: code of each product's category.
        week_end: last day of each week, datetime64.
    """

    products: np.ndarray
    weeks: np.ndarray
    product: np.ndarray
    unit: np.ndarray
    week: np.ndarray
    log_price: np.ndarray
    units: np.ndarray
    markdown: np.ndarray
    category: np.ndarray
    week_end: np.ndarray

    @classmethod
    def from_frame(cls, frame: pd.DataFrame) -> Rows:
        """Codes of a frame's rows; rows without a price say nothing and are left out."""
        frame = frame[frame["price_amount"] > 0].sort_values(
            ["product_id", "product_key", "store_id", "week_start_date"]
        )
        product, products = pd.factorize(frame["product_id"], sort=True)
        week, weeks = pd.factorize(frame["week_start_date"], sort=True)
        unit = frame.groupby(["product_key", "store_id"], sort=True).ngroup().to_numpy()
        return cls(
            products=np.asarray(products, dtype=object),
            weeks=weeks.to_numpy(),
            product=product,
            unit=unit,
            week=week,
            log_price=np.log(frame["price_amount"].to_numpy(float)),
            units=frame["units"].to_numpy(float),
            markdown=np.log1p(-frame["markdown_share"].to_numpy(float).clip(0, MAX_MARKDOWN)),
            category=pd.factorize(frame.groupby("product_id")["category"].first(), sort=True)[0],
            week_end=(weeks + pd.Timedelta(days=6)).to_numpy(),
        )


@dataclass(frozen=True)
class Panel:
    """Products by weeks.

    Attributes:
        units: sold, shape (products, weeks); 0 where none was.
        price: log price of the product; where nothing was sold, midway between the last sale
            before and the first one after, since nobody saw when it changed.
        markdown: log(1 - share); where nothing was sold, that of the product's category.
        sold: whether the week has a sale at a credible price.
        level: log price level of each unit of `Rows`, NaN for those without a sale.
    """

    units: np.ndarray
    price: np.ndarray
    markdown: np.ndarray
    sold: np.ndarray
    level: np.ndarray

    @classmethod
    def learn(cls, rows: Rows, weeks: int) -> Panel:
        """The first `weeks` weeks of the rows; nothing of later ones is in it."""
        known = rows.week < weeks
        unit, log_price = rows.unit[known], rows.log_price[known]
        cell = rows.product[known] * weeks + rows.week[known]
        cells, cell = np.unique(cell, return_inverse=True)
        level = np.zeros(int(rows.unit.max(initial=-1)) + 1)
        per_unit = np.bincount(unit, minlength=len(level))
        per_cell = np.bincount(cell)
        price = np.zeros(len(cells))
        for _ in range(SWEEPS):
            price = np.bincount(cell, log_price - level[unit]) / per_cell
            before = level
            sums = np.bincount(unit, log_price - price[cell], minlength=len(level))
            level = sums / np.maximum(per_unit, 1)
            if np.abs(level - before).max(initial=0) < TOLERANCE:
                break
        level = np.where(per_unit > 0, level, np.nan)
        units = np.bincount(cell, rows.units[known])
        markdown = np.bincount(cell, rows.units[known] * rows.markdown[known]) / units
        shape = (len(rows.products), weeks)
        return cls._grid(shape, rows.category, cells, price, units, markdown, level)

    def extended(self, rows: Rows, weeks: int) -> Panel:
        """The panel up to a later week, its prices measured by the levels learned before.

        A SKU or store that had no level yet is left out: what it costs usually isn't known.
        """
        past = self.units.shape[1]
        ahead = (rows.week >= past) & (rows.week < weeks) & np.isfinite(self.level[rows.unit])
        cells, cell = np.unique(rows.product[ahead] * weeks + rows.week[ahead], return_inverse=True)
        new = rows.units[ahead]
        units = np.bincount(cell, new)
        price = np.bincount(cell, rows.log_price[ahead] - self.level[rows.unit[ahead]])
        markdown = np.bincount(cell, new * rows.markdown[ahead]) / units
        product, week = np.nonzero(self.sold)
        return self._grid(
            (len(rows.products), weeks),
            rows.category,
            np.concatenate([product * weeks + week, cells]),
            np.concatenate([self.price[product, week], price / np.bincount(cell)]),
            np.concatenate([self.units[product, week], units]),
            np.concatenate([self.markdown[product, week], markdown]),
            self.level,
        )

    @classmethod
    def _grid(
        cls,
        shape: tuple[int, int],
        category: np.ndarray,
        cells: np.ndarray,
        price: np.ndarray,
        units: np.ndarray,
        markdown: np.ndarray,
        level: np.ndarray,
    ) -> Panel:
        prices, sums, cut = np.full(shape, np.nan), np.zeros(shape), np.full(shape, np.nan)
        prices.flat[cells], sums.flat[cells], cut.flat[cells] = price, units, markdown
        median = pd.DataFrame(prices).median(axis=1).to_numpy()
        slips = np.abs(prices - median[:, None]) > np.log(MAX_PRICE_RATIO)
        prices[slips] = np.nan  # what was sold then was sold, most likely at the usual price
        table = pd.DataFrame(prices)
        before, after = table.ffill(axis=1), table.bfill(axis=1)
        filled = ((before.fillna(after) + after.fillna(before)) / 2).to_numpy()
        usual = pd.DataFrame(cut).groupby(category).mean().reindex(category).to_numpy()
        cut = np.where(np.isnan(cut), np.nan_to_num(usual), cut)
        return cls(sums, filled, cut, np.isfinite(prices), level)

    @cached_property
    def weeks_sold(self) -> np.ndarray:
        """Weeks with a sale, per product."""
        return self.sold.sum(axis=1)

    @cached_property
    def deviation(self) -> np.ndarray:
        """Standard deviation of the log price over the weeks with a sale, per product."""
        n = np.maximum(self.weeks_sold, 1)
        price = np.where(self.sold, self.price, 0.0)
        mean = price.sum(axis=1) / n
        squares = np.where(self.sold, (self.price - mean[:, None]) ** 2, 0.0).sum(axis=1)
        return np.sqrt(squares / n)

    @cached_property
    def alive(self) -> np.ndarray:
        """Weeks from a product's first to its last sale, shape (products, weeks)."""
        seen = np.cumsum(self.sold, axis=1)
        return (seen > 0) & (seen - self.sold < self.weeks_sold[:, None])

    def range_of(self, product: int, low: float, high: float) -> tuple[float, float]:
        """Quantiles of a product's log price over the weeks with a sale."""
        price = self.price[product, self.sold[product]]
        return float(np.quantile(price, low)), float(np.quantile(price, high))
