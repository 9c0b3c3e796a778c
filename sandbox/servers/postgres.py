"""The sandbox's PostgreSQL 18: make the cluster, start, stop, and tune it to the machine."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import time
from pathlib import Path

from loaders.errors import UserError
from loaders.settings import Settings
from sandbox.servers import account, processes
from sandbox.servers.machine import Machine

VERSION = "18"
PORT_SETTING = "LEDGERLINE_POSTGRES_PORT"

HBA = """\
# loopback with a password, nothing else; written by `make up`
host all all 127.0.0.1/32 scram-sha-256
"""


class Postgres:
    """One cluster in `<home>/postgres`, on loopback TCP only."""

    name = "PostgreSQL"
    at_once = signal.SIGQUIT  # ends it without care for the data

    def __init__(self, settings: Settings) -> None:
        self.home = settings.home.resolve()
        self.port = settings.sandbox_postgres_port
        self.log = self.home / "logs" / "postgres.log"
        self.link = self.home / "postgres"  # the data, or a link to it: see account.place_for

    @property
    def data(self) -> Path:
        """The cluster's folder, links resolved: what the server itself shows as its own."""
        return self.link.resolve()

    @property
    def exists(self) -> bool:
        """True when the cluster was made."""
        return self.link.is_dir()

    def _words(self) -> list[str]:
        return ["-D", str(self.data)]

    def _pid_file(self) -> list[str]:
        """The lines of postmaster.pid: pid, data folder, start, port, sockets, host, shm, state."""
        try:
            return [line.strip() for line in (self.data / "postmaster.pid").open()]
        except OSError:
            return []

    def pid(self) -> int | None:
        """The server's process, if it runs."""
        lines = self._pid_file()
        if lines and lines[0].isdigit() and processes.is_ours(int(lines[0]), self._words()):
            return int(lines[0])
        # without its folder it goes on for up to a minute, and holds the port
        return None if self.exists else processes.find(self._words())

    def running_port(self) -> int | None:
        """The port that a running server was started with."""
        lines = self._pid_file()
        return int(lines[3]) if len(lines) > 3 and lines[3].isdigit() else None

    def create(self, passwords: dict[str, str], database: str) -> None:
        """Make the cluster with its roles, without any network, and put it in place when whole.

        Raises:
            UserError: the disk is full, or initdb refuses.
        """
        processes.require_space(self.home, 512)
        user = account.for_postgres(self.link)
        place = account.place_for(self.home, user)
        binaries = account.installation(place, user) / "bin"
        data = place / "postgres"
        if data != self.link and data.exists():
            # its LEDGERLINE_HOME, and so its passwords, were removed: nobody can open it any more
            if pid := processes.find(["-D", str(data)]):
                processes.stop(pid, signal.SIGQUIT, 30, ["-D", str(data)])
            shutil.rmtree(data)
        _remove_halves(place)
        # a name of its own: what a killed set-up started may still clean up the last one
        half = place / f"postgres-{secrets.token_hex(4)}.new"
        half.mkdir(mode=0o700)
        user.own(half)
        self._run(
            user,
            [
                *(str(binaries / "initdb"), "-D", str(half), "-U", "postgres"),
                # every machine sorts and folds case alike, whatever its libc
                *("--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
                # Unsynced it is twice as fast, also on a busy disk; the system writes it out within
                # half a minute, and a power cut before that costs a sandbox that holds nothing yet.
                *("--locale=C", "--auth=trust", "--no-instructions", "--no-sync"),
            ],
        )
        self._write(half / "pg_hba.conf", HBA, user)
        statements = [
            f"alter role postgres password '{passwords['postgres_superuser_password']}'",
            "create role ledgerline login createdb createrole"
            f" password '{passwords['postgres_password']}'",
            f'create database "{database.replace(chr(34), chr(34) * 2)}" owner ledgerline',
        ]
        self._run(
            user,
            [
                *(str(binaries / "postgres"), "--single", "-D", str(half)),
                # Thousands of rounds slow down who guesses words; these passwords are drawn,
                # and each of a build's thousand connections would spend a third of its time on it.
                *("-c", "scram_iterations=128", "postgres"),
            ],
            "\n".join(statements) + "\n",
        )
        half.rename(data)
        # again: what a killed set-up had started went on writing for a while
        _remove_halves(place)
        if data != self.link:
            self.link.symlink_to(data)

    def _run(self, user: account.Account, command: list[str], text: str = "") -> None:
        """Run one of PostgreSQL's programs to its end."""
        try:
            done = subprocess.run(
                command,
                input=text,
                capture_output=True,
                text=True,
                errors="replace",
                cwd="/",
                env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"},
                user=user.uid,
                group=user.gid,
                extra_groups=None if user.uid is None else [],
                check=False,
            )
        except PermissionError:
            raise UserError(
                f"user {user.name} can't run {command[0]}: is it on a disk mounted noexec? Clone "
                "the project to another disk, or set POSTGRES_HOST to use a server of yours"
            ) from None
        output = done.stdout + done.stderr
        # --single ends with 0 though a statement failed
        if done.returncode or "ERROR:" in output or "FATAL:" in output:
            self.log.parent.mkdir(parents=True, exist_ok=True)
            with self.log.open("a") as log:
                log.write(output)
            raise UserError(self._reason(output))

    @staticmethod
    def _write(path: Path, text: str, user: account.Account) -> None:
        path.write_text(text)
        path.chmod(0o600)
        user.own(path)

    def start(self) -> None:
        """Start the server and wait till it accepts connections.

        Raises:
            UserError: another version's data, a taken port, a full disk, or whatever its log says.
        """
        version = (self.data / "PG_VERSION").read_text().strip() if self.exists else ""
        if version != VERSION:
            raise UserError(
                f"{self.link} was made by PostgreSQL {version or '(unknown)'} and this is "
                f"{VERSION}: move that folder away and run `make up` and `make refresh` "
                "(all in it comes from MongoDB), or dump it with its own version first"
            )
        processes.require_space(self.data, 64)
        user = account.for_postgres(self.data)
        binaries = account.installation(account.place_for(self.home, user), user) / "bin"
        self._clear_remains()
        processes.require_free_port(self.port, self.name, PORT_SETTING)
        configuration = Machine.measure(self.data).postgres_configuration(self.port)
        self._write(self.data / "postgresql.conf", configuration, user)
        self._write(self.data / "pg_hba.conf", HBA, user)
        logged = self.log.stat().st_size if self.log.exists() else 0
        server = processes.start(
            [str(binaries / "postgres"), *self._words()], self.log, user.uid, user.gid
        )
        # recovery after a crash takes as long as it takes; a server that gave up has ended
        while not self.is_ready():
            if server.poll() is not None:
                raise UserError(self._reason(self._logged_since(logged)))
            time.sleep(0.03)

    def is_ready(self) -> bool:
        """True when the server says that it accepts connections."""
        lines = self._pid_file()
        return self.pid() is not None and len(lines) > 7 and lines[7] == "ready"

    def _logged_since(self, offset: int) -> str:
        with self.log.open("rb") as log:
            log.seek(min(offset, log.seek(0, os.SEEK_END)))
            return log.read().decode(errors="replace")

    def _reason(self, output: str) -> str:
        """One line from what the server said last."""
        if "No space left on device" in output or "File too large" in output:
            return (
                f"the disk is full at {self.data}, so PostgreSQL stopped (nothing committed is "
                "lost): free some space and run `make up` again"
            )
        if "Address already in use" in output:
            return (
                f"port {self.port} was taken while PostgreSQL started: "
                f"run `make up` again, or choose another with {PORT_SETTING}"
            )
        if "could not map anonymous shared memory" in output or "Cannot allocate memory" in output:
            return "too little memory for PostgreSQL: stop other programs and run `make up` again"
        if "Permission denied" in output:
            return (
                f"PostgreSQL has no right to its files in {self.data} (see {self.log}): "
                "mend their owner, or remove the folder to begin anew"
            )
        told = [
            line.split(":  ", 1)[1]
            for line in output.splitlines()
            if any(level in line for level in ("PANIC:", "FATAL:", "ERROR:", "error: "))
            and ":  " in line
        ]
        return f"PostgreSQL doesn't start: {told[-1] if told else 'no reason given'} ({self.log})"

    def _clear_remains(self) -> None:
        """After a SIGKILL: wait for orphaned backends, then remove a lock file that is nobody's.

        The server itself takes any live process with the recorded number for another server: an
        unreaped zombie, or a stranger that got the number. It is right to be careful, so the file
        goes only when no process works in the data folder, which is where all of its live.
        """
        lock = self.data / "postmaster.pid"
        if not lock.exists():
            return
        if not processes.wait_until(lambda: not processes.working_in(self.data), 5):
            for pid in processes.working_in(self.data):  # busy: let it end as at a fast shutdown
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)
            if not processes.wait_until(lambda: not processes.working_in(self.data), 10):
                left = ", ".join(map(str, processes.working_in(self.data)))
                raise UserError(
                    f"a killed PostgreSQL left processes that don't end: stop them (kill -9 {left})"
                    " and run `make up` again"
                )
        lock.unlink(missing_ok=True)

    def stop(self) -> bool:
        """Fast shutdown: open transactions are rolled back, all is written. False if not running.

        Raises:
            UserError: it doesn't end within a minute.
        """
        pid = self.pid()
        if pid is None:
            return False
        if not processes.stop(pid, signal.SIGINT, 60, self._words()):
            raise UserError(
                f"PostgreSQL (pid {pid}) doesn't stop within a minute: see {self.log}; kill -9 "
                f"{pid} loses nothing that was committed"
            )
        return True


def _remove_halves(place: Path) -> None:
    """Remove the clusters of set-ups that did not end."""
    for left in place.glob("postgres-*.new"):
        shutil.rmtree(left, ignore_errors=True)
