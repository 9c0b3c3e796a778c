"""Closed days, models, backtest without leakage, champion, intervals, short histories."""

import numpy as np
import pandas as pd
import pytest

from ml import forecasting
from ml.forecasting import calendar, forecast, models
from ml.forecasting.intervals import Errors, TotalSpread


def shop(days: int, *, seed: int = 1, growth: float = 0.0, noise: float = 0.2) -> pd.DataFrame:
    """A shop with weekday and yearly seasons: date, value, activity."""
    random = np.random.default_rng(seed)
    dates = pd.date_range("2022-01-01", periods=days)
    t = np.arange(days)
    weekday = np.array([1.0, 1.0, 1.1, 1.2, 1.5, 0.7, 0.6])[dates.day_of_week]
    level = 100 * np.exp(growth * t / 365 + 0.3 * np.sin(2 * np.pi * t / 365.25))
    value = level * weekday * random.lognormal(0, noise, days)
    return pd.DataFrame({"date": dates, "value": value, "activity": np.maximum(1, value // 10)})


def series(frame: pd.DataFrame, non_negative: bool = True) -> forecasting.Series:
    return forecasting.Series.from_frame(frame, non_negative)


@pytest.fixture(scope="module")
def two_years() -> forecasting.Forecaster:
    return forecasting.fit(series(shop(760)))


# --- closed days -----------------------------------------------------------------------------


def english_shop() -> tuple[pd.DatetimeIndex, np.ndarray]:
    """Closed on Saturdays, English bank holidays, and from 24 December to 2 January."""
    dates = pd.date_range("2022-01-03", "2023-12-15")
    orders = np.full(len(dates), 20.0)
    bank_holidays = pd.DatetimeIndex(
        """2022-01-03 2022-04-15 2022-04-18 2022-05-02 2022-06-02 2022-06-03 2022-08-29 2022-09-19
        2023-04-07 2023-04-10 2023-05-01 2023-05-08 2023-05-29 2023-08-28""".split()  # noqa: SIM905
    )
    year_end = pd.date_range("2022-12-24", "2023-01-02")
    orders[(dates.day_of_week == 5) | dates.isin(bank_holidays) | dates.isin(year_end)] = 0
    return dates, orders


def test_closed_days_of_next_year_are_foreseen():
    rules = calendar.learn(*english_shop())
    assert rules.weekdays == {5}
    assert rules.country == ("GB", "ENG")
    future = pd.date_range("2023-12-16", "2024-06-01")
    expected = [
        # 24 December fell on a closed Saturday in the history: nothing is known of it
        *pd.date_range("2023-12-25", "2024-01-01"),
        *pd.to_datetime(["2024-03-29", "2024-04-01", "2024-05-06", "2024-05-27"]),
    ]
    closed = future[rules.closed(future)]
    assert set(expected) <= set(closed)
    extra = closed[(closed.day_of_week != 5) & ~closed.isin(expected)]
    # 2 January 2023 was closed as a bank holiday and may be taken as part of the year's end
    assert set(extra) <= set(pd.to_datetime(["2024-01-02"]))


def test_a_shop_that_never_closes_has_no_rules():
    dates = pd.date_range("2022-01-01", periods=500)
    assert calendar.learn(dates, np.full(500, 3.0)) == calendar.ClosedDays()


def test_days_without_orders_of_a_tiny_shop_are_chance():
    random = np.random.default_rng(0)
    dates = pd.date_range("2022-01-01", periods=500)
    rules = calendar.learn(dates, random.poisson(0.3, 500).astype(float))
    assert rules == calendar.ClosedDays()


def test_one_outage_is_no_holiday():
    dates = pd.date_range("2022-01-01", periods=500)
    orders = np.full(500, 10.0)
    orders[[200, 201, 202]] = 0
    assert not calendar.learn(dates, orders).closed(pd.date_range("2023-05-16", periods=365)).any()


# --- models ----------------------------------------------------------------------------------


def test_every_model_learns_a_weekly_pattern_and_keeps_closed_days_at_zero():
    frame = shop(500, noise=0.01)
    history, _ = series(frame).history()
    future = pd.date_range(history.dates[-1] + pd.Timedelta(days=1), periods=28)
    closed = np.asarray(future.day_of_week == 2)
    table = models.forecast_all(history, future, closed)
    assert (table[closed] == 0).all().all()
    fridays = table[future.day_of_week == 4].mean()
    sundays = table[future.day_of_week == 6].mean()
    assert (fridays > 1.8 * sundays).all(), fridays / sundays


def test_a_logarithmic_fit_forecasts_the_mean_not_the_median():
    random = np.random.default_rng(3)
    dates = pd.date_range("2021-01-01", periods=1400)
    values = 100 * random.lognormal(0, 0.8, len(dates))
    history = models.History(dates, values, np.zeros(len(dates), bool))
    future = pd.date_range(dates[-1] + pd.Timedelta(days=1), periods=364)
    recent = values[-364:].mean()
    assert models.ridge(history, future).mean() == pytest.approx(recent, rel=0.06)
    assert recent > 1.2 * np.median(values[-364:])  # the median would fail this test


def test_last_year_reads_the_year_before():
    frame = shop(800, noise=0.0)
    frame.loc[frame.index[800 - 364 : 800 - 364 + 30], "value"] *= 3  # a campaign a year ago
    history, _ = series(frame).history()
    future = pd.date_range(history.dates[-1] + pd.Timedelta(days=1), periods=120)
    ahead = models.last_year(history, future)
    assert ahead[7:22].mean() > 2 * ahead[60:75].mean()


def test_trends_fade():
    steps = np.diff(models.damped_days(np.arange(0, 3000)))
    assert models.damped_days(np.array([-5.0, 0.0])).tolist() == [-5.0, 0.0]
    assert (np.diff(steps) < 0).all()
    assert models.damped_days(np.array([1e6]))[0] < 260


# --- backtest --------------------------------------------------------------------------------


def test_the_future_changes_no_forecast_of_the_past():
    frame = shop(500)
    poisoned = frame.copy()
    origin = poisoned["date"].iloc[430]
    after = poisoned["date"] > origin
    poisoned.loc[after, "value"] = 1e6
    poisoned.loc[after & (poisoned["date"].dt.day_of_week == 2), ["value", "activity"]] = 0.0
    clean, dirty = (
        forecast.run_backtest(series(f), [f["date"].iloc[400], origin]) for f in (frame, poisoned)
    )
    assert (clean["actual"] != dirty["actual"]).any()  # the poison is there
    known = clean["target_date"] > origin
    assert known.any()
    columns = ["origin", "target_date", "model", "forecast", "closed", "level"]
    pd.testing.assert_frame_equal(clean[columns], dirty[columns])


def test_a_backtest_interval_uses_only_errors_known_at_its_origin(two_years):
    backtest = two_years.backtest
    origins = sorted(backtest["origin"].unique())
    at = origins[len(origins) // 2]
    later = backtest["target_date"] > at
    poisoned = backtest.copy()
    poisoned.loc[later & (poisoned["origin"] < at), "actual"] *= 50
    measured = [forecast.conformal_backtest(b, "prophet", True) for b in (backtest, poisoned)]
    before, after = (rows[rows["origin"] == at] for rows in measured)
    assert len(before)
    pd.testing.assert_frame_equal(before, after)


def test_origins_have_a_year_behind_them_and_a_month_before_them():
    dates = pd.date_range("2020-01-01", periods=1200)
    chosen = forecast.origins(dates)
    assert len(chosen) == forecast.ORIGINS
    assert chosen[0] >= dates[364]
    assert chosen[-1] == dates[-1] - pd.Timedelta(days=30)


# --- champion --------------------------------------------------------------------------------


def backtest_of(errors: dict[str, list[float]]) -> pd.DataFrame:
    actual = [100.0, 100.0, 100.0, 100.0]
    return pd.concat(
        pd.DataFrame(
            {
                "origin": pd.Timestamp("2024-01-01"),
                "days_ahead": [1, 2, 3, 400],
                "model": model,
                "actual": actual,
                "forecast": np.add(actual, error),
            }
        )
        for model, error in errors.items()
    )


def test_the_champion_has_the_least_error_within_90_days():
    errors = {
        "seasonal_naive": [20, -20, 20, 0],
        "prophet": [5, -5, 5, 90],  # poor only beyond the 90 days
        "ridge": [9, -9, 9, 0],
    }
    assert forecast.choose_champion(backtest_of(errors)) == "prophet"


def test_the_year_has_a_champion_of_its_own(two_years):
    """The best of the next weeks may be poor over a year: its totals decide, not its days."""
    backtest = two_years.backtest.copy()
    poor = (backtest["model"] == two_years.champion) & (backtest["days_ahead"] > 90)
    assert poor.any()
    right = backtest["model"] == "last_year"
    backtest.loc[poor, "forecast"] *= 5
    backtest.loc[right, "forecast"] = backtest.loc[right, "actual"]
    changed = forecast.Forecaster(two_years.series, backtest, two_years.champion)
    assert forecast.choose_year_champion(changed) == "last_year"


def test_a_tie_goes_to_the_steadier_model():
    errors = {
        "seasonal_naive": [20, -20, 20, 0],
        "prophet": [14.9, 0, 0, 0],
        "ridge": [5, -5, 5, 0],
    }
    assert forecast.choose_champion(backtest_of(errors)) == "ridge"


def test_what_does_not_beat_the_baseline_is_never_champion():
    errors = {"seasonal_naive": [5, 5, 5, 0], "prophet": [5, 5, 5, 0], "ridge": [6, 6, 6, 0]}
    assert forecast.choose_champion(backtest_of(errors)) == models.BASELINE


def test_a_seasonal_shop_is_not_left_to_the_baseline(two_years):
    assert two_years.champion != models.BASELINE
    measured = forecasting.evaluate(two_years).query("horizon == '1-90' and metric == 'wape'")
    wape = measured.set_index("model")["value"]
    assert wape[two_years.champion] < 0.85 * wape[models.BASELINE]


# --- intervals -------------------------------------------------------------------------------


@pytest.mark.parametrize("confidence", [0.80, 0.95])
def test_conformal_intervals_cover_what_they_promise(confidence):
    random = np.random.default_rng(5)
    known = np.full(2000, 100.0)
    errors = Errors.of(known * random.lognormal(0.1, 0.5, 2000), known, known, logarithm=True)
    fresh = known * random.lognormal(0.1, 0.5, 2000)
    lower, upper = errors.bounds(known, 100.0, confidence)
    assert np.mean((fresh >= lower) & (fresh <= upper)) == pytest.approx(confidence, abs=0.03)
    assert upper[0] - 100 > 100 - lower[0]  # skewed as sales are


def test_backtest_coverage_is_near_its_level(two_years):
    measured = forecasting.evaluate(two_years)
    champion = measured[measured["model"] == two_years.champion].set_index("metric")["value"]
    assert champion["coverage_80"] == pytest.approx(0.80, abs=0.08)
    assert champion["coverage_95"] == pytest.approx(0.95, abs=0.05)


def test_signed_series_get_additive_bounds_and_may_be_negative():
    frame = shop(420)
    frame["value"] -= 90
    model = forecasting.fit(series(frame, non_negative=False))
    table = forecasting.predict(model)
    days = table[table["is_champion"] & (table["grain"] == "day")]
    assert (days["lo95"] < 0).any()
    assert (days["lo95"] <= days["lo80"]).all() and (days["hi80"] <= days["hi95"]).all()


def test_a_longer_total_is_less_certain():
    spread = TotalSpread(scale=0.1, count=6, window=90, logarithm=True)
    short, long = spread.bounds(100.0, 90, 0.8), spread.bounds(100.0, 360, 0.8)
    assert long[0] < short[0] < 100 < short[1] < long[1]
    assert np.log(long[1] / 100) == pytest.approx(2 * np.log(short[1] / 100))


# --- the whole -------------------------------------------------------------------------------


def test_forecast_table(two_years):
    table = forecasting.predict(two_years)
    days = table[table["grain"] == "day"]
    assert set(days["model"]) == {two_years.champion, models.BASELINE}
    assert table.groupby("grain")["is_champion"].sum().to_dict() == {"day": 90, "year": 1}
    assert days.groupby("model").size().tolist() == [90, 90]
    assert (table[["yhat", "lo80", "hi80", "lo95", "hi95"]] >= 0).all().all()
    for low, high in (("lo95", "lo80"), ("lo80", "yhat"), ("yhat", "hi80"), ("hi80", "hi95")):
        assert (table[low] <= table[high]).all()
    year = table[(table["grain"] == "year") & table["is_champion"]].iloc[0]
    last_year = two_years.series.values[-365:].sum()
    assert year["yhat"] == pytest.approx(last_year, rel=0.15)
    assert year["lo80"] < last_year < year["hi80"]


def test_rows_in_any_order_give_the_same_forecast():
    frame = shop(400)
    tables = [
        forecasting.predict(forecasting.fit(series(f)))
        for f in (frame, frame.sample(frac=1, random_state=2))
    ]
    pd.testing.assert_frame_equal(*tables, check_exact=True)


def test_missing_days_are_days_without_sales_and_doubles_are_refused():
    frame = shop(30)
    assert series(frame.drop(index=[5, 6])).values[[5, 6]].tolist() == [0.0, 0.0]
    with pytest.raises(ValueError, match="twice"):
        series(pd.concat([frame, frame.head(1)]))


@pytest.mark.parametrize("days", [0, 1, 13])
def test_too_little_history_is_said(days):
    with pytest.raises(forecasting.TooLittleDataError, match="day"):
        forecasting.fit(series(shop(days)))


def test_a_month_of_history_gets_a_level_and_no_interval():
    model = forecasting.fit(series(shop(30)))
    table = forecasting.predict(model)
    assert model.champion == "recent_level" and "30 days of history" in model.note
    assert table["lo80"].isna().all() and (table["yhat"] > 0).all()
    assert forecasting.evaluate(model).empty


@pytest.mark.parametrize("days", [60, 100, 250])
def test_under_a_year_of_history_has_no_year_forecast(days):
    model = forecasting.fit(series(shop(days)))
    table = forecasting.predict(model)
    assert "no yearly season" in model.note
    assert set(table["grain"]) == {"day"} and np.isfinite(table["yhat"]).all()


@pytest.mark.parametrize("value", [0.0, 7.0])
def test_a_constant_series(value):
    frame = shop(120).assign(value=value, activity=1.0)
    if value == 0:
        with pytest.raises(forecasting.TooLittleDataError):
            forecasting.fit(series(frame))
    else:
        table = forecasting.predict(forecasting.fit(series(frame)))
        assert table["yhat"].to_numpy() == pytest.approx(value)
