"""`profiles.yml` for plain dbt commands, written from `profiles.yml.example`."""

from __future__ import annotations

from pathlib import Path

from loaders.settings import ROOT, Settings
from sandbox.servers.credentials import write_private

EXAMPLE = ROOT / "profiles.yml.example"
MARK = "# Written by `make up` and rewritten when the sandbox changes. Remove this line to keep "


def path_for(settings: Settings) -> Path:
    """Where dbt finds it: beside dbt_project.yml, or in a LEDGERLINE_HOME of its own."""
    own_home = settings.home.resolve() != (ROOT / ".ledgerline").resolve()
    return settings.home / "profiles.yml" if own_home else ROOT / "profiles.yml"


def write(settings: Settings, passwords: dict[str, str] | None) -> Path | None:
    """Write the file, with the sandbox's values as defaults if it is used.

    A file without our mark in the first line is the user's: it is left alone, and None returned.
    """
    path = path_for(settings)
    if path.exists() and not path.read_text().startswith(MARK):
        return None
    text = EXAMPLE.read_text()
    if passwords is not None:
        text = text.replace(
            "env_var('POSTGRES_PASSWORD')",
            f"env_var('POSTGRES_PASSWORD', '{passwords['postgres_password']}')",
        ).replace("'54329'", f"'{settings.sandbox_postgres_port}'")
    text = f"{MARK}your own changes.\n{text}"
    if not path.exists() or path.read_text() != text:
        write_private(path, text)
    return path
