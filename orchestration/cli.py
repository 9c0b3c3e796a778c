"""The `ledgerline` command: one line per sub-command here, their code where it belongs.

A sub-command's module is imported when it is called, so that `ledgerline status` doesn't wait for
Dagster. Errors that are the user's to mend end in one line, without a traceback.
"""

from __future__ import annotations

import gc
import importlib
import logging
import os
import sys
from typing import Annotated, Any, NamedTuple, NoReturn

import typer
import typer.core
import typer.exceptions
import typer.main
from pydantic import ValidationError

from loaders.errors import UserError
from loaders.settings import Settings, SettingsError
from orchestration import datasets, logs


class _Target(NamedTuple):
    module: str
    attribute: str
    help: str


# name -> where its Typer app or its function lives
COMMANDS = {
    "demo": _Target("orchestration.demo", "demo", "Fill a shop, refresh all, print the numbers."),
    "up": _Target("sandbox.servers.cli", "up", "Start the sandbox's two servers."),
    "down": _Target("sandbox.servers.cli", "down", "Stop the sandbox's servers; the data stays."),
    "status": _Target("sandbox.servers.cli", "status", "Servers, sizes and how to connect."),
    "store": _Target("sandbox.store.cli", "app", "The demo shop: generate it, let it live on."),
    "online-retail": _Target("sandbox.online_retail.cli", "app", "Import the UCI data sets."),
    "files": _Target("loaders.files.cli", "app", "Load CSV, JSONL or Parquet exports into raw."),
    "load": _Target("loaders.cli", "app", "Copy what changed from MongoDB into raw."),
    "quarantine": _Target("loaders.quarantine", "app", "What could not be stored, and why."),
    "schema": _Target("loaders.drift.cli", "app", "Fields seen, what changed, casts to add."),
    "erase": _Target("loaders.erasure.cli", "command", "Remove a person; the amounts stay."),
    "dbt": _Target("orchestration.tools", "dbt", "Run dbt on the warehouse, as in `dbt build`."),
    "refresh": _Target("orchestration.refresh", "refresh", "Load, build, test, score, reconcile."),
    "models": _Target("orchestration.models", "app", "Versions: list, promote, roll back, cards."),
    "ui": _Target("orchestration.tools", "ui", "Dagster's UI and schedule, on this machine."),
    "docs": _Target("orchestration.tools", "docs", "dbt's documentation with lineage."),
    "metrics": _Target("serving.cli", "app", "Numbers by name: list, describe, query."),
    "scenario": _Target("serving.scenarios", "app", "What if: price, promotion, spend, season."),
    "psql": _Target("orchestration.tools", "psql", "A SQL prompt on the warehouse."),
}


def _load(name: str) -> Any:
    """Import the sub-command's module and make its command."""
    target = COMMANDS[name]
    gc.disable()  # modules stay: to look for garbage among them took a quarter of the start
    try:
        found = getattr(importlib.import_module(target.module), target.attribute)
    finally:
        gc.freeze()
        gc.enable()
    if not isinstance(found, typer.Typer):
        # a plain function; its `context_settings`, if any, say how its arguments are read
        single = typer.Typer(add_completion=False)
        single.command(name, context_settings=getattr(found, "context_settings", None))(found)
        found = single
    return typer.main.get_command(found)


class _LazyGroup(typer.core.TyperGroup):
    """Imports a sub-command only when it is called; help knows them by their one line."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """The name, the command behind it, and the arguments that are left for it."""
        name, _, rest = super().resolve_command(ctx, args)
        return name, _load(str(name)), rest


app = typer.Typer(
    cls=_LazyGroup,
    no_args_is_help=True,
    add_completion=False,
    help="A shop's MongoDB to Postgres marts and models whose numbers can be proven.",
)


@app.callback()
def _root(
    context: typer.Context,
    data: Annotated[
        str | None, typer.Option(help="Data set: xs, s (the usual), m, xl or online-retail.")
    ] = None,
) -> None:
    context.obj = data
    if data is not None:
        datasets.choose(data)


for _name, _target in COMMANDS.items():
    app.command(_name, help=_target.help)(lambda: None)


def no_telemetry() -> None:
    """Switch off every use report of the tools that are started here, in children too."""
    os.environ.update(
        DAGSTER_TELEMETRY_DISABLED="1",
        DBT_SEND_ANONYMOUS_USAGE_STATS="false",
        DO_NOT_TRACK="1",
        MLFLOW_DISABLE_TELEMETRY="true",
    )


def main() -> None:
    """Entry point: exit codes are 2 for the user's errors, 1 for ours, 130 for Ctrl-C."""
    no_telemetry()
    try:
        settings = Settings()
    except ValidationError as problem:
        first = problem.errors()[0]
        setting = " ".join(str(part) for part in first["loc"])
        _end(2, f"the setting {setting} is wrong: {first['msg'].lower()}")
    log = logs.configure(settings.home, settings.log_level)
    try:
        # not standalone: every way to end is told below, in one line each
        code = app(standalone_mode=False)
    except typer.exceptions.TyperException as problem:
        if not problem.format_message():  # a group called without a command: help was printed
            raise SystemExit(2) from None
        _end(2, problem.format_message().rstrip(".") + " (--help lists what there is)")
    except (UserError, SettingsError) as problem:
        _end(2, str(problem))
    except (KeyboardInterrupt, typer.Abort):
        _end(130, "interrupted; the same command goes on from here")
    except Exception as problem:
        logging.getLogger("ledgerline").exception("command failed")
        reason = logs.masked(f"{type(problem).__name__}: {problem}").split("\n")[0]
        _end(1, f"{reason} (traceback in {log})")
    raise SystemExit(code if isinstance(code, int) else 0)


def _end(code: int, message: str) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    raise SystemExit(code)


if __name__ == "__main__":
    main()
