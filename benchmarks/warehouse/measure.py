"""Runs dbt in this process; what its queries cost is read from the server."""

from __future__ import annotations

import os
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from dbt.cli.main import dbtRunner

from loaders.settings import ROOT, Settings

OUTSIDE = "hooks"
FAILED = ("error", "fail")
SETTLED = 2
"""Seconds until what a session did is in the statistics."""


@dataclass
class Build:
    """One `dbt build`, tests of data included, unit tests left out."""

    wall: float
    sql: float
    """Seconds that the server's sessions worked, added up."""
    queries: Counter[str] = field(default_factory=Counter)
    """Seconds of all statements by node, on dbt's clock: its threads also wait for each other."""


class Project:
    """The dbt project on the database that the environment names, parsed once."""

    def __init__(self, target: Path, settings: Settings) -> None:
        self.settings = settings
        self.options = [
            "--project-dir", str(ROOT),
            "--profiles-dir", os.environ.get("DBT_PROFILES_DIR", str(ROOT)),
            "--target-path", str(target),
            "--log-path", str(target),
            "--quiet",
        ]  # fmt: skip
        parsed = dbtRunner().invoke(["parse", "--no-partial-parse", *self.options])
        if not parsed.success:
            raise RuntimeError(f"dbt parse: {parsed.exception}")
        self.manifest = parsed.result

    def build(self, *arguments: str) -> Build:
        """Build and test everything.

        Raises:
            RuntimeError: a node failed.
        """
        queries: Counter[str] = Counter()

        def note(event: Any) -> None:
            if event.info.name == "SQLQueryStatus":
                queries[event.data.node_info.unique_id or OUTSIDE] += event.data.elapsed

        runner = dbtRunner(manifest=self.manifest, callbacks=[note])
        worked = self._worked()
        start = time.monotonic()
        done = runner.invoke(
            ["build", "--exclude-resource-type", "unit_test", *arguments, *self.options]
        )
        wall = time.monotonic() - start
        if not done.success:
            results = getattr(done.result, "results", [])
            failed = [f"{r.node.name}: {r.message}" for r in results if r.status in FAILED]
            raise RuntimeError(f"dbt build: {done.exception or ''} {'; '.join(failed)}")
        return Build(wall, self._worked() - worked, queries)

    def _worked(self) -> float:
        time.sleep(SETTLED)
        statement = "select active_time / 1000 from pg_stat_database where datname = %s"
        name = self.settings.postgres_db
        with psycopg.connect(**self.settings.postgres("postgres")) as connection:
            (seconds,) = connection.execute(statement, [name]).fetchone() or (0,)
        return float(seconds)
