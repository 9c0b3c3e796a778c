"""Lifetime value: the published CDNOW numbers, the models by hand, planted truth, gates."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from shops import TODAY, buyers, history

from ml import evaluation, lifetime
from ml.customers import bgnbd, gammagamma
from ml.customers.history import History, purchase_summary, snapshot
from ml.lifetime import lifetime as rules
from ml.lifetime import models

DATA = Path(os.environ.get("LEDGERLINE_DATA", Path(__file__).parents[4] / "shared" / "data"))
# CDs bought by 2,357 people who first came in early 1997: Fader & Hardie's public sample of CDNOW's
# customers (brucehardie.com/datasets): number in the master file, customer, date, CDs, dollars
CDNOW = DATA / "CDNOW_sample.txt"
# Fader, Hardie & Lee 2005, table 2: BG/NBD on the first 39 weeks, time in weeks
PUBLISHED = {"r": 0.243, "alpha": 4.414, "a": 0.793, "b": 2.426}
PUBLISHED_LIKELIHOOD = -9582.43


@pytest.fixture(scope="module")
def shop() -> History:
    return history(buyers(1500, 700))


@pytest.fixture(scope="module")
def model(shop) -> lifetime.LifetimeModel:
    return lifetime.fit(shop)


# --- against the papers ----------------------------------------------------------------------


@pytest.mark.skipif(not CDNOW.exists(), reason=f"the CDNOW sample is not in {DATA}")
def test_bgnbd_reproduces_the_published_parameters_and_forecast_of_cdnow():
    bought = pd.read_csv(CDNOW, sep=r"\s+", names=["_", "customer", "date", "cds", "amount"])
    bought["date"] = pd.to_datetime(bought["date"].astype(str), format="%Y%m%d")
    end = pd.Timestamp("1997-09-30")
    rows = bought.groupby(["customer", "date"], as_index=False)["amount"].sum()
    days = pd.DataFrame(
        {
            "customer_key": rows["customer"].astype(str),
            "activity_date": rows["date"],
            "orders": 1,
            "is_purchase": True,
            # some CDs cost nothing, and are purchases
            "demand_amount": rows["amount"],
            "returns_amount": 0.0,
            "same_day_returns_amount": 0.0,
        }
    )
    whole = history(days, rows["date"].max())
    known = snapshot(whole.up_to(end), 273)
    assert len(known) == 2357
    summary = purchase_summary(known)
    fitted = bgnbd.fit(*summary, penalty=0.0)
    for name, value in PUBLISHED.items():
        assert getattr(fitted, name) == pytest.approx(value, abs=0.0015)
    assert fitted.log_likelihood == pytest.approx(PUBLISHED_LIKELIHOOD, abs=0.01)
    ahead = whole.between(end, whole.as_of, whole.is_purchase.astype(float))[known.index]
    expected = fitted.expected_purchases(*summary, horizon_days=273)
    assert ahead.sum() == 1882
    # the paper's holdout: correlation .626
    assert np.corrcoef(ahead, expected)[0, 1] == pytest.approx(0.626, abs=0.001)
    assert expected.sum() / ahead.sum() - 1 == pytest.approx(-0.121, abs=0.002)
    # Gamma-Gamma as published (Fader & Hardie 2013), on purchases after the first
    first = rows.sort_values("date").drop_duplicates("customer").index
    later = rows[(rows["date"] <= end) & ~rows.index.isin(first)].groupby("customer")["amount"]
    published = gammagamma.fit(later.size().to_numpy(), later.mean().to_numpy(), least=1)
    assert (published.p, published.q, published.v) == pytest.approx((6.25, 3.74, 15.44), rel=0.01)
    # the product's: spend per purchase day of all purchases
    task = models.Task(whole.up_to(end), 273, 91)
    money = whole.between(end, whole.as_of, whole.net)[known.index]
    assert evaluation.gini(money, models.bg_gg(task)) > 0.66


def test_expected_purchases_of_the_paper_s_example():
    """Fader, Hardie & Lee, "Implementing the BG/NBD Model in Excel": 1.226 for their customer."""
    fitted = bgnbd.BgNbd(**PUBLISHED, log_likelihood=0.0)
    week = 7.0
    one = [np.array([value]) for value in (2.0, 30.43 * week, 38.86 * week)]
    assert fitted.expected_purchases(*one, 39 * week)[0] == pytest.approx(1.226, abs=0.001)
    assert fitted.expected_purchases(*one, 0.0)[0] == pytest.approx(0)
    # who bought 400 times until now gives no overflow: 361 at their rate, less those who leave
    many = [np.array([value]) for value in (400.0, 38.86 * week, 38.86 * week)]
    assert 361 * 0.7 < fitted.expected_purchases(*many, 39 * week)[0] < 361
    # a = 1 is no division by 0
    at_one = bgnbd.BgNbd(r=0.243, alpha=4.414, a=1.0, b=2.426, log_likelihood=0.0)
    near = bgnbd.BgNbd(r=0.243, alpha=4.414, a=1.0001, b=2.426, log_likelihood=0.0)
    assert at_one.expected_purchases(*one, 39 * week) == pytest.approx(
        near.expected_purchases(*one, 39 * week), rel=1e-3
    )


def test_gammagamma_finds_the_parameters_that_made_the_data():
    random = np.random.default_rng(3)
    p, q, v = 6.25, 3.74, 15.44  # the published CDNOW values
    purchases = random.integers(2, 12, 5000)
    scale = random.gamma(q, 1 / v, 5000)
    mean_spend = random.gamma(p * purchases) / scale / purchases
    fitted = gammagamma.fit(purchases, mean_spend)
    assert fitted.q == pytest.approx(q, rel=0.12)
    assert fitted.p == pytest.approx(p, rel=0.3)  # p and v alone are hardly told apart
    shop_mean = fitted.p * fitted.v / (fitted.q - 1)
    assert shop_mean == pytest.approx(p * v / (q - 1), rel=0.05)
    # drawn towards the shop's mean, the less the more is known
    few, many = fitted.expected(np.array([2, 50]), np.array([200.0, 200.0]))
    assert shop_mean < few < many < 200


# --- histories -------------------------------------------------------------------------------


def days_of(*rows: tuple) -> pd.DataFrame:
    columns = ["customer_key", "activity_date", "orders", "demand_amount", "returns_amount"]
    frame = pd.DataFrame(rows, columns=columns)
    frame["activity_date"] = pd.to_datetime(frame["activity_date"])
    # as in the features, where all that comes back on a day of orders is of them
    same_day = frame["returns_amount"].where(frame["orders"] > 0, 0.0)
    kept = (same_day == 0) | (same_day < frame["demand_amount"])
    frame["same_day_returns_amount"], frame["is_purchase"] = same_day, (frame["orders"] > 0) & kept
    return frame


def test_what_is_known_of_a_customer_by_hand():
    one = history(
        days_of(
            ("b", "2024-06-01", 1, 100.0, 0.0),
            ("a", "2024-01-01", 1, 10.0, 0.0),
            ("a", "2024-03-01", 2, 30.0, 5.0),  # part of it went back on the same day
            ("a", "2024-05-01", 1, 50.0, 50.0),  # all of it did: no purchase
            ("a", "2024-06-10", 1, 20.0, 0.0),
            ("a", "2024-06-20", 0, 0.0, 8.0),  # a return later on
            ("c", "2024-06-20", 0, 0.0, 3.0),  # a return makes nobody a customer
        )
    )
    table = snapshot(one, 90).set_index("customer_key")
    assert list(table.index) == ["a", "b"]
    a = table.loc["a"]
    assert (a["order_days"], a["orders"]) == (3, 4)
    assert (a["recency_days"], a["tenure_days"]) == (20, 181)
    assert (a["longest_gap_days"], a["gap_deviation_days"]) == (101, 20.5)  # gaps 60 and 101
    assert (a["sales_amount"], a["returns_amount"], a["monetary_amount"]) == (55, 63, 47)
    assert (a["order_days_30d"], a["demand_30d_amount"], a["demand_180d_amount"]) == (1, 20, 45)
    assert np.isnan(table.loc["b", "longest_gap_days"])
    assert one.between(pd.Timestamp("2024-03-01"), TODAY, one.net).tolist() == [12, 100, -3]


def test_what_comes_back_of_an_earlier_order_takes_nothing_from_the_day():
    days = days_of(("a", "2024-01-01", 1, 80.0, 0.0), ("a", "2024-06-20", 1, 30.0, 80.0))
    known = history(days.assign(same_day_returns_amount=0.0, is_purchase=True))
    assert known.sales.tolist() == [80, 30] and known.net.tolist() == [80, -50]


def test_a_cut_off_knows_what_was_known_on_its_day(shop):
    """A history that ends there gives the same features as a longer one that is cut there."""
    cut = TODAY - pd.Timedelta(days=200)
    rows = buyers(1500, 700)
    short = history(rows[rows["activity_date"] <= cut], cut)
    columns = [name for name in snapshot(short, 90) if name != "customer_key"]
    pd.testing.assert_frame_equal(
        snapshot(short, 90).set_index("customer_key"),
        snapshot(shop.up_to(cut), 90).set_index("customer_key"),
    )
    assert len(columns) > 15
    with pytest.raises(ValueError, match="dated after"):
        history(rows, cut)


def test_the_seasons_and_last_year_by_hand():
    rows = [
        (f"c{i}", str(day.date()), 1, 3.0 if day.month in (7, 8) else 1.0, 0.0)
        for i, day in enumerate(pd.date_range("2023-06-01", TODAY))
    ]
    task = models.Task(history(days_of(*rows)), horizon_days=60, learn_days=91)
    # 52 weeks before: 58 of the 60 days after 2023-07-02 are in July and August, and 2 later
    inside = 3.0 * 60
    year = 3.0 * 60 + 304
    assert task.season == pytest.approx(inside / (year * 60 / 364), rel=0.02)
    assert models.Task(task.history, 365, 91).season == pytest.approx(1)
    spent = models.last_year(task)
    assert spent.sum() == pytest.approx((3 * 62 + 303) * 60 / 365, rel=0.01)
    young = history(days_of(*rows[-200:]))
    assert models.Task(young, 60, 91).season == 1.0


def test_returns_lower_what_is_expected(shop):
    rows = buyers(1500, 700)
    back = rows.assign(
        activity_date=rows["activity_date"] + pd.Timedelta(days=5),
        orders=0, is_purchase=False, demand_amount=0.0, returns_amount=rows["demand_amount"] / 4,
    )  # fmt: skip
    back = back[back["activity_date"] <= TODAY]
    both = pd.concat([rows, back]).groupby(["customer_key", "activity_date"], as_index=False).sum()
    with_returns = models.Task(history(both), 365, 183)
    assert with_returns.kept_share == pytest.approx(0.75, abs=0.01)
    without = models.Task(shop, 365, 183)
    assert models.bg_gg(with_returns).sum() / models.bg_gg(without).sum() == pytest.approx(
        0.75, abs=0.02
    )


# --- the choice ------------------------------------------------------------------------------


def cuts_of(n_cuts: int = 3, **predicted: list[float]) -> pd.DataFrame:
    actual = [100.0, 50.0, 0.0, 0.0]
    return pd.concat(
        pd.DataFrame(
            {
                "as_of_date": TODAY - pd.Timedelta(days=cut),
                "model": name,
                "actual": actual,
                "predicted": values,
            }
        )
        for name, values in predicted.items()
        for cut in range(n_cuts)
    )


def test_the_champion_beats_last_year_or_last_year_scores():
    good, fair, bad = [99.0, 49.0, 1, 1], [80.0, 40.0, 9, 9], [5.0, 20.0, 60, 40]
    assert rules.choose_champion(cuts_of(last_year=fair, blend=good, bg_gg=bad)) == "blend"
    assert rules.choose_champion(cuts_of(last_year=good, blend=fair)) == "last_year"
    assert rules.choose_champion(cuts_of(2, last_year=fair, blend=good)) == "last_year"
    few = pd.concat([cuts_of(last_year=fair, blend=fair), cuts_of(2, random_forest=good)])
    assert rules.choose_champion(few) == "last_year"
    assert rules.choose_champion(pd.DataFrame()) == "last_year"


def test_planted_behaviour_is_recovered(model):
    """What the champion expects of the next year is what the same people really do in it."""
    longer = buyers(2500, 700 + 365, seed=4)
    cut = TODAY - pd.Timedelta(days=365)
    whole = history(longer)
    early = lifetime.fit(whole.up_to(cut))
    table = lifetime.predict(early)
    spent = whole.between(cut, TODAY, whole.net)[early.task.now.index]
    assert early.champion != models.BASELINE
    assert evaluation.gini(spent, table["predicted_amount"].to_numpy()) > 0.7
    assert abs(evaluation.bias(spent, table["predicted_amount"].to_numpy())) < 0.15
    inside = evaluation.coverage(spent, table["lo80"].to_numpy(), table["hi80"].to_numpy())
    assert inside == pytest.approx(rules.CONFIDENCE, abs=0.08)
    measured = lifetime.evaluate(model).set_index(["model", "metric"])["value"]
    assert measured[model.champion, "deviance"] < measured["last_year", "deviance"]


def test_a_model_that_fails_leaves_the_others(shop, model, monkeypatch):
    def broken(task: models.Task) -> np.ndarray:
        raise np.linalg.LinAlgError("Singular matrix")

    champion = model.champion
    assert champion != models.BASELINE
    one = models.ENSEMBLES.get(champion, (champion,))[0]
    monkeypatch.setattr(models, "MODELS", {**models.MODELS, one: broken})
    found = lifetime.fit(shop)
    assert f"{one} failed and is left out (LinAlgError: Singular matrix)" in found.note
    assert found.champion not in (one, champion)
    table = lifetime.predict(found)
    assert np.isfinite(table["predicted_amount"]).all() and len(table) == len(model.predicted)


def test_the_forest_scores_what_it_learned(shop):
    """Days in the same season are counted over the window that it learned from, also for a year."""
    longer = models.Task(shop, 365, 183)
    usual = models.Task(shop, 183, 183)
    one, other = models.random_forest(longer), models.random_forest(usual)
    assert one / one.sum() == pytest.approx(other / other.sum())


def test_each_feature_of_the_forest_stands_for_one_fact():
    assert sorted(sum(models.FACTS.values(), ())) == sorted(models._NUMBERS)


def test_what_the_forest_leans_on(shop, model):
    forest = replace(model, champion="random_forest")
    found = lifetime.importance(shop, forest).set_index("fact")
    assert set(found.index) == set(models.FACTS)
    assert {"spend", "frequency", "recency"} >= {found.index[0]}
    assert found["importance"].iloc[0] > 0.02
    assert found.loc["returns", "importance"] == pytest.approx(0, abs=1e-3)
    # what is a formula leans on all that it is made of
    assert lifetime.importance(shop, replace(model, champion="blend")).empty


def test_shuffled_outcomes_are_ranked_at_chance(shop):
    random = np.random.default_rng(1)
    cut = TODAY - pd.Timedelta(days=183)
    task = models.Task(shop.up_to(cut), 183, 183)
    spent = shop.between(cut, TODAY, shop.net)[task.now.index]
    for predicted in models.predict_all(task).values():
        found = [evaluation.gini(random.permutation(spent), predicted) for _ in range(20)]
        assert np.mean(found) == pytest.approx(0, abs=0.05)


def test_outcomes_after_the_as_of_date_change_nothing():
    """Everything from the as-of date on is made ten times as much: nothing scored may change."""
    rows = buyers(900, 500)
    cut = TODAY - pd.Timedelta(days=120)
    late = rows["activity_date"] > cut
    richer = rows.assign(
        demand_amount=rows["demand_amount"].where(~late, rows["demand_amount"] * 10)
    )
    tables = [lifetime.predict(lifetime.fit(history(frame).up_to(cut))) for frame in (rows, richer)]
    pd.testing.assert_frame_equal(*tables, check_exact=True)


# --- scores ----------------------------------------------------------------------------------


def test_score_table(shop, model):
    table = lifetime.predict(model)
    assert sorted(table["customer_key"]) == list(snapshot(shop, 365)["customer_key"])
    assert (table["predicted_amount"] >= 0).all()
    assert (table["lo80"] >= 0).all()
    assert (table["lo80"] <= table["predicted_amount"]).all()
    assert (table["predicted_amount"] <= table["hi80"]).all()
    assert set(table["horizon_days"]) == {365}


def test_rows_in_any_order_give_the_same_values(model):
    shuffled = history(buyers(1500, 700).sample(frac=1, random_state=3))
    other = lifetime.predict(lifetime.fit(shuffled))
    pd.testing.assert_frame_equal(lifetime.predict(model), other, check_exact=True)


# --- too little data -------------------------------------------------------------------------


def test_gates():
    rows = buyers(900, 500)
    once = rows.drop_duplicates("customer_key")
    recent = rows[rows["activity_date"] > TODAY - pd.Timedelta(days=120)]
    for frame, as_of, message in (
        (rows.head(0), TODAY, "0 customers, 500 are needed"),
        (rows.head(1), TODAY, "1 customers"),
        (rows[rows["customer_key"] < "c0400"], TODAY, "500 are needed"),
        (recent.assign(customer_key=[f"c{i}" for i in range(len(recent))]), TODAY, "days of hist"),
        (rows, TODAY + pd.Timedelta(days=31), "days old"),
        (once, TODAY, "nobody ordered on 3 days"),
    ):
        with pytest.raises(lifetime.TooLittleDataError, match=message):
            lifetime.fit(history(frame, as_of))


def test_a_short_history_has_the_baseline_without_interval():
    rows = buyers(1200, 200)
    found = lifetime.fit(history(rows))
    assert found.champion == models.BASELINE and "too short" in found.note
    table = lifetime.predict(found)
    assert table["lo80"].isna().all() and len(table) > 500
    assert lifetime.evaluate(found).empty
