"""dbt in this process: parsed once a session, macros compiled to SQL, models run in a database."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import psycopg
import pytest
from dbt.cli.main import dbtRunner
from dbt.contracts.graph.manifest import Manifest
from dbt_common.behavior_flags import BehaviorFlagRendered
from shop import Shop

from loaders.settings import ROOT, Settings

SEPARATOR = "\n---- next ----\n"

# Only for the text of a warning dbt walks through all frames and all modules to see who made a
# flag; and each command adds a flag to a list of the process (dbt-adapters 1.24), so that after
# 200 commands in one process this took nine tenths of their time.
BehaviorFlagRendered._default_source = staticmethod(lambda: "dbt.adapters")


@pytest.fixture(scope="session")
def dbt_environment(
    servers: Settings, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], list[str]]:
    """Options for a dbt command: this project, a target and log folder of its own."""
    target = tmp_path_factory.mktemp("dbt")

    def options(name: str) -> list[str]:
        return [
            "--project-dir", str(ROOT),
            "--profiles-dir", os.environ["DBT_PROFILES_DIR"],
            "--target-path", str(target / name),
            "--log-path", str(target / "logs"),
            "--quiet",
            "--no-use-colors",
        ]  # fmt: skip

    return options


@pytest.fixture(scope="session")
def manifest(dbt_environment: Callable[[str], list[str]]) -> Manifest:
    """The parsed project."""
    result = dbtRunner().invoke(["parse", "--no-partial-parse", *dbt_environment("parse")])
    assert result.success, result.exception
    return result.result


@pytest.fixture(scope="session")
def compiled(
    manifest: Manifest, dbt_environment: Callable[[str], list[str]]
) -> Callable[[Mapping[str, str]], dict[str, str]]:
    """Jinja expressions by name, rendered to SQL in the project's context in one go."""

    def render(expressions: Mapping[str, str]) -> dict[str, str]:
        inline = SEPARATOR.join(expressions.values())
        errors: list[str] = []
        runner = dbtRunner(
            manifest=manifest,
            callbacks=[lambda e: errors.append(e.info.msg) if e.info.level == "error" else None],
        )
        result = runner.invoke(["compile", "--inline", inline, *dbt_environment("compile")])
        assert result.success, errors
        sql = result.result.results[0].node.compiled_code
        return dict(zip(expressions, sql.split(SEPARATOR), strict=True))

    return render


@pytest.fixture
def connection(pg_database: Settings) -> Any:
    """A connection to a database of the test's own."""
    with psycopg.connect(**pg_database.postgres(), autocommit=True) as opened:
        yield opened


@pytest.fixture
def dbt(pg_database: Settings, dbt_environment: Callable[[str], list[str]]) -> Callable[..., Any]:
    """Run a dbt command in the test's own database; returns dbt's result."""
    options = dbt_environment(pg_database.postgres_db)
    parsed = dbtRunner().invoke(["parse", *options])  # a manifest names its database
    assert parsed.success, parsed.exception

    def invoke(*arguments: str) -> Any:
        return dbtRunner(manifest=parsed.result).invoke([*arguments, *options])

    return invoke


# --- the demo shop and its truth -----------------------------------------------------------------


@pytest.fixture(scope="session")
def shop(warehouse: Settings) -> Shop:
    """The tiny shop's truth and the warehouse that was built from it; nobody changes it."""
    return Shop(warehouse, warehouse.home / "store" / "xs-42")
