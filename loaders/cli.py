"""The command `ledgerline load`: documents from the shop's MongoDB into `raw`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from loaders.connections import open_postgres, readable_errors
from loaders.drift import observe as drift
from loaders.errors import UserError
from loaders.landing import Result
from loaders.modes import OVERLAP, Mode, Observer, collect_rarely, run
from loaders.settings import Settings
from loaders.stream.cli import follow_until_stopped

# a worker keeps one core busy and Postgres nearly another one
DEFAULT_WORKERS = max(1, (os.cpu_count() or 1) // 2)

app = typer.Typer(add_completion=False)


class Target(StrEnum):
    """Where documents are loaded to."""

    POSTGRES = "postgres"
    PARQUET = "parquet"


class _Rate(ProgressColumn):
    """Bytes so far and documents a second; worked out when it is drawn, not for each slice."""

    def render(self, task: Task) -> Text:
        speed = f", {task.speed:,.0f}/s" if task.speed else ""
        return Text(f"{task.fields['size'] / 1e6:,.0f} MB{speed}")


class ProgressBars(Observer):
    """Shows what is being read, a bar per collection; nothing where the output is no terminal."""

    def __init__(self, console: Console) -> None:
        self.progress = Progress(
            TextColumn("{task.description:<34}"),
            BarColumn(),
            MofNCompleteColumn(),
            _Rate(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self.tasks: dict[str, TaskID] = {}

    def begin(self, collection: str, mode: str, expected: int | None) -> None:
        """Start a new bar."""
        self._remove(collection)
        self.tasks[collection] = self.progress.add_task(
            f"{collection} ({mode})", total=expected, size=0
        )

    def read(self, collection: str, documents: int, size: int) -> None:
        """Move the bar on."""
        if self.progress.disable:
            return  # it is called for each slice, so that even a hidden bar costs something
        task = self.tasks[collection]
        had = next(each.fields["size"] for each in self.progress.tasks if each.id == task)
        self.progress.update(task, advance=documents, size=had + size)

    def end(self, result: Result) -> None:
        """Take the bar away; the table at the end has the counts."""
        self._remove(result.collection)

    def _remove(self, collection: str) -> None:
        if collection in self.tasks:
            self.progress.remove_task(self.tasks.pop(collection))


@app.command()
def load(
    collections: Annotated[
        list[str] | None, typer.Argument(help="Collections to load; all of the source if none.")
    ] = None,
    mode: Annotated[
        Mode,
        typer.Option(
            help="incremental: what updated_at says is new. full: read everything. "
            "sweep: compare hashes of everything. auto: incremental, and a sweep where counts "
            "differ or the last one is a day old. follow: change streams, until it is stopped."
        ),
    ] = Mode.AUTO,
    overlap: Annotated[
        int,
        typer.Option(min=0, help="Seconds before the last watermark at which to begin again."),
    ] = int(OVERLAP.total_seconds()),
    workers: Annotated[
        int,
        typer.Option(min=1, max=32, help="Collections loaded at once, each in its own process."),
    ] = DEFAULT_WORKERS,
    until_idle: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="With --mode follow: end when no change came for so many seconds, not on Ctrl-C.",
        ),
    ] = None,
    to: Annotated[
        Target, typer.Option(help="postgres: schema raw. parquet: files for a larger engine.")
    ] = Target.POSTGRES,
    out: Annotated[
        Path | None, typer.Option(help="With --to parquet: the folder of the datasets.")
    ] = None,
) -> None:
    """Load documents from MongoDB into the raw schema: whole, each once, nothing lost."""
    settings = Settings()
    if to is Target.PARQUET:
        if out is None:
            raise UserError("--to parquet needs --out: the folder of the datasets")
        _load_to_parquet(settings, collections or (), mode, out, timedelta(seconds=overlap))
        return
    if out is not None:
        raise UserError("--out is for --to parquet")
    if mode is Mode.FOLLOW:
        make_ml_tables(settings)
        idle = None if until_idle is None else timedelta(seconds=until_idle)
        follow_until_stopped(settings, collections or (), idle)
        return
    bars = ProgressBars(Console(file=sys.stderr))
    collect_rarely()
    with bars.progress:
        results = run(
            settings,
            list(dict.fromkeys(collections or ())),
            mode,
            overlap=timedelta(seconds=overlap),
            workers=workers,
            observer=bars,
        )
    make_ml_tables(settings)
    print_results(results, Console(file=sys.stdout))
    for seen in drift.observe_run(settings, results):
        if seen.changes:
            sys.stderr.write(
                f"{seen.collection}: fields changed, {len(seen.changes)} in all "
                "(ledgerline schema changes)\n"
            )


def _load_to_parquet(
    settings: Settings, collections: Sequence[str], mode: Mode, out: Path, overlap: timedelta
) -> None:
    from loaders.parquet import (
        landing as parquet,  # Arrow takes a while to import, and most loads don't need it
    )

    bars = ProgressBars(Console(file=sys.stderr))
    with bars.progress:
        results = parquet.run(
            settings, list(dict.fromkeys(collections)), mode, out, bars, overlap=overlap
        )
    print_results(results, Console(file=sys.stdout))


def make_ml_tables(settings: Settings) -> None:
    """Make the tables of schema `ml`: they are sources of the dbt project, scored or not."""
    from ml.schema import ensure  # only this command reaches across, not the loader

    with readable_errors(), open_postgres(settings) as conn:
        ensure(conn)


def print_results(results: list[Result], console: Console) -> None:
    """One line per batch, and whether source and raw agree."""
    if not console.is_terminal:  # for logs and pipes: one plain line each, never wrapped
        for result in results:
            numbers = " ".join(
                f"{name}={'-' if value is None else round(value, 1)}"
                for name, value in _numbers(result).items()
            )
            mark = "reconciled" if result.is_reconciled else "NOT RECONCILED"
            sys.stdout.write(f"{result.collection} {result.mode}: {numbers} {mark}\n")
        return
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for name in ("collection", "mode"):
        table.add_column(name)
    for name in _numbers(results[0]) if results else ():
        table.add_column(name, justify="right")
    table.add_column("")
    for result in results:
        cells = [_shown(value) for value in _numbers(result).values()]
        mark = "[green]✓[/]" if result.is_reconciled else "[red]✗ differs[/]"
        table.add_row(result.collection, result.mode, *cells, mark)
    console.print(table)


def _numbers(result: Result) -> dict[str, float | None]:
    """What is said of a batch; lag is from the newest change to now, where one came."""
    counts = result.counts
    return {
        "source": result.source_count,
        "raw": result.raw_count,
        "read": counts.read,
        "inserted": counts.inserted,
        "updated": counts.updated,
        "unchanged": counts.unchanged,
        "deleted": counts.deleted,
        "quarantined": result.quarantined,
        "altered": counts.altered,
        "MB": counts.size / 1e6,
        "seconds": result.seconds,
        "lag_seconds": result.lag_seconds,
    }


def _shown(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"
