"""Runs dbt in this process and adds up the time of its queries."""

from __future__ import annotations

import os
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dbt.cli.main import dbtRunner

from loaders.settings import ROOT

OUTSIDE = "hooks"
FAILED = ("error", "fail")


@dataclass
class Build:
    """One `dbt build`, tests of data included, unit tests left out."""

    wall: float
    queries: Counter[str] = field(default_factory=Counter)
    """Seconds of all statements by node."""

    @property
    def sql(self) -> float:
        """Seconds of all statements, added up over the threads."""
        return sum(self.queries.values())

    @property
    def tests(self) -> float:
        """Those of tests alone."""
        return sum(seconds for node, seconds in self.queries.items() if node.startswith("test."))


class Project:
    """The dbt project on the database that the environment names, parsed once."""

    def __init__(self, target: Path) -> None:
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
        start = time.monotonic()
        done = runner.invoke(
            ["build", "--exclude-resource-type", "unit_test", *arguments, *self.options]
        )
        wall = time.monotonic() - start
        if not done.success:
            results = getattr(done.result, "results", [])
            failed = [f"{r.node.name}: {r.message}" for r in results if r.status in FAILED]
            raise RuntimeError(f"dbt build: {done.exception or ''} {'; '.join(failed)}")
        return Build(wall, queries)
