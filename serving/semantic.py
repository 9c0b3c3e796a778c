"""The semantic manifest as a catalogue, and MetricFlow as a compiler of it.

MetricFlow is used in process and through internal interfaces, so its version is pinned and nothing
else imports it. It compiles what one semantic model can answer. Ratios and other metrics over
metrics are put on top here, by their definition in the manifest, since MetricFlow would read a
fact once per metric; a test compares both.
"""

from __future__ import annotations

import copy
import hashlib
import re
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import orjson

from loaders.settings import Settings

ORDER_TIME = "order_time"  # in a semantic model's meta: the clock of the order basis
_DIMENSION = re.compile(r"Dimension\(\s*['\"]([^'\"]+)['\"]")
_TOKEN = re.compile(r"__(p\d+)__")


@dataclass(frozen=True)
class Rollup:
    """A table that holds a semantic model's measures, added up.

    Attributes:
        table: the dbt model.
        relation: its schema and name.
        day: the column of the day.
        basis: the basis that it stands for; None: any.
        dimensions: its column by dimension.
        measures: its column, or an expression over columns, by measure.
    """

    table: str
    relation: tuple[str, str]
    day: str
    basis: str | None
    dimensions: Mapping[str, str]
    measures: Mapping[str, str]


@dataclass(frozen=True)
class Dimension:
    """What can be filtered and broken down by."""

    name: str
    description: str
    is_time: bool
    is_personal: bool


@dataclass(frozen=True)
class SemanticModel:
    """One table of facts or of a dimension."""

    name: str
    table: str
    description: str
    meta: Mapping[str, Any]
    measures: Mapping[str, Mapping[str, Any]]
    dimensions: Mapping[str, Dimension]
    time: str | None
    primary_entity: str | None
    rollups: tuple[Rollup, ...]


@dataclass(frozen=True)
class Metric:
    """One definition, as models/semantic has it.

    Attributes:
        inputs: the metrics that it is computed from, by the name that its expression uses.
        leaves: the metrics that MetricFlow is asked for, itself where nothing is put on top.
        measure: the measure of a simple metric.
        version: changes with whatever it is computed from.
    """

    name: str
    label: str
    description: str
    kind: str
    meta: Mapping[str, Any]
    expression: str | None
    inputs: Mapping[str, str]
    leaves: tuple[str, ...]
    measure: str | None
    measures: tuple[str, ...]
    filter_dimensions: tuple[str, ...]
    needs_grain: bool
    is_zero_filled: bool
    version: str

    @property
    def is_leaf(self) -> bool:
        """Whether MetricFlow computes all of it."""
        return self.leaves == (self.name,)


class Catalogue:
    """Every metric, semantic model and dimension of a semantic manifest."""

    def __init__(self, semantic_manifest: bytes, manifest: Mapping[str, Any]) -> None:
        self.raw = orjson.loads(semantic_manifest)
        # dbt's order is that of its parsing, a part or the whole: statements must not depend on it
        for kind in ("semantic_models", "metrics"):
            self.raw[kind].sort(key=lambda each: each["name"])
        self._relations = {
            node["name"]: (node["schema"], node["alias"])
            for node in manifest["nodes"].values()
            if node["resource_type"] == "model"
        }
        # columns that only finance may read, by table
        self.cost_columns = {
            node["alias"]: {
                column["name"]
                for column in node["columns"].values()
                if (column["config"].get("meta") or column["meta"]).get("finance")
            }
            for node in manifest["nodes"].values()
            if node["resource_type"] == "model"
        }
        for model in self.raw["semantic_models"]:
            # the connection names the database, so that one manifest serves every data set
            schema, alias = model["node_relation"]["schema_name"], model["node_relation"]["alias"]
            model["node_relation"] |= {
                "database": None,
                "relation_name": f'"{schema}"."{alias}"',
            }
        for spine in self.raw["project_configuration"]["time_spines"]:
            relation = spine["node_relation"]
            relation |= {
                "database": None,
                "relation_name": f'"{relation["schema_name"]}"."{relation["alias"]}"',
            }
        self.models = {model["name"]: self._model(model) for model in self.raw["semantic_models"]}
        self._by_name = {metric["name"]: metric for metric in self.raw["metrics"]}
        self.model_of_measure = {
            measure: model.name for model in self.models.values() for measure in model.measures
        }
        self.metrics = {name: self._metric(name) for name in sorted(self._by_name)}

    @classmethod
    def load(cls, settings: Settings) -> Catalogue:
        """That of the project as it is now.

        Raises:
            UserError: dbt can't parse the project.
        """
        from orchestration import workspace

        workspace.prepare(settings)
        manifest = workspace.load_manifest(settings)
        path = workspace.target_path(settings) / "semantic_manifest.json"
        return cls(path.read_bytes(), manifest)

    def _model(self, raw: Mapping[str, Any]) -> SemanticModel:
        meta = (raw.get("config") or {}).get("meta") or {}
        primary = next((e["name"] for e in raw["entities"] if e["type"] == "primary"), None)
        return SemanticModel(
            name=raw["name"],
            table=raw["node_relation"]["alias"],
            description=raw["description"] or "",
            meta=meta,
            measures={measure["name"]: measure for measure in raw["measures"]},
            dimensions={
                dimension["name"]: Dimension(
                    dimension["name"],
                    dimension["description"] or "",
                    dimension["type"] == "time",
                    bool(((dimension.get("config") or {}).get("meta") or {}).get("pii")),
                )
                for dimension in raw["dimensions"]
            },
            time=(raw["defaults"] or {}).get("agg_time_dimension"),
            primary_entity=raw["primary_entity"] or primary,
            rollups=tuple(
                Rollup(
                    table=rollup["model"],
                    relation=self._relations[rollup["model"]],
                    day=rollup["day"],
                    basis=rollup.get("basis"),
                    dimensions=rollup.get("dimensions") or {},
                    measures=rollup["measures"],
                )
                for rollup in meta.get("rollups", ())
            ),
        )

    def _metric(self, name: str) -> Metric:
        raw = self._by_name[name]
        params = raw["type_params"]
        inputs = self._inputs(raw)
        is_opaque = raw["type"] not in ("simple", "ratio", "derived") or any(
            one.get("filter") or one.get("offset_window") or one.get("offset_to_grain")
            for one in inputs.values()
        )
        if raw["type"] != "simple" and raw.get("filter"):
            is_opaque = True
        is_leaf = raw["type"] == "simple" or is_opaque
        leaves = [name] if is_leaf else []
        for one in inputs.values():
            if not is_leaf:
                leaves += [leaf for leaf in self._metric(one["name"]).leaves if leaf not in leaves]
        measures = self._measures(name)
        own_measure = params.get("measure") if raw["type"] == "simple" else None
        return Metric(
            name=name,
            label=raw["label"] or name,
            description=raw["description"] or "",
            kind=raw["type"],
            meta=(raw.get("config") or {}).get("meta") or {},
            expression=params.get("expr") if raw["type"] == "derived" else None,
            inputs={alias: one["name"] for alias, one in inputs.items()},
            leaves=tuple(leaves),
            measure=own_measure["name"] if own_measure else None,
            measures=measures,
            filter_dimensions=tuple(sorted(self._filter_dimensions(name))),
            needs_grain=is_opaque and raw["type"] != "simple",
            is_zero_filled=bool(own_measure and own_measure.get("fill_nulls_with") is not None),
            version=self._version(name),
        )

    def _inputs(self, raw: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        params = raw["type_params"]
        if raw["type"] == "ratio":
            return {"numerator": params["numerator"], "denominator": params["denominator"]}
        if raw["type"] == "derived":
            return {one.get("alias") or one["name"]: one for one in params["metrics"]}
        return {}

    def _measures(self, name: str) -> tuple[str, ...]:
        """The measures under a metric, each once."""
        raw = self._by_name[name]
        found: list[str] = []
        if (measure := raw["type_params"].get("measure")) is not None:
            found.append(measure["name"])
        for one in self._inputs(raw).values():
            found += [each for each in self._measures(one["name"]) if each not in found]
        return tuple(found)

    def _filter_dimensions(self, name: str) -> set[str]:
        """Dimensions that a metric's own filters name, without their entity."""
        raw = self._by_name[name]
        filters = [raw.get("filter"), (raw["type_params"].get("measure") or {}).get("filter")]
        inputs = self._inputs(raw).values()
        filters += [one.get("filter") for one in inputs]
        found = {
            dimension.rsplit("__", 1)[-1]
            for each in filters
            if each
            for where in each["where_filters"]
            for dimension in _DIMENSION.findall(where["where_sql_template"])
        }
        return found.union(*(self._filter_dimensions(one["name"]) for one in inputs))

    def _version(self, name: str) -> str:
        """A hash of all that decides the number: formula, filters, inputs, measures, tables."""
        raw = self._by_name[name]
        parts: list[Any] = [raw["type"], raw["type_params"], raw.get("filter")]
        parts += [self._version(one["name"]) for one in self._inputs(raw).values()]
        for measure in self._measures(name):
            model = self.models[self.model_of_measure[measure]]
            parts.append([model.table, model.time, model.measures[measure]])
        plain = orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)
        return hashlib.blake2b(plain, digest_size=5).hexdigest()

    def model_of(self, leaf: str) -> str:
        """The semantic model that a leaf is read from."""
        models = {self.model_of_measure[measure] for measure in self.metrics[leaf].measures}
        if len(models) != 1:
            raise ValueError(f"{leaf} has a filter or an offset over several semantic models")
        return models.pop()

    @cached_property
    def dimensions(self) -> dict[str, Dimension]:
        """Every dimension by name; the same name means the same thing everywhere."""
        found: dict[str, Dimension] = {}
        # in the words of the orders where they have it
        for model in sorted(self.models.values(), key=lambda each: each.name != "orders"):
            for name, dimension in model.dimensions.items():
                found.setdefault(name, dimension)
        return found

    # --- manifests for MetricFlow ---------------------------------------------------------------

    def manifest_for(self, model: str, rollup: Rollup | None, basis: str) -> bytes:
        """The semantic manifest with one model turned to a roll-up or to the order's clock."""
        raw = copy.deepcopy(self.raw)
        for each in raw["semantic_models"]:
            order_time = ((each.get("config") or {}).get("meta") or {}).get(ORDER_TIME)
            if basis == "order" and order_time:
                each["defaults"]["agg_time_dimension"] = order_time
                for entity in each["entities"]:
                    if entity["name"] == "date":
                        entity["expr"] = order_time
            if each["name"] == model and rollup is not None:
                _turn_to(each, rollup)
        if rollup is not None:
            # alone: a roll-up is joined to nothing
            kept = set(rollup.measures)
            raw["semantic_models"] = [m for m in raw["semantic_models"] if m["name"] == model]
            raw["metrics"] = [m for m in raw["metrics"] if set(self._measures(m["name"])) <= kept]
            raw["saved_queries"] = []
        return orjson.dumps(raw)


def _turn_to(model: dict[str, Any], rollup: Rollup) -> None:
    schema, alias = rollup.relation
    model["node_relation"] |= {
        "alias": alias,
        "schema_name": schema,
        "relation_name": f'"{schema}"."{alias}"',
    }
    model["measures"] = [
        measure | {"expr": rollup.measures[measure["name"]], "agg_time_dimension": None}
        for measure in model["measures"]
        if measure["name"] in rollup.measures
    ]
    by_name = {dimension["name"]: dimension for dimension in model["dimensions"]}
    template = next(d for d in model["dimensions"] if d["type"] == "time")
    model["dimensions"] = [template | {"name": "rollup_day", "expr": rollup.day}] + [
        by_name.get(name, {})
        | {"name": name, "type": "categorical", "type_params": None, "expr": column}
        | {"description": None, "label": None, "is_partition": False, "metadata": None}
        | {"config": None}
        for name, column in rollup.dimensions.items()
    ]
    # filters in metrics name dimensions of the order: the roll-up has them as its own
    key = rollup.day
    model["primary_entity"] = None
    model["entities"] = [
        {
            "name": "order",
            "type": "primary",
            "description": None,
            "label": None,
            "role": None,
            "expr": key,
            "metadata": None,
            "config": None,
        }
    ]
    model["defaults"]["agg_time_dimension"] = "rollup_day"


class Compiler:
    """SQL of leaves of one semantic model, with `%(pN)s` where values go."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._engines: dict[tuple[str, str | None, str], Any] = {}
        self._paths: dict[tuple[Any, ...], dict[str, str]] = {}
        self._compiled: dict[tuple[Any, ...], str] = {}
        self._lock = threading.RLock()

    def paths(
        self, model: str, leaves: Iterable[str], rollup: Rollup | None, basis: str
    ) -> dict[str, str]:
        """MetricFlow's name by dimension, of those that all leaves can be broken down by."""
        key = (model, tuple(leaves), rollup and rollup.table, basis)
        with self._lock:
            if key not in self._paths:
                engine = self._engine(model, rollup, basis)
                primary = "order" if rollup else self._catalogue.models[model].primary_entity
                found: dict[str, str] = {}
                for dimension in engine.simple_dimensions_for_metrics(list(key[1])):
                    path = dimension.granularity_free_dunder_name
                    links, _, name = path.rpartition("__")
                    # its own before those of its entities; a dimension's entity is one step away
                    if "__" in links or not links:
                        continue
                    if name not in found or links == primary:
                        found[name] = path
                self._paths[key] = found
            return self._paths[key]

    def compile(
        self,
        model: str,
        leaves: tuple[str, ...],
        group_by: tuple[str, ...],
        where: tuple[str, ...],
        rollup: Rollup | None,
        basis: str,
    ) -> str:
        """One statement; `group_by` are MetricFlow's names, `where` its templates."""
        key = (model, leaves, group_by, where, rollup and rollup.table, basis)
        if key in self._compiled:
            return self._compiled[key]
        from metricflow.engine.metricflow_engine import MetricFlowQueryRequest

        request = MetricFlowQueryRequest.create(
            metric_names=list(leaves),
            group_by_names=list(group_by) or None,
            where_constraints=list(where) or None,
        )
        with self._lock:
            plan = self._engine(model, rollup, basis).explain(request)
        sql = "\n".join(
            line
            for line in plan.sql_statement.sql.splitlines()
            if not line.lstrip().startswith("--")
        )
        # read where it is used, with the filters of that place, however often that is
        sql = re.sub(r"(\b\w+_cte) AS \(", r"\1 AS NOT MATERIALIZED (", sql)
        if len(self._compiled) > 5000:
            self._compiled.clear()
        self._compiled[key] = _TOKEN.sub(r"%(\1)s", sql.replace("%", "%%"))
        return self._compiled[key]

    def _engine(self, model: str, rollup: Rollup | None, basis: str) -> Any:
        turned = rollup is not None or basis == "order"
        key = (model if rollup else "", rollup.table if rollup else None, basis if turned else "")
        if key not in self._engines:
            self._engines[key] = _engine(self._catalogue.manifest_for(model, rollup, basis))
        return self._engines[key]


def _engine(manifest: bytes) -> Any:
    """A MetricFlow engine that only ever compiles."""
    from metricflow.engine.metricflow_engine import MetricFlowEngine
    from metricflow.protocols.sql_client import SqlEngine
    from metricflow.sql.render.expr_renderer import SqlExpressionRenderResult
    from metricflow.sql.render.postgres import (
        PostgresSqlExpressionRenderer,
        PostgresSQLSqlPlanRenderer,
    )
    from metricflow_semantics.model.dbt_manifest_parser import (
        parse_manifest_from_dbt_generated_manifest,
    )
    from metricflow_semantics.model.semantic_manifest_lookup import SemanticManifestLookup

    class Expressions(PostgresSqlExpressionRenderer):
        """Days stay dates: date_trunc would make moments of them, and pass by their indexes."""

        def visit_date_trunc_expr(self, node: Any) -> SqlExpressionRenderResult:
            inner = self.render_sql_expr(node.arg)
            unit = node.time_granularity.value
            sql = inner.sql
            if unit != "day":
                sql = f"CAST(DATE_TRUNC('{unit}', CAST({inner.sql} AS TIMESTAMP)) AS DATE)"
            return SqlExpressionRenderResult(sql=sql, bind_parameter_set=inner.bind_parameter_set)

    class Plans(PostgresSQLSqlPlanRenderer):
        EXPR_RENDERER = Expressions()

    class Client:
        sql_engine_type = SqlEngine.POSTGRES
        sql_plan_renderer = Plans()

    lookup = SemanticManifestLookup(parse_manifest_from_dbt_generated_manifest(manifest.decode()))
    return MetricFlowEngine(lookup, Client())  # type: ignore[arg-type] -- has what the engine calls, no more
