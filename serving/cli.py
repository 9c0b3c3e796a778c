"""The commands `ledgerline metrics …`: the catalogue, and questions to the semantic layer."""

from __future__ import annotations

import csv
import json
import sys
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.syntax import Syntax
from rich.table import Table

from loaders.errors import UserError
from loaders.settings import Settings
from serving import catalogue_pages
from serving.metrics import Answer, Filter, MetricStore, Question
from serving.periods import COMPARISONS, GRAINS
from serving.semantic import Metric

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Every metric by its one definition: list, describe, query, write the pages.",
)


class Format(StrEnum):
    """How rows are written."""

    table = "table"
    json = "json"
    csv = "csv"


@app.command("list")
def list_(
    search: Annotated[str, typer.Argument(help="Only those with this in name or label.")] = "",
) -> None:
    """Every metric with its number, unit and formula."""
    with MetricStore(Settings()) as store:
        found = [
            metric
            for metric in store.catalogue.metrics.values()
            if search.lower() in f"{metric.name} {metric.label} {metric.meta['number']}".lower()
        ]
    if not found:
        raise UserError(f"no metric has {search!r} in its name: the list without it shows all")
    table = Table("M", "metric", "label", "unit", "formula", "variant of", box=None, pad_edge=False)
    for metric in sorted(found, key=catalogue_pages.by_number):
        meta = metric.meta
        cells = (meta["number"], metric.name, metric.label, meta["unit"], meta["formula"])
        table.add_row(*map(escape, cells), escape(meta.get("variant_of", "")))
    Console().print(table)


@app.command()
def describe(
    name: Annotated[str, typer.Argument(help="The metric.")],
    period: Annotated[
        str | None, typer.Option(help="Also its value, beside those of its variants.")
    ] = None,
) -> None:
    """One metric: formula, basis, owner, variants, dimensions, SQL."""
    console = Console()
    with MetricStore(Settings()) as store:
        metric = store.metric(name)
        console.print(f"[bold]{escape(metric.label)}[/bold]  {metric.name}")
        console.print(escape(metric.description.strip()))
        table = Table(box=None, show_header=False, pad_edge=False)
        for label, value in catalogue_pages.facts(store, metric):
            table.add_row(label, escape(value))
        console.print(table)
        others = catalogue_pages.variants(store, metric)
        if period:
            _variants(console, store, [metric, *others], period)
        else:
            for other in others:
                whose = other.meta["definition_of"]
                console.print(escape(f"variant {other.name} ({whose}): {other.meta['formula']}"))
            console.print(Syntax(catalogue_pages.readable(store.template(name)), "sql"))


def _variants(console: Console, store: MetricStore, metrics: list[Metric], period: str) -> None:
    table = Table("definition of", "metric", "value", "formula", box=None, pad_edge=False)
    grains = [metric for metric in metrics if metric.needs_grain]
    answer = store.ask(Question(tuple(m.name for m in metrics if m not in grains), period=period))
    assert answer.totals is not None
    for metric in answer.metrics:
        value = _shown(answer.totals.values[metric.name], metric, answer.currency)
        meta = metric.meta
        table.add_row(meta["definition_of"], metric.name, value, escape(meta["formula"]))
    console.print(table)
    console.print(_stamp(answer))


@app.command()
def query(
    metrics: Annotated[list[str], typer.Argument(help="One metric or several.")],
    by: Annotated[list[str] | None, typer.Option(help="Dimension; can be repeated.")] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            help="country=Germany,France, device!=mobile, product_name~shirt; repeatable."
        ),
    ] = None,
    grain: Annotated[str | None, typer.Option(help=f"{', '.join(GRAINS)}.")] = None,
    period: Annotated[
        str, typer.Option(help="last_month, this_year, last_28_days, 2025-07, 2025-Q3, all …")
    ] = "last_28_days",
    compare: Annotated[str | None, typer.Option(help=f"{', '.join(COMPARISONS)}.")] = None,
    basis: Annotated[str, typer.Option(help="event or order.")] = "event",
    order: Annotated[list[str] | None, typer.Option(help="-net_sales; repeatable.")] = None,
    limit: Annotated[int | None, typer.Option(help="At most so many rows.")] = None,
    format_: Annotated[Format, typer.Option("--format", help="How to write it.")] = Format.table,
    sql: Annotated[bool, typer.Option("--sql", help="Also the SQL.")] = False,
) -> None:
    """Answer a question."""
    question = Question(
        metrics=tuple(metrics),
        dimensions=tuple(by or ()),
        filters=tuple(Filter.parse(text) for text in where or ()),
        grain=grain,  # type: ignore[arg-type] -- checked with the rest of the question
        period=period,
        compare=compare,  # type: ignore[arg-type] -- as above
        basis=basis,  # type: ignore[arg-type] -- as above
        order=tuple(order or ()),
        limit=limit,
    )
    with MetricStore(Settings()) as store:
        answer = store.ask(question)
    if format_ is Format.json:
        print(json.dumps(_document(answer), default=_plain, ensure_ascii=False, indent=2))
    elif format_ is Format.csv:
        records = answer.records()
        writer = csv.DictWriter(sys.stdout, list(records[0]) if records else [])
        writer.writeheader()
        writer.writerows(records)
    else:
        _print(answer)
        if sql:
            Console().print(Syntax(answer.statements[0].sql, "sql"))


def _print(answer: Answer) -> None:
    console = Console()
    names = list(answer.question.dimensions)
    names += [answer.question.grain] if answer.question.grain else []
    table = Table(*names, box=None, pad_edge=False)
    for metric in answer.metrics:
        table.add_column(metric.name, justify="right")
        if answer.before:
            table.add_column("before", justify="right", style="dim")
            table.add_column("change", justify="right")
    lines = [row for row in answer.rows if row.keys]
    for row in [*lines, *([answer.totals] if answer.totals else [])]:
        cells = [escape(str(value)) for value in row.keys.values()]
        if row is answer.totals and names:
            cells = ["total"] + [""] * (len(names) - 1)
        for metric in answer.metrics:
            cells.append(_shown(row.values[metric.name], metric, ""))
            if answer.before:
                assert row.before is not None
                cells.append(_shown(row.before[metric.name], metric, ""))
                growth = row.growth(metric.name)
                cells.append("" if growth is None else f"{growth:+.1%}")
        table.add_row(*cells)
    console.print(table)
    console.print(_stamp(answer))


def _stamp(answer: Answer) -> str:
    period = f"{answer.period.start or 'the beginning'} to before {answer.period.end}"
    parts = [period + (", not over yet" if answer.period.is_partial else "")]
    if answer.before:
        parts.append(f"compared with {answer.before.start} to before {answer.before.end}")
    parts += [f"{answer.basis} basis", f"{answer.currency}, days of {answer.timezone}"]
    states = {True: "reconciled", False: f"{answer.trust.gaps} gaps", None: "not reconciled yet"}
    parts.append(f"as of {answer.trust.as_of}, {states[answer.trust.is_reconciled]}")
    sources = sorted({table for one in answer.statements for table in one.sources.values()})
    parts.append(f"from {', '.join(sources)} in {answer.seconds * 1000:.0f} ms")
    return f"[dim]{escape('; '.join(parts))}[/dim]"


def _shown(value: Any, metric: Metric, currency: str) -> str:
    if value is None:
        return "unknown"
    unit = metric.meta["unit"]
    if unit == "count":
        return f"{value:,.0f}"
    if unit == "share":
        return f"{value:.1%}"
    return f"{value:,.2f}" + (f" {currency}" if unit == "money" and currency else "")


def _document(answer: Answer) -> dict[str, Any]:
    """The answer as an API would give it: amounts as text, what is unknown as null."""
    totals = answer.totals
    return {
        "data": answer.records(),
        "totals": totals and {"values": totals.values, "before": totals.before},
        "meta": {
            "period": [answer.period.start, answer.period.end],
            "is_partial": answer.period.is_partial,
            "compared_with": answer.before and [answer.before.start, answer.before.end],
            "basis": answer.basis,
            "timezone": answer.timezone,
            "currency": answer.currency,
            "is_cut": answer.is_cut,
            "metric_versions": answer.versions,
            "trust": {
                "is_reconciled": answer.trust.is_reconciled,
                "gaps": answer.trust.gaps,
                "as_of": answer.trust.as_of,
                "loaded_at": answer.trust.loaded_at,
            },
            "sql": [one.sql for one in answer.statements],
        },
    }


def _plain(value: object) -> str:
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, date | datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no JSON form here")


@app.command()
def docs(
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; fail if a page is not current.")
    ] = False,
) -> None:
    """Write docs/metrics from the definitions."""
    with MetricStore(Settings()) as store:
        pages = catalogue_pages.pages(store)
    stale = catalogue_pages.stale(pages)
    if check and stale:
        raise UserError(f"docs/metrics is not current ({stale[0]}): run `ledgerline metrics docs`")
    if not check:
        catalogue_pages.write(pages)
        print(f"{len(pages)} pages in {catalogue_pages.FOLDER}")
