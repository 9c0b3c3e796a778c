"""Each public bug in tests/golden.yml is answered by a test that exists and runs."""

from __future__ import annotations

import ast
import re
from functools import cache
from typing import Any

import pytest
import yaml

from loaders.settings import ROOT

BUGS: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "tests/golden.yml").read_text())["bugs"]


@cache
def functions_of(path: str) -> set[str]:
    """Names of the functions in a test module."""
    tree = ast.parse((ROOT / "tests/python" / path).read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("bug", BUGS)
def test_each_bug_has_its_test(manifest, bug):
    answered = BUGS[bug]
    assert answered["wrong"].strip()
    unit = {test.name for test in manifest.unit_tests.values() if test.config.enabled}
    data = {
        node.name
        for node in manifest.nodes.values()
        if node.resource_type == "test" and node.config.enabled
    }
    assert answered.keys() & {"unit", "data", "python"}
    assert [name for name in answered.get("unit", []) if name not in unit] == []
    assert [name for name in answered.get("data", []) if name not in data] == []
    assert [
        name
        for name in answered.get("python", [])
        if name.split("::")[1] not in functions_of(name.split("::")[0])
    ] == []


def test_every_unit_test_says_its_answer(manifest):
    """A name that is a sentence, and rows worked out by hand: never an expectation of nothing."""
    wrong = [
        test.name
        for test in manifest.unit_tests.values()
        if test.name.count("_") < 3 or (test.expect.rows is None and not test.expect.fixture)
    ]
    assert wrong == []


def test_one_macro_knows_the_time_zone():
    """umbraco#778: a second conversion somewhere would one day be another."""
    found = {
        str(path.relative_to(ROOT))
        for folder in ("models", "macros", "snapshots", "analyses", "tests/dbt")
        for path in (ROOT / folder).rglob("*.sql")
        if re.search(r"store_timezone\(\)|LEDGERLINE_STORE_TIMEZONE", path.read_text())
    }
    # the cast reads a document's time without a zone as one of the shop: the other way round
    casts = {"macros/casts/text_to_timestamp.sql"}
    assert found - casts == {"macros/store/local_date.sql", "macros/store/store_timezone.sql"}


def test_no_frame_stands_between_the_shop_and_the_marts():
    """N10: Python moves documents, SQL transforms them."""
    found = [
        str(path.relative_to(ROOT))
        for folder in ("loaders", "orchestration", "models", "macros")
        for path in (ROOT / folder).rglob("*.py")
        if re.search(r"^\s*(import|from) (pandas|polars)\b", path.read_text(), re.M)
    ]
    assert found == []


def test_every_figure_comes_from_one_warehouse(manifest):
    """N6: one adapter, one database; Parquet is a landing place and never a second answer."""
    assert manifest.metadata.adapter_type == "postgres"
    databases = {
        node.database
        for node in manifest.nodes.values()
        if node.resource_type in ("model", "seed", "snapshot")
    }
    assert len(databases) == 1
