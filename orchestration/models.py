"""The commands `ledgerline models …`: versions of the models, which is current, cards, MLflow's UI.

Each first registers what is not registered yet, so that they work also after a refresh whose
registering failed.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import psycopg
import typer
from rich.console import Console
from rich.markdown import Markdown
from rich.markup import escape
from rich.table import Table

from loaders.connections import open_postgres
from loaders.errors import UserError
from loaders.settings import ROOT, Settings
from ml import registry, schema
from ml.registry import Version, cards, store
from orchestration import tools, workspace

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Versions of the models: list, show, promote, roll back, model cards, MLflow's UI.",
)
Task = Annotated[str, typer.Argument(help="The task, as in `ledgerline models list`.")]
Build = Annotated[
    bool, typer.Option(help="Rebuild what shows the scores; --no-build leaves it to a refresh.")
]


def folder(settings: Settings) -> Path:
    """Where model cards and MLflow's files of this warehouse are."""
    return settings.home.resolve() / "models" / settings.postgres_db


def register(settings: Settings, connection: psycopg.Connection) -> int:
    """Register what is not registered yet, and write the card of each current run.

    Returns:
        Runs that were registered.
    """
    schema.ensure(connection)
    count = store.register(connection, settings.postgres(), folder(settings) / "mlflow")
    for one in registry.versions(connection):
        path = folder(settings) / f"{one.task}.md"
        if one.is_current and (count or not path.exists()):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(cards.render(cards.read(connection, one.run_id), one.version))
    return count


@app.command("list")
def list_(
    task: Annotated[str | None, typer.Argument(help="Of this task only.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Not the newest five alone.")] = False,
) -> None:
    """The versions, the newest first; the current one is marked."""
    settings = Settings()
    with open_postgres(settings) as conn:
        register(settings, conn)
        found = _asked(lambda: registry.versions_of(conn, task)) if task else None
        found = registry.versions(conn) if found is None else found
    if not found:
        raise UserError("nothing was scored yet: run `ledgerline refresh`")
    table = Table(box=None, header_style="bold", pad_edge=False, expand=True)
    for name in ("task", "version", "", "data until", "scored", "rows"):
        right = name in ("version", "rows")
        table.add_column(name, justify="right" if right else "left", no_wrap=True)
    table.add_column("champion", no_wrap=True, overflow="ellipsis", ratio=1)
    shown: dict[str, int] = {}
    for one in found:
        shown[one.task] = shown.get(one.task, 0) + 1
        if every or shown[one.task] <= 5 or one.is_current:
            cells = (str(one.as_of_date), f"{one.scored_at:%Y-%m-%d %H:%M}", f"{one.row_count:,}")
            champion = escape(one.champion or "")
            table.add_row(one.task, str(one.version), _mark(one), *cells, champion)
    Console().print(table)


@app.command()
def show(
    task: Task,
    version: Annotated[int | None, typer.Argument(help="The current one, if none.")] = None,
) -> None:
    """A version: data window, code, parameters, measures beside the baseline's."""
    settings = Settings()
    with open_postgres(settings) as conn:
        register(settings, conn)
        one = _asked(lambda: _version(conn, task, version))
        card = cards.read(conn, one.run_id)
    console = Console()
    console.print(f"[bold]{one.task} {one.version}[/bold]  {_mark(one)}")
    facts = Table(box=None, show_header=False, pad_edge=False)
    for label, value in (
        ("run", one.run_id),
        ("MLflow run", one.mlflow_run_id),
        ("champion", one.champion),
        ("baseline", one.baseline),
        ("data until", one.as_of_date),
        ("trained on", f"{one.trained_from} to {one.trained_to}"),
        ("method", one.model_version),
        ("code", one.code_version),
        ("data", one.data_fingerprint),
        ("scored", f"{one.scored_at:%Y-%m-%d %H:%M} UTC"),
        ("rows", f"{one.row_count:,}"),
        ("note", one.note),
        *((f"parameter {key}", value) for key, value in sorted(one.parameters.items())),
    ):
        facts.add_row(label, escape(str(value if value is not None else "")))
    console.print(facts)
    measures = Table("series", "horizon", "measure", "model", "", box=None, pad_edge=False)
    for name in ("value", "n"):
        measures.add_column(name, justify="right")
    for metric in card.metrics:
        if metric.role:
            value = "" if metric.value is None else f"{metric.value:,.4g}"
            measures.add_row(
                *map(escape, (metric.series, metric.horizon, metric.metric, metric.model)),
                metric.role,
                value,
                f"{metric.n:,}",
            )
    console.print(measures)


@app.command()
def promote(
    task: Task,
    version: Annotated[int, typer.Argument(help="Whose scores are to be shown.")],
    build: Build = True,
) -> None:
    """Make a version's scores current, until another is promoted or it is unpinned."""
    _change(lambda conn: registry.promote(conn, task, version), task, build)


@app.command()
def rollback(task: Task, build: Build = True) -> None:
    """Make the scores of the version before current; a second time changes nothing."""
    _change(lambda conn: registry.rollback(conn, task), task, build)


@app.command()
def unpin(task: Task, build: Build = True) -> None:
    """Let the newest version be current again."""
    _change(lambda conn: registry.unpin(conn, task), task, build)


@app.command()
def card(
    task: Task,
    version: Annotated[int | None, typer.Argument(help="The current one, if none.")] = None,
    plain: Annotated[bool, typer.Option("--plain", help="As Markdown text.")] = False,
) -> None:
    """What a model is for, how good it is, what it can't do, made from its run."""
    settings = Settings()
    with open_postgres(settings) as conn:
        register(settings, conn)
        one = _asked(lambda: _version(conn, task, version))
        text = cards.render(cards.read(conn, one.run_id), one.version)
    if plain:
        print(text, end="")
    else:
        Console().print(Markdown(text))


@app.command()
def ui(
    port: Annotated[int, typer.Option(help="Port on this machine.", min=1, max=65535)] = 5000,
) -> None:
    """MLflow's UI on this machine; ends with Ctrl-C."""
    settings = Settings()
    workspace.prepare(settings)
    with open_postgres(settings) as conn:
        register(settings, conn)
        store.make_schema(conn)
    artifacts = folder(settings) / "mlflow"
    artifacts.mkdir(parents=True, exist_ok=True)
    os.environ.update(store.environment())
    # in the environment: an argument would show the password to every user of the machine
    os.environ["MLFLOW_BACKEND_STORE_URI"] = store.uri(settings.postgres())
    print(
        f"MLflow: http://{tools.LOOPBACK}:{port}  (ready in a quarter of a minute; Ctrl-C ends it)",
        flush=True,
    )
    command = [tools.program("mlflow"), "server", "--host", tools.LOOPBACK, "--port", str(port)]
    command += ["--workers", "1", "--default-artifact-root", artifacts.as_uri()]
    os.chdir(ROOT)
    os.execv(command[0], command)  # noqa: S606 -- no shell is wanted


def _change(change: Any, task: str, build: bool) -> None:
    settings = Settings()
    with open_postgres(settings) as conn:
        register(settings, conn)
        before = _shown(conn, task)
        _asked(lambda: change(conn))
        register(settings, conn)  # moves the alias
        after = _shown(conn, task)
        if after is not None:
            path = folder(settings) / f"{task}.md"
            path.write_text(cards.render(cards.read(conn, after.run_id), after.version))
    if after == before:
        print(f"{task}: {_said(after)} is current already: nothing changed")
        return
    print(f"{task}: {_said(after)} is current; before it was {_said(before)}")
    if after is not None and after.is_pinned:
        print(f"it stays until `ledgerline models unpin {task}`, whatever is trained meanwhile")
    if build:
        workspace.prepare(settings)
        if tools.run_dbt(settings, "--quiet", "build", "--select", "current_runs+"):
            raise UserError(
                "the pin is set, but what shows the scores could not be rebuilt: "
                "`ledgerline refresh` does it"
            )


def _shown(conn: psycopg.Connection, task: str) -> Version | None:
    return next((one for one in registry.versions(conn, task) if one.is_current), None)


def _said(one: Version | None) -> str:
    if one is None:
        return "no version (too little data)"
    return f"version {one.version}" + (", pinned," if one.is_pinned else "")


def _version(conn: psycopg.Connection, task: str, version: int | None) -> Version:
    if version is None:
        return registry.current(conn, task)
    return registry.find(conn, task, version)


def _asked(question: Any) -> Any:
    """The answer, or the user's error."""
    try:
        return question()
    except registry.NoSuchVersionError as problem:
        raise UserError(str(problem)) from None


def _mark(one: Version) -> str:
    if not one.is_current:
        return ""
    return "current, pinned" if one.is_pinned else "current"
