"""How dbt's nodes look in Dagster: groups by layer, owners by team, every test a check."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, DbtProject

from orchestration.automation import FRESHNESS


class Translator(DagsterDbtTranslator):
    """Keys are `<schema>/<table>`, the same for sources, models, seeds and snapshots."""

    def get_asset_spec(
        self, manifest: Mapping[str, Any], unique_id: str, project: DbtProject | None
    ) -> dg.AssetSpec:
        """dagster-dbt's, with the time after which the asset counts as late."""
        spec = super().get_asset_spec(manifest, unique_id, project)
        return spec.replace_attributes(freshness_policy=FRESHNESS)

    def get_asset_check_spec(
        self,
        asset_spec: dg.AssetSpec,
        manifest: Mapping[str, Any],
        unique_id: str,
        project: DbtProject | None,
    ) -> dg.AssetCheckSpec | None:
        """dagster-dbt's, but blocking is left to dbt, which skips what is below a failed test.

        Dagster would cut the one `dbt build` in two to wait for the tests of sources.
        """
        spec = super().get_asset_check_spec(asset_spec, manifest, unique_id, project)
        return spec._replace(blocking=False) if spec else None

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> dg.AssetKey:
        """The table as Postgres knows it."""
        return dg.AssetKey([dbt_resource_props["schema"], dbt_resource_props["name"]])

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str:
        """The layer: the Postgres schema that the table lives in."""
        return str(dbt_resource_props["schema"])

    def get_owners(self, dbt_resource_props: Mapping[str, Any]) -> Sequence[str] | None:
        """The team that owns the node's dbt group, as Dagster writes teams."""
        group = dbt_resource_props.get("group")
        name = group.get("owner", {}).get("name") if isinstance(group, Mapping) else None
        return [f"team:{re.sub(r'[^a-z0-9]+', '_', name.lower())}"] if name else None

    def get_description(self, dbt_resource_props: Mapping[str, Any]) -> str:
        """What the YAML says; the SQL is in the documentation site."""
        return str(dbt_resource_props.get("description") or "")


def with_every_test_a_check(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest, with each singular test attached to one of the models that it reads.

    dagster-dbt makes a check of a test only if it knows the one asset that it belongs to. For a
    test over several models that is the one that is built last: all that it reads exists then.
    """
    result = copy.copy(dict(manifest))
    depth = _depths(manifest)
    nodes = dict(manifest["nodes"])
    for unique_id, node in nodes.items():
        if node["resource_type"] != "test" or node.get("attached_node"):
            continue
        parents = [parent for parent in node["depends_on"]["nodes"] if parent in nodes]
        if len(node["depends_on"]["nodes"]) > 1 and parents:
            last = max(parents, key=lambda parent: (depth[parent], parent))
            nodes[unique_id] = {**node, "attached_node": last}
    result["nodes"] = nodes
    return result


def _depths(manifest: Mapping[str, Any]) -> dict[str, int]:
    """Length of the longest chain of nodes above each node."""
    depth: dict[str, int] = {}
    waiting = list(manifest["nodes"])
    while waiting:
        unique_id = waiting[-1]
        parents = [
            parent
            for parent in manifest["nodes"][unique_id].get("depends_on", {}).get("nodes", [])
            if parent in manifest["nodes"]
        ]
        missing = [parent for parent in parents if parent not in depth]
        if missing:
            waiting += missing
            continue
        depth[unique_id] = 1 + max((depth[parent] for parent in parents), default=0)
        waiting.pop()
    return depth
