"""The dbt project as the asset graph sees it: its manifest, translated, cut in two by the models.

dbt builds everything that doesn't depend on scores, then Python computes scores from features,
then dbt builds the rest. The cut follows the lineage, so that a new model lands on the right side
by itself.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslatorSettings

from loaders.settings import Settings
from orchestration import workspace
from orchestration.automation import FRESHNESS
from orchestration.translator import Translator, with_every_test_a_check

# schemas of dbt sources: documents, what loading them was like, what models wrote
RAW, OPERATIONS, SCORES = "raw", "ops", "ml"
translator = Translator(DagsterDbtTranslatorSettings(enable_source_tests_as_checks=True))


@cache
def manifest() -> dict[str, Any]:
    """dbt's manifest, current, with every test attached to an asset."""
    settings = Settings()
    workspace.prepare(settings)
    return with_every_test_a_check(workspace.load_manifest(settings))


def after_scores() -> str:
    """dbt's selection of all that depends on what the models wrote."""
    names = {source["source_name"] for source in _of_schema(SCORES)}
    return " ".join(f"source:{name}+" for name in sorted(names))


def sources(schema: str) -> dict[str, dg.AssetSpec]:
    """{table: spec} of the dbt sources in that schema; their keys join loaders and models."""
    return {
        source["name"]: dg.AssetSpec(
            key=translator.get_asset_key(source),
            description=source["description"] or None,
            group_name=schema,
            freshness_policy=FRESHNESS,
        )
        for source in _of_schema(schema)
    }


def reconciliations() -> list[dg.AssetKey]:
    """The tables that prove the numbers: models named `recon_…`, each with `is_reconciled`."""
    return sorted(
        translator.get_asset_key(node)
        for node in manifest()["nodes"].values()
        if node["resource_type"] == "model" and node["name"].startswith("recon_")
    )


def _of_schema(schema: str) -> list[dict[str, Any]]:
    return [source for source in manifest()["sources"].values() if source["schema"] == schema]


def model(name: str) -> dg.AssetKey:
    """The key of the dbt model, seed or snapshot of that name.

    Raises:
        KeyError: dbt has none.
    """
    for node in manifest()["nodes"].values():
        if node["name"] == name and node["resource_type"] in ("model", "seed", "snapshot"):
            return translator.get_asset_key(node)
    raise KeyError(f"dbt has no model {name}")
