"""Demand of each product over its lead time, and when to order it again.

How a product sells decides what may forecast it (Syntetos, Boylan & Croston 2005, Journal of the
Operational Research Society 56): by the mean interval between weeks with a demand and the variation
of its size, demand is smooth, intermittent, erratic or lumpy. For each pattern the methods that fit
it are compared on past days with the baseline (as much as in the last lead time) by the pinball
loss of their quantiles; the best one forecasts. The quantiles of all are calibrated, see
`calibration`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ml import asof, evaluation
from ml.demand import calibration, methods
from ml.demand.panel import Panel
from ml.failures import Failures

SERVICE_LEVEL = 0.95  # of the reorder point: the share of lead times that the stock outlasts
ADI_LIMIT, CV2_LIMIT = 1.32, 0.49  # the borders of the four patterns, as in metrics.md
PATTERN_WEEKS = 52
ORIGINS = tuple(28 * step for step in range(1, 7))  # days ago; whole weeks
MAX_ORDER_DAYS = 3650  # a stock that lasts longer lasts for ever

# below these a forecast would be a guess
MIN_DAYS = 56
MIN_OBSERVED_DAYS = 28
MIN_WINDOWS = 30  # of a pattern, to compare the methods

PATTERNS = tuple(methods.OF_PATTERN)
COVERED = ("q80", "q90", "q95", "q98")
COLUMNS = [
    "pattern", "method", "days_ago", "over_days_ago", "actual", "mean", *calibration.NAMES,
]  # fmt: skip


class TooLittleDataError(Exception):
    """Demand can't be forecast; the message says what is missing."""


@dataclass(frozen=True)
class Model:
    """Which method forecasts which pattern.

    Attributes:
        panel: all that is known.
        champions: method by pattern.
        shifts: of the quantiles of a pattern by a method, see `calibration.shift_of`.
        measured: one row per pattern, method and metric.
        note: what a reader must know, empty if nothing.
    """

    panel: Panel
    champions: Mapping[str, str]
    shifts: Mapping[tuple[str, str], np.ndarray | None]
    measured: pd.DataFrame
    note: str = ""


def fit(
    sales: pd.DataFrame,
    stock: pd.DataFrame,
    attributes: pd.DataFrame,
    as_of: pd.Timestamp | None = None,
) -> Model:
    """Compare the methods on the shop's own past.

    Args:
        sales: product_key, order_date, units; one row per product and day with a sale.
        stock: rows of `features.product_stock`, none where the shop keeps no stock.
        attributes: rows of `features.product_attributes`.
        as_of: last day that may be known; if not given the newest of a sale or a stock.

    Raises:
        TooLittleDataError: no sale, or too few days since the first.
        LeakError: a sale or a stock is dated after the as-of date.
    """
    if sales.empty:
        raise TooLittleDataError("no product was sold")
    as_of = asof.newest(sales["order_date"], stock["valid_from"]) if as_of is None else as_of
    asof.require_past(sales, ["order_date"], as_of)
    asof.require_past(stock, ["valid_from"], as_of)
    panel = Panel.from_frames(sales, stock, attributes, as_of)
    if len(panel.units) < MIN_DAYS:
        raise TooLittleDataError(f"{len(panel.units)} days of sales, {MIN_DAYS} are needed")
    failures = Failures()
    windows = backtest(panel, failures)
    measured = _measures(calibration.walked(windows))
    champions = {pattern: choose(measured, pattern) for pattern in PATTERNS}
    notes = failures.notes()
    if not panel.has_books.any():
        notes.append("no stock is kept: days without stock can't be told from days without demand")
    for pattern, champion in champions.items():
        seen = measured.loc[measured["series"] == pattern, "n"]
        if len(seen) > 0 and seen.max() < MIN_WINDOWS:
            notes.append(
                f"{pattern}: {seen.max()} past lead times, {MIN_WINDOWS} are needed to compare:"
                " the last period's sales forecast"
            )
        elif len(seen) and champion == methods.BASELINE:
            notes.append(f"{pattern}: no method beat the last period's sales")
    if windows.empty:
        notes.append("history too short for a comparison: the last period's sales forecast")
    shifts = {
        (str(pattern), str(method)): calibration.shift_of(part)
        for (pattern, method), part in windows.groupby(["pattern", "method"], sort=True)
    }
    return Model(panel, champions, shifts, measured, "; ".join(notes))


def predict(model: Model) -> pd.DataFrame:
    """Demand of the next lead time of every product that is for sale and was sold in a year.

    Returns:
        product_key, pattern, method, lead_time_days, is_lead_time_assumed, observed_days and
        stockout_days (of the last year), daily_units, expected_units (of the lead time),
        q50..q98 of it, safety_stock, reorder_point, stock_status (known, unknown where the books
        are below zero, untracked), available, incoming, order_by_date (None without a known stock
        or a demand).
    """
    panel = model.panel
    pattern = patterns(panel)
    history = methods.History(panel)
    method = np.array([model.champions[one] for one in pattern], dtype=object)
    mean = np.zeros(len(panel.keys))
    quantiles = np.zeros((len(panel.keys), len(methods.QUANTILES)))
    failures = Failures()
    for name in np.unique(method):
        of = method == name
        with failures.leave_out(name):
            found = methods.METHODS[name](history)
        if name in failures.errors:  # it could be used on all days but this one
            found, method[of] = methods.last_period(history), methods.BASELINE
        mean[of], quantiles[of] = found.mean[of], found.quantiles[of]
    for one in PATTERNS:
        for name in np.unique(method[pattern == one]):
            of = (pattern == one) & (method == name)
            shift = model.shifts.get((one, name))
            quantiles[of] = calibration.moved(quantiles[of], mean[of], shift)
    point = quantiles[:, methods.QUANTILES.index(SERVICE_LEVEL)]
    daily = mean / panel.lead_days
    table = pd.DataFrame(
        {
            "product_key": panel.keys,
            "pattern": pattern,
            "method": method,
            "lead_time_days": panel.lead_days,
            "is_lead_time_assumed": panel.is_lead_assumed,
            "observed_days": panel.observed[-365:].sum(axis=0),
            "stockout_days": _stockout_days(panel),
            "daily_units": daily,
            "expected_units": mean,
            **dict(zip(calibration.NAMES, quantiles.T, strict=True)),
            "safety_stock": np.maximum(point - mean, 0),
            "reorder_point": point,
            "stock_status": np.select(
                [~np.isnan(panel.available), panel.has_books], ["known", "unknown"], "untracked"
            ),
            "available": panel.available,
            "incoming": panel.incoming,
            "order_by_date": _order_by(panel, daily, point),
        }
    )
    sold = panel.units[-365:].sum(axis=0) > 0
    return table[sold & panel.is_active].reset_index(drop=True)


def evaluate(model: Model) -> pd.DataFrame:
    """Measures of the comparison: series (the pattern), model, metric, value, n.

    pinball (over all quantiles and windows, per unit sold: the weighted quantile loss), cover_80 to
    cover_98 (share of lead times within that quantile), wape and bias of the mean. n counts
    windows. Each day's quantiles are calibrated by what was over on it; days before there was
    enough count only in a pattern that never had it.
    """
    return model.measured


def patterns(panel: Panel) -> np.ndarray:
    """Pattern of each product over the last `PATTERN_WEEKS` weeks, shape (products,).

    Weeks are scaled up to seven days with stock; those with none are left out. A product with no
    demand at all is lumpy: its next one is anybody's guess.
    """
    weeks = min(PATTERN_WEEKS, len(panel.units) // 7)
    shape = (weeks, 7, len(panel.keys))
    seen = panel.observed[-7 * weeks :].reshape(shape).sum(axis=1)
    units = (panel.demand() * panel.observed)[-7 * weeks :].reshape(shape).sum(axis=1)
    weekly = np.where(seen > 0, units * 7 / np.maximum(seen, 1), np.nan)
    positive = weekly > 0
    count = positive.sum(axis=0)
    interval = (seen > 0).sum(axis=0) / np.maximum(count, 1)
    sizes = np.where(positive, weekly, 0)
    mean = sizes.sum(axis=0) / np.maximum(count, 1)
    square = (sizes**2).sum(axis=0) / np.maximum(count, 1) - mean**2
    variation = square / np.maximum(mean, 1e-9) ** 2
    often, even = interval < ADI_LIMIT, variation < CV2_LIMIT
    found = np.select(
        [count == 0, often & even, even, often],
        ["lumpy", "smooth", "intermittent", "erratic"],
        "lumpy",
    )
    return found.astype(object)


def backtest(panel: Panel, failures: Failures, origins: tuple[int, ...] = ORIGINS) -> pd.DataFrame:
    """One row per past day, product and method, with `COLUMNS`; quantiles as the method says.

    Windows in which a product ran out of stock are left out: what it would have sold is unknown.
    """
    parts = [_forecasts(panel, days_ago, failures) for days_ago in origins]
    parts = [part for part in parts if len(part)]
    if not parts:
        return pd.DataFrame(columns=COLUMNS)
    return pd.concat(parts, ignore_index=True)


def choose(measured: pd.DataFrame, pattern: str) -> str:
    """The pattern's method with the least pinball loss that beats the baseline's."""
    loss = measured[(measured["series"] == pattern) & (measured["metric"] == "pinball")]
    if loss.empty or loss["n"].max() < MIN_WINDOWS:
        return methods.BASELINE
    value = loss.set_index("model")["value"]
    fitting = value.reindex(methods.OF_PATTERN[pattern]).dropna()
    if fitting.empty:
        return methods.BASELINE
    best = fitting.idxmin()
    return str(best) if value[best] < value[methods.BASELINE] else methods.BASELINE


def pinball(actual: np.ndarray, quantiles: np.ndarray) -> float:
    """Sum over all of the pinball loss, mean over the quantiles, per unit of actual demand."""
    levels = np.array(methods.QUANTILES)
    error = actual[:, None] - quantiles
    loss = np.maximum(levels * error, (levels - 1) * error).mean(axis=1).sum()
    return float(loss / actual.sum()) if actual.sum() > 0 else float("nan")


def _forecasts(panel: Panel, days_ago: int, failures: Failures) -> pd.DataFrame:
    if len(panel.units) - days_ago < MIN_DAYS:
        return pd.DataFrame()
    past = panel.until(days_ago)
    actual, is_clear = panel.after(days_ago)
    enough = past.observed.sum(axis=0) >= MIN_OBSERVED_DAYS
    sold = past.units[-365:].sum(axis=0) > 0
    use = np.flatnonzero(is_clear & enough & sold)
    if not len(use):
        return pd.DataFrame()
    pattern, history = patterns(past), methods.History(past)
    parts = []
    for name, method in methods.METHODS.items():
        with failures.leave_out(name):
            found = method(history)
        if name in failures.errors:
            continue
        part = pd.DataFrame(found.quantiles[use], columns=list(calibration.NAMES)).assign(
            pattern=pattern[use],
            method=name,
            days_ago=days_ago,
            over_days_ago=days_ago - past.lead_days[use],
            actual=actual[use],
            mean=found.mean[use],
        )
        parts.append(part[COLUMNS])
    return pd.concat(parts, ignore_index=True)


def _measures(windows: pd.DataFrame) -> pd.DataFrame:
    rows = []
    calibrated = windows.groupby("pattern")["is_calibrated"].transform("any")
    windows = windows[windows["is_calibrated"] | ~calibrated.astype(bool)]
    counts = windows.groupby("pattern")["method"].value_counts()
    for (pattern, method), part in windows.groupby(["pattern", "method"], sort=True):
        if len(part) < counts[pattern].max():
            continue  # it failed on some days: no fair comparison
        actual, mean = part["actual"].to_numpy(), part["mean"].to_numpy()
        measured = {
            "pinball": pinball(actual, part[list(calibration.NAMES)].to_numpy()),
            **{f"cover_{name[1:]}": float((actual <= part[name]).mean()) for name in COVERED},
            "wape": evaluation.wape(actual, mean),
            "bias": evaluation.bias(actual, mean),
        }
        rows += [(pattern, method, metric, value, len(part)) for metric, value in measured.items()]
    return pd.DataFrame(rows, columns=["series", "model", "metric", "value", "n"])


def _stockout_days(panel: Panel) -> np.ndarray:
    """Days of the last year since the product was on sale on which demand could not be seen."""
    since = np.maximum.accumulate(panel.observed, axis=0)[-365:]
    return (since & ~panel.observed[-365:]).sum(axis=0)


def _order_by(panel: Panel, daily: np.ndarray, point: np.ndarray) -> np.ndarray:
    """When the stock, with what is on its way, falls to the reorder point; dates or None."""
    position = panel.available + panel.incoming
    with np.errstate(divide="ignore", invalid="ignore"):
        days = np.floor(np.maximum(position - point, 0) / daily)
    known = np.isfinite(position) & (daily > 0)
    days = np.where(known, np.minimum(days, MAX_ORDER_DAYS), 0)
    dates = panel.last_day + pd.to_timedelta(days, unit="D")
    return np.array(
        [date.date() if sure else None for date, sure in zip(dates, known, strict=True)],
        dtype=object,
    )
