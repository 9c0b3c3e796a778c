"""Demand per product: days without stock, patterns and methods by hand, planted rates found."""

import numpy as np
import pandas as pd
import pytest

from ml import asof, demand
from ml.business import DEFAULT_LEAD_DAYS
from ml.demand import calibration, methods
from ml.demand import demand as rules
from ml.demand.panel import Panel
from ml.failures import Failures

TODAY = pd.Timestamp("2024-06-30")  # a Sunday
NO_STOCK = pd.DataFrame(
    {
        "product_key": pd.Series(dtype=object),
        "available": pd.Series(dtype=float),
        "incoming": pd.Series(dtype=float),
        "is_unknown": pd.Series(dtype=bool),
        "valid_from": pd.Series(dtype="datetime64[us]"),
        "valid_until": pd.Series(dtype="datetime64[us]"),
    }
)


def sold(units: dict[str, np.ndarray]) -> pd.DataFrame:
    """Rows of sales of daily units that end today."""
    parts = []
    for key, values in units.items():
        days = TODAY - pd.to_timedelta(np.arange(len(values))[::-1], unit="D")
        parts.append(pd.DataFrame({"product_key": key, "order_date": days, "units": values}))
    table = pd.concat(parts, ignore_index=True)
    return table[table["units"] > 0].reset_index(drop=True)


def attributes(keys: list[str], lead: float | None = 7, **columns: object) -> pd.DataFrame:
    table = pd.DataFrame({"product_key": keys, "lead_time_days": lead, "is_active": True})
    table["lead_time_days"] = table["lead_time_days"].astype(float)
    table["launched_date"] = pd.NaT
    return table.assign(**columns)


def stretches(*rows: tuple[str, float, float, bool, int, int | None]) -> pd.DataFrame:
    """Stock: product, available, incoming, is_unknown, from and until so many days ago."""
    table = pd.DataFrame(rows, columns=[*NO_STOCK.columns])
    table["valid_from"] = TODAY - pd.to_timedelta(table["valid_from"], unit="D")
    table["valid_until"] = TODAY - pd.to_timedelta(table["valid_until"].astype(float), unit="D")
    return table


def made_up(days: int = 500, seed: int = 7) -> dict[str, np.ndarray]:
    """Products of each pattern with known rates: steady, rare, rare and uneven, frequent uneven."""
    random = np.random.default_rng(seed)
    shop = {}
    for i in range(12):
        shop[f"smooth{i:02}"] = random.poisson(6, days)
        shop[f"rare{i:02}"] = (random.random(days) < 0.05) * 2
        shop[f"lumpy{i:02}"] = (random.random(days) < 0.05) * random.geometric(0.1, days)
        shop[f"erratic{i:02}"] = (random.random(days) < 0.3) * random.geometric(0.03, days)
    return shop


@pytest.fixture(scope="module")
def shop() -> dict[str, np.ndarray]:
    return made_up()


@pytest.fixture(scope="module")
def model(shop) -> demand.Model:
    return demand.fit(sold(shop), NO_STOCK, attributes(list(shop)))


# --- what could be seen ----------------------------------------------------------------------


def test_days_without_stock_are_not_days_without_demand():
    units = np.array([2, 2, 2, 0, 0, 0, 1, 3])
    stock = stretches(
        ("a", 9, 0, False, 7, 4), ("a", 0, 5, False, 4, 1), ("a", 7, 0, False, 1, None)
    )
    panel = Panel.from_frames(sold({"a": units}), stock, attributes(["a"]), TODAY)
    assert panel.observed[:, 0].tolist() == [True] * 3 + [False] * 3 + [True] * 2
    assert not panel.sold_out.any()
    assert methods.History(panel).daily_mean[0] == pytest.approx(2)  # not 10 / 8
    assert (panel.available[0], panel.incoming[0], panel.has_books[0]) == (7, 0, True)


def test_a_day_that_sold_out_counts_as_an_ordinary_one_at_least():
    units = np.array([4, 4, 1, 0, 9, 0])
    stock = stretches(
        ("a", 9, 0, False, 5, 3), ("a", 0, 0, False, 3, 1), ("a", 0, 0, True, 1, None)
    )
    panel = Panel.from_frames(sold({"a": units}), stock, attributes(["a"]), TODAY)
    assert panel.observed[:, 0].tolist() == [True, True, True, False, False, False]
    assert panel.sold_out[:, 0].tolist() == [False, False, True, False, False, False]
    assert panel.demand()[:3, 0].tolist() == [4, 4, 4]
    assert np.isnan(panel.available[0])  # the books stand below zero: nobody knows


def test_a_product_is_not_observed_before_its_launch():
    panel = Panel.from_frames(
        sold({"a": np.array([1, 1, 1, 1, 1, 1]), "b": np.array([0, 0, 0, 5, 0, 5])}),
        NO_STOCK,
        attributes(["a", "b"], lead=None, launched_date=[pd.NaT, TODAY - pd.Timedelta(days=3)]),
        TODAY,
    )
    assert panel.observed[:, 1].tolist() == [False, False, True, True, True, True]
    assert panel.lead_days.tolist() == [DEFAULT_LEAD_DAYS] * 2 and panel.is_lead_assumed.all()


# --- patterns and methods by hand ------------------------------------------------------------


def test_patterns_of_syntetos_and_boylan():
    """Weeks of 7: every week 5; every other week 5; every week 1 or 20; every other 1 or 20."""
    weeks = 52
    week = np.zeros((weeks, 7))
    smooth, rare, erratic, lumpy = (week.copy() for _ in range(4))
    smooth[:, 0] = 5
    rare[::2, 0] = 5
    erratic[:, 0] = np.where(np.arange(weeks) % 4 == 0, 20, 1)
    lumpy[::2, 0] = np.where(np.arange(weeks // 2) % 4 == 0, 20, 1)
    units = {"a": smooth, "b": rare, "c": erratic, "d": lumpy}
    units = {key: np.append(0, value.ravel())[1:] for key, value in units.items()}
    panel = Panel.from_frames(sold(units), NO_STOCK, attributes(list(units)), TODAY)
    assert rules.patterns(panel).tolist() == ["smooth", "intermittent", "erratic", "lumpy"]


def steady(units: float, every: int, days: int = 420) -> methods.History:
    values = np.where(np.arange(days) % every == every - 1, units, 0.0)
    return methods.History(
        Panel.from_frames(sold({"a": values}), NO_STOCK, attributes(["a"], lead=14), TODAY)
    )


def test_steady_demand_is_forecast_exactly():
    every_day = steady(3, every=1)
    for name in ("last_period", "level", "tsb", "windows"):
        assert methods.METHODS[name](every_day).mean[0] == pytest.approx(42, rel=1e-3), name
    weekly = steady(10, every=7)  # Croston: size 10, interval 7, the correction takes 5 %
    assert methods.sba(weekly).mean[0] == pytest.approx(14 * 10 / 7 * 0.95, rel=0.02)
    assert methods.windows(weekly).quantiles[0] == pytest.approx([20] * 5)


def test_tsb_forgets_what_died_and_croston_does_not():
    units = np.append(np.ones(300), np.zeros(120))
    other = np.ones(420)
    panel = Panel.from_frames(
        sold({"dead": units, "live": other}), NO_STOCK, attributes(["dead", "live"]), TODAY
    )
    history = methods.History(panel)
    place = panel.keys.tolist().index("dead")
    assert methods.tsb(history).mean[place] < 0.2 < 5 < methods.sba(history).mean[place]


def test_a_closed_weekday_sells_nothing():
    """Closed on Saturdays: a lead time of six days from Sunday on has five open ones."""
    days = 420
    weekday = (TODAY.day_of_week - np.arange(days)[::-1]) % 7
    units = np.where(weekday == 5, 0, 4)
    panel = Panel.from_frames(sold({"a": units}), NO_STOCK, attributes(["a"], lead=6), TODAY)
    assert methods.level(methods.History(panel)).mean[0] == pytest.approx(20, rel=1e-3)


def test_quantiles_are_those_of_the_negative_binomial():
    found = methods._counts(np.array([10.0, 0.0]), np.array([40.0, 0.0]))
    draws = np.random.default_rng(0).negative_binomial(10 / 3, 0.25, 200_000)
    assert found.quantiles[0] == pytest.approx(np.quantile(draws, methods.QUANTILES), abs=1)
    assert (found.quantiles[1] == 0).all()


def test_pinball_by_hand():
    quantiles = np.full((1, len(methods.QUANTILES)), 8.0)
    levels = np.array(methods.QUANTILES)
    assert rules.pinball(np.array([10.0]), quantiles) == pytest.approx((2 * levels).mean() / 10)
    assert rules.pinball(np.array([6.0]), quantiles) == pytest.approx((2 * (1 - levels)).mean() / 6)


# --- calibration -----------------------------------------------------------------------------


def windows_of(
    actual: np.ndarray, mean: float, quantiles: float, **columns: object
) -> pd.DataFrame:
    table = pd.DataFrame({"actual": actual, "mean": mean}).assign(
        **dict.fromkeys(calibration.NAMES, quantiles)
    )
    return table.assign(pattern="smooth", method="level", **columns)


def test_quantiles_move_to_where_they_would_have_held():
    """1 to 299 units where each quantile said 100: the middle one should have said 150."""
    past = windows_of(np.arange(1.0, 300.0), 99.0, 100.0)
    shift = calibration.shift_of(past)
    assert shift == pytest.approx((np.array([150, 240, 270, 285, 294]) - 100) / 10)
    moved = calibration.moved(np.full((1, 5), 100.0), np.array([24.0]), shift)
    assert moved[0] == pytest.approx([125, 170, 185, 192.5, 197])
    down = calibration.moved(np.full((1, 5), 3.0), np.array([3.0]), np.array([-9, 1, 0, 2, 2.0]))
    assert down[0].tolist() == [0, 5, 5, 7, 7]


def test_few_lead_times_move_nothing():
    few = windows_of(np.arange(calibration.MIN_WINDOWS - 1.0), 9.0, 10.0)
    assert calibration.shift_of(few) is None
    own = np.array([[1.0, 2, 3, 4, 5]])
    assert calibration.moved(own, np.array([1.0]), None) is own


def test_a_day_is_calibrated_by_what_was_over_on_it():
    """Lead times of 56 days ago lasted 28 days or 60; those still open on the day teach nothing."""
    over = windows_of(np.full(250, 30.0), 9.0, 10.0, days_ago=56, over_days_ago=28)
    still_open = windows_of(np.full(250, 900.0), 9.0, 10.0, days_ago=56, over_days_ago=-4)
    now = windows_of(np.full(5, 30.0), 9.0, 10.0, days_ago=28, over_days_ago=0)
    found = calibration.walked(pd.concat([now, over, still_open], ignore_index=True))
    today = found[found["days_ago"] == 28]
    assert today["is_calibrated"].all() and today["q95"].tolist() == [30.0] * 5
    before = found[found["days_ago"] == 56]
    assert not before["is_calibrated"].any() and set(before["q95"]) == {10.0}


def test_reorder_points_hold_as_often_as_they_say():
    """Levels that wander are more than the methods know of; what was over tells how much."""
    random = np.random.default_rng(8)
    units = {}
    for i in range(150):
        level = 8 * np.exp(np.cumsum(random.normal(0, 0.06, 560)))
        units[f"p{i:03}"] = random.poisson(np.clip(level, 1, 60))
    panel = Panel.from_frames(sold(units), NO_STOCK, attributes(list(units), lead=21), TODAY)
    raw = rules.backtest(panel, Failures())
    found = calibration.walked(raw)
    kept = found["is_calibrated"] & (found["method"] == "level")
    before, after = raw[kept], found[kept]
    assert (before["actual"] <= before["q95"]).mean() < 0.92
    assert (after["actual"] <= after["q95"]).mean() == pytest.approx(0.95, abs=0.02)
    names = list(calibration.NAMES)
    losses = [
        rules.pinball(table["actual"].to_numpy(), table[names].to_numpy())
        for table in (before, after)
    ]
    assert losses[1] < losses[0]


# --- choice, and what is planted is found ----------------------------------------------------


def test_champions_beat_the_baseline(model):
    measured = demand.evaluate(model).set_index(["series", "model", "metric"])["value"]
    for pattern, champion in model.champions.items():
        if (pattern, methods.BASELINE, "pinball") not in measured:
            continue
        baseline = measured[pattern, methods.BASELINE, "pinball"]
        assert champion == methods.BASELINE or measured[pattern, champion, "pinball"] < baseline
    best = measured["smooth", model.champions["smooth"], "pinball"]
    assert best < 0.8 * measured["smooth", methods.BASELINE, "pinball"]


def test_what_does_not_beat_the_baseline_is_never_champion():
    rows = [("lumpy", name, "pinball", value, 99) for name, value in
            (("last_period", 0.3), ("windows", 0.4), ("tsb", 0.3), ("level", 0.1))]  # fmt: skip
    measured = pd.DataFrame(rows, columns=["series", "model", "metric", "value", "n"])
    assert rules.choose(measured, "lumpy") == "last_period"  # level is none for the pattern
    few = measured.assign(n=5, value=[0.3, 0.1, 0.1, 0.1])
    assert rules.choose(few, "lumpy") == "last_period"


def test_planted_rates_and_their_quantiles_are_found(model):
    table = demand.predict(model).set_index("product_key")
    smooth = table[table.index.str.startswith("smooth")]
    assert (smooth["pattern"] == "smooth").all()
    assert smooth["expected_units"].mean() == pytest.approx(42, rel=0.06)
    # Poisson's own 95 % quantile of 42 is 53
    assert smooth["q95"].mean() == pytest.approx(53, rel=0.08)
    rare = table[table.index.str.startswith("rare")]
    assert rare["expected_units"].mean() == pytest.approx(0.7, rel=0.35)
    assert (table["q50"] <= table["q95"]).all() and (table["safety_stock"] >= 0).all()


def test_a_hidden_rate_is_found():
    """Half of the time there was no stock: the rate is that of the other half."""
    random = np.random.default_rng(2)
    units, rows = random.poisson(5, 300), []
    empty = np.arange(300) % 30 >= 15
    for start in range(0, 300, 15):
        stock = 0.0 if start % 30 else 99.0
        until = 299 - start - 15
        rows.append(("a", stock, 0.0, False, 299 - start, until if until >= 0 else None))
    units = np.where(empty, 0, units)
    stock = stretches(*rows)
    seeing = Panel.from_frames(sold({"a": units}), stock, attributes(["a"]), TODAY)
    blind = Panel.from_frames(sold({"a": units}), NO_STOCK, attributes(["a"]), TODAY)
    for name in ("level", "tsb"):
        method = methods.METHODS[name]
        assert method(methods.History(seeing)).mean[0] == pytest.approx(35, rel=0.2), name
    assert methods.windows(methods.History(blind)).mean[0] < 22
    row = demand.predict(demand.fit(sold({"a": units}), stock, attributes(["a"]), TODAY)).iloc[0]
    assert (row["observed_days"], row["stockout_days"]) == (150, 150)
    # it has been out of stock for longer than its lead time, and is still asked for
    assert (row["method"], row["lead_time_days"]) == ("last_period", 7)
    assert row["expected_units"] == pytest.approx(35, rel=0.35)
    assert row["reorder_point"] > row["expected_units"] and row["order_by_date"] == TODAY.date()


def test_a_method_that_fails_leaves_the_others(monkeypatch):
    random = np.random.default_rng(3)
    units = {f"p{i}": random.poisson(5, 400) for i in range(40)}
    whole = demand.fit(sold(units), NO_STOCK, attributes(list(units)))
    assert whole.champions["smooth"] in ("level", "windows")
    champion = whole.champions["smooth"]

    def broken(history: methods.History) -> methods.Demand:
        raise ValueError("no convergence")

    monkeypatch.setitem(methods.METHODS, champion, broken)
    left = demand.fit(sold(units), NO_STOCK, attributes(list(units)))
    assert f"{champion} failed and is left out (ValueError: no convergence)" in left.note
    assert left.champions["smooth"] != champion
    # it failed only today
    table = demand.predict(whole)
    assert set(table["method"]) == {"last_period"} and (table["expected_units"] > 0).all()


def test_a_note_says_why_the_baseline_forecasts():
    random = np.random.default_rng(3)
    few = {f"p{i}": random.poisson(5, 400) for i in range(3)}
    note = demand.fit(sold(few), NO_STOCK, attributes(list(few))).note
    assert "smooth: 18 past lead times, 30 are needed to compare" in note
    assert "no method beat" not in note


def test_days_without_a_sale_count():
    """Sold until a month ago: its rate is not that of the days on which it was sold."""
    units = {"a": np.full(200, 2), "b": np.full(200, 2)}
    closed = sold(units)
    model = demand.fit(closed, NO_STOCK, attributes(["a", "b"]), TODAY + pd.Timedelta(days=30))
    table = demand.predict(model)
    assert model.panel.last_day == TODAY + pd.Timedelta(days=30)
    assert (table["expected_units"] == 0).all()


# --- order dates -----------------------------------------------------------------------------


def test_the_day_to_order_is_when_the_stock_falls_to_the_reorder_point():
    units = {"a": np.full(200, 2), "b": np.full(200, 2), "c": np.full(200, 2), "d": np.full(200, 2)}
    stock = stretches(
        ("a", 60, 4, False, 199, None), ("b", 5, 0, False, 199, None), ("c", 0, 0, True, 1, None)
    )
    table = demand.predict(demand.fit(sold(units), stock, attributes(list("abcd"))))
    table = table.set_index("product_key")
    assert table["stock_status"].to_dict() == {
        "a": "known", "b": "known", "c": "unknown", "d": "untracked"
    }  # fmt: skip
    point, daily = table.loc["a", ["reorder_point", "daily_units"]]
    days = int((64 - point) // daily)
    assert table.loc["a", "order_by_date"] == (TODAY + pd.Timedelta(days=days)).date()
    assert table.loc["b", "order_by_date"] == TODAY.date()  # it is late already
    assert table.loc[["c", "d"], "order_by_date"].isna().all()


# --- time, order, gates ----------------------------------------------------------------------


def test_sales_and_stock_from_ahead_are_refused(shop):
    past = TODAY - pd.Timedelta(days=10)
    with pytest.raises(asof.LeakError, match="order_date"):
        demand.fit(sold(shop), NO_STOCK, attributes(list(shop)), past)
    old = sold(shop)
    old = old[old["order_date"] <= past]
    with pytest.raises(asof.LeakError, match="valid_from"):
        demand.fit(old, stretches(("a", 1, 0, False, 3, None)), attributes(list(shop)), past)


def test_the_comparison_sees_nothing_after_its_day(shop):
    keys = list(shop)
    one = Panel.from_frames(sold(shop), NO_STOCK, attributes(keys), TODAY).until(28)
    other = {key: np.append(values[:-28], np.full(28, 99)) for key, values in shop.items()}
    two = Panel.from_frames(sold(other), NO_STOCK, attributes(keys), TODAY).until(28)
    for name, method in methods.METHODS.items():
        found = [method(methods.History(panel)) for panel in (one, two)]
        assert (found[0].quantiles == found[1].quantiles).all(), name


def test_rows_in_any_order_give_the_same_forecasts(shop, model):
    other = demand.fit(
        sold(shop).sample(frac=1, random_state=3),
        NO_STOCK,
        attributes(list(shop)).sample(frac=1, random_state=3),
    )
    pd.testing.assert_frame_equal(demand.predict(model), demand.predict(other), check_exact=True)


def test_gates():
    with pytest.raises(demand.TooLittleDataError, match="no product was sold"):
        demand.fit(sold({"a": np.ones(3)}).head(0), NO_STOCK, attributes([]))
    with pytest.raises(demand.TooLittleDataError, match="21 days of sales, 56 are needed"):
        demand.fit(sold({"a": np.ones(21)}), NO_STOCK, attributes(["a"]))


def test_one_product_and_no_catalogue_are_enough():
    model = demand.fit(sold({"a": np.ones(80)}), NO_STOCK, attributes([]))
    assert set(model.champions.values()) == {methods.BASELINE}
    assert "no stock is kept" in model.note
    row = demand.predict(model).iloc[0]
    assert row["is_lead_time_assumed"] and row["expected_units"] == pytest.approx(14)
