"""`ledgerline load --to parquet`: the same rows as in raw, each version once, whatever happens."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import bson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pytest
from bson import Decimal128, Int64, ObjectId
from test_odd_documents import deep
from test_torture import is_decoded, torture

from loaders.documents import encoding
from loaders.errors import LoadInProgressError, UserError
from loaders.modes import Mode
from loaders.parquet import files as parquet_files
from loaders.parquet import index as parquet_index
from loaders.parquet import landing as parquet
from loaders.parquet.state import State, folder_name, locked
from sandbox.replay.process import replay_process

pytestmark = pytest.mark.servers

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def lake(tmp_path, settings, shop):
    return Lake(tmp_path / "lake")


class Lake:
    """Datasets under test."""

    def __init__(self, out):
        self.out = out

    def load(self, *collections, mode=Mode.AUTO, **options):
        from loaders.settings import Settings

        return parquet.run(Settings(), collections, mode, self.out, **options)

    def dataset(self, collection="orders"):
        return ds.dataset(
            self.out / folder_name(collection),
            format="parquet",
            partitioning=ds.partitioning(pa.schema([("loaded_date", pa.date32())]), flavor="hive"),
        )

    def versions(self, collection="orders"):
        return self.dataset(collection).to_table().to_pylist()

    def latest(self, collection="orders"):
        """What a reader finds: the latest row of each _id, unless it is a tombstone."""
        found = {}
        for row in sorted(
            self.versions(collection), key=lambda row: (row["_loaded_at"], row["_batch_id"])
        ):
            found[row["_id"]] = row
        return {name: row for name, row in found.items() if row["_deleted_at"] is None}

    def hashes(self, collection="orders"):
        return {name: row["_doc_hash"] for name, row in self.latest(collection).items()}

    def quarantine(self, collection="orders"):
        folder = self.out / folder_name(collection) / "_quarantine"
        paths = sorted(folder.glob("*.parquet")) if folder.exists() else []
        return ds.dataset(paths, format="parquet").to_table().to_pylist() if paths else []

    def state(self, collection="orders"):
        return State.load(self.out / folder_name(collection), collection)

    def files(self):
        """Every file with its bytes, but the lock and the index."""
        return {
            path.relative_to(self.out): path.read_bytes()
            for path in self.out.rglob("*")
            if path.is_file() and not path.name.startswith(("_lock", "_index"))
        }


def exact(text):
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


def source_hashes(shop, collection="orders"):
    raw = shop[collection].with_options(
        bson.CodecOptions(document_class=bson.raw_bson.RawBSONDocument)
    )
    return {
        encoding.identity_of(bytes(d.raw)): encoding.hash_of(bytes(d.raw)) for d in raw.find({})
    }


MORE = [
    {"_id": ObjectId(), "updated_at": NOON, "total": Decimal128("12.50")},
    {"_id": 'tab\t newline\n quote" back\\slash \\N \\t \r', "s": "\\", "t": "a\tb\nc\\\t"},
    {"_id": {"a": 1}, "updated_at": datetime(1, 1, 1, tzinfo=UTC)},
    {"_id": 7.5, "updated_at": datetime(9999, 12, 31, 23, 59, 59, 999000, tzinfo=UTC)},
    {"_id": Int64(2**53 + 3), "updated_at": "no date"},
    {"_id": "empty ones", "e": "", "n": None},
    {"_id": "much", "value": "\\\t\n" * 5_000_000},
]


def test_the_rows_are_those_of_raw(replayed, replay_server, tmp_path):
    warehouse, lake = replayed, Lake(tmp_path / "lake")
    documents = [data for data in torture().values() if is_decoded(data)]
    documents += [bson.encode(document) for document in MORE]
    replay_server.put("shop.orders", documents)
    warehouse.load("orders", mode=Mode.FULL)
    [result] = lake.load("orders")
    assert result.is_reconciled
    assert result.raw_count == len(documents)
    mine = {row["_id"]: row for row in lake.versions()}
    theirs = {
        row[0]: row[1:]
        for row in warehouse.all(
            "select _id, doc::text, _types, _source_ts, _doc_hash from raw.orders"
        )
    }
    assert mine.keys() == theirs.keys()
    for name, (doc, types, stamp, digest) in theirs.items():
        row = mine[name]
        assert exact(row["doc"]) == exact(doc), name
        assert row["_types"] == types
        assert row["_source_ts"] == stamp
        assert row["_doc_hash"] == digest
        assert row["_deleted_at"] is None
        assert row["_batch_id"] == 1
        assert row["loaded_date"] == row["_loaded_at"].date()
    altered = warehouse.all("select _id, bson from ops.altered_documents order by 1")
    kept = sorted((row["_id"], row["bson"]) for row in lake.quarantine())
    assert kept == altered
    assert {row["kind"] for row in lake.quarantine()} == {"altered"}


def test_a_second_run_writes_nothing(shop, lake):
    shop.orders.insert_many([{"_id": n, "updated_at": NOON} for n in range(50)])
    shop.orders.insert_many([{"_id": "no clock"}, {"_id": "bad", "v": deep(300)}])
    lake.load()
    before = {path: data for path, data in lake.files().items() if path.suffix == ".parquet"}
    assert before
    for mode in (Mode.AUTO, Mode.INCREMENTAL, Mode.SWEEP, Mode.FULL):
        for result in lake.load(mode=mode):
            assert result.is_reconciled
            assert result.counts.written == 0
            assert (result.raw_count, result.quarantined) == (51, 1)
    now = {path: data for path, data in lake.files().items() if path.suffix == ".parquet"}
    assert now == before


def test_an_increment_has_the_new_versions_only(shop, lake):
    shop.orders.insert_many([{"_id": n, "v": 1, "updated_at": NOON} for n in range(100)])
    lake.load()
    shop.orders.update_one({"_id": 3}, {"$set": {"v": 2, "updated_at": NOON + MINUTE}})
    shop.orders.insert_one({"_id": 100, "v": 1, "updated_at": NOON + MINUTE})
    shop.orders.insert_one({"_id": 101, "v": 1, "updated_at": NOON - 5 * MINUTE})  # a late writer
    [result] = lake.load(mode=Mode.INCREMENTAL)
    assert (result.counts.inserted, result.counts.updated) == (2, 1)
    assert result.counts.read == 102  # all lie within the overlap
    assert result.is_reconciled
    assert len(lake.versions()) == 103
    assert lake.hashes() == source_hashes(shop)
    assert lake.state().watermark == (NOON + MINUTE, "3")
    [result] = lake.load(mode=Mode.INCREMENTAL, overlap=timedelta(0))
    assert result.counts.read == 2


def test_a_sweep_finds_the_gone_and_the_silently_changed(shop, lake):
    shop.orders.insert_many([{"_id": n, "v": 1, "updated_at": NOON} for n in range(3_000)])
    lake.load()
    shop.orders.delete_many({"_id": {"$gte": 1_500}})
    shop.orders.update_one({"_id": 7}, {"$set": {"v": 2}})
    [first, second] = lake.load(mode=Mode.AUTO)
    assert (first.mode, first.is_reconciled) == ("incremental", False)
    assert (second.mode, second.is_reconciled) == ("sweep", True)
    assert second.counts.deleted == 1_500
    assert lake.hashes() == source_hashes(shop)
    tombstones = [row for row in lake.versions() if row["_deleted_at"]]
    assert len(tombstones) == 1_500
    assert {row["doc"] for row in tombstones} == {None}

    shop.orders.insert_one({"_id": 2_000, "v": 1, "updated_at": NOON})  # as it was
    [result] = lake.load(mode=Mode.SWEEP)
    assert (result.counts.updated, result.is_reconciled) == (1, True)
    assert lake.hashes() == source_hashes(shop)


def test_a_collection_that_is_gone_is_emptied_only_when_it_is_named(shop, lake):
    shop.orders.insert_one({"_id": 1})
    shop.reviews.insert_one({"_id": 1})
    lake.load()
    shop.reviews.drop()
    assert [result.collection for result in lake.load()] == ["orders"]
    assert len(lake.latest("reviews")) == 1
    with pytest.raises(UserError, match="the source has no collection reviews"):
        lake.load("reviews")
    [result] = lake.load("reviews", mode=Mode.SWEEP)
    assert (result.counts.deleted, result.raw_count) == (1, 0)
    assert lake.latest("reviews") == {}


def test_quarantine_is_counted_kept_and_released(shop, lake):
    shop.orders.insert_many([{"_id": 1, "v": deep(300)}, {"_id": 2, "v": 1}, {"_id": 3}])
    [result] = lake.load()
    assert (result.raw_count, result.quarantined, result.is_reconciled) == (2, 1, True)
    [note] = lake.quarantine()
    assert (note["_id"], note["kind"]) == ("1", "quarantined")
    assert bson.decode(note["bson"]) == {"_id": 1, "v": deep(300)}
    assert note["reason"].startswith("it can't be written as JSON")

    shop.orders.update_one({"_id": 2}, {"$set": {"v": deep(300)}})  # raw has a version before
    shop.orders.replace_one({"_id": 1}, {"v": 1})
    [result] = lake.load(mode=Mode.SWEEP)
    assert (result.raw_count, result.quarantined, result.is_reconciled) == (3, 0, True)
    assert {(note["_id"], note["kind"]) for note in lake.quarantine()[1:]} == {
        ("1", "released"), ("2", "quarantined")
    }  # fmt: skip
    shop.orders.update_one({"_id": 2}, {"$set": {"v": 1}})  # back to what the dataset has
    shop.orders.delete_one({"_id": 1})
    for _ in range(2):
        [result] = lake.load(mode=Mode.SWEEP)
        assert (result.raw_count, result.quarantined, result.is_reconciled) == (2, 0, True)
    assert lake.hashes() == source_hashes(shop)
    assert [note["kind"] for note in lake.quarantine()].count("released") == 2


def test_a_document_read_in_two_versions_ends_in_the_later_one(shop, lake, monkeypatch):
    """The cursor of an increment may meet a document again that was changed behind it."""
    shop.orders.insert_one({"_id": 1, "v": 0})
    lake.load()
    versions = [
        bson.encode({"_id": 1, "v": v, "updated_at": NOON.replace(tzinfo=None)})
        for v in range(1, 6)
    ]
    batches = [versions[0] + versions[1], versions[2], versions[3] + versions[4]]
    with monkeypatch.context() as patch:
        patch.setattr(parquet.Source, "changed", lambda self, since: iter(batches))
        lake.load(mode=Mode.INCREMENTAL)
    assert len(lake.versions()) == 6
    assert json.loads(lake.latest()["1"]["doc"])["v"] == 5
    parquet_index.open_index(lake.out / "orders", 0).close()  # made anew from the files
    shop.orders.update_one({"_id": 1}, {"$set": {"v": 5, "updated_at": NOON}})
    [result] = lake.load(mode=Mode.SWEEP)
    assert (result.counts.written, result.is_reconciled) == (0, True)


def test_an_index_that_is_lost_broken_or_old_is_made_anew(shop, lake):
    shop.orders.insert_many([{"_id": n, "v": 1, "updated_at": NOON} for n in range(2_500)])
    shop.orders.insert_many([{"_id": "bad", "v": deep(300)}, {"_id": "bad too", "v": deep(300)}])
    lake.load()
    lake.load(mode=Mode.SWEEP)
    old = (lake.out / "orders" / "_index.sqlite").read_bytes()
    shop.orders.delete_one({"_id": 1})
    shop.orders.replace_one({"_id": "bad"}, {"v": 1})
    lake.load(mode=Mode.SWEEP)
    path = lake.out / "orders" / "_index.sqlite"
    for damage in (
        path.unlink,
        lambda: path.write_bytes(b"?" * 5_000),
        lambda: path.write_bytes(old),
    ):
        damage()
        [result] = lake.load(mode=Mode.SWEEP)
        assert (result.counts.written, result.is_reconciled) == (0, True)
        assert (result.raw_count, result.quarantined) == (2_500, 1)
    assert lake.hashes().keys() == source_hashes(shop).keys() - {'"bad too"'}


def test_names_of_collections_are_safe_folders(shop, lake):
    names = ["a.b", "_hidden", ".dot", "a=b", "ünï cödé", "A/B\\C", "a%2Fb", "x" * 180 + "é" * 10]
    names = [name for name in names if _can_be_made(shop, name)]
    assert len(names) > 4
    results = lake.load()
    assert {result.collection for result in results} == set(names)
    folders = {folder_name(name) for name in names}
    assert len(folders) == len(names)
    for name in names:
        assert [row["doc"] for row in lake.versions(name)] == ['{"_id":1}']
        assert "/" not in folder_name(name)
        assert "=" not in folder_name(name)
        assert not folder_name(name).startswith((".", "_"))


def _can_be_made(shop, name):
    try:
        shop[name].insert_one({"_id": 1})
    except Exception:  # whatever this server has against the name
        return False
    return True


def test_partitions_are_pruned_by_date(shop, lake):
    shop.orders.insert_one({"_id": 1})
    lake.load()
    folder = lake.out / "orders"
    [partition] = folder.glob("loaded_date=*")
    shutil.copytree(partition, folder / "loaded_date=2001-01-01")
    today = datetime.now(UTC).date()
    wanted = lake.dataset().get_fragments(filter=pc.field("loaded_date") >= today - timedelta(1))
    assert [partition.name in fragment.path for fragment in wanted] == [True]


def test_files_and_row_groups_are_bounded(shop, lake, monkeypatch):
    monkeypatch.setattr(parquet_files, "PARSE_BYTES", 20_000)
    monkeypatch.setattr(parquet_files, "GROUP_BYTES", 50_000)
    monkeypatch.setattr(parquet_files, "FILE_BYTES", 20_000)
    shop.orders.insert_many([{"_id": n, "v": os.urandom(500)} for n in range(2_000)])
    [result] = lake.load()
    assert (result.raw_count, result.is_reconciled) == (2_000, True)
    paths = sorted(lake.out.rglob("batch-*.parquet"))
    assert len(paths) > 10
    assert all(path.stat().st_size < 150_000 for path in paths)
    assert lake.hashes() == source_hashes(shop)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_collection(tmp_path):
    program = (
        "import pathlib, sys; from loaders.parquet import landing as parquet; "
        "from loaders.modes import Mode; "
        "from loaders.settings import Settings; "
        "parquet.run(Settings(), [], Mode(sys.argv[1]), pathlib.Path(sys.argv[2])); "
        "print(pathlib.Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])"
    )

    def peak(documents, mode):
        file, out = tmp_path / f"{documents}.bson", tmp_path / f"lake {documents}"
        if not file.exists():
            with file.open("wb") as to:
                for n in range(documents):
                    to.write(bson.encode({"_id": ObjectId(), "n": n, "text": "x" * 500}))
        with replay_process({"shop.orders": file}) as server:
            done = subprocess.run(
                [sys.executable, "-c", program, mode, out],
                env=os.environ | {"MONGODB_URI": server.uri, "MONGODB_DATABASE": "shop"},
                capture_output=True,
                text=True,
                check=False,
            )
        assert done.returncode == 0, done.stderr
        return int(done.stdout.split()[-1]) / 1024

    for mode in ("full", "sweep"):  # the sweep makes the index first
        small, large = (peak(documents, mode) for documents in (20_000, 150_000))
        assert large < 200  # of which 105 are imports, Arrow above all
        assert large - small < 20


# --- what goes wrong ------------------------------------------------------------------------------


def test_files_of_a_killed_run_are_removed_and_it_is_finished_by_the_next(shop, lake):
    shop.orders.insert_many([{"_id": n, "v": "x" * 300} for n in range(30_000)])
    shop.reviews.insert_one({"_id": 1})
    folder = lake.out / "orders"
    command = [sys.executable, "-m", "orchestration.cli", "load", "orders", "--to", "parquet"]
    process = subprocess.Popen(
        [*command, "--out", lake.out], env=os.environ.copy(), stdout=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 60
    while not (written := [p for p in folder.rglob(".batch-*") if p.stat().st_size > 0]):
        assert process.poll() is None, "it ended before it was seen to write"
        assert time.monotonic() < deadline
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (folder / "_state.json").exists()
    # as if killed between the files' names and the state
    [hidden] = written
    shutil.copy(hidden, hidden.with_name("batch-1-0.parquet"))
    [result] = lake.load("orders")
    assert (result.counts.inserted, result.is_reconciled) == (30_000, True)
    assert not list(folder.rglob(".batch-*"))
    assert lake.hashes() == source_hashes(shop)


@pytest.mark.parametrize("mode", [Mode.SWEEP, Mode.INCREMENTAL])
def test_a_failed_batch_leaves_the_dataset_as_it_was(shop, lake, monkeypatch, mode):
    shop.orders.insert_many([{"_id": n, "v": 1, "updated_at": NOON} for n in range(100)])
    lake.load()
    lake.load(mode=Mode.SWEEP)
    before = lake.files()
    shop.orders.update_many({}, {"$set": {"v": 2, "updated_at": NOON + MINUTE}})
    for where in ("close", "publish"):
        with monkeypatch.context() as patch:
            patch.setattr(parquet.BatchFiles, where, _fails)
            with pytest.raises(UserError, match=r"No space left on device.*free some space"):
                lake.load(mode=mode)
        assert lake.files() == before
    [result] = lake.load(mode=mode)
    assert (result.counts.updated, result.is_reconciled) == (100, True)


def _fails(self):
    raise OSError(28, "No space left on device")


def test_a_disk_that_takes_no_more_gets_one_clear_line(shop, lake):
    shop.orders.insert_many([{"_id": n, "v": os.urandom(2_000)} for n in range(1_000)])
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000)); "
        "from orchestration.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "load", "--to", "parquet", "--out", lake.out],
        env=os.environ.copy(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    [line] = done.stderr.splitlines()
    assert "can't be written (File too large)" in line
    assert "the dataset is as it was" in line
    assert not list(lake.out.rglob("*.parquet"))
    [result] = lake.load()
    assert result.is_reconciled


def test_two_writers_at_once_are_refused(shop, lake):
    shop.orders.insert_one({"_id": 1})
    with locked(lake.out, shop.name), pytest.raises(LoadInProgressError, match="is writing to"):
        lake.load()
    assert lake.load()[0].is_reconciled


def test_a_folder_that_is_not_ours_is_refused(shop, lake, tmp_path):
    shop.orders.insert_one({"_id": 1})
    lake.out.mkdir()
    (lake.out / "report.pdf").write_text("mine")
    with pytest.raises(UserError, match=r"didn't write \(report.pdf\): name an empty"):
        lake.load()
    assert [path.name for path in lake.out.iterdir()] == ["report.pdf"]
    (lake.out / "report.pdf").unlink()
    lake.load()

    foreign = lake.out / "orders" / "mine.parquet"
    foreign.write_text("x")
    with pytest.raises(UserError, match=r"mine\.parquet is no file of this dataset"):
        lake.load()
    foreign.unlink()
    next(lake.out.rglob("batch-1-0.parquet")).unlink()
    with pytest.raises(UserError, match="has 0 files of 1"):
        lake.load()
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="is no folder"):
        Lake(tmp_path / "file").load()
    with pytest.raises(UserError, match="can't be written"):
        Lake(tmp_path / "file" / "below").load()


def test_documents_of_another_database_are_refused(shop, lake, monkeypatch):
    shop.orders.insert_one({"_id": 1})
    lake.load()
    other = shop.client[f"{shop.name}_2"]
    other.orders.insert_one({"_id": 2})
    monkeypatch.setenv("MONGODB_DATABASE", other.name)
    with pytest.raises(UserError, match=f"holds documents of the database {shop.name}: "):
        lake.load()
    assert list(lake.latest()) == ["1"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--to", "parquet"], "--to parquet needs --out"),
        (["--out", "x"], "--out is for --to parquet"),
        (["--to", "parquet", "--out", "{}", "--mode", "follow"], "writes to Postgres only"),
        (["nothing", "--to", "parquet", "--out", "{}"], "the source has no collection nothing"),
    ],
)
def test_wrong_arguments_get_one_clear_line(shop, lake, arguments, says):
    shop.orders.insert_one({"_id": 1})
    done = subprocess.run(
        [sys.executable, "-m", "orchestration.cli", "load"]
        + [argument.format(lake.out) for argument in arguments],
        env=os.environ.copy(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    [line] = done.stderr.splitlines()
    assert says in line


def test_the_command_needs_no_postgres(shop, lake):
    shop.orders.insert_many([{"_id": n} for n in range(7)])
    done = subprocess.run(
        [sys.executable, "-m", "orchestration.cli", "load", "--to", "parquet", "--out", lake.out],
        env=os.environ | {"POSTGRES_HOST": "127.0.0.1", "POSTGRES_PORT": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    [line] = done.stdout.splitlines()
    assert line.startswith("orders full: source=7 raw=7 read=7 inserted=7")
    assert line.endswith(" reconciled")


def test_duckdb_reads_it(shop, lake):
    duckdb = pytest.importorskip("duckdb")
    shop.orders.insert_many([{"_id": n, "v": n} for n in range(7)])
    lake.load()
    shop.orders.delete_one({"_id": 3})
    lake.load(mode=Mode.SWEEP)
    found = duckdb.sql(
        f"""
        select sum((doc ->> 'v')::int) from (
            select distinct on (_id) *
            from read_parquet('{lake.out}/orders/*/*.parquet', hive_partitioning = true)
            order by _id, _loaded_at desc, _batch_id desc)
        where _deleted_at is null
        """
    ).fetchall()
    assert found == [(18,)]
