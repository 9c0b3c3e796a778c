"""Closed days, models, backtest without leakage, champion, intervals, short histories."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from ml import asof, forecasting
from ml.forecasting import backtest, calendar, champion, forecast, intervals, models, statespace
from ml.forecasting.intervals import TotalSpread


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
    history, _ = series(frame).history(frame["date"].max())
    future = pd.date_range(history.dates[-1] + pd.Timedelta(days=1), periods=28)
    closed = np.asarray(future.day_of_week == 2)
    table = models.forecast_all(history, future, closed)
    assert list(table) == list(models.ALL)
    assert (table[closed] == 0).all().all()
    fridays = table[future.day_of_week == 4].mean()
    sundays = table[future.day_of_week == 6].mean()
    assert (fridays > 1.8 * sundays).all(), fridays / sundays


@pytest.mark.parametrize("name", models.ALL)
def test_every_model_is_near_what_a_plain_shop_does_next(name):
    """A flat shop with a weekly pattern and little noise: nothing to be wrong about by much."""
    frame = shop(420, noise=0.05)
    frame["value"] /= np.exp(0.3 * np.sin(2 * np.pi * np.arange(420) / 365.25))
    known, ahead = frame.head(392), frame.tail(28)
    history, _ = series(known).history(known["date"].max())
    dates = pd.DatetimeIndex(ahead["date"])
    forecast_of = models.forecast_all(history, dates, np.zeros(28, bool), [name])[name].to_numpy()
    actual = ahead["value"].to_numpy()
    assert np.abs(forecast_of - actual).sum() / actual.sum() < 0.12


@pytest.mark.parametrize("name", models.RACED)
def test_dear_models_say_nothing_of_a_fortnight(name):
    frame = shop(15)
    history, _ = series(frame).history(frame["date"].max())
    future = pd.date_range(history.dates[-1] + pd.Timedelta(days=1), periods=7)
    assert models.BASE_MODELS[name](history, future) is None


def test_a_shop_shut_on_saturdays_has_a_week_of_six_days():
    frame = shop(140)
    frame.loc[frame["date"].dt.day_of_week == 5, ["value", "activity"]] = 0.0
    frame.loc[frame.index[100], ["value", "activity"]] = 0.0  # a holiday is a gap
    history, _ = series(frame).history(frame["date"].max())
    week = statespace.OpenWeek.of(history)
    assert week.season == 6 and not (week.days.day_of_week == 5).any()
    assert np.isnan(week.values).sum() == 1 and np.isfinite(week.filled()).all()
    future = pd.date_range(week.days[-1] + pd.Timedelta(days=1), periods=14)
    steps = week.position(future)[future.day_of_week != 5]
    assert steps.tolist() == list(range(12))


def test_a_logarithmic_fit_forecasts_the_mean_not_the_median():
    random = np.random.default_rng(3)
    dates = pd.date_range("2021-01-01", periods=1400)
    values = 100 * random.lognormal(0, 0.8, len(dates))
    history = models.History(dates, values, np.zeros(len(dates), bool))
    future = pd.date_range(dates[-1] + pd.Timedelta(days=1), periods=364)
    recent = values[-364:].mean()
    assert models.ridge(history, future).mean() == pytest.approx(recent, rel=0.06)
    assert recent > 1.2 * np.median(values[-364:])  # the median would fail this test


def test_prophets_components_are_those_of_its_own_predict():
    from prophet import Prophet

    frame = shop(420)
    known = pd.DataFrame({"ds": frame["date"], "y": np.log(frame["value"])})
    fitted = Prophet(yearly_seasonality=3, weekly_seasonality=True, uncertainty_samples=0)
    fitted.fit(known)
    dates = pd.Series(pd.date_range("2022-01-01", periods=800))
    expected = fitted.predict(pd.DataFrame({"ds": dates}))
    trend, seasons = models.prophet_components(fitted, dates)
    np.testing.assert_allclose(trend, expected["trend"], rtol=1e-9)
    np.testing.assert_allclose(trend + seasons, expected["yhat"], rtol=1e-9)


def test_last_year_reads_the_year_before():
    frame = shop(800, noise=0.0)
    frame.loc[frame.index[800 - 364 : 800 - 364 + 30], "value"] *= 3  # a campaign a year ago
    history, _ = series(frame).history(frame["date"].max())
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
        backtest.run(series(f), [f["date"].iloc[400], origin]) for f in (frame, poisoned)
    )
    assert (clean["actual"] != dirty["actual"]).any()  # the poison is there
    known = clean["target_date"] > origin
    assert known.any() and set(clean["model"]) == set(models.ALL)
    columns = ["origin", "target_date", "model", "forecast", "closed", "level"]
    pd.testing.assert_frame_equal(clean[columns], dirty[columns])


def test_a_day_of_which_the_value_is_unknown_is_no_error_of_a_forecast():
    frame = shop(500)
    origin = frame["date"].iloc[430]
    unknown = frame["date"].iloc[[440, 455]]
    holes = frame.assign(value=frame["value"].where(~frame["date"].isin(unknown)))
    full, found = (
        backtest.from_origin(series(f), origin, {models.BASELINE}, models.forecast_all)
        for f in (frame, holes)
    )
    wanted = full[~full["target_date"].isin(unknown)].reset_index(drop=True)
    assert len(wanted) == len(full) - 2
    pd.testing.assert_frame_equal(found, wanted)


# --- what sells on some days only, and models that fail --------------------------------------


@pytest.mark.parametrize(("early", "late"), [(0.3, 1.0), (1.0, 0.3)])
def test_how_often_a_shop_sells_of_late_counts(early: float, late: float):
    """It sold on three days of ten in its first year and on all in the second, or the reverse."""
    random = np.random.default_rng(4)
    dates = pd.date_range("2022-01-01", periods=728)
    share = np.where(np.arange(728) < 364, early, late)
    values = np.where(random.random(728) < share, 100.0, 0.0)
    frame = pd.DataFrame({"date": dates, "value": values, "activity": 1.0})
    history, _ = series(frame).history(dates[-1])
    future = pd.date_range(dates[-1] + pd.Timedelta(days=1), periods=28)
    names = ["recent_level", "ridge", "prophet"]
    expected = models.forecast_all(history, future, np.zeros(28, bool), names).mean()
    assert expected.to_numpy() == pytest.approx(np.full(3, 100 * late), rel=0.15)


def failing(after: pd.Timestamp | None = None) -> Callable[..., np.ndarray]:
    """A model that fails, of histories beyond a day if one is given."""

    def model(history: models.History, future: pd.DatetimeIndex) -> np.ndarray:
        if after is None or history.dates[-1] > after:
            raise np.linalg.LinAlgError("Singular matrix")
        return models.ridge(history, future)

    return model


def test_a_model_that_fails_leaves_the_others(monkeypatch):
    monkeypatch.setattr(models, "BASE_MODELS", {**models.BASE_MODELS, "prophet": failing()})
    found = forecasting.fit(series(shop(200)))
    assert "prophet failed and is left out (LinAlgError: Singular matrix)" in found.note
    measured = set(forecasting.evaluate(found)["model"])
    assert {"ridge", "linear_regression"} <= measured and not measured & {"prophet", "ensemble"}
    assert np.isfinite(forecasting.predict(found)["yhat"]).all()


def test_a_champion_that_fails_today_is_replaced(monkeypatch):
    known = series(shop(200))
    whole = forecasting.fit(known)
    assert whole.champion != models.BASELINE
    one = models.ENSEMBLES.get(whole.champion, (whole.champion,))[0]
    yesterday = known.dates[-1] - pd.Timedelta(days=1)
    monkeypatch.setattr(models, "BASE_MODELS", {**models.BASE_MODELS, one: failing(yesterday)})
    found = forecasting.fit(known)
    assert found.champion != whole.champion and f"{one} failed" in found.note
    table = forecasting.predict(found)
    assert set(table.loc[table["is_champion"], "model"]) == {found.champion}
    assert np.isfinite(table["yhat"]).all()


def test_a_series_that_knows_the_day_after_is_refused():
    frame = shop(100)
    with pytest.raises(asof.LeakError, match="date: 1 of 100 rows"):
        series(frame).history(frame["date"].iloc[-2])


def test_a_backtest_interval_uses_only_errors_known_at_its_origin(two_years):
    rows = two_years.backtest
    origins = sorted(rows["origin"].unique())
    at = origins[len(origins) // 2]
    later = rows["target_date"] > at
    poisoned = rows.copy()
    poisoned.loc[later & (poisoned["origin"] < at), "actual"] *= 50
    walked = [
        forecast.Forecaster(two_years.series, b, "prophet", "prophet", two_years.ahead).walked(
            "prophet"
        )[0]
        for b in (rows, poisoned)
    ]
    before, after = (w[w["origin"] == at] for w in walked)
    assert len(before) and before["lo80"].notna().all()
    pd.testing.assert_frame_equal(before, after)


def test_a_backtest_interval_knows_no_day_after_its_origin(two_years):
    """Neither from the scatter of the last year's days."""
    origins = sorted(two_years.backtest["origin"].unique())
    at = origins[len(origins) // 2]
    known = two_years.series
    wild = known.values * np.where(known.dates > at, np.arange(len(known.values)) % 5, 1)
    walked = [
        forecast.Forecaster(s, two_years.backtest, "prophet", "prophet", two_years.ahead).walked(
            "prophet"
        )[0]
        for s in (known, replace(known, values=wild))
    ]
    before, after = (w[w["origin"] <= at] for w in walked)
    pd.testing.assert_frame_equal(before, after)
    assert not walked[0].equals(walked[1])


def test_origins_have_a_year_behind_them_and_a_month_before_them():
    dates = pd.date_range("2020-01-01", periods=1200)
    chosen = backtest.origins(dates)
    assert 12 <= len(chosen) <= backtest.MAX_ORIGINS
    assert chosen[0] >= dates[364]
    assert chosen[-1] <= dates[-1] - pd.Timedelta(days=30)


def test_tomorrow_has_todays_origins():
    today, tomorrow = (backtest.origins(pd.date_range("2020-01-01", periods=n)) for n in (700, 701))
    assert set(today) <= set(tomorrow) and len(tomorrow) - len(today) <= 1


@pytest.mark.parametrize("days", [60, 61, 75, 200, 364, 365, 394, 395, 440, 500, 2500])
def test_every_history_has_origins_with_days_after_them(days):
    dates = pd.date_range("2020-01-01", periods=days)
    chosen = backtest.origins(dates)
    assert chosen and dates[13] <= chosen[0] and chosen[-1] <= dates[-1] - pd.Timedelta(days=14)


def test_a_model_clearly_behind_is_raced_out_and_says_on_how_many_origins(two_years):
    """A shop ruled by its yearly season: what doesn't know it is dropped early."""
    seen = two_years.backtest.groupby("model")["origin"].nunique()
    assert seen["sarima"] in backtest.HEATS
    assert seen["ensemble"] == two_years.backtest["origin"].nunique() > max(backtest.HEATS)
    measured = forecasting.evaluate(two_years).set_index(["model", "metric"])
    told = measured[measured["horizon"] == "1-90"]["value"]
    assert told["sarima", "is_raced_out"] == 1 and told["sarima", "origins"] == seen["sarima"]
    assert told["ensemble", "is_raced_out"] == 0
    assert two_years.champion not in set(seen.index[seen < seen.max()])


def test_who_is_not_clearly_behind_stays_in_the_race():
    rows = backtest_of({"seasonal_naive": [20] * 4, "ridge": [10] * 4, "ets": [10.4] * 4})
    assert backtest.behind(rows, set(models.ALL)) == set(models.RACED) - {"ets"}
    rows = backtest_of({"seasonal_naive": [20] * 4, "ridge": [10] * 4, "ets": [10.6] * 4})
    assert "ets" in backtest.behind(rows, set(models.ALL))
    assert "ridge" not in backtest.behind(rows, set(models.ALL))  # cheap ones are never dropped


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


def many(errors: dict[str, list[float]]) -> pd.DataFrame:
    """One error per origin and model, 15 days apart, on an actual of 100."""
    count = len(next(iter(errors.values())))
    origins = pd.date_range("2024-01-01", periods=count, freq="15D")
    return pd.concat(
        pd.DataFrame(
            {
                "origin": origins,
                "days_ahead": 1,
                "model": model,
                "actual": 100.0,
                "forecast": np.add(100.0, error),
                "is_mature": True,
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
    assert champion.choose(backtest_of(errors)) == "prophet"


def test_a_sure_lead_takes_the_place_of_the_default():
    rows = many({"seasonal_naive": [30] * 12, "ensemble": [20, 21] * 6, "theta": [10, 11] * 6})
    assert champion.choose(rows, is_mature=True) == "theta"


def test_a_lead_by_luck_does_not():
    lucky = [0.0, 40.0] * 6  # less on average, by far less on half of the origins only
    rows = many({"seasonal_naive": [30] * 12, "ensemble": [21.0] * 12, "theta": lucky})
    assert champion.choose(rows, is_mature=True) == "ensemble"


def test_nothing_is_chosen_on_a_few_origins():
    few = {"seasonal_naive": [30] * 5, "ensemble": [20] * 5, "theta": [10] * 5}
    assert champion.choose(many(few), is_mature=True) == "ensemble"


def test_a_year_old_shop_is_not_judged_by_origins_without_a_year():
    """There the level of the last weeks won, since nothing else was known."""
    errors = {"seasonal_naive": [30] * 12, "ensemble": [20] * 12, "recent_level": [5] * 12}
    young = many(errors).assign(is_mature=False)
    assert champion.choose(young, is_mature=True) == "ensemble"
    assert champion.choose(young, is_mature=False) == "recent_level"


def test_what_was_raced_out_is_never_champion():
    rows = many({"seasonal_naive": [30] * 12, "ensemble": [20] * 12, "ets": [1] * 12})
    half = rows[(rows["model"] != "ets") | (rows["origin"] < "2024-03-01")]
    assert champion.choose(half, is_mature=True) == "ensemble"


def test_far_days_have_a_champion_of_their_own(two_years):
    """The best of the next weeks may be poor over a year: its totals decide, not its days."""
    rows = two_years.backtest.copy()
    far = rows["days_ahead"] > 90
    rows.loc[far & (rows["model"] != "last_year"), "forecast"] *= 5
    right = far & (rows["model"] == "last_year")
    rows.loc[right, "forecast"] = rows.loc[right, "actual"]
    assert champion.choose_far(rows, two_years.champion, non_negative=True) == "last_year"
    near_only = rows[~far]
    assert champion.choose_far(near_only, "ensemble", non_negative=True) == "ensemble"


def test_a_tie_goes_to_the_steadier_model():
    errors = {
        "seasonal_naive": [20, -20, 20, 0],
        "prophet": [14.9, 0, 0, 0],
        "ridge": [5, -5, 5, 0],
    }
    assert champion.choose(backtest_of(errors)) == "ridge"


def test_what_does_not_beat_the_baseline_is_never_champion():
    errors = {"seasonal_naive": [5, 5, 5, 0], "prophet": [5, 5, 5, 0], "ridge": [6, 6, 6, 0]}
    assert champion.choose(backtest_of(errors)) == models.BASELINE
    errors["ensemble"] = [5.1, 5, 5, 0]
    assert champion.choose(backtest_of(errors)) == models.BASELINE


def test_noise_without_pattern_is_forecast_by_nobody_much_better_than_by_its_mean():
    """Shuffled days: no champion finds a pattern where there is none."""
    frame = shop(500, noise=0.3)
    frame["value"] = np.random.default_rng(8).permutation(frame["value"].to_numpy())
    known, ahead = frame.head(440), frame.tail(60)
    model = forecasting.fit(series(known))
    table = forecasting.predict(model)
    days = table[table["is_champion"] & (table["grain"] == "day")]["yhat"].to_numpy()[:60]
    actual, mean = ahead["value"].to_numpy(), known["value"].mean()
    assert np.abs(days - actual).sum() > 0.93 * np.abs(mean - actual).sum()


def test_growth_is_followed_where_the_shop_grew():
    grown = forecasting.fit(series(shop(900, growth=0.5)))
    scores = backtest.wapes(backtest.finished(grown.backtest))
    assert scores["ensemble_with_growth"] < scores["ensemble"]
    assert scores[grown.champion] <= scores["ensemble_with_growth"] + champion.WAPE_TIE


def test_a_seasonal_shop_is_not_left_to_the_baseline(two_years):
    assert two_years.champion != models.BASELINE
    measured = forecasting.evaluate(two_years).query("horizon == '1-90' and metric == 'wape'")
    wape = measured.set_index("model")["value"]
    assert wape[two_years.champion] < 0.85 * wape[models.BASELINE]


# --- intervals -------------------------------------------------------------------------------


def errors_of(values: np.ndarray, days: int = 50) -> pd.DataFrame:
    """Errors in time's order, `days` to an origin."""
    n = len(values)
    origin = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(n) // days * 90, "D")
    ahead = np.arange(n) % days + 1
    return pd.DataFrame(
        {
            "origin": origin,
            "target_date": origin + pd.to_timedelta(ahead, "D"),
            "days_ahead": ahead,
            "error": values,
            "rank": np.nan,
            "is_mature": True,
        }
    )


NOTHING_USUAL = pd.Series(dtype=float, index=pd.DatetimeIndex([]))


def learn(errors: pd.DataFrame, usual: pd.Series = NOTHING_USUAL) -> intervals.Intervals:
    return intervals.Intervals.learn(errors, usual, intervals.Scale(logarithm=True))


def dates_ahead(ahead: Sequence[int] | np.ndarray) -> pd.DatetimeIndex:
    """The days so many days ahead of a Monday."""
    return pd.DatetimeIndex(pd.Timestamp("2024-01-01") + pd.to_timedelta(ahead, "D"))


@pytest.mark.parametrize("confidence", [0.80, 0.95])
def test_conformal_intervals_cover_what_they_promise(confidence):
    """Also where days of one origin err together, in a direction that nobody foresees."""
    random = np.random.default_rng(5)

    def errors(origins: int) -> np.ndarray:
        shift = np.repeat(random.normal(0, 0.3, origins), 50)
        return shift + np.log(random.gamma(4, 0.25, origins * 50))  # days are skewed downwards

    learned = learn(errors_of(errors(60)))
    fresh = 100 * np.exp(errors(60))
    ahead = np.arange(len(fresh)) % 50 + 1
    lower, upper = learned.bounds(
        dates_ahead(ahead), ahead, np.full(len(fresh), 100.0), 100.0, confidence
    )
    assert np.mean((fresh >= lower) & (fresh <= upper)) == pytest.approx(confidence, abs=0.03)


def test_days_of_an_unsteady_weekday_have_intervals_of_their_own():
    random = np.random.default_rng(8)

    def errors(known: pd.DataFrame) -> np.ndarray:
        is_sunday = known["target_date"].dt.weekday == 6
        return random.normal(0, 1, len(known)) * np.where(is_sunday, 0.5, 0.1)

    known = errors_of(np.zeros(6000))
    learned = learn(known.assign(error=errors(known)))
    dates, ahead = pd.DatetimeIndex(known["target_date"]), known["days_ahead"].to_numpy()
    lower, upper = learned.bounds(dates, ahead, np.full(len(known), 100.0), 100.0, 0.8)
    came = 100 * np.exp(errors(known))
    inside = pd.Series((came >= lower) & (came <= upper)).groupby(dates.weekday).mean()
    assert inside[6] == pytest.approx(0.8, abs=0.06)
    assert inside[:6].to_list() == pytest.approx([0.8] * 6, abs=0.06)


def test_one_bad_quarter_does_not_tilt_the_interval():
    """All days of the three origins known fell short: the next may as well be above."""
    random = np.random.default_rng(2)
    errors = random.normal(0, 0.1, 150) - 0.3
    learned = learn(errors_of(errors))
    lower, upper = learned.bounds(dates_ahead([5]), np.array([5]), np.array([100.0]), 100.0, 0.8)
    assert lower[0] < 75 and upper[0] > 125
    assert np.log(upper[0] / 100) == pytest.approx(-np.log(lower[0] / 100), abs=0.08)


def test_days_far_ahead_have_errors_of_their_own():
    random = np.random.default_rng(4)
    ahead = np.tile(np.arange(1, 91), 40)
    errors = errors_of(random.normal(0, 1, len(ahead)) * np.where(ahead <= 30, 0.1, 0.4), 90)
    errors["days_ahead"] = ahead
    learned = learn(errors)
    lower, upper = learned.bounds(
        dates_ahead([10, 60]), np.array([10, 60]), np.full(2, 100.0), 100.0, 0.8
    )
    assert (upper - lower)[1] > 3 * (upper - lower)[0]


def test_intervals_that_were_too_wide_are_narrowed():
    values = np.random.default_rng(6).normal(0, 0.2, 3000)
    errors = errors_of(values)
    plain = learn(errors)
    errors["rank"] = 0.5 + np.linspace(-0.2, 0.2, len(values))  # all days came near the middle
    taught = learn(errors)
    at = dates_ahead([5]), np.array([5]), np.array([100.0]), 100.0, 0.8
    widths = [upper[0] - lower[0] for lower, upper in (plain.bounds(*at), taught.bounds(*at))]
    assert widths[1] < 0.6 * widths[0]


def test_a_day_moves_the_level_by_its_share_outside_however_many_origins_forecast_it():
    seen = errors_of(np.zeros(2), days=1).assign(rank=[0.99, 0.5])  # the first fell outside of 95 %
    step = intervals.ADAPTATION
    plain = learn(pd.concat([errors_of(np.zeros(50)), seen])).levels[1, 30]
    assert plain[0.80] == pytest.approx(0.80 + step * (0.8 - 0.2))
    assert plain[0.95] == pytest.approx(0.95 + step * (0.95 - 0.05))
    again = seen.assign(origin=seen["origin"] - pd.Timedelta(days=1))
    twice = learn(pd.concat([errors_of(np.zeros(50)), seen, again])).levels[1, 30]
    assert twice == pytest.approx(plain)


def test_the_higher_confidence_never_gets_the_narrower_interval():
    random = np.random.default_rng(9)
    for _ in range(30):
        edge = random.uniform(0.8, 1)
        ranks = random.choice([0.5, (1 + edge) / 2], 400, p=[0.6, 0.4])
        levels = learn(errors_of(np.zeros(400)).assign(rank=ranks)).levels[1, 30]
        assert levels[0.80] <= levels[0.95]


def test_days_that_no_origin_forecast_tell_how_far_days_scatter():
    """Two wild months behind the origins, and a calm year around them."""
    random = np.random.default_rng(10)
    wild = errors_of(random.normal(0, 0.4, 50))
    dates = pd.date_range("2023-02-20", "2024-02-20")
    is_wild = dates.isin(wild["target_date"])
    calm = pd.Series(random.normal(0, 1, len(dates)) * np.where(is_wild, 0.4, 0.1), index=dates)
    at = dates_ahead([5]), np.array([5]), np.array([100.0]), 100.0, 0.8
    widths = [
        upper[0] - lower[0]
        for lower, upper in (learn(wild).bounds(*at), learn(wild, calm).bounds(*at))
    ]
    assert widths[1] < 0.5 * widths[0]


def test_days_are_scaled_to_the_distance_that_days_ahead_had():
    """Around their origin's median days scatter farther than around their neighbours."""
    random = np.random.default_rng(11)
    errors = errors_of(random.normal(0, 0.2, 200))
    dates = pd.date_range("2023-06-01", "2024-12-31")
    near = pd.Series(random.normal(0, 0.1, len(dates)), index=dates)
    at = dates_ahead([5]), np.array([5]), np.array([100.0]), 100.0, 0.8
    alone, both = learn(errors).bounds(*at), learn(errors, near).bounds(*at)
    assert both[1][0] - both[0][0] == pytest.approx(alone[1][0] - alone[0][0], rel=0.15)


@pytest.mark.parametrize("non_negative", [True, False])
def test_distances_are_noise_without_weekday_and_season(non_negative):
    noise = series(shop(500, noise=0.1), non_negative)
    history, _ = noise.history(noise.dates[-1])
    found = intervals.distances(history, noise.level)
    assert len(found) == 364 and found.index[-1] == noise.dates[-1]
    assert found.std() == pytest.approx(0.1, abs=0.03)
    assert found.median() == pytest.approx(0, abs=1e-9)
    assert found.groupby(found.index.day_of_week).mean().abs().max() < 0.05
    assert intervals.distances(history.until(noise.dates[10]), noise.level).empty


def test_distances_know_a_day_that_sold_nothing_and_no_closed_day():
    dates = pd.date_range("2024-01-01", periods=300)
    values = np.where(np.arange(300) % 50 == 7, 0.0, 20.0)
    closed = dates.day_of_week == 6
    history = models.History(dates, np.where(closed, 0.0, values), np.asarray(closed))
    found = intervals.distances(history, 20.0)
    assert not found.index.day_of_week.isin([6]).any()
    assert (found[values[dates.isin(found.index)] == 0] == intervals.FLOOR).all()


def test_young_origins_teach_only_while_there_are_no_others():
    random = np.random.default_rng(7)
    young = errors_of(random.normal(0, 2.0, 200)).assign(is_mature=False)
    grown = errors_of(random.normal(0, 0.1, 200))
    at = dates_ahead([5]), np.array([5]), np.array([100.0]), 100.0, 0.8
    alone = learn(young).bounds(*at)
    both = learn(pd.concat([young, grown])).bounds(*at)
    assert alone[1][0] > 300 and both[1][0] < 130


def test_too_few_errors_give_no_interval():
    errors = errors_of(np.zeros(intervals.MIN_ERRORS - 1))
    learned = learn(errors)
    assert np.isnan(
        learned.bounds(dates_ahead([5]), np.array([5]), np.array([1.0]), 1.0, 0.8)
    ).all()


def test_backtest_coverage_is_near_its_level(two_years):
    measured = forecasting.evaluate(two_years)
    own = measured[(measured["model"] == two_years.champion) & (measured["horizon"] == "1-90")]
    value = own.set_index("metric")["value"]
    assert value["coverage_80"] == pytest.approx(0.80, abs=0.08)
    assert value["coverage_95"] == pytest.approx(0.95, abs=0.05)


def test_signed_series_get_additive_bounds_and_may_be_negative():
    frame = shop(420)
    frame["value"] -= 90
    model = forecasting.fit(series(frame, non_negative=False))
    table = forecasting.predict(model)
    days = table[table["is_champion"] & (table["grain"] == "day")]
    assert (days["lo95"] < 0).any() and (days["yhat"] < 0).any()
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
    counted = table.groupby("grain")["is_champion"].sum().to_dict()
    assert counted == {"day": 90, "month": 12, "year": 1}
    assert days.groupby("model").size().tolist() == [90, 90]
    assert (table[["yhat", "lo80", "hi80", "lo95", "hi95"]] >= 0).all().all()
    for low, high in (("lo95", "lo80"), ("lo80", "yhat"), ("yhat", "hi80"), ("hi80", "hi95")):
        assert (table[low] <= table[high]).all()
    year = table[(table["grain"] == "year") & table["is_champion"]].iloc[0]
    last_year = two_years.series.values[-365:].sum()
    assert year["yhat"] == pytest.approx(last_year, rel=0.15)
    assert year["lo80"] < last_year < year["hi80"]


def test_months_are_whole_and_sums_of_the_same_days(two_years):
    """The history ends on 30 January 2024: the first month is February, the last January."""
    table = forecasting.predict(two_years)
    months = table[(table["grain"] == "month") & table["is_champion"]]
    assert two_years.series.dates[-1] == pd.Timestamp("2024-01-30")
    first = pd.date_range("2024-02-01", periods=12, freq="MS")
    assert months["target_date"].tolist() == list(first)
    assert months["horizon_days"].iloc[0] == 30 and months["horizon_days"].iloc[-1] == 367
    days = table[(table["grain"] == "day") & table["is_champion"]].set_index("target_date")["yhat"]
    assert days["2024-02"].sum() == months["yhat"].iloc[0]
    assert days["2024-03"].sum() == months["yhat"].iloc[1]
    assert months["hi80"].notna().all()


def test_the_last_day_of_a_month_starts_with_the_next():
    dates = pd.Series(pd.date_range("2024-02-01", periods=370))
    table = forecast.periods(dates, np.ones(370))
    assert table["target_date"].iloc[0] == pd.Timestamp("2024-02-01")
    assert table["yhat"].tolist()[:3] == [29, 31, 30] and table["yhat"].iloc[-1] == 365


def test_measures_have_all_the_names_that_the_books_promise(two_years):
    measured = forecasting.evaluate(two_years)
    own = measured[(measured["model"] == two_years.champion) & (measured["horizon"] == "1-30")]
    assert set(own["metric"]) >= {
        "mae", "rmse", "r2", "r2_open_days", "mape", "wape", "mase", "bias", "coverage_80",
        "coverage_95", "winkler_80", "winkler_95",
    }  # fmt: skip
    assert not measured.duplicated(["model", "horizon", "metric"]).any()
    one = two_years.backtest[
        (two_years.backtest["model"] == "ridge") & (two_years.backtest["days_ahead"] <= 30)
    ]
    off = (one["forecast"] - one["actual"]).abs()
    value = measured.set_index(["model", "horizon", "metric"])["value"]
    assert value["ridge", "1-30", "mae"] == pytest.approx(off.mean())
    assert value["ridge", "1-30", "wape"] == pytest.approx(off.sum() / one["actual"].sum())


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
