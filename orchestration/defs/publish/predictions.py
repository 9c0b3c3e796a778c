"""The dbt models on top of scores: one asset each."""

from collections.abc import Iterator

import dagster as dg
from dagster_dbt import dbt_assets

from orchestration import project
from orchestration.dbt import DbtBuild


@dbt_assets(
    manifest=project.manifest(),
    dagster_dbt_translator=project.translator,
    select=project.after_scores(),
    name="predictions",
)
def predictions(
    context: dg.AssetExecutionContext, dbt: DbtBuild
) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
    """`dbt build` for what reads scores."""
    yield from dbt.stream(
        context,
        project.manifest(),
        project.translator,
        select=project.after_scores(),
        exclude=None,
        label="build and test predictions",
    )
