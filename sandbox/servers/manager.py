"""Both servers together: up, down, status."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass

from loaders.errors import UserError
from loaders.settings import Settings
from sandbox.servers import checks, credentials, processes, profiles
from sandbox.servers.mongodb import MongoDB
from sandbox.servers.postgres import Postgres

START_SECONDS = 120  # for a server that somebody else started; recovery after a crash takes seconds


@dataclass(frozen=True)
class ServerStatus:
    """What `status` shows of one server; pid and size only of the sandbox's own."""

    name: str
    is_sandbox: bool
    state: str
    version: str
    address: str  # without the password
    pid: int | None = None
    size: int | None = None  # bytes


def up(settings: Settings) -> list[str]:
    """Start what isn't running yet; returns a line per server that says how it went.

    Raises:
        UserError: a server can't be started or, where it is the user's own, can't be used.
    """
    told: list[str] = []
    sandbox = settings.uses_sandbox_postgres or settings.uses_sandbox_mongodb
    passwords = None
    if sandbox:
        with processes.readable_disk_errors(settings.home):
            settings.home.mkdir(parents=True, exist_ok=True)
            with _locked(settings):
                passwords = _passwords(settings)
                if settings.uses_sandbox_postgres:
                    told.append(_up_postgres(settings, passwords))
                if settings.uses_sandbox_mongodb:
                    told.append(_up_mongodb(settings, passwords))
    if not settings.uses_sandbox_postgres:
        version = checks.check_postgres(settings)
        told.append(f"PostgreSQL {version}: yours at {_postgres_address(settings)}")
    if not settings.uses_sandbox_mongodb:
        version = checks.check_mongodb(settings)
        told.append(f"MongoDB {version}: yours at {mongodb_address(settings)}")
    profiles.write(settings, passwords if settings.uses_sandbox_postgres else None)
    return told


def _passwords(settings: Settings) -> dict[str, str]:
    passwords = credentials.read(settings)
    if passwords is None:
        with_data = [
            server.data for server in (Postgres(settings), MongoDB(settings)) if server.exists
        ]
        if with_data:
            raise UserError(
                f"{settings.credentials_file} is gone and {with_data[0]} can't be opened without "
                f"it: put it back, or remove the folder {settings.home} and begin anew"
            )
        passwords = credentials.create(settings)
    return passwords


def _up_postgres(settings: Settings, passwords: dict[str, str]) -> str:
    server = Postgres(settings)
    began = time.monotonic()
    if not _already_runs(server):
        if not server.exists:
            server.create(passwords, settings.postgres_db)
        server.start()
    _ensure_database(settings)
    _ensure_may_make_roles(settings, passwords)
    return _line(server, began)


def _up_mongodb(settings: Settings, passwords: dict[str, str]) -> str:
    server = MongoDB(settings)
    began = time.monotonic()
    if not _already_runs(server):
        if not server.exists:
            server.create(passwords)
        server.start()
        checks.check_mongodb(settings)
    return _line(server, began)


def _already_runs(server: Postgres | MongoDB) -> bool:
    """True when the server runs on the wanted port.

    Raises:
        UserError: it runs on another one, or doesn't answer.
    """
    pid = server.pid()
    if pid is None:
        return False
    if not server.exists:
        # its folder was removed under it: what it still holds is lost, and it holds the port
        os.kill(pid, server.at_once)
        processes.wait_until(lambda: server.pid() is None, 10)
        return False
    if server.running_port() not in (None, server.port):
        raise UserError(
            f"the sandbox's {server.name} runs on port {server.running_port()}, not on "
            f"{server.port}: `make down` stops it, then `make up` takes the new port"
        )
    # an `up` that was interrupted may have left it starting
    if not processes.wait_until(lambda: server.is_ready() or server.pid() is None, START_SECONDS):
        raise UserError(
            f"the sandbox's {server.name} (pid {pid}) runs but doesn't answer: see {server.log}; "
            "`make down` and `make up` start it again"
        )
    return server.pid() is not None


def _ensure_database(settings: Settings) -> None:
    """Make `POSTGRES_DB` in the sandbox if it isn't there, and prove that we can log in."""
    import psycopg
    from psycopg import sql

    try:
        checks.check_postgres(settings)
    except checks.NoDatabaseError:
        with psycopg.connect(**settings.postgres("postgres"), autocommit=True) as connection:
            connection.execute(
                sql.SQL("create database {}").format(sql.Identifier(settings.postgres_db))
            )


def _ensure_may_make_roles(settings: Settings, passwords: dict[str, str]) -> None:
    """A cluster of an earlier version: its user could not yet make the roles that dbt grants to."""
    import psycopg

    user = settings.postgres("postgres")
    with psycopg.connect(**user) as connection:
        row = connection.execute("select rolcreaterole from pg_roles where rolname = current_user")
        if row.fetchone() == (True,):
            return
    superuser = {"user": "postgres", "password": passwords["postgres_superuser_password"]}
    with psycopg.connect(**{**user, **superuser}, autocommit=True) as connection:
        connection.execute("alter role ledgerline createrole")


def _line(server: Postgres | MongoDB, began: float) -> str:
    seconds = time.monotonic() - began
    took = f" (started in {seconds:.1f} s)" if seconds > 0.5 else ""
    return f"{server.name}: 127.0.0.1:{server.port}{took}"


def down(settings: Settings) -> list[str]:
    """Stop both servers; returns a line per server. Data stays.

    Raises:
        UserError: a server doesn't stop.
    """
    if not settings.credentials_file.exists():
        return ["nothing runs: the sandbox was never started"]
    with processes.readable_disk_errors(settings.home), _locked(settings):
        return [
            f"{server.name}: {'stopped' if server.stop() else 'was not running'}"
            for server in (MongoDB(settings), Postgres(settings))
        ]


def wipe(settings: Settings) -> None:
    """Stop both servers and remove their data and passwords, wherever the data lies."""
    down(settings)
    data = Postgres(settings).data
    if data.parent != settings.home.resolve():
        shutil.rmtree(data.parent, ignore_errors=True)
    shutil.rmtree(settings.home, ignore_errors=True)


def status(settings: Settings) -> list[ServerStatus]:
    """Both servers as they are now; a server that can't be used shows why in `state`."""
    if settings.uses_sandbox_postgres or settings.uses_sandbox_mongodb:
        credentials.read(settings)  # says clearly when they are somebody else's
    found = []
    for server, check, ours, address in (
        (
            Postgres(settings),
            checks.check_postgres,
            settings.uses_sandbox_postgres,
            _postgres_address(settings),
        ),
        (
            MongoDB(settings),
            checks.check_mongodb,
            settings.uses_sandbox_mongodb,
            mongodb_address(settings),
        ),
    ):
        pid = server.pid() if ours else None
        version, state = "", "up"
        if ours and pid is None:
            state = "down: `make up` starts it"
        else:
            try:
                version = check(settings)
            except UserError as problem:
                state = str(problem)
        found.append(
            ServerStatus(
                name=server.name,
                is_sandbox=ours,
                state=state,
                version=version,
                address=address,
                pid=pid,
                size=processes.folder_size(server.data) if ours and server.exists else None,
            )
        )
    return found


def _postgres_address(settings: Settings) -> str:
    if settings.uses_sandbox_postgres:
        host, port, user = "127.0.0.1", settings.sandbox_postgres_port, "ledgerline"
    else:
        host, port, user = (
            str(settings.postgres_host),
            settings.postgres_port,
            settings.postgres_user,
        )
    return f"postgresql://{user}@{host}:{port}/{settings.postgres_db}"


def mongodb_address(settings: Settings) -> str:
    """The URI without its password."""
    if settings.mongodb_uri is None:
        return f"mongodb://ledgerline@127.0.0.1:{settings.sandbox_mongodb_port}/?authSource=admin"
    scheme, _, rest = settings.mongodb_uri.get_secret_value().partition("://")
    login, at, place = rest.rpartition("@")
    return f"{scheme}://{login.partition(':')[0]}{at}{place}"


@contextlib.contextmanager
def _locked(settings: Settings) -> Iterator[None]:
    """One `up` or `down` at a time; a second one waits for the first."""
    with (settings.home / "servers.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
