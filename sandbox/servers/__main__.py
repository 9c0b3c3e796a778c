"""`python -m sandbox.servers up|down|status`, for when the `ledgerline` command isn't installed."""

import sys

import typer

from loaders.errors import UserError
from loaders.settings import SettingsError
from sandbox.servers import cli

app = typer.Typer(add_completion=False, help="The sandbox's servers.")
for command in (cli.up, cli.down, cli.status):
    app.command()(command)

if __name__ == "__main__":
    try:
        app()
    except (UserError, SettingsError) as problem:
        print(f"error: {problem}", file=sys.stderr)
        raise SystemExit(2) from None
