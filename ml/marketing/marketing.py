"""Response curves of the channels, what they truly add, and where the budget should move.

`fit` learns a curve per channel from credited sales against spend, and from the orders of the whole
shop how much of the credit is incremental; `predict` draws the curves and advises; `evaluate`
measures curves and attribution beside their baselines. The credit is the Markov attribution's if
its shares of a half year tell those of the next better than the last touch's do.

Advice follows draws: each has a curve from the block bootstrap, an incrementality from its normal
distribution, and says what a week's profit would be at each spend. A change is advised only where
(nearly) all draws gain by it, and never beyond what was spent before.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import norm
from threadpoolctl import threadpool_limits

from ml import asof
from ml.business import MIN_COST_COVERAGE
from ml.marketing import attribution, incrementality, response

SEED = 20240229
MIN_WEEKS = 26  # half a year: curves are tried on the later half of it
MIN_WEEKS_WITH_SPEND = 8
MIN_VARIATION = 0.2  # standard deviation of weekly spend over its mean
MIN_PART_OF_ORDERS = 0.001  # of all orders: with fewer so far the shop has not begun
RECENT_WEEKS = 52
POINTS = 11
CHOICES = 61
MIN_CHANGE = 0.05  # of spend; less is no advice
SURE = 0.05  # advised where at most this share of the draws loses by it
BOUNDS = (0.025, 0.975)

MEAN = "mean"
CURVE = "response_curve"


class TooLittleDataError(Exception):
    """No channel's response can be told; the message says what is missing."""


@dataclass(frozen=True)
class Channel:
    """A channel that costs something.

    Attributes:
        spend, credited: of each week, store currency.
        curve: None where refused.
        refusal: why, else empty.
    """

    name: str
    spend: np.ndarray
    credited: np.ndarray
    curve: response.Curve | None
    refusal: str

    @property
    def usual_spend(self) -> float:
        """Mean of the last year's weeks that had any."""
        recent = self.spend[-RECENT_WEEKS:]
        return float(recent[recent > 0].mean()) if (recent > 0).any() else 0.0


@dataclass(frozen=True)
class MarketingModel:
    """Fitted responses.

    Attributes:
        weeks: Mondays.
        channels: those with spend, by name.
        incremental: None where it can't be told.
        margin: gross profit per net sales; NaN where too few costs are known.
        credit: the attribution model whose credit was learned from.
        stability: of the attribution models' shares.
    """

    weeks: np.ndarray
    channels: tuple[Channel, ...]
    incremental: incrementality.Incrementality | None
    margin: float
    credit: str
    stability: pd.DataFrame

    @property
    def champion(self) -> str | None:
        """The curve, where any channel has one."""
        return CURVE if any(channel.curve for channel in self.channels) else None

    @property
    def note(self) -> str:
        """What a reader must know, empty if nothing."""
        notes = [f"{one.name}: {one.refusal}" for one in self.channels if one.refusal]
        if self.incremental is None:
            notes.append(
                "no budget advice: it takes two years of weeks, some with campaigns and some"
                " without, to tell what they add from what the season brings"
            )
        if not np.isfinite(self.margin):
            notes.append(f"no budget advice: costs are known for less than {MIN_COST_COVERAGE:.0%}")
        return "; ".join(notes)


def fit(features: pd.DataFrame) -> MarketingModel:
    """Learn curves and incrementality.

    Args:
        features: rows of `features.channel_weeks` in any order.

    Raises:
        TooLittleDataError: no spend at all, or no channel with enough weeks of different spend.
    """
    if features.empty or not (features["spend_amount"] > 0).any():
        raise TooLittleDataError("no channel has spend")
    features = features.sort_values(["week_start_date", "marketing_channel", "attribution_model"])
    weeks = _weeks(features)
    asof.require_past(features, ["week_end_date"], weeks[-1] + pd.Timedelta(days=6))
    costly = features[features["spend_amount"] > 0]["marketing_channel"].unique()
    stability = attribution.stability(features[features["marketing_channel"].isin(costly)])
    credit = attribution.choose(stability)
    own = features[features["attribution_model"] == credit]
    spend = _by_week(own, "spend_amount", weeks)
    credited = _by_week(own, "net_sales_amount", weeks)
    counted = _by_week(own, "attributed_orders", weeks)
    paid = [name for name in spend.columns if (spend[name] > 0).any()]
    with threadpool_limits(1):  # the order of a sum is the same on every machine
        channels = tuple(
            _channel(name, spend[name].to_numpy(), credited[name].to_numpy()) for name in paid
        )
        fitted = [one for one in channels if one.curve is not None]
        if not fitted:
            raise TooLittleDataError("; ".join(f"{one.name}: {one.refusal}" for one in channels))
        incremental = incrementality.estimate(
            weeks.to_numpy(),
            counted.sum(axis=1).to_numpy(),
            sum(
                _orders_by_spend(one.spend, counted[one.name].to_numpy(), one.curve)
                for one in fitted
            ),
        )
    demand = float(own["demand_amount"].sum())
    coverage = float(own["costed_demand_amount"].sum()) / demand if demand > 0 else 0.0
    net = float(own["net_sales_amount"].sum())
    margin = float(own["gross_profit_amount"].sum()) / net if net > 0 else float("nan")
    return MarketingModel(
        weeks=weeks.to_numpy(),
        channels=channels,
        incremental=incremental,
        margin=margin if coverage >= MIN_COST_COVERAGE else float("nan"),
        credit=credit,
        stability=stability,
    )


def predict(model: MarketingModel) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Curves and advice.

    Returns:
        Curves, one row per channel with a curve and point: marketing_channel, point,
        weekly_spend_amount, credited_amount, incremental_amount (beyond what comes without spend),
        each with lo95 and hi95; incremental is NaN where it can't be told.
        Advice, one row per channel with spend: see `ml/ddl`.
    """
    curves, advice = [], []
    for channel in model.channels:
        if channel.curve is not None:
            curves.append(_drawn(model, channel, channel.curve))
        advice.append(_advice(model, channel))
    return pd.concat(curves, ignore_index=True), pd.DataFrame(advice)


def evaluate(model: MarketingModel) -> pd.DataFrame:
    """Measures: series, model, horizon, metric, value, n, is_champion, is_baseline.

    Of each channel's curve and of the mean so far: mean absolute error of later weeks. Of the shop:
    incrementality and its error. Of each attribution model: does a half year's share tell the next.
    """
    rows = []
    for channel in model.channels:
        if channel.curve is None:
            continue
        n = len(channel.spend) - int(len(channel.spend) * response.FIRST_WEEKS)
        for name, value in ((CURVE, channel.curve.error), (MEAN, channel.curve.baseline_error)):
            rows.append((channel.name, name, f"{response.BLOCK_WEEKS} weeks", "mae", value, n))
    if model.incremental is not None:
        found = model.incremental
        rows.append(("shop", CURVE, "all weeks", "incrementality", found.share, found.weeks))
        rows.append(("shop", CURVE, "all weeks", "incrementality_error", found.error, found.weeks))
    for one in model.stability.itertuples():
        rows.append(("attribution", one.model, "26 weeks", one.metric, one.value, one.n))
    table = pd.DataFrame(rows, columns=["series", "model", "horizon", "metric", "value", "n"])
    table["is_champion"] = table["model"].isin([CURVE, model.credit])
    table["is_baseline"] = table["model"].isin([MEAN, attribution.BASELINE])
    return table


def incremental_sales(model: MarketingModel) -> pd.Series:
    """Net sales over all weeks that each channel's spend caused; those with a curve only."""
    share = model.incremental.share if model.incremental else float("nan")
    return pd.Series(
        {
            one.name: share * float(one.curve.over(one.spend).sum())
            for one in model.channels
            if one.curve is not None
        }
    )


def _weeks(features: pd.DataFrame) -> pd.DatetimeIndex:
    """All weeks from when the shop really began: a stray order years before is a wrong clock."""
    one = features[features["attribution_model"] == attribution.BASELINE]
    orders = one.groupby("week_start_date")["attributed_orders"].sum().sort_index().cumsum()
    begun = orders[orders >= MIN_PART_OF_ORDERS * orders.iloc[-1]] if len(orders) else orders
    first = begun.index[0] if len(begun) else features["week_start_date"].min()
    return pd.date_range(first, features["week_start_date"].max(), freq="7D")


def _by_week(rows: pd.DataFrame, column: str, weeks: pd.DatetimeIndex) -> pd.DataFrame:
    """Weeks by channels; a week without a row is one without anything."""
    table = rows.pivot_table(
        index="week_start_date", columns="marketing_channel", values=column, aggfunc="sum"
    )
    return table.reindex(weeks).fillna(0.0).astype(float)


def _channel(name: str, spend: np.ndarray, credited: np.ndarray) -> Channel:
    refusal = ""
    first = int(np.flatnonzero(spend > 0)[0])
    active = int((spend > 0).sum())
    later = spend[: max(1, int(len(spend) * response.FIRST_WEEKS))]
    if len(spend) < MIN_WEEKS:
        refusal = f"{len(spend)} weeks, {MIN_WEEKS} are needed"
    elif active < MIN_WEEKS_WITH_SPEND:
        refusal = f"{active} weeks with spend, {MIN_WEEKS_WITH_SPEND} are needed"
    elif spend[first:].std() < MIN_VARIATION * spend[first:].mean():
        refusal = "the same was spent every week: nothing tells what more or less would do"
    elif not (later > 0).any():
        refusal = "spend began in the later half of the weeks: no curve could be tried yet"
    curve = None
    if not refusal:
        curve = response.fit(spend, credited, SEED + zlib.crc32(name.encode()))
        if not curve.error < curve.baseline_error or curve.slope <= 0:
            refusal, curve = "spend foretells credited sales no better than their mean", None
    return Channel(name, spend, credited, curve, refusal)


def _orders_by_spend(
    spend: np.ndarray, orders: np.ndarray, curve: response.Curve | None
) -> np.ndarray:
    """Orders that spend brings: the curve's shape, scaled to the credited orders."""
    assert curve is not None
    x = curve.over(spend)
    centred = x - x.mean()
    spread = float(centred @ centred)
    slope = float(centred @ orders) / spread if spread > 0 else 0.0
    return max(slope, 0.0) * x


def _shares(model: MarketingModel) -> np.ndarray:
    """Equally likely incrementalities, none below 0, in an order unrelated to the curves'."""
    assert model.incremental is not None
    quantiles = (np.arange(response.DRAWS) + 0.5) / response.DRAWS
    values = model.incremental.share + model.incremental.error * norm.ppf(quantiles)
    return np.random.default_rng(SEED).permutation(np.maximum(values, 0.0))


def _drawn(model: MarketingModel, channel: Channel, curve: response.Curve) -> pd.DataFrame:
    spend = np.linspace(0.0, curve.largest, POINTS)
    effect = curve.effect(spend)
    credited = curve.bases[:, None] + curve.slopes[:, None] * effect
    low, high = np.quantile(credited, BOUNDS, axis=0)
    table = pd.DataFrame(
        {
            "marketing_channel": channel.name,
            "point": range(POINTS),
            "weekly_spend_amount": spend,
            "credited_amount": curve.base + curve.slope * effect,
            "credited_lo95": low,
            "credited_hi95": high,
            "incremental_amount": float("nan"),
            "incremental_lo95": float("nan"),
            "incremental_hi95": float("nan"),
        }
    )
    if model.incremental is not None:
        added = _shares(model)[:, None] * curve.slopes[:, None] * effect
        low, high = np.quantile(added, BOUNDS, axis=0)
        table["incremental_amount"] = max(model.incremental.share, 0.0) * curve.slope * effect
        table["incremental_lo95"], table["incremental_hi95"] = low, high
    return table


def _advice(model: MarketingModel, channel: Channel) -> dict[str, object]:
    curve, usual = channel.curve, channel.usual_spend
    row: dict[str, object] = {
        "marketing_channel": channel.name,
        "weeks_with_spend": int((channel.spend > 0).sum()),
        "usual_spend_amount": usual,
        "largest_spend_amount": float(channel.spend.max()),
        "advice": "none",
        "reason": channel.refusal,
    }
    if curve is None:
        return row
    row |= {
        "decay": curve.shape.decay,
        "half_saturation_amount": (
            curve.shape.half * curve.scale * (1 - curve.shape.decay)
            if np.isfinite(curve.shape.half)
            else None
        ),
        "credited_per_spend": curve.slope * float(curve.effect(usual)) / usual if usual else None,
    }
    if model.incremental is None:
        return row | {"reason": "what campaigns add can't be told from the season yet"}
    if usual <= 0:
        return row | {"reason": "nothing was spent in the last year"}
    shares = _shares(model)
    added = shares * curve.slopes * float(curve.effect(usual)) / usual
    row |= {
        "incremental_per_spend": float(added.mean()),
        "incremental_per_spend_lo95": float(np.quantile(added, BOUNDS[0])),
        "incremental_per_spend_hi95": float(np.quantile(added, BOUNDS[1])),
    }
    if not np.isfinite(model.margin):
        return row | {"reason": "too few costs are known to say what a sale earns"}
    spend = np.append(np.linspace(0.0, curve.largest, CHOICES), usual)
    effect = curve.effect(spend)
    profit = model.margin * shares[:, None] * curve.slopes[:, None] * effect - spend
    gain = profit - profit[:, [-1]]
    best = int(gain.mean(axis=0).argmax())
    chosen = gain[:, best]
    change = spend[best] / usual - 1
    row |= {
        "weekly_gain_amount": float(chosen.mean()),
        "weekly_gain_lo95": float(np.quantile(chosen, BOUNDS[0])),
        "weekly_gain_hi95": float(np.quantile(chosen, BOUNDS[1])),
    }
    if abs(change) < MIN_CHANGE:
        return row | {
            "advice": "keep",
            "reason": "what is spent is about the best of what was tried",
            "advised_spend_amount": usual,
        }
    if (chosen <= 0).mean() > SURE:
        return row | {
            "advice": "keep",
            "reason": f"{change:+.0%} would earn more on average, but profit may also fall",
            "advised_spend_amount": usual,
        }
    return row | {
        "advice": "raise" if change > 0 else "cut",
        "reason": "a unit spent brings more profit than it costs, at nearly all that the data allow"
        if change > 0
        else "a unit spent brings less profit than it costs, at nearly all that the data allow",
        "advised_spend_amount": float(spend[best]),
    }
