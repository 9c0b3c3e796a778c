"""Recommendations: matrices by hand, planted tastes and rules found, gates, nothing from ahead."""

import numpy as np
import pandas as pd
import pytest
from demo import demo
from scipy import sparse

from ml import asof, recommendations
from ml.recommendations import items, ranker, recommend
from ml.recommendations.baskets import ANONYMOUS, Baskets, days_of
from ml.recommendations.taste import BASKET_DECAY, Taste, taste

TODAY = pd.Timestamp("2024-06-30")


def rows(*baskets: tuple[int, str | None, str]) -> pd.DataFrame:
    """Lines of baskets: days ago, customer, one letter per product."""
    lines = [
        (f"o{number}", customer, product, TODAY - pd.Timedelta(days=ago), 1.0)
        for number, (ago, customer, products) in enumerate(baskets)
        for product in products
    ]
    columns = ["order_id", "customer_key", "product_key", "order_date", "quantity"]
    return pd.DataFrame(lines, columns=columns)


def shop(
    customers: int = 300, days: int = 400, products: int = 60, *, loyal: float = 0.6, seed: int = 3
) -> pd.DataFrame:
    """Orders of people with favourites: a share `loyal` of each basket is from the customer's own
    five products, the rest from a popularity that falls from the first product to the last."""
    random = np.random.default_rng(seed)
    popularity = 1 / np.arange(1, products + 1)
    popularity /= popularity.sum()
    lines, order = [], 0
    for customer in range(customers):
        own = random.choice(products, 5, replace=False)
        day = random.uniform(0, 60)
        while day < days:
            size = 1 + random.poisson(3)
            basket = {
                int(
                    random.choice(own)
                    if random.random() < loyal
                    else random.choice(products, p=popularity)
                )
                for _ in range(size)
            }
            date = TODAY - pd.Timedelta(days=days - 1 - int(day))
            lines += [(f"o{order:06}", f"c{customer:04}", f"p{p:03}", date, 1.0) for p in basket]
            order += 1
            day += random.exponential(30) + 1
    columns = ["order_id", "customer_key", "product_key", "order_date", "quantity"]
    return pd.DataFrame(lines, columns=columns)


@pytest.fixture(scope="module")
def lines() -> pd.DataFrame:
    return shop()


@pytest.fixture(scope="module")
def model(lines) -> recommendations.Model:
    return recommendations.fit(lines)


# --- baskets ---------------------------------------------------------------------------------


def test_baskets_are_numbered_in_time():
    baskets = Baskets.from_frame(
        rows((1, "b", "xz"), (9, None, "y"), (5, "a", "zy"), (5, "b", "x"))
    )
    assert baskets.items.tolist() == ["x", "y", "z"]
    assert baskets.customers.tolist() == ["a", "b"]
    assert baskets.basket_customer.tolist() == [ANONYMOUS, 0, 1, 1]
    assert baskets.by_basket.toarray().tolist() == [[0, 1, 0], [0, 1, 1], [1, 0, 0], [1, 0, 1]]
    assert baskets.places.tolist() == [0, 0, 1, 0]
    past = baskets.until(baskets.last_day - 1)
    assert past.by_basket.toarray().tolist() == [[0, 1, 0], [0, 1, 1], [1, 0, 0]]
    assert past.places.tolist() == [0, 0, 0]  # what comes later is not known


def test_the_next_basket_is_the_first_after_the_day_of_who_was_known():
    frame = rows((20, "a", "x"), (20, "b", "x"), (10, "b", "y"), (5, "a", "y"), (4, "a", "z"),
                 (3, "new", "x"), (2, None, "x"))  # fmt: skip
    baskets = Baskets.from_frame(frame)
    today = baskets.last_day + 2
    customers, following = baskets.next_baskets(today - 10, today)
    assert customers.tolist() == [0]  # b had ordered on that day, the new one was not known
    assert baskets.basket_day[following].tolist() == [today - 5]
    assert baskets.next_baskets(today - 10, today - 6)[0].tolist() == []


def test_a_product_twice_in_an_order_is_refused():
    frame = rows((1, "a", "xx"))
    with pytest.raises(ValueError, match="two lines of one product"):
        Baskets.from_frame(frame)
    frame = rows((1, "a", "xy")).assign(order_date=[TODAY, TODAY - pd.Timedelta(days=1)])
    with pytest.raises(ValueError, match="two days"):
        Baskets.from_frame(frame)


def test_taste_counts_what_was_bought_when():
    baskets = Baskets.from_frame(
        rows((30, "a", "xy"), (20, "a", "x"), (10, "a", "z"), (9, "b", "x"))
    )
    pairs = Taste(baskets, int(days_of(pd.Series([TODAY]))[0])).pairs
    assert pairs.customer.tolist() == [0, 0, 0, 1] and pairs.item.tolist() == [0, 1, 2, 0]
    assert pairs.count.tolist() == [2, 1, 1, 1]
    assert pairs.last_place.tolist() == [1, 2, 0, 0]
    assert pairs.decayed == pytest.approx([BASKET_DECAY**2 + BASKET_DECAY, BASKET_DECAY**2, 1, 1])
    known = taste(baskets, int(days_of(pd.Series([TODAY]))[0]) - 15)
    assert known.customer_baskets.tolist() == [2, 0]
    assert known.sold(60).tolist() == [2, 1, 0]
    assert known.sold(10).tolist() == [1, 0, 0]


# --- models ----------------------------------------------------------------------------------


def held(text: str, letters: str = "xyz") -> sparse.csr_array:
    return sparse.csr_array([[float(letter in text) for letter in letters]], dtype=np.float32)


def test_rules_and_cosine_by_hand():
    baskets = Baskets.from_frame(rows(*[(1, None, "xy")] * 30, *[(1, None, "x")] * 10,
                                      *[(1, None, "yz")] * 10)).by_basket  # fmt: skip
    counts = items.together(baskets)
    assert counts.toarray().tolist() == [[40, 30, 0], [30, 40, 10], [0, 10, 10]]
    rules = items.rules(counts)
    assert rules.score(held("x"), 3)[0] == pytest.approx([0, 30 / 50, 0])
    # the best reason, not the sum of both
    assert rules.score(held("xz"), 3)[0] == pytest.approx([0, 30 / 50, 0])
    assert items.cosine(counts).score(held("xz"), 3)[0] == pytest.approx([0, 30 / 40 + 0.5, 0])


def test_ease_is_the_ridge_regression_of_each_item_on_all_others():
    random = np.random.default_rng(0)
    x = (random.random((200, 6)) < 0.4).astype(np.float32)
    model = items.ease(sparse.csr_array(x), penalty=5.0)
    for item in range(6):
        others = [other for other in range(6) if other != item]
        a = x[:, others].astype(float)
        by_hand = np.linalg.solve(a.T @ a + 5 * np.eye(5), a.T @ x[:, item])
        assert model.weights[others, item] == pytest.approx(by_hand, abs=1e-4)
        assert model.weights[item, item] == 0


def test_ease_knows_nothing_of_items_that_were_never_sold():
    x = sparse.csr_array(np.array([[1, 1, 0], [1, 0, 0]], np.float32))
    model = items.ease(x, penalty=1.0)
    assert model.members.tolist() == [0, 1]
    assert model.score(held("x"), 3)[0, 2] == -np.inf


# --- measures --------------------------------------------------------------------------------


def test_measures_by_hand():
    score = np.array([[3.0, 2, 1, 0], [0, 0, 0, -np.inf]])
    wanted = np.array([[False, True, False, True], [False, False, False, True]])
    measured = recommend.ranking_measures(score, wanted)
    discount = 1 / np.log2([2, 3, 4, 5])
    ideal = discount[0] + discount[1]
    assert measured["recall_10"] == pytest.approx([1, 0])  # an item never seen is a miss
    assert measured["ndcg_10"] == pytest.approx([(discount[1] + discount[3]) / ideal, 0])
    assert measured["hit_10"].tolist() == [1, 0]


def test_the_best_items_first_and_ties_by_code():
    score = np.array([[1.0, 5, 5, 0, *[2.0] * 12]])
    assert recommend.top_items(score)[0].tolist() == [1, 2, 4, 5, 6, 7, 8, 9, 10, 11]


def test_one_item_of_each_basket_is_hidden():
    full = Baskets.from_frame(rows((1, None, "xyz"), (1, None, "xz"))).by_basket
    rest, hidden = recommend.hide_one(full, np.random.default_rng(0))
    again = rest.toarray()
    again[np.arange(2), hidden] += 1
    assert (again == full.toarray()).all() and rest.sum() == full.sum() - 2


# --- time ------------------------------------------------------------------------------------


def test_a_line_from_ahead_is_refused(lines):
    with pytest.raises(asof.LeakError, match="order_date"):
        recommendations.fit(lines, TODAY - pd.Timedelta(days=30))


def test_the_comparison_sees_nothing_after_its_day(lines):
    """The popularity and the favourites of later days are exchanged: no score may change."""
    baskets = Baskets.from_frame(lines)
    day = baskets.last_day - recommend.HORIZON_DAYS
    later = lines["order_date"] > TODAY - pd.Timedelta(days=recommend.HORIZON_DAYS)
    other = Baskets.from_frame(lines[~later])
    for name in recommend.COMPLETION:
        one = recommend.completion_model(name, baskets, day)
        two = recommend.completion_model(name, other, day)
        hand = held("x", "x" + "." * (len(baskets.items) - 1))
        assert (one.score(hand, len(baskets.items)) == two.score(hand, len(baskets.items))).all()
    known, before = taste(baskets, day), taste(other, day)
    assert (known.own != before.own).nnz == 0
    assert (known.popular == before.popular).all()


# --- what is planted is found ----------------------------------------------------------------


def test_favourites_are_recommended(lines, model):
    measured = recommendations.evaluate(model).set_index(["series", "model", "metric"])["value"]
    champion = model.champions["next_basket"]
    assert champion != recommend.BASELINE
    recall = measured["next_basket", champion, "recall_10"]
    assert recall > measured["next_basket", recommend.BASELINE, "recall_10"] + 0.15
    table = recommendations.predict(model)["recommendations"]
    first = table[(table["purpose"] == "next_basket") & (table["rank"] <= 3)]
    bought = lines.groupby(["customer_key", "product_key"]).size()
    own = bought.groupby(level=0).nlargest(5).droplevel(0).reset_index()
    hits = first.merge(own, on=["customer_key", "product_key"])
    assert len(hits) / len(first) > 0.8


def test_without_favourites_nothing_beats_popularity_by_much():
    """Negative control: customers are exchanged among orders, so nobody has a taste."""
    frame = shop(loyal=0.0)
    measured = recommendations.evaluate(recommendations.fit(frame))
    ndcg = measured[measured["metric"] == "ndcg_10"].set_index(["series", "model"])["value"]
    for series in ("next_basket", "new_items"):
        assert ndcg[series].max() < ndcg[series, recommend.BASELINE] + 0.02


def test_the_demo_store_s_basket_rules_are_found():
    """Who has the first product in the basket takes the second with .25 to .5; a product that
    sells less than once in two weeks isn't asked for."""
    shop_lines, rules = demo(42).lines, planted(42)
    frame = shop_lines.assign(order_id=shop_lines["order"], customer_key=None).rename(
        columns={"date": "order_date"}
    )
    frame["product_key"] = frame["sku"].map("s{:05}".format)
    frame["order_id"] = frame["order_id"].map("o{:07}".format)
    frame = frame.groupby(["order_id", "product_key"], as_index=False).agg(
        customer_key=("customer_key", "first"), order_date=("order_date", "first"),
        quantity=("quantity", "sum"),
    )  # fmt: skip
    model = recommendations.fit(frame)
    assert model.champions["basket_completion"] in ("rules", "ease", "cosine")
    pairs = recommendations.predict(model)["product_pairs"].set_index(
        ["product_key", "other_product_key"]
    )
    keys = [(f"s{one:05}", f"s{other:05}") for one, other, _ in rules]
    found = pairs[pairs.index.isin(keys)]
    assert len(found) >= 0.9 * len(rules)
    assert (found["rank"] <= 2).mean() >= 0.9
    assert (found["lift"].dropna() > 3).all()


def planted(seed: int) -> list[tuple[int, int, int]]:
    """The demo store's rules: sku, sku that follows, percent."""
    from sandbox.store.generate import World
    from sandbox.store.profiles import profile

    return World(profile("s"), seed).catalogue.rules


# --- tables ----------------------------------------------------------------------------------


def test_recommendations_table(lines, model):
    table = recommendations.predict(model)["recommendations"]
    assert not table.duplicated(["customer_key", "purpose", "rank"]).any()
    assert not table.duplicated(["customer_key", "purpose", "product_key"]).any()
    assert set(table["purpose"]) == {"next_basket", "new_items", "newcomer"}
    assert table["rank"].between(1, recommend.TOP).all()
    bought = set(map(tuple, lines[["customer_key", "product_key"]].to_numpy()))
    new = table[table["purpose"] == "new_items"]
    assert not bought & set(map(tuple, new[["customer_key", "product_key"]].to_numpy()))
    again = table[table["reason"].str.startswith("bought in")]
    assert set(map(tuple, again[["customer_key", "product_key"]].to_numpy())) <= bought
    causes = table.dropna(subset="reason_product_key")
    assert set(map(tuple, causes[["customer_key", "reason_product_key"]].to_numpy())) <= bought
    newcomers = table[table["customer_key"] == recommend.NEWCOMER]
    recent = lines[lines["order_date"] > TODAY - pd.Timedelta(days=60)]
    assert newcomers.iloc[0]["product_key"] == recent["product_key"].value_counts().index[0]


def test_what_is_no_longer_sold_is_not_recommended(lines):
    gone = "p001"
    frame = lines[
        (lines["product_key"] != gone) | (lines["order_date"] < TODAY - pd.Timedelta(days=100))
    ]
    table = recommendations.predict(recommendations.fit(frame))["recommendations"]
    assert gone not in set(table["product_key"])


def test_what_the_catalogue_has_no_more_is_not_recommended(lines, model):
    tables = recommendations.predict(model)
    gone = tables["recommendations"]["product_key"].value_counts().index[:2].tolist()
    assert set(gone) & set(tables["product_pairs"]["other_product_key"])
    left = recommendations.predict(recommendations.fit(lines, off_sale=gone))
    assert left["recommendations"]["customer_key"].nunique() > 100
    assert not set(gone) & set(left["recommendations"]["product_key"])
    assert not set(gone) & set(left["product_pairs"]["other_product_key"])


@pytest.mark.parametrize("fails", [False, True])
def test_a_ranker_that_cannot_learn_today_is_replaced(lines, monkeypatch, fails):
    """It was best one horizon ago; since then too few customers are left, or it fails."""
    learn, today = ranker.fit, int(days_of(pd.Series([TODAY]))[0])

    def until_yesterday(lessons: ranker.Lessons, day: int) -> object:
        if day < today:
            return learn(lessons, day)
        if fails:
            raise ValueError("no leaf has a row")
        return None

    monkeypatch.setattr(ranker, "fit", until_yesterday)
    monkeypatch.setattr(
        recommend, "choose", lambda measured, question: "ranker"
        if question != "basket_completion" and "ranker" in set(measured["model"])
        else recommend.BASELINE,
    )  # fmt: skip
    model = recommendations.fit(lines)
    assert "ranker" in set(recommendations.evaluate(model)["model"])
    assert set(model.champions.values()) == {recommend.BASELINE}
    assert ("ranker failed and is left out (ValueError: no leaf" in model.note) == fails
    assert len(recommendations.predict(model)["recommendations"])


def test_a_model_that_fails_leaves_the_others(lines, monkeypatch):
    def broken(*args: object) -> None:
        raise MemoryError("too many items")

    monkeypatch.setattr(items, "rules", broken)
    model = recommendations.fit(lines)
    assert "rules failed and is left out (MemoryError: too many items)" in model.note
    measured = recommendations.evaluate(model).groupby("series")["model"].unique()
    assert {*measured["basket_completion"]} == {"popularity", "ease", "cosine"}
    assert {"popularity", "ranker"} <= {*measured["next_basket"]}
    assert len(recommendations.predict(model)["product_pairs"])


def test_pairs_by_hand():
    frame = rows(*[(1, "a", "xy")] * 40, *[(1, "a", "xz")] * 6, *[(1, "b", "z")] * 54)
    pairs = recommendations.predict(recommendations.fit(frame))["product_pairs"]
    pairs = pairs.set_index(["product_key", "other_product_key"])
    one = pairs.loc[("x", "y")]
    assert one["orders_with_both"] == 40 and one["support"] == pytest.approx(0.4)
    assert one["confidence"] == pytest.approx(40 / 46)
    assert one["lift"] == pytest.approx(0.4 / (0.46 * 0.4))
    assert np.isnan(pairs.loc[("x", "z"), "lift"])  # six orders say nothing about a lift
    assert ("y", "z") not in pairs.index


def test_rows_in_any_order_give_the_same_recommendations(lines, model):
    other = recommendations.fit(lines.sample(frac=1, random_state=5))
    assert other.champions == model.champions
    for name, table in recommendations.predict(model).items():
        pd.testing.assert_frame_equal(table, recommendations.predict(other)[name], check_exact=True)


# --- too little data -------------------------------------------------------------------------


def test_gates(lines):
    one_product = rows(*[(1, "a", "x")] * 200)
    for frame, message in (
        (lines.head(0), "no order"),
        (rows((1, "a", "xyz")), "1 orders, 100 are needed"),
        (one_product, "1 products"),
    ):
        with pytest.raises(recommendations.TooLittleDataError, match=message):
            recommendations.fit(frame)


def test_a_short_history_is_answered_by_popularity(lines):
    frame = lines[lines["order_date"] > TODAY - pd.Timedelta(days=21)]
    model = recommendations.fit(frame)
    assert set(model.champions.values()) == {recommend.BASELINE}
    assert "too short" in model.note and recommendations.evaluate(model).empty
    assert len(recommendations.predict(model)["recommendations"])


def test_a_shop_of_strangers_gets_pairs_and_what_is_popular(lines):
    model = recommendations.fit(lines.assign(customer_key=None))
    tables = recommendations.predict(model)
    assert set(tables["recommendations"]["customer_key"]) == {recommend.NEWCOMER}
    assert len(tables["product_pairs"])


def test_a_shop_of_one_customer(lines):
    model = recommendations.fit(lines.assign(customer_key="only"))
    table = recommendations.predict(model)["recommendations"]
    assert {"only", recommend.NEWCOMER} >= set(table["customer_key"])
