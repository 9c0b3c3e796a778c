"""The proof as a gate: what doesn't reconcile stops the run before models learn from it."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from loaders.connections import open_postgres
from loaders.settings import Settings
from orchestration import progress, project

_SHOWN = 5  # broken rows that the failure names


@dg.multi_asset_check(
    name="reconciliation",
    specs=[
        dg.AssetCheckSpec(
            "reconciles",
            asset=key,
            blocking=True,
            description="Every row of the table says `is_reconciled`.",
        )
        for key in project.reconciliations()
    ],
    can_subset=True,
)
def reconciliation(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
    """Source = raw = staging = marts, in documents and in money."""
    broken: list[str] = []
    with progress.current().task("reconcile") as task, open_postgres(Settings()) as conn:
        for check in sorted(context.selected_asset_check_keys):
            rows, total = broken_rows(conn, check.asset_key)
            shown = ["; ".join(f"{k}={v}" for k, v in row.items()) for row in rows[:_SHOWN]]
            yield dg.AssetCheckResult(
                asset_key=check.asset_key,
                check_name=check.name,
                passed=not rows,
                metadata={
                    "rows": total,
                    "broken": len(rows),
                    "examples": dg.MetadataValue.md("\n".join(f"- {row}" for row in shown)),
                },
            )
            if rows:
                broken.append(f"{'.'.join(check.asset_key.path)} ({shown[0]})")
            task.advance(check.asset_key.path[-1])
        if broken:
            raise dg.Failure(f"does not reconcile: {', '.join(broken)}", allow_retries=False)
        task.note = "source = raw = staging = marts"


def broken_rows(conn: psycopg.Connection, key: dg.AssetKey) -> tuple[list[dict[str, Any]], int]:
    """The rows of a table that don't say `is_reconciled`, and how many rows it has in all."""
    table = sql.Identifier(*key.path)
    with conn.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(
            sql.SQL("select * from {} where is_reconciled is not true").format(table)
        ).fetchall()
        [total] = cursor.execute(sql.SQL("select count(*) as n from {}").format(table))
    return rows, total["n"]
