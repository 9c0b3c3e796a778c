"""What if: hand-computed answers, intervals that hold, and refusals."""

import dataclasses

import numpy as np
import pytest

from ml import scenarios

BASE = scenarios.Base(
    label="Toys",
    days=30,
    revenue=10_000.0,
    revenue_error=0.0,
    unit_price=20.0,
    margin=0.4,
    assumptions=("the forecast",),
)
EFFECT = scenarios.Effect(-2.0, 0.0, -0.3, 0.3, "measured")
RESPONSE = scenarios.Response(
    channel="sms",
    spend=np.array([0.0, 1000.0, 2000.0]),
    incremental=np.array([0.0, 3000.0, 5000.0]),
    low=np.array([0.0, 1000.0, 2000.0]),
    high=np.array([0.0, 5000.0, 8000.0]),
    usual=1000.0,
)


def figures(answer: scenarios.Answer) -> dict[str, scenarios.Figure]:
    return {figure.name: figure for figure in answer.figures}


def test_a_price_change_is_the_textbooks():
    """Elasticity -2 and ten percent off: units x 0.9^-2, revenue x 0.9^-1, costs as the units."""
    found = figures(scenarios.price(BASE, EFFECT, -0.1))
    assert found["units"].after == pytest.approx(500 * 0.9**-2)
    assert found["revenue"].after == pytest.approx(10_000 / 0.9)
    cost = 6_000 * 0.9**-2
    assert found["margin"].after == pytest.approx(10_000 / 0.9 - cost)
    assert found["margin"].before == pytest.approx(4_000)
    for figure in found.values():
        assert figure.low == pytest.approx(figure.high) == pytest.approx(figure.change)


def test_no_change_changes_nothing():
    sure = scenarios.price(BASE, dataclasses.replace(EFFECT, error=0.5), 0.0)
    assert all(figure.change == 0 and figure.low == figure.high == 0 for figure in sure.figures)


def test_the_interval_is_that_of_elasticity_and_forecast():
    unsure = dataclasses.replace(EFFECT, elasticity=-1.0, error=0.5)
    answer = scenarios.price(BASE, unsure, -0.1)
    revenue = figures(answer)["revenue"]
    assert revenue.low == pytest.approx(10_000 * (0.9**0.98 - 1), rel=0.02)
    assert revenue.high == pytest.approx(10_000 * (0.9**-0.98 - 1), rel=0.02)
    vague = dataclasses.replace(BASE, revenue_error=3_000.0)
    wider = figures(scenarios.price(vague, unsure, -0.1))["revenue"]
    assert wider.low < revenue.low and wider.high > revenue.high
    assert figures(scenarios.price(BASE, unsure, -0.1)) == figures(answer)


def test_an_inelastic_cut_costs_margin_for_sure_and_an_unsure_one_says_so():
    assert scenarios.price(BASE, dataclasses.replace(EFFECT, elasticity=-0.5), -0.1).is_sure
    unsure = dataclasses.replace(EFFECT, elasticity=-3.0, error=1.5)
    assert not scenarios.price(BASE, unsure, -0.1).is_sure


def test_a_promotion_counts_its_days_alone():
    whole = figures(scenarios.promotion(BASE, EFFECT, 0.2, 30))
    week = figures(scenarios.promotion(BASE, EFFECT, 0.2, 6))
    for name, figure in whole.items():
        assert week[name].change == pytest.approx(figure.change / 5)
    assert figures(scenarios.price(BASE, EFFECT, -0.2))["units"].after == pytest.approx(
        whole["units"].after
    )


def test_spend_follows_the_curve_and_costs_what_it_costs():
    base = dataclasses.replace(BASE, days=70)
    found = figures(scenarios.spend(base, RESPONSE, 0.5))
    assert found["revenue"].change == pytest.approx(10 * 1_000)
    assert found["margin"].change == pytest.approx(10 * (0.4 * 1_000 - 500))
    assert (found["revenue"].low, found["revenue"].high) == pytest.approx((5_000, 15_000))
    ended = figures(scenarios.spend(base, RESPONSE, -1.0))
    assert ended["margin"].change == pytest.approx(10 * (1_000 - 0.4 * 3_000))
    assert ended["revenue"].low == pytest.approx(-50_000)


def test_a_season_moves_everything_alike():
    found = figures(scenarios.season(BASE, -0.15))
    for figure in found.values():
        assert figure.change / figure.before == pytest.approx(-0.15)


def test_unknown_costs_leave_the_margin_unknown():
    blind = dataclasses.replace(BASE, margin=float("nan"))
    for answer in (
        scenarios.price(blind, EFFECT, -0.1),
        scenarios.promotion(blind, EFFECT, 0.1, 7),
        scenarios.spend(blind, RESPONSE, 0.5),
        scenarios.season(blind, 0.1),
    ):
        found = figures(answer)
        assert np.isnan(found["margin"].change) and np.isfinite(found["revenue"].change)
        assert isinstance(answer.is_sure, bool)


def test_assumptions_are_in_every_answer():
    for answer in (
        scenarios.price(BASE, EFFECT, -0.1),
        scenarios.promotion(BASE, EFFECT, 0.1, 7),
        scenarios.spend(BASE, RESPONSE, 0.5),
        scenarios.season(BASE, 0.1),
    ):
        assert "the forecast" in answer.assumptions and len(answer.assumptions) > 2


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: scenarios.price(BASE, EFFECT, -0.4), "was never tried"),
        (lambda: scenarios.price(BASE, EFFECT, -1.0), "leaves nothing"),
        (lambda: scenarios.promotion(BASE, EFFECT, 0.4, 7), "was never tried"),
        (lambda: scenarios.promotion(BASE, EFFECT, 0.1, 31), "lasts 1 to 30 days"),
        (lambda: scenarios.promotion(BASE, EFFECT, -0.1, 7), "a markdown is between"),
        (lambda: scenarios.spend(BASE, RESPONSE, 1.5), "was never tried"),
        (
            lambda: scenarios.spend(BASE, dataclasses.replace(RESPONSE, usual=0.0), 0.1),
            "no spend in the last year",
        ),
        (
            lambda: scenarios.spend(
                BASE, dataclasses.replace(RESPONSE, incremental=np.full(3, np.nan)), 0.1
            ),
            "can't be told",
        ),
        (lambda: scenarios.season(BASE, -1.5), "leaves nothing"),
    ],
)
def test_what_was_never_tried_is_refused(ask, message):
    with pytest.raises(scenarios.RefusedError, match=message):
        ask()
