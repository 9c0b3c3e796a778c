"""Parts of a forecast: they add up, follow their own ways, and small ones are pooled."""

import numpy as np
import pandas as pd
import pytest

from ml import asof, forecasting
from ml.forecasting import forecast, parts

DAYS = 800


def shop(days: int = DAYS, *, seed: int = 1, sign: float = 1.0) -> pd.DataFrame:
    """Two members of opposite seasons and a small one: metric_date, member, value."""
    random = np.random.default_rng(seed)
    dates = pd.date_range("2022-01-01", periods=days)
    angle = 2 * np.pi * np.arange(days) / 365.25
    levels = {
        "summer": 100 * np.exp(0.8 * np.sin(angle)),
        "winter": 100 * np.exp(-0.8 * np.sin(angle)),
        "small": np.full(days, 5.0),
    }
    return pd.concat(
        pd.DataFrame(
            {
                "metric_date": dates,
                "member": member,
                "value": sign * level * random.lognormal(0, 0.15, days),
            }
        )
        for member, level in levels.items()
    ).reset_index(drop=True)


def total_of(frame: pd.DataFrame) -> pd.Series:
    return frame.groupby("metric_date")["value"].sum()


def fitted(
    frame: pd.DataFrame, members: tuple[str, ...], non_negative: bool = True
) -> parts.Splitter:
    # sorted, since a sum of floats depends on their order in its last bit
    total = total_of(frame.sort_index())
    model = forecasting.fit(
        forecasting.Series.from_frame(
            pd.DataFrame({"date": total.index, "value": total.to_numpy(), "activity": 5.0}),
            non_negative,
        )
    )
    return parts.fit(parts.cut(frame, total, members, non_negative), model)


@pytest.fixture(scope="module")
def splitter() -> parts.Splitter:
    return fitted(shop(), ("summer", "winter"))


def adds_up(splitter: parts.Splitter) -> None:
    total = forecasting.predict(splitter.total)
    total = total[total["is_champion"]].set_index(["grain", "target_date"])["yhat"]
    table = parts.predict(splitter)
    sums = table.groupby(["grain", "target_date"])["yhat"].sum()
    assert len(sums) == len(total)
    assert (sums == total.reindex(sums.index)).all()  # to the last bit, in any order
    shuffled = table.sample(frac=1, random_state=3)
    again = shuffled.groupby(["grain", "target_date"])["yhat"].sum()
    assert (again.sort_index() == sums.sort_index()).all()


def test_parts_add_up_exactly_by_day_month_and_year(splitter):
    adds_up(splitter)


def test_parts_of_a_signed_series_add_up_and_may_be_negative():
    frame = shop(450)
    frame.loc[frame["member"] == "small", "value"] = -40.0  # overheads
    splitter = fitted(frame, ("summer", "winter"), non_negative=False)
    adds_up(splitter)
    table = parts.predict(splitter)
    rest = table[(table["member"] == parts.OTHER) & (table["grain"] == "day")]
    assert rest["yhat"].mean() == pytest.approx(-40, abs=5)
    assert (rest["hi80"] < 0).any()


def test_members_keep_their_own_seasons(splitter):
    """A year of days: summer sells most in spring (its peak), winter half a year later."""
    table = parts.predict(splitter)
    months = table[table["grain"] == "month"].pivot(
        index="target_date", columns="member", values="yhat"
    )
    assert months["summer"].idxmax().month in (3, 4, 5)
    assert months["winter"].idxmax().month in (9, 10, 11)
    true = 100 * np.exp(0.8) * 30  # at its peak
    assert months["summer"].max() == pytest.approx(true, rel=0.2)
    assert "last_year" in splitter.methods[0]


def test_the_rest_is_pooled_and_never_lost(splitter):
    assert splitter.parts.members == ("summer", "winter", parts.OTHER)
    small = shop().query("member == 'small'")["value"].to_numpy()
    np.testing.assert_allclose(splitter.parts.values[:, 2], small, atol=1e-9)


def test_bounds_enclose_and_do_not_go_below_nothing(splitter):
    table = parts.predict(splitter)
    assert (table[["yhat", *forecast.BOUNDS]] >= 0).all().all()
    for low, high in (("lo95", "lo80"), ("lo80", "yhat"), ("yhat", "hi80"), ("hi80", "hi95")):
        assert (table[low] <= table[high]).all()
    assert (splitter.backtest["target_date"] > splitter.backtest["origin"]).all()


def test_parts_beat_the_baseline_where_there_is_a_season(splitter):
    measured = parts.evaluate(splitter)
    wape = measured[measured["metric"] == "wape"].set_index(["member", "is_champion"])["value"]
    for member in ("summer", "winter"):
        assert wape[member, True] < wape[member, False]


def test_a_method_that_does_not_beat_the_baseline_gives_way_to_it():
    """Each member's last week tells all of it, and the total's forecast is far too high."""
    days, random = pd.date_range("2023-01-01", periods=20), np.random.default_rng(5)
    values = np.tile(random.uniform(5, 10, (7, 2)), (4, 1))[:20]
    known = parts.Parts(days, ("a", "b"), values)
    last_week = values[6:20]  # of the 14 days ahead
    expected = pd.DataFrame({"forecast": np.full(14, 200.0)})
    better = last_week * random.uniform(0.999, 1.001, last_week.shape)
    ahead = {parts.BASELINE: last_week + 1, "recent_share": better}
    origin = parts._Origin(known, expected, last_week, ahead)
    assert parts._choose([origin], [*ahead]) == (parts.BASELINE,) * 2
    fair = parts._Origin(known, expected.assign(forecast=last_week.sum(axis=1)), last_week, ahead)
    assert parts._choose([fair], [*ahead]) == ("recent_share",) * 2


def test_parts_have_the_measures_of_the_total(splitter):
    measured = parts.evaluate(splitter)
    ours = measured[measured["is_champion"] & (measured["member"] == "summer")]
    ours = ours.set_index("metric")["value"]
    total = forecasting.evaluate(splitter.total)
    total = total[(total["model"] == splitter.total.champion) & (total["horizon"] == "1-90")]
    only_total = {"wape_to_baseline", "origins", "is_raced_out"}
    assert set(ours.index) == set(total["metric"]) - only_total | {"weekly_wape"}
    # the first of eight origins know but one or two before them
    assert ours["coverage_80"] == pytest.approx(0.8, abs=0.15)
    assert ours["coverage_95"] == pytest.approx(0.95, abs=0.15)
    # whole weeks, by hand
    rows = splitter.backtest[splitter.backtest["model"] == parts.RECONCILED]
    rows = rows[(rows["member"] == "summer") & (rows["days_ahead"] <= 84)]
    off = amount = 0.0
    for _, ahead in rows.groupby("origin"):
        ahead = ahead.sort_values("days_ahead")
        for first in range(0, len(ahead) // 7 * 7, 7):
            week = ahead.iloc[first : first + 7]
            off += abs(week["forecast"].sum() - week["actual"].sum())
            amount += week["actual"].sum()
    assert ours["weekly_wape"] == pytest.approx(off / amount)


def test_intervals_of_a_backtest_know_nothing_of_what_came_later(splitter):
    rows = splitter.backtest[
        (splitter.backtest["model"] == parts.RECONCILED)
        & (splitter.backtest["member"] == "winter")
        & (splitter.backtest["days_ahead"] <= 90)
    ]
    clean = parts._walked(splitter, 1, rows)
    origin = clean["origin"].iloc[0]
    later = rows["target_date"] > origin
    dirty = parts._walked(
        splitter, 1, rows.assign(actual=rows["actual"] * np.where(later, 50.0, 1.0))
    )
    columns = ["target_date", *forecast.BOUNDS]
    for table in (clean, dirty):
        assert set(table.loc[table["origin"] == origin, "days_ahead"]) == set(range(1, 91))
    pd.testing.assert_frame_equal(
        clean.loc[clean["origin"] == origin, columns], dirty.loc[dirty["origin"] == origin, columns]
    )


def test_the_future_changes_no_backtest_of_the_past():
    frame = shop(430)
    clean = fitted(frame, ("summer", "winter"))
    origins = sorted(clean.backtest["origin"].unique())
    poisoned = clean.parts.values.copy()
    poisoned[clean.parts.dates > origins[0]] *= 7
    dirty = parts.fit(
        parts.Parts(clean.parts.dates, clean.parts.members, poisoned, True), clean.total
    )
    rows = [
        s.backtest[(s.backtest["origin"] == origins[0]) & (s.backtest["model"] == parts.BASELINE)]
        for s in (clean, dirty)
    ]
    np.testing.assert_array_equal(rows[0]["forecast"], rows[1]["forecast"])
    assert (rows[0]["actual"].to_numpy() != rows[1]["actual"].to_numpy()).any()


def test_parts_that_know_more_than_the_total_are_refused(splitter):
    later = splitter.parts.dates + pd.Timedelta(days=1)
    known = parts.Parts(later, splitter.parts.members, splitter.parts.values)
    with pytest.raises(asof.LeakError):
        parts.fit(known, splitter.total)


def test_order_of_rows_changes_nothing():
    frame = shop(90)
    tables = [
        parts.predict(fitted(f, ("summer", "winter")))
        for f in (frame, frame.sample(frac=1, random_state=2))
    ]
    pd.testing.assert_frame_equal(*tables, check_exact=True)


@pytest.mark.parametrize("days", [30, 70])
def test_a_short_history_has_parts_without_a_season(days):
    table = parts.predict(fitted(shop(days), ("summer", "winter")))
    assert set(table["grain"]) == {"day"} and np.isfinite(table["yhat"]).all()


def test_members_large_enough_stand_for_themselves():
    sizes = pd.Series({"b": 50.0, "a": 50.0, "tiny": 0.9, "gone": 0.0, "returns": -3.0})
    assert parts.choose_members(sizes) == ("a", "b")
    many = pd.Series({f"m{i:02}": 100.0 - i for i in range(30)})
    assert parts.choose_members(many) == tuple(f"m{i:02}" for i in range(parts.MAX_MEMBERS))
    assert parts.choose_members(pd.Series({"only": 10.0})) == ()
    assert parts.choose_members(pd.Series(dtype=float)) == ()


def test_reconciling_by_hand():
    total = np.array([10.0, 6.0])
    own = np.array([[1.0, 3.0], [0.0, 0.0]])
    usual = np.array([0.75, 0.25])
    assert parts.reconcile(own, total, None, usual).tolist() == [[2.5, 7.5], [4.5, 1.5]]
    # what came back last week is no sale to expect
    returned = np.array([[-1.0, 3.0]])
    assert parts.reconcile(returned, total[:1], None, usual).tolist() == [[0.0, 10.0]]
    by_variance = parts.reconcile(own, total, np.array([0.25, 0.75]), usual)
    assert by_variance.tolist() == [[2.5, 7.5], [1.5, 4.5]]


def test_reconciled_parts_are_never_negative_and_add_up_whatever_they_are():
    random = np.random.default_rng(9)
    for _ in range(50):
        own = random.normal(1, 1, (20, 7)) * (random.random((20, 7)) < 0.5)
        total = forecast.on_grid(random.exponential(1000, 20) * (random.random(20) < 0.8))
        found = parts.reconcile(own, total, None, np.full(7, 1 / 7))
        assert (found >= 0).all() and (found.sum(axis=1) == total).all()
        assert (found.cumsum(axis=1)[:, -1] == total).all()
