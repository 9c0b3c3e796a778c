"""`make`: the index of commands."""

import re
import shutil
import subprocess

import pytest

from loaders.settings import ROOT

TARGETS = (
    *("demo", "test", "up", "down", "status", "load", "build", "refresh"),
    *("ui", "mlflow", "docs", "psql", "lint"),
    *(
        "proof",
        "bench",
        "bench-loader",
        "bench-warehouse",
        "bench-metrics",
        "bench-ml",
        "soak",
        "clean",
    ),
)

pytestmark = pytest.mark.skipif(not shutil.which("make"), reason="make isn't installed")


def _make(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["make", *arguments], cwd=ROOT, capture_output=True, text=True)


def test_make_alone_prints_every_target_with_one_line_each() -> None:
    printed = _make()
    assert printed.returncode == 0
    lines = re.findall(r"^ +make ([\w-]+) +(\S.*)$", printed.stdout, re.MULTILINE)
    assert tuple(target for target, _ in lines) == TARGETS
    assert all(len(help_text) > 10 for _, help_text in lines)


@pytest.mark.parametrize("target", TARGETS)
def test_targets_are_not_files(target: str) -> None:
    assert target in re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.M)[1].split()


def test_the_data_set_reaches_every_command() -> None:
    """`make psql PROFILE=xs` must not look into another shop's warehouse."""
    for target in ("demo", "psql", "ui", "refresh"):
        assert "ledgerline --data xs " in _make("-n", target, "PROFILE=xs").stdout
        assert (
            "ledgerline --data online-retail " in _make("-n", target, "DATA=online-retail").stdout
        )


def test_no_file_names_a_registry() -> None:
    for name in ("Makefile", "pyproject.toml", "requirements.lock", "sandbox/bootstrap.py"):
        assert not re.search(r"https?://", (ROOT / name).read_text()), name
