"""Order lines of a stretch of days and their money, in integers. The definitions are in README.md.

Amounts are minor units of the order's currency unless the name ends in `_gbp` (pence).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sandbox.store import places, plan
from sandbox.store.catalogue import BOOKS, CATEGORIES, GIFT_CARD, Catalogue
from sandbox.store.exact import DAY, local_day, pick, rng, round_div
from sandbox.store.people import People
from sandbox.store.plan import Plan
from sandbox.store.stock import Movements, Stock

_PLACES = np.array(places.PLACES)
_TAX = np.array([s.tax for s in places.STORES])
_INCLUDED = np.array([s.tax_included for s in places.STORES])
_FACTOR = np.array([s.factor for s in places.STORES])
_ZERO_BOOKS = np.array([s.zero_rated_books for s in places.STORES])

ORDER_DISCOUNTS = (None, "percent", "fixed", "bxgy", "shipping")
DISCOUNT_CODES = (None, "WELCOME10", "FIVER", "BUY2GET1", "FREESHIP")

# share of the amount in 1/10,000 and a fixed part in pence, by payment method
_FEE_SHARE = np.array([140, 290, 449, 0, 0, 0])
_FEE_FIXED = np.array([20, 30, 35, 150, 0, 0])


def to_gbp(minor: np.ndarray, rate: np.ndarray, decimals: np.ndarray) -> np.ndarray:
    """Minor units of a currency in pence: amount x rate, rounded half away from zero."""
    return round_div(minor * rate, 10 ** (decimals + 6))


def from_pence(pence: np.ndarray, rate: np.ndarray, decimals: np.ndarray) -> np.ndarray:
    """Pence as minor units of a currency."""
    return round_div(pence * 10**decimals * 1_000_000, rate)


@dataclass
class Lines:
    """Lines and headers of the orders [lo, hi); header columns are per order, the rest per line."""

    lo: int
    hi: int
    order: np.ndarray
    position: np.ndarray
    sku: np.ndarray
    qty: np.ndarray
    unit_price: np.ndarray
    unit_cost: np.ndarray  # pence
    tax_rate: np.ndarray  # 1/10,000
    is_gift: np.ndarray
    promotion: np.ndarray
    line_discount: np.ndarray
    allocated: np.ndarray
    net_gross: np.ndarray
    net_discount: np.ndarray
    tax: np.ndarray
    location: np.ndarray
    takes_stock: np.ndarray
    gross_gbp: np.ndarray
    discount_gbp: np.ndarray
    tax_gbp: np.ndarray
    cogs_gbp: np.ndarray
    first: np.ndarray  # first line of each order, and the end
    rate: np.ndarray
    decimals: np.ndarray
    discount_kind: np.ndarray
    discount: np.ndarray
    shipping_price: np.ndarray
    shipping_discount: np.ndarray
    shipping_cost: np.ndarray  # pence
    shipping_gbp: np.ndarray
    gross: np.ndarray
    total_discount: np.ndarray
    total_tax: np.ndarray
    grand: np.ndarray
    fee: np.ndarray


class LineMaker:
    """Draws lines month by month; holds the stock that lines are taken from."""

    def __init__(
        self, order_plan: Plan, people: People, catalogue: Catalogue, stock: Stock
    ) -> None:
        self.plan, self.people = order_plan, people
        self.catalogue, self.stock = catalogue, stock
        profile = order_plan.profile
        self.seed = order_plan.seed
        self.rates_first = profile.first_day - 1
        self.rates = places.rates(self.seed, self.rates_first, profile.horizon_day + 2)

    def days(self, first_day: int, last_day: int, movements: Movements) -> Lines:
        """Lines of the orders placed on the UTC days [first_day, last_day)."""
        p, c = self.plan, self.catalogue
        lo, hi = p.month_bounds(first_day, last_day)
        r = rng(self.seed, "lines", first_day)
        count = p.lines[lo:hi]
        order = np.repeat(np.arange(lo, hi), count)
        first = np.concatenate([[0], np.cumsum(count)])
        position = np.arange(order.size) - first[order - lo]
        day = p.placed[order] // DAY
        outcome = p.outcome[order]
        days = np.arange(first_day, last_day)
        demand = c.demand(days)

        sku = self._choose(r, demand, day - first_day, order)
        self._basket_rules(r, demand, day - first_day, sku, position, count, first)
        store = p.store[order]
        qty = 1 + pick(r, [74, 17, 5, 3, 1], order.size)
        bulk = np.array([1, 2, 3, 4, 6, 12, 24])
        trade = store == places.TRADE
        qty[trade] = bulk[pick(r, [30, 26, 14, 12, 12, 5, 1], int(trade.sum()))]
        is_gift = outcome == plan.GIFT
        mixed = (outcome == plan.NORMAL) & (p.flaw[order] == 0) & (count[order - lo] > 1)
        last = position == count[order - lo] - 1
        is_gift |= mixed & last & (r.random(order.size) < 0.004) & (p.oversized != order)
        sku[is_gift], qty[is_gift] = c.skus - 1, 1

        location = (~np.isin(store, (places.UK, places.TRADE))).astype(np.int64)
        takes_stock = ~is_gift & np.isin(outcome, (plan.NORMAL, plan.CANCELLED_PAID, plan.SAMPLE))
        edges = np.searchsorted(day, np.arange(first_day, last_day + 1))
        for index, (a, b) in enumerate(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)):
            self.stock.day(
                first_day + index, sku[a:b], location[a:b], qty[a:b], takes_stock[a:b],
                demand[index] > 0, movements,
            )  # fmt: skip
        negative = outcome == plan.NON_POSITIVE
        qty[negative] = -(qty * (order % 3 > 0))[negative]
        return self._money(
            r, lo, hi, order, position, sku, qty, is_gift, location, takes_stock, first
        )

    def _choose(
        self, r: np.random.Generator, demand: np.ndarray, row: np.ndarray, order: np.ndarray
    ) -> np.ndarray:
        """A sku for each line: 45% from the person's favourite category, the rest from all."""
        c, width = self.catalogue, demand.shape[1]
        total = np.concatenate([[0], np.cumsum(demand.ravel())])
        start, stop = row * width, row * width + c.block[GIFT_CARD]
        favourite = self.people.favourite[self.plan.person[order]]
        a, b = row * width + c.block[favourite], row * width + c.block[favourite + 1]
        loyal = (r.random(order.size) < 0.45) & (total[b] > total[a])
        start, stop = np.where(loyal, a, start), np.where(loyal, b, stop)
        target = r.integers(total[start], np.maximum(total[stop], total[start] + 1))
        return np.searchsorted(total, target, side="right") - 1 - row * width

    def _basket_rules(
        self,
        r: np.random.Generator,
        demand: np.ndarray,
        row: np.ndarray,
        sku: np.ndarray,
        position: np.ndarray,
        count: np.ndarray,
        first: np.ndarray,
    ) -> None:
        """The first line of an order of two or more lines may bring its planted partner."""
        c = self.catalogue
        heads = first[:-1][count > 1]
        target = c.rule_target[sku[heads]]
        hit = (target >= 0) & (r.integers(0, 100, heads.size) < c.rule_percent[sku[heads]])
        hit &= demand[row[heads], np.maximum(target, 0)] > 0
        sku[heads[hit] + 1] = target[hit]

    def _money(
        self,
        r: np.random.Generator,
        lo: int,
        hi: int,
        order: np.ndarray,
        position: np.ndarray,
        sku: np.ndarray,
        qty: np.ndarray,
        is_gift: np.ndarray,
        location: np.ndarray,
        takes_stock: np.ndarray,
        first: np.ndarray,
    ) -> Lines:
        p, c = self.plan, self.catalogue
        at = np.arange(lo, hi)
        line = order - lo
        store = p.store[lo:hi]
        currency = places.STORE_CURRENCY[store]
        decimals = _PLACES[currency]
        rate = self.rates[currency, local_day(p.placed[lo:hi]) - self.rates_first]
        included = _INCLUDED[store]
        product, category = c.sku_product[sku], c.sku_category[sku]
        day = p.placed[order] // DAY
        history = c.history_at(product, day)
        list_price = round_div(c.history_price[history] * _FACTOR[store[line]], 1000)
        unit_price = from_pence(list_price, rate[line], decimals[line])
        unit_price[p.outcome[order] == plan.SAMPLE] = 0
        unit_cost = c.history_cost[history].copy()
        tax_rate = _TAX[store[line]].copy()
        tax_rate[is_gift | ((category == BOOKS) & _ZERO_BOOKS[store[line]])] = 0
        gross = qty * unit_price

        # line discounts: promotions of the day
        promotion = c.promotion_on(day, category)
        promotion[is_gift | (qty <= 0) | (unit_price == 0)] = -1
        percent = np.array([x.percent for x in c.promotions] + [0])
        line_discount = round_div(gross * percent[promotion], 100)
        value = gross - line_discount

        # order discounts, allocated by line value; the last line takes the remainder
        kind = pick(r, [860, 40, 30, 20, 50], hi - lo)
        welcome = p.is_first[lo:hi] & (r.random(hi - lo) < 0.25)
        kind[welcome] = 1
        base = np.add.reduceat(value, first[:-1])
        plain_order = np.isin(p.outcome[lo:hi], (plan.NORMAL, plan.CANCELLED_PAID))
        kind[~plain_order | (np.add.reduceat(is_gift.astype(int), first[:-1]) > 0)] = 0
        five = from_pence(np.full(hi - lo, 500), rate, decimals)
        discount = np.zeros(hi - lo, dtype=np.int64)
        discount[kind == 1] = round_div(base[kind == 1], 10)
        kind[(kind == 2) & (base < 4 * five)] = 0
        discount[kind == 2] = five[kind == 2]
        kind[(kind == 3) & (qty[first[:-1]] < 3)] = 0
        discount[kind == 3] = unit_price[first[:-1]][kind == 3]
        discount = np.minimum(discount, base)
        allocated = round_div(discount[line] * value, np.maximum(base, 1)[line])
        ends = first[1:] - 1
        allocated[ends] += discount - np.add.reduceat(allocated, first[:-1])

        off = line_discount + allocated
        split = included[line]
        net_gross = np.where(split, round_div(gross * 10_000, 10_000 + tax_rate), gross)
        net_discount = np.where(split, round_div(off * 10_000, 10_000 + tax_rate), off)
        tax = np.where(
            split,
            (gross - off) - (net_gross - net_discount),
            round_div((gross - off) * tax_rate, 10_000),
        )
        shipping_price, shipping_discount, shipping_cost = self._shipping(
            lo, hi, base, rate, decimals, kind
        )
        total_gross = np.add.reduceat(gross, first[:-1])
        total_off = np.add.reduceat(off, first[:-1])
        total_tax = np.add.reduceat(tax, first[:-1])
        grand = total_gross - total_off + shipping_price - shipping_discount
        grand += np.where(included, 0, total_tax)
        fixed = from_pence(_FEE_FIXED[p.method[at]], rate, decimals)
        fee = round_div(grand * _FEE_SHARE[p.method[at]], 10_000) + fixed
        fee[grand <= 0] = 0
        line_rate, line_decimals = rate[line], decimals[line]
        counted = ~is_gift
        return Lines(
            lo=lo, hi=hi, order=order, position=position, sku=sku, qty=qty,
            unit_price=unit_price, unit_cost=unit_cost, tax_rate=tax_rate, is_gift=is_gift,
            promotion=promotion, line_discount=line_discount, allocated=allocated,
            net_gross=net_gross, net_discount=net_discount, tax=tax, location=location,
            takes_stock=takes_stock,
            gross_gbp=to_gbp(net_gross, line_rate, line_decimals) * counted,
            discount_gbp=to_gbp(net_discount, line_rate, line_decimals) * counted,
            tax_gbp=to_gbp(tax, line_rate, line_decimals) * counted,
            cogs_gbp=qty * unit_cost * counted,
            first=first, rate=rate, decimals=decimals, discount_kind=kind, discount=discount,
            shipping_price=shipping_price, shipping_discount=shipping_discount,
            shipping_cost=shipping_cost,
            shipping_gbp=to_gbp(shipping_price - shipping_discount, rate, decimals),
            gross=total_gross, total_discount=total_off, total_tax=total_tax, grand=grand,
            fee=fee,
        )  # fmt: skip

    def _shipping(
        self,
        lo: int,
        hi: int,
        base: np.ndarray,
        rate: np.ndarray,
        decimals: np.ndarray,
        kind: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Charge, its discount (FREESHIP) and our cost in pence; pickup is free."""
        p = self.plan
        method = p.shipping[lo:hi]
        far = np.isin(p.store[lo:hi], (places.INTL, places.US, places.JP, places.GULF))
        pence = np.where(method == 1, 795, 395) + np.where(far, 600, 0)
        free = (to_gbp(base, rate, decimals) >= 5_000) & (method == 0)
        no_parcel = (method == 2) | np.isin(
            p.outcome[lo:hi], (plan.SAMPLE, plan.GIFT, plan.NON_POSITIVE)
        )
        pence = np.where(no_parcel | free, 0, pence)
        price = from_pence(pence, rate, decimals)
        kind[(kind == 4) & (price == 0)] = 0
        discount = np.where(kind == 4, price, 0)
        cost = np.where(method == 1, 560, 310) + np.where(far, 720, 0) + 15 * p.lines[lo:hi]
        shipped = np.isin(p.outcome[lo:hi], (plan.NORMAL, plan.SAMPLE)) & ~no_parcel
        shipped |= p.outcome[lo:hi] == plan.SAMPLE
        return price, discount, np.where(shipped, cost, 0)


def category_returns() -> np.ndarray:
    """Lines returned per 1000, by category; gift cards never."""
    return np.array([c.returns for c in CATEGORIES] + [0])
