"""Times the commonest questions on a warehouse: `python -m benchmarks.metrics --data xl`.

Each question is asked once to compile and warm, then so often as said; what is told is the median
of the time that Postgres and the way to it took for all statements of the question: rows and
totals, of the period and of the one it is compared with.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import statistics

import psycopg

from benchmarks import readme
from benchmarks.metrics.questions import COMMONEST, DASHBOARD
from loaders.connections import open_postgres
from loaders.settings import Settings
from orchestration import datasets
from serving.metrics import MetricStore

NAME = "bench-metrics"
LIMIT = 0.2  # seconds


def main() -> None:
    """Measure one warehouse."""
    parser = argparse.ArgumentParser(description="Time the commonest questions.")
    parser.add_argument("--data", help="xs, s, m, xl or online-retail; else the settings'")
    parser.add_argument("--label", help="what to call the store in the table")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--write", action="store_true", help="put it into benchmarks/README.md")
    arguments = parser.parse_args()
    if arguments.data:
        datasets.choose(arguments.data)
    settings = Settings()
    load = os.getloadavg()[0]
    with open_postgres(settings, autocommit=True) as connection:
        sizes = _sizes(connection)
        version = connection.execute("show server_version").fetchone()
    lines = []
    with MetricStore(settings) as store:
        for name, question in COMMONEST.items():
            store.ask(question)
            answers = [store.ask(question) for _ in range(arguments.runs)]
            seconds = statistics.median(answer.seconds for answer in answers)
            one = answers[0]
            tables = sorted({t for part in one.statements for t in part.sources.values()})
            mark = "" if seconds < LIMIT else " **over**"
            label = f"**{name}**" if name == DASHBOARD else name
            lines.append(
                f"| {label} | {len(one.metrics)} | {len(one.rows):,} | {', '.join(tables)} "
                f"| {seconds * 1000:.0f}{mark} |"
            )
            print(lines[-1], flush=True)
    assert version is not None
    text = (
        f"{datetime.datetime.now(tz=datetime.UTC):%Y-%m-%d}, {os.cpu_count()} cores "
        f"({platform.machine()}), load {load:.1f} at the start, PostgreSQL "
        f"{str(version[0]).split()[0]}; store `{arguments.label or settings.postgres_db}`: "
        f"{sizes}; medians of {arguments.runs}.\n\n"
        "| question | metrics | rows | read from | ms |\n|---|--:|--:|---|--:|\n"
        + "\n".join(lines)
        + "\n"
    )
    if arguments.write:
        readme.write(NAME, text)


def _sizes(connection: psycopg.Connection) -> str:
    tables = {
        "ledger entries": "finance.fct_sales_ledger",
        "orders": "core.fct_orders",
        "order lines": "core.fct_order_items",
        "cube rows": "reporting.agg_sales_cube",
    }
    counts = []
    for label, table in tables.items():
        row = connection.execute(f"select count(*) from {table}").fetchone()
        assert row is not None
        counts.append(f"{row[0]:,} {label}")
    return ", ".join(counts)


if __name__ == "__main__":
    main()
