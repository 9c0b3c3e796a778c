"""What `ledgerline load --mode follow` shows, and how it is stopped."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from types import FrameType

import structlog
from rich.console import Console
from rich.status import Status as Line

from loaders.landing import Result
from loaders.settings import Settings
from loaders.stream import follow
from loaders.stream.follow import Observer, Status

LOG_EVERY_SECONDS = 10.0

log = structlog.get_logger(__name__)


def follow_until_stopped(
    settings: Settings, collections: Sequence[str], until_idle: timedelta | None
) -> None:
    """Follow until Ctrl-C, SIGTERM or `until_idle`, then print one line that sums it up.

    The first signal lets the batch in hand be committed; a second one ends at once, which loses
    nothing either.
    """
    console = Console(file=sys.stderr)
    with _stopped_by_signals() as stop, _shown(console) as observer:
        status = follow.run(
            settings, collections, until_idle=until_idle, stop=stop, observer=observer
        )
    sys.stdout.write(
        f"followed {status.source}: events={status.events} rows={status.rows} "
        f"batches={status.batches} restarts={status.restarts} seconds={status.seconds:.1f} "
        f"lag_seconds={_seconds(status.lag)}\n"
    )


@contextmanager
def _stopped_by_signals() -> Iterator[threading.Event]:
    stop = threading.Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop.set()
        restore()

    for number in before:
        signal.signal(number, on_signal)
    try:
        yield stop
    finally:
        restore()


@contextmanager
def _shown(console: Console) -> Iterator[Observer]:
    if not console.is_terminal:
        yield Logged()
        return
    with console.status("following …") as line:
        yield Shown(line)


class Logged(Observer):
    """A line in the log every few seconds, and nothing while nothing happens."""

    def __init__(self) -> None:
        self.said_at = time.monotonic()
        self.said = 0

    def follows(self, status: Status) -> None:
        """Say it if it is time."""
        now = time.monotonic()
        if status.events == self.said or now - self.said_at < LOG_EVERY_SECONDS:
            return
        log.info(
            "following",
            source=status.source,
            events=status.events,
            rows=status.rows,
            rate=round((status.events - self.said) / (now - self.said_at)),
            lag_seconds=_seconds(status.lag),
        )
        self.said_at, self.said = now, status.events


class Shown(Observer):
    """One line on a terminal, kept up to date."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.read_so_far = 0

    def begin(self, collection: str, mode: str, expected: int | None) -> None:
        """A collection is compared with raw first."""
        self.read_so_far = 0
        self.line.update(f"{collection} ({mode}) …")

    def read(self, collection: str, documents: int, size: int) -> None:
        """It goes on."""
        self.read_so_far += documents
        self.line.update(f"{collection}: {self.read_so_far:,} documents")

    def end(self, result: Result) -> None:
        """It is done."""
        self.line.update("following …")

    def follows(self, status: Status) -> None:
        """Show how it goes."""
        behind = f"{status.rate:,.0f}/s, {_seconds(status.lag)} s behind"
        self.line.update(
            f"following {status.source}: {status.events:,} events, {status.rows:,} rows, "
            + (behind if status.rate else "up to date")
        )


def _seconds(lag: timedelta | None) -> str:
    return "-" if lag is None else f"{lag.total_seconds():.1f}"
