"""What the dbt tests share: a shop of their own, its truth, and questions to its warehouse."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import psycopg

from loaders.settings import ROOT, Settings


@dataclass
class Shop:
    """A generated store's truth and the warehouse that was built from it."""

    settings: Settings
    folder: Path

    @cached_property
    def flaws(self) -> dict[str, dict[str, list[dict[str, Any]]]]:
        """What was planted: flaw -> kind -> entries."""
        return self.truth("flaws.json")

    @cached_property
    def orders(self) -> dict[str, dict[str, str]]:
        """Rows of truth/orders.csv by order id: the clean shop."""
        with (self.folder / "truth" / "orders.csv").open(newline="") as file:
            return {row["order_id"]: row for row in csv.DictReader(file)}

    def truth(self, name: str) -> Any:
        """One of the truth's JSON files."""
        return json.loads((self.folder / "truth" / name).read_text())

    def planted(self, flaw: str, kind: str) -> dict[str, dict[str, Any]]:
        """Entries of one kind by document id; never empty, or the test would prove nothing."""
        found = {entry["_id"]: entry for entry in self.flaws[flaw][kind]}
        assert found, f"the store plants no {flaw}/{kind}"
        return found

    def rows(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        with psycopg.connect(**self.settings.postgres()) as connection:
            return connection.execute(statement, parameters).fetchall()

    def one(self, statement: str, parameters: Sequence[Any] = ()) -> Any:
        """The only value of a query."""
        ((value,),) = self.rows(statement, parameters)
        return value

    def findings(self, finding: str) -> set[str]:
        """Ids of a finding's rows."""
        found = self.rows(
            "select entity_id from quality.suspicious_rows where finding = %s", [finding]
        )
        return {identifier for (identifier,) in found}


def ledgerline(settings: Settings, *arguments: str, check: bool = True) -> str:
    """Run the command with these databases; returns what it printed.

    Raises:
        AssertionError: it failed although `check`, with its output.
    """
    done = subprocess.run(
        [sys.executable, "-m", "orchestration.cli", *arguments],
        cwd=ROOT,
        env={
            **os.environ,
            "POSTGRES_DB": settings.postgres_db,
            "MONGODB_DATABASE": settings.mongodb_database,
            "DBT_TARGET_PATH": str(settings.home / "target" / settings.postgres_db),
            "COLUMNS": "160",
        },
        capture_output=True,
        text=True,
        timeout=3000 if os.environ.get("PROOF") == "full" else 500,
    )
    output = done.stdout + done.stderr
    assert not check or done.returncode == 0, output[-6000:]
    return output if done.returncode == 0 else f"failed: {output}"
