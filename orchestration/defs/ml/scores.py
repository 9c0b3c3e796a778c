"""Models fitted on features and their scores: the tasks of `ml.jobs`, side by side."""

import logging
from collections.abc import Iterator
from typing import Any

import dagster as dg

from loaders.connections import open_postgres
from loaders.settings import Settings
from ml import jobs
from ml.jobs import Task, parallel, running
from orchestration import automation, progress, project
from orchestration.defs.ml.tables import row_count
from orchestration.defs.ml.watching import REGISTERED, WATCHED

HAS_RUN = "has_run"

log = logging.getLogger(__name__)

_TABLES = project.sources(project.SCORES)
_WRITTEN = {table for task in jobs.TASKS.values() for table in task.writes}


@dg.multi_asset(
    name="scores",
    can_subset=True,
    specs=[
        _TABLES[table].replace_attributes(
            # models learn from numbers that reconcile, or not at all
            deps=[*map(project.model, task.reads), *project.reconciliations()],
            kinds={"python", "scikitlearn"},
        )
        for task in jobs.TASKS.values()
        for table in task.writes
    ],
    check_specs=[
        dg.AssetCheckSpec(
            HAS_RUN,
            asset=_TABLES[task.writes[0]].key,
            description="The task came to an end. Where it failed, the scores are those of its "
            "last run, and the other tasks' are new.",
        )
        for task in jobs.TASKS.values()
    ],
)
def scores(
    context: dg.AssetExecutionContext,
) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
    """Learn and score. A failing task fails its check and leaves its old scores; the rest go on."""
    settings = Settings()
    pace = running.Pace(
        every_days=settings.retrain_days, retrain=automation.RETRAIN in context.run.tags
    )
    wanted = [
        task
        for task in jobs.TASKS.values()
        if any(_TABLES[table].key in context.selected_asset_keys for table in task.writes)
    ]
    for task, future in parallel.run(wanted, lambda: open_postgres(settings), pace):
        try:
            with progress.current().task(task.label) as shown:
                outcome, shown.seconds = future.result()
                shown.note = outcome.champion or outcome.note
                if outcome.reused:
                    shown.note = f"as before: {shown.note}"
        except Exception as problem:
            log.exception("%s failed, its scores are those of before", task.name)
            error = " ".join(str(problem).split()) or type(problem).__name__
            metadata: dict[str, Any] = {"status": "failed", "error": error}
        else:
            error = ""
            metadata = {
                "seconds": round(shown.seconds, 3),
                "run_id": outcome.run_id,
                "status": outcome.status,
                "champion": outcome.champion or "none",
                "note": outcome.note,
                "reused": outcome.reused,
                **{f"metric/{key}": value for key, value in outcome.metrics.items()},
            }
        yield from _results(context, settings, task, metadata, error)


def _results(
    context: dg.AssetExecutionContext,
    settings: Settings,
    task: Task,
    metadata: dict[str, Any],
    error: str,
) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
    """What Dagster is told of a task's tables. Those of a failed one are there, with old rows."""
    with open_postgres(settings) as conn:
        for table in task.writes:
            key = _TABLES[table].key
            if key in context.selected_asset_keys:
                rows = row_count(conn, key, metadata.get("run_id"))
                yield dg.MaterializeResult(key, metadata={"dagster/row_count": rows, **metadata})
    check = dg.AssetCheckKey(_TABLES[task.writes[0]].key, HAS_RUN)
    if check in context.selected_asset_check_keys:
        yield dg.AssetCheckResult(
            asset_key=check.asset_key,
            check_name=HAS_RUN,
            passed=not error,
            metadata={"task": task.name, "error": error},
        )


@dg.multi_asset(
    name="model_books",
    specs=[
        spec.replace_attributes(
            deps=[_TABLES[table].key for table in sorted(_WRITTEN)],
            kinds={"postgres"},
        )
        for table, spec in _TABLES.items()
        if table not in (*_WRITTEN, *WATCHED, REGISTERED)
    ],
    can_subset=True,
)
def model_books(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult]:
    """Which models ran and how good they were: written with the scores, in one transaction."""
    with open_postgres(Settings()) as conn:
        for key in sorted(context.selected_asset_keys):
            yield dg.MaterializeResult(
                asset_key=key, metadata={"dagster/row_count": row_count(conn, key)}
            )
