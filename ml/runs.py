"""Runs of the ML tasks: their identity, and reading and writing their rows.

A run is named by what determines its result: the task, the versions of method, code and
libraries, the parameters, the as-of date and the data. The same run is therefore never computed
twice, and writing it again replaces its own rows and no others.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

_OID = psycopg.postgres.types
_DATE = _OID["date"].oid
_DTYPES = {
    _OID["text"].oid: "str",
    _OID["date"].oid: "str",
    _OID["numeric"].oid: "float64",
    _OID["float8"].oid: "float64",
    _OID["bool"].oid: "boolean",
}
_LIBRARIES = (
    "numpy", "pandas", "scikit-learn", "scipy", "prophet", "holidays", "statsmodels", "lightgbm",
    "xgboost-cpu",
)  # fmt: skip


@dataclass(frozen=True)
class Run:
    """One run, before its result is known.

    Attributes:
        task: its name, e.g. `forecast`.
        model_version: version of the task's method.
        as_of_date: last day of the data, None without data.
        parameters: everything adjustable that changes the result; JSON.
        data_fingerprint: `fingerprint` of the features read.
    """

    task: str
    model_version: str
    as_of_date: date | None
    parameters: Mapping[str, Any]
    data_fingerprint: str

    @property
    def run_id(self) -> str:
        """32 hex digits, equal for equal runs on any machine."""
        parts = [
            self.task,
            self.model_version,
            code_version(),
            str(self.as_of_date),
            json.dumps(self.parameters, sort_keys=True, default=str),
            self.data_fingerprint,
        ]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Result:
    """What a run found.

    Attributes:
        status: `ok` or `too_little_data`; the latter has no rows but may have metrics.
        tables: frames to write by table name, without the columns that name the run.
        metrics: series, model, horizon, metric, value, n, is_champion, is_baseline.
        importance: series, model, and what `ml.importance.permutation` returns.
    """

    status: str
    note: str = ""
    champion: str | None = None
    baseline: str | None = None
    trained_from: date | None = None
    trained_to: date | None = None
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    metrics: pd.DataFrame = field(default_factory=pd.DataFrame)
    importance: pd.DataFrame = field(default_factory=pd.DataFrame)

    @property
    def row_count(self) -> int:
        """Rows of scores, metrics not counted."""
        return sum(len(frame) for frame in self.tables.values())


def read(connection: psycopg.Connection[Any], query: str | sql.Composable) -> pd.DataFrame:
    """Rows of a query as a frame.

    Streamed as CSV: a frame of Python objects would take ten times the memory. `numeric` becomes
    float64, dates become timestamps, booleans stay nullable; an empty text is a missing one.
    """
    with connection.cursor() as cursor:
        statement = query if isinstance(query, sql.Composable) else sql.SQL(query)
        cursor.execute(sql.SQL("select * from ({}) as rows limit 0").format(statement))
        types = {column.name: column.type_code for column in cursor.description or ()}
        buffer = io.BytesIO()
        with cursor.copy(sql.SQL("copy ({}) to stdout (format csv)").format(statement)) as copy:
            for part in copy:
                buffer.write(part)
    buffer.seek(0)
    frame = pd.read_csv(
        buffer,
        names=list(types),
        header=None,
        dtype={name: _DTYPES[code] for name, code in types.items() if code in _DTYPES},
        na_values=[""],
        keep_default_na=False,
        true_values=["t"],
        false_values=["f"],
    )
    for name, code in types.items():
        if code == _DATE:
            frame[name] = pd.to_datetime(frame[name])
    return frame


def fingerprint(frame: pd.DataFrame | Mapping[str, pd.DataFrame]) -> str:
    """Hash of a frame's columns and values, or of several named ones; no order of rows counts."""
    if isinstance(frame, Mapping):
        parts = [f"{name}={fingerprint(part)}" for name, part in sorted(frame.items())]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]
    hashes = np.sort(pd.util.hash_pandas_object(frame, index=False).to_numpy())
    digest = hashlib.sha256(",".join(frame.columns).encode())
    digest.update(hashes.tobytes())
    return digest.hexdigest()[:32]


@cache
def code_version() -> str:
    """Hash of this package's source and of the versions of the libraries that it computes with."""
    digest = hashlib.sha256()
    folder = Path(__file__).parent
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode())
        digest.update(path.read_bytes())
    for library in _LIBRARIES:
        digest.update(f"{library}={version(library)}".encode())
    return digest.hexdigest()[:16]


_CONFIRMED = ("run_id", "status", "note", "champion", "row_count")


def confirm(connection: psycopg.Connection[Any], run: Run) -> dict[str, Any] | None:
    """Mark a run as current if it was computed before; its record, or None. Commits."""
    return _confirm(connection, "%s", [run.run_id])


def confirm_recent(
    connection: psycopg.Connection[Any], run: Run, days: int
) -> dict[str, Any] | None:
    """Mark the newest run of the same method as current if it is less than `days` older. Commits.

    Returns:
        Its record; None where there is none, or it had too little data.
    """
    newest = (
        "(select run_id from ml.runs where task = %s and model_version = %s and code_version = %s"
        " and parameters = %s and status = 'ok' and as_of_date > %s::date - %s::integer"
        " and as_of_date <= %s order by as_of_date desc, confirmed_at desc limit 1)"
    )
    same = [run.task, run.model_version, code_version(), _as_stored(run.parameters)]
    return _confirm(connection, newest, [*same, run.as_of_date, days, run.as_of_date])


def _confirm(
    connection: psycopg.Connection[Any], which: str, values: list[Any]
) -> dict[str, Any] | None:
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute(
            sql.SQL(
                "update ml.runs set confirmed_at = clock_timestamp() where run_id = {}"
                " returning run_id, status, note, champion, row_count"
            ).format(sql.SQL(which)),
            values,
        )
        row = cursor.fetchone()
    connection.commit()
    return dict(zip(_CONFIRMED, row, strict=True)) if row else None


def _as_stored(parameters: Mapping[str, Any]) -> Jsonb:
    return Jsonb(dict(parameters))


def write(connection: psycopg.Connection[Any], run: Run, result: Result) -> None:
    """Write a run with all its rows in one transaction, replacing what it wrote before.

    Raises:
        ValueError: a table is none of the `ml` schema.
    """
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute("select tablename from pg_tables where schemaname = 'ml'")
        unknown = set(result.tables) - {name for (name,) in cursor}
        if unknown:
            raise ValueError(f"no table for scores in the ml schema: {', '.join(sorted(unknown))}")
        cursor.execute("select pg_advisory_xact_lock(hashtext(%s))", [run.run_id])
        cursor.execute("delete from ml.runs where run_id = %s", [run.run_id])
        cursor.execute("select clock_timestamp()")
        scored_at = cursor.fetchone()[0]
        record = {
            "run_id": run.run_id,
            "task": run.task,
            "model_version": run.model_version,
            "code_version": code_version(),
            "as_of_date": run.as_of_date,
            "status": result.status,
            "note": result.note,
            "champion": result.champion,
            "baseline": result.baseline,
            "parameters": _as_stored(run.parameters),
            "data_fingerprint": run.data_fingerprint,
            "trained_from": result.trained_from,
            "trained_to": result.trained_to,
            "row_count": result.row_count,
            "scored_at": scored_at,
            "confirmed_at": scored_at,
        }
        cursor.execute(
            sql.SQL("insert into ml.runs ({}) values ({})").format(
                sql.SQL(", ").join(map(sql.Identifier, record)),
                sql.SQL(", ").join(map(sql.Placeholder, record)),
            ),
            record,
        )
        stamp = {
            "run_id": run.run_id,
            "model_version": run.model_version,
            "as_of_date": run.as_of_date,
            "scored_at": scored_at,
        }
        tables = dict(result.tables)
        if len(result.metrics):
            tables["model_metrics"] = result.metrics.assign(task=run.task)
        if len(result.importance):
            tables["feature_importance"] = result.importance.assign(task=run.task)
        for table, frame in tables.items():
            _copy(cursor, table, frame.assign(**stamp))
    connection.commit()


def _copy(cursor: psycopg.Cursor[Any], table: str, frame: pd.DataFrame) -> None:
    statement = sql.SQL("copy ml.{} ({}) from stdin").format(
        sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, frame.columns))
    )
    plain = frame.astype(object).where(frame.notna(), None)
    with cursor.copy(statement) as copy:
        for row in plain.itertuples(index=False, name=None):
            copy.write_row(row)
