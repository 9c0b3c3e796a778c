"""Each measure against a value worked out by hand, and where it is undefined."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from ml import evaluation

ACTUAL = np.array([10.0, 20.0, 30.0, 0.0])
FORECAST = np.array([12.0, 15.0, 30.0, 1.0])


@pytest.mark.parametrize(
    ("measure", "expected"),
    [
        (evaluation.mae, 8 / 4),
        (evaluation.rmse, (30 / 4) ** 0.5),
        (evaluation.r2, 1 - 30 / 500),
        (evaluation.mape, (0.2 + 0.25 + 0) / 3),  # the day without sales is left out
        (evaluation.wape, 8 / 60),
        (evaluation.bias, -2 / 60),
    ],
)
def test_point_measures(measure, expected):
    assert measure(ACTUAL, FORECAST) == pytest.approx(expected)


def test_mase_compares_with_last_week():
    history = np.array([1.0, 2, 3, 4, 5, 6, 7, 3, 2, 3])  # differences to a week before: 2, 0, 0
    scale = evaluation.naive_scale(history)
    assert scale == pytest.approx(2 / 3)
    assert evaluation.mase(ACTUAL, FORECAST, scale) == pytest.approx(2 / (2 / 3))


def test_interval_measures():
    lower, upper = np.array([9.0, 21.0, 20.0, 0.0]), np.array([11.0, 25.0, 40.0, 0.0])
    assert evaluation.coverage(ACTUAL, lower, upper) == 0.75
    # widths 2 + 4 + 20 + 0, and 20 lies 1 below its interval: 2/(1 - .8) = 10
    assert evaluation.winkler(ACTUAL, lower, upper, 0.8) == pytest.approx((26 + 10) / 4)


def test_classification_measures():
    outcome = np.array([1.0, 0, 1, 0, 0])
    score = np.array([0.9, 0.8, 0.4, 0.4, 0.1])
    # pairs won: .9 beats 3; .4 beats 1, ties 1, loses 1 -> 4.5 of 6
    assert evaluation.roc_auc(outcome, score) == pytest.approx(4.5 / 6)
    # precision 1/1 at .9 and 2/4 at the tie of .4, half of the positives each
    assert evaluation.pr_auc(outcome, score) == pytest.approx(0.5 * 1 + 0.5 * 0.5)
    assert evaluation.brier(outcome, score) == pytest.approx((0.01 + 0.64 + 0.36 + 0.16 + 0.01) / 5)
    # bins: .9 | .8 | .4 .4 | .1 -> gaps .1, .8, |.8 - 1|, .1
    assert evaluation.expected_calibration_error(outcome, score) == pytest.approx(1.2 / 5)
    assert evaluation.lift(outcome, score, share=0.2) == pytest.approx(1 / 0.4)
    # the third place is shared by a hit and a miss
    assert evaluation.lift(outcome, score, share=0.6) == pytest.approx((1.5 / 3) / 0.4)


@given(
    st.lists(
        st.tuples(st.booleans(), st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0])),
        min_size=4,
        max_size=60,
    ).filter(lambda rows: len({outcome for outcome, _ in rows}) == 2)
)
def test_ranking_measures_agree_with_scikit_learn(rows):
    outcome = np.array([float(o) for o, _ in rows])
    score = np.array([s for _, s in rows])
    assert evaluation.roc_auc(outcome, score) == pytest.approx(
        metrics.roc_auc_score(outcome, score)
    )
    assert evaluation.pr_auc(outcome, score) == pytest.approx(
        metrics.average_precision_score(outcome, score)
    )


def test_undefined_is_nan_and_never_a_good_mark():
    nothing = np.array([])
    zeros = np.zeros(3)
    undefined = [
        evaluation.mae(nothing, nothing),
        evaluation.wape(zeros, zeros + 1),
        evaluation.mape(zeros, zeros + 1),
        evaluation.r2(zeros, zeros),
        evaluation.mase(zeros, zeros, 0.0),
        evaluation.roc_auc(zeros, zeros),
        evaluation.pr_auc(zeros, zeros),
        evaluation.lift(zeros, zeros),
    ]
    assert all(np.isnan(value) for value in undefined)
