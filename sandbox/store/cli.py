"""`ledgerline store`: make the demo shop, and let it live on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from loaders.errors import UserError
from loaders.settings import Settings
from sandbox.store import insert as into_mongodb
from sandbox.store.generate import FORMAT, generate
from sandbox.store.profiles import Profile, named, profile
from sandbox.store.tick import apply, work_out
from sandbox.store.writer import read_manifest

app = typer.Typer(help="The demo shop: make it, and let it live on.", no_args_is_help=True)
console = Console(stderr=True)


@app.callback()
def _store() -> None:
    """The demo shop: make it, and let it live on."""


@contextmanager
def _bar(title: str) -> Iterator[Callable[[str, float], None]]:
    columns = (TextColumn("{task.description:<32}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(title, total=1.0)
        yield lambda what, share: bar.update(task, description=what, completed=share)


def store_folder(settings: Settings, shape: Profile, seed: int, out: Path | None = None) -> Path:
    """Where the files of a store lie."""
    return (out or settings.home / "store") / f"{shape.name}-{seed}"


def make(shape: Profile, seed: int, folder: Path, progress: Callable[[str, float], None]) -> bool:
    """Generate the store unless its finished files are there; returns whether it was needed."""
    manifest = read_manifest(folder)
    wanted = {"format": FORMAT, "profile": shape.name, "seed": seed}
    if manifest is not None and wanted.items() <= manifest.items():
        return False
    generate(shape, seed, folder, progress)
    return True


@app.command("generate")
def generate_command(
    profile_name: Annotated[
        str, typer.Option("--profile", help="xs (seconds), s (100k lines), m or xl (763,884).")
    ] = "s",
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.", min=0)] = 42,
    scale: Annotated[int, typer.Option(help="Multiplies people, orders and sessions.")] = 1,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the files; default <home>/store.")
    ] = None,
    no_insert: Annotated[
        bool, typer.Option("--no-insert", help="Only write the files, leave MongoDB alone.")
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Drop what the shop's collections hold.")
    ] = False,
) -> None:
    """Make the demo shop: BSON files with the truth beside them, then into MongoDB."""
    settings = Settings()
    shape = profile(profile_name, scale)
    folder = store_folder(settings, shape, seed, out)
    # a server that doesn't answer is said before the work, not after it
    database = None if no_insert else into_mongodb.connect(settings)
    with _bar("demo shop") as progress:
        made = make(shape, seed, folder, progress)
    manifest = read_manifest(folder) or {}
    documents = sum(facts["documents"] for facts in manifest["collections"].values())
    console.print(
        f"{'made' if made else 'found'} store {shape.name}, seed {seed}: "
        f"{documents:,} documents in {folder}"
    )
    if database is None:
        return
    with _bar("inserting") as progress:
        written = into_mongodb.insert(folder, database, replace=replace, progress=progress)
    verb = "inserted into" if written else "already whole in"
    console.print(f"{documents:,} documents {verb} MongoDB database '{database.name}'")


@app.command("tick")
def tick_command(
    days: Annotated[int, typer.Option(help="Days to live on.", min=1)] = 1,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the store's files; default <home>/store.")
    ] = None,
) -> None:
    """Let the shop in MongoDB live on: new orders, late edits, refunds, deletions."""
    settings = Settings()
    database = into_mongodb.connect(settings)
    mark = into_mongodb.marker(database)
    if mark is None or mark["state"] == "partly":
        raise UserError(
            f"database '{database.name}' holds no whole demo shop: "
            "run `ledgerline store generate` first"
        )
    shape = named(mark["profile"])
    folder = store_folder(settings, shape, mark["seed"], out)
    with _bar("demo shop lives on") as progress:
        if make(shape, mark["seed"], folder, progress) and (
            into_mongodb.fingerprint(folder) != mark["manifest"]
        ):
            raise UserError(
                f"database '{database.name}' holds a shop of another version: "
                "run `ledgerline store generate --replace`"
            )
        number, days = into_mongodb.next_tick(mark, days)
        path = work_out(shape, mark["seed"], folder, number, days)
        into_mongodb.begin_tick(database, number, days)
        operations = apply(path, database, progress)
        into_mongodb.end_tick(database, number)
    console.print(f"tick {number}: {days} days, {operations:,} changes; truth in {path}")
