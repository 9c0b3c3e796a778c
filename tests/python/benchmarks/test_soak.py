"""`make soak`, with a handful of kills; and that its comparison notices what it is there for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import psycopg
import pytest
from pymongo.database import Database

from benchmarks.soak.compare import Reader, findings
from benchmarks.soak.documents import SHARES, identity
from benchmarks.soak.writer import Writer
from loaders.modes import Mode, run
from loaders.settings import ROOT, Settings

pytestmark = [pytest.mark.servers, pytest.mark.slow]

KILLS = 5


def test_after_kills_of_everything_raw_is_the_source() -> None:
    command = [sys.executable, "-m", "benchmarks.soak", "--kills", str(KILLS), "--seed", "4"]
    done = subprocess.run(
        [*command, "--documents", "600"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{KILLS} kills in " in done.stdout
    assert "3 comparisons without a difference (1 after auto, 1 after follow, 1 after full)" in (
        done.stdout
    )
    home = done.stdout.splitlines()[0].rpartition(" ")[2]
    assert not Path(home).exists(), "nothing is left of it"


# what a bad load could leave behind -> what is said of it; event 121 is the first one
HARM = {
    "delete from raw.orders where _id in (select min(_id) from raw.orders)": "raw lacks 1 doc",
    "update raw.events set _deleted_at = now() where _id = '121'": "raw lacks 1 documents: 121",
    "update raw.events set _doc_hash = 'x' where _id = '121'": "raw has another version of 1 doc",
    'insert into raw.events select (jsonb_populate_record(e, \'{"_id": "0"}\')).*'
    " from raw.events as e limit 1": "raw has, though the source hasn't: 1 documents: 0",
    'update raw.tickets set doc = doc || \'{"text": "other"}\'': "decoded, raw has another version",
    "delete from ops.quarantine": "ops.quarantine lacks",
    "insert into ops.quarantine select collection, '\"good\"', reason, bson, _doc_hash,"
    " quarantined_at, batch_id from ops.quarantine limit 1": (
        'ops.quarantine has, though the source hasn\'t: 1 documents: "good"'
    ),
    "update ops.altered_documents set bson = '\\x00'": "other bytes kept than those of the hash",
    "delete from ops.altered_documents": "ops.altered_documents lacks",
    "update ops.watermarks set watermark_ts = now() + interval '1 hour'": "later than the source",
    "update ops.watermarks set raw_count = raw_count + 1": "40 live rows, but ops.watermarks",
    "delete from ops.load_runs": "40 rows of a batch that ops.load_runs doesn't have",
    "update ops.load_runs set inserted = inserted + 1": "the runs that are done inserted 41",
    "create table shadow.orders ()": "shadow tables of ['orders'], unfinished are []",
    "create temporary table ledgerline_stage ()": "1 temporary tables left behind",
    "select pg_advisory_xact_lock(1)": "1 advisory locks left behind",
    "update raw.events set _deleted_at = null, _doc_hash = 'x'": "by _loaded_at has another",
}


def test_comparison_finds_what_a_bad_load_would_leave(
    pg_database: Settings,
    mongo_database: Database[Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("benchmarks.soak.compare.PATIENCE_SECONDS", 0.1)
    settings = Settings()
    writer = Writer(settings, 1, 10, tmp_path / "writer.txt")
    writer.fill(200)
    run(settings, mode=Mode.FULL)
    reader = Reader()
    with psycopg.connect(**settings.postgres(), autocommit=True) as conn:

        def found() -> str:
            lines = findings(conn, mongo_database, may_be_unfinished=False)
            return "\n".join(lines + reader.findings(conn))

        assert found() == ""
        for harm, told in HARM.items():
            with conn.transaction(force_rollback=True):
                conn.execute(harm)
                assert told in found(), harm
        assert found() == ""

    assert writer.take_lost() == []
    mongo_database.events.delete_one({"_id": 121})
    assert writer.take_lost() == ["events 121: 121, found none"]
    assert writer.take_lost() == []
    writer.stop()


def test_writer_changes_every_collection_and_knows_what_is_there(
    mongo_database: Database[Any], tmp_path: Path
) -> None:
    writer = Writer(Settings(), 2, 1, tmp_path / "writer.txt")
    writer.fill(300)
    for _ in range(200):
        writer._work()
    assert writer.take_lost() == []
    assert len(writer.done) == 8
    assert {mongo_database[name].count_documents({}) > 30 for name in SHARES} == {True}
    writer.stop()


def test_same_seed_makes_the_same_documents() -> None:
    ids = [[identity(Random(3), name, 7) for name in SHARES] for _ in range(2)]
    assert ids[0] == ids[1]
