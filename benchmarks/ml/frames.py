"""Frames of the public *Online Retail II* files in the shape of `models/features`.

The benchmark must run without a warehouse, so this is a second, independent implementation of
`features.daily_sales` and `features.customer_churn` in pandas.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

FILES = ("online_retail_ii_2009_2010.parquet", "online_retail_ii_2010_2011.parquet")
# the first file stops counting here: both hold 2010-12-01 .. 2010-12-09
OVERLAP_FROM = pd.Timestamp("2010-12-01")
# the last day of the files, 2011-12-09, ends at 12:50
LAST_COMPLETE_DAY = pd.Timestamp("2011-12-08")
NOT_MERCHANDISE = (
    r"^(?:POST|DOT|M|D|C2|C3|B|S|BANK CHARGES|AMAZONFEE|CRUK|PADS|ADJUST\d*|TEST\d*|GIFT_.*|GIFT)$"
)


def lines(folder: Path) -> pd.DataFrame:
    """Every line once: invoice, sku, quantity, price, at, date, customer (null if anonymous).

    Raises:
        FileNotFoundError: the folder has not both files.
    """
    parts = []
    for position, name in enumerate(FILES):
        part = pd.read_parquet(folder / name)
        if position == 0:
            part = part[part["InvoiceDate"] < OVERLAP_FROM]
        parts.append(part)
    both = pd.concat(parts, ignore_index=True)
    return pd.DataFrame(
        {
            "invoice": both["Invoice"].astype(str),
            "sku": both["StockCode"].astype(str).str.strip().str.upper(),
            "quantity": both["Quantity"].astype(float),
            "price": both["Price"].astype(float),
            "date": both["InvoiceDate"].dt.normalize(),
            "customer": both["Customer ID"],
            "country": both["Country"].astype(str),
        }
    )


def merchandise_sales(all_lines: pd.DataFrame) -> pd.DataFrame:
    """Merchandise sold, less what the same customer cancelled on the same day.

    One row per invoice, customer, sku and price: invoice, customer, date, quantity, amount (GBP).
    A cancellation is taken from the sales of its day, customer, sku and price, last invoice first.
    """
    goods = all_lines[
        ~all_lines["sku"].str.match(NOT_MERCHANDISE) & (all_lines["price"] > 0)
    ].copy()
    goods["who"] = goods["customer"].astype("Int64").astype("string").fillna("anonymous")
    key = ["date", "who", "sku", "price"]
    cancelled = (
        goods[goods["invoice"].str.startswith("C") & (goods["quantity"] < 0)]
        .groupby(key)["quantity"].sum().mul(-1).rename("cancelled")
    )  # fmt: skip
    sold = (
        goods[~goods["invoice"].str.startswith("C") & (goods["quantity"] > 0)]
        .groupby([*key, "invoice"], as_index=False)["quantity"].sum()
        .join(cancelled, on=key)
        .fillna({"cancelled": 0.0})
        .sort_values([*key, "invoice"], ascending=[True, True, True, True, False])
    )  # fmt: skip
    before = sold.groupby(key)["quantity"].cumsum() - sold["quantity"]
    sold["quantity"] -= (sold["cancelled"] - before).clip(lower=0).clip(upper=sold["quantity"])
    sold = sold[sold["quantity"] > 0]
    sold["amount"] = sold["quantity"] * sold["price"]
    return sold


def daily_sales(all_lines: pd.DataFrame) -> pd.DataFrame:
    """One row per calendar day without gaps: metric_date, product_sales, orders."""
    sold = merchandise_sales(all_lines)
    sold = sold[sold["date"] <= LAST_COMPLETE_DAY]
    days = pd.date_range(sold["date"].min(), LAST_COMPLETE_DAY, name="metric_date")
    by_day = sold.groupby("date").agg(
        product_sales=("amount", "sum"), orders=("invoice", "nunique")
    )
    return by_day.reindex(days, fill_value=0).astype(float).reset_index()


WINDOWS = (30, 90, 180, 365)


def customer_churn(
    all_lines: pd.DataFrame, as_of_dates: list[pd.Timestamp], horizon_days: int = 90
) -> pd.DataFrame:
    """The columns of `features.customer_churn` for identified customers."""
    sold = merchandise_sales(all_lines)
    sold = sold[(sold["who"] != "anonymous") & (sold["date"] <= LAST_COMPLETE_DAY)]
    days = (
        sold.groupby(["who", "date"], as_index=False)
        .agg(orders=("invoice", "nunique"), demand=("amount", "sum"))
        .rename(columns={"who": "customer_key"})
        .sort_values(["customer_key", "date"])
    )
    days["gap"] = days.groupby("customer_key")["date"].diff().dt.days
    return pd.concat(
        [_churn_features(days, as_of, horizon_days) for as_of in as_of_dates], ignore_index=True
    )


def _churn_features(days: pd.DataFrame, as_of: pd.Timestamp, horizon_days: int) -> pd.DataFrame:
    known = days[days["date"] <= as_of]
    ago = (as_of - known["date"]).dt.days
    groups = known.groupby("customer_key")
    table = pd.DataFrame(
        {
            "recency_days": (as_of - groups["date"].max()).dt.days,
            "tenure_days": (as_of - groups["date"].min()).dt.days,
            "order_days": groups.size(),
            "orders": groups["orders"].sum(),
            "monetary_amount": groups["demand"].sum(),
            "returns_amount": 0.0,
            "longest_gap_days": groups["gap"].max(),
            "gap_deviation_days": groups["gap"].std(ddof=0),
            "last_demand_amount": groups["demand"].last(),
        }
    )
    for window in WINDOWS:
        recent = known[ago < window].groupby("customer_key")
        table[f"order_days_{window}d"] = recent.size()
        table[f"demand_{window}d_amount"] = recent["demand"].sum()
    season = known[(ago < 364) & (ago >= 364 - horizon_days)].groupby("customer_key")
    table["order_days_same_season"] = season.size()
    counts = [name for name in table if name.startswith(("order_days", "demand_"))]
    table[counts] = table[counts].fillna(0)
    ahead = days[(days["date"] > as_of) & (days["date"] <= as_of + pd.Timedelta(days=horizon_days))]
    table["is_churned"] = ~table.index.isin(ahead["customer_key"])
    table["is_churned"] = table["is_churned"].astype(object)
    if as_of + pd.Timedelta(days=horizon_days) > LAST_COMPLETE_DAY:
        table["is_churned"] = None
    table["is_latest"] = as_of == LAST_COMPLETE_DAY
    table["as_of_date"] = as_of
    return table.reset_index()
