"""The sandbox's MongoDB-protocol server: SecantusDB, a program of its own that we only start.

It is GPL-2.0 and keeps WiredTiger files like MongoDB's own server; nothing here imports it.
"""

from __future__ import annotations

import shutil
import signal
import sys
import time
from importlib.util import find_spec
from pathlib import Path

from loaders.errors import UserError
from loaders.settings import Settings
from sandbox.servers import processes
from sandbox.servers.machine import Machine

PORT_SETTING = "LEDGERLINE_MONGODB_PORT"
USER = "ledgerline"


class MongoDB:
    """One server with its data in `<home>/mongodb`, on loopback TCP only, with a password."""

    name = "MongoDB-protocol server"
    at_once = signal.SIGKILL  # ends it without care for the data

    def __init__(self, settings: Settings) -> None:
        self.home = settings.home.resolve()
        self.port = settings.sandbox_mongodb_port
        self.log = self.home / "logs" / "mongodb.log"
        self.data = self.home / "mongodb"
        self.pid_file = self.home / "mongodb.pid"

    @property
    def exists(self) -> bool:
        """True when the server was set up."""
        return self.data.is_dir()

    def _words(self) -> list[str]:
        return ["secantus", "--storage-path", str(self.data)]

    def pid(self) -> int | None:
        """The server's process, if it runs; found by its command line if the pid file is stale."""
        try:
            pid = int(self.pid_file.read_text())
        except (OSError, ValueError):
            pid = 0
        if pid and processes.is_ours(pid, self._words()):
            return pid
        return processes.find(self._words())

    def running_port(self) -> int | None:
        """The port that a running server was started with."""
        if pid := self.pid():
            command = processes.command_line(pid)
            if "--port" in command[:-1]:
                return int(command[command.index("--port") + 1])
        return None

    def is_ready(self) -> bool:
        """True when the server accepts connections."""
        return processes.port_answers(self.port)

    def create(self, passwords: dict[str, str]) -> None:
        """Make the data folder with its one user, and put it in place when whole.

        The server knows no first user, so it runs for some tenths of a second without passwords,
        empty, on a random loopback port. It has no other door (no socket file, no standard input).

        Raises:
            UserError: the disk is full, or the server doesn't start.
        """
        import pymongo  # here, because `up` mostly finds the server running

        processes.require_space(self.home, 512)
        half = self.home / "mongodb.new"
        shutil.rmtree(half, ignore_errors=True)
        half.mkdir(mode=0o700)
        port = processes.free_port()
        pid = self._launch(half, port, with_passwords=False)
        try:
            with pymongo.MongoClient(
                "127.0.0.1", port, directConnection=True, serverSelectionTimeoutMS=5000
            ) as client:
                client.admin.command(
                    "createUser", USER, pwd=passwords["mongodb_password"], roles=["root"]
                )
        finally:
            self._end(pid, port, ["secantus", str(half)])
        half.rename(self.data)

    def start(self) -> None:
        """Start the server and wait till it accepts connections.

        Raises:
            UserError: a taken port, a full disk, or whatever its log says.
        """
        processes.require_space(self.data, 64)
        processes.require_free_port(self.port, self.name, PORT_SETTING)
        pid = self._launch(self.data, self.port, with_passwords=True)
        self.pid_file.write_text(f"{pid}\n")

    def _launch(self, data: Path, port: int, *, with_passwords: bool) -> int:
        """Start the program on `data` and `port`, wait for the port, return its pid."""
        if find_spec("secantus") is None:
            raise UserError(
                "the sandbox's MongoDB-protocol server isn't installed: run `make`'s set-up (any "
                "target), or set MONGODB_URI to use a server of yours"
            )
        # an empty file, so that no secantusd.toml of the user or the system has a say
        configuration = self.home / "mongodb.toml"
        configuration.write_text("# all settings are on the command line: see `make up`\n")
        command = [
            *(sys.executable, "-I", "-m", "secantus", "--config", str(configuration)),
            *("--host", "127.0.0.1", "--port", str(port), "--storage-path", str(data)),
            *("--cache-size", Machine.measure(data).mongodb_cache()),
            # without it a kill -9 loses writes that were acknowledged
            "--sync-on-commit",
            *(["--auth"] if with_passwords else []),
        ]
        logged = self.log.stat().st_size if self.log.exists() else 0
        server = processes.start(command, self.log)
        end = time.monotonic() + 120
        while not processes.port_answers(port):
            if server.poll() is not None or time.monotonic() > end:
                server.kill()
                raise UserError(self._reason(logged))
            time.sleep(0.03)
        return server.pid

    def _reason(self, offset: int) -> str:
        """One line from what the server said last."""
        with self.log.open("rb") as log:
            log.seek(min(offset, log.seek(0, 2)))
            lines = log.read().decode(errors="replace").strip().splitlines()
        output = "\n".join(lines)
        if "No space left" in output or "File too large" in output:
            return (
                f"the disk is full at {self.data}, so the MongoDB-protocol server stopped "
                "(nothing acknowledged is lost): free some space and run `make up` again"
            )
        if "Address already in use" in output:
            return (
                f"port {self.port} was taken while the MongoDB-protocol server started: run "
                f"`make up` again, or choose another with {PORT_SETTING}"
            )
        if "Permission denied" in output:
            return f"no right to the files in {self.data}: mend their owner, or remove the folder"
        last = lines[-1] if lines else "no reason given"
        return f"the MongoDB-protocol server doesn't start: {last} ({self.log})"

    def stop(self) -> bool:
        """Stop cleanly; False if it wasn't running.

        Raises:
            UserError: it doesn't end, even when killed.
        """
        pid = self.pid()
        if pid is None:
            self.pid_file.unlink(missing_ok=True)
            return False
        if not self._end(pid, self.running_port() or self.port, self._words()):
            raise UserError(f"the MongoDB-protocol server (pid {pid}) doesn't end: see {self.log}")
        self.pid_file.unlink(missing_ok=True)
        return True

    @staticmethod
    def _end(pid: int, port: int, words: list[str]) -> bool:
        """Stop one process; False when it doesn't end even if killed."""
        # Its accept() notices the end only with another connection, or after two seconds. One that
        # comes too early lets that thread take the signal from the main thread, and nothing ends.
        if processes.stop(pid, signal.SIGTERM, 0.2, words):
            return True

        def gone() -> bool:
            processes.port_answers(port)
            return not processes.is_ours(pid, words)

        # every acknowledged write is on disk, so a server that hangs may be killed
        return processes.wait_until(gone, 30) or processes.stop(pid, signal.SIGKILL, 10, words)
