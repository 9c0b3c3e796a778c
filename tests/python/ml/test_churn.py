"""Churn: BG/NBD against its paper, labels known in time, gates, champion, reasons, lists."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from shops import TODAY, buyers, history

from ml import churn, evaluation
from ml.asof import SUSPICIOUS_AUC, LeakError
from ml.churn import churn as rules
from ml.churn import models, traits, winback
from ml.customers import bgnbd
from ml.customers.history import History, snapshot
from ml.jobs import churn as job

HORIZON = pd.Timedelta(days=90)


@pytest.fixture(scope="module")
def days() -> pd.DataFrame:
    return buyers(1500, 600)


@pytest.fixture(scope="module")
def shop(days) -> History:
    return history(days)


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


def test_a_label_whose_window_is_not_over_is_refused(shop):
    with pytest.raises(LeakError, match="known_on"):
        models.labelled(shop, TODAY - HORIZON + pd.Timedelta(days=1), 90)
    frame = models.labelled(shop, TODAY - HORIZON, 90)
    later = shop.is_purchase & (shop.day > np.datetime64(TODAY - HORIZON, "D"))
    came_back = np.isin(frame.index, shop.customer[later])
    assert (frame["is_churned"].to_numpy() == ~came_back).all()


def test_what_happens_after_a_day_changes_nothing_scored_on_it(days):
    """Everybody comes back once more after the cut, or nobody does: the scores are the same."""
    cut = TODAY - HORIZON
    before = days[days["activity_date"] <= cut]
    everybody = before.drop_duplicates("customer_key").assign(
        activity_date=cut + pd.Timedelta(days=5)
    )
    tables = [
        churn.predict(churn.fit(history(frame).up_to(cut)))
        for frame in (before, pd.concat([before, everybody]))
    ]
    pd.testing.assert_frame_equal(*tables, check_exact=True)


def test_a_label_made_of_a_feature_is_flagged(shop):
    """The tutorials' leak: "gone" is a last order 90 days ago, and recency is a feature."""
    parts = []
    for days_ago in (90, 120):
        task = models.Task.at(shop.up_to(TODAY - pd.Timedelta(days=days_ago)), 90)
        leaking = models.Task(
            task.train.assign(is_churned=task.train["recency_days"] > 90), task.score, 90
        )
        outcome = (task.score["recency_days"] > 90).astype(float).to_numpy()
        for name, probability in models.predict_all(leaking).items():
            parts.append(
                pd.DataFrame(
                    {
                        "as_of_date": task.score["as_of_date"].iloc[0],
                        "model": name,
                        "outcome": outcome,
                        "probability": probability,
                    }
                )
            )
    cuts = pd.concat(parts)
    part = cuts[cuts["model"] == "hist_gb"]
    assert evaluation.roc_auc(part["outcome"], part["probability"].to_numpy()) > SUSPICIOUS_AUC
    assert "hist_gb is 1.000, too good to be true" in rules._note(cuts, "hist_gb")


def test_an_honest_comparison_is_not_flagged(model):
    assert "leak" not in model.note


def test_rows_split_at_random_would_flatter(shop):
    """Why nothing here splits rows at random: a customer's overlapping snapshots answer for each
    other, and the AUC rises without anything having been learned."""
    from sklearn.ensemble import RandomForestClassifier

    dates = [TODAY - HORIZON - pd.Timedelta(days=15 * i) for i in range(8)]
    stacked = pd.concat([models.labelled(shop, date, 90) for date in dates], ignore_index=True)
    x, y = np.nan_to_num(models.matrix(stacked), nan=-1), models.labels(stacked)

    def auc(train: np.ndarray, test: np.ndarray) -> float:
        forest = RandomForestClassifier(30, min_samples_leaf=2, random_state=1)
        forest.fit(x[train], y[train])
        return evaluation.roc_auc(y[test], forest.predict_proba(x[test])[:, 1])

    at_random = np.random.default_rng(2).random(len(y)) < 0.7
    known = stacked["known_on"] <= TODAY - HORIZON  # windows that were over when the last began
    in_time = known.to_numpy(), (stacked["as_of_date"] == TODAY - HORIZON).to_numpy()
    assert auc(at_random, ~at_random) > auc(*in_time) + 0.03


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


def test_a_blend_scores_where_it_is_as_good_as_the_best_but_for_chance():
    good, fair, poor = [0.9, 0.9, 0.1, 0.1], [0.8, 0.8, 0.2, 0.2], [0.6, 0.6, 0.4, 0.4]
    days = [TODAY - pd.Timedelta(days=30 * i) for i in range(6)]

    def champion(single: list[list[float]], blend: list[list[float]]) -> str:
        parts = [
            cuts_of(logistic=poor, bg_nbd=one, blend=other).assign(as_of_date=day)
            for day, one, other in zip(days, single, blend, strict=True)
        ]
        return rules.choose_champion(pd.concat(parts))

    # ahead on one day of six: chance
    assert champion([good] + [fair] * 5, [fair] * 6) == "blend"
    assert champion([good] * 6, [fair] * 6) == "bg_nbd"  # ahead on all
    assert champion([poor] * 6, [poor] * 6) == "logistic"


def test_a_model_of_one_day_is_not_compared_with_those_of_more():
    first = cuts_of(logistic=[0.6, 0.6, 0.4, 0.4], bg_nbd=[1.0, 1.0, 0.0, 0.0])
    second = cuts_of(logistic=[0.6, 0.6, 0.4, 0.4]).assign(as_of_date=TODAY - pd.Timedelta(days=30))
    assert rules.choose_champion(first) == "bg_nbd"
    assert rules.choose_champion(pd.concat([first, second])) == "logistic"


def test_planted_behaviour_is_found_and_calibrated(model):
    measured = churn.evaluate(model).set_index(["model", "metric"])["value"]
    champion = model.champion
    assert measured[champion, "roc_auc"] > 0.7
    assert measured[champion, "ece"] < 0.08
    assert measured[champion, "brier"] < measured["base_rate", "brier"] - 0.01
    cells = ("true_positive", "false_positive", "false_negative", "true_negative")
    assert sum(measured[champion, cell] for cell in cells) == pytest.approx(1)
    assert measured[champion, "accuracy"] > measured["base_rate", "accuracy"]
    assert measured[champion, "recall"] > 0.5 and measured[champion, "precision"] > 0.5


def test_shuffled_labels_score_at_chance(shop):
    """Negative control: with no signal left, no model may look better than the churn rate."""
    random = np.random.default_rng(9)
    found = []
    for days_ago in (90, 150, 210):
        date = TODAY - pd.Timedelta(days=days_ago)
        task = models.Task.at(shop.up_to(date), 90)
        outcome = random.permutation(models.labels(models.labelled(shop, date, 90)))
        shuffled = models.Task(
            task.train.assign(is_churned=random.permutation(task.train["is_churned"])),
            task.score,
            90,
        )
        found.append(
            {
                name: evaluation.roc_auc(outcome, probability)
                for name, probability in models.predict_all(shuffled).items()
            }
        )
    for name, auc in pd.DataFrame(found).mean().items():
        assert auc == pytest.approx(0.5, abs=0.05), name


def test_the_season_of_last_year_is_what_bgnbd_missed_then():
    rows = buyers(1500, 760)
    # nobody orders in the 90 days after this day a year ago, nor in those after today
    closed = TODAY - pd.Timedelta(days=364)
    in_break = (rows["activity_date"] > closed) & (rows["activity_date"] <= closed + HORIZON)
    quiet = history(rows[~in_break])
    usual = models.Task.at(history(rows), 90)
    task = models.Task.at(quiet, 90)
    assert task.season_log_odds > 3 and abs(usual.season_log_odds) < 0.5
    found = models.predict_all(task)
    assert found["blend_season"].mean() > found["blend"].mean() + 0.1
    assert models.Task.at(quiet.up_to(TODAY - pd.Timedelta(days=300)), 90).season_log_odds is None


# --- the shop's own horizon --------------------------------------------------------------------


def test_the_own_horizon_is_what_nine_of_ten_pauses_stay_below():
    rows = pd.DataFrame(
        {
            "customer_key": [f"c{i % 20}" for i in range(400)],
            "activity_date": [TODAY - pd.Timedelta(days=40 * (i // 20)) for i in range(400)],
            "orders": 1,
            "is_purchase": True,
            "demand_amount": 5.0,
            "returns_amount": 0.0,
            "same_day_returns_amount": 0.0,
        }
    )
    assert rules.own_horizon(history(rows)) == 40
    assert rules.own_horizon(history(rows.head(100))) is None  # 80 pauses
    daily = rows.assign(activity_date=[TODAY - pd.Timedelta(days=i // 20) for i in range(400)])
    assert rules.own_horizon(history(daily)) == rules.OWN_BOUNDS[0]


# --- scores ----------------------------------------------------------------------------------


def test_score_table(shop, model):
    table = churn.predict(model)
    latest = snapshot(shop, 90)
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


def test_rows_in_any_order_give_the_same_scores(days, model):
    other = churn.predict(churn.fit(history(days.sample(frac=1, random_state=5))))
    pd.testing.assert_frame_equal(churn.predict(model), other, check_exact=True)


# --- traits ------------------------------------------------------------------------------------


def people(n: int = 400) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Half of the Germans leave, a tenth of the others; channels go with nothing."""
    random = np.random.default_rng(3)
    german = np.arange(n) % 2 == 0
    frame = pd.DataFrame(
        {
            "customer_key": [f"c{i}" for i in range(n)],
            "recency_days": 30.0,
            "tenure_days": 200.0,
            "order_days": 2,
            "longest_gap_days": 100.0,
            "sales_amount": random.lognormal(3, 1, n),
            "returns_amount": 0.0,
            "demand_90d_amount": 5.0,
            "demand_180d_amount": 10.0,
            "order_days_same_season": 0,
            "is_churned": random.random(n) < np.where(german, 0.5, 0.1),
        }
    )
    facts = pd.DataFrame(
        {
            "customer_key": frame["customer_key"],
            "first_country": np.where(german, "DE", "FR"),
            "first_channel": np.where(np.arange(n) % 4 < 2, "web", None),
        }
    )
    return frame, facts


def test_traits_of_those_who_left_by_hand():
    frame, facts = people()
    table = traits.measure(frame, facts)
    top = table.iloc[0]
    german = (facts["first_country"] == "DE").to_numpy()
    left = frame["is_churned"].to_numpy()
    assert {top["trait"], table.iloc[1]["trait"]} == {"first country"}
    mine = table[table["value"] == "DE"].iloc[0]
    assert mine["people"] == 200
    assert mine["churned_share"] == pytest.approx(german[left].mean())
    assert mine["kept_share"] == pytest.approx(german[~left].mean())
    assert mine["lift"] == pytest.approx(mine["churned_share"] / mine["kept_share"])
    assert mine["lift"] > 1.5
    assert mine["churn_rate"] == pytest.approx(left[german].mean())
    assert mine["is_clear"]
    assert not table[table["trait"] == "first channel"]["is_clear"].any()
    assert "has ordered once" not in set(table["trait"])  # nobody has: no trait


def test_traits_of_chance_are_rarely_clear():
    frame, facts = people()
    random = np.random.default_rng(1)
    clear = [
        traits.measure(frame.assign(is_churned=random.permutation(frame["is_churned"])), facts)[
            "is_clear"
        ].any()
        for _ in range(20)
    ]
    assert sum(clear) <= 3


def test_too_few_who_left_have_no_traits():
    frame, facts = people()
    assert traits.measure(frame.assign(is_churned=False), facts).empty
    assert traits.measure(frame.assign(recency_days=181.0), facts).empty


# --- winning back ------------------------------------------------------------------------------


def scores(n: int = 5000) -> pd.DataFrame:
    random = np.random.default_rng(5)
    return pd.DataFrame(
        {
            "customer_key": [f"c{i}" for i in range(n)],
            "churn_probability": random.random(n),
            "expected_amount": random.lognormal(3, 1, n),
            "margin_share": 0.4,
        }
    )


def test_the_list_holds_most_of_the_margin_at_stake_the_greatest_first():
    table = winback.make_list(scores(), TODAY)
    at_stake = (
        scores()
        .query("churn_probability > 0.5")
        .eval("churn_probability * expected_amount * margin_share")
    )
    held = table["expected_margin_amount"].sum() / at_stake.sum()
    assert winback.SHARE_AT_STAKE <= held < winback.SHARE_AT_STAKE + 0.01
    assert len(table) < len(at_stake) * 0.7
    assert table["expected_margin_amount"].is_monotonic_decreasing
    assert (table["churn_probability"] > 0.5).all()
    assert set(table["campaign"]) == {"2024-Q2"}


def test_the_holdout_is_drawn_by_customer_and_campaign():
    table = winback.make_list(scores(), TODAY)
    again = winback.make_list(scores().sample(frac=1, random_state=1), TODAY)
    pd.testing.assert_frame_equal(table, again)
    assert table["is_holdout"].mean() == pytest.approx(winback.HOLDOUT_SHARE, abs=0.03)
    # chance decides, not worth: both halves are alike
    worth = table.groupby("is_holdout")["expected_margin_amount"].mean()
    assert worth[True] == pytest.approx(worth[False], rel=0.15)
    same_quarter = winback.make_list(scores(), TODAY - pd.Timedelta(days=59))
    assert (same_quarter["is_holdout"] == table["is_holdout"]).all()
    next_quarter = winback.make_list(scores(), TODAY + pd.Timedelta(days=1))
    assert (next_quarter["is_holdout"] != table["is_holdout"]).mean() > 0.2


def test_a_margin_is_drawn_towards_the_shops_and_needs_costs():
    facts = pd.DataFrame(
        {
            "customer_key": ["a", "b", "c"],
            "net_amount": [100.0, 100.0, 0.0],
            "margin_amount": [60.0, 20.0, 0.0],
            "demand_amount": [100.0, 100.0, 0.0],
            "costed_demand_amount": [100.0, 90.0, 0.0],
        }
    )
    found = winback.margin_share(facts).set_index("customer_key")["margin_share"]
    assert 0.4 < found["a"] < 0.6 and 0.2 < found["b"] < 0.4
    assert found["c"] == pytest.approx(0.4)  # nothing known of them: the shop's
    unknown = winback.margin_share(facts.assign(costed_demand_amount=50.0))
    assert (unknown["margin_share"] == 1).all()


def test_a_model_that_fails_leaves_the_others(days, monkeypatch):
    def broken(task: models.Task) -> np.ndarray:
        raise np.linalg.LinAlgError("Singular matrix")

    def endless(task: models.Task) -> np.ndarray:
        return np.full(len(task.score), np.nan)

    broken_ones = {"hist_gb": broken, "random_forest": endless}
    monkeypatch.setattr(models, "BASE_MODELS", {**models.BASE_MODELS, **broken_ones})
    found = churn.fit(History.from_frame(days, TODAY))
    assert "hist_gb failed and is left out (LinAlgError: Singular matrix)" in found.note
    assert "random_forest failed and is left out (ValueError" in found.note
    measured = set(churn.evaluate(found)["model"])
    assert "bg_nbd" in measured and not measured & {"hist_gb", "random_forest", "blend"}
    assert np.isfinite(found.probability).all()


# --- what it leans on --------------------------------------------------------------------------


def test_each_feature_stands_for_one_fact():
    assert sorted(sum(models.FACTS.values(), ())) == sorted(models.NUMBERS)


def test_churn_leans_on_who_bought_when_and_not_on_returns(shop, model):
    """Nobody of the shop sends anything back."""
    found = churn.importance(shop, model).set_index("fact")
    assert set(found.index) == set(models.FACTS)
    assert {"recency", "frequency"} & set(found.index[:2])
    assert found.loc["returns", "importance"] == pytest.approx(0, abs=1e-3)
    assert found["importance"].iloc[0] > 0.05
    none = churn.importance(shop, replace(model, cuts=model.cuts.head(0)))
    assert none.empty


def test_rows_that_are_scored_teach_nothing_of_those_that_are_known(shop):
    """Whoever stands beside a customer, his probability is the same."""
    task = models.Task.at(shop.up_to(TODAY - HORIZON), 90)
    few = pd.concat([task.score.head(50)] * 2, ignore_index=True)
    asked = replace(task, score=few, known=task.score)
    for name, usual in models.predict_all(task).items():
        alone = models.predict(name, asked)
        assert alone == pytest.approx(np.tile(usual[:50], 2), abs=1e-12), name


# --- the job -----------------------------------------------------------------------------------


def test_the_job_writes_scores_traits_and_a_list(days, model):
    keys = sorted(days["customer_key"].unique())
    facts = pd.DataFrame(
        {
            "customer_key": keys,
            "first_country": np.where(np.arange(len(keys)) % 3 == 0, "DE", "FR"),
            "net_amount": 100.0,
            "margin_amount": 40.0,
            "demand_amount": 100.0,
            "costed_demand_amount": 100.0,
        }
    )
    found = job.result(days, facts, TODAY)
    assert found.status == "ok" and found.champion == model.champion
    table = found.tables["churn_scores"]
    assert table["churn_probability"].tolist() == model.probability.tolist()
    own = rules.own_horizon(history(days))
    assert set(table["own_horizon_days"]) == {own}
    longer = own > 90
    mean = table[["churn_probability", "own_churn_probability"]].mean()
    assert (mean.iloc[0] > mean.iloc[1]) == longer  # more time, more who come back
    assert set(found.metrics["series"]) == {"customers", "own_rhythm"}
    assert found.metrics.groupby("series")["is_champion"].any().all()
    assert len(found.tables["churn_traits"]) > 3
    assert set(found.importance["model"]) == {found.champion}
    listed = found.tables["winback"]
    assert len(listed) and set(listed["margin_share"].round(6)) == {0.4}
    none = job.result(days.head(0), facts.head(0), None)
    assert none.status == "too_little_data" and not none.tables


# --- too little data -------------------------------------------------------------------------


def test_gates(days):
    loyal = buyers(300, 200).assign(customer_key=lambda frame: frame["customer_key"].str[:2])
    everyday = pd.concat(
        loyal.head(1).assign(
            customer_key=f"c{i}", activity_date=TODAY - pd.to_timedelta([0, 80, 160], unit="D")[j]
        )
        for i in range(150)
        for j in range(3)
    )
    recent = days[days["activity_date"] > TODAY - pd.Timedelta(days=80)]
    for frame, as_of, message in (
        (days.head(0), TODAY, "no customer"),
        (days.head(1), TODAY, "1 customers, 100 are needed"),
        (days[days["customer_key"] < "c0060"], TODAY, "100 are needed"),
        (days, TODAY + pd.Timedelta(days=31), "days old"),
        (recent, TODAY, "no day 90 days ago"),
        (everyday, TODAY, "came back"),
    ):
        with pytest.raises(churn.TooLittleDataError, match=message):
            churn.fit(history(frame, as_of))


def test_without_a_past_cut_the_baseline_scores(days):
    recent = days[days["activity_date"] >= TODAY - pd.Timedelta(days=150)]
    found = churn.fit(history(recent))
    assert found.champion == models.BASELINE and "too short" in found.note
    assert churn.evaluate(found).empty
    assert len(churn.predict(found)) == recent["customer_key"].nunique()
