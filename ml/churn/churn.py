"""Churn: which customers won't order in the horizon, how likely, and why.

`fit` compares the models on past days, each trained on labels that were known by then, and lets the
best one score; `predict` scores the last day; `evaluate` measures the comparison.

A shop has no contracts, so churn is never observed: the label is no purchase in
(date, date + horizon]. The champion has the least mean Brier score (it punishes both poor ranking
and poor calibration) relative to the baseline's on the same day; see `choose_champion` for ties.

The horizon is 90 days, which can be compared between shops, and beside it the shop's own
(`own_horizon`): who is silent for longer than 9 of 10 pauses that ended is unusual here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from ml import evaluation
from ml import importance as importances
from ml.asof import SUSPICIOUS_AUC
from ml.churn import models
from ml.customers.history import History, thinned
from ml.failures import Failures

HORIZON_DAYS = 90
MAX_CUTS = 6
CUT_STEP_DAYS = 30
# a model that could be fitted on fewer days isn't compared: one day says more about its season
MIN_CUTS = 2
TIERS = (0.33, 0.66)  # low below the first, high above the second
# more likely than not: a threshold of its own would be a choice for each purpose
THRESHOLD = 0.5

OWN_SHARE = 0.9
OWN_BOUNDS = (30, 365)  # less is noise of the calendar, more leaves no past to learn from
MIN_GAPS = 100  # below them the tenth longest pause is an accident

# below these a score would be a guess
MIN_CUSTOMERS = 100
MIN_PER_CLASS = 20
MAX_DAYS_SINCE_LAST_ORDER = 30

SERIES = "customers"
OWN_SERIES = "own_rhythm"


class TooLittleDataError(Exception):
    """Churn can't be scored; the message says what is missing."""


@dataclass(frozen=True)
class ChurnModel:
    """A fitted churn model.

    Attributes:
        task: training rows and the rows to score.
        probability: of churn by the champion, per row to score.
        cuts: out-of-time predictions of every model: as_of_date, model, outcome, probability.
        champion: name of the model that scores.
        reasons: logistic regression on what can be said in words.
        note: what a reader must know, empty if nothing.
    """

    task: models.Task
    probability: np.ndarray
    cuts: pd.DataFrame
    champion: str
    reasons: models.LinearReasons
    note: str = ""


def fit(history: History, horizon_days: int = HORIZON_DAYS) -> ChurnModel:
    """Compare the models out of time and train the reasons.

    Args:
        history: of all customers up to the last complete day, which is scored.
        horizon_days: length of the window without a purchase that counts as churn.

    Raises:
        TooLittleDataError: too few customers, orders too long ago, or no variety in the labels.
    """
    with threadpool_limits(1):  # the order of a sum is the same on every machine
        task = models.Task.at(history, horizon_days)
        if task.score.empty:
            raise TooLittleDataError("no customer with an order")
        if len(task.score) < MIN_CUSTOMERS:
            raise TooLittleDataError(f"{len(task.score)} customers, {MIN_CUSTOMERS} are needed")
        silent = int(task.score["recency_days"].min())
        if silent > MAX_DAYS_SINCE_LAST_ORDER:
            raise TooLittleDataError(
                f"the last order is {silent} days old, more than {MAX_DAYS_SINCE_LAST_ORDER}"
            )
        if not _is_enough(task):
            raise TooLittleDataError(
                f"no day {horizon_days} days ago with {MIN_CUSTOMERS} customers, of whom "
                f"{MIN_PER_CLASS} came back and {MIN_PER_CLASS} did not"
            )
        failures = Failures()
        cuts = _out_of_time(history, horizon_days, failures)
        reasons = models.LinearReasons.fit(_reason_matrix(task.train), models.labels(task.train))
        predictions = models.predict_all(task, failures)
    # what can't score today isn't champion, however good it was
    champion = choose_champion(
        cuts[cuts["model"].isin(predictions)] if len(cuts) else cuts, horizon_days
    )
    note = "; ".join(note for note in (*failures.notes(), _note(cuts, champion)) if note)
    return ChurnModel(task, predictions[champion], cuts, champion, reasons, note)


def own_horizon(history: History) -> int | None:
    """Days that 9 of 10 pauses between purchases stay below; None with too few pauses."""
    gaps = history.gaps
    if len(gaps) < MIN_GAPS:
        return None
    return int(np.clip(np.ceil(np.quantile(gaps, OWN_SHARE)), *OWN_BOUNDS))


def predict(model: ChurnModel) -> pd.DataFrame:
    """Scores of the latest as-of date.

    Returns:
        One row per customer: customer_key, horizon_days, churn_probability, tier (low, medium,
        high), reason_1..3 in words with reason_1..3_log_odds, the strongest first. Log odds are
        against the average customer, above 0 speaks for leaving; they are exact for a logistic
        regression on the named facts, which explains the champion but isn't it.
    """
    probability, score = model.probability, model.task.score
    table = pd.DataFrame(
        {
            "customer_key": score["customer_key"].to_numpy(),
            "horizon_days": model.task.horizon_days,
            "churn_probability": probability,
            "tier": np.select(
                [probability < TIERS[0], probability <= TIERS[1]], ["low", "medium"], "high"
            ),
        }
    )
    contributions = model.reasons.contributions(_reason_matrix(score))
    strongest = np.argsort(-np.abs(contributions), axis=1, kind="stable")[:, :3]
    words = _reason_words(score)
    rows = np.arange(len(score))
    for place in range(3):
        column = strongest[:, place]
        table[f"reason_{place + 1}"] = words[rows, column]
        table[f"reason_{place + 1}_log_odds"] = contributions[rows, column]
    return table


def evaluate(model: ChurnModel) -> pd.DataFrame:
    """Mean over the out-of-time cuts of each measure.

    Returns:
        One row per model and metric: model, metric, value, n (predictions measured): brier, pr_auc,
        roc_auc, ece, lift_10 (top tenth), churn_rate; and where more likely than not counts as
        leaving: accuracy, precision, recall, f1, and the shares true_positive, false_positive,
        false_negative and true_negative.
    """
    rows = []
    for name, part in model.cuts.groupby("model", sort=True) if len(model.cuts) else ():
        measured = pd.DataFrame(
            [measures(cut) for _, cut in part.groupby("as_of_date", sort=True)]
        ).mean()
        rows += [(name, metric, value, len(part)) for metric, value in measured.items()]
    return pd.DataFrame(rows, columns=["model", "metric", "value", "n"])


def importance(history: History, model: ChurnModel) -> pd.DataFrame:
    """By how much the champion's Brier score rises without each of `models.FACTS`.

    Args:
        history: that the model was fitted to.
        model: see `fit`.

    Returns:
        As `ml.importance.permutation`, measured on the newest day whose horizon is over, by what
        was learned before it; empty without such a day.
    """
    if model.cuts.empty:
        return importances.nothing()
    horizon, date = model.task.horizon_days, model.cuts["as_of_date"].max()
    with threadpool_limits(1):
        task = models.Task.at(history.up_to(date), horizon)
        rows = thinned(task.score, importances.MOST_ROWS)
        came = models.labels(models.labelled(history, date, horizon).loc[rows.index])

        def predict(some: pd.DataFrame) -> np.ndarray:
            # nobody's last order lies before the first, as a shuffled one may
            recency = np.minimum(some["recency_days"], some["tenure_days"])
            score = some.assign(recency_days=recency)
            return models.predict(model.champion, replace(task, score=score, known=task.score))

        return importances.permutation(
            rows, models.FACTS, predict, lambda found: evaluation.brier(came, found)
        )


def choose_champion(cuts: pd.DataFrame, horizon_days: int = HORIZON_DAYS) -> str:
    """The model with the least Brier score that beats the baseline; the baseline if none does.

    A mean of unlike models scores instead where it is within one standard error of the best: which
    single one was ahead is mostly the season of the comparison, and their errors cancel.
    """
    if cuts.empty:
        return models.BASELINE
    scores = pd.DataFrame(
        [
            {"model": name, "as_of_date": date, "brier": measures(cut)["brier"]}
            for (name, date), cut in cuts.groupby(["model", "as_of_date"], sort=True)
        ]
    )
    # against the baseline of the same day: days differ, and not every model has them all
    brier = scores.pivot(index="as_of_date", columns="model", values="brier")
    able = brier.columns[brier.count() >= min(MIN_CUTS, len(brier))]
    relative = brier[able].div(brier[models.BASELINE], axis=0)
    mean = relative.mean()
    mean = mean[mean < 1]
    if mean.empty:
        return models.BASELINE
    # windows that overlap say less than as many that don't
    behind = relative[mean.index].sub(relative[mean.idxmin()], axis=0)
    span = (brier.index.max() - brier.index.min()).days + horizon_days
    error = behind.std().fillna(0) / np.sqrt(np.minimum(behind.count(), span / horizon_days))
    robust = [*models.ENSEMBLES, *models.SEASONAL]
    close = [name for name in mean.index if name in robust and behind[name].mean() <= error[name]]
    return str(mean[close].idxmin() if close else mean.idxmin())


def _is_enough(task: models.Task) -> bool:
    outcome = models.labels(task.train)
    fewest = min(outcome.sum(), len(outcome) - outcome.sum()) if len(outcome) else 0
    return len(outcome) >= MIN_CUSTOMERS and fewest >= MIN_PER_CLASS


def _out_of_time(history: History, horizon_days: int, failures: Failures) -> pd.DataFrame:
    parts = []
    for cut in range(MAX_CUTS):
        date = history.as_of - pd.Timedelta(days=horizon_days + CUT_STEP_DAYS * cut)
        task = models.Task.at(history.up_to(date), horizon_days)
        if not _is_enough(task):
            break
        outcome = models.labels(models.labelled(history, date, horizon_days))
        parts += [
            pd.DataFrame(
                {
                    "as_of_date": date,
                    "model": name,
                    "outcome": outcome,
                    "probability": probability,
                }
            )
            for name, probability in models.predict_all(task, failures).items()
        ]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _note(cuts: pd.DataFrame, champion: str) -> str:
    notes = []
    if cuts.empty:
        notes.append("history too short for an out-of-time comparison: the baseline scores")
    elif champion == models.BASELINE:
        notes.append(
            "no model beat the baseline (logistic regression on recency, frequency, money)"
        )
    elif champion == "base_rate":
        notes.append("no model beat the mere churn rate: all customers get the same probability")
    for name, part in cuts.groupby("model") if len(cuts) else ():
        auc = evaluation.roc_auc(part["outcome"].to_numpy(), part["probability"].to_numpy())
        if auc > SUSPICIOUS_AUC:
            notes.append(f"the AUC of {name} is {auc:.3f}, too good to be true: look for a leak")
    return "; ".join(notes)


def measures(cut: pd.DataFrame) -> dict[str, float]:
    """Of the predictions of one model on one day: columns outcome and probability."""
    outcome, probability = cut["outcome"].to_numpy(), cut["probability"].to_numpy()
    return {
        "brier": evaluation.brier(outcome, probability),
        "pr_auc": evaluation.pr_auc(outcome, probability),
        "roc_auc": evaluation.roc_auc(outcome, probability),
        "ece": evaluation.expected_calibration_error(outcome, probability),
        "lift_10": evaluation.lift(outcome, probability),
        "churn_rate": float(outcome.mean()),
        **evaluation.confusion(outcome, probability >= THRESHOLD),
    }


def _reason_matrix(frame: pd.DataFrame) -> np.ndarray:
    """What reasons are made of, one column each, in the order of `_reason_words`.

    Few and little correlated on purpose: with correlated columns the weights take turns in
    sign, and a reason would say the opposite of what it means.
    """
    bought = frame["monetary_amount"].to_numpy(float) + frame["returns_amount"].to_numpy(float)
    returned = frame["returns_amount"].to_numpy(float) / np.where(bought > 0, bought, np.inf)
    return np.column_stack(
        [
            models.rfm_matrix(frame),
            np.log1p(frame["order_days_same_season"].to_numpy(float)),
            returned.clip(0, 1),
        ]
    )


def _reason_words(frame: pd.DataFrame) -> np.ndarray:
    """The facts behind each reason, shape (n, reasons)."""
    return np.column_stack(
        [
            [f"last order {_count(days, 'day')} ago" for days in frame["recency_days"]],
            [f"ordered on {_count(days, 'day')}" for days in frame["order_days"]],
            [f"spent {amount:,.2f} in all" for amount in frame["monetary_amount"]],
            [
                f"ordered on {_count(days, 'day')} in the same weeks a year ago"
                for days in frame["order_days_same_season"]
            ],
            [f"returned {share:.0%} by value" for share in _reason_matrix(frame)[:, -1]],
        ]
    ).astype(object)


def _count(n: float, unit: str) -> str:
    return f"{int(n)} {unit}{'' if n == 1 else 's'}"
