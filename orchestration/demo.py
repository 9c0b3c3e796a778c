"""`ledgerline demo`: a shop from MongoDB to a page of numbers in the terminal.

The page only reads marts and prints what they say: no number is computed here.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from loaders.connections import open_mongodb
from loaders.errors import UserError
from loaders.settings import Settings
from orchestration import datasets, page, progress, refresh

SEED = 42


def demo(
    context: typer.Context,
    files: Annotated[
        list[Path] | None, typer.Argument(help="Files of Online Retail, with that data set only.")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option("--data", "--profile", help="xs, s (the usual), m, xl or online-retail."),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Drop another shop that is in the database.")
    ] = False,
) -> None:
    """Fill a shop, load it, build and test the marts, fit the models, print the numbers."""
    name = data or context.obj or datasets.DEFAULT
    dataset = datasets.choose(name)
    if files and name != datasets.ONLINE_RETAIL:
        raise UserError(
            f"FILES belong to the data set {datasets.ONLINE_RETAIL}: "
            f'`make demo DATA={datasets.ONLINE_RETAIL} FILES="…"`'
        )
    settings = Settings()
    console = Console()
    started = time.monotonic()
    console.print(f"[bold]Ledgerline demo[/] · data set {name}", highlight=False)
    with progress.shown_on(console) as shown:
        with shown.task("start servers"):
            from sandbox.servers import manager

            manager.up(settings)
        with shown.task("fill the shop") as task:
            if name == datasets.ONLINE_RETAIL:
                task.note = _import_online_retail(settings, files or [], replace)
            else:
                task.note = _generate(settings, name, replace, task)
        refresh.run(settings)
    console.print(f"   in all{time.monotonic() - started:>28.1f} s", highlight=False)
    page.show(console, settings, dataset)


def _generate(settings: Settings, name: str, replace: bool, task: progress.Task) -> str:
    """Put the generated shop into MongoDB unless it is there; says which it was."""
    from sandbox.store import cli, insert
    from sandbox.store.profiles import profile
    from sandbox.store.writer import read_manifest

    shape = profile(name)
    folder = cli.store_folder(settings, shape, SEED)
    cli.make(shape, SEED, folder, task.reach)
    database = insert.connect(settings)
    with database.client:
        if not insert.insert(folder, database, replace=replace, progress=task.reach):
            return f"already in MongoDB database {settings.mongodb_database}"
    manifest = read_manifest(folder) or {}
    documents = sum(part["documents"] for part in manifest["collections"].values())
    return f"{documents:,} documents"


def _import_online_retail(settings: Settings, files: list[Path], replace: bool) -> str:
    """Import the files; without files, use what an earlier import has left."""
    from sandbox.online_retail.cli import import_files

    if not files:
        database = open_mongodb(settings)
        with database.client:
            if database["orders"].find_one() is not None:
                return f"already in MongoDB database {settings.mongodb_database}"
        raise UserError(
            "no files named: give the workbook, CSV or Parquet files of Online Retail, as in "
            f'`make demo DATA={datasets.ONLINE_RETAIL} FILES="online_retail_ii.xlsx"`'
        )
    manifest = import_files(files, settings, replace=replace)
    return (
        f"{manifest['lines']:,} lines, {manifest['invoices']:,} invoices, {manifest['sum']} in all"
    )
