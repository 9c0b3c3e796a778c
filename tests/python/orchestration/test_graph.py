"""The asset graph: what is in it, and how it hangs together. It needs dbt's parser, but no data."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import dagster as dg
import pytest

from loaders.schema import COLLECTIONS
from loaders.settings import Settings
from ml.jobs import TASKS
from orchestration import automation, project, translator

BUILT = ("model", "seed", "snapshot")


@pytest.fixture(scope="module")
def definitions(servers: Settings) -> Iterator[dg.Definitions]:
    before = dict(os.environ)
    folder = servers.home / "target" / "warehouse_xs"
    # the same as `warehouse` has: whichever comes first parses for both
    os.environ.update(POSTGRES_DB="warehouse_xs", DBT_TARGET_PATH=str(folder))
    from orchestration.definitions import defs

    yield defs()
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="module")
def graph(definitions: dg.Definitions) -> Any:
    return definitions.resolve_asset_graph()


def _keys(graph: Any, schema: str) -> set[dg.AssetKey]:
    return {key for key in graph.get_all_asset_keys() if key.path[0] == schema}


def _above(graph: Any, key: dg.AssetKey) -> set[dg.AssetKey]:
    return set(graph.get_ancestor_asset_keys(key))


def test_every_dbt_node_is_an_asset(graph: Any) -> None:
    wanted = {
        project.translator.get_asset_key(node)
        for node in project.manifest()["nodes"].values()
        if node["resource_type"] in BUILT and node["config"]["materialized"] != "ephemeral"
    }
    materialisable = set(graph.materializable_asset_keys)
    assert len(wanted) > 50
    assert wanted <= materialisable


def test_nothing_is_outside_the_job(definitions: dg.Definitions, graph: Any) -> None:
    job = definitions.resolve_job_def("refresh")
    assert set(job.asset_layer.executable_asset_keys) == set(graph.materializable_asset_keys)
    assert set(graph.materializable_asset_keys) == set(graph.get_all_asset_keys())


def test_collections_join_the_loader_and_staging(graph: Any) -> None:
    raw = _keys(graph, "raw")
    assert {key.path[-1] for key in raw} == set(COLLECTIONS)
    for key in raw:
        children = {child.path[0] for child in graph.get(key).child_keys}
        assert "staging" in children, f"{key} is loaded and read by nothing"


def test_scores_lie_between_features_and_predictions(graph: Any) -> None:
    scores, predictions = _keys(graph, "ml"), _keys(graph, "predictions")
    assert {key.path[-1] for key in scores} >= {
        table for task in TASKS.values() for table in task.writes
    }
    assert predictions
    for key in predictions:
        assert _above(graph, key) & scores, f"{key} reads no score"
    for key in scores:
        above = {ancestor.path[0] for ancestor in _above(graph, key)}
        assert {"features", "staging", "raw"} <= above
        assert "predictions" not in above


def test_scores_wait_for_reconciliation(graph: Any) -> None:
    quality = {key for key in _keys(graph, "quality") if key.path[-1].startswith("recon_")}
    assert quality
    for key in _keys(graph, "ml"):
        assert quality <= _above(graph, key)
    blocking = {check for check in graph.asset_check_keys if check.name == "reconciles"}
    assert {check.asset_key for check in blocking} == quality
    assert all(graph.get(check).blocking for check in blocking)


def test_every_dbt_test_is_a_check(graph: Any) -> None:
    tests = {
        node["name"]
        for node in project.manifest()["nodes"].values()
        if node["resource_type"] == "test"
    }
    assert tests
    assert tests <= {check.name for check in graph.asset_check_keys}


def test_dbt_is_called_twice_in_a_refresh(definitions: dg.Definitions) -> None:
    """Before the scores and after them; each further call would cost seconds."""
    steps = {node.name for node in definitions.resolve_job_def("refresh").nodes}
    assert steps == {
        *("collections", "warehouse", "predictions", "reconciliation", "scores", "model_books"),
        *("monitoring", "registry"),
    }


def test_unit_tests_stay_out(graph: Any) -> None:
    names = {unit["name"] for unit in project.manifest()["unit_tests"].values()}
    assert not names & {check.name for check in graph.asset_check_keys}


def test_every_asset_has_a_group_and_a_time_when_it_is_late(graph: Any) -> None:
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert node.group_name == key.path[0] != "default", key
        assert node.freshness_policy == automation.FRESHNESS, key


def test_models_carry_their_owner_and_description(graph: Any) -> None:
    node = graph.get(project.model("fct_orders"))
    assert node.owners == ["team:data_platform"]
    assert node.description


def test_the_loader_is_retried_later_each_time() -> None:
    policy = automation.LOADER_RETRIES
    waits = [[policy.calculate_delay(attempt) for _ in range(200)] for attempt in (1, 2, 3)]
    assert policy.max_retries == 3
    assert 0 <= min(waits[0]) < max(waits[0]) <= 4
    assert 4 <= min(waits[1]) < max(waits[1]) <= 8
    assert 12 <= min(waits[2]) < max(waits[2]) <= 16


def test_the_loader_is_the_only_step_with_retries(definitions: dg.Definitions) -> None:
    job = definitions.resolve_job_def("refresh")
    retried = {node.name for node in job.nodes if node.definition.retry_policy}
    assert retried == {"collections"}


def test_the_schedule_runs_the_whole_job_every_night(definitions: dg.Definitions) -> None:
    schedule = definitions.resolve_schedule_def("daily")
    assert schedule.job_name == "refresh"
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
    assert schedule.execution_timezone == Settings().store_timezone
    moment = datetime(2026, 7, 1, 12, tzinfo=UTC)
    ticks = schedule.cron_schedule, schedule.execution_timezone
    assert ticks[0] == "15 3 * * *"
    context = dg.build_schedule_context(
        instance=dg.DagsterInstance.ephemeral(), scheduled_execution_time=moment
    )
    with context:
        requests = schedule.evaluate_tick(context).run_requests
    assert len(requests) == 1


@pytest.mark.parametrize(("day", "retrains"), [(4, False), (5, True), (6, False)])
def test_sunday_trains_everything_anew(
    definitions: dg.Definitions, day: int, retrains: bool
) -> None:
    schedule = definitions.resolve_schedule_def("daily")
    # 02:15 UTC in July is 03:15 in London
    moment = datetime(2026, 7, day, 2, 15, tzinfo=UTC)
    context = dg.build_schedule_context(
        instance=dg.DagsterInstance.ephemeral(), scheduled_execution_time=moment
    )
    with context:
        [request] = schedule.evaluate_tick(context).run_requests
    assert (automation.RETRAIN in request.tags) == retrains


def test_every_task_is_watched(graph: Any) -> None:
    names = {check.name for check in graph.asset_check_keys}
    for task in TASKS:
        assert {f"{task}_has_not_moved", f"{task}_beats_its_baseline"} <= names
    assert "is_registered" in names


def _manifest(*tests: tuple[str, list[str]]) -> dict[str, Any]:
    models = {"model.p.a": [], "model.p.b": ["model.p.a"], "model.p.c": ["model.p.b"]}
    nodes: dict[str, Any] = {
        name: {"resource_type": "model", "depends_on": {"nodes": above}}
        for name, above in models.items()
    }
    for name, above in tests:
        nodes[name] = {"resource_type": "test", "depends_on": {"nodes": above}}
    return {"nodes": nodes}


def test_a_test_over_several_models_belongs_to_the_one_built_last() -> None:
    manifest = _manifest(("test.p.t", ["model.p.a", "model.p.c", "model.p.b"]))
    found = translator.with_every_test_a_check(manifest)["nodes"]["test.p.t"]
    assert found["attached_node"] == "model.p.c"
    assert "attached_node" not in manifest["nodes"]["test.p.t"], "the input was changed"


def test_a_generic_test_stays_where_it_was_written() -> None:
    manifest = _manifest(("test.p.t", ["model.p.a", "model.p.c"]))
    manifest["nodes"]["test.p.t"]["attached_node"] = "model.p.a"
    found = translator.with_every_test_a_check(manifest)["nodes"]["test.p.t"]
    assert found["attached_node"] == "model.p.a"


def test_an_unknown_model_is_named() -> None:
    with pytest.raises(KeyError, match="no model fct_nothing"):
        project.model("fct_nothing")
