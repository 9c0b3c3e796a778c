"""Elasticities: planted ones are found, noise and leaks are not, and refusals say why."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from ml import asof, elasticity
from ml.elasticity import backtest, models, pricing, shrinkage
from ml.elasticity import elasticity as rules
from ml.elasticity.panel import Panel, Rows

MONDAY = pd.Timestamp("2023-01-02")
TRUE = {"Toys": -0.6, "Books": -1.2, "Tools": -2.0}


def weeks_of(
    products: int = 90,
    weeks: int = 90,
    *,
    rate: float = 12.0,
    true: dict[str, float] | None = None,
    stores: dict[str, float] | None = None,
    group: str = "identified",
    cost: float | None = 4.0,
    spread: float = 0.3,
    seed: int = 1,
) -> pd.DataFrame:
    """Rows of features.product_price_weeks of a shop with known elasticities.

    Prices change twice a year; demand is Poisson with product, season and own-slope effects.
    `stores` are price levels; which store sells how much changes from week to week.
    """
    true, stores = true or TRUE, stores or {"main": 1.0}
    random = np.random.default_rng(seed)
    rows = []
    season = 0.4 * np.sin(np.arange(weeks) / 8.3)
    for product in range(products):
        category = list(true)[product % len(true)]
        own = true[category] + random.normal(0, spread)
        level, base = rate * random.lognormal(0, 0.5), 10 * random.lognormal(0, 0.4)
        price = 1.0
        for week in range(weeks):
            if random.random() < 1 / 20:
                price = random.choice([0.8, 0.9, 1.0, 1.1, 1.25])
            for store, factor in stores.items():
                share = random.uniform(0.2, 1.8) / len(stores)
                units = random.poisson(level * share * np.exp(season[week]) * price**own)
                if units:
                    rows.append(
                        (f"p{product:03}", category, store, units, base * price * factor, week)
                    )
    table = pd.DataFrame(
        rows, columns=["product_id", "category", "store_id", "units", "price_amount", "week"]
    )
    start = MONDAY + pd.to_timedelta(7 * table.pop("week"), unit="D")
    return table.assign(
        product_key=table["product_id"],
        buyer_group=group,
        orders=1,
        unit_cost_amount=cost,
        markdown_share=0.0,
        week_start_date=start,
        week_end_date=start + pd.Timedelta(days=6),
    )


@pytest.fixture(scope="module")
def shop() -> pd.DataFrame:
    return weeks_of()


@pytest.fixture(scope="module")
def model(shop) -> elasticity.ElasticityModel:
    return elasticity.fit(shop)


@pytest.fixture(scope="module")
def scores(model) -> pd.DataFrame:
    return elasticity.predict(model)


def categories(scores: pd.DataFrame) -> pd.DataFrame:
    return scores[scores["level"] == "category"].set_index("member")


# --- what was planted is found -------------------------------------------------------------------


def test_planted_elasticities_lie_in_their_intervals(scores):
    found = categories(scores)
    for name, true in TRUE.items():
        assert found.loc[name, "elasticity"] == pytest.approx(true, abs=0.25)
        assert found.loc[name, "lo95"] <= true <= found.loc[name, "hi95"]


def test_sparse_sales_are_no_excuse():
    """At one unit a week, weeks without a sale must count: least squares alone finds half."""
    sparse = weeks_of(150, 100, rate=1.2, true={"all": -1.5})
    model = elasticity.fit(sparse)
    assert model.champion == "identified: poisson"
    shop = elasticity.predict(model).iloc[0]
    assert shop["lo95"] <= -1.5 <= shop["hi95"]
    group = model.groups[0]
    least_squares = models.slopes(group.panel, group.products, "log_log")
    assert least_squares.pooled > -1.1


def test_a_dearer_store_selling_more_is_no_rise_in_price():
    two = weeks_of(60, 80, stores={"home": 1.0, "abroad": 2.5}, true={"all": -1.0})
    shop = elasticity.predict(elasticity.fit(two)).iloc[0]
    assert shop["elasticity"] == pytest.approx(-1.0, abs=0.2)


def test_prices_that_are_taken_apart_are_put_together_again():
    rows = pd.DataFrame(
        {
            "product_id": "p",
            "product_key": "p",
            "category": "c",
            "store_id": ["a", "a", "b", "b", "b"],
            "week_start_date": [MONDAY + pd.Timedelta(weeks=w) for w in (0, 1, 1, 2, 4)],
            "price_amount": [10.0, 12.0, 24.0, 24.0, 20.0],
            "units": [1.0, 2.0, 3.0, 1.0, 1.0],
            "markdown_share": 0.0,
        }
    )
    panel = Panel.learn(Rows.from_frame(rows), 4)
    change = np.diff(panel.price[0])
    assert change == pytest.approx([np.log(1.2), 0.0, -np.log(1.2)], abs=1e-4)
    assert panel.units[0].tolist() == [1, 5, 1, 1]
    assert np.exp(panel.level[1] - panel.level[0]) == pytest.approx(2.0, abs=1e-3)


def test_a_slip_of_the_keyboard_is_no_price(shop):
    slipped = shop.copy()
    slipped.loc[slipped.index[::400], "price_amount"] /= 10
    found = categories(elasticity.predict(elasticity.fit(slipped)))
    for name, true in TRUE.items():
        assert found.loc[name, "elasticity"] == pytest.approx(true, abs=0.35)


def test_a_markdown_has_an_answer_of_its_own():
    """Buyers answer to markdowns three times as much as to prices: neither spoils the other."""
    random = np.random.default_rng(5)
    plain = weeks_of(80, 90, true={"all": -1.0}, rate=20)
    week = (plain["week_start_date"] - MONDAY).dt.days // 7
    number = plain["product_id"].str[1:].astype(int)
    marked = ((week + 7 * number) % 9 == 0).to_numpy()
    plain["markdown_share"] = np.where(marked, 0.2, 0.0)
    plain["units"] = np.where(
        marked, random.poisson(plain["units"] * 0.8**-3.0), plain["units"]
    ).clip(1)
    shop = elasticity.predict(elasticity.fit(plain)).iloc[0]
    assert shop["elasticity"] == pytest.approx(-1.0, abs=0.2)
    assert shop["markdown_elasticity"] == pytest.approx(-3.0, abs=0.3)


def test_the_placebo_is_nothing_where_prices_change_by_chance(model):
    facts = model.groups[0].facts
    (lead, _), (error, _) = facts["placebo_lead_price"], facts["placebo_error"]
    assert abs(lead) < 3 * error and error < 0.25


def test_the_placebo_sees_prices_that_follow_demand(shop):
    """A shop that cuts the price after every bad week."""
    random = np.random.default_rng(3)
    rows = []
    for product in range(60):
        price, last = 1.0, 0.0
        for week in range(80):
            trend = 0.9 * last + random.normal(0, 0.3)
            units = random.poisson(20 * np.exp(trend) * price**-1.0)
            rows.append((f"p{product}", week, units, 10 * price))
            price, last = float(np.exp(0.3 * trend)), trend
    follows = shop.iloc[: len(rows)].copy()
    follows[["product_id", "week", "units", "price_amount"]] = pd.DataFrame(rows).to_numpy()
    follows = follows.astype({"units": float, "price_amount": float, "week": int})
    follows["week_start_date"] = MONDAY + pd.to_timedelta(7 * follows["week"], unit="D")
    follows["week_end_date"] = follows["week_start_date"] + pd.Timedelta(days=6)
    follows = follows[follows["units"] > 0].assign(
        product_key=lambda t: t["product_id"], category="c"
    )
    group = elasticity.fit(follows).groups[0]
    panel, products = group.panel, group.products
    lead, error = models.placebo(panel, products, "log_log")
    assert lead > 5 * error


# --- shrinkage -----------------------------------------------------------------------------------


def test_shrinkage_draws_noise_together_and_leaves_what_is_known():
    slope = np.array([-1.0, -1.2, -0.8, 5.0, -3.0])
    variance = np.array([0.01, 0.01, 0.01, 25.0, 0.0001])
    found = shrinkage.shrink(slope, variance, np.zeros(5, dtype=int))
    assert found.product[3] < 0 and found.product_error[3] < 5
    assert found.product[4] == pytest.approx(-3.0, abs=0.01)
    assert (found.product_error**2 <= variance + 1e-9).all()


def test_the_variance_between_products_is_that_of_the_true_slopes():
    random = np.random.default_rng(2)
    category = np.repeat([0, 1], 2000)
    true = np.array([-1.0, -2.0])[category] + random.normal(0, 0.4, 4000)
    variance = random.uniform(0.01, 1.0, 4000)
    seen = true + random.normal(0, np.sqrt(variance))
    assert shrinkage.paule_mandel(seen, variance, category) == pytest.approx(0.16, abs=0.02)
    found = shrinkage.shrink(seen, variance, category)
    assert np.mean((found.product - true) ** 2) < 0.6 * np.mean((seen - true) ** 2)
    inside = np.abs(found.product - true) < 1.96 * found.product_error
    assert inside.mean() == pytest.approx(0.95, abs=0.015)


def test_products_are_better_told_shrunk_than_raw(model):
    group = model.groups[0]
    measured = backtest.run(group.rows, group.rows.category, rules.identified)
    gains = measured[measured["metric"] == "deviance_gain"].set_index("model")["value"]
    assert gains["log_log"] > gains["log_log_raw"] and gains["poisson"] > gains["poisson_raw"]


# --- negative controls ---------------------------------------------------------------------------


def test_shuffled_prices_explain_nothing(shop):
    """Each product keeps its prices, but in the wrong weeks."""
    random = np.random.default_rng(7)
    shuffled = shop.copy()
    shuffled["price_amount"] = shuffled.groupby("product_id")["price_amount"].transform(
        lambda prices: random.permutation(prices.to_numpy())
    )
    model = elasticity.fit(shuffled)
    gains = model.groups[0].backtest.query("metric == 'deviance_gain'")["value"]
    assert gains.abs().max() < 0.05
    table = elasticity.predict(model)
    if model.groups[0].champion != backtest.BASELINE:
        shop_row = table.iloc[0]
        assert shop_row["lo95"] < 0.1 and shop_row["hi95"] > -0.1


def test_no_effect_is_refused_when_no_estimator_gains():
    measured = pd.DataFrame(
        [("log_log", "deviance_gain", -0.01, 9), ("poisson", "deviance_gain", 0.0, 9)],
        columns=["model", "metric", "value", "n"],
    )
    assert rules.choose_champion(measured) == backtest.BASELINE
    measured["value"] += 0.02
    assert rules.choose_champion(measured) == "poisson"


def test_a_baseline_that_was_not_beaten_shows_no_number(model):
    group = dataclasses.replace(
        model.groups[0], champion=backtest.BASELINE, slopes=None, shrunk=None
    )
    table = elasticity.predict(dataclasses.replace(model, groups=(group,)))
    assert set(table["status"]) == {"refused"} and (table["reason"] != "").all()
    assert table["elasticity"].isna().all() and list(table.columns) == list(rules.COLUMNS)


def test_a_row_that_ends_after_its_week_is_a_leak(shop):
    leaking = shop.copy()
    leaking.loc[leaking.index[0], "week_end_date"] += pd.Timedelta(days=3650)
    with pytest.raises(asof.LeakError, match="week_end_date"):
        elasticity.fit(leaking)


def test_what_comes_after_an_origin_changes_nothing_before_it(shop):
    rows = Rows.from_frame(shop)
    cut = 60
    known = Panel.learn(rows, cut)
    later = shop.copy()
    after = (later["week_start_date"] - MONDAY).dt.days // 7 >= cut
    later.loc[after, ["price_amount", "units"]] *= 2.0
    assert np.array_equal(Panel.learn(Rows.from_frame(later), cut).price, known.price)


def test_the_order_of_rows_changes_nothing_and_a_second_run_neither(shop, scores):
    again = elasticity.predict(elasticity.fit(shop.sample(frac=1, random_state=3)))
    pd.testing.assert_frame_equal(again, scores)


def test_identified_and_anonymous_buyers_are_never_mixed():
    """Anonymous buyers pay twice the price; together they would look like one steep demand."""
    both = pd.concat(
        [
            weeks_of(40, 70, true={"all": -1.0}),
            weeks_of(40, 70, true={"all": -2.0}, group="anonymous", rate=6, seed=9).assign(
                price_amount=lambda t: 2 * t["price_amount"]
            ),
        ]
    )
    table = elasticity.predict(elasticity.fit(both))
    shops = table[table["level"] == "shop"].set_index("buyer_group")
    assert shops.loc["identified", "elasticity"] == pytest.approx(-1.0, abs=0.25)
    assert shops.loc["anonymous", "elasticity"] == pytest.approx(-2.0, abs=0.3)
    assert shops["is_lead"].to_dict() == {"identified": True, "anonymous": False}


# --- refusals ------------------------------------------------------------------------------------


def test_raw_slopes_are_in_no_row(model, scores):
    group = model.groups[0]
    shown = scores.set_index(["level", "member"])["elasticity"]
    raw = pd.Series(group.slopes.slope, index=group.rows.products[group.products])
    assert not np.isclose(shown["product"][raw.index], raw, atol=1e-9).any()


def test_a_product_at_one_price_or_in_few_weeks_is_refused(shop):
    steady = shop.copy()
    steady.loc[steady["product_id"] == "p000", "price_amount"] = 5.0
    young = steady["product_id"] == "p001"
    start = steady["week_start_date"]
    steady = steady[~young | (start >= start.max() - pd.Timedelta(weeks=15))]
    table = elasticity.predict(elasticity.fit(steady)).query("level == 'product'")
    table = table.set_index("member")
    assert "hardly changed" in table.loc["p000", "reason"]
    assert "weeks, 20 are needed" in table.loc["p001", "reason"]
    refused = table[table["status"] == "refused"]
    assert refused[["elasticity", "lo95", "hi95", "advised_amount"]].isna().all().all()
    assert {"p000", "p001"} <= set(refused.index) and len(refused) < 15
    assert (refused["reason"] != "").all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.iloc[:0], "no product was sold"),
        (lambda t: t[t["week_start_date"] < MONDAY + pd.Timedelta(weeks=3)], "3 weeks with sales"),
        (lambda t: t[t["product_id"] == "p000"], "1 of 1 products"),
        (lambda t: t.assign(price_amount=9.99), "0 of 90 products"),
    ],
    ids=["empty", "three weeks", "one product", "one price"],
)
def test_too_little_data_is_said(shop, change, message):
    with pytest.raises(elasticity.TooLittleDataError, match=message):
        elasticity.fit(change(shop))


# --- advice --------------------------------------------------------------------------------------

TEN = {"price": 10.0, "units": 100.0, "lowest": 5.0, "highest": 20.0}


def test_the_best_price_is_the_textbooks():
    """Constant elasticity e < -1: the best price is cost x e / (1 + e)."""
    advice = pricing.advise(-2.0, 1e-6, unit_cost=6.0, **TEN)
    assert advice.action == "raise"
    assert advice.price == pytest.approx(12.0, rel=0.03)
    gain = 100 * (1.2**-2 * (12 - 6) - 4)
    assert advice.gain == pytest.approx(gain, rel=0.05)


def test_advice_stays_within_the_prices_that_were_tried():
    advice = pricing.advise(-0.5, 0.05, unit_cost=6.0, **TEN | {"highest": 11.0})
    assert (advice.action, advice.price) == ("raise", pytest.approx(11.0))
    assert "end of the prices tried" in advice.reason
    untried = TEN | {"lowest": 10.0, "highest": 10.0}
    assert pricing.advise(-0.5, 0.05, unit_cost=6.0, **untried).action == "none"


def test_an_unsure_elasticity_gives_no_advice():
    advice = pricing.advise(-2.4, 1.5, unit_cost=6.0, **TEN)
    assert advice.action == "keep" and advice.gain_low < 0 < advice.gain_high
    assert "may also fall" in advice.reason
    unknown = pricing.advise(-2.0, 0.1, unit_cost=float("nan"), **TEN)
    assert (unknown.action, unknown.reason) == ("none", "the unit cost is not known")


def test_products_without_costs_get_no_advice():
    table = elasticity.predict(elasticity.fit(weeks_of(40, 70, cost=None)))
    advice = table.query("level == 'product' and status == 'identified'")["advice"]
    assert set(advice) == {"none"}


def test_measures_name_champion_and_baseline(model):
    measured = elasticity.evaluate(model)
    assert not measured.duplicated(["series", "model", "horizon", "metric"]).any()
    assert set(measured.loc[measured["is_baseline"], "model"]) == {"no_price_effect"}
    assert measured.loc[measured["is_baseline"], "value"].eq(0).all()
    champion = measured[measured["is_champion"]].set_index("metric")["value"]
    assert champion["deviance_gain"] > 0.05 and champion["negative_share"] > 0.9
