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
RECONCILED = "(reconciled)"  # in the backtest: each member's method, once the parts add up
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

    @property
    def usual(self) -> np.ndarray:
        """The members' shares of all days, shape (k,): where nothing nearer tells them apart."""
        equal = np.full(len(self.members), 1 / len(self.members))
        return _shares(self.values.sum(axis=0), equal)

    @property
    def levels(self) -> np.ndarray:
        """The members' mean absolute values of the last year, shape (k,)."""
        return np.abs(self.values[-MATURE_DAYS:]).mean(axis=0)


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
    return total[:, None] * _shares(parts.values[-RECENT_DAYS:].sum(axis=0), parts.usual)[None, :]


def last_year_share(
    parts: Parts, future: pd.DatetimeIndex, total: np.ndarray, closed: np.ndarray
) -> np.ndarray:
    """The member's share around the same day a year ago, moved as its share has moved since."""
    n, ahead = len(parts.dates), (future - parts.dates[-1]).days.to_numpy()
    if n < YEAR_DAYS + RECENT_DAYS:
        return recent_share(parts, future, total, closed)
    usual = parts.usual
    season = _shares(_season(parts, ahead)[0], usual)
    before = slice(n - YEAR_DAYS - RECENT_DAYS, n - YEAR_DAYS)
    now = _shares(parts.values[-RECENT_DAYS:].sum(axis=0), usual)
    then = _shares(parts.values[before].sum(axis=0), usual)
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
            days_ahead, closed, member, model (`BASELINE` or `RECONCILED`), actual, forecast;
            empty without a backtest.
    """

    parts: Parts
    total: whole.Forecaster
    methods: tuple[str, ...]
    backtest: pd.DataFrame


@dataclass(frozen=True)
class _Origin:
    """What was expected of the members from one day of the past.

    Attributes:
        known: the parts up to that day.
        expected: the total's rows, m of them, in the order of their days.
        actual: what came, shape (m, k).
        ahead: of each method, shape (m, k), before reconciliation.
    """

    known: Parts
    expected: pd.DataFrame
    actual: np.ndarray
    ahead: dict[str, np.ndarray]

    def reconciled(self, methods: Sequence[str]) -> np.ndarray:
        """Of each member by its method, shape (m, k)."""
        total = self.expected["forecast"].to_numpy()
        own = _side_by_side(self.ahead, methods)
        return reconcile(own, total, _weights(self.known), self.known.usual)

    def weekly_errors(self, yhat: np.ndarray) -> np.ndarray:
        """Sum of absolute errors of the horizon's whole weeks, shape (k,)."""
        days = min(HORIZON_DAYS, len(yhat)) // WEEK * WEEK
        off = (yhat - self.actual)[:days].reshape(-1, WEEK, yhat.shape[1])
        return np.abs(off.sum(axis=1)).sum(axis=0)


def fit(parts: Parts, total: whole.Forecaster) -> Splitter:
    """Choose each member's method by the weekly errors of its backtest.

    Weeks, since many members sell nothing on most days: by the day, a forecast of nothing wins. A
    method that does not beat the baseline once it is reconciled gives way to it.
    """
    asof.require_past(pd.DataFrame({"date": parts.dates}), ["date"], total.series.dates[-1])
    methods = METHODS if parts.non_negative else SIGNED_METHODS
    default = "mean_share" if parts.non_negative else "recent_mean"
    rows = total.rows(total.champion)
    if rows.empty:
        return Splitter(parts, total, (default,) * len(parts.members), pd.DataFrame())
    origins = []
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
        origins.append(_Origin(known, expected, actual, ahead))
    chosen = _choose(origins, list(methods))
    tables = [
        _long(one, yhat, name)
        for one in origins
        for name, yhat in ((BASELINE, one.ahead[BASELINE]), (RECONCILED, one.reconciled(chosen)))
    ]
    return Splitter(parts, total, chosen, pd.concat(tables, ignore_index=True))


def _choose(origins: list[_Origin], methods: list[str]) -> tuple[str, ...]:
    """The method of each member, length k; the baseline is the first of the methods."""
    by_origin = [[one.weekly_errors(one.ahead[name]) for name in methods] for one in origins]
    errors = np.sum(by_origin, axis=0)
    best = errors.argmin(axis=0)
    while True:
        chosen = tuple(methods[i] for i in best)
        off = np.sum([one.weekly_errors(one.reconciled(chosen)) for one in origins], axis=0)
        # one that gives way moves the others a little, as all of them have to add up
        behind = (best > 0) & (off >= errors[0])
        if not behind.any():
            return chosen
        best = np.where(behind, 0, best)


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
    own = _side_by_side(ahead, splitter.methods)
    yhat = reconcile(own, total, _weights(parts), parts.usual)
    scale, tables = intervals.Scale(parts.non_negative), []
    is_year = len(parts.dates) >= MATURE_DAYS
    for i, member in enumerate(parts.members):
        rows = _member_rows(splitter, member)
        near = yhat[:HORIZON_DAYS, i]
        days = path.head(HORIZON_DAYS)
        table = pd.DataFrame(
            {
                "grain": "day",
                "target_date": days["target_date"],
                "horizon_days": days["days_ahead"],
                "is_closed": days["closed"],
                "yhat": near,
            }
        )
        for name, (lower, upper) in _bounds(rows, scale, near, float(parts.levels[i])).items():
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
        metric: member, model, horizon, metric, value, n, is_champion. The measures are those of
        `forecast.evaluate`, and `weekly_wape`, by which the methods are chosen: over the sums of
        whole weeks. Coverage and Winkler score are of the champion on open days, each origin with
        intervals from the errors known by then.
    """
    if splitter.backtest.empty:
        return pd.DataFrame()
    near = splitter.backtest[splitter.backtest["days_ahead"] <= HORIZON_DAYS]
    rows = []
    for (member, model), part in near.groupby(["member", "model"], sort=True):
        at = splitter.parts.members.index(member)
        method, is_champion = splitter.methods[at], model == RECONCILED
        if not is_champion and method == model:
            continue  # the baseline is what forecasts: after reconciliation it is there already
        name = method if is_champion else model
        scale = evaluation.naive_scale(splitter.parts.values[:, at])
        measures = whole.measures(part, scale) | {"weekly_wape": _weekly_wape(part)}
        bounded = _walked(splitter, at, part) if is_champion else part.head(0)
        for measured, found in ((part, measures), (bounded, whole.interval_measures(bounded))):
            rows += [
                (member, name, "1-90", metric, value, len(measured), is_champion)
                for metric, value in found.items()
            ]
    columns = ["member", "model", "horizon", "metric", "value", "n", "is_champion"]
    return pd.DataFrame(rows, columns=columns)


def _walked(splitter: Splitter, at: int, rows: pd.DataFrame) -> pd.DataFrame:
    """Open days of a member's backtest that had an interval, with its lo80, hi80, lo95, hi95."""
    parts, scale = splitter.parts, intervals.Scale(splitter.parts.non_negative)
    tables = []
    for origin, ahead in rows[~rows["closed"]].groupby("origin", sort=True):
        known = rows[rows["target_date"] <= origin]
        level = float(parts.until(origin).levels[at])
        bounds = _bounds(known, scale, ahead["forecast"].to_numpy(), level)
        both = {
            f"{side}{name}": bound
            for name, pair in bounds.items()
            for side, bound in zip(("lo", "hi"), pair, strict=True)
        }
        tables.append(ahead.assign(**both))
    found = pd.concat(tables, ignore_index=True) if tables else rows.assign(lo80=np.nan)
    return found[found["lo80"].notna()]


def reconcile(
    parts: np.ndarray,
    total: np.ndarray,
    weights: np.ndarray | None,
    usual: np.ndarray,
) -> np.ndarray:
    """Parts that add up to the total to the last bit, all on `forecast.GRID`.

    Args:
        parts: shape (m, k), series' unit.
        total: shape (m,), on the grid.
        weights: shape (k,), which share of a difference each part takes (its error variance); None
            for a series that can't be negative: parts keep their proportions.
        usual: shape (k,), proportions of a day of which all parts are 0 and the total is not.
    """
    if weights is None:
        wanted = _shares(parts, usual) * total[:, None]
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


def _shares(sums: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
    """Of the last axis; a member that was less than nothing (returns of before) has no share."""
    sums = np.maximum(sums, 0)
    whole_sum = sums.sum(axis=-1, keepdims=True)
    return np.where(whole_sum > 0, sums / np.where(whole_sum > 0, whole_sum, 1), otherwise)


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


def _weekly_wape(part: pd.DataFrame) -> float:
    """WAPE of the sums of whole weeks."""
    week = (part["days_ahead"] - 1) // WEEK
    weeks = part.groupby(["origin", week])[["actual", "forecast"]].agg(["sum", "count"])
    weeks = weeks[weeks["actual", "count"] == WEEK]
    return evaluation.wape(weeks["actual", "sum"].to_numpy(), weeks["forecast", "sum"].to_numpy())


def _side_by_side(ahead: Mapping[str, np.ndarray], methods: Sequence[str]) -> np.ndarray:
    """Of each member what its method expects, shape (m, k)."""
    return np.column_stack([ahead[name][:, i] for i, name in enumerate(methods)])


def _spread_out(origins: list[pd.Timestamp]) -> list[pd.Timestamp]:
    wanted = np.linspace(0, len(origins) - 1, min(MAX_ORIGINS, len(origins))).round().astype(int)
    return [origins[i] for i in dict.fromkeys(wanted.tolist())]


def _long(origin: _Origin, yhat: np.ndarray, model: str) -> pd.DataFrame:
    """One row per day ahead and member."""
    expected, members = origin.expected, origin.known.members
    days, count = len(expected), len(members)
    same = {
        name: np.tile(expected[name].to_numpy(), count)
        for name in ("origin", "target_date", "days_ahead", "closed")
    }
    return pd.DataFrame(
        same
        | {
            "member": np.repeat(np.array(members, object), days),
            "model": model,
            "actual": origin.actual.T.ravel(),
            "forecast": yhat.T.ravel(),
        }
    )


def _member_rows(splitter: Splitter, member: str) -> pd.DataFrame:
    rows = splitter.backtest
    if rows.empty:
        return rows
    return rows[(rows["member"] == member) & (rows["model"] == RECONCILED)]


def _bounds(
    rows: pd.DataFrame, scale: intervals.Scale, forecast: np.ndarray, level: float
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """{confidence in percent: lower and upper bounds} of a member, from its rows so far."""
    errors = _errors(rows, scale, level)
    return {
        f"{share * 100:.0f}": intervals.pooled_bounds(errors, scale, forecast, level, share)
        for share in whole.CONFIDENCES
    }


def _errors(rows: pd.DataFrame, scale: intervals.Scale, level: float) -> np.ndarray:
    """Errors of open days within the horizon."""
    if rows.empty:
        return np.array([])
    near = rows[(rows["days_ahead"] <= HORIZON_DAYS) & ~rows["closed"]]
    return scale.errors(
        near["actual"].to_numpy(), near["forecast"].to_numpy(), np.full(len(near), level)
    )
