"""The whole layer as a refresh runs it: every task learns and scores anew, side by side."""

from __future__ import annotations

import os
import threading
import time
from typing import Any

import pandas as pd
import psutil
import psycopg

from benchmarks.ml import report
from loaders.connections import open_postgres
from loaders.settings import Settings
from ml import jobs
from ml.jobs import parallel, running

# on 2 cores: for Online Retail II, and for the demo shop `xl`
SECONDS, SECONDS_LARGE = 60.0, 180.0
LARGE_ORDERS = 200_000
MEMORY_GIB = 3.0


def measure(connection: psycopg.Connection[Any]) -> report.Report:
    """Seconds and memory of a run in which nothing is taken from before."""
    counted = connection.execute("select count(*) from features.order_facts").fetchone()
    wanted = SECONDS_LARGE if counted and counted[0] > LARGE_ORDERS else SECONDS
    connection.rollback()  # the tasks open their own, and write, as in a refresh
    settings = Settings()
    peak = _Peak()
    started = time.monotonic()
    rows = []
    tasks = jobs.TASKS.values()
    for task, ending in parallel.run(
        tasks, lambda: open_postgres(settings), running.Pace(retrain=True)
    ):
        outcome, seconds = ending.result()
        rows.append((task.name, outcome.status, outcome.champion or "", outcome.rows, seconds))
    whole = time.monotonic() - started
    table = pd.DataFrame(rows, columns=["task", "status", "champion", "rows", "seconds"])
    nan = float("nan")
    return report.Report(
        [
            report.Measure(f"layer, {os.cpu_count()} cores: seconds", whole, nan, wanted, "lower"),
            report.Measure("layer: peak memory, GiB", peak.end(), nan, MEMORY_GIB, "lower"),
        ],
        {"The whole layer, task by task": table},
    )


class _Peak:
    """The most memory of this process and those that it started; pages shared count for each."""

    def __init__(self) -> None:
        self._most = 0
        self._over = threading.Event()
        self._watch = threading.Thread(target=self._look, daemon=True)
        self._watch.start()

    def end(self) -> float:
        """Stop watching: GiB."""
        self._over.set()
        self._watch.join()
        return self._most / 2**30

    def _look(self) -> None:
        own = psutil.Process()
        while not self._over.wait(0.2):
            used = 0
            for process in (own, *own.children(recursive=True)):
                try:
                    used += process.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            self._most = max(self._most, used)
