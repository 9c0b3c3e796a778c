"""Days on which something was out of the ordinary, in total and by country, category and so on.

The score of a day is one number out of the residuals of several metrics (revenue, orders, lines,
units): what strikes a shop moves all of them, and chance moves each a little. Which method makes
that number is decided on the shop's own history: known disturbances (a day's sales times 0.2 to
5) are planted into it, and the method that finds most of them at the alarm budget scores. The
threshold is what `BUDGET` of the shop's own days exceeded, so that the number of alarms is chosen
and not the number of standard deviations: heavy tails make 3.5 of those anything.

The newest days have no future to be compared with: they are judged by the days before them only,
with a method and a threshold of their own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ml import asof
from ml.anomalies import residuals
from ml.forecasting import calendar

METRICS = ("revenue_amount", "orders", "order_lines", "units")
# watched one by one, of the total: what is wrong with one of them moves no other
TRACKED = ("sessions", "tagged_sessions", "tracked_purchases")  # the web tracker may be young
ALONE = ("average_order_value", "unit_price", "cancelled_orders", *TRACKED)
FEW = 3.0  # cancellations of a day: fewer are chance
BUDGET = 0.01  # share of days with a false alarm: one in a hundred
NEWEST_DAYS = 7  # judged by the days before only; a week later they have a future
FACTORS = (0.2, 0.5, 2.0, 3.0, 5.0)
PLANTED_DAYS = 12  # at once; more would be part of the level
ROUNDS = 2
WARM_UP = 30  # open days without a level worth the name
MAX_DAYS = 1096  # three years: older ones no longer tell what is usual

# below these nothing can be called unusual
MIN_OPEN_DAYS = 90
MIN_LEVEL = 5.0  # median order lines of a day: below it days are mostly chance
MAX_IDLE_SHARE = 0.1

BASELINE = "global_z"
CENTRED = {
    "centred": residuals.centred_median,
    "kernel": residuals.centred_kernel,
    "stl": residuals.seasonal_trend,
}
TRAILING = {
    "trailing": residuals.trailing_median,
    "trailing_kernel": residuals.trailing_kernel,
}
FOREST = "forest"
SCORES = {
    "mean_z": residuals.mean_z,
    "common_factor": residuals.common_factor,
    FOREST: residuals.forest,
}


class TooLittleDataError(Exception):
    """Nothing can be called unusual; the message says why."""


@dataclass(frozen=True)
class Series:
    """The open days of a dimension's member.

    Attributes:
        dates: shape (n,), ascending.
        values: by metric, each of shape (n,); what was not recorded is no metric.
    """

    dimension: str
    member: str
    dates: pd.DatetimeIndex
    values: dict[str, np.ndarray]

    @property
    def matrix(self) -> np.ndarray:
        """Its `METRICS`, shape (n, metrics)."""
        return np.column_stack([self.values[name] for name in self.metrics])

    @property
    def metrics(self) -> list[str]:
        """Those of `METRICS` that it has."""
        return [name for name in METRICS if name in self.values]


@dataclass(frozen=True)
class DailyModel:
    """Fitted detectors.

    Attributes:
        champion, newest: methods of days with a future and of the newest, as level_score.
        contest: recall by method, factor and round at the budget, also of the baseline's.
        false_alarms: by method, share of the newer half beyond the threshold of the older half.
    """

    series: tuple[Series, ...]
    champion: str
    newest: str
    contest: pd.DataFrame
    false_alarms: dict[str, float]
    note: str = ""


def fit(frame: pd.DataFrame) -> DailyModel:
    """Choose the methods on the shop's own history.

    Args:
        frame: rows of `features.daily_metrics` in any order.

    Raises:
        TooLittleDataError: fewer than `MIN_OPEN_DAYS`, or too few sales a day.
    """
    if frame.empty:
        raise TooLittleDataError("no day of sales")
    last = frame["metric_date"].max()
    frame = frame[frame["metric_date"] > last - pd.Timedelta(days=MAX_DAYS)]
    asof.require_past(frame, ["metric_date"], last)
    days = pd.date_range(frame["metric_date"].min(), last)
    total = frame[frame["dimension"] == "total"].set_index("metric_date")
    activity = total["orders"].reindex(days, fill_value=0).to_numpy(float)
    is_open = (activity > 0) | ~calendar.learn(days, activity).closed(days)
    if is_open.sum() < MIN_OPEN_DAYS:
        raise TooLittleDataError(f"{is_open.sum()} days of business, {MIN_OPEN_DAYS} are needed")
    found = [
        one
        for (dimension, member), part in frame.groupby(["dimension", "member"], sort=True)
        if (one := _series(str(dimension), str(member), part, days[is_open])) is not None
    ]
    shop = next((one for one in found if one.dimension == "total"), None)
    if shop is None:
        raise TooLittleDataError(
            f"fewer than {MIN_LEVEL:.0f} order lines on most days: a day is mostly chance"
        )
    contest = _contest(shop)
    champion, note = _best(contest, list(CENTRED))
    newest, _ = _best(contest, list(TRAILING))
    names = sorted({*contest["model"]})
    alarms = {name: _false_alarms(_scored(shop, name)) for name in names}
    return DailyModel(tuple(found), champion, newest, contest, alarms, note)


def predict(model: DailyModel) -> pd.DataFrame:
    """The days that were out of the ordinary.

    Returns:
        One row per date, dimension, member and metric: direction (high, low), score in robust
        standard deviations (its sign is the direction), threshold, expected and actual value of
        the metric, method. The metric of an alarm about all of them is the one that was most off.
    """
    alarms = []
    dimensions: dict[str, list[Series]] = {}
    for one in model.series:
        dimensions.setdefault(one.dimension, []).append(one)
    for members in dimensions.values():
        for method, newest in ((model.champion, False), (model.newest, True)):
            scores = [_scored(one, method) for one in members]
            threshold = _threshold(np.concatenate(scores), len(members))
            for one, score in zip(members, scores, strict=True):
                alarms += _alarms(one, score, threshold, method, newest)
    shop = dimensions["total"][0]
    alone = [one for name in ALONE if (one := _alone(shop, name)) is not None]
    for method, newest in (("kernel_mean_z", False), ("trailing_kernel_mean_z", True)):
        scores = [_scored(one, method) for one in alone]
        for one, score in zip(alone, scores, strict=True):
            threshold = _threshold(score, len(alone))
            alarms += _alarms(one, score, threshold, method, newest)
    columns = ["date", "dimension", "member", "metric", "direction", "score", "threshold"]
    table = pd.DataFrame(alarms, columns=[*columns, "expected", "actual", "method"])
    return table.sort_values(["date", "dimension", "member", "metric"], ignore_index=True)


def evaluate(model: DailyModel) -> pd.DataFrame:
    """What each method found of the planted disturbances.

    Returns:
        model, horizon (settled for days with a future, newest), metric (recall_x0.2 and so on,
        recall, false_alarm_share), value, n.
    """
    rows = []
    for name, part in model.contest.groupby("model", sort=True):
        horizons = [_horizon(str(name))] if name != BASELINE else ["settled", "newest"]
        for horizon in horizons:
            for factor, planted in part.groupby("factor", sort=True):
                count = PLANTED_DAYS * len(planted)
                rows.append((name, horizon, f"recall_x{factor:g}", planted["recall"].mean(), count))
            recall = part["recall"].mean()
            rows.append((name, horizon, "recall", recall, PLANTED_DAYS * len(part)))
            share, n = model.false_alarms[str(name)], len(model.series[0].dates) // 2
            rows.append((name, horizon, "false_alarm_share", share, n))
    return pd.DataFrame(rows, columns=["model", "horizon", "metric", "value", "n"])


def recall(series: Series, method: str, factor: float, seed: int) -> float:
    """Share of `PLANTED_DAYS` random days times `factor` that the method finds at the budget.

    The threshold is that of the undisturbed history, whose own oddities are left in.
    """
    return _recall(series, [method], factor, seed)[method]


def _recall(series: Series, methods: list[str], factor: float, seed: int) -> dict[str, float]:
    random = np.random.default_rng([residuals.SEED, seed])
    candidates = np.arange(WARM_UP, len(series.dates))
    count = min(PLANTED_DAYS, len(candidates) // 4)
    planted = np.sort(random.choice(candidates, count, replace=False))
    disturbed = {name: values.copy() for name, values in series.values.items()}
    for name in series.metrics:
        disturbed[name][planted] *= factor
    changed = Series(series.dimension, series.member, series.dates, disturbed)
    found: dict[str, float] = {}
    levels: dict[str, np.ndarray] = {}
    for method in methods:
        level = _level(method)
        if method != BASELINE and level not in levels:
            levels[level] = _residuals(changed, level)
        score = np.abs(_scored(changed, method, levels.get(level)))
        threshold = _threshold(np.delete(score, planted), 1)
        found[method] = float((score[planted] > threshold).mean())
    return found


def _contest(series: Series) -> pd.DataFrame:
    levels = {**CENTRED, **TRAILING}
    methods = [BASELINE] + [
        f"{level}_{score}" for level in levels for score in SCORES if score != FOREST
    ]
    # a forest takes as long as all the others: on one level it shows what it can do
    methods += [f"{level}_{FOREST}" for level in ("kernel", "trailing_kernel")]
    rows = [
        (method, factor, seed, found)
        for factor in FACTORS
        for seed in range(ROUNDS)
        for method, found in _recall(series, methods, factor, seed).items()
    ]
    return pd.DataFrame(rows, columns=["model", "factor", "seed", "recall"])


def _best(contest: pd.DataFrame, levels: list[str]) -> tuple[str, str]:
    """The method of these levels with the best mean recall; the baseline if none beats it."""
    means = contest.groupby("model")["recall"].mean()
    mine = means[[name for name in means.index if _level(name) in levels]].sort_index()
    if mine.max() <= means[BASELINE]:
        return BASELINE, "no method found more planted disturbances than the baseline (global z)"
    return str(mine.idxmax()), ""


def _level(method: str) -> str:
    for score in SCORES:
        if method.endswith(f"_{score}"):
            return method.removesuffix(f"_{score}")
    return method


def _horizon(method: str) -> str:
    return "newest" if _level(method) in TRAILING else "settled"


def _series(
    dimension: str, member: str, part: pd.DataFrame, days: pd.DatetimeIndex
) -> Series | None:
    """None where the member sells too little, or began or ended within the history."""
    rows = part.set_index("metric_date").reindex(days)
    lines = rows["order_lines"].fillna(0).to_numpy(float)
    if np.median(lines) < MIN_LEVEL or (lines == 0).mean() > MAX_IDLE_SHARE:
        return None
    values = {name: rows[name].fillna(0).to_numpy(float).clip(min=0) for name in METRICS}
    values = {name: column for name, column in values.items() if (column > 0).any()}
    if dimension == "total":
        values["cancelled_orders"] = rows["cancelled_orders"].fillna(0).to_numpy(float)
        values |= {name: rows[name].to_numpy(float) for name in TRACKED}
    return Series(dimension, member, days, values)


def _alone(shop: Series, name: str) -> Series | None:
    """A metric of the total as a series of its own; None where it was not recorded."""
    ratios = {
        "average_order_value": ("revenue_amount", "orders"),
        "unit_price": ("revenue_amount", "units"),
    }
    if name in ratios:
        over, under = (shop.values[part] for part in ratios[name])
        sold = (over > 0) & (under > 0)
        values = np.divide(over, under, out=np.full(len(over), np.nan), where=sold)
    else:
        values = shop.values[name]
    if name == "cancelled_orders":
        # few cancellations are no news, and the logarithms of 0, 1 and 2 are far apart
        values = np.maximum(values, max(np.median(values) / 2, FEW))
    recorded = np.isfinite(values)
    if name in TRACKED and recorded.any():
        # not recorded in between is a break; before the tracker was there it is none
        recorded = np.arange(len(values)) >= int(recorded.argmax())
        values = np.nan_to_num(values)
    if recorded.sum() < MIN_OPEN_DAYS or np.median(values[recorded]) <= 0:
        return None
    kept = {"revenue_amount": values[recorded]}
    return Series(f"total:{name}", shop.member, shop.dates[recorded], kept)


def _logs(series: Series) -> np.ndarray:
    """A day without a sale counts as half of the least: its logarithm must be a number."""
    matrix = series.matrix
    least = np.array([column[column > 0].min() for column in matrix.T])
    return np.log(np.maximum(matrix, least / 2))


def _residuals(series: Series, level: str) -> np.ndarray:
    weekday, logs = series.dates.day_of_week.to_numpy(), _logs(series)
    of = {**CENTRED, **TRAILING}[level]
    return np.column_stack([of(column, weekday) for column in logs.T])


def _scored(series: Series, method: str, off: np.ndarray | None = None) -> np.ndarray:
    """Signed score of each day, shape (n,); NaN in the warm-up. `off`: residuals, if known."""
    if method == BASELINE:
        revenue = series.matrix[:, 0]
        score = (revenue - revenue.mean()) / (revenue.std() or 1.0)
    else:
        level = _level(method)
        combine = SCORES[method.removeprefix(f"{level}_")]
        score = combine(_residuals(series, level) if off is None else off)
    return np.where(np.arange(len(score)) < WARM_UP, np.nan, score)


def _threshold(scores: np.ndarray, members: int) -> float:
    """What `BUDGET` of days exceed, all members of a dimension together."""
    used = np.abs(scores[np.isfinite(scores)])
    return float(np.quantile(used, 1 - BUDGET / members)) if len(used) else float("inf")


def _false_alarms(score: np.ndarray) -> float:
    half = len(score) // 2
    return float((np.abs(score[half:]) > _threshold(score[:half], 1)).mean())


def _alarms(
    series: Series, score: np.ndarray, threshold: float, method: str, newest: bool
) -> list[tuple[object, ...]]:
    n = len(score)
    is_newest = np.arange(n) >= n - NEWEST_DAYS
    at = np.flatnonzero((np.abs(score) > threshold) & (is_newest == newest))
    if not len(at):
        return []
    matrix = series.matrix
    level = _level(method) if method != BASELINE else "kernel"
    off = _residuals(series, level)
    scales = np.array([residuals.robust_sd(column) for column in off.T])
    expected = np.exp(_logs(series) - off)
    dimension, _, metric_alone = series.dimension.partition(":")
    found: list[tuple[object, ...]] = []
    for day in at.tolist():
        sign = 1.0 if score[day] > 0 else -1.0
        most = int(np.argmax(sign * off[day] / scales))
        metric = metric_alone or series.metrics[most]
        found.append(
            (
                *(series.dates[day].date(), dimension, series.member, metric),
                "high" if sign > 0 else "low",
                *(float(score[day]), threshold, float(expected[day, most])),
                *(float(matrix[day, most]), method),
            )
        )
    return found
