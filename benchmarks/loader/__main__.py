"""`make bench-loader`: the loader beside a bare COPY and beside other tools, on the same documents.

    python -m benchmarks.loader [--docs N] [--runs N] [--only NAME ...]

Each command runs alone and as a whole process, one after the other, the whole series as often as
`--runs` says; medians are shown. The documents come from a replay server, so that the loader and
not its source is measured. With the default numbers the table goes into `benchmarks/README.md`.
Nothing but the peers' environments stays: the database `bench_loader` is dropped, the files go.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import platform
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
from rich.console import Console

from benchmarks import readme
from benchmarks.loader import measure, orders, report
from benchmarks.loader.bare_copy import write_rows
from benchmarks.loader.contenders import CONTENDERS, Contender, Run
from benchmarks.loader.measure import Cost, FailedError
from benchmarks.loader.report import Outcome
from benchmarks.loader.target import NAME, Target
from loaders.settings import ROOT, Settings
from sandbox.replay import replay_process
from sandbox.replay.process import ReplayProcess
from sandbox.servers import manager

DOCUMENTS, RUNS = 500_000, 5

console = Console(highlight=False)


def main() -> None:
    """Measure and show."""
    arguments = _arguments()
    os.environ["POSTGRES_DB"] = NAME
    # so that all is tidied up, also where it was started with Ctrl-C ignored (by a script, with &)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit("ended"))
    settings = Settings()
    load = os.getloadavg()[0]
    manager.up(settings)
    with _folder(settings.home / "bench") as folder:
        bench = Bench(folder, Target(settings), arguments.docs)
        outcomes = bench.measure(arguments.only or CONTENDERS, arguments.runs)
        machine = _machine(bench.target, arguments, load)
    text = f"{machine}\n{report.table(outcomes)}\n{report.verdicts(outcomes)}"
    _say(text)
    if any(outcome.failure for outcome in outcomes if not outcome.contender.is_peer):
        sys.exit("a command of ours failed: benchmarks/README.md stays as it is")
    if (arguments.docs, arguments.runs, arguments.only) == (DOCUMENTS, RUNS, []):
        readme.write("bench-loader", text)
        _say(f"written to {readme.README.relative_to(ROOT)}")
    else:
        _say("a trial: benchmarks/README.md stays as it is")


class Bench:
    """One series of measurements.

    Args:
        folder: for its files.
        target: where to load into.
        documents: how many.
    """

    def __init__(self, folder: Path, target: Target, documents: int) -> None:
        self.folder = folder
        self.target = target
        self.documents = documents
        self.rows = folder / "rows.txt"

    def measure(self, contenders: Sequence[Contender], runs: int) -> list[Outcome]:
        """Run each contender so often; who fails isn't asked again."""
        _say(f"making {self.documents:,} orders and their finished rows")
        self.files = orders.write(self.folder, self.documents)
        write_rows(self.rows, orders.read(self.files.orders))
        served = {
            "shop.orders": self.files.orders,
            "halves.orders_1": self.files.first_half,
            "halves.orders_2": self.files.second_half,
        }
        outcomes = [Outcome(one, one.documents(self.documents)) for one in contenders]
        try:
            with replay_process(served, indexes=["updated_at"]) as source:
                for number in range(1, runs + 1):
                    for outcome, before in zip(outcomes, [None, *outcomes], strict=False):
                        if outcome.contender.goes_on and before and before.failure:
                            outcome.failure = "what it goes on from failed"
                        self._take(outcome, source, f"run {number} of {runs}")
        finally:
            self.target.drop()
        return outcomes

    def _take(self, outcome: Outcome, source: ReplayProcess, when: str) -> None:
        if outcome.failure:
            return
        contender = outcome.contender
        with console.status(f"{when}: {contender.name}"):
            try:
                cost = self._run(contender, source)
            except FailedError as error:
                outcome.failure = self.target.without_password(str(error))
                _say(f"{when}: {contender.name:<12} failed: {outcome.failure}")
                return
        outcome.costs.append(cost)
        _say(
            f"{when}: {contender.name:<12}{cost.seconds:>8.1f} s"
            f"{outcome.documents / cost.seconds:>10,.0f} docs/s{cost.memory:>8,.0f} MiB"
        )

    def _run(self, contender: Contender, source: ReplayProcess) -> Cost:
        if not contender.goes_on:
            self.target.create()
            with self.target.connect() as conn:
                contender.prepare(conn)
        if contender.source_changes:
            source.put("shop.orders", self.files.changed)
        documents = contender.documents(self.documents)
        with tempfile.TemporaryDirectory(dir=self.folder) as home:
            run = Run(
                home=Path(home),
                environments=self.folder.parent / "peers",
                rows=self.rows,
                port=source.port,
                url=self.target.url,
                documents=documents,
            )
            command = contender.command(run)
            cost, printed = measure.run(
                command,
                contender.environment(run),
                run.home if contender.is_peer else ROOT,
                self.target.cpu_seconds,
            )
        if contender.source_changes:
            source.put("shop.orders", self.files.orders)
        return self._checked(contender, documents, cost, printed)

    def _checked(self, contender: Contender, documents: int, cost: Cost, printed: str) -> Cost:
        """The cost, with the load's own seconds, if all that should be is in the target."""
        wanted = -(-documents // contender.share)
        with self.target.connect() as conn:
            loaded = _value(conn, contender.loaded)
            if loaded != wanted:
                raise FailedError(f"loaded {loaded:,} documents, not {wanted:,}")
            own: Any = None
            if contender.own_seconds:
                own = _value(conn, contender.own_seconds)
            elif contender.prints_seconds:
                own = printed
        return cost if own is None else replace(cost, load_seconds=float(own))


def _say(text: str) -> None:
    console.print(text, markup=False, soft_wrap=True)


def _value(conn: psycopg.Connection, query: str) -> Any:
    row = conn.execute(query).fetchone()
    assert row is not None
    return row[0]


@contextmanager
def _folder(parent: Path) -> Iterator[Path]:
    """A folder for this run; what killed runs left goes. A second run at a time is refused."""
    parent.mkdir(parents=True, exist_ok=True)
    with (parent / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit("another benchmark of the loader is running: wait till it has ended")
        for left in parent.glob("run-*"):
            shutil.rmtree(left, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix="run-", dir=parent) as folder:
            yield Path(folder)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Time the loader beside COPY and other tools.")
    parser.add_argument("--docs", type=int, default=DOCUMENTS, help="documents to load")
    parser.add_argument("--runs", type=int, default=RUNS, help="how often each command runs")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help=report.labels())
    arguments = parser.parse_args()
    by_name = {contender.name: contender for contender in CONTENDERS}
    if unknown := set(arguments.only) - set(by_name):
        parser.error(
            f"no such contender: {', '.join(sorted(unknown))} (there are: {report.labels()})"
        )
    arguments.only = [by_name[name] for name in by_name if name in arguments.only]
    if arguments.docs < 200 or arguments.runs < 1:
        parser.error("at least 200 documents and 1 run")
    return arguments


def _machine(target: Target, arguments: argparse.Namespace, load: float) -> str:
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores ({platform.machine()}), load "
        f"{load:.1f} at the start, Python {platform.python_version()}, PostgreSQL "
        f"{target.version()}; {arguments.docs:,} documents, medians of {arguments.runs}.\n"
    )


if __name__ == "__main__":
    main()
