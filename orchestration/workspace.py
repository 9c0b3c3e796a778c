"""What the tools need around them: dbt's environment and manifest, Dagster's home.

Every entrance (the command line, `dagster dev`, the tests) calls `prepare()` first; it is quick and
does nothing twice.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from loaders.errors import UserError
from loaders.settings import ROOT, Settings
from sandbox.servers import profiles

DEFAULT_DATABASE = "ledgerline"
_DBT_INPUTS = (
    "dbt_project.yml",
    "models",
    "macros",
    "seeds",
    "snapshots",
    "analyses",
    "tests/dbt",
)
_DAGSTER_YAML = """\
# written by Ledgerline
telemetry: {{enabled: false}}
nux: {{enabled: false}}
# one run at a time: two would build the same tables
concurrency:
  runs:
    max_concurrent_runs: 1
event_log_storage:
  module: orchestration.event_log
  class: EventLog
  config:
    base_dir: {events}
"""


def prepare(settings: Settings) -> None:
    """Set the environment that dbt and Dagster read, and write Dagster's home.

    Raises:
        SettingsError: the sandbox was never started and no servers are named.
        UserError: the folder for Dagster can't be written.
    """
    home = settings.home.resolve()
    for name, value in settings.dbt_environment().items():
        # with the sandbox, a host in the environment would read as a server of the user's
        if name != "POSTGRES_HOST" or not settings.uses_sandbox_postgres:
            os.environ[name] = value
    os.environ.setdefault("DBT_TARGET_PATH", str(target_path(settings)))
    os.environ.setdefault("DBT_LOG_PATH", str(home / "logs" / "dbt"))
    os.environ.setdefault("DAGSTER_HOME", str(home / "dagster"))
    dagster_home = Path(os.environ["DAGSTER_HOME"])
    try:
        dagster_home.mkdir(parents=True, exist_ok=True)
        config = dagster_home / "dagster.yaml"
        text = _DAGSTER_YAML.format(events=orjson.dumps(str(dagster_home / "events")).decode())
        if not config.exists() or config.read_text() != text:
            config.write_text(text)
    except OSError as problem:
        raise UserError(f"{dagster_home} can't be written: {problem.strerror}") from None
    if not profiles.path_for(settings).exists():
        profiles.write(settings, None)


def target_path(settings: Settings) -> Path:
    """dbt's output folder: `target`, with one folder more for a database other than the usual.

    dbt's caches hold the database's name, so two databases in turn would parse everything anew.
    """
    if configured := os.environ.get("DBT_TARGET_PATH"):
        return ROOT / configured
    if settings.postgres_db == DEFAULT_DATABASE:
        return ROOT / "target"
    return ROOT / "target" / settings.postgres_db


def manifest_path(settings: Settings) -> Path:
    """Where dbt writes what it knows of the project."""
    return target_path(settings) / "manifest.json"


def load_manifest(settings: Settings) -> dict[str, Any]:
    """dbt's manifest of the project as it is now; parses the project when that is not at hand.

    Raises:
        UserError: dbt can't parse the project.
    """
    path = manifest_path(settings)
    if _is_current(path):
        manifest = orjson.loads(path.read_bytes())
        if _database_of(manifest) in (None, settings.postgres_db):
            return manifest
    from orchestration import dbt  # takes a second, and is rarely needed

    dbt.parse()
    return orjson.loads(path.read_bytes())


def _is_current(path: Path) -> bool:
    """True when no file of the project is younger than the manifest."""
    try:
        parsed_at = path.stat().st_mtime_ns
    except FileNotFoundError:
        return False
    return all(file.stat().st_mtime_ns < parsed_at for file in _inputs())


def _inputs() -> Iterator[Path]:
    # folders too: theirs is the date at which a file came or went
    for name in _DBT_INPUTS:
        path = ROOT / name
        if path.exists():
            yield path
            if path.is_dir():
                yield from path.rglob("*")


def _database_of(manifest: dict[str, Any]) -> str | None:
    return next((node["database"] for node in manifest["nodes"].values()), None)
