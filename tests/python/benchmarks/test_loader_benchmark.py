"""`make bench-loader`: what it measures, what it says, and that it leaves nothing behind."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import bson
import psycopg
import pytest
from bson.decimal128 import Decimal128
from bson.int64 import Int64

from benchmarks.loader import environments, measure, orders, report
from benchmarks.loader.__main__ import Bench
from benchmarks.loader.contenders import CONTENDERS
from benchmarks.loader.measure import Cost, FailedError
from benchmarks.loader.report import Outcome
from benchmarks.loader.target import NAME, Target
from loaders.settings import ROOT, Settings

BY_NAME = {contender.name: contender for contender in CONTENDERS}
COMMAND = [sys.executable, "-m", "benchmarks.loader"]


def _decoded(file: Path) -> list[dict]:
    return [one for batch in orders.read(file) for one in bson.decode_all(batch)]


class TestOrders:
    def test_they_are_the_same_each_time(self, tmp_path: Path) -> None:
        both = [tmp_path / "one", tmp_path / "two"]
        for folder in both:
            folder.mkdir()
            orders.write(folder, 300)
        one, two = ((folder / "orders.bson").read_bytes() for folder in both)
        assert one == two

    def test_they_are_as_large_and_as_mixed_as_real_ones(self, tmp_path: Path) -> None:
        files = orders.write(tmp_path, 1_000)
        assert files.orders.stat().st_size / 1_000 == pytest.approx(620, abs=10)
        documents = _decoded(files.orders)
        assert documents == sorted(documents, key=lambda one: one["_id"])
        assert type(documents[0]["number"]) is Int64
        assert type(documents[0]["total"]) is Decimal128
        notes = "".join(one["note"] for one in documents)
        assert {'"', "\\", "\n", "ö", "日"} <= set(notes)

    def test_one_in_a_hundred_is_changed_and_is_newer(self, tmp_path: Path) -> None:
        files = orders.write(tmp_path, 1_000)
        before, after = _decoded(files.orders), _decoded(files.changed)
        changed = [new for old, new in zip(before, after, strict=True) if new != old]
        assert len(changed) == 10
        newest = max(one["updated_at"] for one in before)
        assert all(one["updated_at"] > newest for one in changed)

    def test_the_halves_are_the_whole(self, tmp_path: Path) -> None:
        files = orders.write(tmp_path, 301)
        halves = files.first_half.read_bytes() + files.second_half.read_bytes()
        assert halves == files.orders.read_bytes()


def _outcome(name: str, *seconds: float, documents: int = 1_000, **more: float) -> Outcome:
    costs = [Cost(one, cpu=one, server_cpu=one / 2, memory=100, **more) for one in seconds]
    return Outcome(BY_NAME[name], documents, costs)


class TestReport:
    def test_medians_are_shown(self) -> None:
        [line] = report.table([_outcome("full", 9, 2, 1)]).splitlines()[2:]
        assert "| 2.00 | 500 |" in line
        assert "| 2000.0 | 1000.0 | 100 |" in line

    def test_a_peer_that_fails_is_there_with_its_reason(self) -> None:
        failed = Outcome(BY_NAME["sling"], 1_000, failure="no such a|b")
        assert "failed: no such a/b" in report.table([failed])
        assert "not measured" in report.verdicts([failed, _outcome("full", 1)])

    @pytest.mark.parametrize(("slowest", "verdict"), [(2.2, "met"), (2.1, "**missed**")])
    def test_the_fastest_peer_is_the_measure(self, slowest: float, verdict: str) -> None:
        found = [_outcome("full", 1), _outcome("ingestr", slowest), _outcome("dlt-arrow", 9)]
        [line] = [one for one in report.verdicts(found).splitlines() if "fastest peer" in one]
        assert line.endswith(f"| {verdict} |")

    def test_peers_that_load_less_are_compared_by_documents_a_second(self) -> None:
        found = [_outcome("full", 1), _outcome("pandas", 2, documents=200)]
        [line] = [one for one in report.verdicts(found).splitlines() if "pandas" in one]
        assert "| 10.00 | met |" in line

    def test_the_incremental_load_is_a_share_of_the_full_one(self) -> None:
        found = [
            _outcome("full", 9, load_seconds=8.0),
            _outcome("incremental", 1, load_seconds=0.2),
        ]
        [line] = [one for one in report.verdicts(found).splitlines() if "incremental" in one]
        assert "| 0.025 | met |" in line


class TestMeasure:
    def test_a_command_is_measured_with_its_children(self, tmp_path: Path) -> None:
        work = "sum(i for i in range(3_000_000))"
        child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', '{work}'])"
        memory = "held = bytearray(300 << 20); print('done')"
        code = f"{child}; {memory}"
        # from a small process: a child's peak is never reported below that of its starter
        starter = (
            "import json, os, pathlib, sys; from benchmarks.loader import measure; "
            "code, folder = sys.argv[1:]; "
            "cost, printed = measure.run([sys.executable, '-c', code], os.environ, "
            "pathlib.Path(folder), lambda: 1.0); "
            "print(json.dumps([printed, cost.cpu, cost.memory, cost.server_cpu, cost.seconds]))"
        )
        done = subprocess.run(
            [sys.executable, "-c", starter, code, str(tmp_path)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        printed, cpu, memory, server_cpu, seconds = json.loads(done.stdout)
        assert printed == "done\n"
        assert cpu > 0.05
        assert 300 < memory < 400
        assert server_cpu == 0
        assert seconds >= cpu / 2

    def test_a_failure_says_its_last_line(self, tmp_path: Path) -> None:
        code = "import sys; sys.exit('first\\nlast')"
        with pytest.raises(FailedError, match=r"^last$"):
            measure.run([sys.executable, "-c", code], os.environ, tmp_path, lambda: None)

    def test_what_takes_too_long_is_ended(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(measure, "TIMEOUT_SECONDS", 0.5)
        with pytest.raises(FailedError, match="took too long"):
            measure.run(["sleep", "60"], os.environ, tmp_path, lambda: None)


class TestEnvironments:
    def test_what_can_not_be_installed_is_a_failure_and_leaves_nothing(
        self, tmp_path: Path
    ) -> None:
        with pytest.raises(FailedError, match="can't be installed"):
            environments.make(tmp_path, "peer", [str(tmp_path / "no-such-package.whl")])
        assert list(tmp_path.iterdir()) == []

    def test_one_cut_short_is_made_anew_and_a_whole_one_is_kept(self, tmp_path: Path) -> None:
        folder = environments.make(tmp_path, "peer", [str(_wheel(tmp_path))])
        made = (folder / "pyvenv.cfg").stat().st_ino
        assert environments.make(tmp_path, "peer", [str(_wheel(tmp_path))]) == folder
        assert (folder / "pyvenv.cfg").stat().st_ino == made
        (folder / ".ready").unlink()
        environments.make(tmp_path, "peer", [str(_wheel(tmp_path))])
        assert (folder / ".ready").exists()


def _wheel(folder: Path) -> Path:
    """A package with nothing in it, so that no registry is asked."""
    file = folder / "empty-1.0-py3-none-any.whl"
    with zipfile.ZipFile(file, "w") as wheel:
        for name, text in (
            ("METADATA", "Metadata-Version: 2.1\nName: empty\nVersion: 1.0\n"),
            ("WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"),
            ("RECORD", ""),
        ):
            wheel.writestr(f"empty-1.0.dist-info/{name}", text)
    return file


def _left(settings: Settings) -> list[object]:
    """What a run has left behind."""
    with psycopg.connect(**settings.postgres("postgres")) as conn:
        databases = conn.execute(
            "select datname from pg_database where datname = %s", [NAME]
        ).fetchall()
    return [*databases, *_runs(settings)]


def _runs(settings: Settings) -> Iterable[Path]:
    return (settings.home / "bench").glob("run-*")


@pytest.mark.servers
@pytest.mark.slow
class TestBenchmark:
    def test_a_trial_measures_and_leaves_nothing(self, settings: Settings) -> None:
        readme = (ROOT / "benchmarks" / "README.md").read_bytes()
        options = ["--docs", "1000", "--runs", "2", "--only", "copy", "full", "incremental"]
        done = subprocess.run([*COMMAND, *options], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "failed" not in done.stdout
        rows = [line for line in done.stdout.splitlines() if line.count("| 1,000 |") == 1]
        assert len(rows) == 3
        assert "run 2 of 2: incremental" in done.stdout
        assert _left(settings) == []
        assert (ROOT / "benchmarks" / "README.md").read_bytes() == readme

    @pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
    def test_a_run_that_is_ended_leaves_nothing(self, settings: Settings, how: int) -> None:
        process = subprocess.Popen(
            [*COMMAND, "--docs", "20000", "--only", "copy", "full"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        for line in process.stdout:
            if "run 1 of 5: copy" in line:
                break
        time.sleep(0.5)  # into the full load
        process.send_signal(how)
        assert process.wait(60) != 0
        process.communicate()
        assert _left(settings) == []

    @pytest.mark.parametrize(
        ("code", "reason"),
        [
            ("import os, sys; sys.exit('no ' + os.environ['BENCH_TARGET'])", r"^no .*:\*\*\*@"),
            ("print('done')", "loaded 0 documents, not 300"),
        ],
    )
    def test_a_peer_that_fails_is_reported_without_the_password(
        self, settings: Settings, tmp_path: Path, code: str, reason: str
    ) -> None:
        target = Target(settings.model_copy(update={"postgres_db": NAME}))
        contender = replace(
            BY_NAME["ingestr"],
            command=lambda run: [sys.executable, "-c", code],
            prepare=lambda conn: conn.execute("create table public.orders ()"),
        )
        try:
            [outcome] = Bench(tmp_path, target, 300).measure([contender], 2)
        finally:
            target.drop()
        assert outcome.costs == []
        assert outcome.failure and re.search(reason, outcome.failure)
        assert str(settings.postgres()["password"]) not in outcome.failure

    def test_what_a_killed_run_left_is_removed_by_the_next(self, settings: Settings) -> None:
        left = settings.home / "bench" / "run-killed"
        left.mkdir(parents=True)
        options = ["--docs", "1000", "--runs", "1", "--only", "copy"]
        subprocess.run([*COMMAND, *options], cwd=ROOT, check=True, capture_output=True)
        assert _left(settings) == []

    @pytest.mark.parametrize(
        "options", [["--only", "nothing"], ["--docs", "5"], ["--runs", "0"], ["--docs", "many"]]
    )
    def test_wrong_options_are_refused(self, options: list[str]) -> None:
        done = subprocess.run([*COMMAND, *options], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 2
        assert "error:" in done.stderr and "Traceback" not in done.stderr
