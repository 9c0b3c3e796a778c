"""Anomalies: planted days and orders are found, the budget is kept, nothing looks ahead."""

import numpy as np
import pandas as pd
import pytest

from ml import anomalies
from ml.anomalies import daily, orders, residuals
from ml.jobs import anomalies as job

DAYS = 400
COLUMNS = ["revenue_amount", "orders", "order_lines", "units"]


def shop(seed: int = 1, days: int = DAYS) -> pd.DataFrame:
    """A shop open on six days: trend, weekdays, a common and an own disturbance of each metric."""
    random = np.random.default_rng(seed)
    dates = pd.date_range("2023-01-02", periods=days)
    dates = dates[dates.day_of_week != 6]
    n = len(dates)
    level = 0.3 * np.sin(np.arange(n) / 60) + 0.1 * dates.day_of_week.to_numpy()
    common = random.normal(0, 0.08, n)
    own = random.normal(0, [0.15, 0.05, 0.1, 0.15], (n, 4))
    logs = np.log([3000, 60, 200, 500]) + (level + common)[:, None] + own
    values = np.round(np.exp(logs))
    frame = pd.DataFrame(values, columns=COLUMNS)
    return frame.assign(
        metric_date=dates,
        dimension="total",
        member="all",
        cancelled_orders=random.poisson(6, n),
        sessions=np.round(2000 * np.exp(level + random.normal(0, 0.1, n))),
        tagged_sessions=np.round(1400 * np.exp(level + random.normal(0, 0.1, n))),
        tracked_purchases=np.round(50 * np.exp(level + random.normal(0, 0.1, n))),
    )


def cut(frame: pd.DataFrame, shares: dict[str, float], dimension: str = "country") -> pd.DataFrame:
    """The total and its parts, each with noise of its own."""
    random = np.random.default_rng(9)
    parts = [frame]
    for member, share in shares.items():
        noise = np.exp(random.normal(0, 0.1, (len(frame), 1)))
        part = frame.assign(dimension=dimension, member=member, sessions=np.nan)
        part = part.assign(tagged_sessions=np.nan, tracked_purchases=np.nan)
        part[COLUMNS] = np.round(frame[COLUMNS] * share * noise)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """One round of planting, small forests: which method wins is asked of `fitted` alone."""
    monkeypatch.setattr(daily, "ROUNDS", 1)
    monkeypatch.setattr(residuals, "TREES", 5)


@pytest.fixture(scope="module")
def fitted() -> daily.DailyModel:
    return anomalies.fit(shop())


def test_the_methods_beat_the_baseline_on_planted_days(fitted) -> None:
    measured = anomalies.evaluate(fitted).set_index(["model", "horizon", "metric"])["value"]
    measured = measured.sort_index()
    champion = measured[fitted.champion, "settled"]
    assert champion["recall_x0.2"] == champion["recall_x5"] == champion["recall_x3"] == 1.0
    assert champion["recall"] > measured[daily.BASELINE, "settled", "recall"] + 0.2
    assert daily._level(fitted.newest) in daily.TRAILING
    assert daily._level(fitted.champion) in daily.CENTRED
    assert champion["false_alarm_share"] < 0.05


def test_alarms_keep_to_the_budget(fitted) -> None:
    table = anomalies.predict(fitted)
    about_all = table[table["metric"].isin(COLUMNS)]
    assert 1 <= len(about_all) <= 2 * daily.BUDGET * len(fitted.series[0].dates) + 3
    assert (table["score"].abs() > table["threshold"]).all()
    assert ((table["score"] > 0) == (table["direction"] == "high")).all()


@pytest.mark.parametrize("at", [200, -2])
def test_a_day_without_half_of_its_sales_is_found(at: int) -> None:
    """In the middle, and among the newest that have no future."""
    frame = shop()
    frame.loc[frame.index[at], COLUMNS] = (frame.loc[frame.index[at], COLUMNS] * 0.3).round()
    day = frame["metric_date"].iloc[at].date()
    table = anomalies.predict(anomalies.fit(frame))
    [found] = table[(table["date"] == day) & table["metric"].isin(COLUMNS)].itertuples()
    assert (found.direction, found.dimension) == ("low", "total")
    assert found.actual < 0.5 * found.expected
    assert found.method.startswith("trailing") == (at == -2)


def test_an_outage_of_one_payment_method_is_found_there() -> None:
    frame = cut(shop(), {"card": 0.6, "paypal": 0.4}, "payment_method")
    row = frame.index[(frame["member"] == "card")][150]
    frame.loc[row, COLUMNS] = (frame.loc[row, COLUMNS] * 0.2).round()
    table = anomalies.predict(anomalies.fit(frame))
    hit = table[(table["dimension"] == "payment_method") & (table["direction"] == "low")]
    assert ("card", frame.loc[row, "metric_date"].date()) in set(
        zip(hit["member"], hit["date"], strict=True)
    )


@pytest.mark.parametrize(
    ("metric", "value"),
    [
        ("sessions", 0.0),
        ("tagged_sessions", 0.0),
        ("tracked_purchases", 1.0),
        ("cancelled_orders", 60.0),
    ],
)
def test_what_is_watched_alone_is_found_alone(metric: str, value: float) -> None:
    frame = shop()
    frame.loc[200, metric] = value
    table = anomalies.predict(anomalies.fit(frame))
    assert (frame.loc[200, "metric_date"].date(), metric) in set(
        zip(table["date"], table["metric"], strict=True)
    )


def test_a_tracker_that_came_late_was_no_break() -> None:
    frame = shop()
    frame.loc[:149, "sessions"] = np.nan
    table = anomalies.predict(anomalies.fit(frame))
    days = table.loc[table["metric"] == "sessions", "date"]
    assert (pd.to_datetime(days) >= frame.loc[150, "metric_date"]).all()


def test_closed_days_are_no_anomalies(fitted) -> None:
    assert (fitted.series[0].dates.day_of_week != 6).all()


def test_trailing_residuals_know_no_later_day() -> None:
    frame = shop()
    logs, weekday = (
        np.log(frame["orders"].to_numpy()),
        frame["metric_date"].dt.day_of_week.to_numpy(),
    )
    before = residuals.trailing_kernel(logs, weekday)
    later = logs.copy()
    later[-1] -= 3
    # the weekday's median is of all days and moves by next to nothing
    changed = residuals.trailing_kernel(later, weekday)
    assert np.abs(changed - before)[:-1].max() < 0.02
    assert changed[-1] - before[-1] == pytest.approx(-3, abs=0.02)


@pytest.mark.parametrize("level", [*daily.CENTRED, *daily.TRAILING])
def test_no_day_explains_itself(level: str) -> None:
    """A day times e is off by 1, however short the window: but for STL, which is robust instead."""
    frame = shop()
    logs, weekday = (
        np.log(frame["orders"].to_numpy()),
        frame["metric_date"].dt.day_of_week.to_numpy(),
    )
    of = {**daily.CENTRED, **daily.TRAILING}[level]
    odd = logs.copy()
    odd[100] += 1
    moved = of(odd, weekday)[100] - of(logs, weekday)[100]
    assert moved == pytest.approx(1, abs=0.25 if level == "stl" else 0.05)


def test_a_quiet_metric_counts_more() -> None:
    """Of two measures of one factor the one with a tenth of the noise decides."""
    random = np.random.default_rng(3)
    off = random.normal(0, [0.05, 0.5], (500, 2))
    quiet, noisy = off.copy(), off.copy()
    quiet[7], noisy[7] = [0.5, 0], [0, 0.5]
    assert residuals.common_factor(quiet)[7] > 8
    assert abs(residuals.common_factor(noisy)[7]) < 1
    assert residuals.robust_sd(residuals.common_factor(off)) == pytest.approx(1)


def test_rows_in_any_order_give_the_same_alarms() -> None:
    ordered, shuffled = (anomalies.fit(f) for f in (shop(), shop().sample(frac=1, random_state=4)))
    pd.testing.assert_frame_equal(ordered.contest, shuffled.contest)
    pd.testing.assert_frame_equal(anomalies.predict(ordered), anomalies.predict(shuffled))


def test_members_that_sell_too_little_are_left_out() -> None:
    model = anomalies.fit(cut(shop(), {"GB": 0.9, "IS": 0.002}))
    assert {one.member for one in model.series} == {"all", "GB"}


@pytest.mark.parametrize(
    ("frame", "why"),
    [
        (shop().iloc[:0], "no day of sales"),
        (shop(days=21), "days of business, 90 are needed"),
        (shop().assign(order_lines=2, orders=1), "fewer than 5 order lines"),
    ],
)
def test_too_little_data_is_said(frame: pd.DataFrame, why: str) -> None:
    with pytest.raises(anomalies.TooLittleDataError, match=why):
        anomalies.fit(frame)


def some_orders(n: int = 3000, seed: int = 2) -> pd.DataFrame:
    """Customers with a usual amount each; every fifth order has a discount of 10 %."""
    random = np.random.default_rng(seed)
    who = random.integers(0, n // 10, n)
    usual = np.exp(random.normal(4, 0.5, n // 10))
    units = 1 + random.poisson(3, n)
    gross = np.round(usual[who] * np.exp(random.normal(0, 0.2, n)), 2)
    placed = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(n) * 4, unit="h")
    discount = np.where(np.arange(n) % 5 == 0, np.round(gross * 0.1, 2), 0.0)
    return pd.DataFrame(
        {
            "order_id": [f"o{i:05}" for i in range(n)],
            "customer_key": np.where(who % 7 == 0, None, np.char.add("c", who.astype(str))),
            "demand_amount": gross - discount,
            "gross_sales_amount": gross,
            "discount_amount": discount,
            "units": units,
            "order_lines": np.minimum(units, 3),
            "order_date": placed.normalize(),
            "placed_at": placed,
        }
    )


def test_planted_orders_are_found_with_their_reason() -> None:
    frame = some_orders()
    amounts = ["demand_amount", "gross_sales_amount"]
    frame.loc[2900, amounts] *= 30
    frame.loc[2950, "discount_amount"] = frame.loc[2950, "gross_sales_amount"] * 0.95
    frame.loc[2950, "demand_amount"] = frame.loc[2950, "gross_sales_amount"] * 0.05
    model = orders.fit(frame)
    table = orders.predict(model)
    assert {"o02900", "o02950"} <= set(table["order_id"])
    reason = table.set_index("order_id")["reason"]["o02950"]
    assert reason.endswith(("discount: high", ": low"))
    assert len(table) <= orders.BUDGET * len(frame) + 1
    found = orders.evaluate(model)
    recall = found[found["metric"] == "recall"].set_index("model")["value"]
    assert recall[model.champion] > recall[orders.BASELINE]


def test_an_order_is_compared_with_earlier_ones_only() -> None:
    frame = some_orders(1200)
    facts = orders.facts_of(frame)
    assert facts.groupby("customer_key").head(1)["usual_log"].isna().all()
    cut_off = orders.facts_of(frame.head(600))
    pd.testing.assert_frame_equal(facts.head(600), cut_off)


def test_few_orders_are_said() -> None:
    with pytest.raises(anomalies.TooLittleDataError, match="299 orders"):
        orders.fit(some_orders().head(299))
    with pytest.raises(anomalies.TooLittleDataError, match="0 orders"):
        orders.fit(some_orders().head(0))


def test_days_and_orders_are_judged_apart() -> None:
    few = job.result(shop(days=21), some_orders())
    assert few.status == "ok" and list(few.tables) == ["order_outliers"]
    assert "days: " in few.note
    none = job.result(shop().head(0), some_orders().head(0))
    assert (none.status, none.tables, none.champion) == ("too_little_data", {}, None)
    both = job.result(shop(), some_orders())
    assert set(both.tables) == {"anomalies", "order_outliers"}
    keys = ["series", "model", "horizon", "metric"]
    assert not both.metrics.duplicated(keys).any()
    assert both.metrics.groupby("series")["is_champion"].any().all()
