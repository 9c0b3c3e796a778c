"""Models fitted on features and their scores, one asset per task of `ml.jobs`."""

from collections.abc import Iterator
from time import monotonic
from typing import NamedTuple

import dagster as dg
from psycopg import sql

from loaders.connections import open_postgres
from loaders.settings import Settings
from ml import jobs
from orchestration import progress, project


class _Task(NamedTuple):
    """What a task reads and what it writes besides the books that all tasks share."""

    reads: str
    writes: str
    label: str


_TASKS = {
    "forecast": _Task("daily_sales", "forecasts", "forecast 90 days and a year"),
    "segments": _Task("customer_rfm", "customer_segments", "cluster customers"),
    "churn": _Task("customer_churn", "churn_scores", "score churn"),
}
_TABLES = project.sources(project.SCORES)


def _asset(name: str, task: _Task) -> dg.AssetsDefinition:
    spec = _TABLES[task.writes]

    @dg.asset(
        key=spec.key,
        # models learn from numbers that reconcile, or not at all
        deps=[project.model(task.reads), *project.reconciliations()],
        description=spec.description,
        group_name=spec.group_name,
        freshness_policy=spec.freshness_policy,
        kinds={"python", "scikitlearn"},
    )
    def scores() -> dg.MaterializeResult:
        started = monotonic()
        with progress.current().task(task.label) as shown, open_postgres(Settings()) as conn:
            outcome = jobs.TASKS[name](conn)
            shown.note = outcome.champion or outcome.note
            if outcome.reused:
                shown.note = f"as before: {shown.note}"
        metrics = {f"metric/{key}": value for key, value in outcome.metrics.items()}
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": outcome.rows,
                "seconds": round(monotonic() - started, 3),
                "run_id": outcome.run_id,
                "status": outcome.status,
                "champion": outcome.champion or "none",
                "note": outcome.note,
                "reused": outcome.reused,
                **metrics,
            }
        )

    return scores


scores = [_asset(name, task) for name, task in _TASKS.items()]


@dg.multi_asset(
    name="model_books",
    specs=[
        spec.replace_attributes(
            deps=[_TABLES[task.writes].key for task in _TASKS.values()], kinds={"postgres"}
        )
        for table, spec in _TABLES.items()
        if table not in {task.writes for task in _TASKS.values()}
    ],
    can_subset=True,
)
def model_books(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult]:
    """Which models ran and how good they were: written with the scores, in one transaction."""
    with open_postgres(Settings()) as conn:
        for key in sorted(context.selected_asset_keys):
            row = conn.execute(_count(key)).fetchone()
            yield dg.MaterializeResult(
                asset_key=key, metadata={"dagster/row_count": row[0] if row else 0}
            )


def _count(key: dg.AssetKey) -> sql.Composed:
    return sql.SQL("select count(*) from {}").format(sql.Identifier(*key.path))
