"""The risk of each customer to buy no more, what those who left share, and whom to win back."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Any

import pandas as pd
import psycopg

from ml import churn, runs
from ml.churn import churn as rules
from ml.churn import models, traits, winback
from ml.customers.bgnbd import NotFittedError
from ml.customers.history import History
from ml.evaluation import finite
from ml.failures import Failures
from ml.jobs import customers, running
from ml.lifetime import models as lifetime_models

VERSION = "2.3"
_AMOUNTS = ("net_amount", "margin_amount", "demand_amount", "costed_demand_amount")


def run(connection: psycopg.Connection[Any]) -> running.Outcome:
    """Score the churn of each customer of the last complete day."""
    days, as_of = customers.read_days(connection)
    facts = runs.read(connection, "select * from features.customer_facts order by customer_key")
    return running.compute(
        connection,
        task=TASK.name,
        version=VERSION,
        features={"days": days, "facts": facts},
        as_of=as_of,
        parameters={
            "horizon_days": rules.HORIZON_DAYS,
            "features": models.NUMBERS,
            "holdout_share": winback.HOLDOUT_SHARE,
            "seed": models.SEED,
        },
        result_of=partial(result, days, facts, as_of),
    )


def result(days: pd.DataFrame, facts: pd.DataFrame, as_of: pd.Timestamp | None) -> runs.Result:
    """The result of the churn task.

    Args:
        days: rows of `features.customer_days` up to the as-of date.
        facts: rows of `features.customer_facts`.
        as_of: the last complete day; None without data.
    """
    if as_of is None or days.empty:
        return runs.Result(
            running.NO_DATA, note="no customer with an order", baseline=models.BASELINE
        )
    history = History.from_frame(days, as_of)
    try:
        model = churn.fit(history)
    except churn.TooLittleDataError as missing:
        return runs.Result(running.NO_DATA, note=str(missing), baseline=models.BASELINE)
    notes, measured = [model.note], [_measured(model, rules.SERIES)]
    scores = churn.predict(model)
    scores["own_horizon_days"], scores["own_churn_probability"] = None, None
    own = rules.own_horizon(history)
    if own == model.task.horizon_days:
        scores["own_horizon_days"] = own
        scores["own_churn_probability"] = scores["churn_probability"]
    elif own is not None:
        failures = Failures()
        with failures.leave_out(f"the shop's own horizon of {own} days"):
            try:
                of_shop = churn.fit(history, own)
            except churn.TooLittleDataError as missing:
                notes.append(f"the shop's own horizon of {own} days: {missing}")
            else:
                scores["own_horizon_days"] = own
                scores["own_churn_probability"] = of_shop.probability
                measured.append(_measured(of_shop, rules.OWN_SERIES))
                notes.append(of_shop.note and f"{own} days: {of_shop.note}")
        notes += failures.notes()
    else:
        notes.append(f"fewer than {rules.MIN_GAPS} pauses between orders: no horizon of its own")
    if not winback.knows_costs(facts):
        notes.append("costs are too little known: the win-back list goes by spend, not margin")
    failures, leans_on = Failures(), pd.DataFrame()
    with failures.leave_out("importance of the facts"):
        leans_on = churn.importance(history, model)
    notes += failures.notes()
    counted_on = model.task.train["as_of_date"].max()
    shared = traits.measure(model.task.train, facts.drop(columns=list(_AMOUNTS)))
    return runs.Result(
        status="ok",
        note="; ".join(note for note in notes if note),
        champion=model.champion,
        baseline=models.BASELINE,
        trained_from=counted_on.date(),
        trained_to=(counted_on + pd.Timedelta(days=model.task.horizon_days)).date(),
        tables={
            "churn_scores": scores,
            "churn_traits": shared.assign(counted_on=counted_on),
            "winback": _winback(history, model, facts),
        },
        metrics=pd.concat(measured, ignore_index=True),
        importance=leans_on.assign(series=rules.SERIES, model=model.champion),
    )


def _measured(model: churn.ChurnModel, series: str) -> pd.DataFrame:
    metrics = churn.evaluate(model).assign(series=series, horizon=f"{model.task.horizon_days}")
    metrics["is_champion"] = metrics["model"] == model.champion
    metrics["is_baseline"] = metrics["model"] == models.BASELINE
    return metrics


def _winback(history: History, model: churn.ChurnModel, facts: pd.DataFrame) -> pd.DataFrame:
    """Spend is BG/NBD's with Gamma-Gamma, or last year's where those can't be fitted."""
    task = lifetime_models.Task(history, lifetime_models.YEAR, model.task.horizon_days)
    expected = lifetime_models.last_year(task)
    with Failures().leave_out("bg_gg"), suppress(NotFittedError):
        expected = finite(lifetime_models.bg_gg(task))
    scores = pd.DataFrame(
        {
            "customer_key": model.task.score["customer_key"].to_numpy(),
            "churn_probability": model.probability,
            "expected_amount": expected,
        }
    ).merge(winback.margin_share(facts), on="customer_key", how="left")
    scores["margin_share"] = scores["margin_share"].fillna(scores["margin_share"].mean()).fillna(1)
    return winback.make_list(scores, history.as_of).assign(horizon_days=model.task.horizon_days)


TASK = running.Task(
    name="churn",
    label="score churn",
    reads=(*customers.READS, "customer_facts"),
    writes=("churn_scores", "churn_traits", "winback"),
    run=run,
)
