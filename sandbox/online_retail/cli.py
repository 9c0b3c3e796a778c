"""The command `online-retail`: files of the public data set into MongoDB."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from loaders.connections import open_mongodb, readable_errors
from loaders.errors import UserError
from loaders.settings import Settings
from sandbox.online_retail import documents, sync
from sandbox.online_retail.lines import Lines, combine
from sandbox.online_retail.read import DateOrder, read_file

app = typer.Typer()


def read_files(paths: list[Path], date_order: DateOrder | None = None) -> Lines:
    """Read all files and put them together.

    Raises:
        UserError: a file can't be read; nothing has been written.
    """
    if not paths:
        raise UserError("no file given: name the workbook, CSV or Parquet files of Online Retail")
    for path in paths:
        if not path.is_file():  # before minutes are spent on the others
            raise UserError(f"{path}: no such file")
    return combine([(path.name, read_file(path, date_order)) for path in paths])


def import_files(
    paths: list[Path],
    settings: Settings,
    *,
    replace: bool = False,
    date_order: DateOrder | None = None,
    console: Console | None = None,
) -> dict:
    """Import the files into `settings.mongodb_database` and write the manifest.

    A rerun writes nothing; a run after a killed one finishes it.

    Args:
        paths: files of the data set, in any order.
        settings: servers and the home folder.
        replace: empty the database first (the sandbox's only).
        date_order: how to read 01/02/2011 in a CSV whose dates don't tell.
        console: where progress is shown; none if None.

    Returns:
        The manifest, as written to `<home>/store/online_retail/manifest.json`.

    Raises:
        UserError: a file or a server is not as it should be, or the database holds something else.
    """
    if replace and not settings.uses_sandbox_mongodb:
        raise UserError(
            "--replace empties the database, so it works on the sandbox only: "
            f"MONGODB_URI is set; empty {settings.mongodb_database} yourself or choose another one"
        )
    database = open_mongodb(settings)
    try:
        lines = read_files(paths, date_order)
        truth = documents.manifest(lines)
        file = settings.home / "store" / "online_retail" / "manifest.json"
        with readable_errors():
            if replace:
                sync.empty(database)
            sync.refuse_other_stores(
                database, _ids(lines), can_replace=settings.uses_sandbox_mongodb
            )
            file.unlink(missing_ok=True)  # while it is not there, the import is not complete
            with _progress(console) as progress:
                for name in sync.COLLECTIONS:
                    task = progress.add_task(name, total=truth["documents"][name])
                    made = getattr(documents, name)(lines)
                    sync.write(database, name, made, lambda n, task=task: progress.advance(task, n))
    finally:
        database.client.close()
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_suffix(".tmp")
    unfinished.write_text(json.dumps(truth, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    unfinished.replace(file)
    return truth


def _ids(lines: Lines) -> dict[str, set[str]]:
    frame = lines.frame
    return {
        "users": set("cust-" + frame["customer"].dropna().unique()),
        "products": set("sku-" + frame["code"].unique()),
        "orders": set("or-" + frame.loc[frame["tied"] < 0, "invoice"].unique()),
    }


def _progress(console: Console | None) -> Progress:
    return Progress(
        TextColumn("{task.description:10}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console or Console(quiet=True),
    )


def _show(truth: dict, console: Console) -> None:
    table = Table("", "lines", "invoices", "sum", box=None)
    for column in table.columns[1:]:
        column.justify = "right"
    for name, part in truth["parts"].items():
        table.add_row(
            name.replace("_", " "), f"{part['lines']:,}", f"{part['invoices']:,}", part["sum"]
        )
    table.add_row(
        "all", f"{truth['lines']:,}", f"{truth['invoices']:,}", truth["sum"], style="bold"
    )
    console.print(table)
    overlap = truth["overlap"]
    if overlap["invoices"]:
        console.print(
            f"{overlap['invoices']:,} invoices stand in more than one export: taken once "
            f"({overlap['lines_dropped']:,} lines)"
        )
    if differing := overlap["differing_invoices"]:
        shown = ", ".join(differing[:5]) + (" …" if len(differing) > 5 else "")
        console.print(
            f"warning: {len(differing):,} of them are not the same in each ({shown}): "
            "every line of either copy was taken; the manifest names them all",
            style="yellow",
        )


@app.command()
def online_retail(
    files: Annotated[list[Path], typer.Argument(help="Workbook (.xlsx), .csv or .parquet files.")],
    replace: Annotated[
        bool, typer.Option("--replace", help="Empty the sandbox's database first.")
    ] = False,
    dates: Annotated[
        str | None,
        typer.Option(help="How a CSV's 01/02/2011 is meant: day-first or month-first."),
    ] = None,
) -> None:
    """Import the public Online Retail data sets into MongoDB as a shop's documents."""
    if dates not in (None, "day-first", "month-first"):
        raise UserError(f"--dates is day-first or month-first, not {dates}")
    console = Console(stderr=True)
    truth = import_files(files, Settings(), replace=replace, date_order=dates, console=console)
    _show(truth, console)
