"""Several collections at once, each in a process of its own: encoding keeps one core busy."""

from __future__ import annotations

import multiprocessing
import os
import queue
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from loaders.errors import UserError
from loaders.landing import Result

if TYPE_CHECKING:
    from loaders.modes import Job, Observer

_told: Any = None  # in a worker: the queue to the process that started it


def run(job: Job, sizes: Mapping[str, int], workers: int, observer: Observer) -> list[Result]:
    """Load the collections of `sizes`, the largest first so that none is left alone at the end.

    Returns:
        The results in the order of `sizes`.

    Raises:
        Exception: the first that a collection failed with, after all others were finished.
        UserError: a worker was killed; what was committed stays.
    """
    context = multiprocessing.get_context("spawn")  # a fork would share the drivers' sockets
    events = context.Queue()
    largest_first = sorted(sizes, key=lambda name: -sizes[name])
    with (
        _relayed(events, observer),
        ProcessPoolExecutor(workers, context, initializer=_begin, initargs=(events,)) as pool,
    ):
        futures: dict[str, Future[list[Result]]] = {
            name: pool.submit(_load, job, name) for name in largest_first
        }
    try:
        return [result for name in sizes for result in futures[name].result()]
    except BrokenProcessPool as error:
        raise UserError(
            "a worker process was killed, perhaps because memory ran out: run again, with "
            "`--workers 1` if it happens again"
        ) from error


def _begin(events: Any) -> None:
    global _told
    _told = events
    threading.Thread(target=_end_with_parent, name="watch on the parent", daemon=True).start()


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for work for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _load(job: Job, collection: str) -> list[Result]:
    from loaders.modes import collect_rarely, load_one

    collect_rarely()
    return load_one(job, collection, _Teller())


class _Teller:
    """The worker's observer: sends on what it is told."""

    def begin(self, collection: str, mode: str, expected: int | None) -> None:
        _told.put(("begin", collection, mode, expected))

    def read(self, collection: str, documents: int, size: int) -> None:
        _told.put(("read", collection, documents, size))

    def end(self, result: Result) -> None:
        _told.put(("end", result))


@contextmanager
def _relayed(events: Any, observer: Observer) -> Iterator[None]:
    """Pass the workers' events on to the observer, from a thread, until the block ends."""
    ended = threading.Event()

    def relay() -> None:
        while True:
            try:
                kind, *values = events.get(timeout=0.2)
            except queue.Empty:
                if ended.is_set():
                    return
                continue
            getattr(observer, kind)(*values)

    thread = threading.Thread(target=relay, name="progress of workers", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
