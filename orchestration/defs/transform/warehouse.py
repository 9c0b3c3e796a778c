"""Every dbt node that doesn't depend on scores: one asset each, tests as checks."""

from collections.abc import Iterator

import dagster as dg
from dagster_dbt import dbt_assets

from orchestration import project
from orchestration.dbt import DbtBuild

ALL = "fqn:*"


@dbt_assets(
    manifest=project.manifest(),
    dagster_dbt_translator=project.translator,
    select=ALL,
    exclude=project.after_scores(),
    name="warehouse",
)
def warehouse(
    context: dg.AssetExecutionContext, dbt: DbtBuild
) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
    """`dbt build`, all but what reads scores."""
    yield from dbt.stream(
        context,
        project.manifest(),
        project.translator,
        select=ALL,
        exclude=project.after_scores(),
        label="build and test marts",
    )
