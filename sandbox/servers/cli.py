"""The commands `up`, `down` and `status`."""

from __future__ import annotations

from typing import Annotated

import typer

from loaders.settings import Settings
from sandbox.servers import manager, warehouse


def up() -> None:
    """Start the sandbox's two servers; where yours are set, check that they answer."""
    settings = Settings()
    for line in manager.up(settings):
        typer.echo(line)
    warehouse.ensure(settings)


def down(
    wipe: Annotated[bool, typer.Option("--wipe", help="Also remove the sandbox's data.")] = False,
) -> None:
    """Stop the sandbox's servers; the data stays."""
    settings = Settings()
    for line in manager.down(settings):
        typer.echo(line)
    if wipe:
        manager.wipe(settings)
        typer.echo(f"removed {settings.home} and the data of both servers")


def status() -> None:
    """Which servers run, where, how large, and how to connect."""
    settings = Settings()
    for server in manager.status(settings):
        origin = "sandbox" if server.is_sandbox else "yours"
        typer.echo(f"{server.name} {server.version} ({origin}): {server.state}".replace("  ", " "))
        typer.echo(f"  connect  {server.address}")
        if server.pid is not None:
            typer.echo(f"  pid      {server.pid}")
        if server.size is not None:
            typer.echo(f"  on disk  {server.size / 2**20:,.0f} MB")
    if settings.credentials_file.exists():
        typer.echo(f"The sandbox's passwords are in {settings.credentials_file}")
