"""Changes of the documents' fields are observations of the raw assets in Dagster."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import dagster as dg
import pytest
from pymongo.database import Database

from loaders.settings import Settings

pytestmark = [pytest.mark.servers, pytest.mark.slow]


def test_changes_of_fields_are_observations_of_the_collection(
    servers: Settings,
    pg_database: Settings,
    mongo_database: Database[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # the same as `warehouse` has: whichever comes first parses for both
    folder = servers.home / "target" / "warehouse_xs"
    monkeypatch.setenv("DBT_TARGET_PATH", str(folder))
    from orchestration.defs.raw.collections import collections

    def load() -> list[dg.AssetObservation]:
        result = dg.materialize([collections])
        assert result.success
        assert result.get_asset_materialization_events()
        return result.asset_observations_for_node("collections")

    def put(**fields: Any) -> None:
        now = datetime.now(UTC)
        mongo_database.orders.insert_many([{"updated_at": now, **fields} for _ in range(30)])

    mongo_database.gifts.insert_one({"a": 1})  # a collection that no model reads
    put(price=1.5, old=1)
    assert load() == [], "the first look has nothing to compare with"
    mongo_database.gifts.insert_one({"b": 1})
    put(price="secret", gift=True)
    [observation] = load()
    assert observation.asset_key == dg.AssetKey(["raw", "orders"])
    values = {name: value.value for name, value in observation.metadata.items()}
    assert "`gift` new: in none of 30 documents → bool" in values["schema_changes"]
    assert "`price` new type: double → string" in values["schema_changes"]
    assert "secret" not in values["schema_changes"]
    counts = {name: values[f"fields: {name}"] for name in ("new", "new type", "vanished")}
    assert counts == {"new": 1, "new type": 1, "vanished": 1}
    assert values["documents_sampled"] == 30
    assert load() == []
