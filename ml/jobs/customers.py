"""What the tasks about customers read."""

from __future__ import annotations

from typing import Any

import pandas as pd
import psycopg

from ml import runs

READS = ("customer_days", "customer_rfm")


def read_days(connection: psycopg.Connection[Any]) -> tuple[pd.DataFrame, pd.Timestamp | None]:
    """Rows of `features.customer_days` up to the last complete day, and that day."""
    clock = runs.read(connection, "select max(as_of_date) as as_of_date from features.customer_rfm")
    as_of = clock["as_of_date"].iloc[0]
    days = runs.read(
        connection,
        "select customer_key, activity_date, orders, demand_amount, returns_amount"
        " from features.customer_days"
        " where activity_date <= (select max(as_of_date) from features.customer_rfm)"
        " order by customer_key, activity_date",
    )
    return days, None if pd.isna(as_of) else as_of
