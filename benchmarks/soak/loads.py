"""Loaders in processes of their own: `ledgerline load`, as a user runs it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import psutil

from loaders.settings import ROOT

FOLLOW = "follow"
PATIENCE_SECONDS = 180.0  # with a loader that nobody disturbs
USER_ERROR = 2  # the exit code

BEGUN = "load begins"  # what small_chunks prints
COMMAND = [sys.executable, "-m", "benchmarks.soak.small_chunks", "load"]

# what another loader at work makes one say, and what it says when its servers were away too long
REFUSED = "another loader"


@dataclass
class Load:
    """One run of the command.

    Attributes:
        log: file with what it printed.
        is_disturbed: something was killed that it depends on, or is.
        started, begun: when its process was, and when it was first seen to work.
        seconds: what it took, after `wait`.
        workers: processes that it had when it was killed.
    """

    mode: str
    process: subprocess.Popen[bytes]
    log: Path
    is_disturbed: bool = False
    started: float = field(default_factory=time.monotonic)
    begun: float | None = None
    seconds: float = 0.0
    workers: list[psutil.Process] = field(default_factory=list)

    @property
    def is_running(self) -> bool:
        """False when it has ended, or was killed."""
        return self.process.poll() is None

    @property
    def has_begun(self) -> bool:
        """True when its imports are done."""
        if self.begun is None and BEGUN in self.output:
            self.begun = time.monotonic()
        return self.begun is not None

    @property
    def output(self) -> str:
        """What it printed so far."""
        return self.log.read_text(errors="replace")

    def kill(self, random: Random) -> str:
        """SIGKILL it, or one of its workers if it has some; returns who it was."""
        self._note_workers()
        if self.workers and random.random() < 0.5:
            with suppress(psutil.NoSuchProcess):
                random.choice(self.workers).kill()
            return "worker"
        self.end()
        return "loader"

    def end(self) -> None:
        """SIGKILL it."""
        self._note_workers()
        self.process.kill()
        self.process.wait()

    def _note_workers(self) -> None:
        with suppress(psutil.NoSuchProcess):
            children = psutil.Process(self.process.pid).children()
            self.workers = [one for one in children if "spawn_main" in " ".join(one.cmdline())]

    def wait(self) -> None:
        """Let it end by itself, and note how long it took without its imports.

        Raises:
            subprocess.TimeoutExpired: it hangs.
        """
        end = time.monotonic() + PATIENCE_SECONDS
        while self.is_running:
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired(self.process.args, PATIENCE_SECONDS)
            time.sleep(0.05 if self.has_begun else 0.01)
        self.seconds = time.monotonic() - (self.begun or self.started)

    def unreconciled(self) -> list[str]:
        """Collections that differed from the source when the load was done with them.

        A sweep after an incremental load mends what that can't see: the last line counts.
        """
        lines = [line.split() for line in self.output.splitlines() if "source=" in line]
        return [
            name for name, last in {words[0]: words for words in lines}.items() if "NOT" in last
        ]

    def outcome(self) -> str:
        """How it ended: done, killed, refused (by another loader's lock), gave up or FAILED."""
        code = self.process.returncode
        if code == 0:
            return "done"
        if code == -signal.SIGKILL:
            return "killed"
        last = self.output.strip().rpartition("\n")[2]
        if code == USER_ERROR and last.startswith("error: "):
            if REFUSED in last:
                return "refused"
            if self.is_disturbed:
                return "gave up"
        return "FAILED"


class Loads:
    """Starts loads, and keeps what they print.

    Args:
        folder: for their logs.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.count = 0
        folder.mkdir(exist_ok=True)

    def start(self, mode: str, *options: str) -> Load:
        """Start one in a process of its own."""
        self.count += 1
        log = self.folder / f"{self.count:04d}-{mode}.txt"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*COMMAND, "--mode", mode, *options],
                cwd=ROOT,
                env=os.environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        return Load(mode, process, log)
