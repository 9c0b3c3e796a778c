"""Servers of the tests' own: a sandbox in a temporary folder on free ports.

The environment is set before any test module is imported, so that neither a test nor a process that
it starts can reach the developer's sandbox or a server named in `.env`.
"""

from __future__ import annotations

import math
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pymongo
import pytest
from databases import drop_database
from psycopg import sql
from pymongo.database import Database

for _name in list(os.environ):
    # LEDGERLINE_DATA names a folder of public data sets, no server
    if _name.startswith(("POSTGRES_", "MONGODB_", "LEDGERLINE_", "PG")) and (
        _name != "LEDGERLINE_DATA"
    ):
        del os.environ[_name]
os.environ["LEDGERLINE_ENV_FILE"] = os.devnull
# not pytest's tmp_path: its parents are closed to the user that runs PostgreSQL for root
os.environ["LEDGERLINE_HOME"] = tempfile.mkdtemp(prefix=f"ledgerline-test-{os.getpid()}-")
os.environ["DBT_PROFILES_DIR"] = os.environ["LEDGERLINE_HOME"]
Path(os.environ["LEDGERLINE_HOME"]).chmod(0o755)

from loaders.settings import ROOT, Settings  # noqa: E402 - reads the environment
from sandbox.servers import manager, processes  # noqa: E402

os.environ["LEDGERLINE_POSTGRES_PORT"] = str(processes.free_port())
os.environ["LEDGERLINE_MONGODB_PORT"] = str(processes.free_port())

# by what a mark multiplies a test's time, roughly: one without any takes a fraction of a second
TIMES = {"servers": 3, "dbt": 5, "slow": 10}


def pytest_sessionstart() -> None:
    """Remove what test runs left that were killed: their folders carry their pids."""
    for left in Path(tempfile.gettempdir()).glob("ledgerline-test-*"):
        pid = re.match(r"ledgerline-test-(\d+)-", left.name)
        if pid and not psutil.pid_exists(int(pid[1])) and left.stat().st_uid == os.geteuid():
            manager.wipe(Settings().model_copy(update={"home": left}))


def pytest_configure(config: pytest.Config) -> None:
    """Groups begin in the order of the tests: xdist's own is by how many tests a group has."""
    config.option.loadscopereorder = False


@pytest.hookimpl(tryfirst=True)  # before the groups are read
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Processes that share the tests: one has all that need the one warehouse, else by file.

    What takes longest begins first, or its process would be busy long after the others. How long
    is guessed from what a test is marked with, which need not be right to a few seconds.
    """
    groups = [_group(item) for item in items]
    seconds: Counter[str] = Counter()
    for item, group in zip(items, groups, strict=True):
        item.add_marker(pytest.mark.xdist_group(group))
        marks = {mark.name for mark in item.iter_markers()}
        seconds[group] += math.prod(TIMES.get(mark, 1) for mark in marks)
    order = sorted(range(len(items)), key=lambda i: -seconds[groups[i]])
    items[:] = [items[i] for i in order]


def _group(item: pytest.Item) -> str:
    fixtures = getattr(item, "_fixtureinfo", None)
    found = fixtures.name2fixturedefs.get("warehouse", ()) if fixtures else ()
    return "warehouse" if found and found[-1].scope == "session" else str(item.path)


def pytest_unconfigure() -> None:
    manager.wipe(Settings())
    shutil.rmtree(os.environ["LEDGERLINE_HOME"], ignore_errors=True)


@pytest.fixture(scope="session")
def servers() -> Settings:
    """Both servers, running till the session ends; the environment leads to them."""
    settings = Settings()
    manager.up(settings)
    return settings


@pytest.fixture
def settings(servers: Settings) -> Settings:
    """Settings as the environment has them now, with the servers running."""
    return Settings()


@pytest.fixture
def pg_database(servers: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """An empty Postgres database, and `POSTGRES_DB` naming it."""
    name = f"test_{secrets.token_hex(6)}"
    monkeypatch.setenv("POSTGRES_DB", name)
    with psycopg.connect(**servers.postgres("postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
    yield Settings()
    drop_database(servers, name)


@pytest.fixture
def mongo_database(
    servers: Settings, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Database[dict[str, Any]]]:
    """An empty MongoDB database, and `MONGODB_DATABASE` naming it."""
    name = f"test_{secrets.token_hex(6)}"
    monkeypatch.setenv("MONGODB_DATABASE", name)
    with pymongo.MongoClient(servers.mongodb()) as client:
        yield client[name]
        # not dropped: that takes this server many seconds, and its folder goes with the session


@pytest.fixture(scope="session")
def warehouse(servers: Settings) -> Settings:
    """The tiny demo shop, loaded, built and scored once for the session by `ledgerline demo`.

    In databases of its own; whoever changes something in them puts it back.
    """
    names = {"postgres_db": "warehouse_xs", "mongodb_database": "warehouse_xs"}
    settings = servers.model_copy(update=names)
    environment = {
        **os.environ,
        **{name.upper(): value for name, value in names.items()},
        "DBT_TARGET_PATH": str(settings.home / "target" / names["postgres_db"]),
    }
    done = subprocess.run(
        [sys.executable, "-m", "orchestration.cli", "demo", "--profile", "xs"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return settings
