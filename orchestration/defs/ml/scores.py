"""Models fitted on features and their scores, one asset per task of `ml.jobs`."""

from collections.abc import Iterator
from time import monotonic

import dagster as dg
import psycopg
from psycopg import sql

from loaders.connections import open_postgres
from loaders.settings import Settings
from ml import jobs
from ml.jobs import Task, running
from orchestration import automation, progress, project
from orchestration.defs.ml.watching import REGISTERED, WATCHED

_TABLES = project.sources(project.SCORES)


def _assets(task: Task) -> dg.AssetsDefinition:
    @dg.multi_asset(
        name=f"{task.name}_scores",
        specs=[
            _TABLES[table].replace_attributes(
                # models learn from numbers that reconcile, or not at all
                deps=[*map(project.model, task.reads), *project.reconciliations()],
                kinds={"python", "scikitlearn"},
            )
            for table in task.writes
        ],
    )
    def scores(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult]:
        started = monotonic()
        settings = Settings()
        pace = running.Pace(
            every_days=settings.retrain_days, retrain=automation.RETRAIN in context.run.tags
        )
        with progress.current().task(task.label) as shown, open_postgres(settings) as conn:
            with running.paced(pace):
                outcome = task.run(conn)
            shown.note = outcome.champion or outcome.note
            if outcome.reused:
                shown.note = f"as before: {shown.note}"
            rows = {
                table: _count(conn, _TABLES[table].key, outcome.run_id) for table in task.writes
            }
        metrics = {f"metric/{key}": value for key, value in outcome.metrics.items()}
        for table in task.writes:
            yield dg.MaterializeResult(
                asset_key=_TABLES[table].key,
                metadata={
                    "dagster/row_count": rows[table],
                    "seconds": round(monotonic() - started, 3),
                    "run_id": outcome.run_id,
                    "status": outcome.status,
                    "champion": outcome.champion or "none",
                    "note": outcome.note,
                    "reused": outcome.reused,
                    **metrics,
                },
            )

    return scores


scores = [_assets(task) for task in jobs.TASKS.values()]


@dg.multi_asset(
    name="model_books",
    specs=[
        spec.replace_attributes(
            deps=[_TABLES[table].key for task in jobs.TASKS.values() for table in task.writes],
            kinds={"postgres"},
        )
        for table, spec in _TABLES.items()
        if table not in {table for task in jobs.TASKS.values() for table in task.writes}
        and table not in (*WATCHED, REGISTERED)
    ],
    can_subset=True,
)
def model_books(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult]:
    """Which models ran and how good they were: written with the scores, in one transaction."""
    with open_postgres(Settings()) as conn:
        for key in sorted(context.selected_asset_keys):
            yield dg.MaterializeResult(
                asset_key=key, metadata={"dagster/row_count": _count(conn, key)}
            )


def _count(conn: psycopg.Connection, key: dg.AssetKey, run_id: str | None = None) -> int:
    """Rows of a table, of all runs or of one."""
    query = sql.SQL("select count(*) from {} where %(run)s::text is null or run_id = %(run)s")
    row = conn.execute(query.format(sql.Identifier(*key.path)), {"run": run_id}).fetchone()
    assert row is not None
    return row[0]
