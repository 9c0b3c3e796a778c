"""Tasks side by side: the same scores as one after the other, and failures that stay their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import psutil
import psycopg
import pytest

from loaders.connections import open_postgres
from loaders.settings import ROOT, Settings
from ml.jobs import forecast, parallel, running, segments, sentiment
from ml.jobs.running import Pace
from tests.python.ml.test_jobs import connection, fill_customers, fill_days

__all__ = ["connection"]
TASKS = (segments.TASK, forecast.TASK, sentiment.TASK)
TABLES = ("customer_segments", "cluster_profiles", "forecasts", "model_metrics")


def rows(connection: psycopg.Connection, table: str) -> list[tuple]:
    """A table without the time when it was written."""
    found = connection.execute(
        f"select (to_jsonb(t) - 'scored_at')::text from ml.{table} as t order by 1"
    ).fetchall()
    connection.commit()
    return found


@pytest.mark.servers
def test_scores_are_those_of_one_after_the_other(
    connection: psycopg.Connection, pg_database: Settings
) -> None:
    fill_days(connection, 70)
    fill_customers(connection, 400)
    alone = [task.run(connection) for task in TASKS]
    before = [rows(connection, table) for table in TABLES]
    connection.execute("drop schema ml cascade")
    connection.commit()
    from ml import schema

    schema.ensure(connection)
    ended = list(parallel.run(TASKS, lambda: open_postgres(pg_database), Pace(), processes=2))
    assert [task for task, _ in ended] == list(TASKS)
    outcomes = [future.result()[0] for _, future in ended]
    assert outcomes == alone
    assert all(before[:2])
    assert [rows(connection, table) for table in TABLES] == before


@pytest.mark.servers
def test_a_task_that_fails_leaves_its_scores_and_the_others(
    connection: psycopg.Connection, pg_database: Settings
) -> None:
    fill_days(connection, 70)
    fill_customers(connection, 400)
    segments.run(connection)
    before = rows(connection, "customer_segments")
    connection.execute("create function ml.fail() returns trigger language plpgsql as $$"
                       " begin raise 'the disk is full'; end $$")  # fmt: skip
    connection.execute("create trigger fail before insert on ml.customer_segments"
                       " for each row execute function ml.fail()")  # fmt: skip
    connection.commit()
    fill_customers(connection, 500)
    ended = {
        task.name: future
        for task, future in parallel.run(TASKS, lambda: open_postgres(pg_database), Pace())
    }
    with pytest.raises(psycopg.errors.RaiseException, match="the disk is full"):
        ended["segments"].result()
    assert ended["forecast"].result()[0].run_id
    assert rows(connection, "customer_segments") == before


def killed(connection: psycopg.Connection) -> None:
    """A task whose process ends as if the machine had run out of memory."""
    running._executor.get().submit(os._exit, 9).result()


def computed(connection: psycopg.Connection) -> int:
    """A task that is still computing when another one's process is killed."""
    computing = running._executor.get()
    computing.submit(time.sleep, 2).result()
    return computing.submit(pow, 7, 2).result()


def test_a_killed_process_is_the_failure_of_its_task_alone() -> None:
    tasks = [
        running.Task(str(number), "", (), (), run)
        for number, run in enumerate((killed, computed, computed, killed, computed))
    ]
    ended = [future for _, future in parallel.run(tasks, nullcontext, Pace(), processes=2)]
    for future in (ended[0], ended[3]):
        with pytest.raises(parallel.KilledError, match="its process was killed"):
            future.result()
    assert [ended[number].result()[0] for number in (1, 2, 4)] == [49, 49, 49]


SLEEPER = """
import time
from contextlib import nullcontext
from ml.jobs import Task, parallel, running

def run(connection):
    running._executor.get().submit(time.sleep, 600).result()

if __name__ == "__main__":
    task = Task("sleep", "sleep", (), (), run)
    for _, future in parallel.run([task], nullcontext, running.Pace(), 1):
        future.result()
"""


def test_a_killed_layer_leaves_no_process(tmp_path: Path) -> None:
    script = tmp_path / "sleeper.py"
    script.write_text(SLEEPER)
    with subprocess.Popen([sys.executable, str(script)], cwd=ROOT) as started:
        watched = psutil.Process(started.pid)
        deadline = time.monotonic() + 60
        # the server of processes, what tidies up after it, and the one that computes
        while len(watched.children(recursive=True)) < 3 and time.monotonic() < deadline:
            time.sleep(0.1)
        family = watched.children(recursive=True)
        assert len(family) >= 3
        started.send_signal(signal.SIGKILL)
    _, left = psutil.wait_procs(family, timeout=20)
    assert not left
