"""The rules of the layers and of style, over the parsed project and the files themselves."""

from __future__ import annotations

import re

import pytest
import yaml
from dbt.cli.main import dbtRunner
from dbt.jsonschemas import jsonschemas

from loaders.settings import ROOT

LAYERS = ("staging", "intermediate", "marts", "reporting", "features", "predictions", "quality")

# What another engine does not know or reads differently; dbt's macros and ours stand for them.
NOT_PORTABLE = {
    r"::": "a cast as ::",
    r"\bdistinct\s+on\b": "distinct on",
    r"\bgenerate_series\b": "generate_series",
    r"->>?|#>>?|@>": "a JSON operator",
    r"\bjsonb?_\w+\s*\(": "a JSON function",
    r"\bunnest\s*\(": "unnest",
    r"\barray\s*\[": "an array literal",
    r"=\s*any\s*\(": "= any()",
    r"\bstring_agg\s*\(": "string_agg",
    r"\s!?~\*?\s": "a regular-expression operator",
    r"\bto_char\s*\(": "to_char",
    r"\bage\s*\(": "age",
    r"extract\s*\(\s*(epoch|dow)\b": "extract of epoch or dow",
    r"\bat\s+time\s+zone\b": "at time zone",
    r"\bon\s+conflict\b": "on conflict",
    r"\bgen_random_uuid\b": "gen_random_uuid",
    r"\b(current_date|now\s*\(\))": "the day on which it is built: use as_of_date()",
    r"\bilike\b": "ilike",
    r"\"": "double quotes: a text elsewhere",
    r"\binterval\s": "an interval literal: use dbt.dateadd",
    r"\b(date|timestamp)\s+''": "a date literal: cast it",
    r"\b(?!\w+_to_date)\w+_date\s*-\s*(?!\d)|\b\w+_at\s*-\s": "date - date: use dbt.datediff",
    r"\bcount\s*\([^()]*\)\s*/|\b\d+\s*/\s*\d+\b": "a division of whole numbers",
    r"(?<=[\w)])\s+desc\b(?!\s+nulls)|\b\w+_(at|date)\s+asc\b(?!\s+nulls)": "order without nulls",
    r"\b(regexp_\w+|similar\s+to|strpos|initcap|date_part|make_interval)\b": "a function",
    r"\b(array_agg|bool_and|bool_or)\s*\(": "an aggregate of Postgres",
    r"\bas\s+(text|bigint|int|integer|float|double precision|boolean|timestamptz?)\s*\)": "a type",
    r"\b(lateral|qualify|returning|natural\s+join)\b|\busing\s*\(": "a clause not all have",
    r"[%^]": "an operator of Postgres: mod(), power()",
}
SQL_FILES = [
    path
    for folder in ("models", "snapshots", "tests/dbt/generic", "tests/dbt/singular", "analyses")
    for path in sorted((ROOT / folder).rglob("*.sql"))
]
YAML_FILES = [
    path
    for folder in ("models", "snapshots", "seeds", "macros", "tests/dbt")
    for path in sorted((ROOT / folder).rglob("*.yml"))
]


def without_comments(sql: str) -> str:
    """SQL without comments, expressions of Jinja and texts."""
    # a text in an expression may hold an expression of its own
    expression = r"""\{\{(?:"[^"]*"|'[^']*'|[^"'}]|\}(?!\}))*\}\}"""
    sql = re.sub(r"\{#.*?#\}|\{%.*?%\}|" + expression, " ", sql, flags=re.S)
    sql = re.sub(r"--[^\n]*", " ", sql)
    return re.sub(r"'[^']*'", "''", sql)


def layer(node) -> str:
    return node.fqn[1]


@pytest.fixture(scope="module")
def models(manifest):
    return [
        node
        for node in manifest.nodes.values()
        if node.resource_type == "model" and node.package_name == "ledgerline"
    ]


@pytest.fixture(scope="module")
def tests(manifest):
    return [node for node in manifest.nodes.values() if node.resource_type == "test"]


def parents(manifest, node, kind: str) -> list:
    nodes = {**manifest.nodes, **manifest.sources}
    return [nodes[name] for name in node.depends_on.nodes if nodes[name].resource_type == kind]


@pytest.mark.parametrize("pattern", NOT_PORTABLE, ids=NOT_PORTABLE.values())
def test_portable_sql_outside_macros(pattern):
    found = [
        f"{path.relative_to(ROOT)}: {match[0].strip()}"
        for path in SQL_FILES
        for match in re.finditer(pattern, without_comments(path.read_text()), re.I)
    ]
    assert found == []


def test_the_lint_sees_what_it_bans():
    bad = "select a::int, b->>'c', string_agg(d, ','), e at time zone 'UTC' from f where g ~ 'h'"
    hits = {
        name for pattern, name in NOT_PORTABLE.items() if re.search(pattern, without_comments(bad))
    }
    assert {"a cast as ::", "a JSON operator", "string_agg", "at time zone"} <= hits
    assert "a regular-expression operator" in hits
    for line, name in {
        'select a as "b" from c': "double quotes: a text elsewhere",
        "select first_date - last_date from a": "date - date: use dbt.datediff",
        "select count(*) / count(a) from b": "a division of whole numbers",
        "row_number() over (order by a desc)": "order without nulls",
        "row_number() over (order by paid_at asc)": "order without nulls",
        "select cast(a as int)": "a type",
        "select 5 % 2": "an operator of Postgres: mod(), power()",
    }.items():
        [pattern] = [known for known, what in NOT_PORTABLE.items() if what == name]
        assert re.search(pattern, without_comments(line), re.I), line


def test_data_tests_is_the_key():
    found = []

    def look(value, path):
        if isinstance(value, dict):
            if "tests" in value:
                found.append(path)
            for child in value.values():
                look(child, path)
        elif isinstance(value, list):
            for child in value:
                look(child, path)

    for path in YAML_FILES:
        look(yaml.safe_load(path.read_text()), str(path.relative_to(ROOT)))
    assert found == []


def test_folders_are_layers(models):
    assert {layer(model) for model in models} <= {*LAYERS, "semantic"}


def test_names_say_the_layer(models):
    prefixes = {
        "staging": ("stg_shop__",),
        "intermediate": ("int_",),
        "marts": ("dim_", "fct_", "bridge_"),
        "reporting": ("agg_", "obt_", "compat_"),
    }
    wrong = [
        model.name
        for model in models
        if layer(model) in prefixes and not model.name.startswith(prefixes[layer(model)])
    ]
    assert wrong == []


def test_compatibility_views_are_named_after_their_system_and_table(models):
    """compat_<system>__<table> in compat/<system>/ is <table> in the system's own schema."""
    wrong = [
        model.name
        for model in models
        if model.name.startswith("compat_") or "compat" in model.fqn[:-1]
        if model.fqn[1:3] != ["reporting", "compat"]
        or model.name != f"compat_{model.fqn[3]}__{model.alias}"
        or model.schema != model.fqn[3]
        or model.config.materialized != "view"
    ]
    assert wrong == []


def test_compatibility_views_have_the_totals_of_the_marts(models, tests):
    proven = {
        test.attached_node
        for test in tests
        if getattr(test, "test_metadata", None)
        and test.test_metadata.name in ("sum_matches", "row_count_matches")
    }
    wrong = [m.name for m in models if m.name.startswith("compat_") and m.unique_id not in proven]
    assert wrong == []


def test_staging_reads_one_source_and_no_model(manifest, models):
    wrong = [
        model.name
        for model in models
        if layer(model) == "staging"
        and (len(parents(manifest, model, "source")) != 1 or parents(manifest, model, "model"))
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("above", "below"),
    [
        ("marts", {"intermediate", "marts", "staging"}),
        ("reporting", {"marts", "reporting", "intermediate"}),
        ("features", {"marts", "reporting", "features", "intermediate"}),
    ],
)
def test_a_layer_reads_only_layers_under_it(manifest, models, above, below):
    wrong = [
        (model.name, parent.name)
        for model in models
        if layer(model) == above
        for parent in parents(manifest, model, "model")
        if layer(parent) not in below
    ]
    assert wrong == []


def test_only_staging_proof_and_predictions_read_sources(manifest, models):
    wrong = [
        model.name
        for model in models
        if layer(model) not in ("staging", "quality", "predictions")
        and parents(manifest, model, "source")
    ]
    assert wrong == []


def test_no_model_stands_on_nothing(models):
    assert [model.name for model in models if not model.depends_on.nodes] == []


def promised(column) -> set[str]:
    return {constraint.type.value for constraint in column.constraints or []}


def test_tables_refuse_nulls_and_views_are_tested_for_them(models, tests):
    """A constraint holds in every row at any time; a view, seed or source needs a test."""
    by_id = {model.unique_id: model for model in models}
    tested = {
        (test.attached_node, test.column_name)
        for test in tests
        if getattr(test, "test_metadata", None) and test.test_metadata.name == "not_null"
    }
    tables = {name for name, model in by_id.items() if model.config.materialized != "view"}
    assert {node for node, _ in tested} & tables == set(), "say constraints: [{type: not_null}]"
    views = [
        f"{model.name}.{column.name}"
        for model in models
        if model.unique_id not in tables
        for column in model.columns.values()
        if promised(column)
    ]
    assert views == [], "Postgres enforces nothing on a view"


def test_no_key_of_an_increment_can_be_null(models):
    """A null key equals none: its row would stay for ever. Without contract a macro sees to it."""
    wrong = [
        f"{model.name}.{name}"
        for model in models
        if model.config.get("incremental_strategy") == "by_entity"
        and model.config.contract.enforced
        for name in model.config.unique_key
        if not promised(model.columns[name]) & {"not_null", "primary_key"}
    ]
    assert wrong == []


def test_every_model_has_a_grain_test(models, tests):
    tested = {
        test.attached_node
        for test in tests
        if getattr(test, "test_metadata", None)
        and test.test_metadata.name in ("unique_grain", "unique")
    }
    assert [model.name for model in models if model.unique_id not in tested] == []


def test_descriptions_begin_with_the_grain(models):
    grain = re.compile("One row( per |: )")  # "One row: …" is a table of a single one
    wrong = [m.name for m in models if not grain.match(m.description.strip())]
    assert wrong == []


def test_seeds_and_snapshots_are_described(manifest):
    wrong = [
        node.name
        for node in manifest.nodes.values()
        if node.resource_type in ("seed", "snapshot")
        and not node.description.strip().startswith("One row per")
    ]
    assert wrong == []


def test_columns_of_staging_and_of_public_models_are_described(models):
    wrong = [
        f"{model.name}.{column.name}"
        for model in models
        if layer(model) == "staging" or model.access == "public"
        for column in model.columns.values()
        if not column.description.strip()
    ]
    assert wrong == []


def test_public_models_are_contracted(models):
    wrong = [
        model.name
        for model in models
        if model.access == "public" and not model.config.contract.enforced
    ]
    assert wrong == []


def test_marts_are_public(models):
    wrong = [m.name for m in models if layer(m) == "marts" and m.access != "public"]
    assert wrong == []


def test_sources_have_freshness(manifest):
    wrong = [
        source.name
        for source in manifest.sources.values()
        if not (source.loaded_at_field or source.loaded_at_query)
        or not (source.freshness and source.freshness.warn_after)
    ]
    assert wrong == []


def test_macros_are_documented_and_one_a_file(manifest):
    ours = [
        macro
        for macro in manifest.macros.values()
        if macro.package_name == "ledgerline"
        and macro.original_file_path.startswith("macros/")
        and not re.match(r"(default|postgres|spark)__", macro.name)
    ]
    files = [macro.original_file_path for macro in ours]
    assert [file for file in set(files) if files.count(file) > 1] == []
    wrong = [
        macro.name
        for macro in ours
        if not macro.description.strip()
        and not (ROOT / macro.original_file_path).read_text().startswith("{#")
    ]
    assert wrong == []


def test_incremental_models_know_what_their_parents_change(manifest, models):
    """A parent logs what it changes, is a seed, or is named with the reason why it need not."""

    def by_entity(node):
        return node.config.get("incremental_strategy") == "by_entity"

    def is_known(parent):
        return parent.resource_type == "seed" or (
            parent.resource_type == "model"
            and parent.config.materialized == "incremental"
            and parent.config.get("incremental_strategy") in ("by_document", "by_entity")
        )

    nodes = {**manifest.nodes, **manifest.sources}
    wrong = [
        (model.name, parent.name)
        for model in models
        # without an entity's column a model is computed as a whole, whatever it reads
        if by_entity(model) and model.config.meta.get("entity_column")
        for parent in (nodes[name] for name in model.depends_on.nodes)
        if not is_known(parent)
        and len(model.config.meta.get("untracked", {}).get(parent.name, "")) < 20
    ]
    assert wrong == []


def test_incremental_models_that_read_the_day_say_what_a_new_one_touches(models):
    """By an expansion with the day in it, or with what the table itself ended with."""
    wrong = [
        model.name
        for model in models
        if model.config.meta.get("entity_column")
        and "model.ledgerline.int_store_clock" in model.depends_on.nodes
        and not re.search(
            r"as_of_date\(\)|last_day_built\(|customer_months_since\(",
            str(model.config.meta.get("touched_also")),
        )
    ]
    assert wrong == []


def test_incremental_models_log_what_they_change(models):
    """Who reads them is left alone where nothing is logged, and so are their tests."""
    wrong = [
        model.name
        for model in models
        if model.config.get("incremental_strategy") == "by_entity"
        and not {"entity_column", "touches", "narrow_touches"} & model.config.meta.keys()
    ]
    assert wrong == []


# a column of the same name, of something else
NAMED_ALIKE = {
    "fct_reviews": "the status of a review",
    "fct_payments": "the status of a payment",
    "fct_order_status_events": "the status that an event tells",
}


def test_who_reads_a_column_that_is_set_apart_takes_its_touches_over(manifest, models):
    """Straight or through views: a row in which nothing else changed touches nobody else."""
    by_name = {model.unique_id: model for model in models}
    readers: dict[str, list] = {}
    for model in models:
        for name in model.depends_on.nodes:
            readers.setdefault(name, []).append(model)

    def incremental_readers(name):
        for model in readers.get(name, []):
            if model.config.materialized == "view":
                yield from incremental_readers(model.unique_id)
            elif model.config.meta.get("entity_column"):
                yield model

    pairs = [
        (parent, entity, read["columns"])
        for parent in by_name.values()
        for entity, read in parent.config.meta.get("set_apart", {}).items()
    ]
    assert pairs
    wrong = [
        (parent.name, reader.name)
        for parent, entity, columns in pairs
        for reader in incremental_readers(parent.unique_id)
        if re.search(rf"\b({'|'.join(columns)})\b", without_comments(reader.raw_code))
        and f"touched('{entity}')" not in str(reader.config.meta.get("touched_also"))
        and reader.name not in NAMED_ALIKE
    ]
    assert wrong == []
    unknown = [
        (parent.name, column)
        for parent, _, columns in pairs
        for column in columns
        if len(re.findall(rf"\b{column}\b", parent.raw_code)) < 2
    ]
    assert unknown == []


def test_incremental_models_read_only_touched_rows(models):
    wrong = [
        model.name
        for model in models
        if model.config.get("incremental_strategy") == "by_entity"
        and bool(model.config.meta.get("entity_column")) != ("is_touched(" in model.raw_code)
    ]
    assert wrong == []


# --- shape of the graph --------------------------------------------------------------------------

MOST_CHILDREN = 30
MOST_JOINS = 14
# every model may ask for the day; who changes the clock builds everything anew
READ_BY_ALL = {"int_store_clock"}


def test_marts_on_staging_are_listed_with_their_reason(manifest, models):
    listed = yaml.safe_load((ROOT / "tests/layers.yml").read_text())["marts_on_staging"]
    found = {
        (model.name, parent.name)
        for model in models
        if layer(model) == "marts"
        for parent in parents(manifest, model, "model")
        if layer(parent) == "staging"
    }
    allowed = {(mart, parent) for mart, reasons in listed.items() for parent in reasons}
    assert found - allowed == set(), "let it stand on an intermediate model"
    assert allowed - found == set(), "remove what is no longer so: the list only shrinks"
    short = [mart for mart, reasons in listed.items() if any(len(r) < 20 for r in reasons.values())]
    assert short == []


def test_reporting_features_and_predictions_do_not_read_staging(manifest, models):
    wrong = [
        (model.name, parent.name)
        for model in models
        if layer(model) in ("reporting", "features", "predictions", "semantic")
        for parent in parents(manifest, model, "model")
        if layer(parent) == "staging"
    ]
    assert wrong == []


def test_no_model_has_too_many_children_or_joins(manifest, models):
    """A model that all lean on can't be changed; one that joins all can't be read."""
    children = [
        parent.name
        for model in models
        for parent in parents(manifest, model, "model")
        if layer(model) != "quality"
    ]
    crowded = {name for name in children if children.count(name) > MOST_CHILDREN} - READ_BY_ALL
    assert crowded == set()
    tangled = {
        model.name: joins
        for model in models
        if (joins := len(re.findall(r"\bjoin\b", without_comments(model.raw_code), re.I)))
        > MOST_JOINS
    }
    assert tangled == {}


def test_public_models_are_exposed_and_exposed_ones_public(manifest, models):
    exposed = {
        name for exposure in manifest.exposures.values() for name in exposure.depends_on.nodes
    }
    public = {model.unique_id for model in models if model.access == "public"}
    assert {name for name in exposed if name.startswith("model.")} - public == set()
    assert public - exposed == set(), "add it to models/reporting/_reporting__exposures.yml"


def test_groups_have_owners_and_say_what_they_hold(manifest, models):
    groups = {group.name: group for group in manifest.groups.values()}
    assert [name for name, group in groups.items() if not group.owner.name] == []
    assert [name for name, group in groups.items() if not (group.description or "").strip()] == []
    assert {model.group for model in models} <= groups.keys()
    areas = {model.fqn[2]: model.group for model in models if layer(model) == "marts"}
    assert areas == {area: area for area in areas}


def test_no_test_warns_or_is_switched_off(manifest, tests):
    warns = [
        test.name
        for test in tests
        if test.config.severity.lower() != "error" or not test.config.enabled
    ]
    assert warns == []
    disabled = [
        node.name
        for nodes in manifest.disabled.values()
        for node in nodes
        if node.package_name == "ledgerline"
    ]
    assert disabled == []


def test_every_fact_has_an_accounting_identity(models, tests):
    """A test over its sums or rows: its own, or one that holds it against another model."""
    held = {
        node
        for test in tests
        if getattr(test, "test_metadata", None) is None
        or test.test_metadata.name in ("expression_is_true", "sum_matches", "row_count_matches")
        for node in test.depends_on.nodes
    }
    wrong = [m.name for m in models if m.name.startswith("fct_") and m.unique_id not in held]
    assert wrong == []


def test_yaml_keys_are_known_and_nothing_is_deprecated(dbt_environment, monkeypatch):
    """dbt looks for misspelt and old keys on four adapters only; Postgres is added to them."""
    monkeypatch.setattr(
        jsonschemas,
        "_JSONSCHEMA_SUPPORTED_ADAPTERS",
        jsonschemas._JSONSCHEMA_SUPPORTED_ADAPTERS | {"postgres"},
    )
    told: list[str] = []
    runner = dbtRunner(
        callbacks=[lambda e: told.append(e.info.msg) if e.info.level in ("warn", "error") else None]
    )
    options = dbt_environment("deprecations")
    result = runner.invoke(
        ["--show-all-deprecations", "--warn-error", "parse", "--no-partial-parse", *options]
    )
    assert told == []
    assert result.success, result.exception


def test_a_misspelt_key_would_be_seen(monkeypatch):
    """Or else the test above would pass whatever stands in the YAML."""
    found = []
    monkeypatch.setattr(jsonschemas, "_can_run_validations", lambda: True)
    monkeypatch.setattr(jsonschemas.deprecations, "warn", lambda *a, **k: found.append((a, k)))
    jsonschemas.jsonschema_validate(
        jsonschemas.resources_schema(),
        {"version": 2, "models": [{"name": "a", "descripton": "b"}]},
        "models/a.yml",
    )
    assert found


# --- who may see a column ------------------------------------------------------------------------

COST = re.compile(
    r"(^|_)(cogs|costs?|fees?|profit|margin|overhead|contribution|gmroi|poas|cm[123]"
    r"|inventory_value|stock_value)(_|$)"
)
NO_COST = re.compile(
    r"^overhead$|cost_coverage|cost_source|costed_demand|^(is|has)_|_(key|date|month|reason)$"
)
PERSONAL = re.compile(
    r"^(email|phone|first_name|last_name|full_name|gender|birth_date|age|age_group|ip|postal_code"
    r"|line1|latitude|longitude|guest_email|guest_phone|email_hash|phone_hash)$"
)
SEEN_LAYERS = ("marts", "reporting", "predictions", "quality")


def tags(node, column) -> set[str]:
    meta = {**(column.meta or {}), **(column.config.meta or {}), **node.config.meta}
    return {tag for tag in ("pii", "finance") if meta.get(tag)}


def test_costs_and_margins_are_tagged(models):
    """A column that a reader may see and that smells of cost is tagged, or stands below."""
    untagged = {
        f"{model.name}.{column.name}"
        for model in models
        if layer(model) in SEEN_LAYERS
        for column in model.columns.values()
        if COST.search(column.name)
        and not NO_COST.search(column.name)
        and "finance" not in tags(model, column)
    }
    # what advertising costs is marketing's own figure, as its budget is
    advertising = {"fct_touchpoints.cost_amount"}
    assert untagged - advertising == set()


def test_personal_data_is_tagged_wherever_it_stands(models):
    untagged = {
        f"{model.name}.{column.name}"
        for model in models
        if layer(model) != "intermediate"
        for column in model.columns.values()
        # a town is a place, and of one person it is where they live
        if (PERSONAL.search(column.name) or (column.name == "city" and "customer" in model.name))
        and "pii" not in tags(model, column)
    }
    assert untagged == set()


def test_personal_data_lives_in_few_places(models):
    """Marts hold hashes and rough attributes of people in two dimensions; the list only shrinks.

    What reviews say is learned from, and shown nowhere.
    """
    places = {
        model.name
        for model in models
        if layer(model) not in ("staging", "intermediate")
        and not model.name.startswith("compat_")
        and any("pii" in tags(model, column) for column in model.columns.values())
    }
    people = {"dim_customers", "dim_customers_history", "bridge_customer_identity"}
    assert places <= people | {"review_texts"}


def test_grants_name_our_roles_and_only_select(manifest):
    wrong = [
        node.name
        for node in manifest.nodes.values()
        if node.resource_type in ("model", "seed", "snapshot")
        and (
            set(node.config.grants) - {"select"}
            or any(
                not role.startswith("ledgerline_") for role in node.config.grants.get("select", [])
            )
        )
    ]
    assert wrong == []


def test_what_a_reader_sees_lists_all_its_columns(models):
    """Where a column is tagged the others are granted by name, so none may be missing in YAML."""
    wrong = [
        model.name
        for model in models
        if any(tags(model, column) for column in model.columns.values())
        and layer(model) in ("marts", "reporting", "predictions")
        and not model.config.contract.enforced
    ]
    assert wrong == []
