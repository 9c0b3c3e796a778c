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
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn


class Task:
    """One step that is running; this one tells nobody."""

    note = ""

    def expect(self, total: int) -> None:
        """How many units the step has."""

    def advance(self, what: str = "", by: int = 1) -> None:
        """So many more units are done; `what` is the one being worked on."""


@dataclass
class Finished:
    """A step that ended: its label, its seconds, what it said, and whether it went well."""

    label: str
    seconds: float
    note: str
    is_ok: bool


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
            MofNCompleteColumn(),
            TextColumn("[dim]{task.fields[what]}"),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
            refresh_per_second=5,
        )
        task = _BarTask(bar, bar.add_task(label, total=None, what=""))
        is_ok = False
        try:
            with bar:
                yield task
            is_ok = True
        finally:
            done = Finished(label, time.monotonic() - started, task.note, is_ok)
            self.finished.append(done)
            mark = "[green]✓[/]" if is_ok else "[red]✗[/]"
            note = f"  [dim]{escape(done.note)}[/]" if done.note else ""
            self.console.print(f" {mark} {label:<28}{done.seconds:>7.1f} s{note}")


class _BarTask(Task):
    def __init__(self, bar: Progress, task_id: int) -> None:
        self.bar, self.task_id = bar, task_id

    def expect(self, total: int) -> None:
        self.bar.update(self.task_id, total=total)

    def advance(self, what: str = "", by: int = 1) -> None:
        self.bar.update(self.task_id, advance=by, what=what[:48])


_current: Silent | Terminal = Silent()


def current() -> Silent | Terminal:
    """Where the steps of this process report."""
    return _current


@contextmanager
def shown_on(console: Console) -> Iterator[Terminal]:
    """Within, steps report to this terminal."""
    global _current
    before, _current = _current, Terminal(console)
    try:
        yield _current
    finally:
        _current = before
