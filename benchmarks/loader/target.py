"""The benchmark's own Postgres database: new for each measured command, dropped at the end."""

from __future__ import annotations

import time
from urllib.parse import quote

import psutil
import psycopg
from psycopg import sql
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from loaders.settings import Settings
from sandbox.servers.postgres import Postgres

NAME = "bench_loader"
REAP_SECONDS = 0.3  # until a session that has just ended is in its parent's times


class Target:
    """The database, and the server's use of the processor.

    Args:
        settings: lead to the server; `POSTGRES_DB` is `NAME`.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        pid = Postgres(settings).pid() if settings.uses_sandbox_postgres else None
        self._server = psutil.Process(pid) if pid else None

    @property
    def url(self) -> str:
        """The database as a URL, with the password."""
        at = self.settings.postgres()
        return (
            f"postgresql://{at['user']}:{quote(str(at['password']), safe='')}"
            f"@{at['host']}:{at['port']}/{NAME}"
            "?sslmode=disable"
        )

    def without_password(self, text: str) -> str:
        """The text, with stars in place of the server's password."""
        password = str(self.settings.postgres()["password"])
        for secret in (password, quote(password, safe="")):
            text = text.replace(secret, "***") if secret else text
        return text

    def connect(self) -> psycopg.Connection:
        """A connection to the database."""
        return psycopg.connect(**self.settings.postgres(), autocommit=True)

    def create(self) -> None:
        """An empty database, whatever was there."""
        self.drop()
        with self._administer() as conn:
            conn.execute(sql.SQL("create database {}").format(sql.Identifier(NAME)))

    @retry(  # an autovacuum worker in it can't be ended by us, only waited for
        retry=retry_if_exception_type(psycopg.errors.InsufficientPrivilege),
        stop=stop_after_delay(30),
        wait=wait_fixed(0.2),
        reraise=True,
    )
    def drop(self) -> None:
        """Drop it, if it is there."""
        with self._administer() as conn:
            statement = "drop database if exists {} with (force)"
            conn.execute(sql.SQL(statement).format(sql.Identifier(NAME)))

    def cpu_seconds(self) -> float | None:
        """CPU time of the server and all its processes so far; None where it isn't the sandbox's.

        Sessions that have ended are in the times of the server's children.
        """
        if self._server is None:
            return None
        time.sleep(REAP_SECONDS)
        times = self._server.cpu_times()
        total = times.user + times.system + times.children_user + times.children_system
        for child in self._server.children():
            try:
                times = child.cpu_times()
            except psutil.NoSuchProcess:  # ended meanwhile
                continue
            total += times.user + times.system
        return total

    def version(self) -> str:
        """The server's version."""
        with self._administer() as conn:
            return str(conn.info.parameter_status("server_version")).split()[0]

    def _administer(self) -> psycopg.Connection:
        return psycopg.connect(**self.settings.postgres("postgres"), autocommit=True)
