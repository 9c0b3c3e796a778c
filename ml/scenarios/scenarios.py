"""Revenue, units and margin of a period if a price, a promotion, a budget or the season changed.

Everything follows from what models found before: the forecast of the period, the elasticity and the
response curve, each with its uncertainty. An answer is the mean and the 95 % interval over equally
likely worlds, and it names what it takes for granted. Where an elasticity or a curve isn't
identified, or the change goes beyond what was ever tried, there is a refusal and no number.

Demand of constant elasticity e: at a price changed by c, units are (1 + c)^e of what they were.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from ml.evaluation import Z95

WORLDS = 400
SEED = 20240229
DAYS_OF_WEEK = 7


class RefusedError(Exception):
    """There is no answer; the message says why."""


@dataclass(frozen=True)
class Base:
    """A period as it is expected to be if nothing changes.

    Attributes:
        label: whose sales, in words.
        days: of the period.
        revenue: product sales of the period, store currency.
        revenue_error: standard deviation of its forecast.
        unit_price: average net sales of a unit.
        margin: gross profit per net sales; NaN where too few costs are known.
        assumptions: what is taken for granted in it.
    """

    label: str
    days: int
    revenue: float
    revenue_error: float
    unit_price: float
    margin: float
    assumptions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Effect:
    """An identified elasticity.

    Attributes:
        elasticity, error: mean and standard deviation.
        lowest, highest: changes of price that were tried, as fractions; NaN where unknown.
        source: what it is, in words.
    """

    elasticity: float
    error: float
    lowest: float
    highest: float
    source: str


@dataclass(frozen=True)
class Response:
    """What a channel adds in a week, by weekly spend.

    Attributes:
        spend: levels, ascending from 0; shape (n,).
        incremental, low, high: net sales of a week beyond none, with its 95 % interval.
        usual: spend of a usual week.
    """

    channel: str
    spend: np.ndarray
    incremental: np.ndarray
    low: np.ndarray
    high: np.ndarray
    usual: float


@dataclass(frozen=True)
class Figure:
    """A measure before and after; `low` and `high` bound the change. NaN where unknown."""

    name: str
    before: float
    after: float
    change: float
    low: float
    high: float


@dataclass(frozen=True)
class Answer:
    """Figures, and what they take for granted."""

    title: str
    figures: tuple[Figure, ...]
    assumptions: tuple[str, ...]

    @property
    def is_sure(self) -> bool:
        """Whether the sign of the change in margin (of revenue, without costs) is known."""
        known = [figure for figure in self.figures if np.isfinite(figure.change)]
        last = next((f for f in reversed(known) if f.name == "margin"), known[0])
        return last.low > 0 or last.high < 0


def price(base: Base, effect: Effect, change: float) -> Answer:
    """The price of everything in the base is changed for the whole period.

    Args:
        change: as a fraction, -0.1 is ten percent off.

    Raises:
        RefusedError: the change goes beyond the prices that were tried.
    """
    _require_change(change)
    if np.isfinite(effect.lowest) and not effect.lowest <= change <= effect.highest:
        raise RefusedError(
            f"{change:+.0%} was never tried: prices of {base.label} ranged from"
            f" {effect.lowest:+.0%} to {effect.highest:+.0%} of today's"
        )
    level, elasticity = _worlds(base, effect)
    figures = _figures(base, level, (1 + change) ** elasticity, 1 + change, base.days)
    return Answer(
        f"price of {base.label} {change:+.1%} for {base.days} days",
        figures,
        (
            *base.assumptions,
            f"elasticity {effect.elasticity:.2f}"
            f" ({effect.elasticity - Z95 * effect.error:.2f} to"
            f" {effect.elasticity + Z95 * effect.error:.2f}): {effect.source}",
            "all prices of it change by the same part, competitors keep theirs",
            "buyers don't move to or from other categories, and have got used to the price",
            "unit costs stay as they are",
        ),
    )


def promotion(base: Base, effect: Effect, depth: float, days: int) -> Answer:
    """Everything in the base is marked down on some days of the period.

    Args:
        effect: the answer to markdowns, or to prices where none was tried.
        depth: as a fraction, 0.2 is twenty percent off.
        days: of the promotion, at most those of the base.

    Raises:
        RefusedError: the depth is no markdown, or the days are none of the period.
    """
    if not 0 < depth < 1:
        raise RefusedError(f"a markdown is between 0 % and 100 %, not {depth:.0%}")
    if not 0 < days <= base.days:
        raise RefusedError(f"a promotion lasts 1 to {base.days} days, not {days}")
    if np.isfinite(effect.lowest) and -depth < effect.lowest:
        raise RefusedError(
            f"{depth:.0%} off was never tried: the lowest price of {base.label} was"
            f" {effect.lowest:+.0%} of today's"
        )
    level, elasticity = _worlds(base, effect)
    figures = _figures(base, level, (1 - depth) ** elasticity, 1 - depth, days)
    return Answer(
        f"{depth:.0%} off {base.label} on {days} of {base.days} days",
        figures,
        (
            *base.assumptions,
            f"elasticity {effect.elasticity:.2f}"
            f" ({effect.elasticity - Z95 * effect.error:.2f} to"
            f" {effect.elasticity + Z95 * effect.error:.2f}): {effect.source}",
            "days of the promotion are average days of the period",
            "nothing is drawn forward from later weeks, so this is the best case",
            "unit costs stay as they are",
        ),
    )


def spend(base: Base, response: Response, change: float) -> Answer:
    """A channel's weekly spend is changed for the whole period.

    Args:
        change: as a fraction of the usual weekly spend; -1 ends it.

    Raises:
        RefusedError: what spend adds can't be told, or more would be spent than ever was.
    """
    if not response.usual > 0:
        raise RefusedError(f"{response.channel} had no spend in the last year")
    if not np.isfinite(response.incremental).all():
        raise RefusedError(f"what {response.channel} adds can't be told from the season yet")
    weekly = response.usual * (1 + change)
    largest = float(response.spend[-1])
    if not 0 <= weekly <= largest:
        raise RefusedError(
            f"{weekly:,.0f} a week was never tried: {response.channel} spent up to {largest:,.0f}"
        )
    weeks = base.days / DAYS_OF_WEEK

    def more(values: np.ndarray) -> float:
        at = np.interp([weekly, response.usual], response.spend, values)
        return float(at[0] - at[1]) * weeks

    # bounds of the curve move together: a world in which little is added is so at any spend
    sales = more(response.incremental)
    low, high = sorted((more(response.low), more(response.high)))
    cost = (weekly - response.usual) * weeks
    figures = [
        Figure("revenue", base.revenue, base.revenue + sales, sales, low, high),
        Figure(
            "units",
            base.revenue / base.unit_price,
            (base.revenue + sales) / base.unit_price,
            sales / base.unit_price,
            low / base.unit_price,
            high / base.unit_price,
        ),
    ]
    before = base.revenue * base.margin
    profit = sales * base.margin - cost
    figures.append(
        Figure(
            "margin",
            before,
            before + profit,
            profit,
            low * base.margin - cost,
            high * base.margin - cost,
        )
    )
    return Answer(
        f"spend of {response.channel} {change:+.0%}, {weekly:,.0f} instead of"
        f" {response.usual:,.0f} a week, for {base.days} days",
        tuple(figures),
        (
            *base.assumptions,
            "the response curve of past campaigns, less what would have come anyway",
            f"margin is after the change in spend of {cost:+,.0f}",
            "every week has a campaign, other channels stay as they are",
        ),
    )


def season(base: Base, change: float) -> Answer:
    """Demand comes out stronger or weaker than forecast, at the same prices.

    Args:
        change: of units, as a fraction.

    Raises:
        RefusedError: less than nothing would be sold.
    """
    _require_change(change)
    level = _level(base)
    figures = _figures(base, level, np.full(WORLDS, 1 + change), 1.0, base.days)
    return Answer(
        f"demand of {base.label} {change:+.1%} for {base.days} days",
        figures,
        (
            *base.assumptions,
            "prices, costs and spend stay as they are",
            "stock is there for whatever is asked for",
        ),
    )


def _require_change(change: float) -> None:
    if not change > -1:
        raise RefusedError(f"{change:+.0%} leaves nothing")


def _level(base: Base) -> np.ndarray:
    """Equally likely revenues of the period over its forecast, none below 0, ascending."""
    spread = base.revenue_error / base.revenue if base.revenue > 0 else 0.0
    return np.maximum(1 + spread * _quantiles(), 0.0)


def _worlds(base: Base, effect: Effect) -> tuple[np.ndarray, np.ndarray]:
    """Levels and elasticities of equally likely worlds, unrelated to each other."""
    order = np.random.default_rng(SEED).permutation(WORLDS)
    return _level(base), effect.elasticity + effect.error * _quantiles()[order]


def _quantiles() -> np.ndarray:
    return norm.ppf((np.arange(WORLDS) + 0.5) / WORLDS)


def _figures(
    base: Base, level: np.ndarray, units: np.ndarray, price_ratio: float, days: int
) -> tuple[Figure, ...]:
    """Figures where units are multiplied on some days, at a changed price.

    Args:
        level: revenue of each world over the forecast, shape (`WORLDS`,).
        units: of each world over those without a change, on the days of the change.
        price_ratio: price over that without a change.
        days: of the change.
    """
    part = days / base.days
    revenue = base.revenue * level
    sold = revenue / base.unit_price
    cost = revenue * (1 - base.margin)
    return (
        _figure("revenue", revenue, revenue * part * (units * price_ratio - 1)),
        _figure("units", sold, sold * part * (units - 1)),
        _figure(
            "margin",
            revenue - cost,
            part * (revenue * (units * price_ratio - 1) - cost * (units - 1)),
        ),
    )


def _figure(name: str, before: np.ndarray, change: np.ndarray) -> Figure:
    low, high = np.quantile(change, [0.025, 0.975])
    mean = float(change.mean())
    first = float(before.mean())
    return Figure(name, first, first + mean, mean, float(low), float(high))
