"""`ledgerline schema`: what staging reads, what it should read, and lines that can be pasted."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from bson import Decimal128, ObjectId
from conftest import Warehouse
from dbt.cli.main import dbtRunner
from pymongo.database import Database
from typer.testing import CliRunner

from loaders.drift import cli as schema_cli
from loaders.drift import observe as drift
from loaders.drift.changes import Field
from loaders.drift.staging_models import STAGING, Model, Read, read_model, staging_models
from loaders.drift.suggest import Addition, cast_for, suggest, unhandled
from loaders.errors import UserError
from loaders.settings import ROOT

Shop = Database[dict[str, Any]]


def seen(occurrences: dict[str, int], sampled: int = 100) -> Field:
    present = min(sum(occurrences.values()), sampled)
    return Field(sampled, present, dict(occurrences), dict(occurrences))


def model_of(folder: Path, text: str) -> Model:
    file = folder / "stg_shop__things.sql"
    file.write_text(text)
    return read_model(file)


# --- what staging reads ---------------------------------------------------------------------------


def test_every_line_of_every_list_of_columns_is_found() -> None:
    models = staging_models()
    assert len(models) == len(list(STAGING.rglob("*.sql")))
    for model in models:
        text = model.file.read_text()
        listed = re.findall(r"^    \('(\w+)', '(\w+)', (.+)\),$", text, re.MULTILINE)
        expected = {
            (column, cast, path)
            for column, cast, paths in listed
            for path in re.findall(r"'([^']+)'", paths)
        }
        found = {
            (read.column, read.cast, ".".join(read.steps[len(start) :]) or "$")
            for read in model.reads
            if read.cast
            for start in model.lists
            if read.steps[: len(start)] == start
        }
        assert expected
        assert found == expected, model.name
        assert f"source('shop', '{model.collection}')" in text


def test_elements_are_followed_through_ctes() -> None:
    models = {model.name: model for model in staging_models()}
    items, users = models["stg_shop__order_items"], models["stg_shop__users"]
    discounts = models["stg_shop__order_item_discounts"]
    assert discounts.lists == [("items", "[]", "discounts", "[]")]
    assert models["stg_shop__product_categories"].lists == [
        ("categories", "[]"),
        ("category", "[]"),
    ]
    # read by a macro of its own, from a column that came through another CTE
    assert Read(("items", "[]", "discounts", "[]", "amount")) in items.reads
    assert Read(("addresses", "[]", "city")) in users.reads


def test_what_a_read_covers() -> None:
    read = Read(("items", "[]", "sku"))
    assert read.covers(["items", "[]", "sku"])
    assert read.covers(["items", "*", "sku"]), "an object where a list is expected"
    assert not read.covers(["items", "[]", "qty"])
    assert not read.covers(["items"])
    assert Read(("tags", "[]")).covers(["tags"]), "one value where a list is expected"
    assert Read(("tags", "0")).covers(["tags", "[]"])
    assert not Read(("Name",)).covers(["name"])


def test_models_written_in_other_ways(tmp_path: Path) -> None:
    model = model_of(
        tmp_path,
        """
        {#- a comment with {{ json_text('doc', 'not.this') }} -#}
        {%- set columns = [('a', 'text', 'a'),
            ("b", "number", ['b', "old.b"]), ] -%}
        with start as ({{ changed_documents(documents=source("shop", "things")) }}),
        narrow as (select document_id, doc as body, coalesce(1, (2)) as two from start),
        made AS (
            {{ json_to_columns(
                relation='narrow', document='body', columns=columns, keep=['body']) }}
        )
        select a, {{ json_value('body', 'c.d') }} as d, {{ some_other_macro(ref('x').y) }} from made
        """,
    )
    assert model.collection == "things"
    assert {read.steps for read in model.reads} == {("a",), ("b",), ("old", "b")}
    assert model.lists == [()]


def test_a_model_that_is_no_template_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"stg_shop__things\.sql can't be read as a dbt model"):
        model_of(tmp_path, "{% set columns = [ %}")


# --- names and casts ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "occurrences", "cast"),
    [
        ("buyer", {"objectId": 60, "string": 40}, "id"),
        ("customer_id", {"int": 10}, "id"),
        ("visitor_id", {"string": 10}, "text"),
        ("at", {"date": 99, "string:date": 1}, "timestamp"),
        ("opening_date", {"string:date": 10}, "date"),
        ("birthday", {"date": 10, "null": 50}, "date"),
        ("seen_at", {"long": 10}, "timestamp"),
        ("views", {"int": 9, "long": 1}, "integer"),
        ("views", {"int": 9, "string:number": 1}, "number"),
        ("price", {"double": 5, "decimal": 5}, "number"),
        ("phone", {"string:number": 9, "string": 1}, "text"),
        ("amount", {"string:number": 9, "string:empty": 30}, "number"),
        ("gift", {"bool": 8, "string:boolean": 2}, "boolean"),
        ("gift", {"bool": 1, "int": 9}, "integer"),
        ("answer", {"string:boolean": 10}, "boolean"),
        ("country", {"string:boolean": 1, "string": 9}, "text"),
        ("status", {"string": 10}, "code"),
        ("status", {"int": 10}, "integer"),
        ("blob", {"binData": 10}, "text"),
    ],
)
def test_casts_by_type_and_name(path: str, occurrences: dict[str, int], cast: str) -> None:
    assert cast_for(path, seen(occurrences)) == cast


def only(additions: list[Addition]) -> Addition:
    [addition] = additions
    return addition


def test_names_follow_the_rules_and_are_free() -> None:
    fields = {
        "order": seen({"int": 9}),
        "shipTo.postalCode": seen({"string": 9}),
        "gift": seen({"bool": 9}),
        "paid": seen({"date": 9}),
        "2nd": seen({"int": 9}),
        '"größe"': seen({"string": 9}),
        "x" * 80 + ".v": seen({"int": 9}),
        "name": seen({"string": 90}),
        "Name": seen({"string": 90}),
    }
    additions, remarks = suggest(fields, [], {"order"})
    names = {column.paths: column.name for column in only(additions).columns}
    assert names == {
        ("order",): "order_raw",
        ("shipTo.postalCode",): "ship_to_postal_code",
        ("gift",): "is_gift",
        ("paid",): "paid_at",
        ("2nd",): "field_2nd",
        ("größe",): "groe",
        ("Name",): "name",
        ("name",): "name_raw",
    }
    assert [remark.path[:3] for remark in remarks] == ["xxx"], "no identifier is that long"


def test_an_older_and_a_newer_form_are_one_column() -> None:
    fields = {"ship.city": seen({"string": 70}), "ship_city": seen({"string": 30})}
    [column] = only(suggest(fields, [], ())[0]).columns
    assert column.line() == "    ('ship_city', 'text', ['ship.city', 'ship_city']),"


def test_keys_that_no_path_can_name_are_told() -> None:
    keys = ['"a.b"', '""', r'"say \"hi\""', '"it\'s"', '"x{y"', "null", '"trailing "', "$"]
    additions, remarks = suggest({key: seen({"int": 1}) for key in keys}, [], ())
    assert additions == []
    assert [remark.path.split(": in ")[0] for remark in remarks] == keys


def test_arrays_and_maps_need_models_of_their_own(tmp_path: Path) -> None:
    model = model_of(
        tmp_path,
        """
        {% set columns = [('a', 'text', 'a')] %}
        with documents as ({{ changed_documents(source('shop', 'things')) }}),
        typed as ({{ json_to_columns('documents', 'doc', columns, []) }})
        select * from typed
        """,
    )
    fields = {
        "_id": seen({"objectId": 100}),
        "a": seen({"string": 97, "object": 3}),
        "new": seen({"object": 50}),
        "new.b": seen({"int": 50}),
        "lines": seen({"array": 50}),
        "lines[]": seen({"object": 80}),
        "lines[].sku": seen({"string": 80}),
        "lines[].tags": seen({"array": 80}),
        "lines[].tags[]": seen({"string": 80}),
        "stock": seen({"object": 50}),
        "stock.*": seen({"int": 80}),
    }
    additions, remarks = suggest(fields, [model], ())
    found = {
        (addition.model.name if addition.model else None, addition.container): [
            column.line().strip() for column in addition.columns
        ]
        for addition in additions
    }
    assert found == {
        ("stg_shop__things", ""): ["('new_b', 'integer', 'new.b'),"],
        (None, "lines[]"): ["('sku', 'text', 'sku'),"],
        (None, "lines[].tags[]"): ["('lines_tags', 'text', '$'),"],
        (None, "stock.*"): ["('stock', 'integer', '$'),"],
    }
    assert [(remark.path, remark.text) for remark in remarks] == [
        ("a", "object (3 %): not for the cast text of a")
    ]


def test_casts_that_do_not_fit_what_was_seen() -> None:
    mixed = seen({"double": 90, "string:number": 5, "string": 3, "bool": 2, "null": 50})
    assert unhandled("number", mixed) == ["bool (2 %)", "string (3 %)"]
    assert unhandled("text", mixed) == []
    assert unhandled("timestamp", seen({"date": 1, "string": 1, "string:empty": 9})) == [
        "string (50 %)"
    ]


# --- the commands ---------------------------------------------------------------------------------


def run(*arguments: str) -> str:
    result = CliRunner().invoke(schema_cli.app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.servers
def test_show_and_changes(warehouse: Warehouse, shop: Shop) -> None:
    shop.orders.insert_many([{"a": i, "b": "x"} for i in range(30)])
    warehouse.load("orders")
    lines = run("show", "orders").splitlines()
    assert "orders\ta\t100 %\tint" in lines, "looked at now, as nobody had"
    assert run("changes") == ""
    shop.orders.insert_many([{"a": "12,50", "c": None} for _ in range(30)])
    drift.observe_results(warehouse.conn, warehouse.load("orders"))
    told = [line.split("\t")[3:5] for line in run("changes", "orders").splitlines()]
    assert told == [["a", "new type"], ["b", "vanished"], ["c", "new"]]
    assert "orders\tb\tvanished\t" in run("show").splitlines()
    assert run("changes", "--since", "2000-01-01") == run("changes")
    assert run("changes", "--since", "2999-01-01") == ""


@pytest.mark.servers
def test_a_collection_that_was_never_loaded_is_named(warehouse: Warehouse, shop: Shop) -> None:
    shop.orders.insert_one({"a": 1})
    with pytest.raises(UserError, match='no collection "ordres" was loaded; there is nothing yet'):
        run("show", "ordres")
    warehouse.load("orders")
    with pytest.raises(UserError, match='no collection "ordres" was loaded; there is orders'):
        run("suggest", "ordres")


# --- pasted ---------------------------------------------------------------------------------------


@pytest.fixture
def project(tmp_path: Path, warehouse: Warehouse) -> tuple[Path, Callable[..., Any]]:
    """A copy of the staging models in a dbt project of its own, and dbt for it."""
    for name in ("dbt_project.yml", "macros", "models/staging", "models/_groups.yml"):
        origin, copy = ROOT / name, tmp_path / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(origin, copy) if origin.is_dir() else shutil.copy(origin, copy)
    (tmp_path / "models/staging/shop/_shop__models.yml").unlink()  # its tests are elsewhere

    def dbt(*arguments: str) -> Any:
        options = ["--project-dir", str(tmp_path), "--quiet", "--no-use-colors"]
        options += ["--profiles-dir", os.environ["DBT_PROFILES_DIR"]]
        options += ["--target-path", str(tmp_path / "target"), "--log-path", str(tmp_path / "logs")]
        return dbtRunner().invoke([*arguments, *options])

    return tmp_path, dbt


def paste(file: Path, text: str, suggested: str) -> None:
    """Do by hand what the output of `suggest` says for one model."""
    block = suggested.split(f"{file.name}: into the list `columns`\n")[1]
    columns, rest = block.split("-- into its last select\n", maxsplit=1)
    selected = rest.split("-- then:")[0]
    text = text.replace("] %}", columns + "] %}", 1)
    file.write_text(
        text.replace("        cast_failures,\n", selected + "        cast_failures,\n", 1)
    )


@pytest.mark.servers
@pytest.mark.dbt
@pytest.mark.slow
def test_suggestions_can_be_pasted_and_built(
    warehouse: Warehouse, shop: Shop, project: tuple[Path, Callable[..., Any]]
) -> None:
    folder, dbt = project
    now = datetime(2026, 3, 1, 12, tzinfo=UTC)
    shop.support_tickets.insert_many(
        [
            {
                "user_id": ObjectId(),
                "topic": "returns",
                "at": now,
                "order": 7,
                "table": {"from": "x", "agentName": "Kim"},
                "escalated": "yes" if i else True,
                "cost": "12,50" if i else Decimal128("3.10"),
                "due": "31/12/2026",
                "first reply": now,
                "größe": "XL",
                "$note": "call back",
                "typed": 1,
                "status": "Open",
                "owner": ObjectId(),
                "visits": 3,
                "replies": [{"by": "Kim", "at": now}],
                "a.b": 1,
            }
            for i in range(5)
        ]
    )
    warehouse.load("support_tickets")
    suggested = run("suggest", "support_tickets")
    file = folder / "models/staging/shop/stg_shop__support_tickets.sql"
    paste(file, file.read_text(), suggested)
    result = dbt("run", "--select", "stg_shop__support_tickets")
    assert result.success, (result.exception, [r.message for r in result.result or ()], suggested)

    rows = warehouse.all(
        """
        select distinct order_raw, table_from, table_agent_name, is_escalated, due_at,
            first_reply_at, groe, note, typed_raw, status, visits, cast_failures
        from staging.stg_shop__support_tickets
        """
    )
    due = datetime(2026, 12, 31, tzinfo=UTC)
    assert rows == [(7, "x", "Kim", True, due, now, "XL", "call back", 1, "open", 3, None)]
    costs = warehouse.all("select distinct cost::text from staging.stg_shop__support_tickets")
    assert sorted(costs) == [("12.50",), ("3.10",)]
    assert (
        warehouse.one("select count(distinct owner_id) from staging.stg_shop__support_tickets") == 5
    )

    # what is read now is not suggested again; what no line can say still is
    fields = drift.fields_now(warehouse.conn, "support_tickets")
    readers = [m for m in staging_models(folder / "models") if m.collection == "support_tickets"]
    additions, remarks = suggest(fields, readers, ())
    assert [addition.container for addition in additions] == ["replies[]"]
    assert [remark.path.split(":")[0] for remark in remarks] == ['"a.b"']
    assert "replies[] (in 100 % of documents; object): one row per element" in suggested


@pytest.mark.servers
@pytest.mark.dbt
@pytest.mark.slow
def test_kinds_of_text_are_those_that_the_casts_can_read(
    warehouse: Warehouse, shop: Shop, project: tuple[Path, Callable[..., Any]]
) -> None:
    shop.orders.insert_one({"a": 1})
    warehouse.load("orders")
    texts = [
        "12,50",
        "2",
        "-1.5",
        ".5",
        "1e3",
        "1,234",
        "1,234.50",
        "1.234,50",
        "1.234.567",
        "12 kg",
    ]
    texts += [
        "2026-03-01",
        "2026-03-01T10:00:00+02:00",
        "1/2/2026",
        "31/12/2026 10:30",
        "2026-13-01",
    ]
    texts += [
        "yes",
        "No",
        "TRUE",
        "off",
        "maybe",
        "t",
        "f",
        "n/a",
        "Emma",
        "\u00a012",
        "0000-01-01",
    ]
    _, dbt = project
    macros = "{{ text_to_number('t') }} as n, {{ text_to_timestamp('t') }} as d"
    truth = "{{ safe_boolean('to_jsonb(t)') }} as b"
    result = dbt("compile", "--inline", f"{macros}, {truth}")
    assert result.success, result.exception
    casts = result.result.results[0].node.compiled_code
    rows = warehouse.conn.execute(
        f"select t, n is not null, d is not null, b is not null, ops.text_type(t, false) "
        f"from (select t, {casts.replace('%', '%%')} from unnest(%s::text[]) as t) as x",
        [texts],
    ).fetchall()
    assert len(rows) == len(texts)
    for text, number, moment, truthful, kind in rows:
        expected = "number" if number else "date" if moment else "boolean" if truthful else ""
        assert kind == f"string:{expected}".removesuffix(":"), text
