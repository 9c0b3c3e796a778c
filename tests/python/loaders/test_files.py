"""Exports into a real Postgres: what lands, what a second run does, what is refused."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import bson
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from loaders import landing
from loaders.encoding import encode_mappings
from loaders.errors import UserError
from loaders.files import load_files
from loaders.settings import Settings

pytestmark = pytest.mark.servers


@pytest.fixture
def warehouse(pg_database: Settings) -> Settings:
    return pg_database


TABLES = {
    "customers": [
        ["customer_id", "name", "email", "country", "tier"],
        ["C1", "Ada Lovelace", "ada@example.org", "GB", "gold"],
        ["C2", "Grace Hopper", "grace@example.org", "US", ""],
    ],
    "products": [
        ["product_id", "name", "category", "price", "cost"],
        ["1", "Mug", "Home>Mugs;Gifts", "12.50", "4.25"],
        ["2", "Cup", "Home", "3.50", ""],
    ],
    "transactions": [
        ["transaction_id", "customer_id", "date", "total_amount", "payment_method", "status"],
        ["T1", "C1", "2024-03-01 10:00:00", "28.50", "card", "delivered"],
        ["T2", "C2", "2024-03-02 11:00:00", "12.50", "paypal", "cancelled"],
    ],
    "items": [
        ["item_id", "transaction_id", "product_id", "quantity", "unit_price"],
        ["I1", "T1", "1", "2", "12.50"],
        ["I2", "T2", "1", "1", "12.50"],
        ["I3", "T1", "2", "1", "3.50"],
    ],
    "reviews": [
        ["review_id", "customer_id", "product_id", "rating", "date", "text"],
        ["R1", "C1", "1", "5", "2024-03-10", "Nice,\ntwo lines"],
    ],
}


def write(folder: Path, tables=TABLES, form="csv") -> dict[str, list[Path]]:
    files = {}
    for entity, (header, *rows) in tables.items():
        path = folder / f"{entity}.{form}"
        if form == "csv":
            with path.open("w", newline="") as file:
                csv.writer(file).writerows([header, *rows])
        else:
            columns = [[row[n] or None for row in rows] for n in range(len(header))]
            pq.write_table(pa.table(dict(zip(header, columns, strict=True))), path)
        files[entity] = [path]
    return files


def changed(entity: str, *rows: list[str]) -> dict:
    return {**TABLES, entity: [TABLES[entity][0], *rows]}


def ask(settings: Settings, query: str) -> list[tuple]:
    with psycopg.connect(**settings.postgres()) as conn:
        return conn.execute(query).fetchall()


def everything(settings: Settings) -> list[tuple]:
    """Every row of raw and of the quarantine, with when and by which batch it was written."""
    tables = ("raw.users", "raw.products", "raw.orders", "raw.reviews", "ops.quarantine")
    return [row for table in tables for row in ask(settings, f"select * from {table} order by _id")]


def quarantine(settings: Settings) -> dict[str, str]:
    return dict(ask(settings, "select _id, reason from ops.quarantine order by _id"))


def test_five_files_become_four_collections(tmp_path, warehouse):
    results, _ = load_files(warehouse, write(tmp_path))
    assert [(r.collection, r.counts.inserted) for r in results] == [
        ("users", 2), ("products", 2), ("orders", 2), ("reviews", 1)
    ]  # fmt: skip
    assert all(result.is_reconciled for result in results)
    assert ask(
        warehouse,
        """
        select doc ->> 'order_no', item ->> 'line_id', item ->> 'product_id',
            (item ->> 'qty')::numeric * (item ->> 'unit_price')::numeric
        from raw.orders, jsonb_array_elements(doc -> 'items') as item order by 1, 2
        """,
    ) == [("T1", "I1", "1", 25), ("T1", "I3", "2", 3.5), ("T2", "I2", "1", 12.5)]
    # ids are written as the loader writes them, so that staging joins both alike
    assert ask(warehouse, "select _id from raw.users order by 1") == [('"C1"',), ('"C2"',)]
    [(attrs,)] = ask(warehouse, "select doc -> 'attrs' from raw.users where _id = '\"C1\"'")
    assert attrs == {"tier": "gold"}
    assert ask(warehouse, "select doc ->> 'text' from raw.reviews") == [("Nice,\ntwo lines",)]


def test_a_second_run_changes_nothing(tmp_path, warehouse):
    files = write(tmp_path, changed("items", *TABLES["items"][1:], ["I4", "T9", "1", "1", "1"]))
    load_files(warehouse, files)
    before = everything(warehouse)
    results, _ = load_files(warehouse, files)
    assert [result.counts.written for result in results] == [0, 0, 0, 0]
    assert everything(warehouse) == before


def test_the_same_export_as_parquet_changes_nothing(tmp_path, warehouse):
    load_files(warehouse, write(tmp_path))
    results, _ = load_files(warehouse, write(tmp_path, form="parquet"))
    assert [result.counts.written for result in results] == [0, 0, 0, 0]


def test_a_changed_line_changes_its_document_only(tmp_path, warehouse):
    load_files(warehouse, write(tmp_path))
    first, second, third = TABLES["items"][1:]
    dearer = changed("items", first, second, [*third[:4], "3.00"])
    results, _ = load_files(warehouse, write(tmp_path, dearer))
    assert [(r.counts.updated, r.counts.unchanged) for r in results][2] == (1, 1)


def test_what_a_complete_export_no_longer_has_is_marked_deleted(tmp_path, warehouse):
    load_files(warehouse, write(tmp_path))
    fewer = changed("customers", TABLES["customers"][1])
    results, _ = load_files(warehouse, write(tmp_path, fewer))
    assert results[0].counts.deleted == 1
    gone = "select _id, doc ->> 'email' from raw.users where _deleted_at is not null"
    assert ask(warehouse, gone) == [('"C2"', "grace@example.org")]
    results, _ = load_files(warehouse, write(tmp_path))
    assert (results[0].counts.updated, ask(warehouse, gone)) == (1, [])


def test_a_partial_export_deletes_nothing(tmp_path, warehouse):
    load_files(warehouse, write(tmp_path))
    files = write(tmp_path, changed("customers", ["C3", "New One", "n@example.org", "FR", ""]))
    results, _ = load_files(warehouse, {"customers": files["customers"]}, partial=True)
    assert [(r.collection, r.counts.inserted, r.counts.deleted) for r in results] == [
        ("users", 1, 0)
    ]
    assert results[0].raw_count == 3


def test_bad_lines_are_in_quarantine_with_file_and_line_until_they_are_mended(tmp_path, warehouse):
    files = write(tmp_path, changed("items", ["I1", "T9", "1", "2", "12.50"]))
    (tmp_path / "customers.csv").write_text(
        "customer_id,name,email,country,tier\n"
        "C1,Ada Lovelace,ada@example.org,GB,gold\n"
        'C2,"Hopper, Grace",grace@example.org,US,,too,many\n'
        ",Nobody,n@example.org,US,\n"
        "C1,Ada King,ada@example.org,GB,gold\n"
    )
    (tmp_path / "reviews.jsonl").write_text(
        '{"review_id": 1, "product_id": 1, "rating": 5}\n'
        '{"review_id": 2,\n'
        '{"review_id": 3, "product_id": 1, "rating": 5, "text": "\\ud800"}\n'
    )
    results, notes = load_files(warehouse, files | {"reviews": [tmp_path / "reviews.jsonl"]})
    assert all(result.is_reconciled for result in results)
    found = quarantine(warehouse)
    assert found["customers.csv, line 2"] == "the same id stands in line 5 again, with other values"
    assert found["customers.csv, line 3"] == "it has 7 fields, the header 5"
    assert found["customers.csv, line 4"] == "it names no customer"
    assert found["items.csv, line 2"] == "there is no transaction T9"
    assert found["reviews.jsonl, line 2"].startswith("it is no JSON")
    assert found["reviews.jsonl, line 3"].startswith("it can't be a document")
    assert len(found) == 6
    [(kept,)] = ask(
        warehouse, "select bson from ops.quarantine where _id = 'customers.csv, line 3'"
    )
    assert bson.decode(kept) == {
        "file": "customers.csv",
        "line": 3,
        "content": ["C2", "Hopper, Grace", "grace@example.org", "US", "", "too", "many"],
    }
    assert {note.name: note.bad for note in notes if note.bad} == {
        "customers.csv": 2, "reviews.jsonl": 2
    }  # fmt: skip
    load_files(warehouse, write(tmp_path))
    assert quarantine(warehouse) == {}


def test_a_partial_export_clears_the_notes_of_its_own_file(tmp_path, warehouse):
    path = tmp_path / "customers.csv"
    path.write_text("customer_id,name\nC1,Ada,x\n,Bob\nC3,Cy\n")
    load_files(warehouse, {"customers": [path]}, partial=True)
    assert set(quarantine(warehouse)) == {"customers.csv, line 2", "customers.csv, line 3"}
    path.write_text("customer_id,name\nC1,Ada\n,Bob\nC3,Cy\n")
    load_files(warehouse, {"customers": [path]}, partial=True)
    assert set(quarantine(warehouse)) == {"customers.csv, line 3"}


def test_a_flat_file_is_transactions_and_items(tmp_path, warehouse):
    path = tmp_path / "sales.csv"
    path.write_text(
        "order_id,date,customer_id,sku,quantity,price,total_price,note\n"
        "T1,2024-03-01,C1,A,2,12.50,25.00,\n"
        "T1,2024-03-01,C1,B,1,3.50,3.50,wrap\n"
        "T2,2024-03-02,C2,A,1,12.50,12.50,\n"
    )
    results, _ = load_files(warehouse, {"transactions": [path], "items": [path]})
    assert (results[0].counts.inserted, results[0].quarantined) == (2, 0)
    [(doc,)] = ask(warehouse, "select doc from raw.orders where _id = '\"T1\"'")
    assert [(item["sku"], item.get("attrs")) for item in doc["items"]] == [
        ("A", None), ("B", {"note": "wrap"})
    ]  # fmt: skip
    assert (doc["user_id"], doc["placed_at"]) == ("C1", "2024-03-01")
    assert "attrs" not in doc


def test_several_files_of_a_kind_are_one_export(tmp_path, warehouse):
    first, second = tmp_path / "2023.csv", tmp_path / "2024.csv"
    first.write_text("customer_id,name\nC1,Ada\n")
    second.write_text("Customer-ID;Name\nC2;Bob\n")
    load_files(warehouse, {"customers": [first, second]})
    results, _ = load_files(warehouse, {"customers": [second, first]})
    assert (results[0].counts.unchanged, results[0].counts.deleted) == (2, 0)


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({}, "no file given: name at least one of --customers"),
        ({"items": ["items.csv"]}, "--items needs --transactions"),
        ({"customers": ["nowhere.csv"]}, "nowhere.csv: no such file"),
        ({"reviews": ["items.csv"]}, "items.csv: no column for reviews id"),
        ({"customers": ["header.csv"]}, "header.csv: the file has no usable line"),
        ({"customers": ["other.jsonl"]}, "other.jsonl: no column for customers id"),
        ({"transactions": ["us.csv"]}, "us.csv, line 3: dates such as 02/13/2024 are month first"),
        ({"customers": ["ok.csv"], "products": ["items.parquet"]}, "not a readable Parquet file"),
    ],
)
def test_a_refused_file_leaves_nothing_written(tmp_path, warehouse, files, says):
    write(tmp_path)
    (tmp_path / "header.csv").write_text("customer_id,name\n")
    (tmp_path / "ok.csv").write_text("customer_id,name\nC1,Ada\n")
    (tmp_path / "us.csv").write_text("id,date\nT1,02/01/2024\nT2,02/13/2024\n")
    (tmp_path / "other.jsonl").write_text('{"a": 1}\n{"b": 2}\n')
    (tmp_path / "items.parquet").write_bytes(b"PAR1 is how it begins")
    with pytest.raises(UserError, match=says) as error:
        load_files(
            warehouse, {kind: [tmp_path / name for name in names] for kind, names in files.items()}
        )
    assert "\n" not in str(error.value)
    assert ask(warehouse, "select to_regclass('raw.users')") == [(None,)]


def test_documents_of_a_mongodb_are_not_replaced_unasked(tmp_path, warehouse):
    with psycopg.connect(**warehouse.postgres(), autocommit=True) as conn:
        landing.land(
            conn, "users", lambda: encode_mappings([{"_id": 1}]), mode="full", is_complete=True
        )
    files = {"customers": write(tmp_path)["customers"]}
    with pytest.raises(UserError, match=r"raw\.users holds documents of a MongoDB"):
        load_files(warehouse, files)
    assert ask(warehouse, "select _id from raw.users") == [("1",)]
    results, _ = load_files(warehouse, files, replace=True)
    assert (results[0].counts.inserted, results[0].counts.deleted) == (2, 1)


def kill_while_it_copies(settings: Settings, files: dict[str, list[Path]]) -> None:
    command = [sys.executable, "-m", "orchestration.cli", "files", "load"]
    command += [part for kind, paths in files.items() for part in (f"--{kind}", str(paths[0]))]
    environment = os.environ | {"POSTGRES_DB": settings.postgres_db}
    busy = (
        "select 1 from pg_stat_activity where query ilike 'copy \"raw%' and state = 'active' "
        "and datname = current_database()"
    )
    with psycopg.connect(**settings.postgres(), autocommit=True) as conn:
        process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while not conn.execute(busy).fetchone():
            assert process.poll() is None, "it ended before it was seen to copy"
            assert time.monotonic() < deadline
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()


def test_a_killed_run_is_finished_by_the_next_one(tmp_path, warehouse):
    rows = [[f"C{n}", f"Name {n}", f"c{n}@example.org", "GB", "x"] for n in range(60_000)]
    files = write(tmp_path, changed("customers", *rows))
    kill_while_it_copies(warehouse, files)
    assert ask(warehouse, "select count(*) from raw.users") == [(0,)]
    load_files(warehouse, files)
    assert ask(warehouse, "select count(*) from raw.users where _deleted_at is null") == [(60_000,)]
    assert ask(warehouse, "select count(*) from raw.orders") == [(2,)]
    results, _ = load_files(warehouse, files)
    assert [result.counts.written for result in results] == [0, 0, 0, 0]
