"""What comes back: who returns what and when, and what is refunded for it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sandbox.store import places, plan
from sandbox.store.catalogue import Catalogue
from sandbox.store.exact import rng
from sandbox.store.lines import Lines, category_returns
from sandbox.store.plan import FLAW_CODES, Plan

REASONS = ("changed_mind", "defective", "wrong_size", "late", "not_as_described")


@dataclass
class RefundLine:
    """Part of a refund; amounts in minor units of the order's currency, tax apart."""

    line: int  # index in Lines
    qty: int
    amount: int
    tax: int
    restock: str | None  # return, damaged, none; None: not known


@dataclass
class Refund:
    """Money given back on one order at one moment."""

    at: int
    reason: str
    lines: list[RefundLine]
    shipping: int = 0
    adjustment: int = 0
    kind: str = "whole"


def _nearest(numerator: int, denominator: int) -> int:
    """Half away from zero, as `exact.round_div`."""
    sign = -1 if numerator < 0 else 1
    return sign * ((2 * abs(numerator) + denominator) // (2 * denominator))


def refunds(order_plan: Plan, catalogue: Catalogue, lines: Lines) -> dict[int, list[Refund]]:
    """Refunds of the chunk's orders, by order index, each list in the order of time."""
    r = rng(order_plan.seed, "returns", lines.lo)
    product = catalogue.sku_product[lines.sku]
    chance = category_returns()[catalogue.sku_category[lines.sku]]
    chance = np.where(catalogue.defective[product], chance * 4, chance)
    store = order_plan.store[lines.order]
    chance = np.where(store == places.TRADE, chance // 2, chance)
    flaw = order_plan.flaw[lines.order]
    ordinary = (flaw == 0) | (flaw == FLAW_CODES["late_edit"])
    eligible = (order_plan.outcome[lines.order] == plan.NORMAL) & ordinary & ~lines.is_gift
    draw = r.integers(0, 1000, lines.order.size)
    reason = r.integers(0, len(REASONS), lines.order.size)
    back = np.flatnonzero(eligible & (draw < chance))
    found: dict[int, list[Refund]] = {}
    by_order: dict[int, list[int]] = {}
    for line in back.tolist():
        by_order.setdefault(int(lines.order[line]), []).append(line)
    for order, members in by_order.items():
        found[order] = _customer_refunds(order_plan, lines, order, members, reason, catalogue)
    cancelled = lines.lo + np.flatnonzero(
        order_plan.outcome[lines.lo : lines.hi] == plan.CANCELLED_PAID
    )
    for order in cancelled.tolist():
        found[order] = [_cancellation(order_plan, lines, order)]
    return found


def _part(lines: Lines, line: int, qty: int, restock: str | None) -> RefundLine:
    whole = int(lines.qty[line])
    net = int(lines.net_gross[line] - lines.net_discount[line])
    return RefundLine(
        line, qty, _nearest(net * qty, whole), _nearest(int(lines.tax[line]) * qty, whole), restock
    )


def _customer_refunds(
    order_plan: Plan,
    lines: Lines,
    order: int,
    members: list[int],
    reason: np.ndarray,
    catalogue: Catalogue,
) -> list[Refund]:
    at = int(order_plan.delivered[order] + order_plan.refund_delay[order])
    bad = bool(catalogue.defective[catalogue.sku_product[lines.sku[members[0]]]])
    why = "defective" if bad else REASONS[reason[members[0]]]
    restock = "damaged" if why == "defective" else ("return", "return", "none")[order % 3]
    kind = ("partial", "several", "over", "restock_unknown", "whole", "shipping", "whole")[
        order % 7
    ]
    if kind == "restock_unknown":
        restock = None
    units = [(line, int(lines.qty[line])) for line in members]
    if kind == "partial":
        units = [(line, max(1, qty // 2)) for line, qty in units]
    if kind == "several" and sum(qty for _, qty in units) > 1:
        line, qty = units[-1]
        early = units[:-1] if len(units) > 1 else [(line, qty - 1)]
        later = [(line, qty)] if len(units) > 1 else [(line, 1)]
        return [
            Refund(at, why, [_part(lines, i, q, restock) for i, q in early], kind=kind),
            Refund(
                at + 8 * 86_400, why, [_part(lines, i, q, restock) for i, q in later], kind=kind
            ),
        ]
    refund = Refund(at, why, [_part(lines, i, q, restock) for i, q in units], kind=kind)
    if kind == "over":  # more is given back than was paid for the goods
        refund.lines[0].amount += max(1, refund.lines[0].amount // 10)
        refund.adjustment = 10 ** int(lines.decimals[order - lines.lo])
    if kind == "shipping":
        own = order - lines.lo
        refund.shipping = int(lines.shipping_price[own] - lines.shipping_discount[own])
    return [refund]


def _cancellation(order_plan: Plan, lines: Lines, order: int) -> Refund:
    own = order - lines.lo
    start, stop = int(lines.first[own]), int(lines.first[own + 1])
    members = [line for line in range(start, stop) if lines.qty[line] > 0]
    at = int(order_plan.cancelled[order]) + 3600 + int(order_plan.refund_delay[order]) % 172_800
    return Refund(
        at,
        "cancelled",
        [_part(lines, line, int(lines.qty[line]), "return") for line in members],
        shipping=int(lines.shipping_price[own] - lines.shipping_discount[own]),
        kind="after_cancel",
    )
