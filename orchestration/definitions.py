"""Dagster's code location: `dagster dev`, `ledgerline refresh` and the tests load this `defs`."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from orchestration import automation
from orchestration.dbt import DbtBuild


@dg.definitions
def defs() -> dg.Definitions:
    """The asset graph of `orchestration/defs`, its job, its schedule, its resources."""
    graph = dg.load_from_defs_folder(path_within_project=Path(__file__).resolve().parent)
    return dg.Definitions.merge(
        graph,
        dg.Definitions(
            jobs=[automation.refresh_job],
            schedules=[automation.daily],
            resources={"dbt": DbtBuild()},
            executor=dg.in_process_executor,
        ),
    )
