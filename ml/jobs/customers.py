"""What the tasks about customers read."""

from __future__ import annotations

from typing import Any

import pandas as pd
import psycopg

from ml import runs
from ml.jobs import running

READS = ("customer_days", "customer_rfm")


def read_days(connection: psycopg.Connection[Any]) -> tuple[pd.DataFrame, pd.Timestamp | None]:
    """Rows of `features.customer_days` up to the last complete day, and that day."""
    dates = runs.read(
        connection, "select distinct as_of_date from features.customer_rfm where is_latest"
    )
    days = runs.read(
        connection,
        "select customer_key, activity_date, orders, is_purchase, demand_amount, returns_amount,"
        " same_day_returns_amount from features.customer_days"
        " where activity_date"
        " <= (select max(as_of_date) from features.customer_rfm where is_latest)"
        " order by customer_key, activity_date",
    )
    return days, running.last_date(dates, "as_of_date")
