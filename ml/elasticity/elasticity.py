"""How demand answers to prices: per product, per category and for the shop.

`fit` compares the estimators out of time with "the price has no effect" and lets the better one
speak; `predict` gives elasticities with intervals, refusals with their reason, and price advice;
`evaluate` gives the comparison and what says how far to trust it.

Identified and anonymous buyers are never mixed: in a shop with both, the anonymous ones are often
another trade at other prices, and a week with more of them would look like a week of high prices
and small demand. Each group has elasticities of its own; the one with more orders leads.

An elasticity is not identified from a product that was sold in fewer than `MIN_WEEKS` weeks or at
(nearly) one price. Raw slopes of single products never leave this package: out of time they are
worse than none. All of it is correlation with product and week held constant, no experiment; the
placebo says how much of it may not be the price.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from ml import asof
from ml.elasticity import backtest, models, pricing, shrinkage
from ml.elasticity.panel import Panel, Rows
from ml.evaluation import Z95

MIN_WEEKS = 20
MAX_WEEKS = 156  # three years: older prices were paid by other people with other choices
MIN_DEVIATION = 0.03  # standard deviation of the log price: about 3 %
MIN_PRODUCTS = 5  # fewer can't tell a week from a price, nor noise from a difference
TRIED = (0.05, 0.95)  # quantiles of a product's weekly prices between which a price was tried
RECENT_WEEKS = 13  # a quarter: what is sold in an ordinary week at today's price

GROUPS = ("identified", "anonymous")
COLUMNS = (
    "level",
    "member",
    "category",
    "buyer_group",
    "is_lead",
    "status",
    "reason",
    "elasticity",
    "standard_error",
    "lo95",
    "hi95",
    "markdown_elasticity",
    "markdown_lo95",
    "markdown_hi95",
    "products",
    "weeks",
    "price_deviation",
    "weekly_units",
    "price_amount",
    "unit_cost_amount",
    "lowest_amount",
    "highest_amount",
    "advice",
    "advice_reason",
    "advised_amount",
    "advised_lo95",
    "advised_hi95",
    "weekly_gain_amount",
    "weekly_gain_lo95",
    "weekly_gain_hi95",
)


class TooLittleDataError(Exception):
    """No elasticity is identified; the message says what is missing."""


@dataclass(frozen=True)
class Group:
    """One buyer group's elasticities.

    Attributes:
        name: identified or anonymous.
        orders: of its rows, which decide who leads.
        rows, panel: what was learned from.
        products: rows of the panel with an identified elasticity.
        category: name of each product's category, of all products.
        champion: estimator, or the baseline.
        slopes, shrunk: by the champion, in the order of `products`; None with the baseline.
        categories: names in the order of `shrunk.category`.
        backtest: model, metric, value, n.
        facts: what is known of the whole history: metric -> (value, n), by the champion.
    """

    name: str
    orders: int
    rows: Rows
    panel: Panel
    products: np.ndarray
    category: np.ndarray
    champion: str
    slopes: models.Slopes | None
    shrunk: shrinkage.Shrunk | None
    categories: np.ndarray
    backtest: pd.DataFrame
    facts: dict[str, tuple[float, int]]


@dataclass(frozen=True)
class ElasticityModel:
    """Fitted elasticities; the first group leads.

    Attributes:
        groups: most orders first.
        costs: last known unit cost by product.
        notes: what a reader must know.
    """

    groups: tuple[Group, ...]
    costs: pd.Series
    notes: tuple[str, ...]

    @property
    def champion(self) -> str:
        """Estimator by group, in words."""
        return ", ".join(f"{group.name}: {group.champion}" for group in self.groups)

    @property
    def note(self) -> str:
        """What a reader must know, empty if nothing."""
        return "; ".join(self.notes)


def fit(features: pd.DataFrame) -> ElasticityModel:
    """Learn the elasticities of each buyer group.

    Args:
        features: rows of `features.product_price_weeks` in any order.

    Raises:
        TooLittleDataError: no group has enough products with a price that changed.
    """
    if features.empty:
        raise TooLittleDataError("no product was sold in small quantities")
    oldest = features["week_start_date"].max() - pd.Timedelta(weeks=MAX_WEEKS - 1)
    features = features[features["week_start_date"] >= oldest]
    groups, notes = [], []
    with threadpool_limits(1):  # the order of a sum is the same on every machine
        for name in GROUPS:
            part = features[features["buyer_group"] == name]
            if part.empty:
                continue
            try:
                groups.append(_group(name, part))
            except TooLittleDataError as missing:
                notes.append(f"{name} buyers: {missing}")
    if not groups:
        raise TooLittleDataError("; ".join(notes))
    groups.sort(key=lambda group: (-group.orders, group.name))
    for group in groups:
        if group.champion == backtest.BASELINE:
            notes.append(
                f"{group.name} buyers: no estimator foretells demand better than no price effect"
            )
    lead = features[features["buyer_group"] == groups[0].name]
    latest = lead.sort_values(["week_start_date", "product_key", "store_id"])
    costs = latest[latest["unit_cost_amount"].notna()].groupby("product_id")["unit_cost_amount"]
    return ElasticityModel(tuple(groups), costs.last(), tuple(notes))


def predict(model: ElasticityModel) -> pd.DataFrame:
    """Elasticities, refusals and advice.

    Returns:
        One row per buyer group and product, category and shop, with `COLUMNS`: status is
        identified or refused, with the reason; advice is there for products of the leading group.
    """
    parts = [
        table
        for position, group in enumerate(model.groups)
        for table in (
            _wide_rows(group, is_lead=position == 0),
            _product_rows(group, model, is_lead=position == 0),
        )
    ]
    table = pd.concat(parts, ignore_index=True).reindex(columns=list(COLUMNS))
    table["weeks"] = table["weeks"].astype("Int64")
    return table


def evaluate(model: ElasticityModel) -> pd.DataFrame:
    """Measures by group.

    Returns:
        series (the buyer group), model, horizon, metric, value, n, is_champion, is_baseline: gains
        out of time of each model; of the champion over the whole history: pooled elasticity with
        error, lead-price placebo with error, share of negative elasticities, products.
    """
    parts = []
    for group in model.groups:
        ahead = group.backtest.assign(horizon=f"{backtest.STEP_WEEKS} weeks")
        facts = pd.DataFrame(
            [
                (group.champion, metric, value, n, "all weeks")
                for metric, (value, n) in group.facts.items()
            ],
            columns=["model", "metric", "value", "n", "horizon"],
        )
        parts.append(pd.concat([ahead, facts]).assign(series=group.name))
        parts[-1]["is_champion"] = parts[-1]["model"] == group.champion
    table = pd.concat(parts, ignore_index=True)
    table["is_baseline"] = table["model"] == backtest.BASELINE
    return table[
        ["series", "model", "horizon", "metric", "value", "n", "is_champion", "is_baseline"]
    ]


def choose_champion(measured: pd.DataFrame) -> str:
    """The estimator that gains most on how units are split; the baseline if none gains."""
    gains = measured[measured["metric"] == "deviance_gain"].set_index("model")["value"]
    gains = gains[gains.index.isin(models.ESTIMATORS)]
    if gains.empty or not gains.max() > 0:
        return backtest.BASELINE
    return str(gains.idxmax())


def identified(panel: Panel) -> np.ndarray:
    """Which products' elasticities can be told from the panel, shape (products,)."""
    return (panel.weeks_sold >= MIN_WEEKS) & (panel.deviation >= MIN_DEVIATION)


def _group(name: str, part: pd.DataFrame) -> Group:
    rows = Rows.from_frame(part)
    weeks = len(rows.weeks)
    if weeks < MIN_WEEKS + backtest.STEP_WEEKS:
        raise TooLittleDataError(
            f"{weeks} weeks with sales, {MIN_WEEKS + backtest.STEP_WEEKS} are needed"
        )
    asof.require_past(part, ["week_end_date"], pd.Timestamp(rows.week_end[-1]))
    panel = Panel.learn(rows, weeks)
    products = np.flatnonzero(identified(panel))
    if len(products) < MIN_PRODUCTS:
        raise TooLittleDataError(
            f"{len(products)} of {len(rows.products)} products were sold in {MIN_WEEKS} weeks at"
            f" prices that differ, {MIN_PRODUCTS} are needed"
        )
    names = part.groupby("product_id")["category"].first().reindex(rows.products).to_numpy(object)
    categories, code = np.unique(names.astype(str), return_inverse=True)
    measured = backtest.run(rows, code, identified)
    if measured.empty:
        raise TooLittleDataError(
            f"no product had {MIN_WEEKS} weeks of sales at several prices before the last"
            f" {backtest.STEP_WEEKS}, so no elasticity could be tried out of time"
        )
    champion = choose_champion(measured)
    slopes = shrunk = None
    facts: dict[str, tuple[float, int]] = {"products": (float(len(products)), len(rows.products))}
    present = np.unique(code[products])
    if champion != backtest.BASELINE:
        slopes = models.slopes(panel, products, champion)
        own = np.searchsorted(present, code[products])
        shrunk = shrinkage.shrink(slopes.slope, slopes.variance, own)
        lead, lead_error = models.placebo(panel, products, champion)
        n = len(products)
        facts |= {
            "pooled_elasticity": (slopes.pooled, n),
            "pooled_error": (slopes.pooled_error, n),
            "markdown_elasticity": (slopes.markdown, n),
            "markdown_error": (slopes.markdown_error, n),
            "placebo_lead_price": (lead, n),
            "placebo_error": (lead_error, n),
            "negative_share": (float((shrunk.product < 0).mean()), n),
            "negative_share_unshrunk": (float((slopes.slope < 0).mean()), n),
        }
    return Group(
        name=name,
        orders=int(part["orders"].sum()),
        rows=rows,
        panel=panel,
        products=products,
        category=names,
        champion=champion,
        slopes=slopes,
        shrunk=shrunk,
        categories=categories[present],
        backtest=measured,
        facts=facts,
    )


def _usual_level(group: Group) -> np.ndarray:
    """Log price level of an average unit of each product, all its SKUs and stores together."""
    rows, size = group.rows, len(group.rows.products)
    weighted = np.bincount(rows.product, rows.units * group.panel.level[rows.unit], minlength=size)
    return weighted / np.bincount(rows.product, rows.units, minlength=size)


def _refusal(panel: Panel, product: int) -> str:
    if panel.weeks_sold[product] < MIN_WEEKS:
        return f"sold in {panel.weeks_sold[product]} weeks, {MIN_WEEKS} are needed"
    return f"the price hardly changed: it varies by {panel.deviation[product]:.1%}"


def _wide_rows(group: Group, *, is_lead: bool) -> pd.DataFrame:
    """The shop's row and one per category."""
    count = pd.Series(group.category[group.products].astype(str)).value_counts()
    found = group.shrunk
    rows = []
    for position, name in [(-1, "all"), *enumerate(group.categories)]:
        products = len(group.products) if position < 0 else int(count[name])
        row = {
            "level": "shop" if position < 0 else "category",
            "member": name,
            "category": None if position < 0 else name,
            "products": products,
        }
        if found is None:
            row |= {"status": "refused", "reason": "no better than no price effect"}
        elif products < MIN_PRODUCTS:
            row |= {
                "status": "refused",
                "reason": f"{products} products had prices that differ, {MIN_PRODUCTS} are needed",
            }
        elif position < 0:
            row |= _estimate(found.pool, found.pool_error) | _markdown(group.slopes)
        else:
            row |= _estimate(float(found.category[position]), float(found.category_error[position]))
        rows.append(row)
    for name in sorted(set(map(str, group.category)) - set(map(str, group.categories))):
        rows.append(
            {
                "level": "category",
                "member": name,
                "category": name,
                "products": 0,
                "status": "refused",
                "reason": "no product was sold in enough weeks at prices that differ",
            }
        )
    return pd.DataFrame(rows).assign(buyer_group=group.name, is_lead=is_lead)


def _product_rows(group: Group, model: ElasticityModel, *, is_lead: bool) -> pd.DataFrame:
    panel, found = group.panel, group.shrunk
    place = {int(product): k for k, product in enumerate(group.products)}
    recent = panel.units[:, -RECENT_WEEKS:].mean(axis=1)
    level = _usual_level(group)
    rows = []
    for product, name in enumerate(group.rows.products):
        row = {
            "level": "product",
            "member": name,
            "category": group.category[product],
            "products": 1,
            "weeks": int(panel.weeks_sold[product]),
            "price_deviation": float(panel.deviation[product]),
        }
        if product not in place:
            row |= {"status": "refused", "reason": _refusal(panel, product)}
        elif found is None:
            row |= {"status": "refused", "reason": "no better than no price effect"}
        else:
            k = place[product]
            mean, error = float(found.product[k]), float(found.product_error[k])
            row |= _estimate(mean, error)
            if is_lead:
                row |= _advised(
                    group,
                    product,
                    mean=mean,
                    error=error,
                    unit_cost=float(model.costs.get(name, float("nan"))),
                    level=float(level[product]),
                    units=float(recent[product]),
                )
        rows.append(row)
    return pd.DataFrame(rows).assign(buyer_group=group.name, is_lead=is_lead)


def _markdown(slopes: models.Slopes | None) -> dict[str, object]:
    """Columns of the answer to markdowns; NaN where none was tried."""
    if slopes is None:
        return {}
    return {
        "markdown_elasticity": slopes.markdown,
        "markdown_lo95": slopes.markdown - Z95 * slopes.markdown_error,
        "markdown_hi95": slopes.markdown + Z95 * slopes.markdown_error,
    }


def _estimate(mean: float, error: float) -> dict[str, object]:
    return {
        "status": "identified",
        "reason": "",
        "elasticity": mean,
        "standard_error": error,
        "lo95": mean - Z95 * error,
        "hi95": mean + Z95 * error,
    }


def _advised(
    group: Group,
    product: int,
    *,
    mean: float,
    error: float,
    unit_cost: float,
    level: float,
    units: float,
) -> dict[str, object]:
    """Columns of the advice; prices are those of an average unit, all stores together."""
    price = float(np.exp(level + group.panel.price[product, -1]))
    low, high = (float(np.exp(level + end)) for end in group.panel.range_of(product, *TRIED))
    advice = pricing.advise(
        mean, error, price=price, unit_cost=unit_cost, units=units, lowest=low, highest=high
    )
    return {
        "price_amount": price,
        "unit_cost_amount": unit_cost,
        "lowest_amount": low,
        "highest_amount": high,
        "weekly_units": units,
        "advice": advice.action,
        "advice_reason": advice.reason,
        "advised_amount": advice.price,
        "advised_lo95": advice.low,
        "advised_hi95": advice.high,
        "weekly_gain_amount": advice.gain,
        "weekly_gain_lo95": advice.gain_low,
        "weekly_gain_hi95": advice.gain_high,
    }
