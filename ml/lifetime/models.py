"""Models of what customers will spend: all see one history and nothing after its last day.

Amounts are store currency, net of what will be sent back. Shape of every prediction: one number per
row of `Task.now`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestRegressor

from ml.asof import require_past
from ml.customers import bgnbd, gammagamma
from ml.customers.bgnbd import NotFittedError
from ml.customers.history import History, purchase_summary, snapshot, thinned
from ml.evaluation import finite
from ml.failures import Failures

SEED = 20240229
YEAR = 365
_WEEKS_52 = 364
TREES = 40
MIN_LEAF = 15
MAX_TRAIN = 10_000  # customers that trees learn from: more cost time and gain nothing measurable
# less than this is no half of a season cycle to learn customers' rhythm from
MIN_HISTORY_DAYS = 90
# a season factor beyond these says that the shop changed, not that a season came
_SEASON_BOUNDS = (1 / 3, 3.0)

_NUMBERS = (
    "recency_days",
    "tenure_days",
    "order_days",
    "order_days_90d",
    "order_days_180d",
    "order_days_365d",
    "order_days_same_season",
    "longest_gap_days",
    "sales_amount",
    "returns_amount",
    "demand_90d_amount",
    "demand_180d_amount",
    "demand_365d_amount",
    "last_demand_amount",
)


# what tells nearly the same stands together, see `ml.importance`
FACTS: Mapping[str, tuple[str, ...]] = {
    "recency": ("recency_days",),
    "time since the first order": ("tenure_days",),
    "frequency": ("order_days", "order_days_90d", "order_days_180d", "order_days_365d"),
    "orders in the same weeks a year ago": ("order_days_same_season",),
    "rhythm": ("longest_gap_days",),
    "spend": (
        "sales_amount",
        "demand_90d_amount",
        "demand_180d_amount",
        "demand_365d_amount",
        "last_demand_amount",
    ),
    "returns": ("returns_amount",),
}


@dataclass(frozen=True)
class Task:
    """What a model may see.

    Attributes:
        history: up to the day that is predicted from.
        horizon_days: predict the spend in (as-of date, as-of date + horizon].
        learn_days: window of the past whose spend a model may learn as its target.
    """

    history: History
    horizon_days: int
    learn_days: int

    @cached_property
    def now(self) -> pd.DataFrame:
        """Customers with a purchase, as known on the last day of the history."""
        return snapshot(self.history, self.horizon_days)

    @cached_property
    def orders(self) -> np.ndarray:
        """Expected purchase days by BG/NBD in the horizon.

        Raises:
            NotFittedError: too few customers bought again.
        """
        repeats, last, age = purchase_summary(self.now)
        fitted = bgnbd.fit(repeats, last, age)
        return fitted.expected_purchases(repeats, last, age, self.horizon_days)

    @cached_property
    def spend_per_order(self) -> np.ndarray:
        """Expected spend of a purchase day by Gamma-Gamma, net of returns.

        Raises:
            NotFittedError: too few customers bought again.
        """
        purchases = self.now["order_days"].to_numpy(float)
        mean_spend = self.now["sales_amount"].to_numpy() / purchases
        fitted = gammagamma.fit(purchases, mean_spend)
        return fitted.expected(purchases, mean_spend) * self.kept_share

    @cached_property
    def kept_share(self) -> float:
        """Share of the last year's sales that was not sent back on a later day."""
        start, end = self.history.as_of - pd.Timedelta(days=YEAR), self.history.as_of
        sold = self.history.between(start, end, self.history.sales).sum()
        kept = self.history.between(start, end, self.history.net).sum()
        return float(np.clip(kept / sold, 0, 1)) if sold > 0 else 1.0

    @cached_property
    def season(self) -> float:
        """The same days a year ago against an average as long of that year; 1 if not known.

        Horizons of a year have no season.
        """
        ahead = min(self.horizon_days, _WEEKS_52)
        start = self.history.as_of - pd.Timedelta(days=_WEEKS_52)
        if start < self.history.first_day - pd.Timedelta(days=1):
            return 1.0
        year = self.history.between(start, self.history.as_of, self.history.net).sum()
        same = self.history.between(start, start + pd.Timedelta(days=ahead), self.history.net).sum()
        usual = year * ahead / _WEEKS_52
        return float(np.clip(same / usual, *_SEASON_BOUNDS)) if usual > 0 else 1.0


Model = Callable[[Task], np.ndarray]


def last_year(task: Task) -> np.ndarray:
    """The baseline, a line of SQL: spent in the last 365 days, in proportion to the horizon."""
    days = min(YEAR, max(task.history.length_days, 1))
    start = task.history.as_of - pd.Timedelta(days=days)
    spent = task.history.between(start, task.history.as_of, task.history.net)
    return np.maximum(spent[task.now.index], 0) * task.horizon_days / days


def bg_gg(task: Task) -> np.ndarray:
    """BG/NBD's purchases times Gamma-Gamma's spend: no season, no label."""
    return task.orders * task.spend_per_order


def bg_gg_season(task: Task) -> np.ndarray:
    """The same, times the season factor."""
    return bg_gg(task) * task.season


def blend(task: Task) -> np.ndarray:
    """Mean of BG/NBD with Gamma-Gamma and last year, times the season factor.

    The two err in different ways: one forgets how much somebody buys of late, the other who has
    gone.
    """
    return (bg_gg(task) + last_year(task)) / 2 * task.season


def random_forest(task: Task) -> np.ndarray:
    """Random forest on the last window whose spend is known, scaled to the blend's total.

    It ranks well, but its window lies in another season than the days ahead: on *Online Retail II*
    its own total is wrong by up to 100 %.

    Raises:
        NotFittedError: see `fit_forest`.
    """
    raw = fit_forest(task)(snapshot(task.history, task.learn_days))
    return raw * blend(task).sum() / raw.sum() if raw.sum() > 0 else raw


def fit_forest(task: Task) -> Callable[[pd.DataFrame], np.ndarray]:
    """The forest alone: spend in a window of `learn_days`, from rows of `snapshot`.

    Raises:
        NotFittedError: the history is too short for a window and something known before it.
    """
    start = task.history.as_of - pd.Timedelta(days=task.learn_days)
    past = task.history.up_to(start)
    if past.length_days < MIN_HISTORY_DAYS:
        raise NotFittedError(f"{past.length_days} days before the window of {task.learn_days}")
    train = thinned(snapshot(past, task.learn_days), MAX_TRAIN)
    train = train.assign(known_on=task.history.as_of)
    require_past(train, ("as_of_date",), start)
    require_past(train, ("known_on",), task.history.as_of)
    spent = task.history.between(start, task.history.as_of, task.history.net)[train.index]
    forest = RandomForestRegressor(
        n_estimators=TREES,
        min_samples_leaf=MIN_LEAF,
        max_features=0.5,
        max_samples=0.7,
        random_state=SEED,
        n_jobs=1,
    ).fit(_matrix(train), np.maximum(spent, 0))
    return lambda rows: forest.predict(_matrix(rows))


BASELINE = "last_year"
FOREST = "random_forest"

MODELS: Mapping[str, Model] = {
    "last_year": last_year,
    "bg_gg": bg_gg,
    "bg_gg_season": bg_gg_season,
    "blend": blend,
    FOREST: random_forest,
}
# means of others, in which errors of unlike methods cancel
ENSEMBLES: Mapping[str, tuple[str, ...]] = {"blend_forest": ("blend", FOREST)}


def predict_all(task: Task, failures: Failures | None = None) -> dict[str, np.ndarray]:
    """Predictions of every model that the data allow.

    Args:
        task: what models may see.
        failures: takes what models raise.
    """
    failures, found = failures or Failures(), {}
    for name, model in MODELS.items():
        with failures.leave_out(name), suppress(NotFittedError):
            found[name] = finite(model(task))
    for name, members in ENSEMBLES.items():
        if all(member in found for member in members):
            found[name] = np.mean([found[member] for member in members], axis=0)
    return found


def _matrix(frame: pd.DataFrame) -> np.ndarray:
    """Logarithms of the facts and the average order: skewed amounts would fill few leaves."""
    numbers = frame[list(_NUMBERS)].to_numpy(float)
    average = frame["sales_amount"].to_numpy(float) / frame["order_days"].to_numpy(float)
    # one purchase has no gap: as long as nobody's
    table = np.nan_to_num(np.column_stack([numbers, average]), nan=0.0)
    return np.log1p(np.maximum(table, 0))
