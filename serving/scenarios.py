"""The commands `ledgerline scenario …`: what if, from the current scores in the warehouse.

Reads `predictions` and asks for metrics, computes nothing that `ml.scenarios` doesn't, and writes
nothing.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import date, timedelta
from enum import StrEnum
from typing import Annotated, Any

import numpy as np
import psycopg
import typer
from psycopg.rows import dict_row
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from loaders.connections import open_postgres
from loaders.errors import UserError
from loaders.settings import Settings
from ml import scenarios
from ml.evaluation import Z95
from serving.metrics import Filter, MetricStore, Question
from serving.periods import Period

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="What if a price, a promotion, a budget or the season changed: with intervals.",
)

RECENT_DAYS = 91  # a quarter: a category's share, price and margin of now
MOST_DAYS = 90  # as far as the forecast goes
RECENT_METRICS = (
    "demand_sales", "units_sold", "average_selling_price", "cost_coverage", "gross_margin"
)  # fmt: skip

_FORECAST = """
select count(*) as days, sum(yhat) as revenue, sum(hi95 - lo95) as width, max(model) as model,
    max(as_of_date) as as_of_date
from predictions.sales_forecasts
where series = 'product_sales' and grain = 'day' and is_champion
    and dimension = %(dimension)s and member = %(member)s and horizon_days <= %(days)s
"""
_ELASTICITY = """
select status, reason, elasticity, lo95, hi95, markdown_elasticity, markdown_lo95, markdown_hi95
from predictions.price_elasticities
where is_lead and level = %(level)s and member = %(member)s
"""
_TRIED = """
select lowest_amount / price_amount - 1 as lowest, highest_amount / price_amount - 1 as highest
from predictions.price_elasticities
where is_lead and level = 'product' and status = 'identified' and price_amount > 0
    and (category = %(category)s or %(category)s::text is null)
"""


class Format(StrEnum):
    """How an answer is written."""

    table = "table"
    json = "json"


def percentage(text: str) -> float:
    """`-10%`, `+5 %` or `-0.1` as a fraction.

    Raises:
        UserError: it is none.
    """
    found = re.fullmatch(r"([+-]?\d+(?:\.\d+)?)\s*(%?)", text.strip())
    if found is None:
        raise UserError(f"a change is written like -10% or 0.05, not {text!r}")
    return float(found[1]) / (100 if found[2] else 1)


_Category = Annotated[str | None, typer.Option(help="A category; all products without it.")]
_Days = Annotated[int, typer.Option(min=1, max=MOST_DAYS, help="Length of the period.")]
_Form = Annotated[Format, typer.Option("--format", help="How to write it.")]


@app.command()
def price(
    change: Annotated[str, typer.Option(help="-10%, +5%.")],
    category: _Category = None,
    days: _Days = 30,
    format_: _Form = Format.table,
) -> None:
    """A new price."""
    with _opened() as (connection, store):
        base = read_base(connection, store, category, days)
        effect = read_effect(connection, category)
    _show(lambda: scenarios.price(base, effect, percentage(change)), format_)


@app.command()
def promotion(
    depth: Annotated[str, typer.Option(help="Markdown: 20%.")],
    category: _Category = None,
    promotion_days: Annotated[int, typer.Option("--for", min=1, help="Days marked down.")] = 7,
    days: _Days = 30,
    format_: _Form = Format.table,
) -> None:
    """A markdown that ends."""
    with _opened() as (connection, store):
        base = read_base(connection, store, category, days)
        effect = read_effect(connection, category, markdown=True)
    _show(lambda: scenarios.promotion(base, effect, percentage(depth), promotion_days), format_)


@app.command()
def spend(
    channel: Annotated[str, typer.Option(help="A marketing channel.")],
    change: Annotated[str, typer.Option(help="Of the usual weekly spend: +20%.")],
    days: _Days = 90,
    format_: _Form = Format.table,
) -> None:
    """Another budget of a channel."""
    with _opened() as (connection, store):
        base = read_base(connection, store, None, days)
        response = read_response(connection, channel)
    _show(lambda: scenarios.spend(base, response, percentage(change)), format_)


@app.command()
def season(
    change: Annotated[str, typer.Option(help="Of demand: -15%.")],
    category: _Category = None,
    days: _Days = 90,
    format_: _Form = Format.table,
) -> None:
    """A stronger or weaker season."""
    with _opened() as (connection, store):
        base = read_base(connection, store, category, days)
    _show(lambda: scenarios.season(base, percentage(change)), format_)


@contextmanager
def _opened() -> Iterator[tuple[psycopg.Connection[Any], MetricStore]]:
    settings = Settings()
    with open_postgres(settings) as connection, MetricStore(settings) as store:
        yield connection, store


def read_base(
    connection: psycopg.Connection[Any], store: MetricStore, category: str | None, days: int
) -> scenarios.Base:
    """The next days as the champion forecasts them, with the price and margin of the last ones.

    Raises:
        UserError: there is no forecast, or nothing of the category was sold lately.
    """
    label = "all products" if category is None else category
    own = _one(
        connection,
        _FORECAST,
        dimension="total" if category is None else "category",
        member="all" if category is None else category,
        days=days,
    )
    whole = (
        own
        if own["days"]
        else _one(connection, _FORECAST, dimension="total", member="all", days=days)
    )
    if not whole["days"]:
        raise UserError("there is no current forecast of product sales: run `ledgerline refresh`")
    recent = _recent(store, whole["as_of_date"], category)
    if not (recent["demand_sales"] or 0) > 0 or not (recent["units_sold"] or 0) > 0:
        raise UserError(f"nothing of {label} was sold in the last {RECENT_DAYS} days")
    assumptions = [
        f"forecast of {whole['model']} from {whole['as_of_date']}, {whole['days']} days; its days'"
        " errors are taken to go together, which is the widest they can be"
    ]
    share = 1.0
    if not own["days"]:
        all_sales = _recent(store, whole["as_of_date"], None)["demand_sales"]
        share = float(recent["demand_sales"]) / float(all_sales)
        assumptions.append(f"{label} keeps its {share:.1%} of sales of the last {RECENT_DAYS} days")
    margin = _number(recent["gross_margin"])
    if math.isnan(margin):
        covered = recent["cost_coverage"] or 0
        assumptions.append(f"no margin: costs are known for {covered:.0%} of sales")
    else:
        assumptions.append(f"margin {margin:.1%} as in the last {RECENT_DAYS} days")
    width = whole["width"]
    if width is None:
        assumptions.append("the forecast has no interval yet: its error is left out")
    return scenarios.Base(
        label=label,
        days=int(whole["days"]),
        revenue=share * float(whole["revenue"]),
        revenue_error=share * float(width or 0.0) / (2 * Z95),
        unit_price=float(recent["average_selling_price"]),
        margin=margin,
        assumptions=tuple(assumptions),
    )


def _recent(store: MetricStore, as_of: date, category: str | None) -> Mapping[str, Any]:
    """Metrics of the days up to `as_of`, refunds in the day of their order."""
    end = as_of + timedelta(days=1)
    answer = store.ask(
        Question(
            RECENT_METRICS,
            filters=(Filter("category", (category,)),) if category is not None else (),
            period=Period(end - timedelta(days=RECENT_DAYS), end),
            basis="order",
        )
    )
    assert answer.totals is not None
    return answer.totals.values


def read_effect(
    connection: psycopg.Connection[Any], category: str | None, *, markdown: bool = False
) -> scenarios.Effect:
    """The elasticity of a category or of the shop; of markdowns, where asked and known.

    Raises:
        UserError: it is not identified, with the reason.
    """
    level, member = ("shop", "all") if category is None else ("category", category)
    found = _row(connection, _ELASTICITY, level=level, member=member)
    if found is None:
        raise UserError(_no_elasticity(connection, member))
    if markdown:
        shop = _row(connection, _ELASTICITY, level="shop", member="all")
        if shop and shop["markdown_elasticity"] is not None:
            width = shop["markdown_hi95"] - shop["markdown_lo95"]
            return scenarios.Effect(
                shop["markdown_elasticity"],
                width / (2 * Z95),
                math.nan,
                math.nan,
                "answer to past markdowns of all products",
            )
    if found["status"] != "identified":
        raise UserError(f"no elasticity of {member} is identified: {found['reason']}")
    lowest, highest = _tried(connection, category)
    source = "list prices of the past, category and shop weighed in"
    if markdown:
        source = "answer to list prices, since nothing was marked down yet"
    return scenarios.Effect(
        found["elasticity"],
        (found["hi95"] - found["lo95"]) / (2 * Z95),
        lowest,
        highest,
        source,
    )


def _tried(connection: psycopg.Connection[Any], category: str | None) -> tuple[float, float]:
    """Changes of price that the middle half of the products has seen; NaN where none has."""
    found = connection.execute(_TRIED, {"category": category}).fetchall()
    if not found:
        return math.nan, math.nan
    lowest, highest = np.array(found, dtype=float).T
    return float(np.quantile(lowest, 0.25)), float(np.quantile(highest, 0.75))


def read_response(connection: psycopg.Connection[Any], channel: str) -> scenarios.Response:
    """A channel's response curve.

    Raises:
        UserError: there is none, with the reason.
    """
    advice = _row(
        connection,
        "select reason, usual_spend_amount from predictions.budget_advice"
        " where marketing_channel = %(channel)s",
        channel=channel,
    )
    if advice is None:
        known = connection.execute(
            "select string_agg(marketing_channel, ', ' order by marketing_channel)"
            " from predictions.budget_advice"
        ).fetchone()
        names = known[0] if known and known[0] else "none"
        raise UserError(f"{channel} has no spend that was learned from; channels with it: {names}")
    with connection.cursor(row_factory=dict_row) as cursor:
        points = cursor.execute(
            "select * from predictions.channel_responses where marketing_channel = %(channel)s"
            " order by point",
            {"channel": channel},
        ).fetchall()
    if not points:
        raise UserError(f"{channel} has no response curve: {advice['reason']}")

    def column(name: str) -> np.ndarray:
        return np.array([_number(point[name]) for point in points])

    return scenarios.Response(
        channel=channel,
        spend=column("weekly_spend_amount"),
        incremental=column("incremental_amount"),
        low=column("incremental_lo95"),
        high=column("incremental_hi95"),
        usual=float(advice["usual_spend_amount"]),
    )


def _no_elasticity(connection: psycopg.Connection[Any], member: str) -> str:
    run = _row(
        connection,
        "select status, note from predictions.current_runs where task = %(task)s",
        task="elasticity",
    )
    if run is None:
        return "elasticities were never measured: run `ledgerline refresh`"
    if run["status"] != "ok":
        return f"no elasticity is identified: {run['note']}"
    return f"there is no category {member!r} with sales in small quantities"


def _row(
    connection: psycopg.Connection[Any], query: str, **parameters: object
) -> dict[str, Any] | None:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query, parameters).fetchone()


def _one(connection: psycopg.Connection[Any], query: str, **parameters: object) -> dict[str, Any]:
    found = _row(connection, query, **parameters)
    assert found is not None
    return found


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _show(ask: Any, format_: Format) -> None:
    try:
        answer = ask()
    except scenarios.RefusedError as refused:
        raise UserError(str(refused)) from None
    if format_ is Format.json:
        document = asdict(answer) | {"is_sure": answer.is_sure}
        print(json.dumps(_plain(document), ensure_ascii=False, indent=2))
        return
    console = Console()
    console.print(f"[bold]{escape(answer.title)}[/bold]")
    table = Table("", "before", "after", "change", "95 % of it", box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for figure in answer.figures:
        if math.isnan(figure.change):
            table.add_row(figure.name, "unknown", "unknown", "", "")
            continue
        part = f" ({figure.change / figure.before:+.1%})" if figure.before else ""
        table.add_row(
            figure.name,
            f"{figure.before:,.0f}",
            f"{figure.after:,.0f}",
            f"{figure.change:+,.0f}{part}",
            f"{figure.low:+,.0f} to {figure.high:+,.0f}",
        )
    console.print(table)
    if not answer.is_sure:
        console.print("The interval holds both gain and loss: the data can't decide it.")
    console.print("Taken for granted:")
    for assumption in answer.assumptions:
        console.print(f"- {escape(assumption)}")


def _plain(value: Any) -> Any:
    """JSON knows no NaN."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and math.isnan(value) else value
