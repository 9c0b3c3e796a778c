"""One run of a task: known before and confirmed, or computed and written with all its rows.

A task reads features, computes, and writes a run. A run that was computed before on the same data
with the same code is confirmed, not repeated; within `paced` also one that is not old enough yet.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
import psycopg

from ml import asof, runs, schema
from ml.jobs import watching

log = logging.getLogger(__name__)

NO_DATA = "too_little_data"


@dataclass(frozen=True)
class Outcome:
    """What a task did, for the orchestration's metadata.

    Attributes:
        run_id: the run whose rows are now current.
        status: `ok` or `too_little_data`.
        champion: the model that scores, per series for forecasts.
        rows: rows of scores.
        reused: True where the run was known and nothing was computed.
        metrics: the champion's main measures by name.
    """

    run_id: str
    status: str
    note: str
    champion: str | None
    rows: int
    reused: bool
    metrics: Mapping[str, float]

    def metadata(self) -> dict[str, Any]:
        """Plain values by name."""
        return {**asdict(self), "metrics": dict(self.metrics)}


@dataclass(frozen=True)
class Task:
    """A problem that is solved anew at each refresh.

    Attributes:
        name: in `ml.runs`, the command line and the docs.
        label: for people who watch it run.
        reads: models of `features` (or of the marts) that it learns from.
        writes: tables of the schema `ml`, besides the books that all tasks share.
        run: computes and writes; commits.
    """

    name: str
    label: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    run: Callable[[psycopg.Connection[Any]], Outcome]


@dataclass(frozen=True)
class Pace:
    """How often a task is trained anew.

    Attributes:
        every_days: a run counts so many days of data as current; 1: whatever has new data is
            trained.
        retrain: also what was computed before is computed again, and replaces its rows.
    """

    every_days: int = 1
    retrain: bool = False


_pace: ContextVar[Pace] = ContextVar("pace")


@contextmanager
def paced(pace: Pace) -> Iterator[None]:
    """Tasks within keep to this pace."""
    token = _pace.set(pace)
    try:
        yield
    finally:
        _pace.reset(token)


_executor: ContextVar[Executor] = ContextVar("executor")


@contextmanager
def computed_by(executor: Executor) -> Iterator[None]:
    """Tasks within leave the computing to it, and read and write themselves."""
    token = _executor.set(executor)
    try:
        yield
    finally:
        _executor.reset(token)


def compute(
    connection: psycopg.Connection[Any],
    *,
    task: str,
    version: str,
    features: pd.DataFrame | Mapping[str, pd.DataFrame],
    as_of: pd.Timestamp | None,
    parameters: Mapping[str, Any],
    result_of: Callable[[], runs.Result],
) -> Outcome:
    """Compute and write a run, or confirm the one that these features have already.

    Args:
        connection: open; commits.
        task: its name.
        version: of the method, raised when it changes on purpose; the run's id also covers the
            code itself.
        features: all that the result depends on; several frames by name.
        as_of: last day of the data.
        parameters: everything adjustable that changes the result; JSON.
        result_of: computes the result; within `computed_by` processes it must be picklable.
    """
    schema.ensure(connection)
    run = runs.Run(
        task=task,
        model_version=version,
        as_of_date=as_of.date() if as_of is not None else None,
        parameters=parameters,
        data_fingerprint=runs.fingerprint(features),
    )
    # reading began a transaction; computing must not hold it open
    connection.commit()
    pace = _pace.get(Pace())
    known = None if pace.retrain else runs.confirm(connection, run)
    if known is None and not pace.retrain and pace.every_days > 1:
        known = runs.confirm_recent(connection, run, pace.every_days)
    if known is None:
        executor = _executor.get(None)
        result = result_of() if executor is None else executor.submit(result_of).result()
        runs.write(connection, run, result)
        if result.status == "ok":
            watching.record(connection, run, features, result.tables)
        known = {
            "run_id": run.run_id,
            "status": result.status,
            "note": result.note,
            "champion": result.champion,
            "row_count": result.row_count,
        }
        reused = False
    else:
        reused = True
    if known["status"] != "ok":
        log.warning("%s: too little data: %s", task, known["note"])
    elif known["note"]:
        log.info("%s: %s", task, known["note"])
    return Outcome(
        run_id=known["run_id"],
        status=known["status"],
        note=known["note"],
        champion=known["champion"],
        rows=known["row_count"],
        reused=reused,
        metrics=_headline_metrics(connection, known["run_id"]),
    )


def last_complete_day(
    connection: psycopg.Connection[Any], *dates: pd.Series
) -> pd.Timestamp | None:
    """The shop's last day that is over, whether anything was sold on it or not.

    Returns:
        The newest of these dates where the shop has no such day; None without a date.
    """
    day = connection.execute("select max(metric_date) from features.daily_sales").fetchone()
    if day and day[0]:
        return pd.Timestamp(day[0])
    known = [one for one in dates if len(one)]
    return asof.newest(*known) if known else None


def last_date(frame: pd.DataFrame, column: str) -> pd.Timestamp | None:
    """The newest date of a column; None without rows."""
    return frame[column].max() if len(frame) else None


def _headline_metrics(connection: psycopg.Connection[Any], run_id: str) -> dict[str, float]:
    """Measures of the champion; forecasts only in total and over all 90 days."""
    rows = connection.execute(
        "select series || '.' || metric, value from ml.model_metrics"
        " where run_id = %s and is_champion and horizon not in ('1-30', '31-90')"
        " and series not like '%% by %%'"
        " and value is not null order by 1",
        [run_id],
    ).fetchall()
    connection.commit()
    return {name: float(value) for name, value in rows if np.isfinite(value)}
