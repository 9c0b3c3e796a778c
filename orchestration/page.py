"""The page at the end of `make demo`: what the marts say, and where to look further.

Every number is read from `reporting`, `quality` or `predictions`; none is computed here. What the
data doesn't tell is "unknown", never 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from loaders.connections import open_postgres
from loaders.settings import ROOT, Settings
from orchestration.datasets import Dataset

UNKNOWN = "unknown"
Row = dict[str, Any]


def show(console: Console, settings: Settings, dataset: Dataset) -> None:
    """Print the page for the warehouse of these settings."""
    with open_postgres(settings) as conn:
        parts = [_headline(conn), _predictions(conn), _reconciliation(conn)]
    for part in [*parts, _further(settings, dataset)]:
        console.print()
        console.print(part)


def _rows(conn: psycopg.Connection, table: str, order_by: str | None = None) -> list[Row]:
    query = sql.SQL("select * from {}").format(sql.Identifier(*table.split(".")))
    if order_by:
        query += sql.SQL(" order by {}").format(sql.Identifier(order_by))
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query).fetchall()


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
    """A date as people write it, or "unknown"."""
    return UNKNOWN if value is None else f"{value:%a} {value.day} {value:%b %Y}"


def _section(title: str, *parts: RenderableType) -> Group:
    return Group(Text(title, style="bold"), *parts)


def _grid(*justify: str) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 1), pad_edge=True)
    for side in justify:
        table.add_column(justify=side)
    return table


def _headline(conn: psycopg.Connection) -> Group:
    [kpis] = _rows(conn, "reporting.agg_headline_kpis")
    currency = kpis["currency"]
    table = _grid("left", "right", "left")

    def line(name: str, value: str, note: str = "") -> None:
        dim = "dim" if value == UNKNOWN else ""
        table.add_row(name, Text(value, style=dim), Text(note, style="dim"))

    line(
        "revenue",
        money(kpis["total_sales_amount"], currency),
        "less returns, with shipping and tax",
    )
    line("net sales", money(kpis["net_sales_amount"], currency), "of it, goods alone")
    coverage = kpis["cost_coverage"]
    known = f"known for {share(coverage)} of goods sold"
    has_costs = bool(coverage)
    line("cost", money(kpis["total_cost_amount"] if has_costs else None, currency), known)
    line("net profit", money(kpis["net_profit_amount"], currency))
    line("orders", count(kpis["orders"]))
    line("orders last month", count(kpis["orders_last_month"]), f"{kpis['last_month_start']:%B %Y}")
    line(
        "best selling day",
        day(kpis["best_date"]),
        money(kpis["best_date_total_sales_amount"], currency),
    )
    line("average order value", money(kpis["average_order_value"], currency))
    line("customers", count(kpis["customers"]), f"{share(kpis['repeat_purchase_rate'])} came back")
    period = f"{day(kpis['first_date'])} to {day(kpis['as_of_date'])}"
    return _section(f"The shop, {period}", table)


def _predictions(conn: psycopg.Connection) -> Group:
    table = _grid("left", "right", "left")
    forecasts = {row["series"]: row for row in _rows(conn, "predictions.next_year_forecasts")}
    for series, name in (("revenue", "revenue"), ("profit", "net profit"), ("orders", "orders")):
        row = forecasts.get(series)
        if row is None:
            table.add_row(f"{name} next year", Text(UNKNOWN, style="dim"))
            continue
        unit = f" {row['currency']}" if row["currency"] else ""
        table.add_row(
            f"{name} next year",
            f"{row['yhat']:,.0f}{unit}",
            Text(f"80%: {row['lo80']:,.0f} to {row['hi80']:,.0f}, {row['model']}", style="dim"),
        )
    lines = []
    for name, column, view, order in (
        ("segments", "rfm_segment", "customer_segments", "rfm_segment_rank"),
        ("churn in 90 days", "tier", "customer_churn_scores", "churn_probability"),
    ):
        groups = _groups(conn, f"predictions.{view}", column, order)
        told = ", ".join(f"{group} {number:,}" for group, number in groups)
        lines.append(Text(f"{name}: {told or UNKNOWN}", style="" if told else "dim"))
    standings = _standings(conn)
    for row in _rows(conn, "predictions.current_runs", "task"):
        champion = _champion(row, standings.get(row["task"]))
        told = "; ".join(part for part in (champion, row["note"]) if part)
        lines.append(Text(f"{row['task']}: {told}", style="dim"))
    return _section("Predictions", table, *(Padding(line, (0, 0, 0, 1)) for line in lines))


# A champion that is the baseline itself has beaten nothing. Parts of a series ("revenue by
# category") follow the model of their total and are not told one by one.
_STANDING = """
select
    task,
    coalesce(array_agg(distinct series) filter (where is_champion and not is_baseline), '{}')
        as ahead,
    coalesce(array_agg(distinct series) filter (where is_champion and is_baseline), '{}')
        as unbeaten
from predictions.model_quality
where series not like '% by %'
group by task
having bool_or(is_baseline)
"""


def _standings(conn: psycopg.Connection) -> dict[str, Row]:
    """By task: whether its champions are ahead of the baseline. Only tasks that have measures."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return {row["task"]: row for row in cursor.execute(_STANDING)}


def _champion(run: Mapping[str, Any], standing: Mapping[str, Any] | None) -> str:
    """Which model scores, and whether it has beaten the baseline on the shop's past.

    Args:
        run: of `predictions.current_runs`.
        standing: of `_standings`; None where nothing was compared, and then nothing is claimed.
    """
    champion = run["champion"]
    if not champion:
        return "nothing scores"
    ahead, unbeaten = (standing["ahead"], standing["unbeaten"]) if standing else ([], [])
    if unbeaten:
        where = f" of {', '.join(unbeaten)}" if ahead else ""
        return f"{champion}: no model beats the baseline{where}"
    if not ahead:
        return champion
    # a baseline per series is named by the series that were compared: it may be some of them
    has_one = ": " not in run["baseline"]
    rival = run["baseline"] if has_one else f"the baseline of {', '.join(ahead)}"
    return f"{champion}, ahead of {rival}"


def _groups(
    conn: psycopg.Connection, table: str, column: str, order_by: str
) -> list[tuple[str, int]]:
    """Groups of a table with their sizes, in the order of the smallest `order_by` of each."""
    query = sql.SQL("select {0}, count(*) from {1} group by {0} order by min({2})").format(
        sql.Identifier(column), sql.Identifier(*table.split(".")), sql.Identifier(order_by)
    )
    return conn.execute(query).fetchall()


def _reconciliation(conn: psycopg.Connection) -> Group:
    table = Table(box=None, padding=(0, 1), header_style="dim")
    table.add_column("", no_wrap=True)
    for step in ("source", "raw", "staging", "marts", "rejected", "deleted"):
        table.add_column(step, justify="right", no_wrap=True)
    for row in _rows(conn, "quality.recon_collections", "collection"):
        table.add_row(
            _mark(row["is_reconciled"], row["collection"]),
            "none" if row["source_count"] is None else count(row["source_count"]),
            count(row["raw_live_count"]),
            count(row["staging_count"]),
            "" if row["mart_count"] is None else count(row["mart_count"]),
            count(row["quarantined_count"]),
            count(row["raw_deleted_count"]),
        )
    days = _rows(conn, "quality.recon_money")
    broken = sum(not row["is_reconciled"] for row in days)
    what = "money: documents = lines = ledger = roll-up"
    told = f"{what}, all {len(days):,} store days"
    if broken:
        told = f"{what} fails on {broken:,} of {len(days):,} store days: see quality.recon_money"
    return _section("Reconciliation", table, Text.assemble(" ", _mark(not broken, told)))


def _mark(is_ok: bool, what: str) -> Text:
    sign, style = ("✓", "green") if is_ok else ("✗", "red")
    return Text.assemble((sign, style), f" {what}")


def _further(settings: Settings, dataset: Dataset) -> Group:
    to = settings.postgres()
    which = dataset.selector
    table = _grid("left", "left")
    table.add_row(f"make ui{which}", "Dagster: the graph, its runs, run it again")
    table.add_row(f"make docs{which}", "every table and column, with lineage")
    table.add_row(f"make psql{which}", "a SQL prompt")
    tools = (
        "Power BI, Tableau and others connect with their PostgreSQL driver to",
        f"  postgresql://{to['user']}@{to['host']}:{to['port']}/{to['dbname']}",
        "  schemas core, finance, reporting, predictions, quality",
        f"  password in {_password_place(settings)}",
    )
    lines = (Text(f" {line}", no_wrap=True, overflow="ignore") for line in tools)
    return _section("Look further", table, *lines)


def _password_place(settings: Settings) -> str:
    if not settings.uses_sandbox_postgres:
        return "POSTGRES_PASSWORD"
    place = settings.credentials_file
    return str(place.relative_to(ROOT) if place.is_relative_to(ROOT) else place)
