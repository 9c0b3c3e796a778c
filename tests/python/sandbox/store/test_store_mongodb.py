"""The store in MongoDB: inserted once, never over other data, and living on by ticks."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import bson
import pytest
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo.database import Database
from store_books import MEASURES, Books, id_text, silent

from loaders.errors import UserError
from sandbox.store import insert as into
from sandbox.store.generate import generate
from sandbox.store.profiles import Profile, profile
from sandbox.store.tick import apply, work_out

pytestmark = pytest.mark.servers
RAW: CodecOptions[Any] = CodecOptions(document_class=RawBSONDocument)
ROOT = Path(__file__).resolve().parents[4]
Truth = Callable[[str], Any]


WORTH = ("gross_sales", "discounts", "returns", "shipping", "tax", "cogs", "units")
"""Columns of truth/orders.csv; all but units are GBP."""
TINY = Profile("tiny", date(2025, 7, 1), 60, 130, 320, 24, 8, 60, 2)
"""For tests whose subject is the server: dropping many documents takes the sandbox long."""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny") / "tiny-42"
    generate(TINY, 42, folder, silent)
    return folder


def counts_of(folder: Path) -> dict[str, int]:
    return json.loads((folder / "truth" / "counts.json").read_text())["documents"]


def contents(database: Database[Any]) -> dict[str, list[bytes]]:
    """Every document of every collection, as bytes, in the order of ids."""
    return {
        name: sorted(bytes(doc.raw) for doc in database.get_collection(name, RAW).find())
        for name in sorted(database.list_collection_names())
        if name != into.MARKER
    }


def reader(database: Database[Any]) -> Callable[[str], Any]:
    options: CodecOptions[Any] = CodecOptions(tz_aware=True)
    return lambda name: database.get_collection(name, options).find()


def test_documents_arrive_as_they_were_written_and_once(
    tiny: Path, mongo_database: Database[Any]
) -> None:
    assert into.insert(tiny, mongo_database, progress=silent)
    stored = contents(mongo_database)
    assert {name: len(docs) for name, docs in stored.items()} == counts_of(tiny)
    for name, documents in stored.items():
        with (tiny / f"{name}.bson").open("rb") as file:
            written = sorted(bytes(doc.raw) for doc in bson.decode_file_iter(file, RAW))
        assert documents == written, name
    assert not into.insert(tiny, mongo_database, progress=silent)
    assert contents(mongo_database) == stored


def test_other_data_is_refused(tiny: Path, mongo_database: Database[Any]) -> None:
    mongo_database["orders"].insert_one({"_id": "mine"})
    with pytest.raises(UserError, match=r"holds other data \(collection orders\)"):
        into.insert(tiny, mongo_database, progress=silent)
    assert mongo_database["orders"].find_one() == {"_id": "mine"}
    assert mongo_database["users"].find_one() is None


def test_replace_leaves_foreign_collections_alone(
    tiny: Path, mongo_database: Database[Any]
) -> None:
    mongo_database["orders"].insert_one({"_id": "mine"})
    mongo_database["notes"].insert_one({"_id": "keep"})
    assert into.insert(tiny, mongo_database, replace=True, progress=silent)
    assert mongo_database["orders"].find_one({"_id": "mine"}) is None
    assert mongo_database["notes"].find_one() == {"_id": "keep"}


def test_killed_while_inserting_and_run_again(tiny: Path, mongo_database: Database[Any]) -> None:
    code = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from loaders.settings import Settings\n"
        "from sandbox.store import insert as into\n"
        "def wait(what, share):\n"
        "    if share > 0.3:\n"
        "        print('now', flush=True)\n"
        "        time.sleep(60)\n"
        f"into.insert(Path({str(tiny)!r}), into.connect(Settings()), progress=wait)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"now\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert into.marker(mongo_database)["state"] == "partly"
    assert into.insert(tiny, mongo_database, progress=silent)
    stored = contents(mongo_database)
    assert {name: len(docs) for name, docs in stored.items()} == counts_of(tiny)
    assert into.marker(mongo_database)["state"] == "whole"


@pytest.fixture
def copy(xs: Path, tmp_path: Path) -> Path:
    """The shop's files in a folder where ticks may write."""
    return Path(shutil.copytree(xs, tmp_path / "xs-42"))


def test_ticks_are_the_same_every_time(copy: Path, xs: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(xs, tmp_path / "other"))
    for folder in (copy, other):
        for number, days in ((1, 3), (2, 4)):
            work_out(profile("xs"), 42, folder, number, days)
    for file in sorted((copy / "ticks").rglob("*")):
        if file.is_file():
            assert file.read_bytes() == (other / file.relative_to(copy)).read_bytes(), file


def test_ticks_change_what_their_truth_says(
    copy: Path, truth: Truth, mongo_database: Database[Any]
) -> None:
    """After two ticks the database gives the old truth plus what the ticks' truth adds."""
    into.insert(copy, mongo_database, progress=silent)
    before = contents(mongo_database)
    money = {name: Decimal(str(truth("totals")[name])) for name in MEASURES}
    counts = truth("counts")["documents"]
    changed: dict[str, dict[str, set[str]]] = {}
    for number, days in ((1, 20), (2, 10)):
        folder = work_out(profile("xs"), 42, copy, number, days)
        assert apply(folder, mongo_database, silent) > 0
        added = json.loads((folder / "truth.json").read_text())
        for row in added["money_added"]:
            for name in MEASURES:
                money[name] += Decimal(str(row[name]))
        for row in added["deleted_orders"]:
            if row["is_countable"] == "true":
                for name in WORTH:
                    money[name] -= Decimal(row[name])
        counts = added["documents"]
        for collection, kinds in added["changes"].items():
            for kind, ids in kinds.items():
                changed.setdefault(collection, {}).setdefault(kind, set()).update(ids)
    after = contents(mongo_database)
    assert {name: len(docs) for name, docs in after.items()} == counts
    books = Books(reader(mongo_database))
    for name in (*WORTH, "refund_adjustments", "returned_units"):
        assert books.total(name) == money[name], name
    assert {"late_edit", "updated_at_not_bumped", "goodwill", "status", "hard_deleted"} <= set(
        changed["orders"]
    )
    assert {"soft_deleted", "merged", "erased", "inserted"} <= set(changed["users"])
    assert {"stock_written_directly", "price_or_cost"} <= set(changed["products"])
    for collection in ("sessions", "reviews", "inventory_movements", "campaign_daily"):
        assert changed[collection]["inserted"]
    ids = {id_text(bson.decode(doc)["_id"]) for doc in after["orders"]}
    assert not changed["orders"]["hard_deleted"] & ids
    assert changed["orders"]["inserted"] <= ids
    # an order that no truth names is untouched
    named = set().union(*changed["orders"].values())
    old = {id_text(bson.decode(doc)["_id"]): doc for doc in before["orders"]}
    new = {id_text(bson.decode(doc)["_id"]): doc for doc in after["orders"]}
    for identifier in set(old) - named:
        assert old[identifier] == new[identifier]
    for identifier in changed["orders"]["updated_at_not_bumped"] - changed["orders"]["status"]:
        if identifier in new and identifier not in changed["orders"].get("erased", set()):
            stamps = [bson.decode(docs[identifier])["updated_at"] for docs in (old, new)]
            assert stamps[0] == stamps[1]


def test_a_tick_applied_twice_changes_nothing(
    tiny: Path, tmp_path: Path, mongo_database: Database[Any]
) -> None:
    files = Path(shutil.copytree(tiny, tmp_path / "tiny-42"))
    into.insert(files, mongo_database, progress=silent)
    folder = work_out(TINY, 42, files, 1, 10)
    apply(folder, mongo_database, silent)
    once = contents(mongo_database)
    apply(folder, mongo_database, silent)
    assert contents(mongo_database) == once


def test_an_interrupted_tick_is_finished_first(mongo_database: Database[Any]) -> None:
    mongo_database[into.MARKER].insert_one({"_id": "store", "tick": 0})
    into.begin_tick(mongo_database, 1, 5)
    mark = into.marker(mongo_database)
    assert mark is not None
    assert into.next_tick(mark, 2) == (1, 5)
    into.end_tick(mongo_database, 1)
    mark = into.marker(mongo_database)
    assert mark is not None
    assert into.next_tick(mark, 2) == (2, 2)


def test_another_length_of_tick_takes_the_place_of_the_old(copy: Path) -> None:
    first = work_out(profile("xs"), 42, copy, 1, 2)
    work_out(profile("xs"), 42, copy, 2, 2)
    again = work_out(profile("xs"), 42, copy, 1, 3)
    assert again == first
    assert json.loads((first / "truth.json").read_text())["days"] == 3
    assert not (copy / "ticks" / "0002").exists()


def test_the_future_ends(copy: Path) -> None:
    with pytest.raises(UserError, match="future ends in 366 days: use --days 366 or less"):
        work_out(profile("xs"), 42, copy, 1, 367)


def _run(arguments: list[str], **environment: str) -> tuple[int, str]:
    import os

    process = subprocess.run(
        [sys.executable, "-m", "orchestration.cli", "store", *arguments],
        cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return process.returncode, process.stdout + process.stderr


@pytest.mark.slow
def test_the_command(tmp_path: Path, mongo_database: Database[Any]) -> None:
    out = ["--out", str(tmp_path)]
    code, text = _run(["generate", "--profile", "xs", *out])
    assert code == 0, text
    assert f"inserted into MongoDB database '{mongo_database.name}'" in " ".join(text.split())
    code, text = _run(["generate", "--profile", "xs", *out])
    assert code == 0
    assert "already whole" in text
    code, text = _run(["tick", "--days", "2", *out])
    assert code == 0, text
    assert "tick 1: 2 days" in text
    code, text = _run(["generate", "--profile", "xs", "--seed", "7", *out])
    assert code == 2
    assert "holds the store xs with seed 42: pass --replace" in " ".join(text.split())


def test_wrong_input_is_one_clear_line(tmp_path: Path, mongo_database: Database[Any]) -> None:
    for arguments, environment, message in (
        (["generate", "--profile", "huge"], {}, "unknown profile 'huge'"),
        (["tick"], {}, "holds no whole demo shop"),
        (
            ["generate", "--profile", "xs", "--out", str(tmp_path)],
            {"MONGODB_URI": "mongodb://127.0.0.1:1/"},
            "MongoDB can't be reached",
        ),
    ):
        code, text = _run(arguments, **environment)
        assert code == 2, text
        assert message in " ".join(text.split())
        assert "Traceback" not in text
