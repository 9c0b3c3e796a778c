"""What a person at the terminal sees while a refresh runs; silent everywhere else.

The steps of the Dagster job report to `current()`. `ledgerline refresh` puts a `Terminal` there;
in a run that Dagster's UI started it stays silent, since the UI shows the same events.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn


class Task:
    """A running step; this one tells nobody.

    Attributes:
        note: what the step has to say when it is done.
        seconds: how long it took, where that isn't the time between its lines.
    """

    note = ""
    seconds: float | None = None

    def expect(self, total: int) -> None:
        """How many units the step has."""

    def advance(self, what: str = "", by: int = 1) -> None:
        """So many more units are done; `what` is the one being worked on."""

    def reach(self, what: str, share: float) -> None:
        """The step is at `share` (0 to 1) of its work."""


@dataclass(frozen=True)
class Finished:
    """A step that ended."""

    label: str
    seconds: float
    note: str


class Silent:
    """Shows nothing."""

    @contextmanager
    def task(self, label: str) -> Iterator[Task]:
        """The step called `label` runs within."""
        del label
        yield Task()


@dataclass
class Terminal:
    """One line per finished step; while one runs, a bar where the output is a terminal."""

    console: Console
    finished: list[Finished] = field(default_factory=list)

    @contextmanager
    def task(self, label: str) -> Iterator[Task]:
        """The step called `label` runs within; its line is printed when it ends."""
        started = time.monotonic()
        bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[count]} [dim]{task.fields[what]}"),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
            refresh_per_second=5,
        )
        task = _BarTask(bar, label)
        mark = "[red]✗[/]"
        try:
            with bar:
                yield task
            mark = "[green]✓[/]"
        finally:
            seconds = time.monotonic() - started if task.seconds is None else task.seconds
            done = Finished(label, seconds, task.note)
            self.finished.append(done)
            note = f"  [dim]{escape(done.note)}[/]" if done.note else ""
            self.console.print(f" {mark} {label:<27}{done.seconds:>6.1f} s{note}", highlight=False)


class _BarTask(Task):
    def __init__(self, bar: Progress, label: str) -> None:
        self.bar = bar
        self.id = bar.add_task(label, total=None, count="", what="")
        self.done, self.total = 0, None

    def expect(self, total: int) -> None:
        self.total = total

    def advance(self, what: str = "", by: int = 1) -> None:
        self.done += by
        count = f"{self.done:,}" + (f" of {self.total:,}" if self.total else "")
        self.bar.update(
            self.id, completed=self.done, total=self.total, count=count, what=escape(what[:40])
        )

    def reach(self, what: str, share: float) -> None:
        self.bar.update(
            self.id, completed=share, total=1.0, count=f"{share:.0%}", what=escape(what[:40])
        )


_current: Silent | Terminal = Silent()


def current() -> Silent | Terminal:
    """Where the steps of this process report."""
    return _current


@contextmanager
def shown_on(console: Console) -> Iterator[Terminal]:
    """Within, steps report to this terminal."""
    global _current
    before, shown = _current, Terminal(console)
    _current = shown
    try:
        yield shown
    finally:
        _current = before
