"""A sandbox of their own, driven like a user does: by the command, in a process."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pymongo
import pytest

from loaders.settings import ROOT, Settings
from sandbox.servers import manager, processes
from sandbox.servers.mongodb import MongoDB
from sandbox.servers.postgres import Postgres


@dataclass
class Sandbox:
    """One LEDGERLINE_HOME with its ports."""

    home: Path
    postgres_port: int = field(default_factory=processes.free_port)
    mongodb_port: int = field(default_factory=processes.free_port)

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "LEDGERLINE_HOME": str(self.home),
            "LEDGERLINE_POSTGRES_PORT": str(self.postgres_port),
            "LEDGERLINE_MONGODB_PORT": str(self.mongodb_port),
        }

    @property
    def settings(self) -> Settings:
        return Settings(
            LEDGERLINE_HOME=self.home,
            LEDGERLINE_POSTGRES_PORT=self.postgres_port,
            LEDGERLINE_MONGODB_PORT=self.mongodb_port,
        )

    @property
    def postgres(self) -> Postgres:
        return Postgres(self.settings)

    @property
    def mongodb(self) -> MongoDB:
        return MongoDB(self.settings)

    @property
    def passwords(self) -> dict[str, str]:
        return json.loads((self.home / "credentials.json").read_text())

    def start(self, command: str, **environment: object) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "orchestration.cli", *command.split()],
            cwd=ROOT,
            env={**self.environment, **{name: str(value) for name, value in environment.items()}},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, command: str, **environment: object) -> str:
        """Run a command that must work; returns what it printed."""
        process = self.start(command, **environment)
        output, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
        assert errors == ""
        return output

    def refuse(self, command: str, **environment: object) -> str:
        """Run a command that must fail as a user can bear it; returns its one line."""
        process = self.start(command, **environment)
        output, errors = process.communicate(timeout=120)
        assert process.returncode == 2, output + errors
        assert "Traceback" not in output + errors
        assert errors.startswith("error: ")
        assert errors.count("\n") == 1
        return errors

    def sql(self, statement: str, database: str = "ledgerline") -> list[tuple]:
        with psycopg.connect(**self.settings.postgres(database), autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def client(self) -> pymongo.MongoClient:
        return pymongo.MongoClient(self.settings.mongodb(), serverSelectionTimeoutMS=5000)

    def pids(self) -> tuple[int | None, int | None]:
        return self.postgres.pid(), self.mongodb.pid()


@pytest.fixture(scope="session")
def machine_folder() -> Iterator[Path]:
    """A temporary folder that every user may enter."""
    folder = Path(tempfile.mkdtemp(prefix=f"ledgerline-test-{os.getpid()}-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def made(machine_folder: Path) -> Iterator[Sandbox]:
    """A sandbox that was started once; tests stop, kill and harm it, and mend it again."""
    sandbox = Sandbox(machine_folder / "home")
    sandbox.run("up")
    yield sandbox
    manager.wipe(sandbox.settings)


@pytest.fixture
def sandbox(made: Sandbox) -> Sandbox:
    """The one sandbox of these tests, running."""
    manager.up(made.settings)
    return made


@pytest.fixture
def fresh(machine_folder: Path) -> Iterator[Sandbox]:
    """A sandbox that was never started."""
    sandbox = Sandbox(Path(tempfile.mkdtemp(dir=machine_folder)) / "home")
    sandbox.home.parent.chmod(0o755)
    yield sandbox
    if sandbox.home.is_dir():
        manager.wipe(sandbox.settings)


@pytest.fixture
def cramped() -> Iterator[Sandbox]:
    """A sandbox that was never started, on a disk of 640 MB of its own."""
    disk = Path(tempfile.mkdtemp(prefix=f"ledgerline-test-{os.getpid()}-"))
    mount = ["mount", "-t", "tmpfs", "-o", "size=640m,mode=755", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode:
        disk.rmdir()
        pytest.skip("may not mount a small disk here")
    sandbox = Sandbox(disk / "home")
    yield sandbox
    if sandbox.home.is_dir():
        manager.wipe(sandbox.settings)
    subprocess.run(["umount", "-l", str(disk)], check=True)
    disk.rmdir()
