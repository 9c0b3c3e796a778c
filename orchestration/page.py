"""The page at the end of `make demo`: what the marts say, and where to look further.

Every number is read from `reporting`, `quality` or `predictions`; none is computed here. What the
data doesn't tell is "unknown", never 0.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from rich.console import Console
from rich.table import Table

from loaders.connections import open_postgres
from loaders.settings import Settings
from orchestration.datasets import Dataset

UNKNOWN = "[dim]unknown[/]"
Row = dict[str, Any]


def show(console: Console, settings: Settings, dataset: Dataset, seconds: float) -> None:
    """Print the page for the warehouse of these settings."""
    with open_postgres(settings) as conn:
        conn.row_factory = dict_row  # type: ignore[assignment]
        console.print()
        console.print(_headline(conn))
        console.print()
        console.print(_predictions(conn))
        console.print()
        console.print(_reconciliation(conn))
    console.print()
    console.print(_further(settings, dataset))
    console.print(f"\ndone in {seconds:.0f} s", highlight=False)


def _rows(conn: psycopg.Connection, table: str, order_by: str | None = None) -> list[Row]:
    schema, name = table.split(".")
    query = sql.SQL("select * from {}").format(sql.Identifier(schema, name))
    if order_by:
        query += sql.SQL(" order by {}").format(sql.Identifier(order_by))
    return conn.execute(query).fetchall()  # type: ignore[return-value]


def _grid(*justify: str) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    for side in justify:
        table.add_column(justify=side)  # type: ignore[arg-type]
    return table


def money(amount: Decimal | None, currency: str) -> str:
    """An amount with its currency, or "unknown"."""
    return UNKNOWN if amount is None else f"{amount:,.2f} {currency}"


def count(number: int | None) -> str:
    """A whole number, or "unknown"."""
    return UNKNOWN if number is None else f"{number:,}"


def share(part: Decimal | float | None) -> str:
    """A share as a percentage, or "unknown"."""
    return UNKNOWN if part is None else f"{part:.1%}"


def day(value: date | None) -> str:
    """A date that a person reads, or "unknown"."""
    return UNKNOWN if value is None else f"{value:%a %-d %b %Y}"
