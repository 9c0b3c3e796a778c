"""Versions of each task's model, and the pin by which a person chooses one.

A version is a run with scores. The newest run of a task is current until a person pins another:
`predictions.current_runs` follows the pin, and it stays, whatever is trained meanwhile, until
`unpin`. Runs that had too little data are no versions.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import psycopg
from psycopg.rows import class_row

# which run is current is decided as in `predictions.current_runs`: also one that had too little
# data, and so is no version, can be
_VERSIONS = """
with ranked as (
    select
        runs.*,
        pins.run_id is not null as is_pinned,
        row_number() over (
            partition by runs.task
            order by (pins.run_id is not null) desc, runs.confirmed_at desc, runs.scored_at desc,
                runs.run_id
        ) = 1 as is_current
    from ml.runs
    left join ml.pins as pins on pins.task = runs.task and pins.run_id = runs.run_id
)
select
    task, version, run_id, mlflow_run_id, model_version, code_version, as_of_date, champion,
    baseline, note, parameters, data_fingerprint, trained_from, trained_to, row_count, scored_at,
    confirmed_at, is_pinned, is_current
from ranked
join (select run_id, version, mlflow_run_id from ml.model_versions) as versions using (run_id)
where %(task)s::text is null or task = %(task)s
order by task, version desc
"""


class NoSuchVersionError(LookupError):
    """There is no such version; the message says which there are."""


@dataclass(frozen=True)
class Version:
    """A registered run.

    Attributes:
        version: number in the registry, 1 for the first of the task.
        is_pinned: chosen by a person.
        is_current: its scores are shown; at most one of a task.
    """

    task: str
    version: int
    run_id: str
    mlflow_run_id: str
    model_version: str
    code_version: str
    as_of_date: date | None
    champion: str | None
    baseline: str | None
    note: str
    parameters: dict[str, Any]
    data_fingerprint: str
    trained_from: date | None
    trained_to: date | None
    row_count: int
    scored_at: datetime
    confirmed_at: datetime
    is_pinned: bool
    is_current: bool


def versions(connection: psycopg.Connection[Any], task: str | None = None) -> list[Version]:
    """All versions, or those of a task; the newest first. Commits."""
    with connection.cursor(row_factory=class_row(Version)) as cursor:
        found = cursor.execute(_VERSIONS, {"task": task}).fetchall()
    connection.commit()
    return found


def versions_of(connection: psycopg.Connection[Any], task: str) -> list[Version]:
    """The versions of a task, the newest first.

    Raises:
        NoSuchVersionError: it has none.
    """
    found = versions(connection, task)
    if not found:
        known = sorted({one.task for one in versions(connection)})
        having = f"versions are of {', '.join(known)}" if known else "nothing was scored yet"
        raise NoSuchVersionError(f"the task {task!r} has no version: {having}")
    return found


def current(connection: psycopg.Connection[Any], task: str) -> Version:
    """The version whose scores are shown.

    Raises:
        NoSuchVersionError: the task has none, or its newest run had too little data.
    """
    shown = _current(versions_of(connection, task))
    if shown is None:
        raise NoSuchVersionError(
            f"the newest run of {task} had too little data: no version is current until one is"
            " promoted"
        )
    return shown


def _current(found: list[Version]) -> Version | None:
    return next((one for one in found if one.is_current), None)


def find(connection: psycopg.Connection[Any], task: str, version: int) -> Version:
    """A version by its number.

    Raises:
        NoSuchVersionError: the task has none of that number.
    """
    found = versions_of(connection, task)
    for one in found:
        if one.version == version:
            return one
    raise NoSuchVersionError(
        f"{task} has no version {version}: it has {found[-1].version} to {found[0].version}"
    )


def promote(connection: psycopg.Connection[Any], task: str, version: int) -> Version:
    """Pin a version: its scores are current until another is pinned or none. Commits.

    Promoting the pinned version again changes nothing.

    Raises:
        NoSuchVersionError: there is no such version.
    """
    return _pin(connection, find(connection, task, version), "promote")


def rollback(connection: psycopg.Connection[Any], task: str) -> Version:
    """Pin the version before the current one, or the newest where none is current. Commits.

    A second rollback changes nothing: who types the command twice, or runs it again after a lost
    connection, must not land two versions back. To go further back, promote.

    Raises:
        NoSuchVersionError: there is no version, or none before the current one.
    """
    found = versions_of(connection, task)
    now = _current(found)
    row = connection.execute("select action from ml.pins where task = %s", [task]).fetchone()
    connection.commit()
    if now is not None and row == ("rollback",):
        return now
    before = next((one for one in found if now is None or one.version < now.version), None)
    if before is None:
        raise NoSuchVersionError(f"{task} has no version before {now.version if now else 1}")
    return _pin(connection, before, "rollback")


def unpin(connection: psycopg.Connection[Any], task: str) -> Version | None:
    """Let the newest run be current again; without a pin nothing changes. Commits.

    Returns:
        The version that is current then; None where the newest run had too little data.

    Raises:
        NoSuchVersionError: the task has no version.
    """
    versions_of(connection, task)
    connection.execute("delete from ml.pins where task = %s", [task])
    connection.commit()
    return _current(versions_of(connection, task))


def _pin(connection: psycopg.Connection[Any], wanted: Version, action: str) -> Version:
    connection.execute(
        "insert into ml.pins (task, run_id, action, pinned_at)"
        " values (%s, %s, %s, clock_timestamp())"
        " on conflict (task) do update set run_id = excluded.run_id, action = excluded.action,"
        " pinned_at = excluded.pinned_at"
        " where (ml.pins.run_id, ml.pins.action) <> (excluded.run_id, excluded.action)",
        [wanted.task, wanted.run_id, action],
    )
    connection.commit()
    return current(connection, wanted.task)
