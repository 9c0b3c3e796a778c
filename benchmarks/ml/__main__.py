"""`make bench-ml`: the models on a shop's warehouse, each beside its baseline and the best known.

    python -m benchmarks.ml [--data online-retail] [--only PROBLEM ...] [--write]

Reads `features` of a warehouse that was loaded and built before, so that the whole way from the
shop's documents to the models is measured. All of it is time-ordered: a forecast or a score sees
nothing dated after its origin, closed days and calibration included.
"""

from __future__ import annotations

import argparse
import importlib
import os
import pkgutil
import sys
from datetime import UTC, datetime

import psycopg
from rich.console import Console
from threadpoolctl import threadpool_limits

import benchmarks.ml as problems
from benchmarks import readme
from benchmarks.ml import report
from loaders.settings import Settings
from orchestration import datasets

console = Console(highlight=False, soft_wrap=True)
# where a warehouse's table stands in the README, if it has one of its own
SECTIONS = {"xl": "bench-ml-xl"}
# modules of this folder that measure a problem have a function `measure`
_NOT_PROBLEMS = {"__main__", "report", "backtests"}


def main() -> int:
    """Measure and show; 1 where a target is missed, 2 where there is no warehouse to read."""
    names = sorted({one.name for one in pkgutil.iter_modules(problems.__path__)} - _NOT_PROBLEMS)
    parser = argparse.ArgumentParser(description="Measure the models beside the best known ones.")
    parser.add_argument("--data", default="online-retail", help="the warehouse to read")
    parser.add_argument("--only", nargs="+", default=names, choices=names)
    parser.add_argument("--write", action="store_true", help="into benchmarks/README.md")
    arguments = parser.parse_args()
    datasets.choose(arguments.data)
    reports = {}
    with psycopg.connect(**Settings().postgres()) as connection:
        for name in arguments.only:
            started = _cpu_seconds()
            with console.status(name), threadpool_limits(1):  # idle threads would count as seconds
                module = importlib.import_module(f"benchmarks.ml.{name}")
                reports[name] = module.measure(connection)
            console.print(f"{name}: {_cpu_seconds() - started:.0f} CPU-seconds")
    text = _text(reports, arguments.data)
    console.print(text, markup=False)
    if arguments.write:
        readme.write(SECTIONS.get(arguments.data, "bench-ml"), text)
    missed = [m.name for one in reports.values() for m in one.measures if m.is_met is False]
    return 1 if missed else 0


def _text(reports: dict[str, report.Report], data: str) -> str:
    parts = [
        f"{datetime.now(UTC):%Y-%m-%d}, `python -m benchmarks.ml --data {data}`.",
        report.targets(list(reports.values())),
    ]
    for one in reports.values():
        for title, table in one.details.items():
            parts.append(f"### {title}\n\n{report.markdown(table)}")
    return "\n\n".join(parts) + "\n"


def _cpu_seconds() -> float:
    """Of this process and of those that it started (Prophet's optimiser)."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


if __name__ == "__main__":
    sys.exit(main())
