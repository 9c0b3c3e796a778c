"""The import into a real server: what is written, refused, and left after a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import bson
import pymongo
import pytest
from bson.raw_bson import RawBSONDocument

from loaders.errors import UserError
from loaders.settings import Settings
from sandbox.online_retail import sync
from sandbox.online_retail.cli import import_files
from tests.python.sandbox.retail_files import line, write_csv, write_parquet

pytestmark = pytest.mark.servers

ROWS = [
    line("536365", quantity=6),
    line("536366", "71053", 6, price=3.39, customer=13047),
    line("C536379", quantity=-2, at="2011-01-11 09:41"),
    line("A563185", "B", at="2011-01-12 14:50", price=-11062.06, customer=None),
]


@pytest.fixture
def shop(mongo_database) -> Settings:
    settings = Settings()
    manifest_file(settings).unlink(missing_ok=True)
    return settings


def database_of(settings: Settings):
    client = pymongo.MongoClient(settings.mongodb(), document_class=RawBSONDocument)
    return client[settings.mongodb_database]


def everything(settings: Settings) -> dict[str, list[bytes]]:
    database = database_of(settings)
    return {
        name: [document.raw for document in database[name].find({}).sort("_id", 1)]
        for name in sorted(database.list_collection_names())
    }


def manifest_file(settings: Settings) -> Path:
    return settings.home / "store" / "online_retail" / "manifest.json"


def test_what_is_written_and_a_second_run_that_writes_nothing(tmp_path, shop, monkeypatch):
    path = write_parquet(tmp_path / "a.parquet", ROWS)
    truth = import_files([path], shop)
    stored = everything(shop)
    assert {name: len(documents) for name, documents in stored.items()} == truth["documents"]
    [refund] = bson.decode(next(d for d in stored["orders"] if b"or-536365" in d))["refunds"]
    assert refund["lines"][0]["source_line"] == "C536379-1"
    manifest = manifest_file(shop).read_bytes()
    assert json.loads(manifest) == truth
    assert truth["sum"] == "-11031.52"

    writes = []
    write = sync.write
    monkeypatch.setattr(sync, "write", lambda *args: writes.append(write(*args)) or writes[-1])
    import_files([path], shop)
    assert writes == [(0, 0)] * 3
    assert everything(shop) == stored
    assert manifest_file(shop).read_bytes() == manifest


def test_a_document_that_was_changed_or_lost_is_put_right(tmp_path, shop):
    path = write_parquet(tmp_path / "a.parquet", ROWS)
    import_files([path], shop)
    stored = everything(shop)
    orders = database_of(shop)["orders"]
    orders.update_one({"_id": "or-536365"}, {"$set": {"status": "lost"}})
    orders.delete_one({"_id": "or-536366"})
    import_files([path], shop)
    assert everything(shop) == stored


@pytest.mark.parametrize(
    ("collection", "identity"), [("orders", 1), ("sessions", "s1"), ("orders", "or-999999")]
)
def test_another_stores_database_is_left_alone(tmp_path, shop, collection, identity):
    database_of(shop)[collection].insert_one({"_id": identity})
    before = everything(shop)
    with pytest.raises(UserError, match=f"not of this import \\({collection}: {identity}\\)"):
        import_files([write_parquet(tmp_path / "a.parquet", ROWS)], shop)
    assert everything(shop) == before
    assert not manifest_file(shop).exists()


def test_other_files_do_not_mix_with_an_earlier_import(tmp_path, shop):
    import_files([write_parquet(tmp_path / "a.parquet", ROWS)], shop)
    fewer = write_csv(tmp_path / "b.csv", ROWS[:1])
    with pytest.raises(UserError, match="not of this import"):
        import_files([fewer], shop)
    more = write_csv(tmp_path / "c.csv", [line("7", at="2011-02-01 10:00"), *ROWS])
    assert import_files([tmp_path / "a.parquet", more], shop)["overlap"]["invoices"] == 4


def test_replace_empties_the_sandboxs_database_first(tmp_path, shop):
    database_of(shop)["sessions"].insert_one({"_id": "s1"})
    truth = import_files([write_parquet(tmp_path / "a.parquet", ROWS)], shop, replace=True)
    assert {name: len(rows) for name, rows in everything(shop).items()} == truth["documents"]


def test_replace_never_empties_a_database_that_the_user_named(tmp_path, shop, monkeypatch):
    database_of(shop)["sessions"].insert_one({"_id": "s1"})
    monkeypatch.setenv("MONGODB_URI", shop.mongodb())
    with pytest.raises(UserError, match="works on the sandbox only"):
        import_files([write_parquet(tmp_path / "a.parquet", ROWS)], Settings(), replace=True)
    assert list(everything(shop)) == ["sessions"]


def test_a_killed_import_is_finished_by_the_next_one(tmp_path, shop):
    rows = [line(str(n), code=f"C{n % 50}", customer=n % 90) for n in range(6_000)]
    path = write_parquet(tmp_path / "a.parquet", rows)
    command = [sys.executable, "-m", "orchestration.cli", "online-retail", str(path)]
    environment = os.environ | {"MONGODB_DATABASE": shop.mongodb_database}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    orders = database_of(shop)["orders"]
    deadline = time.monotonic() + 60
    while orders.count_documents({}) < 1_000:
        assert process.poll() is None, "it ended before it was seen to write"
        assert time.monotonic() < deadline
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not manifest_file(shop).exists()
    assert orders.count_documents({}) < 6_000
    truth = import_files([path], shop)
    assert {name: len(found) for name, found in everything(shop).items()} == truth["documents"]
    assert manifest_file(shop).exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nowhere.xlsx"], "nowhere.xlsx: no such file"),
        (["other.csv"], "no column Invoice or InvoiceNo"),
        (["a.csv", "--dates", "backwards"], "--dates is day-first or month-first, not backwards"),
    ],
)
def test_the_command_ends_in_one_line(tmp_path, shop, arguments, says):
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    write_csv(tmp_path / "a.csv", ROWS)
    done = subprocess.run(
        [sys.executable, "-m", "orchestration.cli", "online-retail", *arguments],
        env=os.environ | {"MONGODB_DATABASE": shop.mongodb_database},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    [message] = done.stderr.strip().splitlines()
    assert message.startswith("error: ")
    assert says in message
    assert everything(shop) == {}
