"""After the scores: what has moved, what came true, and every run a version in the registry.

Neither step can undo a scoring run: scores are committed before, and what goes wrong here is a
check that warns.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import dagster as dg

from loaders.connections import open_postgres
from loaders.settings import Settings
from ml import jobs
from ml.jobs import watching
from orchestration import models, progress, project
from orchestration.defs.ml.tables import row_count

log = logging.getLogger(__name__)

_TABLES = project.sources(project.SCORES)
_SCORED = [_TABLES[table].key for task in jobs.TASKS.values() for table in task.writes]
WATCHED = ("profiles", "drift", "model_performance")
REGISTERED = "model_versions"

_DRIFTED = """
select kind || ' ' || name, psi from ml.drift
where is_drifted and run_id = (
    select run_id from ml.runs where task = %s order by confirmed_at desc, scored_at desc limit 1
)
order by psi desc
"""
_DEGRADED = """
select series || ', ' || horizon || ' days: ' || metric, value, baseline_value
from ml.model_performance as p
where is_degraded and task = %(task)s and as_of_date = (
    select max(as_of_date) from ml.model_performance as newer
    where newer.task = p.task and newer.series = p.series and newer.horizon = p.horizon
)
order by 1
"""


@dg.multi_asset(
    name="monitoring",
    specs=[_TABLES[table].replace_attributes(deps=_SCORED, kinds={"python"}) for table in WATCHED],
    check_specs=[
        *(
            dg.AssetCheckSpec(
                f"{task}_has_not_moved",
                asset=_TABLES["drift"].key,
                description="No input and no score has drifted since the reference run. Sales "
                "drift with every season: a reason to look, not a fault.",
            )
            for task in jobs.TASKS
        ),
        *(
            dg.AssetCheckSpec(
                f"{task}_beats_its_baseline",
                asset=_TABLES["model_performance"].key,
                description="The newest scores whose days are over were no worse than the "
                "trivial baseline.",
            )
            for task in jobs.TASKS
        ),
    ],
)
def monitoring() -> Iterator[dg.MaterializeResult]:
    """Measure runs whose outcome has become known; say what has drifted and what has degraded."""
    with progress.current().task("watch the models") as shown, open_postgres(Settings()) as conn:
        try:
            measured = watching.measure(conn)
        except Exception:  # scores are none the worse for not being measured
            conn.rollback()
            log.exception("performance was not measured")
            measured = 0
        drifted = {task: conn.execute(_DRIFTED, [task]).fetchall() for task in jobs.TASKS}
        degraded = {task: conn.execute(_DEGRADED, {"task": task}).fetchall() for task in jobs.TASKS}
        rows = {table: row_count(conn, _TABLES[table].key) for table in WATCHED}
        bad = [task for task, found in degraded.items() if found]
        moved = sum(map(len, drifted.values()))
        shown.note = f"{moved} columns moved, {measured} measures"
        if bad:
            shown.note += f"; worse than the baseline: {', '.join(bad)}"
    checks: dict[str, list[dg.AssetCheckResult]] = {
        "drift": [
            _check("drift", f"{task}_has_not_moved", dg.AssetCheckSeverity.WARN, found)
            for task, found in drifted.items()
        ],
        "model_performance": [
            _check(
                "model_performance",
                f"{task}_beats_its_baseline",
                dg.AssetCheckSeverity.ERROR,
                found,
            )
            for task, found in degraded.items()
        ],
    }
    for table in WATCHED:
        yield dg.MaterializeResult(
            asset_key=_TABLES[table].key,
            metadata={"dagster/row_count": rows[table]},
            check_results=checks.get(table, []),
        )


@dg.multi_asset(
    name="registry",
    specs=[_TABLES[REGISTERED].replace_attributes(deps=_SCORED, kinds={"mlflow"})],
    check_specs=[
        dg.AssetCheckSpec(
            "is_registered",
            asset=_TABLES[REGISTERED].key,
            description="Every run with scores is a version in MLflow.",
        )
    ],
)
def registry() -> Iterator[dg.MaterializeResult]:
    """Register new runs with MLflow, set the alias of the current ones, write their cards."""
    settings = Settings()
    error = ""
    with progress.current().task("register the models") as shown, open_postgres(settings) as conn:
        try:
            count = models.register(settings, conn)
            shown.note = f"{count} new versions"
        except Exception as problem:  # a registry that is down must not cost the scores
            conn.rollback()
            log.exception("runs were not registered")
            error = f"{type(problem).__name__}: {problem}".split("\n")[0]
            shown.note = "not registered: the next refresh tries again"
        rows = row_count(conn, _TABLES[REGISTERED].key)
    yield dg.MaterializeResult(
        asset_key=_TABLES[REGISTERED].key,
        metadata={"dagster/row_count": rows},
        check_results=[
            dg.AssetCheckResult(
                check_name="is_registered",
                passed=not error,
                severity=dg.AssetCheckSeverity.WARN,
                metadata={"error": error},
            )
        ],
    )


def _check(
    table: str, name: str, severity: dg.AssetCheckSeverity, found: list[tuple[Any, ...]]
) -> dg.AssetCheckResult:
    lines = [f"- {what}: " + " against ".join(f"{x:.3f}" for x in numbers if x is not None)
             for what, *numbers in found]  # fmt: skip
    return dg.AssetCheckResult(
        asset_key=_TABLES[table].key,
        check_name=name,
        passed=not found,
        severity=severity,
        metadata={"found": len(found), "examples": dg.MetadataValue.md("\n".join(lines[:20]))},
    )
