"""The I/O of monitoring: profiles and drift of a run, and its scores against what then happened."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd
import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from ml import monitoring, runs

# a run is compared with one that is at least so many days older: from one day to the next nothing
# moves, however far it moves in a year
REFERENCE_DAYS = 28
# runs measured at once: after a month's pause a refresh must not take a month's measuring
MOST_RUNS = 10

log = logging.getLogger(__name__)


def record(
    connection: psycopg.Connection[Any],
    run: runs.Run,
    features: pd.DataFrame | Mapping[str, pd.DataFrame],
    tables: Mapping[str, pd.DataFrame],
) -> None:
    """Keep how inputs and scores of a run are spread, and how far they have moved. Commits.

    Never raises: what is watched must not depend on the watching.
    """
    try:
        with connection.transaction():
            _record(connection, run, features, tables)
        connection.commit()
    except Exception:
        connection.rollback()
        log.exception("%s: drift was not measured", run.task)


def _record(
    connection: psycopg.Connection[Any],
    run: runs.Run,
    features: pd.DataFrame | Mapping[str, pd.DataFrame],
    tables: Mapping[str, pd.DataFrame],
) -> None:
    inputs = features if isinstance(features, Mapping) else {"": features}
    columns = {
        (kind, name): column
        for kind, frames in (("input", inputs), ("score", tables))
        for name, column in monitoring.drift.columns(frames).items()
    }
    reference, profiles = _reference(connection, run)
    with connection.cursor() as cursor:
        for (kind, name), column in columns.items():
            profile = monitoring.profile(column)
            if profile is None:
                continue
            cursor.execute(
                "insert into ml.profiles (run_id, kind, name, n, bins) values (%s, %s, %s, %s, %s)",
                [run.run_id, kind, name, profile.n, Jsonb(profile.to_json())],
            )
            if (kind, name) not in profiles:
                continue
            moved = monitoring.shift(profiles[kind, name], column)
            cursor.execute(
                "insert into ml.drift select run_id, model_version, as_of_date, scored_at, task,"
                " %s, %s, %s, %s, %s, %s, %s, %s from ml.runs where run_id = %s",
                [
                    *(reference, kind, name, moved.psi, moved.threshold, moved.is_drifted),
                    *(moved.n, moved.reference_n, run.run_id),
                ],
            )


def _reference(
    connection: psycopg.Connection[Any], run: runs.Run
) -> tuple[str | None, dict[tuple[str, str], monitoring.Profile]]:
    """The run to compare with: `REFERENCE_DAYS` older or more, else the oldest that there is."""
    row = connection.execute(
        "select run_id from ml.runs where task = %(task)s and status = 'ok'"
        " and as_of_date < %(day)s and exists"
        " (select 1 from ml.profiles where profiles.run_id = runs.run_id)"
        " order by as_of_date <= %(day)s - %(days)s desc,"
        " abs(%(day)s - %(days)s - as_of_date), scored_at desc limit 1",
        {"task": run.task, "day": run.as_of_date, "days": REFERENCE_DAYS},
    ).fetchone()
    if row is None:
        return None, {}
    found = connection.execute(
        "select kind, name, bins from ml.profiles where run_id = %s", row
    ).fetchall()
    return row[0], {(kind, name): monitoring.Profile.from_json(bins) for kind, name, bins in found}


def measure(connection: psycopg.Connection[Any]) -> int:
    """Measure the runs whose outcomes have become known since the last time. Commits.

    Returns:
        Measures written.
    """
    return sum(_measure(connection, task) for task in OUTCOMES)


def _measure(connection: psycopg.Connection[Any], task: str) -> int:
    """A run is measured again while a later horizon of it is still to come."""
    written = 0
    for run_id, as_of in _unmeasured(connection, task):
        promised = _promised(connection, run_id)
        found, measured_to = OUTCOMES[task](connection, run_id, as_of, promised)
        rows = [
            [
                *(one.series, one.horizon, one.metric, one.value, one.baseline),
                *(promised.get((one.series, one.horizon, one.metric)), one.n, one.is_degraded),
                *(measured_to, run_id),
            ]
            for one in found
        ]
        with connection.transaction(), connection.cursor() as cursor:
            cursor.executemany(
                "insert into ml.model_performance select run_id, model_version, as_of_date,"
                " scored_at, task, %s, %s, %s, nullif(%s::float8, 'NaN'),"
                " nullif(%s::float8, 'NaN'), %s, %s, %s, %s from ml.runs where run_id = %s"
                " on conflict do nothing",
                rows,
            )
            written += max(cursor.rowcount, 0)  # of these, some horizons were known before
        connection.commit()
    return written


def _unmeasured(connection: psycopg.Connection[Any], task: str) -> list[tuple[str, Any]]:
    """(run, its as-of date) of runs with an outcome that is known and not measured."""
    found = connection.execute(DUE[task], {"task": task, "most": MOST_RUNS}).fetchall()
    connection.commit()
    return found


_CHURNED = sql.SQL("""
select
    s.customer_key, s.horizon_days, s.churn_probability,
    s.as_of_date - max(d.activity_date) filter (where d.activity_date <= s.as_of_date)
        as recency_days,
    not coalesce(bool_or(
        d.activity_date > s.as_of_date and d.activity_date <= s.as_of_date + s.horizon_days
    ), false) as is_churned
from ml.churn_scores as s
left join features.customer_days as d on d.customer_key = s.customer_key and d.is_purchase
where s.run_id = {run}
group by s.customer_key, s.horizon_days, s.churn_probability, s.as_of_date
""")
_SPENT = sql.SQL("""
select
    s.customer_key, s.horizon_days, s.predicted_amount as predicted,
    sum(case
        when d.activity_date > s.as_of_date - 365 and d.activity_date <= s.as_of_date
            then d.demand_amount - d.returns_amount
        else 0
    end) filter (where d.customer_key is not null) as bought_before,
    sum(case
        when d.activity_date > s.as_of_date and d.activity_date <= s.as_of_date + s.horizon_days
            then d.demand_amount - d.returns_amount
        else 0
    end) as actual
from ml.lifetime_values as s
left join features.customer_days as d on d.customer_key = s.customer_key
where s.run_id = {run}
group by s.customer_key, s.horizon_days, s.predicted_amount
""")
_FORECAST_DAYS = sql.SQL("""
select series, is_champion, horizon_days, target_date, yhat, lo80, hi80, lo95, hi95
from ml.forecasts
where run_id = {run} and grain = 'day' and dimension = 'total' and member = 'all'
""")

Promised = Mapping[tuple[str, str, str], float]
Found = tuple[list[monitoring.Outcome], Any]


def _promised(connection: psycopg.Connection[Any], run_id: str) -> Promised:
    """(series, horizon, metric) -> the champion's value in the run's own backtest."""
    rows = connection.execute(
        "select series, horizon, metric, value from ml.model_metrics"
        " where run_id = %s and is_champion and value is not null",
        [run_id],
    ).fetchall()
    return {(series, horizon, metric): value for series, horizon, metric, value in rows}


def _churn(
    connection: psycopg.Connection[Any], run_id: str, as_of: Any, promised: Promised
) -> Found:
    scores = runs.read(connection, _CHURNED.format(run=sql.Literal(run_id)))
    # who was forgotten since has no past any more
    scores = scores[scores["recency_days"].notna()]
    if scores.empty:
        return [], as_of
    horizon = int(scores["horizon_days"].iloc[0])
    rate = promised.get(("customers", str(horizon), "churn_rate"))
    known = rate if rate is not None else float(scores["churn_probability"].mean())
    return monitoring.churn(scores, known), as_of + pd.Timedelta(days=horizon)


def _lifetime(
    connection: psycopg.Connection[Any], run_id: str, as_of: Any, promised: Promised
) -> Found:
    del promised
    values = runs.read(connection, _SPENT.format(run=sql.Literal(run_id)))
    # who was forgotten since has no past any more
    values = values[values["bought_before"].notna()]
    if values.empty:
        return [], as_of
    horizon = int(values["horizon_days"].iloc[0])
    return monitoring.lifetime_value(values, horizon), as_of + pd.Timedelta(days=horizon)


def _forecasts(
    connection: psycopg.Connection[Any], run_id: str, as_of: Any, promised: Promised
) -> Found:
    del promised
    from ml.jobs import forecast  # it imports what imports this

    daily = runs.read(connection, "select * from features.daily_sales").set_index("metric_date")
    rows = runs.read(connection, _FORECAST_DAYS.format(run=sql.Literal(run_id)))
    parts = []
    for series, part in rows.groupby("series", sort=True):
        if series in forecast.SERIES:
            actual = daily[forecast.SERIES[series].column]
            part = part.assign(actual=part["target_date"].map(actual))
            parts.append(part[part["actual"].notna()])
    if not parts:
        return [], as_of
    over = pd.concat(parts, ignore_index=True)
    if over.empty:
        return [], as_of
    return monitoring.forecasts(over), over["target_date"].max().date()


OUTCOMES: Mapping[str, Callable[[psycopg.Connection[Any], str, Any, Promised], Found]] = {
    "churn": _churn,
    "lifetime": _lifetime,
    "forecast": _forecasts,
}

_DAYS_SINCE = "(select max(metric_date) from features.daily_sales) - runs.as_of_date"
_DUE = (
    "select runs.run_id, runs.as_of_date from ml.runs where task = %(task)s and status = 'ok'"
    " and ({due}) order by as_of_date desc limit %(most)s"
)
_NOT_MEASURED = (
    "not exists (select 1 from ml.model_performance as p where p.run_id = runs.run_id{of})"
)
_WHOLE_HORIZON = _DUE.format(
    due=f"{_DAYS_SINCE} >= (runs.parameters ->> 'horizon_days')::integer and "
    + _NOT_MEASURED.format(of="")
)
DUE: Mapping[str, str] = {
    "churn": _WHOLE_HORIZON,
    "lifetime": _WHOLE_HORIZON,
    "forecast": _DUE.format(
        due=" or ".join(
            f"{_DAYS_SINCE} >= {last} and "
            + _NOT_MEASURED.format(of=f" and p.horizon = '{first}-{last}'")
            for first, last in monitoring.outcomes.FORECAST_HORIZONS
        )
    ),
}
