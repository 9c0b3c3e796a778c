"""`make soak`: kills at random while a shop is at work and is loaded, then: is raw the source?

    python -m benchmarks.soak [--kills N] [--seed N] [--documents N] [--check-every N]

One or two loaders run all the time, in modes that the dice choose. Now and then one of them, one of
its workers, Postgres (all of it, its postmaster or one session's process) or the source is killed,
and what was a server is started again. A writer inserts, changes and deletes meanwhile. After every
so many kills it pauses, one undisturbed load has to bring raw to what the source is, and everything
is compared. Two servers in a temporary folder are used for it, and no others.

The dice are those of the seed; what a kill hits is a matter of milliseconds and never the same.
Ends with exit code 1 at the first difference, and keeps logs and data then.
"""

from __future__ import annotations

import argparse
import secrets
import signal
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random

import psutil
import psycopg

from benchmarks import readme
from benchmarks.soak import report
from benchmarks.soak.compare import PATIENCE_SECONDS, Reader, findings
from benchmarks.soak.loads import FOLLOW, Load, Loads
from benchmarks.soak.servers import Servers, isolate
from benchmarks.soak.writer import Writer
from loaders.settings import ROOT, Settings
from sandbox.servers import manager

KILLS, DOCUMENTS, CHECK_EVERY, RATE = 200, 6_000, 25, 20.0

# who is killed, and how often compared with the others
VICTIMS = {
    "loader": 8,
    "source": 4,
    "Postgres": 3,
    "Postgres' postmaster": 1,
    "Postgres' session": 3,
    "both servers": 1,
}
# how often each mode is started; a follower runs for longer than the others, and is hit more often
STARTS = {"full": 4, "incremental": 3, "sweep": 2, "auto": 2, FOLLOW: 1}
SECOND_LOADER = 0.3  # how often another one is started beside the one that runs
LATE = 0.85  # how often what is killed is a load at work, and not its start
LONGER = 1.5  # than a load usually takes: some come to their end
FIRST_GUESS_SECONDS = 4.0  # what a load takes, before one was seen to end
FOLLOW_SECONDS = 6.0  # a follower never ends, so it is killed in this time
OUTAGE_SECONDS = 2.0
IDLE_SECONDS = "1.5"


class DifferenceError(Exception):
    """Something isn't as it must be; the message has a line for each."""


@dataclass
class Tally:
    """What happened.

    Attributes:
        kills: (victim, mode that was running, or "two at once") -> how often.
        loads: (mode, how it ended) -> how often.
        checks: load that had to bring raw up to date -> how often it did.
        lost: what the source had acknowledged and didn't have after it was killed.
    """

    kills: Counter[tuple[str, str]] = field(default_factory=Counter)
    loads: Counter[tuple[str, str]] = field(default_factory=Counter)
    checks: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)


class Soak:
    """One run.

    Args:
        settings: both servers'; they are running.
        arguments: see `main`.
    """

    def __init__(self, settings: Settings, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.random = Random(arguments.seed)
        self.settings = settings
        self.servers = Servers(settings)
        logs = settings.home / "logs"
        self.writer = Writer(settings, arguments.seed, arguments.rate, logs / "writer.txt")
        self.loads = Loads(logs / "loads")
        self.running: list[Load] = []
        self.workers: list[psutil.Process] = []  # of loads that were killed
        self.usual = dict.fromkeys(STARTS, FIRST_GUESS_SECONDS)
        self.reader = Reader()
        self.tally = Tally()
        self.began = time.monotonic()

    def run(self) -> None:
        """Kill as often as asked for, and compare.

        Raises:
            DifferenceError: raw isn't what it must be.
        """
        self.writer.fill(self.arguments.documents)
        self.writer.start()
        try:
            checks = ("follow", "auto", "full")
            while (kills := self.tally.kills.total()) < self.arguments.kills:
                self._kill_something()
                if self.tally.kills.total() // self.arguments.check_every > (
                    kills // self.arguments.check_every
                ):
                    self._check(checks[self.tally.checks.total() % len(checks)])
            for mode in checks:
                self._check(mode)
        finally:
            for load in self.running:
                load.end()
            with suppress(Exception):
                self.servers.up()  # the writer's last operation needs it
            self.writer.stop()

    # --- killing ----------------------------------------------------------------------------------

    def _kill_something(self) -> None:
        """Have loaders run, and kill something while they do."""
        self._collect()
        if not self.running or (len(self.running) == 1 and self.random.random() < SECOND_LOADER):
            self._start()
        newest = self.running[-1]
        if self.random.random() < LATE:
            while newest.is_running and not newest.has_begun:
                time.sleep(0.02)
        usual = FOLLOW_SECONDS if newest.mode == FOLLOW else LONGER * self.usual[newest.mode]
        victim = self.random.choices(list(VICTIMS), list(VICTIMS.values()))[0]
        outage = self.random.uniform(0, OUTAGE_SECONDS)
        end = time.monotonic() + self.random.uniform(0, usual)
        while time.monotonic() < end and newest.is_running:
            time.sleep(0.005)
        running = [load for load in self.running if load.is_running]
        if not running:
            return
        target = self.random.choice(running)
        killed = self._kill(victim, target)
        if not killed:
            return
        modes = " + ".join(sorted({load.mode for load in running}))
        for load in [target] if killed in ("loader", "worker") else running:
            load.is_disturbed = True
        self.tally.kills[killed, modes if len(running) == 1 else "two at once"] += 1
        self._say(f"{killed} killed after {time.monotonic() - newest.started:.1f} s of {modes}")
        if killed not in ("loader", "worker"):
            time.sleep(outage)
            self.servers.up()
            self._read()

    def _kill(self, victim: str, target: Load) -> str | None:
        """Returns who was killed, if anybody was."""
        if victim == "loader":
            return target.kill(self.random)
        servers = self.servers
        kills = {
            "source": [servers.kill_source],
            "Postgres": [servers.kill_postgres_with_children],
            "Postgres' postmaster": [servers.kill_postgres],
            "Postgres' session": [servers.kill_backend],
            "both servers": [servers.kill_source, servers.kill_postgres_with_children],
        }[victim]
        return victim if any([kill() for kill in kills]) else None  # noqa: C419 -- all of them

    def _start(self) -> None:
        mode = self.random.choices(list(STARTS), list(STARTS.values()))[0]
        workers = self.random.choice(["1", "1", "2"])
        self.running.append(
            self.loads.start(mode, *(() if mode == FOLLOW else ("--workers", workers)))
        )

    def _collect(self) -> None:
        """Count the loads that have ended."""
        for load in [one for one in self.running if not one.is_running]:
            self.running.remove(load)
            self.workers += load.workers
            outcome = load.outcome()
            self.tally.loads[load.mode, outcome] += 1
            if outcome == "FAILED":
                raise DifferenceError(
                    f"a load failed with exit code {load.process.returncode}, "
                    f"see {load.log}:\n{load.output[-2000:]}"
                )

    # --- comparing --------------------------------------------------------------------------------

    def _check(self, mode: str) -> None:
        """With the writer at rest, one load must bring raw to what the source is."""
        for load in self.running:
            load.end()
        self._collect()
        self.servers.up()
        with self.writer.held:
            if self.writer.error:
                raise self.writer.error
            self._note_lost()
            if mode == "auto":  # which sees no change that left the clock as it was
                self._load("auto")
                self._load("sweep")
            else:
                self._load(mode, *(("--until-idle", IDLE_SECONDS) if mode == FOLLOW else ()))
            self._compare(mode, may_be_unfinished=mode != "full")
        self.tally.checks[mode] += 1
        documents = sum(map(len, self.writer.revisions.values()))
        self._say(f"check {self.tally.checks.total()}: raw is the source ({documents:,} documents)")

    def _compare(self, mode: str, *, may_be_unfinished: bool) -> None:
        with self._postgres() as conn:
            found = findings(conn, self.writer.database, may_be_unfinished=may_be_unfinished)
            found += self.reader.findings(conn)
        if left := psutil.wait_procs(self.workers, PATIENCE_SECONDS)[1]:
            found.append(f"workers of killed loaders go on: {[one.pid for one in left]}")
        if found:
            raise DifferenceError("\n".join([f"after a load with --mode {mode}:", *found]))

    def _load(self, mode: str, *options: str) -> str:
        """A load that nobody disturbs, which must end well."""
        load = self.loads.start(mode, *options)
        load.wait()
        self.usual[mode] = load.seconds
        outcome = load.outcome()
        if outcome != "done" or load.unreconciled():
            raise DifferenceError(
                f"an undisturbed load with --mode {mode}: {outcome}, see {load.log}:\n{load.output}"
            )
        return load.output

    def _note_lost(self) -> None:
        lost = self.writer.take_lost()
        self.tally.lost += lost
        for line in lost:
            self._say(f"the source lost what it had acknowledged: {line}")

    def _read(self) -> None:
        """Let the reader have what is committed so far; Postgres may be gone again."""
        with (
            suppress(psycopg.OperationalError, psycopg.errors.UndefinedTable),
            self._postgres() as conn,
        ):
            self.reader.read(conn)

    def _postgres(self) -> psycopg.Connection:
        return psycopg.connect(
            **self.settings.postgres(), autocommit=True, application_name="ledgerline soak"
        )

    def _say(self, text: str) -> None:
        kills = self.tally.kills.total()
        seconds = time.monotonic() - self.began
        print(f"{kills:>4}/{self.arguments.kills} {seconds:>6.1f} s  {text}", flush=True)


def main() -> None:
    """Run it; for the arguments see the module."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))  # so that the servers end too
    settings = isolate()
    print(f"seed {arguments.seed}, logs and data in {settings.home}", flush=True)
    manager.up(settings)
    soak = Soak(settings, arguments)
    try:
        soak.run()
    except BaseException as error:
        print(report.table(soak))
        print(f"seed {arguments.seed}: {type(error).__name__}: {error}", file=sys.stderr)
        manager.down(settings)
        print(f"logs and data are kept in {settings.home}", file=sys.stderr)
        if isinstance(error, DifferenceError):
            sys.exit(1)
        raise
    text = report.table(soak)
    print(text)
    manager.wipe(settings)
    if (arguments.kills, arguments.documents) == (KILLS, DOCUMENTS):
        readme.write("soak", text)
        print(f"written to {readme.README.relative_to(ROOT)}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Kill loader and servers at random, and compare.")
    parser.add_argument("--kills", type=int, default=KILLS)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    parser.add_argument("--documents", type=int, default=DOCUMENTS)
    parser.add_argument("--check-every", type=int, default=CHECK_EVERY, help="kills")
    parser.add_argument("--rate", type=float, default=RATE, help="the writer's operations a second")
    return parser.parse_args()


if __name__ == "__main__":
    main()
