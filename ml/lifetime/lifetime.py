"""Lifetime value: what each customer will spend in the next 12 months, net of returns.

`fit` compares the models at past cut-offs, each from what was known on its day, and lets the best
one score; `predict` scores the as-of date; `evaluate` measures the comparison.

12 months of outcome and time to learn before them are more history than most shops have, so the
comparison takes the longest window that the history holds several of (`BACKTEST_DAYS`); the note
says which. The champion has the least mean Poisson deviance relative to the baseline's: a lifetime
value is an expectation, and the deviance is least for that (the absolute error is least for the
median, 0 for half of a shop), without a few large customers deciding it as in the squared error.

Intervals are conformal: what customers of the same tenth by prediction spent at past cut-offs,
relative to their prediction.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import rankdata
from threadpoolctl import threadpool_limits

from ml import evaluation
from ml import importance as importances
from ml.customers.bgnbd import NotFittedError
from ml.customers.history import History, thinned
from ml.evaluation import finite
from ml.failures import Failures
from ml.lifetime import models

HORIZON_DAYS = 365
BACKTEST_DAYS = (365, 183, 91)
MIN_CUTS = 3  # fewer say more about the season than about the models
MAX_CUTS = 6
CONFIDENCE = 0.8
_TENTHS = 10
_LEAST = 0.01  # of the mean prediction: who is expected to spend nothing may spend something

# metric M40's gates: below these a number would be a guess
MIN_CUSTOMERS = 500
MIN_HISTORY_DAYS = 180
MAX_DAYS_SINCE_LAST_ORDER = 30
MIN_ORDERS_OF_SOME = 3

SERIES = "customers"


class TooLittleDataError(Exception):
    """Lifetime values can't be predicted; the message says what is missing."""


@dataclass(frozen=True)
class LifetimeModel:
    """A fitted model of lifetime value.

    Attributes:
        task: the history to score from.
        predicted: what the champion expects of each row of `task.now`.
        cuts: predictions of every model at past cut-offs: as_of_date, model, actual, predicted.
        backtest_days: window of those predictions; 0 if there was no room for one.
        champion: name of the model that scores.
        note: what a reader must know, empty if nothing.
    """

    task: models.Task
    predicted: np.ndarray
    cuts: pd.DataFrame
    backtest_days: int
    champion: str
    note: str = ""


def fit(history: History, horizon_days: int = HORIZON_DAYS) -> LifetimeModel:
    """Compare the models at past cut-offs.

    Args:
        history: of all customers up to the last complete day.
        horizon_days: days ahead whose spend is predicted.

    Raises:
        TooLittleDataError: too few customers, too short a history, orders too long ago, or nobody
            who came back twice.
    """
    _require_enough(history)
    days, dates = _cut_offs(history)
    task = models.Task(history, horizon_days, learn_days=days or BACKTEST_DAYS[-1])
    failures = Failures()
    with threadpool_limits(1):  # the order of a sum is the same on every machine
        cuts = _out_of_time(history, dates, days, failures)
        predictions = models.predict_all(task, failures)
    # what can't score today isn't champion, however good it was
    champion = choose_champion(cuts[cuts["model"].isin(predictions)] if len(cuts) else cuts)
    notes = [*failures.notes(), _note(cuts, days, horizon_days, champion)]
    note = "; ".join(note for note in notes if note)
    return LifetimeModel(task, predictions[champion], cuts, days, champion, note)


def predict(model: LifetimeModel) -> pd.DataFrame:
    """Expected spend of each customer in the horizon.

    Returns:
        One row per customer with a purchase: customer_key, horizon_days, predicted_amount, lo80 and
        hi80 (null without a past cut-off), expected_orders and expected_order_amount (BG/NBD and
        Gamma-Gamma; null where those can't be fitted). Amounts in store currency.
    """
    predicted = model.predicted
    orders = spend = np.full(len(predicted), np.nan)
    with threadpool_limits(1), Failures().leave_out("bg_gg"), suppress(NotFittedError):
        orders, spend = finite(model.task.orders), finite(model.task.spend_per_order)
    lower, upper = interval(model.cuts, model.champion, predicted)
    return pd.DataFrame(
        {
            "customer_key": model.task.now["customer_key"].to_numpy(),
            "horizon_days": model.task.horizon_days,
            "predicted_amount": predicted,
            "lo80": lower,
            "hi80": upper,
            "expected_orders": orders,
            "expected_order_amount": spend,
        }
    )


def evaluate(model: LifetimeModel) -> pd.DataFrame:
    """Mean over the cut-offs of each measure.

    Returns:
        One row per model and metric: model, metric, value, n (predictions measured): deviance, mae,
        rmse, r2, gini, decile_error, bias, total_error (its size), coverage_80 (intervals from
        cut-offs whose outcome was known then; NaN without such).
    """
    rows = []
    for name, part in model.cuts.groupby("model", sort=True) if len(model.cuts) else ():
        measured = pd.DataFrame(
            [measures(cut) for _, cut in part.groupby("as_of_date", sort=True)]
        ).mean()
        measured["coverage_80"] = _coverage(part, str(name), model.backtest_days)
        rows += [(name, metric, value, len(part)) for metric, value in measured.items()]
    return pd.DataFrame(rows, columns=["model", "metric", "value", "n"])


def importance(history: History, model: LifetimeModel) -> pd.DataFrame:
    """By how much the forest's deviance rises without each of `models.FACTS`.

    Args:
        history: that the model was fitted to.
        model: see `fit`.

    Returns:
        As `ml.importance.permutation`, measured on the newest cut-off; empty where the forest has
        no part in the champion: the others are formulas of three facts.
    """
    members = models.ENSEMBLES.get(model.champion, (model.champion,))
    if model.cuts.empty or models.FOREST not in members:
        return importances.nothing()
    days, date = model.backtest_days, model.cuts["as_of_date"].max()
    with threadpool_limits(1):
        task = models.Task(history.up_to(date), days, days)
        forest, rows = models.fit_forest(task), thinned(task.now, importances.MOST_ROWS)
        spent = history.between(date, date + pd.Timedelta(days=days), history.net)[rows.index]
        # the forest says who spends how much of it; all of it is scaled to the blend's
        scale = models.blend(task).sum() / forest(task.now).sum()

        def deviance(raw: np.ndarray) -> float:
            return evaluation.poisson_deviance(np.maximum(spent, 0), _positive(raw * scale))

        return importances.permutation(rows, models.FACTS, forest, deviance)


def choose_champion(cuts: pd.DataFrame) -> str:
    """The model with the least error that beats the baseline; the baseline if none does."""
    if cuts.empty:
        return models.BASELINE
    scores = pd.DataFrame(
        [
            {"model": name, "as_of_date": date, **measures(cut)}
            for (name, date), cut in cuts.groupby(["model", "as_of_date"], sort=True)
        ]
    ).set_index(["as_of_date", "model"])["deviance"]
    # against the baseline at the same cut-off: windows differ in how much is spent at all
    by_model = scores.unstack("model")
    relative = by_model.div(by_model[models.BASELINE], axis=0)
    able = relative.columns[relative.count() >= MIN_CUTS]
    mean = relative[able].mean()
    best = str(mean.idxmin()) if len(mean) else models.BASELINE
    return best if len(mean) and mean[best] < 1 else models.BASELINE


def measures(cut: pd.DataFrame) -> dict[str, float]:
    """Of the predictions of one model at one cut-off: columns actual and predicted."""
    actual, predicted = cut["actual"].to_numpy(), cut["predicted"].to_numpy()
    bias = evaluation.bias(actual, predicted)
    return {
        "deviance": evaluation.poisson_deviance(np.maximum(actual, 0), _positive(predicted)),
        "mae": evaluation.mae(actual, predicted),
        "rmse": evaluation.rmse(actual, predicted),
        "r2": evaluation.r2(actual, predicted),
        "gini": evaluation.gini(actual, predicted),
        "decile_error": evaluation.decile_error(actual, predicted),
        "bias": bias,
        "total_error": abs(bias),
    }


def interval(cuts: pd.DataFrame, name: str, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bounds that hold `CONFIDENCE` of the outcomes, each of shape (n,); NaN without cut-offs.

    Args:
        cuts: as in `LifetimeModel`, with known outcomes.
        name: the model.
        predicted: its predictions of one day, shape (n,).
    """
    past = cuts[cuts["model"] == name] if len(cuts) else cuts
    lower, upper = np.full((2, len(predicted)), np.nan)
    if past.empty:
        return lower, upper
    seen = pd.concat(
        [
            pd.DataFrame(
                {
                    "tenth": _tenth(cut["predicted"].to_numpy()),
                    "ratio": cut["actual"].to_numpy() / _positive(cut["predicted"].to_numpy()),
                }
            )
            for _, cut in past.groupby("as_of_date")
        ]
    )
    tenth, base = _tenth(predicted), _positive(predicted)
    for one, ratios in seen.groupby("tenth")["ratio"]:
        low, high = ratios.quantile((1 - CONFIDENCE) / 2), ratios.quantile((1 + CONFIDENCE) / 2)
        if low <= 0:  # nobody spends less than nothing: all misses are above
            low, high = 0.0, ratios.quantile(CONFIDENCE)
        mine = tenth == one
        lower[mine], upper[mine] = base[mine] * low, base[mine] * high
    return np.clip(lower, 0, predicted), np.maximum(upper, predicted)


def _require_enough(history: History) -> None:
    bought = history.customer[history.is_purchase]
    counts = np.bincount(bought, minlength=1)
    buyers = int((counts > 0).sum())
    if buyers < MIN_CUSTOMERS:
        raise TooLittleDataError(f"{buyers} customers, {MIN_CUSTOMERS} are needed")
    if history.length_days < MIN_HISTORY_DAYS:
        raise TooLittleDataError(
            f"{history.length_days} days of history, {MIN_HISTORY_DAYS} are needed"
        )
    last = pd.Timestamp(history.day[history.is_purchase].max())
    silent = (history.as_of - last).days
    if silent > MAX_DAYS_SINCE_LAST_ORDER:
        raise TooLittleDataError(
            f"the last order is {silent} days old, more than {MAX_DAYS_SINCE_LAST_ORDER}"
        )
    if counts.max() < MIN_ORDERS_OF_SOME:
        raise TooLittleDataError(f"nobody ordered on {MIN_ORDERS_OF_SOME} days or more")


def _cut_offs(history: History) -> tuple[int, list[pd.Timestamp]]:
    """Window and past cut-offs of the comparison, newest first; (0, []) if none has room."""
    for days in BACKTEST_DAYS:
        # a third of a window apart: neighbours share outcomes, and yet seasons change
        newest = history.as_of - pd.Timedelta(days=days)
        dates = [newest - pd.Timedelta(days=days // 3 * i) for i in range(MAX_CUTS)]
        room = max(days, models.MIN_HISTORY_DAYS)
        dates = [date for date in dates if (date - history.first_day).days >= room]
        if len(dates) >= MIN_CUTS:
            return days, dates
    return 0, []


def _out_of_time(
    history: History, dates: list[pd.Timestamp], days: int, failures: Failures
) -> pd.DataFrame:
    parts = []
    for date in dates:
        known = history.up_to(date)
        task = models.Task(known, days, days)
        spent = history.between(date, date + pd.Timedelta(days=days), history.net)
        actual = spent[task.now.index]
        parts += [
            pd.DataFrame(
                {"as_of_date": date, "model": name, "actual": actual, "predicted": predicted}
            )
            for name, predicted in models.predict_all(task, failures).items()
        ]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _coverage(part: pd.DataFrame, name: str, days: int) -> float:
    """Share of outcomes inside intervals made of cut-offs that were over by then."""
    inside = []
    for date, cut in part.groupby("as_of_date"):
        over = part[part["as_of_date"] <= date - pd.Timedelta(days=days)]
        if over.empty:
            continue
        lower, upper = interval(over, name, cut["predicted"].to_numpy())
        inside.append(evaluation.coverage(cut["actual"].clip(lower=0).to_numpy(), lower, upper))
    return float(np.mean(inside)) if inside else float("nan")


def _note(cuts: pd.DataFrame, days: int, horizon_days: int, champion: str) -> str:
    if cuts.empty:
        return "history too short for a comparison: last year's spend scores, without interval"
    notes = []
    if champion == models.BASELINE:
        notes.append("no model beat last year's spend")
    if days != horizon_days:
        notes.append(
            f"compared over {days} days, the longest that the history holds several of; "
            f"intervals of {horizon_days} days are as wide relative to the prediction"
        )
    return "; ".join(notes)


def _tenth(predicted: np.ndarray) -> np.ndarray:
    """0 for the tenth that is expected to spend least to 9; equal predictions share one."""
    share = (rankdata(predicted) - 0.5) / len(predicted)
    return np.minimum((share * _TENTHS).astype(int), _TENTHS - 1)


def _positive(predicted: np.ndarray) -> np.ndarray:
    least = max(_LEAST * float(predicted.mean()), np.finfo(float).tiny)
    return np.maximum(predicted, 0) + least
