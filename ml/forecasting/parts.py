"""Forecasts of the parts of a series (by category, country, segment) that add up to its total.

The total is forecast with all care; its parts are small, many and noisy, so each gets the best of
a few cheap methods, and then the parts are reconciled with the total: a series that can't be
negative by its parts' shares, one that can by what each part's error variance says it may be off.
Small parts are pooled into one, so that every day of the history adds up as well.

Sources: Gross & Sohl 1990, Journal of Forecasting 9 (top-down by forecast shares); Wickramasuriya,
Athanasopoulos & Hyndman 2019, JASA 114 (reconciliation by error variances; here the total stands).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ml import asof, evaluation
from ml.forecasting import forecast as whole
from ml.forecasting import intervals
from ml.forecasting.backtest import HORIZON_DAYS, MATURE_DAYS

OTHER = "(other)"
MAX_MEMBERS = 9  # with the rest as a tenth: more than people compare, and each costs time
MIN_SHARE = 0.01  # of the last year's volume; a smaller part says more about chance than about it
RECENT_DAYS = 91
YEAR_DAYS = 364
SEASON_DAYS = 21  # to either side of the same day a year ago
MAX_ORIGINS = 8  # enough to tell four methods apart
WEEK = 7
BASELINE = "seasonal_naive"
NOTHING = 0.005  # half a penny on every day: sums of floats are no closer


@dataclass(frozen=True)
class Parts:
    """A series cut into members that add up to it.

    Attributes:
        dates: consecutive calendar days, ascending, shape (n,).
        members: names, largest first, the pooled rest (if there is any) last, length k.
        values: series' unit, shape (n, k); rows add up to the total.
        non_negative: whether a forecast below 0 makes no sense.
    """

    dates: pd.DatetimeIndex
    members: tuple[str, ...]
    values: np.ndarray
    non_negative: bool = True

    def until(self, origin: pd.Timestamp) -> Parts:
        """The same parts with nothing after `origin`."""
        known = np.asarray(self.dates <= origin)
        return Parts(self.dates[known], self.members, self.values[known], self.non_negative)


Method = Callable[[Parts, pd.DatetimeIndex, np.ndarray, np.ndarray], np.ndarray]


def choose_members(sizes: pd.Series) -> tuple[str, ...]:
    """The members that are forecast by themselves, largest first.

    Args:
        sizes: volume of each member over the last year, by name.

    Returns:
        Empty where there is nothing to tell apart: fewer than two members.
    """
    sizes = sizes[sizes > 0]
    sizes = sizes.sort_index().sort_values(ascending=False, kind="stable")
    if len(sizes) < 2:
        return ()
    large = sizes[sizes >= MIN_SHARE * sizes.sum()].head(MAX_MEMBERS)
    return tuple(map(str, large.index))


def cut(
    frame: pd.DataFrame, total: pd.Series, members: Sequence[str], non_negative: bool = True
) -> Parts:
    """Parts of a total, from sparse rows in any order.

    Args:
        frame: metric_date, member, value; a day without a row of a member is 0 of it.
        total: by consecutive days; what the members leave of it is the pooled rest.
        members: those that stand for themselves.
        non_negative: see `Parts`.
    """
    days = pd.DatetimeIndex(total.index)
    own = frame[frame["member"].isin(members) & frame["metric_date"].isin(days)]
    wide = own.pivot_table(index="metric_date", columns="member", values="value", aggfunc="sum")
    wide = wide.reindex(index=days, columns=list(members)).fillna(0.0).to_numpy(float)
    rest = np.nan_to_num(total.to_numpy(float)) - wide.sum(axis=1)
    if np.abs(rest).max(initial=0.0) < NOTHING:
        return Parts(days, tuple(members), wide, non_negative)
    return Parts(days, (*members, OTHER), np.column_stack([wide, rest]), non_negative)


def recent_share(
    parts: Parts, future: pd.DatetimeIndex, total: np.ndarray, closed: np.ndarray
) -> np.ndarray:
    """The member's share of the last quarter, of the total's forecast."""
    del future, closed
    return total[:, None] * _shares(parts.values[-RECENT_DAYS:].sum(axis=0))[None, :]


def last_year_share(
    parts: Parts, future: pd.DatetimeIndex, total: np.ndarray, closed: np.ndarray
) -> np.ndarray:
    """The member's share around the same day a year ago, moved as its share has moved since."""
    n, ahead = len(parts.dates), (future - parts.dates[-1]).days.to_numpy()
    if n < YEAR_DAYS + RECENT_DAYS:
        return recent_share(parts, future, total, closed)
    season = _shares(_season(parts, ahead)[0])
    before = slice(n - YEAR_DAYS - RECENT_DAYS, n - YEAR_DAYS)
    now = _shares(parts.values[-RECENT_DAYS:].sum(axis=0))
    then = _shares(parts.values[before].sum(axis=0))
    moved = np.clip(np.where(then > 0, now / np.where(then > 0, then, 1), 1.0), 0.5, 2.0)
    return total[:, None] * season * moved[None, :]


def mean_share(
    parts: Parts, future: pd.DatetimeIndex, total: np.ndarray, closed: np.ndarray
) -> np.ndarray:
    """The mean of both shares."""
    both = (method(parts, future, total, closed) for method in (recent_share, last_year_share))
    return np.mean(list(both), axis=0)


def recent_mean(
    parts: Parts, future: pd.DatetimeIndex, total: np.ndarray, closed: np.ndarray
) -> np.ndarray:
    """The member's mean of its weekday over the last quarter."""
    del total, closed
    return _weekday_means(parts, RECENT_DAYS)[future.day_of_week]


def last_year_mean(
    parts: Parts, future: pd.DatetimeIndex, total: np.ndarray, closed: np.ndarray
) -> np.ndarray:
    """The member's mean around the same day a year ago."""
    n, ahead = len(parts.dates), (future - parts.dates[-1]).days.to_numpy()
    if n < YEAR_DAYS + SEASON_DAYS:
        return recent_mean(parts, future, total, closed)
    sums, days = _season(parts, ahead)
    return sums / days[:, None]


def seasonal_naive(
    parts: Parts, future: pd.DatetimeIndex, total: np.ndarray, closed: np.ndarray
) -> np.ndarray:
    """The baseline: the member's same weekday of the last week; 0 on closed days."""
    del total
    ahead = (future - parts.dates[-1]).days.to_numpy()
    week = parts.values[-WEEK:]
    last = week[(ahead - 1) % WEEK]
    return np.where(closed[:, None] & parts.non_negative, 0.0, last)


# baseline first: of two that are equal, it wins
METHODS: Mapping[str, Method] = {
    BASELINE: seasonal_naive,
    "recent_share": recent_share,
    "last_year_share": last_year_share,
    "mean_share": mean_share,
    "last_year_mean": last_year_mean,
}
SIGNED_METHODS: Mapping[str, Method] = {
    BASELINE: seasonal_naive,
    "recent_mean": recent_mean,
    "last_year_mean": last_year_mean,
}


@dataclass(frozen=True)
class Splitter:
    """Fitted parts of a forecast total.

    Attributes:
        parts: up to the as-of date.
        total: the total's forecast.
        methods: the name of each member's method, length k.
        backtest: one row per origin, target date, member and method: origin, target_date,
            days_ahead, member, model, actual, forecast (`reconciled` is the champions' after
            reconciliation); empty without a backtest.
    """

    parts: Parts
    total: whole.Forecaster
    methods: tuple[str, ...]
    backtest: pd.DataFrame


def fit(parts: Parts, total: whole.Forecaster) -> Splitter:
    """Choose each member's method by the weekly errors of its backtest.

    Weeks, since many members sell nothing on most days: by the day, a forecast of nothing wins.
    """
    asof.require_past(pd.DataFrame({"date": parts.dates}), ["date"], total.series.dates[-1])
    methods = METHODS if parts.non_negative else SIGNED_METHODS
    default = "mean_share" if parts.non_negative else "recent_mean"
    rows = total.rows(total.champion)
    if rows.empty:
        return Splitter(parts, total, (default,) * len(parts.members), pd.DataFrame())
    tables, weekly = [], []
    for origin in _spread_out(sorted(rows["origin"].unique())):
        expected = rows[rows["origin"] == origin].sort_values("days_ahead")
        known = parts.until(origin)
        future = pd.DatetimeIndex(expected["target_date"])
        closed = expected["closed"].to_numpy(bool)
        actual = parts.values[np.searchsorted(parts.dates, future)]
        ahead = {
            name: method(known, future, expected["forecast"].to_numpy(), closed)
            for name, method in methods.items()
        }
        tables.append((origin, known, expected, actual, ahead))
        near = slice(0, HORIZON_DAYS // WEEK * WEEK)
        weekly.append({name: _weekly(yhat[near], actual[near]) for name, yhat in ahead.items()})
    errors = {name: np.sum([one[name] for one in weekly], axis=0) for name in methods}
    best = np.array([errors[name] for name in methods]).argmin(axis=0)
    chosen = tuple(list(methods)[i] for i in best)
    parts_of_backtest = []
    for origin, known, expected, actual, ahead in tables:
        own = np.column_stack([ahead[name][:, i] for i, name in enumerate(chosen)])
        target = expected["forecast"].to_numpy()
        shown = {BASELINE: ahead[BASELINE], "reconciled": reconcile(own, target, _weights(known))}
        for name, yhat in shown.items():
            parts_of_backtest.append(_long(origin, expected, parts.members, actual, yhat, name))
    return Splitter(parts, total, chosen, pd.concat(parts_of_backtest, ignore_index=True))


def predict(splitter: Splitter) -> pd.DataFrame:
    """Forecast of each member.

    Returns:
        As `forecast.predict`, with a column member; champions only. On every day, in every month
        and in the year, the members' yhat add up to the total's champion exactly.
    """
    parts, path = splitter.parts, splitter.total.path
    future = pd.DatetimeIndex(path["target_date"])
    closed, total = path["closed"].to_numpy(bool), path["yhat"].to_numpy()
    methods = METHODS if parts.non_negative else SIGNED_METHODS
    ahead = {name: methods[name](parts, future, total, closed) for name in set(splitter.methods)}
    own = np.column_stack([ahead[name][:, i] for i, name in enumerate(splitter.methods)])
    yhat = reconcile(own, total, _weights(parts))
    scale, tables = intervals.Scale(parts.non_negative), []
    is_year = len(parts.dates) >= MATURE_DAYS
    for i, member in enumerate(parts.members):
        rows = _member_rows(splitter, member)
        near = yhat[:HORIZON_DAYS, i]
        days = path.head(HORIZON_DAYS)
        level = float(np.abs(parts.values[-MATURE_DAYS:, i]).mean())
        table = pd.DataFrame(
            {
                "grain": "day",
                "target_date": days["target_date"],
                "horizon_days": days["days_ahead"],
                "is_closed": days["closed"],
                "yhat": near,
            }
        )
        errors = _errors(rows, scale, level)
        for confidence in whole.CONFIDENCES:
            name = f"{confidence * 100:.0f}"
            lower, upper = intervals.pooled_bounds(errors, scale, near, level, confidence)
            if parts.non_negative:
                shut = days["closed"].to_numpy() & np.isfinite(lower)
                lower[shut], upper[shut] = 0.0, 0.0
            table[f"lo{name}"], table[f"hi{name}"] = lower, upper
        found = [table]
        if is_year:
            totals = whole.periods(path["target_date"], yhat[:, i])
            totals = whole.with_bounds(totals, rows, parts.non_negative)
            found.append(totals.assign(is_closed=False))
        tables += [one.assign(member=member, model=splitter.methods[i]) for one in found]
    table = pd.concat(tables, ignore_index=True).assign(is_champion=True)
    if parts.non_negative:
        table = _within_total(table, whole.predict(splitter.total))
    return table[[*whole.COLUMNS, *whole.BOUNDS, "member"]]


def _within_total(table: pd.DataFrame, total: pd.DataFrame) -> pd.DataFrame:
    """No part is more than the whole may be: a part of few sales knows hardly any upper bound."""
    of_total = total[total["is_champion"]].set_index(["grain", "target_date"])
    period = pd.MultiIndex.from_frame(table[["grain", "target_date"]])
    for bound in ("hi80", "hi95"):
        most = of_total[bound].reindex(period).to_numpy()
        table[bound] = np.fmin(table[bound].to_numpy(), most)
    return table


def evaluate(splitter: Splitter) -> pd.DataFrame:
    """Measures of the members' backtest.

    Returns:
        One row per member, model (the member's method after reconciliation, and the baseline) and
        metric: member, model, horizon, metric, value, n, is_champion.
    """
    if splitter.backtest.empty:
        return pd.DataFrame()
    near = splitter.backtest[splitter.backtest["days_ahead"] <= HORIZON_DAYS]
    rows = []
    for (member, model), part in near.groupby(["member", "model"], sort=True):
        actual, yhat = part["actual"].to_numpy(), part["forecast"].to_numpy()
        method = splitter.methods[splitter.parts.members.index(member)]
        is_champion = model == "reconciled"
        if not is_champion and method == model:
            continue  # the baseline is what forecasts: after reconciliation it is there already
        measures = {
            "mae": evaluation.mae(actual, yhat),
            "rmse": evaluation.rmse(actual, yhat),
            "wape": evaluation.wape(actual, yhat),
            "bias": evaluation.bias(actual, yhat),
        }
        for metric, value in measures.items():
            name = method if is_champion else model
            rows.append((member, name, "1-90", metric, value, len(part), is_champion))
    columns = ["member", "model", "horizon", "metric", "value", "n", "is_champion"]
    return pd.DataFrame(rows, columns=columns)


def reconcile(parts: np.ndarray, total: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """Parts that add up to the total to the last bit, all on `forecast.GRID`.

    Args:
        parts: shape (m, k), series' unit.
        total: shape (m,), on the grid.
        weights: shape (k,), which share of a difference each part takes (its error variance); None
            for a series that can't be negative: parts keep their proportions.
    """
    if weights is None:
        # a part may have sold less than nothing in its history: returns of what was sold before
        parts = np.maximum(parts, 0.0)
        sums = parts.sum(axis=1)
        equal = np.full(parts.shape, 1 / parts.shape[1])
        shares = np.where(sums[:, None] > 0, parts / np.where(sums > 0, sums, 1)[:, None], equal)
        wanted = shares * total[:, None]
    else:
        wanted = parts + (total - parts.sum(axis=1))[:, None] * weights[None, :]
    steps = np.floor(wanted / whole.GRID)
    short = np.round(total / whole.GRID).astype(int) - steps.sum(axis=1).astype(int)
    # the largest fractions take what rounding down left over
    order = np.argsort(-(wanted / whole.GRID - steps), axis=1, kind="stable")
    rank = np.argsort(order, axis=1, kind="stable")
    steps += rank < short[:, None] % parts.shape[1]
    steps += (short // parts.shape[1])[:, None]
    return steps * whole.GRID


def _weights(parts: Parts) -> np.ndarray | None:
    if parts.non_negative:
        return None
    variance = parts.values[-YEAR_DAYS:].var(axis=0) + 1e-9
    return variance / variance.sum()


def _shares(sums: np.ndarray) -> np.ndarray:
    """Of the last axis; a member that was less than nothing has no share."""
    sums = np.maximum(sums, 0)
    whole_sum = sums.sum(axis=-1, keepdims=True)
    return np.where(whole_sum > 0, sums / np.where(whole_sum > 0, whole_sum, 1), 1 / sums.shape[-1])


def _season(parts: Parts, ahead: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sums around the same day a year ago of days `ahead`, shape (m, k), and their days, (m,)."""
    n = len(parts.dates)
    sums = np.vstack([np.zeros(len(parts.members)), np.cumsum(parts.values, axis=0)])
    # beyond one year ahead, two years ago is the first that is known
    centre = n - 1 + ahead - np.maximum(1, -(-(ahead + SEASON_DAYS) // YEAR_DAYS)) * YEAR_DAYS
    first = np.clip(centre - SEASON_DAYS, 0, n - 1)
    last = np.clip(centre + SEASON_DAYS + 1, first + 1, n)
    return sums[last] - sums[first], last - first


def _weekday_means(parts: Parts, days: int) -> np.ndarray:
    recent = parts.values[-days:]
    weekday = parts.dates.day_of_week.to_numpy()[-days:]
    everyday = recent.mean(axis=0)
    return np.stack(
        [recent[weekday == d].mean(axis=0) if (weekday == d).any() else everyday for d in range(7)]
    )


def _weekly(yhat: np.ndarray, actual: np.ndarray) -> np.ndarray:
    """Sum of absolute errors of whole weeks, shape (k,)."""
    weeks = len(yhat) // WEEK * WEEK
    off = (yhat - actual)[:weeks].reshape(-1, WEEK, yhat.shape[1]).sum(axis=1)
    return np.abs(off).sum(axis=0)


def _spread_out(origins: list[pd.Timestamp]) -> list[pd.Timestamp]:
    wanted = np.linspace(0, len(origins) - 1, min(MAX_ORIGINS, len(origins))).round().astype(int)
    return [origins[i] for i in dict.fromkeys(wanted.tolist())]


def _long(
    origin: pd.Timestamp,
    expected: pd.DataFrame,
    members: tuple[str, ...],
    actual: np.ndarray,
    yhat: np.ndarray,
    model: str,
) -> pd.DataFrame:
    days, count = len(expected), len(members)
    return pd.DataFrame(
        {
            "origin": origin,
            "target_date": np.tile(expected["target_date"].to_numpy(), count),
            "days_ahead": np.tile(expected["days_ahead"].to_numpy(), count),
            "closed": np.tile(expected["closed"].to_numpy(), count),
            "member": np.repeat(np.array(members, object), days),
            "model": model,
            "actual": actual.T.ravel(),
            "forecast": yhat.T.ravel(),
        }
    )


def _member_rows(splitter: Splitter, member: str) -> pd.DataFrame:
    rows = splitter.backtest
    if rows.empty:
        return rows
    return rows[(rows["member"] == member) & (rows["model"] == "reconciled")]


def _errors(rows: pd.DataFrame, scale: intervals.Scale, level: float) -> np.ndarray:
    """Errors of open days within the horizon."""
    if rows.empty:
        return np.array([])
    near = rows[(rows["days_ahead"] <= HORIZON_DAYS) & ~rows["closed"]]
    return scale.errors(
        near["actual"].to_numpy(), near["forecast"].to_numpy(), np.full(len(near), level)
    )
