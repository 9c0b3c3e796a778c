"""One small shop, made once for all tests of the demo store."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from store_books import silent

from sandbox.store.generate import World, generate
from sandbox.store.profiles import profile


@pytest.fixture(scope="session")
def xs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of profile xs, seed 42."""
    folder = tmp_path_factory.mktemp("store") / "xs-42"
    generate(profile("xs"), 42, folder, silent)
    return folder


@pytest.fixture(scope="session")
def truth(xs: Path) -> Callable[[str], Any]:
    """Reads one of the shop's truth files."""
    return lambda name: json.loads((xs / "truth" / f"{name}.json").read_text())


@pytest.fixture(scope="session")
def world_s() -> World:
    """Profile s as columns: all decisions about orders, no documents."""
    return World(profile("s"), 42)
