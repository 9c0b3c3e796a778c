"""dbt inside this process, and its events as Dagster's.

dagster-dbt's own resource starts a `dbt` process for each invocation. In here dbt costs seconds
less (imports and parsing happen once), and a killed refresh leaves no orphan that goes on writing
to the warehouse. The graph itself is still dagster-dbt's: see `defs/transform`.
"""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import dagster as dg
import structlog
from dagster_dbt import DagsterDbtTranslator
from dagster_dbt.asset_utils import get_asset_check_key_for_test, get_subset_selection_for_context
from dbt.cli.main import dbtRunner, dbtRunnerResult
from dbt_common.events.base_types import EventMsg
from dbt_common.events.functions import msg_to_dict

from loaders.connections import open_postgres
from loaders.errors import UserError
from loaders.settings import ROOT, Settings
from orchestration import progress
from sandbox.servers import profiles

log = structlog.get_logger(__name__)

_RESULTS = {"LogModelResult", "LogSeedResult", "LogSnapshotResult", "LogTestResult"}
_SUCCESS = {"success", "pass", "warn"}
_BUILD_LOCK = 7_310_604_117  # an arbitrary number that means "dbt builds this database"


class DbtError(UserError):
    """dbt refused or a test failed; the message is one line."""


@dataclass(frozen=True)
class Node:
    """One finished dbt node.

    Attributes:
        unique_id: dbt's name of it.
        status: success, pass, warn, fail, error or skipped.
        seconds: how long it took.
        rows: rows written (model, seed, snapshot) or failing (test); None where unknown.
    """

    unique_id: str
    status: str
    seconds: float
    rows: int | None


def command(*arguments: str) -> list[str]:
    """Arguments of a dbt invocation in this project, quiet, with short logs."""
    quiet = ["--log-level", "none", "--log-level-file", "info", "--no-use-colors"]
    where = ["--project-dir", str(ROOT), "--profiles-dir", str(profiles_folder())]
    return [*quiet, *arguments, *where]


def profiles_folder() -> Path:
    """Where `profiles.yml` lies."""
    return profiles.path_for(Settings()).parent


def parse() -> None:
    """Write the manifest anew.

    Raises:
        DbtError: the project doesn't parse.
    """
    result = dbtRunner().invoke(command("parse"))
    if not result.success:
        raise DbtError(f"dbt can't parse the project: {_one_line(result.exception)}")


@contextmanager
def sole_builder(settings: Settings) -> Iterator[None]:
    """Hold the right to build this database; the server frees it when this process dies.

    Raises:
        UserError: another process is building it.
    """
    with open_postgres(settings, autocommit=True) as conn:
        taken = conn.execute("select pg_try_advisory_lock(%s)", [_BUILD_LOCK]).fetchone()
        if not (taken and taken[0]):
            raise UserError(
                f"another refresh is building the database {settings.postgres_db}: "
                "wait until it is done, then run this again"
            )
        yield


def invoke(arguments: Iterable[str]) -> Iterator[Node | dbtRunnerResult]:
    """Run dbt in a thread; yields each finished node at once, and the result at the end."""
    events: SimpleQueue[Node | dbtRunnerResult] = SimpleQueue()

    def on_event(event: EventMsg) -> None:
        if event.info.name in _RESULTS:
            events.put(_node_of(msg_to_dict(event)))

    def work() -> None:
        try:
            events.put(dbtRunner(callbacks=[on_event]).invoke(list(arguments)))
        except BaseException as problem:
            events.put(dbtRunnerResult(success=False, exception=problem))

    # a daemon: an interrupted refresh ends without waiting for it, and Postgres rolls back
    threading.Thread(target=work, name="dbt", daemon=True).start()
    while True:
        item = events.get()
        yield item
        if isinstance(item, dbtRunnerResult):
            return


def _node_of(event: Mapping[str, Any]) -> Node:
    data = event["data"]
    info = data["node_info"]
    if "num_failures" in data:
        rows = data["num_failures"]
    else:
        # the status as Postgres tells it: SELECT 42, INSERT 0 42, "INSERT 42 in 1 s"
        found = re.search(r"(?:SELECT|INSERT|MERGE)(?: 0)? (\d+)", data.get("status", ""))
        rows = int(found[1]) if found else None
    status = info.get("node_status") or data.get("status", "").lower()
    return Node(info["unique_id"], status, float(data.get("execution_time") or 0), rows)


class DbtBuild(dg.ConfigurableResource):
    """`dbt build` for what a Dagster step has selected."""

    def stream(
        self,
        context: dg.AssetExecutionContext,
        manifest: Mapping[str, Any],
        translator: DagsterDbtTranslator,
        select: str,
        exclude: str | None,
        label: str,
    ) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
        """Build, and yield each model and each test as dbt finishes it.

        Raises:
            dagster.Failure: a node failed; its description is one line that names the first ones.
        """
        settings = Settings()
        selection, indirect = get_subset_selection_for_context(
            context=context,
            manifest=manifest,
            select=select,
            exclude=exclude,
            selector=None,
            dagster_dbt_translator=translator,
            current_dbt_indirect_selection_env=None,
        )
        arguments = command("build", *selection, "--exclude-resource-type", "unit_test")
        # a part of the graph: without tests that also read what isn't there yet
        is_part = select not in selection
        if is_part and exclude:
            arguments += ["--exclude", exclude]
        if indirect or is_part:
            arguments += ["--indirect-selection", indirect or "buildable"]
        checks = context.selected_asset_check_keys
        kinds: Counter[str] = Counter()
        with sole_builder(settings), progress.current().task(label) as task:
            task.expect(len(context.selected_asset_keys) + len(checks))
            for item in invoke(arguments):
                if isinstance(item, dbtRunnerResult):
                    if not item.success:
                        raise dg.Failure(_failure(item), allow_retries=False)
                    continue
                kind, _, name = item.unique_id.split(".")[:3]
                kinds[kind if item.status != "warn" else "warning"] += 1
                task.advance(name)
                if kind == "test":
                    check = get_asset_check_key_for_test(
                        manifest, translator, item.unique_id, project=None
                    )
                    if check in checks:
                        yield _check_result(check, item)
                elif item.status in _SUCCESS:
                    yield _materialized(translator, manifest, item)
            task.note = ", ".join(f"{count:,} {kind}s" for kind, count in sorted(kinds.items()))


def _check_result(key: dg.AssetCheckKey, node: Node) -> dg.AssetCheckResult:
    is_warning = node.status == "warn"
    return dg.AssetCheckResult(
        asset_key=key.asset_key,
        check_name=key.name,
        passed=node.status == "pass",
        severity=dg.AssetCheckSeverity.WARN if is_warning else dg.AssetCheckSeverity.ERROR,
        metadata={"failing_rows": node.rows or 0, "seconds": round(node.seconds, 3)},
    )


def _materialized(
    translator: DagsterDbtTranslator, manifest: Mapping[str, Any], node: Node
) -> dg.MaterializeResult:
    props = manifest["nodes"][node.unique_id]
    metadata: dict[str, Any] = {"seconds": round(node.seconds, 3)}
    if node.rows is not None:
        # only a table made whole has as many rows as were written
        is_whole = props["config"]["materialized"] in ("table", "seed")
        metadata["dagster/row_count" if is_whole else "rows_written"] = node.rows
    return dg.MaterializeResult(
        asset_key=translator.get_asset_spec(manifest, node.unique_id, None).key,
        metadata=metadata,
    )


def _failure(result: dbtRunnerResult) -> str:
    """One line about why dbt failed: the first nodes by name with their reasons."""
    results = getattr(result.result, "results", None) or []
    failed = [node for node in results if str(node.status) in ("error", "fail", "runtime error")]
    if not failed:
        return f"dbt: {_one_line(result.exception)}"
    for node in failed:
        log.error("dbt node failed", node=node.node.unique_id, message=node.message)
    first = "; ".join(_reason(node) for node in failed[:3])
    more = f" and {len(failed) - 3} more" if len(failed) > 3 else ""
    return f"dbt: {first}{more}"


def _reason(result: Any) -> str:
    kind = result.node.resource_type
    if kind == "test" and result.failures:
        return f"test {result.node.name} failed for {result.failures} rows"
    return f"{kind} {result.node.name}: {_one_line(result.message)}"


def _one_line(problem: object) -> str:
    # "Database Error in model x (path)\n  division by zero\n  compiled code at …"
    lines = [line.strip() for line in str(problem).splitlines() if line.strip()]
    return " ".join(line for line in lines[:3] if not line.startswith("compiled"))[:400]
