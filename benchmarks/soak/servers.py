"""A source and a Postgres of the soak's own, to be killed and started again."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterable
from pathlib import Path

import psutil
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from loaders.errors import ServerUnreachableError
from loaders.settings import Settings
from sandbox.servers import manager, processes
from sandbox.servers.mongodb import MongoDB
from sandbox.servers.postgres import Postgres

# one of Postgres' processes and what it is called; a loader's ends all the others
BACKEND_TITLE = "postgres: ledgerline "


def isolate() -> Settings:
    """Make the environment lead to servers in a new temporary folder, and nowhere else."""
    for name in list(os.environ):
        if name.startswith(("POSTGRES_", "MONGODB_", "LEDGERLINE_", "PG")):
            del os.environ[name]
    # not below a home: its parents may be closed to the user that runs PostgreSQL for root
    home = Path(tempfile.mkdtemp(prefix=f"ledgerline-soak-{os.getpid()}-"))
    home.chmod(0o755)
    os.environ |= {
        "LEDGERLINE_ENV_FILE": os.devnull,
        "LEDGERLINE_HOME": str(home),
        "LEDGERLINE_POSTGRES_PORT": str(processes.free_port()),
        "LEDGERLINE_MONGODB_PORT": str(processes.free_port()),
    }
    (home / "logs").mkdir()
    return Settings(_env_file=None)


class Servers:
    """Both servers.

    Args:
        settings: of the sandbox that they are.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.postgres = Postgres(settings)
        self.source = MongoDB(settings)

    # Postgres answers nobody while it recovers from a backend's death
    @retry(
        retry=retry_if_exception_type(ServerUnreachableError),
        stop=stop_after_delay(60),
        wait=wait_fixed(0.1),
        reraise=True,
    )
    def up(self) -> None:
        """Start what doesn't run, and wait until both answer."""
        manager.up(self.settings)

    def kill_source(self) -> bool:
        """Kill the source; False if it doesn't run."""
        return _kill([self.source.pid()])

    def kill_postgres(self) -> bool:
        """Kill the postmaster alone; its children notice, and end."""
        return _kill([self.postgres.pid()])

    def kill_postgres_with_children(self) -> bool:
        """Kill all of Postgres' processes at once, as a power cut does."""
        pid = self.postgres.pid()
        return _kill([pid, *(child.pid for child in _children(pid))])

    def kill_backend(self) -> bool:
        """Kill a session's process: the postmaster then ends all of them and recovers."""
        sessions = [
            child.pid
            for child in _children(self.postgres.pid())
            if _title(child).startswith(BACKEND_TITLE)
        ]
        return _kill(sessions[-1:])


def _children(pid: int | None) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children() if pid else []
    except psutil.NoSuchProcess:
        return []


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _kill(pids: Iterable[int | None]) -> bool:
    """SIGKILL, and wait until they are gone."""
    killed = [pid for pid in pids if pid is not None and kill(pid)]
    for pid in killed:
        processes.wait_until(lambda pid=pid: not processes.is_ours(pid, []), 10)
    return bool(killed)


def kill(pid: int) -> bool:
    """SIGKILL; False if there is no such process."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True
