"""The catalogue: complete, well-formed, and its pages as the definitions are."""

from __future__ import annotations

import re

import orjson
import pytest

from serving import catalogue_pages
from serving.metrics import MetricStore, Question

# numbers of the metric dictionary that nothing in the data allows yet
MISSING = {"M40": "predicted lifetime value: there is no model of it"}
FIELDS = {"number", "formula", "basis", "grain", "unit", "owner", "definition_of"}


def test_pages_are_current(store: MetricStore) -> None:
    stale = catalogue_pages.stale(catalogue_pages.pages(store))
    assert stale == [], "run `ledgerline metrics docs`"


def test_every_number_of_the_dictionary_is_there(store: MetricStore) -> None:
    there = {metric.meta["number"] for metric in store.catalogue.metrics.values()}
    wanted = {f"M{number}" for number in range(1, 74)}
    assert there <= wanted
    assert wanted - there == set(MISSING)


def test_every_metric_says_what_it_is(store: MetricStore) -> None:
    for name, metric in store.catalogue.metrics.items():
        assert metric.meta.keys() >= FIELDS, name
        assert metric.description.strip().endswith("."), name
        assert metric.label != name
        assert set(metric.meta["basis"]) <= {"event", "order"}
        assert metric.meta["unit"] in catalogue_pages._UNITS


def test_a_variant_names_another_metric_and_whose_it_is(store: MetricStore) -> None:
    for name, metric in store.catalogue.metrics.items():
        if (root := metric.meta.get("variant_of")) is not None:
            assert root in store.catalogue.metrics, name
            assert "variant_of" not in store.catalogue.metrics[root].meta, name


def test_what_shows_costs_says_so(store: MetricStore) -> None:
    """A metric is finance's if a column is that it reads, in a fact or a roll-up."""
    for name, metric in store.catalogue.metrics.items():
        read = set()
        for measure in metric.measures:
            model = store.catalogue.models[store.catalogue.model_of_measure[measure]]
            tables = [(model.table, model.measures[measure]["expr"] or measure)]
            tables += [
                (rollup.table, rollup.measures[measure])
                for rollup in model.rollups
                if measure in rollup.measures
            ]
            for table, expression in tables:
                words = set(re.findall(r"\w+", expression))
                read |= words & store.catalogue.cost_columns.get(table, set())
        costs = {"cogs", "payment_fees", "shipping_costs", "variable_costs"} & set(metric.leaves)
        assert bool(metric.meta.get("finance")) >= bool(read or costs), (name, read)


def test_metricflow_finds_nothing_wrong(store: MetricStore) -> None:
    """As `mf validate-configs` does, without its start-up."""
    from metricflow_semantic_interfaces.validations.semantic_manifest_validator import (
        SemanticManifestValidator,
    )
    from metricflow_semantics.model.dbt_manifest_parser import (
        parse_manifest_from_dbt_generated_manifest,
    )

    manifest = parse_manifest_from_dbt_generated_manifest(
        orjson.dumps(store.catalogue.raw).decode()
    )
    found = SemanticManifestValidator().validate_semantic_manifest(manifest)
    assert not found.has_blocking_issues
    assert [issue.message for issue in (*found.errors, *found.future_errors, *found.warnings)] == []


def test_no_bare_mer(store: MetricStore) -> None:
    assert not [name for name in store.catalogue.metrics if re.fullmatch(r"mer|MER", name)]


def test_the_same_dimension_is_described_once(store: MetricStore) -> None:
    """A dimension that several facts have is one word: its values must be of one kind."""
    kinds: dict[str, set[bool]] = {}
    for model in store.catalogue.models.values():
        for dimension in model.dimensions.values():
            kinds.setdefault(dimension.name, set()).add(dimension.is_time)
    assert [name for name, kind in kinds.items() if len(kind) > 1] == []


def test_days_are_dates(store: MetricStore, rows) -> None:
    """Dates are compared as they are, without date_trunc: a moment would be cut nowhere."""
    types = {
        (row["table_name"], row["column_name"]): row["data_type"]
        for row in rows("select table_name, column_name, data_type from information_schema.columns")
    }
    for raw in store.catalogue.raw["semantic_models"]:
        for dimension in raw["dimensions"]:
            if dimension["type"] == "time":
                column = dimension["expr"] or dimension["name"]
                assert types[raw["node_relation"]["alias"], column] == "date", column


def test_a_breakdown_has_no_unknown_without_a_name(store: MetricStore) -> None:
    """Null is a value like any other, 'unknown', so that filters and joins see it."""
    for dimension in store.dimensions_of(["orders"]):
        if store.catalogue.dimensions[dimension].is_time:
            continue
        answer = store.ask(Question(("orders",), (dimension,), period="all", with_totals=False))
        assert all(row.keys[dimension] is not None for row in answer.rows), dimension


def test_versions_follow_the_definition(store: MetricStore) -> None:
    """Two metrics never share one, but for the same formula under another name."""
    versions: dict[str, list[str]] = {}
    for name, metric in store.catalogue.metrics.items():
        versions.setdefault(metric.version, []).append(name)
    shared = [names for names in versions.values() if len(names) > 1]
    assert sorted(map(sorted, shared)) == [
        ["acos", "mer_triple_whale"],
        ["blended_roas", "mer_polar"],
    ]


@pytest.mark.parametrize("name", ["net_sales", "total_sales_growth", "roas", "active_customers"])
def test_a_page_shows_sql_that_runs(store: MetricStore, rows, name: str) -> None:
    sql = catalogue_pages.readable(store.template(name))
    for word, value in (
        (":period_end", "date '2026-01-01'"),
        (":period_start", "date '2025-01-01'"),
        (":limit", "10"),
    ):
        assert word in sql
        sql = sql.replace(word, value)
    rows(sql.replace("%", "%%"))
