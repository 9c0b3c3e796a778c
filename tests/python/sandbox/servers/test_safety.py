"""Passwords, loopback, and the settings that PostgreSQL runs with."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import psutil
import psycopg
import pymongo
import pytest
from pymongo.errors import OperationFailure

from loaders.settings import ROOT
from sandbox.servers import processes
from sandbox.servers.machine import Machine

pytestmark = pytest.mark.servers


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_files_with_passwords_are_the_owners_alone(sandbox):
    assert mode(sandbox.home / "credentials.json") == 0o600
    assert mode(sandbox.home / "profiles.yml") == 0o600
    assert mode(sandbox.postgres.data) == 0o700
    assert mode(sandbox.mongodb.data) == 0o700


def test_passwords_are_long_and_all_different(sandbox):
    assert len(set(sandbox.passwords.values())) == 3
    assert min(map(len, sandbox.passwords.values())) >= 32


def test_no_password_in_logs_command_lines_or_status(sandbox):
    seen = sandbox.run("status") + sandbox.run("up")
    seen += "".join(log.read_text() for log in (sandbox.home / "logs").iterdir())
    for pid in sandbox.pids():
        seen += " ".join(processes.command_line(pid))
        seen += Path(f"/proc/{pid}/environ").read_text() if Path("/proc").is_dir() else ""
    assert "ledgerline" in seen
    for password in sandbox.passwords.values():
        assert password not in seen


@pytest.mark.parametrize("user", ["ledgerline", "postgres"])
@pytest.mark.parametrize("password", ["wrong", ""])
def test_postgres_refuses_a_wrong_and_an_empty_password(sandbox, user, password):
    target = {**sandbox.settings.postgres(), "user": user, "password": password}
    with pytest.raises(psycopg.OperationalError, match=r"authentication failed|no password"):
        psycopg.connect(**target, passfile="/dev/null")


def test_postgres_role_is_no_superuser(sandbox):
    """It makes databases, and the roles that dbt grants to."""
    query = "select rolsuper, rolcreatedb, rolcreaterole from pg_roles where rolname = current_user"
    assert sandbox.sql(query) == [(False, True, True)]
    owner = "select pg_get_userbyid(datdba) from pg_database where datname = 'ledgerline'"
    assert sandbox.sql(owner) == [("ledgerline",)]


@pytest.mark.parametrize("login", ["", "ledgerline:wrong@", "root:wrong@"])
def test_mongodb_refuses_a_wrong_and_no_password(sandbox, login):
    uri = f"mongodb://{login}127.0.0.1:{sandbox.mongodb_port}/?directConnection=true"
    with (
        pymongo.MongoClient(uri, serverSelectionTimeoutMS=2000) as client,
        pytest.raises(OperationFailure, match=r"authentication"),
    ):
        client.shop.orders.insert_one({})


def test_mongodb_makes_no_user_without_login(sandbox):
    uri = f"mongodb://127.0.0.1:{sandbox.mongodb_port}/?directConnection=true"
    with (
        pymongo.MongoClient(uri, serverSelectionTimeoutMS=2000) as client,
        pytest.raises(OperationFailure, match=r"authentication"),
    ):
        client.admin.command("createUser", "intruder", pwd="x", roles=["root"])


def test_servers_listen_on_loopback_only(sandbox):
    for pid, port in zip(
        sandbox.pids(), (sandbox.postgres_port, sandbox.mongodb_port), strict=True
    ):
        process = psutil.Process(pid)
        listening = [c.laddr for c in process.net_connections() if c.status == psutil.CONN_LISTEN]
        assert [tuple(address) for address in listening] == [("127.0.0.1", port)]
        assert not [c for c in process.net_connections("unix") if c.laddr]


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("server_encoding", "UTF8"),
        ("TimeZone", "UTC"),
        ("synchronous_commit", "on"),
        ("fsync", "on"),
        ("full_page_writes", "on"),
        ("data_checksums", "on"),
        ("jit", "off"),
        ("wal_level", "replica"),
        ("password_encryption", "scram-sha-256"),
    ],
)
def test_postgres_setting(sandbox, setting, value):
    assert sandbox.sql(f"show {setting}") == [(value,)]


def test_postgres_sorts_and_folds_alike_on_every_machine(sandbox):
    query = (
        "select datlocprovider, datlocale, datcollate from pg_database where datname in "
        "('ledgerline', 'template1') group by 1, 2, 3"
    )
    assert sandbox.sql(query) == [("b", "C.UTF-8", "C")]
    assert sandbox.sql("select upper('zoë'), 'Z' < 'a'") == [("ZOË", True)]


def test_own_settings_survive_a_restart(sandbox):
    superuser = {
        **sandbox.settings.postgres("postgres"),
        "user": "postgres",
        "password": sandbox.passwords["postgres_superuser_password"],
    }
    with psycopg.connect(**superuser, autocommit=True) as connection:
        connection.execute("alter system set work_mem = '9MB'")
    sandbox.run("down")
    sandbox.run("up")
    assert sandbox.sql("show work_mem") == [("9MB",)]
    with psycopg.connect(**superuser, autocommit=True) as connection:
        connection.execute("alter system reset work_mem")


@pytest.mark.parametrize(
    ("machine", "expected"),
    [
        (
            Machine(memory=1024, cores=1, disk=3000, shared_memory=64),
            {"shared_buffers = 256MB", "work_mem = 16MB", "max_wal_size = 300MB",
             "dynamic_shared_memory_type = mmap", "max_parallel_workers_per_gather = 1"},
        ),
        (
            Machine(memory=8192, cores=4, disk=100_000, shared_memory=4096),
            {"shared_buffers = 1024MB", "work_mem = 64MB", "max_wal_size = 4096MB",
             "dynamic_shared_memory_type = posix", "max_parallel_workers_per_gather = 2",
             "effective_cache_size = 4096MB", "max_parallel_workers = 4"},
        ),
    ],
)  # fmt: skip
def test_postgres_is_tuned_to_the_machine(machine, expected):
    lines = set(machine.postgres_configuration(5432).splitlines())
    assert expected <= lines


def test_cache_follows_memory():
    assert Machine(1024, 1, 0, 0).mongodb_cache() == "256M"
    assert Machine(6000, 1, 0, 0).mongodb_cache() == "375M"
    assert Machine(65536, 1, 0, 0).mongodb_cache() == "512M"


def test_profile_leads_dbt_to_the_sandbox(sandbox):
    dbt = Path(sys.executable).parent / "dbt"
    places = {name: str(sandbox.home / "target") for name in ("DBT_TARGET_PATH", "DBT_LOG_PATH")}
    done = subprocess.run(
        [dbt, "--no-use-colors", "debug", "--connection", "--profiles-dir", sandbox.home],
        env={**sandbox.environment, **places},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert "Connection test: [OK connection ok]" in done.stdout, done.stdout


def test_profile_of_the_users_own_is_left_alone(sandbox):
    path = sandbox.home / "profiles.yml"
    path.write_text("# mine\n")
    sandbox.run("up")
    assert path.read_text() == "# mine\n"
    path.unlink()
    sandbox.run("up")
    assert sandbox.passwords["postgres_password"] in path.read_text()
