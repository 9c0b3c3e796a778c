"""The command `ledgerline load`: documents from the shop's MongoDB into `raw`."""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from loaders.connections import open_postgres, readable_errors
from loaders.landing import Result
from loaders.modes import OVERLAP, Mode, Observer, run
from loaders.settings import Settings

app = typer.Typer(add_completion=False)


class ProgressBar(Observer):
    """Shows the batch that is being read; nothing where the output is no terminal."""

    def __init__(self, console: Console) -> None:
        self.progress = Progress(
            TextColumn("{task.description:<34}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self.task: TaskID | None = None

    def begin(self, collection: str, mode: str, expected: int | None) -> None:
        """Start a new bar."""
        self.task = self.progress.add_task(f"{collection} ({mode})", total=expected, rate="")

    def read(self, documents: int) -> None:
        """Move the bar on."""
        assert self.task is not None
        speed = self.progress.tasks[-1].speed
        rate = f"{speed:,.0f}/s" if speed else ""
        self.progress.update(self.task, advance=documents, rate=rate)

    def end(self, result: Result) -> None:
        """Take the bar away; the table at the end has the counts."""
        assert self.task is not None
        self.progress.remove_task(self.task)


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
            "differ or the last one is a day old."
        ),
    ] = Mode.AUTO,
    overlap: Annotated[
        int,
        typer.Option(min=0, help="Seconds before the last watermark at which to begin again."),
    ] = int(OVERLAP.total_seconds()),
) -> None:
    """Load documents from MongoDB into the raw schema: whole, each once, nothing lost."""
    settings = Settings()
    bar = ProgressBar(Console(file=sys.stderr))
    with bar.progress:
        results = run(
            settings,
            list(dict.fromkeys(collections or ())),
            mode,
            overlap=timedelta(seconds=overlap),
            observer=bar,
        )
    make_ml_tables(settings)
    print_results(results, Console(file=sys.stdout))


def make_ml_tables(settings: Settings) -> None:
    """Make the tables of schema `ml`: they are sources of the dbt project, scored or not."""
    from ml.schema import ensure  # only this command reaches across, not the loader

    with readable_errors(), open_postgres(settings) as conn:
        ensure(conn)


def print_results(results: list[Result], console: Console) -> None:
    """One line per batch, and one that says whether source and raw agree."""
    if console.is_terminal:
        table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
        names = [
            "source",
            "raw",
            "read",
            "new",
            "changed",
            "same",
            "deleted",
            "quarantined",
            "seconds",
        ]
        for name in ("collection", "mode"):
            table.add_column(name)
        for name in names:
            table.add_column(name, justify="right")
        table.add_column("")
        for result in results:
            table.add_row(*_cells(result))
        console.print(table)
    else:  # for logs and pipes: one plain line each, never wrapped
        for result in results:
            counts = result.counts
            sys.stdout.write(
                f"{result.collection} {result.mode}: source={result.source_count} "
                f"raw={result.raw_count} read={counts.read} inserted={counts.inserted} "
                f"updated={counts.updated} unchanged={counts.unchanged} deleted={counts.deleted} "
                f"quarantined={result.quarantined} altered={counts.altered} "
                f"seconds={result.seconds:.1f} "
                f"{'reconciled' if result.is_reconciled else 'NOT RECONCILED'}\n"
            )


def _cells(result: Result) -> tuple[str, ...]:
    counts = result.counts
    numbers = (
        result.source_count or 0,
        result.raw_count,
        counts.read,
        counts.inserted,
        counts.updated,
        counts.unchanged,
        counts.deleted,
        result.quarantined,
    )
    mark = "[green]✓[/]" if result.is_reconciled else "[red]✗ differs[/]"
    return (
        result.collection,
        str(result.mode),
        *(f"{number:,}" for number in numbers),
        f"{result.seconds:.1f}",
        mark,
    )
