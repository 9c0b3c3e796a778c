"""Exports into a real Postgres: what lands, what a second run does, what is refused."""

from __future__ import annotations

import csv
import hashlib
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import bson
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bson import (
    Binary,
    Decimal128,
    Int64,
    MinKey,
    ObjectId,
    Regex,
    Timestamp,
    json_util,
)
from bson.datetime_ms import DatetimeMS

from loaders import landing
from loaders.documents import encoding
from loaders.documents.encoding import encode_mappings
from loaders.errors import UserError
from loaders.files import origin as file_origin
from loaders.files.cli import load_files
from loaders.quarantine import replay as quarantine_replay
from loaders.settings import Settings

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)

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


def test_a_mongodb_is_not_loaded_over_documents_of_files(tmp_path, warehouse):
    load_files(warehouse, {"customers": write(tmp_path)["customers"]})
    with psycopg.connect(**warehouse.postgres(), autocommit=True) as conn:
        file_origin.refuse_documents_of_files(conn, ["products", "orders", "never loaded"])
        with pytest.raises(UserError, match=r"raw\.users holds documents of files") as error:
            file_origin.refuse_documents_of_files(conn, ["products", "users"])
        assert "\n" not in str(error.value)
        conn.execute("truncate raw.users")
        file_origin.refuse_documents_of_files(conn, ["products", "users"])


def test_a_replay_does_not_change_whose_the_documents_are(tmp_path, warehouse, monkeypatch):
    files = {"customers": [tmp_path / "people.csv"]}
    files["customers"][0].write_text(f"customer_id,name\nC1,Ada\n{'k' * 500},Bob\n")
    with monkeypatch.context() as patch:
        patch.setattr(encoding, "MAX_ID_BYTES", 100)
        load_files(warehouse, files)
    [done] = quarantine_replay(warehouse)
    assert done.released == 1
    results, _ = load_files(warehouse, files)
    assert results[0].counts.written == 0


def test_every_line_of_every_file_is_accounted_for(tmp_path, warehouse):
    first, second = tmp_path / "2023.csv", tmp_path / "2024.csv"
    first.write_text("customer_id,name\nC1,Ada\nC1,Ada\n\nC2,Bob\n,Nobody\nC3,Cy\n")
    second.write_text("customer_id,name\nC2,Robert\nC1,Ada\n")
    files = write(tmp_path, changed("items", *TABLES["items"][1:], ["I4", "T9", "1", "1", "1"]))
    results, _ = load_files(warehouse, files | {"customers": [first, second]})
    assert all(result.is_reconciled for result in results)
    counted = ask(
        warehouse,
        "select entity, file, lines, documents, merged, quarantined from ops.load_files "
        "order by entity, file",
    )
    assert counted == [
        ("customers", "2023.csv", 5, 1, 2, 2),
        ("customers", "2024.csv", 2, 2, 0, 0),
        ("items", "items.csv", 4, 0, 3, 1),
        ("products", "products.csv", 2, 2, 0, 0),
        ("reviews", "reviews.csv", 1, 1, 0, 0),
        ("transactions", "transactions.csv", 2, 2, 0, 0),
    ]
    [(size, digest, encoding_, delimiter)] = ask(
        warehouse,
        "select bytes, hash, encoding, delimiter from ops.load_files where file = '2024.csv'",
    )
    assert size == second.stat().st_size
    assert digest == hashlib.blake2b(second.read_bytes(), digest_size=16).hexdigest()
    assert (encoding_, delimiter) == ("utf-8-sig", ",")
    assert ask(
        warehouse,
        "select sum(l.read), sum(f.documents + f.quarantined) from ops.load_runs as l, "
        "lateral (select sum(documents) as documents, sum(quarantined) as quarantined "
        "from ops.load_files where batch_id = l.batch_id) as f",
    ) == [(11, 11)]


def test_two_files_of_one_name_keep_their_bad_lines_apart(tmp_path, warehouse):
    paths = []
    for year in ("2023", "2024"):
        (tmp_path / year).mkdir()
        paths.append(tmp_path / year / "people.csv")
        paths[-1].write_text(f"customer_id,name\nC{year},Ada\n,Nobody\n")
    load_files(warehouse, {"customers": paths})
    assert set(quarantine(warehouse)) == {"2023/people.csv, line 3", "2024/people.csv, line 3"}


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ("customer_id,name,city", ["lacks what {} has: email (email), tier"]),
        ("customer_id,name,email,city,tier,vip", ["has what {} lacks: vip"]),
        ("Customer ID,NAME,City,E-Mail,Tier", []),
        ("customer_id,name,mail,city,tier", ["has other names than {}: mail (email, there email)"]),
        (
            "customer_id,name,email,place,tier",
            ["lacks what {} has: city (city)", "has what {} lacks: place"],
        ),
    ],
)
def test_header_drift_is_noted_between_files_and_between_loads(tmp_path, warehouse, header, says):
    usual, other = tmp_path / "usual.csv", tmp_path / "other.csv"
    usual.write_text("customer_id,name,email,city,tier\nC1,Ada,a@example.org,Ely,x\n")
    other.write_text(f"{header}\n{','.join(f'v{n}' for n in range(header.count(',') + 1))}\n")
    _, notes = load_files(warehouse, {"customers": [usual, other]})
    assert list(notes[1].remarks) == [text.format("usual.csv") for text in says]
    assert notes[0].remarks == ()
    assert ask(warehouse, "select remarks from ops.load_files where file = 'other.csv'") == [
        (list(notes[1].remarks),)
    ]
    # by itself, against the load before; the same header again is no news
    load_files(warehouse, {"customers": [usual]})
    _, [note] = load_files(warehouse, {"customers": [other]})
    assert list(note.remarks) == [text.format("the load before") for text in says]
    _, [note] = load_files(warehouse, {"customers": [other]})
    assert note.remarks == ()


def test_a_file_that_ends_in_the_middle_of_a_line_deletes_nothing(tmp_path, warehouse):
    path = tmp_path / "people.csv"
    path.write_text('customer_id,name,note\nC1,Ada,"a b"\nC2,Bob,"c d"\n')
    load_files(warehouse, {"customers": [path]})
    before = everything(warehouse)
    whole = path.read_text()
    for cut in (-3, -8):  # in a quoted field, and before the last field
        path.write_text(whole[:cut])
        with pytest.raises(UserError, match="ends in the middle of line 3: export it again"):
            load_files(warehouse, {"customers": [path]})
        assert everything(warehouse) == before
    [result], _ = load_files(warehouse, {"customers": [path]}, partial=True)
    assert (result.counts.deleted, result.counts.unchanged, result.quarantined) == (0, 1, 1)


def test_mongoexports_extended_json_becomes_the_real_types(tmp_path, warehouse):
    path = tmp_path / "people.jsonl"
    path.write_text(
        json_util.dumps(
            {
                "user_id": ObjectId("5f1e8a9b0c2d3e4f5a6b7c8d"),
                "email": "a@example.org",
                "updated_at": NOON,
                "spent": Decimal128("12.50"),
                "visits": Int64(2**53 + 1),
                "uuid": Binary(bytes(range(16)), 4),
                "seen": [Timestamp(1, 2), Regex("^a", "i"), MinKey()],
                "when": DatetimeMS(-93692592000000),
            },
            json_options=json_util.CANONICAL_JSON_OPTIONS,
        )
        + "\n"
    )
    load_files(warehouse, {"customers": [path]})
    load_files(warehouse, {"customers": [path]})
    [(identity, at, doc)] = ask(warehouse, "select _id, _source_ts, doc from raw.users")
    assert (identity, at) == ("5f1e8a9b0c2d3e4f5a6b7c8d", NOON)
    assert doc["attrs"] == {
        "spent": 12.5,
        "visits": 2**53 + 1,
        "uuid": {"$binary": {"base64": "AAECAwQFBgcICQoLDA0ODw==", "subType": "04"}},
        "seen": [
            {"$timestamp": {"t": 1, "i": 2}},
            {"$regularExpression": {"pattern": "^a", "options": "i"}},
            {"$minKey": 1},
        ],
        "when": {"$date": {"$numberLong": "-93692592000000"}},
    }
    assert ask(warehouse, "select (doc -> 'attrs' -> 'spent')::text from raw.users") == [("12.50",)]


def test_a_nul_in_a_line_is_kept_as_in_a_document_of_mongodb(tmp_path, warehouse):
    path = tmp_path / "people.csv"
    path.write_bytes(b"customer_id,name\nC1,A\0da\n")
    [result], _ = load_files(warehouse, {"customers": [path]})
    assert (result.counts.inserted, result.counts.altered) == (1, 1)
    [(kept,)] = ask(warehouse, "select bson from ops.altered_documents")
    assert bson.decode(kept)["name"]["full"] == "A\0da"


@pytest.mark.slow
def test_memory_stays_bounded_for_a_large_file(tmp_path, warehouse):
    path = tmp_path / "people.csv"
    with path.open("w") as file:
        file.write("customer_id,name,email,country,tier\n")
        for n in range(80_000):
            file.write(f"C{n},Name {n},c{n}@example.org,GB,{'x' * 50}\n")
    code = (
        "import sys, pathlib; from loaders.files.cli import load_files; "
        "from loaders.settings import Settings; "
        "load_files(Settings(), {'customers': [pathlib.Path(sys.argv[1])]}); "
        "print(pathlib.Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, path],
        env=os.environ | {"POSTGRES_DB": warehouse.postgres_db},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-1]) < 160 * 1024
    assert ask(warehouse, "select count(*) from raw.users") == [(80_000,)]


def kill_while_it_copies(settings: Settings, files: dict[str, list[Path]]) -> None:
    command = [sys.executable, "-m", "orchestration.cli", "files", "load"]
    command += [part for kind, paths in files.items() for part in (f"--{kind}", str(paths[0]))]
    environment = os.environ | {"POSTGRES_DB": settings.postgres_db}
    busy = (
        "select 1 from pg_stat_activity where query ilike 'copy %shadow%' and state = 'active' "
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
    rows = [[f"C{n}", f"Name {n}", f"c{n}@example.org", "GB", "x"] for n in range(20_000)]
    files = write(tmp_path, changed("customers", *rows))
    kill_while_it_copies(warehouse, files)
    assert ask(warehouse, "select count(*) from raw.users") == [(0,)]
    load_files(warehouse, files)
    assert ask(warehouse, "select count(*) from raw.users where _deleted_at is null") == [(20_000,)]
    assert ask(warehouse, "select count(*) from raw.orders") == [(2,)]
    results, _ = load_files(warehouse, files)
    assert [result.counts.written for result in results] == [0, 0, 0, 0]
