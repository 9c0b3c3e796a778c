"""Drift is found where values moved and not where chance did; outcomes are measured by hand."""

import numpy as np
import pandas as pd
import pytest

from ml import monitoring
from ml.monitoring import drift, outcomes


def normal(n: int, seed: int, mean: float = 0.0) -> pd.Series:
    return pd.Series(np.random.default_rng(seed).normal(mean, 1, n))


def test_the_index_by_hand() -> None:
    """Half and half becomes nine to one: (.9-.5) ln(.9/.5) + (.1-.5) ln(.1/.5) = .8789."""
    before = monitoring.profile(pd.Series(["a", "b"] * 5000))
    assert before is not None
    found = monitoring.shift(before, pd.Series(["a"] * 9000 + ["b"] * 1000))
    assert found.psi == pytest.approx(0.8789, abs=5e-4)
    assert found.is_drifted and (found.n, found.reference_n) == (10_000, 10_000)


def test_unmoved_columns_are_rarely_called_drifted() -> None:
    """Also of 90 rows, where chance alone exceeds the usual band of .25 often."""
    found = [
        monitoring.shift(monitoring.profile(normal(90, seed)), normal(90, 1000 + seed))
        for seed in range(200)
    ]
    assert np.mean([one.psi > drift.MUCH for one in found]) > 0.1
    assert sum(one.is_drifted for one in found) <= 2


@pytest.mark.parametrize("mean", [1.0, -1.0])
def test_a_moved_column_is_found(mean: float) -> None:
    reference = monitoring.profile(normal(500, 1))
    assert monitoring.shift(reference, normal(500, 2, mean)).is_drifted


def test_values_that_go_missing_are_drift() -> None:
    column = normal(1000, 1)
    reference = monitoring.profile(column)
    assert monitoring.shift(reference, column).psi == pytest.approx(0, abs=1e-9)
    assert monitoring.shift(reference, column.where(column > 0)).is_drifted
    assert monitoring.shift(reference, pd.Series([np.nan] * 1000)).is_drifted


def test_a_new_value_is_drift() -> None:
    reference = monitoring.profile(pd.Series(["card", "cash"] * 500))
    assert monitoring.shift(reference, pd.Series(["card", "crypto"] * 500)).is_drifted


def test_a_profile_survives_json_and_any_order_of_rows() -> None:
    column = normal(1000, 3)
    profile = monitoring.profile(column)
    assert monitoring.Profile.from_json(profile.to_json()) == profile
    assert monitoring.profile(column.sample(frac=1, random_state=1)) == profile
    assert profile.n == 1000 and len(profile.counts) == drift.BINS + 1
    assert max(profile.counts) <= 101


def test_many_equal_values_make_fewer_bins() -> None:
    profile = monitoring.profile(pd.Series([0.0] * 950 + list(range(50))))
    assert sum(profile.counts) == 1000 and len(profile.counts) < drift.BINS
    constant = monitoring.profile(pd.Series([7.0] * 100))
    assert constant.counts == (100, 0)
    assert monitoring.shift(constant, pd.Series([7.0] * 100)).psi == 0


def test_nothing_of_prose_names_or_dates_is_kept() -> None:
    assert monitoring.profile(pd.Series([f"Jane Doe {i}" for i in range(100)])) is None
    assert monitoring.profile(pd.Series(pd.date_range("2024-01-01", periods=9))) is None
    assert monitoring.profile(pd.Series([], dtype=float)) is None
    assert monitoring.profile(pd.Series([None, None], dtype=object)) is None


def test_current_rows_are_compared_without_keys() -> None:
    features = pd.DataFrame(
        {
            "customer_key": ["a", "b", "a"],
            "orders": [1, 2, 9],
            "as_of_date": pd.to_datetime(["2024-01-01", "2024-01-31", "2024-01-31"]),
        }
    )
    found = drift.columns({"": features})
    assert list(found) == ["orders"] and found["orders"].tolist() == [2, 9]


def test_scores_are_compared_by_series_of_champions() -> None:
    table = pd.DataFrame(
        {
            "series": ["revenue", "orders", "orders"],
            "is_champion": [True, True, False],
            "yhat": [100.0, 3.0, 4.0],
        }
    )
    found = drift.columns({"forecasts": table})
    assert {name: column.tolist() for name, column in found.items()} == {
        "forecasts.yhat[orders]": [3.0],
        "forecasts.yhat[revenue]": [100.0],
    }


def churn_scores(n: int, seed: int, *, upside_down: bool = False) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    probability = random.uniform(0.05, 0.95, n)
    churned = random.random(n) < (1 - probability if upside_down else probability)
    return pd.DataFrame(
        {
            "horizon_days": 90,
            "churn_probability": probability,
            "recency_days": random.integers(0, 300, n),
            "is_churned": churned,
        }
    )


def by_metric(found: list[monitoring.Outcome]) -> dict[str, monitoring.Outcome]:
    return {one.metric: one for one in found}


def test_good_churn_scores_beat_the_rate_and_are_not_degraded() -> None:
    found = by_metric(monitoring.churn(churn_scores(2000, 1), 0.5))
    assert found["brier"].value < 0.2 < found["brier"].baseline
    assert found["roc_auc"].value > 0.75 and found["roc_auc"].baseline == pytest.approx(
        0.5, abs=0.05
    )
    assert found["ece"].value < 0.05
    assert not any(one.is_degraded for one in found.values())
    assert {one.horizon for one in found.values()} == {"90"}


def test_scores_upside_down_are_degraded() -> None:
    found = by_metric(monitoring.churn(churn_scores(500, 1, upside_down=True), 0.5))
    assert found["brier"].is_degraded and found["roc_auc"].value < 0.5


def test_few_customers_are_not_measured() -> None:
    assert monitoring.churn(churn_scores(outcomes.MIN_CUSTOMERS - 1, 1), 0.5) == []
    empty = pd.DataFrame(columns=["predicted", "bought_before", "actual"])
    assert monitoring.lifetime_value(empty, 365) == []


def forecast_rows(days: int, champion_error: float, baseline_error: float) -> pd.DataFrame:
    rows = []
    for is_champion, error in ((True, champion_error), (False, baseline_error)):
        for day in range(1, days + 1):
            sign = 1 if day % 2 else -1
            rows.append(("revenue", is_champion, day, 100 + sign * error, 80, 120, 70, 130, 100.0))
    columns = ["series", "is_champion", "horizon_days", "yhat", "lo80", "hi80", "lo95", "hi95"]
    return pd.DataFrame(rows, columns=[*columns, "actual"])


def test_forecasts_by_hand() -> None:
    found = {
        (one.horizon, one.metric): one for one in monitoring.forecasts(forecast_rows(90, 10, 20))
    }
    assert {horizon for horizon, _ in found} == {"1-30", "31-90"}
    assert found["1-30", "wape"].value == pytest.approx(0.1)
    assert found["1-30", "wape"].baseline == pytest.approx(0.2)
    assert found["31-90", "bias"].value == pytest.approx(0.0)
    assert found["31-90", "coverage_95"].value == 1.0
    assert (found["1-30", "mae"].n, found["31-90", "mae"].n) == (30, 60)
    assert not any(one.is_degraded for one in found.values())


def test_a_horizon_that_is_not_over_is_not_measured() -> None:
    assert {one.horizon for one in monitoring.forecasts(forecast_rows(89, 10, 20))} == {"1-30"}
    assert monitoring.forecasts(forecast_rows(29, 10, 20)) == []


def test_forecasts_worse_than_the_baseline_are_degraded() -> None:
    found = monitoring.forecasts(forecast_rows(30, 20, 10))
    assert [one.metric for one in found if one.is_degraded] == ["wape"]


def test_values_by_hand() -> None:
    n = 200
    spent = np.arange(n, dtype=float)
    scores = pd.DataFrame({"predicted": spent, "bought_before": spent * 2, "actual": spent})
    found = by_metric(monitoring.lifetime_value(scores, 365))
    assert (found["mae"].value, found["mae"].baseline) == (0.0, pytest.approx(spent.mean()))
    assert found["rank_correlation"].value == pytest.approx(1.0)
    assert found["bias"].baseline == pytest.approx(1.0)
    assert not found["mae"].is_degraded


def test_worse_by_chance_is_not_worse() -> None:
    random = np.random.default_rng(5)
    same = sum(
        outcomes.is_worse(random.normal(1, 1, 100), random.normal(1, 1, 100)) for _ in range(300)
    )
    assert same / 300 == pytest.approx(outcomes.CHANCE, abs=0.035)
    assert not outcomes.is_worse(np.array([1.0]), np.array([0.0]))
    assert outcomes.is_worse(np.full(30, 2.0), np.full(30, 1.0))
