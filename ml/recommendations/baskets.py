"""Orders as sparse matrices: who put what into which basket, and when.

Codes instead of keys: customers, baskets and items are numbered in the order of their keys, baskets
in the order of time, so that the past of any day is a prefix and the order of rows decides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from scipy import sparse

ANONYMOUS = -1


@dataclass(frozen=True)
class Baskets:
    """The lines of a shop's baskets up to some day.

    Attributes:
        customers: keys by code.
        items: product keys by code.
        basket_customer: customer of each basket, `ANONYMOUS` without one; int32.
        basket_day: day of each basket, days since 1970, ascending; int32.
        line_basket: basket of each line, ascending; int32.
        line_item: item of each line; int32.
        line_quantity: units of each line; float32.
    """

    customers: np.ndarray
    items: np.ndarray
    basket_customer: np.ndarray
    basket_day: np.ndarray
    line_basket: np.ndarray
    line_item: np.ndarray
    line_quantity: np.ndarray

    @classmethod
    def from_frame(cls, lines: pd.DataFrame) -> Baskets:
        """Of rows of `features.basket_lines` in any order.

        Args:
            lines: order_id, customer_key (missing if anonymous), product_key, order_date, quantity.

        Raises:
            ValueError: an order has a product twice, or an order has two dates.
        """
        order, orders = _codes(lines["order_id"])
        customer, customers = _codes(lines["customer_key"])
        item, items = _codes(lines["product_key"])
        day = days_of(lines["order_date"])
        order_day = np.zeros(len(orders), np.int32)
        order_customer = np.full(len(orders), ANONYMOUS, np.int32)
        order_day[order], order_customer[order] = day, customer
        if (order_day[order] != day).any():
            raise ValueError("an order has lines of two days")
        in_time = np.lexsort((np.arange(len(orders)), order_day))
        place = np.empty(len(orders), np.int64)
        place[in_time] = np.arange(len(orders))
        line_key = place[order] * max(len(items), 1) + item
        by_line = np.argsort(line_key, kind="stable")
        line_key = line_key[by_line]
        if (line_key[1:] == line_key[:-1]).any():
            raise ValueError("an order has two lines of one product")
        return cls(
            customers=customers,
            items=items,
            basket_customer=order_customer[in_time],
            basket_day=order_day[in_time],
            line_basket=place[order][by_line].astype(np.int32),
            line_item=item[by_line].astype(np.int32),
            line_quantity=lines["quantity"].to_numpy(np.float32)[by_line],
        )

    def until(self, day: int) -> Baskets:
        """What was known at the end of a day; a view, codes stay the same."""
        n_baskets = int(np.searchsorted(self.basket_day, day, side="right"))
        n_lines = int(np.searchsorted(self.line_basket, n_baskets, side="left"))
        return Baskets(
            self.customers,
            self.items,
            self.basket_customer[:n_baskets],
            self.basket_day[:n_baskets],
            self.line_basket[:n_lines],
            self.line_item[:n_lines],
            self.line_quantity[:n_lines],
        )

    @property
    def last_day(self) -> int:
        """Day of the newest basket, days since 1970."""
        return int(self.basket_day[-1])

    @cached_property
    def by_basket(self) -> sparse.csr_array:
        """1 where a basket holds an item; shape (baskets, items), float32."""
        ones = np.ones(len(self.line_item), np.float32)
        shape = (len(self.basket_day), len(self.items))
        starts = np.searchsorted(self.line_basket, np.arange(shape[0] + 1)).astype(np.int32)
        return sparse.csr_array((ones, self.line_item, starts), shape=shape)

    @cached_property
    def places(self) -> np.ndarray:
        """For each basket how many baskets its customer had after it; anonymous ones 0."""
        by_customer = np.argsort(self.basket_customer, kind="stable")
        who = self.basket_customer[by_customer]
        ends = np.searchsorted(who, who, side="right")
        after = np.empty(len(who), np.int32)
        after[by_customer] = ends - 1 - np.arange(len(who))
        after[self.basket_customer == ANONYMOUS] = 0
        return after

    @cached_property
    def known(self) -> np.ndarray:
        """Codes of the customers with a basket, ascending."""
        codes = np.unique(self.basket_customer)
        return codes[codes != ANONYMOUS]

    def next_baskets(self, day: int, last_day: int) -> tuple[np.ndarray, np.ndarray]:
        """The first basket after `day` of each customer who was known by then.

        Returns:
            Customers, ascending, and the basket of each; within (day, last_day].
        """
        known = np.zeros(len(self.customers), bool)
        known[self.until(day).known] = True
        is_later = (self.basket_day > day) & (self.basket_day <= last_day)
        later = np.flatnonzero(is_later & (self.basket_customer != ANONYMOUS))
        later = later[known[self.basket_customer[later]]]
        customers, first = np.unique(self.basket_customer[later], return_index=True)
        return customers, later[first]


def days_of(dates: pd.Series) -> np.ndarray:
    """Whole days since 1970, int32."""
    return dates.to_numpy("datetime64[D]").astype(np.int64).astype(np.int32)


def _codes(keys: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """The place of each key among the sorted distinct ones (-1 if missing), and those."""
    codes, found = pd.factorize(keys, sort=True)
    return codes.astype(np.int64), np.asarray(found, dtype=object)
