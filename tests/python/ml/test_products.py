"""What products will sell: features known in time, planted growth and launches found, gates."""

import numpy as np
import pandas as pd
import pytest

from ml import asof, products
from ml.failures import Failures
from ml.products import features
from ml.products import products as rules

TODAY = pd.Timestamp("2024-06-30")
DAYS = 720
NO_REVIEWS = pd.DataFrame(
    {
        "product_key": pd.Series(dtype=object),
        "reviews": pd.Series(dtype=float),
        "stars": pd.Series(dtype=float),
        "review_date": pd.Series(dtype="datetime64[us]"),
    }
)
LEVEL = {"big": 60.0, "small": 6.0}


def shop(seed: int = 5, count: int = 480) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Sales and catalogue: category and price decide how a launch goes, and all fades after it.

    Units a week are Poisson around level(category) x 10 / price x half per 180 days of age.
    """
    random = np.random.default_rng(seed)
    sales, catalogue = [], []
    for i in range(count):
        category = ("big", "small")[i % 2]
        price = float(random.choice([5.0, 10.0, 20.0]))
        launch = 0 if i < count // 4 else int(random.integers(1, DAYS + 15))
        age0 = int(random.integers(0, 400)) if launch == 0 else 0
        key = f"p{i:03}"
        day = TODAY - pd.Timedelta(days=DAYS - 1 - launch)
        catalogue.append((key, category, f"brand{i % 3}", price, day if launch else pd.NaT))
        age = np.arange(DAYS - launch) + age0 if launch < DAYS else np.zeros(0)
        units = random.poisson(LEVEL[category] / 7 * 10 / price * 0.5 ** (age / 180))
        dates = day + pd.to_timedelta(np.arange(len(units)), unit="D")
        sales.append(pd.DataFrame({"product_key": key, "order_date": dates, "units": units,
                                   "amount": units * price, "orders": units}))  # fmt: skip
    sold = pd.concat(sales, ignore_index=True)
    columns = ["product_key", "category", "brand", "price_amount", "launched_date"]
    known = pd.DataFrame(catalogue, columns=columns)
    known["product_id"] = known["product_key"]
    known["is_active"] = True
    return sold[sold["units"] > 0].reset_index(drop=True), known


@pytest.fixture(scope="module")
def made() -> tuple[pd.DataFrame, pd.DataFrame]:
    return shop()


@pytest.fixture(scope="module")
def model(made) -> products.Model:
    return products.fit(*made, NO_REVIEWS)


def column(table: np.ndarray, name: str) -> np.ndarray:
    return table[:, features.HISTORY_FEATURES.index(name)]


# --- features --------------------------------------------------------------------------------


def test_history_features_by_hand():
    days = TODAY - pd.to_timedelta([200, 100, 50, 10, 3], unit="D")
    sales = pd.DataFrame(
        {"product_key": "a", "order_date": days, "units": [1, 2, 4, 8, 16.0],
         "amount": [5, 10, 20, 40, 80.0], "orders": 1}
    )  # fmt: skip
    catalogue = pd.DataFrame(
        {"product_key": ["a"], "product_id": ["x"], "category": ["c"], "brand": [None],
         "price_amount": [9.0], "launched_date": [pd.NaT], "is_active": [True]}
    )  # fmt: skip
    reviews = pd.DataFrame(
        {"product_key": ["a"], "reviews": [2], "stars": [6.0],
         "review_date": [TODAY - pd.Timedelta(days=20)]}
    )  # fmt: skip
    known = features.Shop.from_frames(sales, catalogue, reviews, TODAY)
    table = features.history_features(known, known.last, np.array([0]))
    assert np.expm1(column(table, "log_units_7d")) == pytest.approx([16])
    assert np.expm1(column(table, "log_units_90d")) == pytest.approx([28])
    assert column(table, "trend_90d") == pytest.approx(np.log([29 / 3]))
    assert column(table, "days_since_sale") == pytest.approx([3])
    assert column(table, "age_days") == pytest.approx([200])
    assert np.exp(column(table, "log_price")) == pytest.approx([5])  # what was paid, not listed
    assert column(table, "rating") == pytest.approx([3])
    assert np.isnan(column(table, "season"))  # less than a year and 90 days are known
    before = features.history_features(known, known.last - 30, np.array([0]))
    assert np.expm1(column(before, "log_units_90d")) == pytest.approx([2 + 4])
    assert column(before, "reviews_90d") == pytest.approx([0])


def test_variants_share_their_product_s_reviews():
    days = [TODAY - pd.Timedelta(days=9), TODAY]
    sales = pd.DataFrame({"product_key": ["a", "b"], "order_date": days, "units": 1.0,
                          "amount": 1.0, "orders": 1})  # fmt: skip
    catalogue = pd.DataFrame(
        {"product_key": ["a", "b"], "product_id": ["x", "x"], "category": None, "brand": None,
         "price_amount": 1.0, "launched_date": pd.NaT, "is_active": None}
    )  # fmt: skip
    reviews = pd.DataFrame({"product_key": ["a"], "reviews": [3], "stars": [9.0],
                            "review_date": [TODAY]})  # fmt: skip
    known = features.Shop.from_frames(sales, catalogue, reviews, TODAY)
    assert known.total("reviews", 0, known.last).tolist() == [3, 3]


def test_a_launch_knows_only_launches_that_were_over(made):
    sales, catalogue = made
    known = features.Shop.from_frames(sales, catalogue, NO_REVIEWS, TODAY)
    found = features.launches(known)
    at = int(np.flatnonzero(np.isfinite(found.units))[-1])
    day = found.day[at]
    after = known.first + pd.Timedelta(days=int(day))
    past = sales[sales["order_date"] < after]
    before = features.launches(
        features.Shop.from_frames(past, catalogue, NO_REVIEWS, after - pd.Timedelta(days=1))
    )
    same = np.flatnonzero(before.product == found.product[at])
    one, two = found.features[at], before.features[same[0]]
    price = [features.LAUNCH_FEATURES.index(n) for n in ("log_price", "price_to_category")]
    others = np.setdiff1d(np.arange(len(one)), price)
    assert one[others] == pytest.approx(two[others], nan_ok=True)
    assert found.baseline[at] == pytest.approx(before.baseline[same[0]])
    assert np.isnan(before.units[same[0]])


def test_training_rows_are_over_on_their_day(made):
    sales, catalogue = made
    known = features.Shop.from_frames(sales, catalogue, NO_REVIEWS, TODAY)
    day = known.last - 90
    past = sales[sales["order_date"] <= TODAY - pd.Timedelta(days=90)]
    other = features.Shop.from_frames(past, catalogue, NO_REVIEWS, TODAY - pd.Timedelta(days=90))
    one, two = rules.training_rows(known, day), rules.training_rows(other, day)
    assert len(one.units) > 0
    for name in ("features", "before", "units", "weight"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


# --- choice, and what is planted is found ----------------------------------------------------


def test_fading_is_found(model):
    """Products halve in 180 days, so the next 90 days sell .71 of the last 90."""
    measured = products.evaluate(model).set_index(["series", "model", "metric"])["value"]
    champion = model.champions["established"]
    assert champion in rules.TREES
    assert (
        measured["established", champion, "wape"]
        < 0.8 * measured["established", "last_period", "wape"]
    )
    table = products.predict(model)
    old = table[(table["product_group"] == "established") & (table["last_units"] > 50)]
    assert (old["units"].sum() / old["last_units"].sum()) == pytest.approx(0.71, abs=0.08)


def test_launches_are_told_by_category_and_price(model, made):
    measured = products.evaluate(model).set_index(["series", "model", "metric"])["value"]
    champion = model.champions["new"]
    assert champion != rules.BASELINE["new"]
    assert measured["new", champion, "wape"] < 0.8 * measured["new", "category_median", "wape"]
    table = products.predict(model).merge(made[1], on="product_key", suffixes=("", "_listed"))
    new = table[table["product_group"] == "new"]
    assert len(new) >= 5
    # 90 days of a product that halves in 180: 90 x .84 days of its first
    true = new["category"].map(LEVEL) / 7 * 10 / new["price_amount_listed"] * 90 * 0.84
    assert new["units"].corr(true, method="spearman") > 0.8


def test_intervals_hold_about_eighty_percent(made):
    sales, catalogue = made
    past = sales[sales["order_date"] <= TODAY - pd.Timedelta(days=90)]
    day = TODAY - pd.Timedelta(days=90)
    known = catalogue[~(catalogue["launched_date"] > day)]
    table = products.predict(products.fit(past, known, NO_REVIEWS, day))
    actual = sales[sales["order_date"] > day].groupby("product_key")["units"].sum()
    old = table[table["product_group"] == "established"].set_index("product_key")
    actual = actual.reindex(old.index).fillna(0)
    inside = (old["lo80"] <= actual) & (actual <= old["hi80"])
    assert inside.mean() == pytest.approx(0.8, abs=0.12)


def test_shuffled_products_teach_nothing(made):
    """Negative control: each sale falls to any product, so none has a past that says anything."""
    sales, catalogue = made
    random = np.random.default_rng(1)
    keys = catalogue["product_key"].to_numpy()
    shuffled = sales.assign(product_key=random.choice(keys, len(sales)), units=1.0, amount=1.0)
    shuffled = shuffled.groupby(["product_key", "order_date"], as_index=False).sum()
    catalogue = catalogue.assign(launched_date=pd.NaT)
    measured = products.evaluate(products.fit(shuffled, catalogue, NO_REVIEWS))
    rank = measured[measured["metric"] == "spearman"].set_index(["series", "model"])["value"]
    assert rank["established"].abs().max() < 0.15


def test_each_feature_stands_for_one_fact():
    for facts, names in (
        (features.HISTORY_FACTS, features.HISTORY_FEATURES),
        (features.LAUNCH_FACTS, features.LAUNCH_FEATURES),
    ):
        assert sorted(sum(facts.values(), ())) == sorted(names)


def test_launches_lean_on_category_and_price(model):
    """By which the launches were made; brands and reviews say nothing."""
    failures = Failures()
    found = products.importance(model, failures)
    assert not failures.errors and found.groupby("series")["model"].first().to_dict() == {
        group: name for group, name in model.champions.items() if name in rules.TREES
    }
    new = found[found["series"] == "new"].set_index("fact")["importance"]
    assert set(new.index[:2]) == {"earlier launches", "price"} and (new.iloc[:2] > 0.1).all()
    assert new["variants"] == pytest.approx(0, abs=0.02)


def test_what_does_not_beat_the_baseline_is_never_champion():
    rows = [("new", name, "wape", value, 50) for name, value in
            (("category_median", 0.5), ("xgboost", 0.5), ("blend", 0.6))]  # fmt: skip
    measured = pd.DataFrame(rows, columns=["series", "model", "metric", "value", "n"])
    assert rules.choose(measured, "new") == "category_median"
    assert rules.choose(measured.assign(value=[0.5, 0.4, 0.6]), "new") == "xgboost"


def test_sums_are_those_of_a_grid():
    random = np.random.default_rng(1)
    days, count = 30, 5
    product, day = np.divmod(random.choice(days * count, 60, replace=False), days)
    value = random.integers(-3, 9, 60).astype(float)
    grid = np.zeros((days, count))
    grid[day, product] = value
    sums = features.Sums.of(days, product, day, {"units": value})
    every = np.arange(count)
    for first in range(-3, days + 3):
        for last in range(first - 1, days + 3):
            expected = grid[max(first, 0) : max(last + 1, 0)].sum(axis=0)
            assert sums.total("units", every, first, last).tolist() == expected.tolist()
        seen = [max(day[(product == one) & (day <= first)], default=-1) for one in every]
        assert sums.last_day(every, first).tolist() == seen
    nobody = np.append(every, count)
    firsts = [min(day[product == one], default=99) for one in nobody]
    assert sums.first_day(nobody, never=99).tolist() == firsts


def test_scaled_units_add_up_to_what_is_sold():
    """Of products that are alike a tenth sells fifty times as much: no feature tells which."""
    random = np.random.default_rng(3)
    x = random.normal(size=(2000, 3))
    units = np.where(random.random(2000) < 0.1, 100.0, 2.0)
    lessons = rules.Lessons(x[:1000], np.zeros(1000), units[:1000], np.ones(1000))
    found = rules._trees(lessons, x[1000:], np.zeros(1000), Failures())
    for name in ("random_forest", "xgboost", "blend"):
        assert found[name].sum() < 0.5 * units[1000:].sum()
        assert found[f"{name}_smeared"].sum() == pytest.approx(units[1000:].sum(), rel=0.2)


def test_a_model_that_fails_leaves_the_others(made, model, monkeypatch):
    def broken(*args: object, **kwargs: object) -> None:
        raise MemoryError("no room for a tree")

    monkeypatch.setattr(rules.RandomForestRegressor, "fit", broken)
    found = products.fit(*made, NO_REVIEWS)
    assert "random_forest failed and is left out (MemoryError: no room for a tree)" in found.note
    measured = set(products.evaluate(found)["model"])
    assert "xgboost" in measured and not {one for one in measured if "forest" in one}
    assert len(products.predict(found)) == len(products.predict(model))


def test_a_champion_that_fails_today_leaves_the_baseline(model, monkeypatch):
    def broken(*args: object, **kwargs: object) -> None:
        raise MemoryError("no room for a tree")

    assert model.champions["established"] in rules.TREES
    monkeypatch.setattr(rules.RandomForestRegressor, "fit", broken)
    monkeypatch.setattr(rules.xgboost.XGBRegressor, "fit", broken)
    table = products.predict(model).set_index("product_group").loc["established"]
    assert set(table["model"]) == {"last_period"} and table["lo80"].isna().all()
    assert (table["units"] == table["baseline_units"]).all()


# --- tables and gates ------------------------------------------------------------------------


def test_prediction_table(model, made):
    table = products.predict(model)
    assert table["product_key"].is_unique and (table["units"] >= 0).all()
    known = table.dropna(subset="lo80")
    assert ((known["lo80"] <= known["units"]) & (known["units"] <= known["hi80"])).all()
    assert table["revenue_amount"].to_numpy() == pytest.approx(
        (table["units"] * table["price_amount"]).to_numpy(), nan_ok=True
    )
    listed = made[1].set_index("product_key")["price_amount"]
    assert table["price_amount"].to_numpy() == pytest.approx(
        listed[table["product_key"]].to_numpy()
    )


def test_what_is_for_sale_no_more_is_not_predicted(made, model):
    sales, catalogue = made
    gone = products.predict(model)["product_key"].iloc[::2]
    kept = catalogue.assign(is_active=~catalogue["product_key"].isin(gone))
    table = products.predict(products.fit(sales, kept, NO_REVIEWS))
    assert len(table) and not set(table["product_key"]) & set(gone)
    nothing = products.fit(sales, catalogue.assign(is_active=False), NO_REVIEWS)
    with pytest.raises(products.TooLittleDataError, match="for sale"):
        products.predict(nothing)


def test_days_without_a_sale_count(made):
    """The shop has been closed for a month: what sold before it is not of the last days."""
    sales, catalogue = made
    later = products.fit(sales, catalogue, NO_REVIEWS, TODAY + pd.Timedelta(days=30))
    until = sales["order_date"] > TODAY - pd.Timedelta(days=60)
    sold = sales[until].groupby("product_key")["units"].sum()
    table = products.predict(later).set_index("product_key")
    assert table["last_units"].to_dict() == sold.reindex(table.index).fillna(0).to_dict()


def test_rows_in_any_order_give_the_same_predictions(made, model):
    sales, catalogue = (frame.sample(frac=1, random_state=2) for frame in made)
    other = products.fit(sales, catalogue, NO_REVIEWS)
    pd.testing.assert_frame_equal(
        products.predict(model), products.predict(other), check_exact=True
    )


def test_a_sale_from_ahead_is_refused(made):
    with pytest.raises(asof.LeakError, match="order_date"):
        products.fit(*made, NO_REVIEWS, TODAY - pd.Timedelta(days=1))


def test_gates(made):
    sales, catalogue = made
    with pytest.raises(products.TooLittleDataError, match="no product was sold"):
        products.fit(sales.head(0), catalogue, NO_REVIEWS)
    recent = sales[sales["order_date"] > TODAY - pd.Timedelta(days=21)]
    with pytest.raises(products.TooLittleDataError, match="21 days of sales"):
        products.fit(recent, catalogue, NO_REVIEWS)


def test_one_product_is_predicted_by_the_baseline(made):
    sales, catalogue = made
    one = sales[sales["product_key"] == "p000"]
    model = products.fit(one, catalogue.head(0), NO_REVIEWS)
    row = products.predict(model).iloc[0]
    assert row["model"] == "last_period" and row["units"] == row["last_units"]
    assert np.isnan(row["lo80"]) and "too few products" in model.note
