"""The drift observatory: what the documents' fields are, and what changed, from load to load."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import bson
import psycopg
import pytest
from bson import Binary, Decimal128, Int64, MinKey, ObjectId, Regex, Timestamp
from bson.datetime_ms import DatetimeMS
from conftest import Warehouse
from pymongo.database import Database
from structlog.testing import capture_logs

from loaders import landing
from loaders.documents import encoding
from loaders.drift import observe as drift
from loaders.drift.changes import Field, Known, compare, maps_among, parent, steps
from loaders.drift.observe import Observation
from loaders.settings import ROOT

pytestmark = pytest.mark.servers

Shop = Database[dict[str, Any]]
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def put(shop: Shop, documents: Iterable[dict[str, Any]]) -> None:
    """Add documents, all of them new to an incremental load."""
    now = datetime.now(UTC)
    shop.orders.insert_many([{"updated_at": now, **document} for document in documents])


def look(warehouse: Warehouse) -> Observation:
    """Load what is new, and look at it."""
    [observation] = drift.observe_results(warehouse.conn, warehouse.load("orders"))
    return observation


def changes(observation: Observation) -> set[tuple[str, str]]:
    return {(change.path, change.kind) for change in observation.changes}


def types(warehouse: Warehouse, path: str) -> dict[str, int]:
    """Values of a field by type, as they were noted last."""
    return drift.fields_now(warehouse.conn, "orders")[path].occurrences


# --- what is seen ---------------------------------------------------------------------------------


def test_the_first_look_notes_types_and_presence_and_raises_nothing(
    warehouse: Warehouse, shop: Shop
) -> None:
    put(
        shop,
        (
            {
                "n": i,
                "ship": {"city": "Ulm"},
                "items": [{"sku": f"a{i}", "qty": 1}, {"sku": "b"}],
                "tags": ["x", 1, None] if i < 10 else [],
            }
            for i in range(40)
        ),
    )
    seen = look(warehouse)
    assert (seen.documents, seen.changes) == (40, [])
    now = drift.fields_now(warehouse.conn, "orders")
    assert set(now) == {
        *("_id", "updated_at", "n", "ship", "ship.city", "items", "items[]", "items[].sku"),
        *("items[].qty", "tags", "tags[]"),
    }
    assert now["_id"].occurrences == {"objectId": 40}
    assert now["updated_at"].occurrences == {"date": 40}
    assert now["items[]"].occurrences == {"object": 80}
    assert now["items[].qty"].occurrences == {"int": 40}
    assert now["tags[]"].present == 10
    assert now["tags[]"].occurrences == {"string": 10, "int": 10, "null": 10}
    assert warehouse.all(
        "select distinct sampled, present, documents from ops.field_types where path = 'tags[]'"
    ) == [(40, 10, 10)]


def test_types_are_those_of_bson_as_far_as_raw_shows_them(warehouse: Warehouse) -> None:
    values = {
        "id": (ObjectId(), "objectId"),
        "day": (NOON, "date"),
        "far": (DatetimeMS(10**17), "date:beyond"),
        "small": (-7, "int"),
        "edge": (2**31 - 1, "int"),
        "large": (2**31, "long"),
        "half": (0.5, "double"),
        "flag": (True, "bool"),
        "none": (None, "null"),
        "bytes": (Binary(b"\0\1", 128), "binData"),
        "regex": (Regex("^a"), "regex"),
        "stamp": (Timestamp(1, 2), "timestamp"),
        "least": (MinKey(), "minKey"),
        "word": ("plain", "string"),
        "blank": ("", "string:empty"),
        "comma": ("12,50", "string:number"),
        "two": (" 2 ", "string:number"),
        "thousands": ("1.234,50", "string:number"),
        "either": ("1,234", "string"),
        "yes": ("Yes", "string:boolean"),
        "iso": ("2026-03-01", "string:date"),
        "slashes": ("31/12/2025 10:30", "string:date"),
        "hex": ("5f1e8a9b0c2d", "string"),
        # these are told apart by _types
        "exact": (Decimal128("12.50"), "decimal"),
        "wide": (Int64(5), "long"),
        "nan": (float("nan"), "double:NaN"),
        "no id": ("5f1e8a9b0c2d3e4f5a6b7c8d", "string"),
        "no date": ("2024-01-31T12:00:00Z", "string:date"),
        "no form": ({"$date": "soon"}, "object"),
    }
    # not by way of the sandbox's server, which takes no date that far
    document = bson.encode({"_id": 1} | {key: value for key, (value, _) in values.items()})
    landing.land(
        warehouse.conn,
        "orders",
        lambda: [encoding.encode([document])],
        mode="test",
        is_complete=True,
    )
    drift.observe(warehouse.conn, "orders")
    assert {key: list(types(warehouse, f'"{key}"' if " " in key else key)) for key in values} == {
        key: [kind] for key, (_, kind) in values.items()
    }


def test_what_types_says_counts_more_than_what_doc_shows(warehouse: Warehouse, shop: Shop) -> None:
    put(
        shop,
        [
            {
                "price": 12.5,
                "count": 1,
                "ref": "5f1e8a9b0c2d3e4f5a6b7c8d",
                "day": "2024-01-31T12:00:00Z",
                "odd": {"$date": "soon"},
                "list": [1, 2],
                "mixed": [1, 2],
                "deep": {"n": "NaN"},
            }
        ],
    )
    results = warehouse.load("orders")
    told = {
        "price": "decimal:0123456789abcdef0123456789abcdef",
        "count": "long",
        "ref": "string",
        "day": "string",
        "odd": "object",
        "list": ["long"],
        "mixed": {"#1": "long"},
        "deep": {"n": "double:7ff8000000000001"},
    }
    warehouse.conn.execute("update raw.orders set _types = %s", [json.dumps(told)])
    drift.observe_results(warehouse.conn, results)
    now = drift.fields_now(warehouse.conn, "orders")
    assert {path: dict(one.occurrences) for path, one in now.items() if path not in _ALWAYS} == {
        "price": {"decimal": 1},
        "count": {"long": 1},
        "ref": {"string": 1},
        "day": {"string:date": 1},
        "odd": {"object": 1},
        "odd.$date": {"string": 1},
        "list": {"array": 1},
        "list[]": {"long": 2},
        "mixed": {"array": 1},
        "mixed[]": {"int": 1, "long": 1},
        "deep": {"object": 1},
        "deep.n": {"double:NaN": 1},
    }


_ALWAYS = {"_id", "updated_at"}


def test_odd_keys_keep_their_paths_apart(warehouse: Warehouse, shop: Shop) -> None:
    keys = ["a.b", "$x", 'say "hi"', "", "it's", "*", "[]", "a b", "tab\t", "back\\slash", "%s{0}"]
    put(shop, [{"k": {key: {"v": i} for i, key in enumerate(keys)}, "a": {"b": 1}, "Name": 1}])
    look(warehouse)
    now = drift.fields_now(warehouse.conn, "orders")
    inner = {path for path in now if path.startswith("k") and path.endswith(".v")}
    assert len(inner) == len(keys)
    assert {'k."a.b".v', "k.$x.v", r'k."say \"hi\"".v', 'k."".v', 'k."*".v', 'k."[]".v'} <= inner
    assert "a.b" in now
    assert [steps(path)[0] for path in inner] == ["k"] * len(keys)
    assert {parent(parent(path)) for path in inner} == {"k"}


def test_a_collection_s_name_may_have_any_sign(warehouse: Warehouse, shop: Shop) -> None:
    name = "we%ird \"na'me{}" + "x" * 80
    shop[name].insert_many([{"a": 1}])
    results = warehouse.load(name)
    [seen] = drift.observe_results(warehouse.conn, results)
    assert (seen.collection, seen.fields) == (name, 2)


def test_deep_nesting_ends_at_a_depth(warehouse: Warehouse, shop: Shop) -> None:
    value: Any = "bottom"
    for level in range(90):
        value = [value] if level % 2 else {"n": value}
    put(shop, [{"deep": value}])
    look(warehouse)
    longest = max(drift.fields_now(warehouse.conn, "orders"), key=len)
    assert len(steps(longest)) == drift.MAX_DEPTH


def test_1700_fields_are_1700_fields(warehouse: Warehouse, shop: Shop) -> None:
    put(shop, [{f"field_{i}": i for i in range(1700)} for _ in range(3)])
    seen = look(warehouse)
    assert seen.fields == 1702
    assert warehouse.all("select fields, fields_cut from ops.field_samples") == [(1702, 0)]


def test_more_fields_than_can_be_noted_are_counted(warehouse: Warehouse, shop: Shop) -> None:
    put(shop, [{f"field_{i}": i for i in range(2500)}, {"field_1": 1, "field_2": 2}])
    look(warehouse)
    assert warehouse.all("select fields, fields_cut from ops.field_samples") == [(2000, 502)]
    assert "field_1" in drift.fields_now(warehouse.conn, "orders")


def test_a_path_too_long_for_an_index_is_shortened(warehouse: Warehouse, shop: Shop) -> None:
    put(shop, [{"k" * 5000: {"é" * 5000: i}} for i in range(2)])
    seen = look(warehouse)
    assert seen.fields == 4
    assert max(map(len, drift.fields_now(warehouse.conn, "orders"))) < 200


def test_keys_that_are_data_are_one_field(warehouse: Warehouse, shop: Shop) -> None:
    put(
        shop,
        (
            {
                "by_sku": {f"TEE-{chr(65 + (i * 40 + k) % 26)}X{i * 40 + k}": 1 for k in range(40)},
                "by_day": {f"2026-01-{i + 1:02d}": 1, "total": 3},
                "by_id": {str(ObjectId()): {"n": 1}},
                "by_mail": {f"person{i}@example.org": True},
                "stores": {"north": 1, "south": 2},
            }
            for i in range(8)
        ),
    )
    look(warehouse)
    assert set(drift.fields_now(warehouse.conn, "orders")) - _ALWAYS == {
        *("by_sku", "by_sku.*", "by_day", "by_day.*", "by_day.total", "by_id", "by_id.*"),
        *("by_id.*.n", "by_mail", "by_mail.*", "stores", "stores.north", "stores.south"),
    }
    assert types(warehouse, "by_sku.*") == {"int": 320}
    put(shop, [{"by_sku": {"CAP": 1, "HAT": 2}, "by_day": {"total": 1}}])
    assert changes(look(warehouse)) == set(), "a known map's new keys are no new fields"


def test_a_map_with_1700_keys_in_one_document(warehouse: Warehouse, shop: Shop) -> None:
    put(shop, [{"stock": {"by_sku": {f"sku_{i}": {"n": i} for i in range(1700)}}}])
    look(warehouse)
    assert set(drift.fields_now(warehouse.conn, "orders")) - _ALWAYS == {
        *("stock", "stock.by_sku", "stock.by_sku.*", "stock.by_sku.*.n")
    }


def test_an_object_that_turns_out_to_be_a_map_is_one_change(
    warehouse: Warehouse, shop: Shop
) -> None:
    put(shop, [{"m": {f"key_{i}": 1 for i in range(5)}}])
    look(warehouse)
    put(shop, [{"m": {f"other_{i}_{k}": 1 for k in range(5)}} for i in range(30)])
    seen = look(warehouse)
    [change] = seen.changes
    assert (change.path, change.kind, change.before) == ("m.*", "map", "5 fields")
    assert set(drift.fields_now(warehouse.conn, "orders")) - _ALWAYS == {"m", "m.*"}
    assert warehouse.one("select count(*) from ops.field_types where path = 'm.key_1'") == 1


def test_no_value_of_a_document_is_kept(warehouse: Warehouse, shop: Shop) -> None:
    secret = "Zaphod"
    put(
        shop,
        [{"name": secret, "tags": [secret], "m": {f"{secret}@example.org": {secret[:3]: secret}}}],
    )
    look(warehouse)
    put(shop, [{"name": 7, "new": secret, "m": {f"{secret}2@example.org": secret}}])
    with capture_logs() as logs:
        assert len(look(warehouse).changes) == 3
    for table in ("fields", "field_types", "field_samples", "schema_changes"):
        kept = warehouse.all(f"select to_jsonb(t)::text from ops.{table} t")
        assert kept
        assert not [row for row in kept if secret in row[0]], table
    assert secret not in str(logs)


# --- what changed ---------------------------------------------------------------------------------


def test_new_vanished_and_returned_fields_and_new_types(warehouse: Warehouse, shop: Shop) -> None:
    put(shop, ({"price": 1.5, "old": 1, "rare": 1} if i < 2 else {"price": 1.5, "old": 1}
               for i in range(50)))  # fmt: skip
    look(warehouse)

    put(shop, ({"price": "n/a" if i == 3 else 2.5, "gift": {"note": "x"}} for i in range(50)))
    with capture_logs() as logs:
        seen = look(warehouse)
    assert changes(seen) == {
        ("gift", "new"),
        ("gift.note", "new"),
        ("price", "new type"),
        ("old", "vanished"),
    }, "a rare field that is missing says nothing"
    found = {change.path: change for change in seen.changes}
    example = shop.orders.find_one({"price": "n/a"})
    assert example is not None
    assert found["price"].before == "double"
    assert found["price"].after == "double 98 %, string 2 %"
    assert found["price"].example == str(example["_id"])
    assert found["gift"].before == "in none of 50 documents"
    assert found["old"].before == "int; in 100 % of documents"
    rows = warehouse.all("select path, kind, batch_id from ops.schema_changes")
    assert {(path, kind) for path, kind, _ in rows} == changes(seen)
    assert {batch for _, _, batch in rows} == {seen.batch_id}
    logged = [entry["path"] for entry in logs if entry["event"] == "schema changed"]
    assert sorted(logged) == sorted(found), "each once"

    put(shop, [{"price": "n/a", "old": 1, "gift": {"note": "x"}}])
    assert changes(look(warehouse)) == {("old", "returned")}


def test_a_field_of_many_small_batches_is_missed_when_enough_of_them_lack_it(
    warehouse: Warehouse, shop: Shop
) -> None:
    put(shop, ({"a": 1, "b": 1} for _ in range(30)))
    look(warehouse)
    seen = []
    for _ in range(6):
        put(shop, ({"a": 1} for _ in range(4)))
        seen.append(changes(look(warehouse)))
    # 30 of 30 is a share of at least 89 %, and 0.89 * 24 > 20 documents
    assert seen == [set()] * 5 + [{("b", "vanished")}]


def test_a_share_of_types_that_moves_far(warehouse: Warehouse, shop: Shop) -> None:
    put(shop, ({"ref": "text" if i % 10 == 0 else ObjectId()} for i in range(100)))
    look(warehouse)
    put(shop, ({"ref": "text" if i % 5 == 0 else ObjectId()} for i in range(100)))
    assert changes(look(warehouse)) == set()
    put(shop, ({"ref": "text" if i % 2 == 0 else ObjectId()} for i in range(100)))
    assert changes(look(warehouse)) == {("ref", "type share")}


def test_text_of_another_kind_among_numbers_is_a_change_and_a_number_among_text_is_none(
    warehouse: Warehouse, shop: Shop
) -> None:
    put(shop, ({"qty": "12", "title": "Emma"} for _ in range(30)))
    look(warehouse)
    put(shop, ({"qty": "a dozen" if i == 0 else "", "title": "1984"} for i in range(30)))
    assert changes(look(warehouse)) >= {("qty", "new type")}
    assert types(warehouse, "title") == {"string:number": 30}
    assert ("title", "new type") not in changes_ever(warehouse)


def changes_ever(warehouse: Warehouse) -> set[tuple[Any, ...]]:
    return set(warehouse.all("select path, kind from ops.schema_changes"))


def test_false_alarms_over_many_alike_batches_are_none() -> None:
    """By simulation: fields of every presence, two types, batches alike; nothing but new fields."""
    import random

    chance = random.Random(7)
    shares = [i / 40 for i in range(1, 41)]

    def sample(size: int) -> dict[str, Field]:
        seen = {}
        for number, share in enumerate(shares):
            present = sum(chance.random() < share for _ in range(size))
            texts = sum(chance.random() < 0.3 for _ in range(present))
            kinds = {"int": present - texts, "string": texts}
            counts = {kind: count for kind, count in kinds.items() if count}
            if present:
                examples = dict.fromkeys(counts, "1")
                seen[f"f{number}"] = Field(size, present, counts, counts, examples)
        return seen

    alarms = 0
    for _ in range(20):
        first = sample(200)
        known = {path: Known(one, 0, {"int", "string"}, False) for path, one in first.items()}
        for size in (5, 50, 200, 200, 1000):
            seen = sample(size)
            found = [one for one in compare(known, seen, size, 200) if one.kind != "new"]
            alarms += len(found)
            for path, one in known.items():
                one.unseen = 0 if path in seen else one.unseen + size
    assert alarms == 0


# --- looked at once, cheaply, and never in the way ------------------------------------------------


def test_the_same_again_is_no_new_observation(warehouse: Warehouse, shop: Shop) -> None:
    put(shop, ({"a": i, "b": "one"} for i in range(60)))
    results = warehouse.load("orders")
    assert len(drift.observe_results(warehouse.conn, results)) == 1
    notes = warehouse.one("select count(*) from ops.field_types")
    assert drift.observe_results(warehouse.conn, results) == []
    assert drift.observe_results(warehouse.conn, warehouse.load("orders")) == []

    put(shop, ({"a": i, "b": "two"} for i in range(60)))
    assert look(warehouse).documents == 60, "other documents that look the same"
    assert warehouse.one("select count(*) from ops.field_types") == notes

    warehouse.conn.execute(
        "update ops.field_types set observed_at = observed_at - interval '1 day'"
    )
    put(shop, ({"a": i, "b": "three"} for i in range(60)))
    look(warehouse)
    assert warehouse.one("select count(*) from ops.field_types") == 2 * notes, "a day has passed"


def test_a_material_change_is_noted_for_that_field_alone(warehouse: Warehouse, shop: Shop) -> None:
    put(shop, ({"a": 1, "b": 1} for _ in range(100)))
    first = look(warehouse)
    put(shop, ({"a": 1, "b": 1} if i % 2 else {"a": 1} for i in range(100)))
    second = look(warehouse)
    assert second.changes == []
    rows = warehouse.all(
        "select path, present from ops.field_types where batch_id = %s", second.batch_id
    )
    assert rows == [("b", 50)]
    assert warehouse.one(
        "select count(distinct path) from ops.field_types where batch_id = %s", first.batch_id
    ) == 4  # fmt: skip


def test_only_the_rows_of_the_new_batches_are_looked_at(warehouse: Warehouse, shop: Shop) -> None:
    put(shop, ({"n": i} for i in range(300)))
    assert look(warehouse).documents == drift.MIN_SAMPLE
    put(shop, [{"n": 300}, {"n": 301}])
    assert look(warehouse).documents == 2
    shop.orders.delete_many({"n": {"$lt": 5}})
    assert drift.observe_results(warehouse.conn, warehouse.load("orders")) == []


def fill(warehouse: Warehouse, rows: int, width: int = 200) -> None:
    """Rows of one batch by SQL: 30 % have `some`, all of them among the first that were written."""
    warehouse.load("orders")
    warehouse.conn.execute(
        """
        insert into raw.orders (_id, doc, _loaded_at, _batch_id, _doc_hash)
        select i::text, jsonb_build_object('n', i, 'pad', repeat('x', %(width)s))
            || case when i <= 0.3 * %(rows)s then '{"some": 1}' else '{}' end::jsonb,
            clock_timestamp(), 1000000, md5(i::text)
        from generate_series(1, %(rows)s) as i
        """,
        {"rows": rows, "width": width},
    )
    warehouse.conn.execute(
        """
        insert into ops.load_runs (batch_id, run_id, collection, mode, status, started_at,
            finished_at, inserted)
        select 1000000, gen_random_uuid(), 'orders', 'full', 'done', min(_loaded_at), now(), %s
        from raw.orders
        """,
        [rows],
    )


def test_a_large_batch_is_sampled_fairly_from_few_pages(warehouse: Warehouse, shop: Shop) -> None:
    put(shop, [{"n": 0}])
    fill(warehouse, 200_000)
    pages = warehouse.one("select pg_relation_size('raw.orders') / 8192")
    read = "select heap_blks_read + heap_blks_hit from pg_statio_user_tables where relname='orders'"
    warehouse.conn.execute("select pg_stat_force_next_flush()")
    before = warehouse.one(read)
    seen = drift.observe(warehouse.conn, "orders")
    warehouse.conn.execute("select pg_stat_force_next_flush()")
    assert seen is not None
    assert seen.documents == drift.sample_size(200_000) == 1_333
    assert warehouse.one(read) - before < 0.2 * pages
    some = drift.fields_now(warehouse.conn, "orders")["some"]
    assert abs(some.presence - 0.3) < 5 * (0.3 * 0.7 / 1333) ** 0.5


def test_documents_of_any_size_cost_a_bounded_number_of_bytes(
    warehouse: Warehouse, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(shop, ({"blob": os.urandom(30_000).hex(), "n": i} for i in range(60)))
    monkeypatch.setattr(drift, "SAMPLE_BYTES", 500_000)
    size = warehouse.load("orders") and warehouse.one(
        "select avg(pg_column_size(doc)) from raw.orders"
    )
    seen = drift.observe(warehouse.conn, "orders")
    assert seen is not None
    assert seen.documents == -(-500_000 // int(size))
    monkeypatch.setattr(drift, "SAMPLE_BYTES", 1)
    put(shop, [{"blob": os.urandom(30_000).hex()}])
    assert look(warehouse).documents == 1, "at least one"


def test_a_look_that_takes_too_long_is_given_up_and_not_tried_again(
    warehouse: Warehouse, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(shop, ({"m": {f"k{i}": i for i in range(80)}} for _ in range(200)))
    monkeypatch.setattr(drift, "TIMEOUT", "1ms")
    seen = look(warehouse)
    assert (seen.documents, seen.fields) == (0, 0)
    monkeypatch.undo()
    assert drift.observe(warehouse.conn, "orders") is None
    put(shop, [{"a": 1}])
    assert look(warehouse).changes == [], "the first look that saw something"


def test_failing_to_look_neither_fails_nor_undoes_a_load(warehouse: Warehouse, shop: Shop) -> None:
    put(shop, ({"a": i} for i in range(10)))
    results = warehouse.load("orders")
    warehouse.conn.execute("alter table ops.fields rename to mislaid")
    with capture_logs() as logs:
        assert drift.observe_run(warehouse.settings, results) == []
    assert [entry["log_level"] for entry in logs] == ["warning"]
    assert len(warehouse.docs("orders")) == 10
    warehouse.conn.execute("alter table ops.mislaid rename to fields")
    [seen] = drift.observe_run(warehouse.settings, results)
    assert seen.documents == 10, "what could not be looked at is looked at the next time"

    nowhere = warehouse.settings.model_copy(update={"sandbox_postgres_port": 1})
    assert drift.observe_run(nowhere, results) == []


def test_the_load_command_looks_and_says_so(warehouse: Warehouse, shop: Shop) -> None:
    command = [sys.executable, "-m", "orchestration.cli", "load", "orders"]
    put(shop, ({"a": i} for i in range(10)))
    first = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "fields" not in first.stderr
    put(shop, [{"a": 1, "b": 1}])
    second = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert second.stderr == "orders: fields changed, 1 in all (ledgerline schema changes)\n"
    warehouse.conn.execute("drop table ops.fields cascade")
    put(shop, [{"a": 1, "c": 1}])
    third = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "reconciled" in third.stdout
    assert third.stderr == ""
    assert len(warehouse.docs("orders")) == 12


def test_killed_in_between_it_has_done_nothing_and_is_made_up_for(
    warehouse: Warehouse, shop: Shop
) -> None:
    put(shop, ({"a": i} for i in range(10)))
    warehouse.load("orders")
    script = (
        "from loaders.drift import observe as drift; "
        "from loaders.connections import open_postgres; "
        "from loaders.settings import Settings; "
        "drift.observe(open_postgres(Settings(), autocommit=True), 'orders')"
    )
    with psycopg.connect(**warehouse.settings.postgres()) as blocker:
        blocker.execute("lock table ops.schema_changes")  # its last step but one
        blocker.execute("lock table ops.field_samples in share mode")
        child = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT)
        waiting = "select exists (select from pg_stat_activity where wait_event_type = 'Lock' " \
            "and datname = current_database())"  # fmt: skip
        deadline = time.monotonic() + 30
        while not warehouse.one(waiting):
            assert child.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        child.send_signal(signal.SIGKILL)
        child.wait()
    for table in ("fields", "field_types", "field_samples", "schema_changes"):
        assert warehouse.one(f"select count(*) from ops.{table}") == 0
    put(shop, ({"a": i, "b": 1} for i in range(10)))
    seen = look(warehouse)
    assert (seen.documents, seen.fields) == (20, 4), "both batches"


def test_two_at_once_look_once(warehouse: Warehouse, shop: Shop) -> None:
    put(shop, ({"a": i} for i in range(10)))
    warehouse.load("orders")
    script = (
        "from loaders.drift import observe as drift; "
        "from loaders.connections import open_postgres; "
        "from loaders.settings import Settings; "
        "print(drift.observe(open_postgres(Settings(), autocommit=True), 'orders') is not None)"
    )
    children = [
        subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE)
        for _ in range(3)
    ]
    said = sorted(child.communicate()[0].strip() for child in children)
    assert said == [b"False", b"False", b"True"]


def test_maps_are_told_from_records() -> None:
    def fields(keys: dict[str, int], objects: int) -> dict[str, Field]:
        found = {f"m.{key}": Field(100, present) for key, present in keys.items()}
        return {**found, "m": Field(100, objects, {"object": objects}, {"object": objects})}

    wide_record = fields({f"f{i}": 90 for i in range(60)}, 90)
    sparse = fields({f"f{i}": 1 for i in range(25)}, 8)
    one_document = fields({f"f{i}": 1 for i in range(25)}, 1)
    assert maps_among(wide_record, ()) == set()
    assert maps_among(sparse, ()) == {"m"}
    assert maps_among(one_document, ()) == set()
    assert maps_among(one_document, [f"m.g{i}" for i in range(80)]) == {"m"}
