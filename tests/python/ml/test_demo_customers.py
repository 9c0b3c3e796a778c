"""What the demo store planted in its people is found: who has left, how often they buy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from ml import churn, evaluation
from ml.churn import models
from ml.customers import bgnbd
from ml.customers.history import History, purchase_summary
from sandbox.store import plan
from sandbox.store.exact import DAY
from sandbox.store.generate import World
from sandbox.store.people import MEAN_LIFE_DAYS
from sandbox.store.profiles import profile

HORIZON = 90


@dataclass(frozen=True)
class Truth:
    """A store of profile s, 90 days before its end.

    Attributes:
        history: purchases up to its last day; each counts the same money.
        labelled: features of the cut-off with the outcome.
        is_alive: whether they had not left for good by then.
        rate: orders per ordinary day while alive.
        p_none: probability of no order in the horizon for who knows all of that.
    """

    history: History
    labelled: pd.DataFrame
    is_alive: np.ndarray
    rate: np.ndarray
    p_none: np.ndarray

    @property
    def cut(self) -> pd.Timestamp:
        """The cut-off."""
        return self.history.as_of - pd.Timedelta(days=HORIZON)


@pytest.fixture(scope="module")
def truth() -> Truth:
    world = World(profile("s"), 42)
    p, people = world.plan, world.people
    counts = ~np.isin(p.outcome[: p.past], list(plan.EXCLUSION))
    orders = pd.DataFrame(
        {
            "customer_key": [f"{person:06}" for person in p.person[: p.past][counts]],
            "activity_date": pd.to_datetime(p.placed[: p.past][counts] // DAY, unit="D"),
        }
    )
    days = orders.groupby(["customer_key", "activity_date"], as_index=False).size()
    days = days.rename(columns={"size": "orders"}).assign(
        is_purchase=True, demand_amount=10.0, returns_amount=0.0, same_day_returns_amount=0.0
    )
    end = pd.Timestamp(world.profile.end_day - 1, unit="D")
    history = History.from_frame(days, end)
    labelled = models.labelled(history, end - pd.Timedelta(days=HORIZON), HORIZON)
    person = labelled["customer_key"].astype(int).to_numpy()
    is_alive = people.death[person] >= (world.profile.end_day - HORIZON) * DAY
    rate = people.rate_per_day[person]
    # a Poisson process of that rate, ended by an exponential life: sandbox/store/people.py
    end_rate = 1 / (MEAN_LIFE_DAYS * (0.4 + 0.6 * np.minimum(people.activity[person], 3.0)))
    either = rate + end_rate
    quiet = np.exp(-either * HORIZON)
    p_none = np.where(is_alive, end_rate / either * (1 - quiet) + quiet, 1.0)
    return Truth(history, labelled, is_alive, rate, p_none)


def test_churn_comes_near_to_who_knows_everybodys_life(truth):
    model = churn.fit(truth.history.up_to(truth.cut))
    outcome = models.labels(truth.labelled)
    found, possible = (evaluation.roc_auc(outcome, p) for p in (model.probability, truth.p_none))
    assert possible - 0.06 < found < possible
    assert evaluation.expected_calibration_error(outcome, model.probability) < 0.05
    assert evaluation.brier(outcome, model.probability) < 0.7 * outcome.mean() * (
        1 - outcome.mean()
    )
    assert "leak" not in model.note


def test_bgnbd_finds_who_has_left_and_how_often_the_others_buy(truth):
    summary = purchase_summary(truth.labelled)
    fitted = bgnbd.fit(*summary)
    # who came once had no occasion to show that they left
    returned = summary[0] > 0
    alive = fitted.p_alive(*summary)[returned]
    assert evaluation.roc_auc(truth.is_alive[returned].astype(float), alive) > 0.9
    assert alive.mean() == pytest.approx(truth.is_alive[returned].mean(), abs=0.1)
    expected = fitted.expected_purchases(*summary, HORIZON)
    rates = np.log(truth.rate[truth.is_alive])
    assert np.corrcoef(rates, np.log(expected[truth.is_alive]))[0, 1] > 0.6
    whole, cut = truth.history, truth.cut
    came = whole.between(cut, whole.as_of, whole.is_purchase.astype(float))[truth.labelled.index]
    # the last quarter has Black Friday and Christmas, of which BG/NBD knows nothing
    assert expected.sum() / came.sum() == pytest.approx(1, abs=0.2)
    assert evaluation.gini(came, expected) > 0.9 * evaluation.gini(came, 1 - truth.p_none)
