"""Channels: planted responses and incrementality are found, and nothing is advised on a guess."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from ml import asof, marketing
from ml.marketing import attribution, incrementality, response
from ml.marketing import marketing as rules

MONDAY = pd.Timestamp("2022-01-03")
WEEKS = 156
ORDER = 50.0  # net sales of an order


def channel_weeks(
    weeks: int = WEEKS,
    *,
    returns: dict[str, float] | None = None,
    incremental: float = 0.5,
    margin: float = 0.5,
    coverage: float = 1.0,
    spend_of: Callable[[int], np.ndarray] | None = None,
    seed: int = 3,
) -> pd.DataFrame:
    """Rows of features.channel_weeks of a shop whose channels' credited return is known.

    `returns` is credited net sales per unit of spend; of the credited orders `incremental` would
    not have come otherwise. Campaigns of four weeks come and go; orders have a season and grow.
    """
    random = np.random.default_rng(seed)
    returns = returns or {"paid_search": 4.0, "sms": 8.0}
    at = np.arange(weeks)
    level = 1000 * np.exp(0.25 * np.sin(2 * np.pi * at / 52.2) + at / 300)
    spend = {
        name: (random.random(weeks // 4 + 1) < 0.4).repeat(4)[:weeks]
        * random.uniform(500, 1500, weeks)
        if spend_of is None
        else spend_of(weeks)
        for name in returns
    }
    credited = {
        name: random.poisson(returns[name] * spend[name] / ORDER).astype(float) for name in returns
    }
    caused = sum(random.binomial(credited[name].astype(int), incremental) for name in returns)
    others = random.poisson(level) + caused - sum(credited.values())
    rows = []
    for week in range(weeks):
        for name in (*returns, "direct"):
            orders = others[week] if name == "direct" else credited[name][week]
            cost = 0.0 if name == "direct" else spend[name][week]
            for model in ("last", "markov"):
                rows.append((name, model, orders, cost, MONDAY + pd.Timedelta(weeks=week)))
    table = pd.DataFrame(
        rows,
        columns=[
            "marketing_channel",
            "attribution_model",
            "attributed_orders",
            "spend_amount",
            "week_start_date",
        ],
    )
    sales = ORDER * table["attributed_orders"]
    return table.assign(
        net_sales_amount=sales,
        gross_profit_amount=margin * sales,
        demand_amount=sales,
        costed_demand_amount=coverage * sales,
        week_end_date=table["week_start_date"] + pd.Timedelta(days=6),
    )


@pytest.fixture(scope="module")
def features() -> pd.DataFrame:
    return channel_weeks()


@pytest.fixture(scope="module")
def model(features) -> marketing.MarketingModel:
    return marketing.fit(features)


# --- curves --------------------------------------------------------------------------------------


def test_credited_returns_are_found(model):
    for channel, true in zip(model.channels, (4.0, 8.0), strict=True):
        assert channel.curve.slope == pytest.approx(true, rel=0.05)
        assert channel.curve.shape == response.Shape(0.0, np.inf)
        low, high = np.quantile(channel.curve.slopes, [0.025, 0.975])
        assert low < true < high


def test_memory_and_saturation_are_found_where_they_are():
    random = np.random.default_rng(1)
    spend = (random.random(200) < 0.4) * random.uniform(0, 3000, 200)
    adstock = np.zeros(200)
    for week in range(200):
        adstock[week] = spend[week] + (0.5 * adstock[week - 1] if week else 0.0)
    half = 0.5 * adstock.max()
    credited = 100 + 6 * adstock / (1 + adstock / half) + random.normal(0, 150, 200)
    curve = response.fit(spend, credited, 1)
    assert curve.shape == response.Shape(0.5, 0.5)
    assert curve.slope == pytest.approx(6, rel=0.15)
    more = np.diff(curve.effect(np.linspace(0, 3000, 5)))
    assert (np.diff(more) < 0).all()


def test_what_comes_without_spend_is_no_merit_of_the_spend(features):
    """A newsletter that is sent anyway, and a campaign now and then."""
    free = features.copy()
    mine = free["marketing_channel"] == "sms"
    free.loc[mine, "net_sales_amount"] += 3000.0
    curve = marketing.fit(free).channels[1].curve
    assert curve.base == pytest.approx(3000, rel=0.05)
    assert curve.slope == pytest.approx(8.0, rel=0.05)


def test_spend_that_does_nothing_has_no_curve():
    random = np.random.default_rng(4)
    features = channel_weeks()
    mine = features["marketing_channel"] == "sms"
    features.loc[mine, "net_sales_amount"] = random.normal(3000, 300, mine.sum())
    channel = marketing.fit(features).channels[1]
    assert channel.curve is None or channel.curve.slope < 0.2
    shuffled = channel_weeks()
    for name in ("paid_search", "sms"):
        mine = shuffled["marketing_channel"] == name
        values = shuffled.loc[mine, "net_sales_amount"].to_numpy()
        shuffled.loc[mine, "net_sales_amount"] = random.permutation(values)
    try:
        found = marketing.fit(shuffled)
    except marketing.TooLittleDataError as refused:
        assert "no better than their mean" in str(refused)
    else:
        assert all(one.curve is None or one.curve.slope < 2.0 for one in found.channels)


# --- incrementality and advice -------------------------------------------------------------------


@pytest.mark.parametrize("true", [0.0, 0.5, 1.0])
def test_the_planted_incrementality_is_found(true):
    found = marketing.fit(channel_weeks(incremental=true)).incremental
    assert found.share == pytest.approx(true, abs=2.5 * found.error)
    assert found.error < 0.2


def test_intervals_of_the_incrementality_hold():
    """Of thirty shops, about 95 % in their intervals."""
    inside = []
    for seed in range(30):
        found = marketing.fit(channel_weeks(seed=seed)).incremental
        inside.append(abs(found.share - 0.5) < 1.96 * found.error)
    assert np.mean(inside) > 0.85


def test_channels_that_earn_get_more_and_those_that_cost_get_less():
    """At margin .5 and incrementality .5 a unit must be credited with 4 to pay for itself."""
    features = channel_weeks(returns={"paid_search": 1.0, "sms": 12.0})
    _, advice = marketing.predict(marketing.fit(features))
    advice = advice.set_index("marketing_channel")
    assert advice["advice"].to_dict() == {"paid_search": "cut", "sms": "raise"}
    assert advice.loc["sms", "advised_spend_amount"] <= advice.loc["sms", "largest_spend_amount"]
    sms = advice.loc["sms"]
    assert sms["incremental_per_spend"] == pytest.approx(6.0, rel=0.3)
    assert sms["incremental_per_spend_lo95"] > 2.0
    assert (advice["weekly_gain_amount"] > 0).all()


def test_nothing_is_advised_at_break_even():
    features = channel_weeks(returns={"paid_search": 4.0, "sms": 4.0})
    _, advice = marketing.predict(marketing.fit(features))
    assert set(advice["advice"]) == {"keep"}
    assert (advice["weekly_gain_lo95"] < 0).all()


def test_no_margin_and_no_two_years_give_no_advice(features):
    unknown = marketing.fit(channel_weeks(coverage=0.5))
    young = marketing.fit(features[features["week_start_date"] < MONDAY + pd.Timedelta(weeks=80)])
    for found, reason in ((unknown, "too few costs"), (young, "can't be told from the season")):
        curves, advice = marketing.predict(found)
        assert set(advice["advice"]) == {"none"}
        assert advice["reason"].str.contains(reason).all()
        assert len(curves) == 2 * rules.POINTS and found.note
    curves, _ = marketing.predict(young)
    assert curves["incremental_amount"].isna().all() and curves["credited_amount"].notna().all()


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: channel_weeks().iloc[:0], "no channel has spend"),
        (lambda: channel_weeks().assign(spend_amount=0.0), "no channel has spend"),
        (lambda: channel_weeks(3, spend_of=lambda n: np.full(n, 9.0)), "3 weeks, 26 are needed"),
        (lambda: channel_weeks(60, spend_of=lambda n: np.full(n, 900.0)), "the same was spent"),
        (
            lambda: channel_weeks(60, spend_of=lambda n: np.where(np.arange(n) < 4, 900.0, 0)),
            "4 weeks with spend, 8 are needed",
        ),
        (
            lambda: channel_weeks(60, spend_of=lambda n: np.where(np.arange(n) > 40, 900.0, 0)),
            "the same was spent|began in the later half",
        ),
    ],
    ids=["empty", "no spend", "three weeks", "constant", "few weeks", "late"],
)
def test_too_little_data_is_said(made, message):
    with pytest.raises(marketing.TooLittleDataError, match=message):
        marketing.fit(made())


# --- controls ------------------------------------------------------------------------------------


def test_order_of_rows_and_a_second_run_change_nothing(features, model):
    curves, advice = marketing.predict(model)
    again = marketing.predict(marketing.fit(features.sample(frac=1, random_state=5)))
    pd.testing.assert_frame_equal(again[0], curves)
    pd.testing.assert_frame_equal(again[1], advice)


def test_a_row_from_the_future_is_a_leak(features):
    leaking = features.copy()
    leaking.loc[leaking.index[0], "week_end_date"] += pd.Timedelta(days=3650)
    with pytest.raises(asof.LeakError, match="week_end_date"):
        marketing.fit(leaking)


def test_a_later_week_changes_no_error_of_an_earlier_one(features):
    own = features[features["attribution_model"] == "last"]
    sms = own[own["marketing_channel"] == "sms"].sort_values("week_start_date")
    spend, credited = sms["spend_amount"].to_numpy(), sms["net_sales_amount"].to_numpy()
    shape, start = response.SHAPES[5], len(spend) - response.BLOCK_WEEKS
    longer = response._later_error(
        np.append(spend, [9e6] * 8), np.append(credited, [0.0] * 8), shape, start
    )
    assert longer != response._later_error(spend, credited, shape, start)
    first = response._later_error(spend[:-1], credited[:-1], shape, start)
    assert np.isfinite(first)


def test_measures_name_champion_and_baseline(model):
    measured = marketing.evaluate(model)
    assert not measured.duplicated(["series", "model", "horizon", "metric"]).any()
    errors = measured[measured["metric"] == "mae"].pivot(
        index="series", columns="model", values="value"
    )
    assert (errors["response_curve"] < errors["mean"]).all()
    assert {"last", "mean"} == set(measured.loc[measured["is_baseline"], "model"])


# --- attribution ---------------------------------------------------------------------------------


def test_removal_effects_are_the_textbooks():
    """start -> a (2) or b (1); a -> conversion (1) or b (1); b -> conversion (1) or null (1)."""
    steps = pd.DataFrame(
        [
            ("start", "a", 2),
            ("start", "b", 1),
            ("a", "conversion", 1),
            ("a", "b", 1),
            ("b", "conversion", 1),
            ("b", "null", 1),
        ],
        columns=["from_state", "to_state", "transitions"],
    )
    effects = attribution.removal_effects(steps)
    whole = 2 / 3 * (1 / 2 + 1 / 2 * 1 / 2) + 1 / 3 * 1 / 2
    assert effects["a"] == pytest.approx(1 - (1 / 6) / whole)
    assert effects["b"] == pytest.approx(1 - (1 / 3) / whole)
    nothing = steps.assign(to_state=steps["to_state"].replace("conversion", "null"))
    assert attribution.removal_effects(nothing).empty


def test_markov_is_chosen_only_where_its_shares_are_steadier():
    def measured(markov: float, last: float) -> pd.DataFrame:
        return pd.DataFrame(
            [("markov", "share_mae", markov, 3), ("last", "share_mae", last, 3)],
            columns=["model", "metric", "value", "n"],
        )

    assert attribution.choose(measured(0.1, 0.2)) == "markov"
    assert attribution.choose(measured(0.2, 0.1)) == "last"
    assert attribution.choose(measured(0.1, 0.2).iloc[:0]) == "last"


def test_shares_of_half_years_are_compared_in_time(features):
    found = attribution.stability(features[features["marketing_channel"] != "direct"])
    assert set(found["n"]) == {5}
    short = features[features["week_start_date"] < MONDAY + pd.Timedelta(weeks=40)]
    assert attribution.stability(short).empty


def test_the_season_alone_is_no_increment():
    """Spend that rises every December, in a shop where it does nothing."""
    random = np.random.default_rng(8)
    dates = pd.date_range(MONDAY, periods=WEEKS, freq="7D")
    season = np.exp(0.6 * np.cos(2 * np.pi * (dates.day_of_year - 350) / 365.25))
    orders = random.poisson(1000 * season).astype(float)
    credited = np.where(season > np.quantile(season, 0.6), 0.1 * orders, 0.0)
    found = incrementality.estimate(dates.to_numpy(), orders, credited)
    assert abs(found.share) < 3 * found.error
