"""Churn: BG/NBD against its paper, labels known in time, gates, champion, reasons."""

import numpy as np
import pandas as pd
import pytest

from ml import churn
from ml.churn import bgnbd, models
from ml.churn import churn as rules

TODAY = pd.Timestamp("2024-06-30")


def buyers(n: int, days: int, *, seed: int = 4) -> pd.DataFrame:
    """Purchases of a buy-till-you-die shop: customer_key, day (0 is the first day)."""
    random = np.random.default_rng(seed)
    rows = []
    for customer in range(n):
        day, rate, drop = random.uniform(0, days), random.gamma(0.6, 1 / 20), random.beta(1, 4)
        while day < days:
            rows.append((f"c{customer:04}", int(day), random.lognormal(3, 0.5)))
            if random.random() < drop:
                break
            day += random.exponential(1 / rate) + 1
    return pd.DataFrame(rows, columns=["customer_key", "day", "amount"]).drop_duplicates(
        ["customer_key", "day"]
    )


def features(purchases: pd.DataFrame, days: int, horizon: int = 90) -> pd.DataFrame:
    """The columns of features.customer_churn, 30 days apart, the last on the last day."""
    parts = []
    for as_of in range(days - 1, 60, -30):
        known = purchases[purchases["day"] <= as_of]
        ago = as_of - known["day"]
        groups = known.groupby("customer_key")
        table = pd.DataFrame(
            {
                "recency_days": as_of - groups["day"].max(),
                "tenure_days": as_of - groups["day"].min(),
                "order_days": groups.size(),
                "orders": groups.size(),
                "monetary_amount": groups["amount"].sum(),
                "returns_amount": 0.0,
                "longest_gap_days": groups["day"].apply(lambda d: d.diff().max()),
                "gap_deviation_days": groups["day"].apply(lambda d: d.diff().std(ddof=0)),
                "last_demand_amount": groups["amount"].last(),
                "order_days_same_season": known[(ago < 364) & (ago >= 364 - horizon)]
                .groupby("customer_key")
                .size(),
            }
        )
        for window in (30, 90, 180, 365):
            recent = known[ago < window].groupby("customer_key")
            table[f"order_days_{window}d"] = recent.size()
            table[f"demand_{window}d_amount"] = recent["amount"].sum()
        fill = [c for c in table if c.startswith(("order_days", "demand_"))]
        table[fill] = table[fill].fillna(0)
        ahead = purchases[purchases["day"].between(as_of + 1, as_of + horizon)]
        is_known = as_of + horizon <= days - 1
        table["is_churned"] = (
            pd.Series(~table.index.isin(ahead["customer_key"]), table.index).astype(object)
            if is_known
            else None
        )
        table["as_of_date"] = TODAY - pd.Timedelta(days=days - 1 - as_of)
        parts.append(table.reset_index())
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(scope="module")
def shop() -> pd.DataFrame:
    return features(buyers(1500, 600), 600)


@pytest.fixture(scope="module")
def model(shop) -> churn.ChurnModel:
    return churn.fit(shop)


# --- BG/NBD ----------------------------------------------------------------------------------


def test_bgnbd_finds_the_parameters_that_made_the_data():
    random = np.random.default_rng(11)
    r, alpha, a, b = 0.6, 6.0, 0.9, 3.0  # alpha in weeks
    n, weeks = 6000, 60.0
    rate, drop = random.gamma(r, 1 / alpha, n), random.beta(a, b, n)
    repeats, last = np.zeros(n), np.zeros(n)
    for i in range(n):
        at = 0.0
        while True:
            at += random.exponential(1 / rate[i])
            if at > weeks:
                break
            repeats[i], last[i] = repeats[i] + 1, at * 7
            if random.random() < drop[i]:
                break
    fitted = bgnbd.fit(repeats, last, np.full(n, weeks * 7))
    assert (fitted.r, fitted.alpha) == pytest.approx((r, alpha), rel=0.15)
    assert fitted.a / (fitted.a + fitted.b) == pytest.approx(a / (a + b), rel=0.15)


def test_bgnbd_probabilities():
    fitted = bgnbd.BgNbd(r=0.243, alpha=4.414, a=0.793, b=2.426, log_likelihood=0.0)
    x, t_x, t = np.array([0.0, 2.0, 2.0]), np.array([0.0, 210.0, 30.0]), np.array([266.0] * 3)
    alive = fitted.p_alive(x, t_x, t)
    assert alive[0] == 1.0  # a one-time buyer can't have dropped out: no measure of churn
    # the paper's formula by hand, in weeks: x = 2, t_x = 30, T = 38
    odds = 0.793 / (2.426 + 1) * ((4.414 + 38) / (4.414 + 30)) ** 2.243
    assert alive[1] == pytest.approx(1 / (1 + odds))
    silent = fitted.p_no_purchase(x, t_x, t, 91)
    assert silent[0] == pytest.approx(((4.414 + 38) / (4.414 + 38 + 13)) ** 0.243)
    assert silent[2] > silent[1]  # the longer silent, the likelier gone
    assert fitted.p_no_purchase(x, t_x, t, 0.0) == pytest.approx([1, 1, 1])


def test_bgnbd_refuses_a_shop_where_nobody_returns():
    once = np.zeros(500)
    with pytest.raises(bgnbd.NotFittedError, match="0 customers bought again"):
        bgnbd.fit(once, once, once + 100)


# --- time ------------------------------------------------------------------------------------


def test_a_label_from_the_future_is_refused(shop):
    leaking = shop.copy()
    leaking["is_churned"] = leaking["is_churned"].where(leaking["is_churned"].notna(), True)
    with pytest.raises(ValueError, match="after the last day"):
        churn.fit(leaking)


def test_models_see_no_label_that_was_unknown_on_their_day(shop, model):
    """Labels of the last 90 days before a cut are flipped: nothing scored at it may change."""
    cut = sorted(model.cuts["as_of_date"].unique())[0]
    flipped = shop.copy()
    too_late = (flipped["as_of_date"] > cut - pd.Timedelta(days=90)) & (
        flipped["is_churned"].notna()
    )
    flipped.loc[too_late, "is_churned"] = ~flipped.loc[too_late, "is_churned"].astype(bool)
    other = churn.fit(flipped)
    columns = ["model", "probability"]
    at = [m.cuts[m.cuts["as_of_date"] == cut][columns] for m in (model, other)]
    pd.testing.assert_frame_equal(*[frame.reset_index(drop=True) for frame in at])


# --- choice ----------------------------------------------------------------------------------


def cuts_of(**probabilities: list[float]) -> pd.DataFrame:
    outcome = [1.0, 1.0, 0.0, 0.0]
    return pd.concat(
        pd.DataFrame(
            {"as_of_date": TODAY, "model": name, "outcome": outcome, "probability": values}
        )
        for name, values in probabilities.items()
    )


def test_the_champion_has_the_least_brier_score():
    cuts = cuts_of(
        logistic=[0.6, 0.6, 0.4, 0.4], hist_gb=[0.9, 0.9, 0.1, 0.1], bg_nbd=[0.7, 0.7, 0.4, 0.4]
    )
    assert rules.choose_champion(cuts) == "hist_gb"


def test_what_does_not_beat_the_baseline_is_never_champion():
    cuts = cuts_of(logistic=[0.8, 0.8, 0.2, 0.2], hist_gb=[0.2, 0.9, 0.9, 0.1])
    assert rules.choose_champion(cuts) == "logistic"


def test_a_model_that_failed_at_a_cut_is_not_compared():
    first = cuts_of(logistic=[0.6, 0.6, 0.4, 0.4], bg_nbd=[1.0, 1.0, 0.0, 0.0])
    second = cuts_of(logistic=[0.6, 0.6, 0.4, 0.4]).assign(as_of_date=TODAY - pd.Timedelta(days=30))
    assert rules.choose_champion(pd.concat([first, second])) == "logistic"


def test_planted_behaviour_is_found_and_calibrated(model):
    measured = churn.evaluate(model).set_index(["model", "metric"])["value"]
    champion = model.champion
    assert measured[champion, "roc_auc"] > 0.7
    assert measured[champion, "ece"] < 0.08
    assert measured[champion, "brier"] < measured["base_rate", "brier"] - 0.01


def test_shuffled_labels_score_at_chance(shop):
    """Negative control: with no signal left, no model may look better than the churn rate."""
    shuffled = shop.copy()
    random = np.random.default_rng(9)
    known = shuffled["is_churned"].notna()
    shuffled.loc[known, "is_churned"] = random.permutation(
        shuffled.loc[known, "is_churned"].to_numpy()
    )
    measured = churn.evaluate(churn.fit(shuffled)).set_index(["model", "metric"])["value"]
    for name in ("logistic", "hist_gb"):
        assert measured[name, "roc_auc"] == pytest.approx(0.5, abs=0.05)


# --- scores ----------------------------------------------------------------------------------


def test_score_table(shop, model):
    table = churn.predict(model)
    latest = shop[shop["as_of_date"] == TODAY]
    assert sorted(table["customer_key"]) == sorted(latest["customer_key"])
    p = table["churn_probability"]
    assert p.between(0, 1).all()
    assert set(table.loc[p < 0.33, "tier"]) <= {"low"}
    assert set(table.loc[p.between(0.33, 0.66), "tier"]) <= {"medium"}
    assert set(table.loc[p > 0.66, "tier"]) <= {"high"}
    weights = table[[f"reason_{i}_log_odds" for i in (1, 2, 3)]].abs().to_numpy()
    assert (weights[:, 0] >= weights[:, 1]).all() and (weights[:, 1] >= weights[:, 2]).all()
    facts = latest.set_index("customer_key")["recency_days"]
    for row in table[table["reason_1"].str.startswith("last order")].head(20).itertuples():
        assert f" {facts[row.customer_key]} day" in row.reason_1


def test_reasons_add_up_to_the_logistic_model(model):
    x = np.random.default_rng(0).normal(size=(50, 5))
    odds = model.reasons.contributions(x).sum(axis=1) + model.reasons.intercept
    assert model.reasons.probability(x) == pytest.approx(1 / (1 + np.exp(-odds)))
    assert model.reasons.contributions(model.reasons.mean[None, :]) == pytest.approx(0)


def test_rows_in_any_order_give_the_same_scores(shop, model):
    other = churn.predict(churn.fit(shop.sample(frac=1, random_state=5)))
    pd.testing.assert_frame_equal(churn.predict(model), other, check_exact=True)


# --- too little data -------------------------------------------------------------------------


def test_gates(shop):
    latest_only = shop[shop["as_of_date"] == TODAY]
    few = shop[shop["customer_key"] < "c0060"]
    stale = shop.assign(recency_days=shop["recency_days"] + 31)
    loyal = shop.assign(is_churned=shop["is_churned"].where(shop["is_churned"].isna(), False))
    for frame, message in (
        (shop.head(0), "no customer"),
        (few, "100 are needed"),
        (stale, "days old"),
        (latest_only, "no day 90 days ago"),
        (loyal, "came back"),
    ):
        with pytest.raises(churn.TooLittleDataError, match=message):
            churn.fit(frame)


def test_without_a_past_cut_the_baseline_scores(shop):
    recent = shop[shop["as_of_date"] >= TODAY - pd.Timedelta(days=120)]
    model = churn.fit(recent)
    assert model.champion == models.BASELINE and "too short" in model.note
    assert churn.evaluate(model).empty
    assert len(churn.predict(model)) == (shop["as_of_date"] == TODAY).sum()
