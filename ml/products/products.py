"""What each product will sell in the next 90 days.

Two questions, since a new product has no past: for `established` ones trees learn how sales changed
from what was known of products on earlier days; for `new` ones how the launches before them went,
by category, brand, price, season and what their sisters sell. The baselines: as much as in the
last 90 days, and the median launch of the category. Champions by weighted absolute percentage error
on the days 90 and 180 days ago (new: the launches since then), trained only on what was over then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xgboost
from sklearn.ensemble import RandomForestRegressor
from threadpoolctl import threadpool_limits

from ml import asof, evaluation
from ml.products import features
from ml.products.features import HORIZON_DAYS, Launches, Shop

SEED = 20240229
TRAIN_DAYS, TRAIN_STEP = 4, 45  # past days that established products are learned from, and apart
TEST_DAYS = (HORIZON_DAYS, 2 * HORIZON_DAYS)  # ago
INTERVAL = 0.8

# below these a model would learn noise
MIN_ROWS = 200
MIN_LAUNCHES = 60
MIN_TEST = 30
MIN_DAYS = 2 * HORIZON_DAYS

BASELINE = {"established": "last_period", "new": "category_median"}
MODELS: Mapping[str, tuple[str, ...]] = {
    "established": ("last_period", "season", "random_forest", "xgboost", "blend"),
    "new": ("category_median", "random_forest", "xgboost", "blend"),
}


class TooLittleDataError(Exception):
    """Nothing can be predicted; the message says what is missing."""


@dataclass(frozen=True)
class Model:
    """Which model predicts which group.

    Attributes:
        shop: all that is known.
        champions: model by group, only of groups that can be predicted.
        measured: one row per group, model and metric.
        spread: by group, quantiles of log((actual + 1) / (predicted + 1)) of the champion: lower
            and upper end of the interval; None where too little was measured.
        note: what a reader must know, empty if nothing.
    """

    shop: Shop
    champions: Mapping[str, str]
    measured: pd.DataFrame
    spread: Mapping[str, tuple[float, float] | None]
    note: str = ""


def fit(
    sales: pd.DataFrame,
    attributes: pd.DataFrame,
    reviews: pd.DataFrame,
    as_of: pd.Timestamp | None = None,
) -> Model:
    """Compare the models on the shop's own past.

    Args:
        sales: product_key, order_date, units, amount, orders; one row per product and day.
        attributes: rows of `features.product_attributes`.
        reviews: rows of `features.product_reviews`; none where the shop has none.
        as_of: last day that may be known; if not given the newest of a sale or a review.

    Raises:
        TooLittleDataError: no sale, or too few days since the first.
        LeakError: a sale or a review is dated after the as-of date.
    """
    if sales.empty:
        raise TooLittleDataError("no product was sold")
    as_of = asof.newest(sales["order_date"], reviews["review_date"]) if as_of is None else as_of
    asof.require_past(sales, ["order_date"], as_of)
    asof.require_past(reviews, ["review_date"], as_of)
    days = (as_of - sales["order_date"].min()).days + 1
    if days < MIN_DAYS:
        raise TooLittleDataError(f"{days} days of sales, {MIN_DAYS} are needed")
    shop = Shop.from_frames(sales, attributes, reviews, as_of)
    with threadpool_limits(1):  # the order of a sum is the same on every machine
        tested = {"established": _test_established(shop), "new": _test_new(shop)}
    measured = pd.concat(
        [_measures(frame).assign(series=group) for group, frame in tested.items()],
        ignore_index=True,
    )
    champions = {group: choose(measured, group) for group in MODELS}
    notes = []
    for group, champion in champions.items():
        if len(tested[group]) == 0:
            notes.append(f"{group}: too few products for a comparison, the baseline predicts")
        elif champion == BASELINE[group]:
            notes.append(f"{group}: no model beat the baseline ({champion})")
    spread = {group: _spread(tested[group], champions[group]) for group in MODELS}
    return Model(shop, champions, measured, spread, "; ".join(notes))


def predict(model: Model) -> pd.DataFrame:
    """Units and revenue of the next `HORIZON_DAYS`; of a new product those after its launch.

    Returns:
        One row per product: product_key, product_group (established, new), model, horizon_days,
        units, lo80 and hi80 (None where too little was measured), price_amount (of the last 90
        days, else the list price), revenue_amount (None without a price), baseline_units and
        last_units (of the last 90 days).
    """
    shop = model.shop
    with threadpool_limits(1):
        parts = [_predict_established(model), _predict_new(model)]
    table = pd.concat([part for part in parts if len(part)], ignore_index=True)
    price = shop.price(shop.last)[table["place"]]
    last = shop.total("units", shop.last - HORIZON_DAYS + 1, shop.last)[table["place"]]
    table["price_amount"] = price
    table["revenue_amount"] = table["units"] * price
    table["last_units"] = last
    table.insert(0, "product_key", shop.keys[table.pop("place")])
    table.insert(3, "horizon_days", HORIZON_DAYS)
    return table.sort_values("product_key").reset_index(drop=True)


def evaluate(model: Model) -> pd.DataFrame:
    """Measures of the comparison: series (the group), model, metric, value, n.

    wape, bias and mae of units, wape of their revenue at the price known then, and spearman, the
    rank correlation.
    """
    return model.measured


def choose(measured: pd.DataFrame, group: str) -> str:
    """The model with the least WAPE that beats the baseline; the baseline if none does."""
    wape = measured[(measured["series"] == group) & (measured["metric"] == "wape")]
    value = wape.set_index("model")["value"].dropna()
    if BASELINE[group] not in value or value.min() >= value[BASELINE[group]]:
        return BASELINE[group]
    return str(value.idxmin())


def training_rows(shop: Shop, today: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, change of log units, and weights of established products on earlier days.

    Only days whose 90 days ahead were over by `today`. The weight is the root of the units, so
    that the products that the shop lives on count more, and noise of small ones less.
    """
    x, y, weight = [], [], []
    for step in range(TRAIN_DAYS):
        day = today - HORIZON_DAYS - TRAIN_STEP * step
        if day < HORIZON_DAYS:
            break
        of = features.established(shop, day)
        last = shop.total("units", day - HORIZON_DAYS + 1, day)[of]
        ahead = shop.total("units", day + 1, day + HORIZON_DAYS)[of]
        x.append(features.history_features(shop, day, of))
        y.append(np.log1p(ahead) - np.log1p(last))
        weight.append(np.sqrt(1 + last + ahead))
    if not x:
        return np.zeros((0, len(features.HISTORY_FEATURES))), np.zeros(0), np.zeros(0)
    return np.vstack(x), np.concatenate(y), np.concatenate(weight)


def forecast_established(shop: Shop, day: int, of: np.ndarray) -> dict[str, np.ndarray]:
    """Units of the 90 days after a day by every model that the data allow, by name."""
    last = shop.total("units", day - HORIZON_DAYS + 1, day)[of]
    found = {"last_period": last}
    season = features.shop_season(shop, day)
    if np.isfinite(season):
        found["season"] = last * np.exp(season)
    x, y, weight = training_rows(shop, day)
    if len(y) >= MIN_ROWS:
        changes = _trees(x, y, weight, features.history_features(shop, day, of))
        for name, change in changes.items():
            found[name] = np.maximum(np.expm1(np.log1p(last) + change), 0)
    return found


def forecast_new(train: Launches, score: Launches) -> dict[str, np.ndarray]:
    """Units of the first 90 days by every model that the launches allow, by name."""
    found = {"category_median": score.baseline}
    if len(train.units) >= MIN_LAUNCHES:
        trees = _trees(
            train.features,
            np.log1p(train.units),
            np.ones(len(train.units)),  # few as they are, one great success would teach all others
            score.features,
        )
        found |= {name: np.maximum(np.expm1(value), 0) for name, value in trees.items()}
    return found


def _trees(
    x: np.ndarray, y: np.ndarray, weight: np.ndarray, score: np.ndarray
) -> dict[str, np.ndarray]:
    """Random Forest, XGBoost, and their mean; a column that is unknown everywhere is left out."""
    known = np.isfinite(x).any(axis=0)
    x, score = x[:, known], score[:, known]
    forest = RandomForestRegressor(
        n_estimators=40,
        min_samples_leaf=15,
        max_features=0.4,
        max_samples=0.4,
        n_jobs=1,
        random_state=SEED,
    ).fit(x, y, sample_weight=weight)
    boosted = xgboost.XGBRegressor(
        n_estimators=80,
        learning_rate=0.08,
        max_depth=4,
        min_child_weight=20,
        subsample=0.7,
        colsample_bytree=0.6,
        reg_lambda=5.0,
        tree_method="hist",
        max_bin=64,
        n_jobs=1,
        random_state=SEED,
    ).fit(x, y, sample_weight=weight)
    found = {
        "random_forest": forest.predict(score),
        "xgboost": boosted.predict(score).astype(float),
    }
    return found | {"blend": (found["random_forest"] + found["xgboost"]) / 2}


def _test_established(shop: Shop) -> pd.DataFrame:
    parts = []
    for days_ago in TEST_DAYS:
        day = shop.last - days_ago
        of = features.established(shop, day) if day >= HORIZON_DAYS else np.zeros(0, int)
        if len(of) < MIN_TEST:
            continue
        actual, price = shop.ahead(day)[of], shop.price(day)[of]
        for name, units in forecast_established(shop, day, of).items():
            parts.append(_tested(name, actual, units, price))
    return _joined(parts)


def _test_new(shop: Shop) -> pd.DataFrame:
    """Launches of the second to last 90 days, by what was over when those began."""
    found = features.launches(shop)
    began = shop.last - 2 * HORIZON_DAYS
    train = found.part(found.day + HORIZON_DAYS - 1 <= began)
    test = found.part((found.day > began) & np.isfinite(found.units) & np.isfinite(found.baseline))
    if len(test.units) < MIN_TEST:
        return _joined([])
    price = np.exp(test.features[:, features.LAUNCH_FEATURES.index("log_price")])
    return _joined(
        [
            _tested(name, test.units, units, price)
            for name, units in forecast_new(train, test).items()
        ]
    )


def _predict_established(model: Model) -> pd.DataFrame:
    shop, day = model.shop, model.shop.last
    of = features.established(shop, day)
    if not len(of):
        return pd.DataFrame()
    name = model.champions["established"]
    found = forecast_established(shop, day, of) if name != "last_period" else {}
    last = shop.total("units", day - HORIZON_DAYS + 1, day)[of]
    return _predicted("established", model, of, found.get(name, last), last)


def _predict_new(model: Model) -> pd.DataFrame:
    """Products launched within `NEW_DAYS`, or to be launched in the next 90 days."""
    shop = model.shop
    found = features.launches(shop)
    score = found.part((found.day > shop.last - features.NEW_DAYS) & np.isfinite(found.baseline))
    if not len(score.product):
        return pd.DataFrame()
    train = found.part(np.isfinite(found.units))
    units = forecast_new(train, score)
    return _predicted("new", model, score.product, units[model.champions["new"]], score.baseline)


def _predicted(
    group: str, model: Model, of: np.ndarray, units: np.ndarray, baseline: np.ndarray
) -> pd.DataFrame:
    spread = model.spread[group]
    low, high = spread if spread else (np.nan, np.nan)
    return pd.DataFrame(
        {
            "place": of,
            "product_group": group,
            "model": model.champions[group],
            "units": units,
            "lo80": np.minimum(np.maximum(np.expm1(np.log1p(units) + low), 0), units),
            "hi80": np.maximum(np.expm1(np.log1p(units) + high), units),
            "baseline_units": baseline,
        }
    )


def _tested(name: str, actual: np.ndarray, units: np.ndarray, price: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({"model": name, "actual": actual, "units": units, "price": price})


def _joined(parts: list[pd.DataFrame]) -> pd.DataFrame:
    columns = ["model", "actual", "units", "price"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def _measures(tested: pd.DataFrame) -> pd.DataFrame:
    rows = []
    full = tested.groupby("model").size().max() if len(tested) else 0
    for name, part in tested.groupby("model", sort=True):
        if len(part) < full:
            continue  # could not be fitted on every day: no fair comparison
        actual, units = part["actual"].to_numpy(float), part["units"].to_numpy(float)
        price = part["price"].fillna(0).to_numpy(float)
        measured = {
            "wape": evaluation.wape(actual, units),
            "bias": evaluation.bias(actual, units),
            "mae": evaluation.mae(actual, units),
            "revenue_wape": evaluation.wape(actual * price, units * price),
            "spearman": float(part["actual"].corr(part["units"], method="spearman")),
        }
        rows += [(name, metric, value, len(part)) for metric, value in measured.items()]
    return pd.DataFrame(rows, columns=["model", "metric", "value", "n"])


def _spread(tested: pd.DataFrame, champion: str) -> tuple[float, float] | None:
    part = tested[tested["model"] == champion]
    if len(part) < MIN_TEST:
        return None
    error = np.log1p(part["actual"].to_numpy(float)) - np.log1p(part["units"].to_numpy(float))
    tail = (1 - INTERVAL) / 2
    return float(np.quantile(error, tail)), float(np.quantile(error, 1 - tail))
