"""Frames of the public *Online Retail II* files in the shape of `models/features`.

The benchmark must run without a warehouse, so this is a second, independent implementation of
`features.daily_sales` in pandas.
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
