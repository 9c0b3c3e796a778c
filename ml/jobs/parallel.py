"""Tasks side by side: each reads and writes in a thread of its own, and computes in a process.

Where nothing has changed no process is started. A task that fails is its own failure, also where
its process is killed: the others go on.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager
from multiprocessing import get_context, parent_process
from typing import Any

import psycopg

from ml.jobs import running
from ml.jobs.running import Outcome, Pace, Task

MAX_PROCESSES = 4  # a process takes up to 0.7 GB


class KilledError(Exception):
    """The process that computed a task was ended from outside."""

    def __init__(self) -> None:
        super().__init__("its process was killed: by hand, or the machine ran out of memory")


def run(
    tasks: Iterable[Task],
    connect: Callable[[], AbstractContextManager[psycopg.Connection[Any]]],
    pace: Pace,
    processes: int | None = None,
) -> Iterator[tuple[Task, Future[tuple[Outcome, float]]]]:
    """Start all tasks; each with what will be its outcome and its seconds, in the order given.

    Args:
        tasks: the longest first: the last to end decides how long all take.
        connect: opens the warehouse; the schema `ml` is there.
        pace: how often a task is trained anew.
        processes: at once; as many as the machine has processors, if not given.

    Outcomes raise what their task raised, and `KilledError`.
    """
    processes = processes or min(os.cpu_count() or 1, MAX_PROCESSES)
    # one server process imports the libraries once, all others are its copies
    context = get_context("forkserver")
    context.set_forkserver_preload(["ml.jobs"])

    def one(task: Task) -> tuple[Outcome, float]:
        started = time.monotonic()
        with (
            connect() as connection,
            # a pool of its own: a process that is killed takes its whole pool with it
            ProcessPoolExecutor(1, context, _end_with_parent) as computing,
            running.paced(pace),
            running.computed_by(computing),
        ):
            try:
                outcome = task.run(connection)
            except BrokenProcessPool as broken:
                raise KilledError from broken
        return outcome, time.monotonic() - started

    with ThreadPoolExecutor(processes) as waiting:
        futures = [(task, waiting.submit(one, task)) for task in tasks]
        try:
            yield from futures
        except BaseException:  # nobody waits for them any more
            for _, future in futures:
                future.cancel()
            raise


def _end_with_parent() -> None:
    """A refresh that is killed leaves no process behind."""
    parent = parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
