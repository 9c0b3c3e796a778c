"""The generator: same bytes, exact counts, and what happens when it is cut off."""

from __future__ import annotations

import errno
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from store_books import silent

from loaders.errors import UserError
from sandbox.store import places
from sandbox.store.cli import make
from sandbox.store.generate import World, generate
from sandbox.store.profiles import named, profile
from sandbox.store.writer import Folder, read_manifest

EXPECTED = Path(__file__).parent / "xs-42.json"
"""Hashes of profile xs, seed 42. If a change is meant, raise FORMAT in generate.py and replace it
with the manifest of a new run."""


def test_the_bytes_are_those_that_were_committed(xs: Path) -> None:
    assert json.loads((xs / "manifest.json").read_text()) == json.loads(EXPECTED.read_text())


def test_a_second_run_gives_the_same_bytes(xs: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    generate(profile("xs"), 42, again, silent)
    for file in sorted(path.relative_to(xs) for path in xs.rglob("*") if path.is_file()):
        assert (again / file).read_bytes() == (xs / file).read_bytes(), file


def test_another_seed_gives_another_shop(xs: Path, tmp_path: Path) -> None:
    generate(profile("xs"), 43, tmp_path / "other", silent)
    here, there = read_manifest(xs), read_manifest(tmp_path / "other")
    assert here is not None
    assert there is not None
    for name in ("users", "products", "orders", "sessions", "reviews", "exchange_rates"):
        assert here["collections"][name]["sha256"] != there["collections"][name]["sha256"]


@pytest.mark.parametrize(
    ("name", "customers", "orders", "lines", "products"),
    [
        ("xs", 320, 1_040, 2_600, 60),
        ("s", 9_000, 40_000, 100_000, 420),
        ("m", 5_000, 51_000, 76_500, 1_000),
        ("xl", 47_580, 340_000, 763_884, 4_161),
    ],
)
def test_counts_of_the_clean_shop_are_exact(
    name: str, customers: int, orders: int, lines: int, products: int
) -> None:
    world = World(profile(name), 42)
    plan = world.plan
    assert plan.past == orders
    assert int(plan.lines[: plan.past].sum()) == lines
    assert np.unique(plan.person[: plan.past]).size == customers
    assert world.catalogue.products == products
    countries = world.people.country[plan.person[: plan.past]]
    if name == "xl":
        assert np.unique(countries).size == len(places.COUNTRIES) == 37


def test_scale_multiplies_people_orders_and_lines() -> None:
    world = World(profile("xs", 3), 42)
    assert world.profile.name == "xsx3"
    assert named("xsx3") == world.profile
    assert world.plan.past == 3 * 1_040
    assert int(world.plan.lines[: world.plan.past].sum()) == 3 * 2_600


def test_killed_and_run_again_is_the_same(xs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "xs-42"
    code = (
        "import time\n"
        "from pathlib import Path\n"
        "from sandbox.store.cli import make\n"
        "from sandbox.store.profiles import profile\n"
        "def wait(what, share):\n"
        "    if share > 0.4: time.sleep(60)\n"
        f"make(profile('xs'), 42, Path({str(folder)!r}), wait)\n"
    )
    root = Path(__file__).resolve().parents[4]
    process = subprocess.Popen([sys.executable, "-c", code], cwd=root)
    deadline = time.monotonic() + 60
    while not (folder / "orders.bson").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (folder / "orders.bson").exists()
    assert read_manifest(folder) is None
    assert make(profile("xs"), 42, folder, silent)
    assert read_manifest(folder) == read_manifest(xs)
    assert not make(profile("xs"), 42, folder, silent), "a whole store was made again"


def test_a_file_that_was_cut_off_is_noticed(xs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "xs-42"
    generate(profile("xs"), 42, folder, silent)
    with (folder / "orders.bson").open("r+b") as file:
        file.truncate(1_000)
    assert read_manifest(folder) is None


def test_a_full_disk_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^no space left on the disk of .*: free some"):  # noqa: SIM117
        with Folder(tmp_path / "store", {}) as folder:
            folder.add("users", {"_id": 1})
            raise OSError(errno.ENOSPC, "No space left on device")
    assert not (tmp_path / "store" / "manifest.json").exists()


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    mine = tmp_path / "thesis.txt"
    mine.write_text("years of work")
    with pytest.raises(UserError, match=r"thesis\.txt.*another folder"):
        generate(profile("xs"), 42, tmp_path, silent)
    assert mine.read_text() == "years of work"


def test_unknown_profile_and_scale() -> None:
    with pytest.raises(UserError, match="unknown profile 'huge': choose one of xs, s, m, xl"):
        profile("huge")
    with pytest.raises(UserError, match="--scale must be 1 or more"):
        profile("xs", 0)
