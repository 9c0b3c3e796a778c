"""`make bench`: the demo from nothing and again, step by step, with the largest process's memory.

Runs in databases of its own (`bench_<profile>`), prints what it measured and writes it to
`benchmarks/results/demo-<profile>.json` with the machine it was measured on. Nothing else should
run meanwhile: the file says how loaded the machine was at the start.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from loaders.connections import open_mongodb
from loaders.settings import ROOT, Settings
from sandbox.servers import manager

RESULTS = Path(__file__).parent / "results"
_STEP = re.compile(r"^ ✓ (\S.*?)\s+([\d.]+) s")


def main() -> None:
    """Measure one profile."""
    parser = argparse.ArgumentParser(description="Time the demo from nothing, and again.")
    parser.add_argument("--profile", default="s", choices=["xs", "s", "m", "xl"])
    profile = parser.parse_args().profile
    name = f"bench_{profile}"
    os.environ.update(MONGODB_DATABASE=name, POSTGRES_DB=name)
    load = os.getloadavg()[0]
    start_from_nothing(Settings())
    measured: dict[str, Any] = {
        "at": datetime.datetime.now(tz=datetime.UTC).isoformat(timespec="seconds"),
        "profile": profile,
        "machine": {
            "cores": os.cpu_count(),
            "processor": platform.machine(),
            "python": platform.python_version(),
            "load_at_start": round(load, 2),
        },
        "first": run_demo(profile),
        "second": run_demo(profile),
    }
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"demo-{profile}.json"
    file.write_text(json.dumps(measured, indent=2) + "\n")
    for run in ("first", "second"):
        for label, seconds in measured[run]["steps"].items():
            print(f"{run:<8}{label:<30}{seconds:>8.1f} s")
        print(f"{run:<8}{'in all':<30}{measured[run]['seconds']:>8.1f} s")
        print(f"{run:<8}{'largest process':<30}{measured[run]['peak_mb']:>8,.0f} MB")
    print(f"written to {file.relative_to(ROOT)}")


def start_from_nothing(settings: Settings) -> None:
    """Drop the benchmark's databases, files and dbt's cache; the servers keep running."""
    manager.up(settings)
    database = open_mongodb(settings)
    database.client.drop_database(settings.mongodb_database)
    database.client.close()
    with psycopg.connect(**settings.postgres("postgres"), autocommit=True) as conn:
        name = sql.Identifier(settings.postgres_db)
        conn.execute(sql.SQL("drop database if exists {} with (force)").format(name))
    manager.up(settings)
    shutil.rmtree(ROOT / "target" / settings.postgres_db, ignore_errors=True)


def run_demo(profile: str) -> dict[str, Any]:
    """Seconds of each step and in all, and the memory of the largest process in MB.

    Raises:
        SystemExit: the demo failed; its output was printed.
    """
    before = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "orchestration.cli", "demo", "--profile", profile],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    printed = process.stdout.read()
    # of this child and of those that it waited for
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"the demo failed:\n{printed}")
    steps = {found[1]: float(found[2]) for found in map(_STEP.match, printed.splitlines()) if found}
    return {
        "seconds": round(time.monotonic() - before, 1),
        "peak_mb": round(usage.ru_maxrss / 1024),
        "steps": steps,
    }


if __name__ == "__main__":
    main()
