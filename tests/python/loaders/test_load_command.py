"""`ledgerline load` as a user meets it: what it prints, and one clear line when it can't."""

from __future__ import annotations

import os
import subprocess
import sys
from urllib.parse import urlsplit

import psycopg
import pytest

from loaders.settings import Settings

pytestmark = pytest.mark.servers

NOBODY = "1"  # a port on which nothing listens


def ledgerline(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "orchestration.cli", "load", *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def mongodb_uri(settings, **parts):
    """The sandbox's URI with another user, password or port."""
    now = urlsplit(settings.mongodb())
    user = parts.get("user", now.username)
    password = parts.get("password", now.password)
    return f"mongodb://{user}:{password}@{now.hostname}:{parts.get('port', now.port)}/?{now.query}"


def postgres_environment(settings, **parts):
    found = settings.dbt_environment()
    names = ("HOST", "PORT", "USER", "PASSWORD", "DB")
    return {f"POSTGRES_{name}": found[f"POSTGRES_{name}"] for name in names} | parts


def assert_one_clear_line(result, *words):
    assert result.returncode == 2, result.stderr
    assert result.stdout == ""
    [line] = result.stderr.splitlines()
    assert line.startswith("error: ")
    for word in words:
        assert word in line
    assert Settings().postgres()["password"] not in line


def test_load_prints_one_line_per_batch_with_its_counts(warehouse, shop):
    shop.orders.insert_many([{"_id": i} for i in range(7)])
    shop.reviews.insert_one({"_id": 1})
    result = ledgerline()
    assert result.returncode == 0, result.stderr
    orders, reviews = result.stdout.splitlines()
    assert orders.startswith("orders full: source=7 raw=7 read=7 inserted=7 updated=0")
    assert orders.endswith("reconciled")
    assert reviews.startswith("reviews full: source=1")
    assert result.stderr == "", "no progress bar where there is no terminal"
    assert warehouse.one("select to_regnamespace('ml') is not null"), "for the sources of dbt"

    shop.orders.delete_one({"_id": 3})
    result = ledgerline("orders", "--mode", "auto", "--overlap", "60")
    first, second = result.stdout.splitlines()
    assert first.startswith("orders incremental: source=6 raw=7")
    assert first.endswith("NOT RECONCILED")
    assert second.startswith("orders sweep: source=6 raw=6")
    assert second.endswith(" reconciled")


def test_wrong_uri(warehouse):
    result = ledgerline(MONGODB_URI="postgres://here")
    assert_one_clear_line(result, "MONGODB_URI is not a usable URI", "mongodb://user:password@")


def test_wrong_mongodb_password(warehouse, shop):
    result = ledgerline(MONGODB_URI=mongodb_uri(warehouse.settings, password="wr0ng"))
    assert_one_clear_line(result, "MongoDB refused the login", "correct user, password")
    assert "wr0ng" not in result.stderr


def test_wrong_postgres_password(warehouse, shop):
    environment = postgres_environment(warehouse.settings, POSTGRES_PASSWORD="wr0ng")
    result = ledgerline(**environment)
    assert_one_clear_line(result, "Postgres refused the login", "POSTGRES_PASSWORD")
    assert "wr0ng" not in result.stderr


def test_mongodb_down(warehouse, monkeypatch):
    uri = mongodb_uri(warehouse.settings, port=NOBODY)
    result = ledgerline(MONGODB_URI=uri + "&serverSelectionTimeoutMS=500")
    assert_one_clear_line(result, "MongoDB can't be reached", "make up", "MONGODB_URI")


def test_postgres_down(warehouse, shop):
    environment = postgres_environment(warehouse.settings, POSTGRES_PORT=NOBODY)
    result = ledgerline(**environment)
    assert_one_clear_line(result, "Postgres can't be reached", "make up", "POSTGRES_PORT")


def test_missing_postgres_database(warehouse, shop):
    result = ledgerline(POSTGRES_DB="nowhere")
    assert_one_clear_line(result, 'database "nowhere" does not exist', "create it")


def test_missing_mongodb_database(warehouse, shop):
    result = ledgerline(MONGODB_DATABASE="nowhere")
    assert_one_clear_line(result, 'MongoDB has no database "nowhere"', "MONGODB_DATABASE")


def test_missing_collection(warehouse, shop):
    shop.orders.insert_one({"_id": 1})
    result = ledgerline("orders", "oders")
    assert_one_clear_line(result, "no collection oders", "it has orders")
    assert warehouse.rows("orders") == {}, "nothing half-done"


def test_unknown_mode(warehouse):
    result = ledgerline("--mode", "quick")
    assert_one_clear_line(result, "quick", "incremental")


def test_mongodb_user_without_rights(warehouse, shop):
    shop.orders.insert_one({"_id": 1})
    user = f"stranger_{shop.name}"
    shop.client.admin.command("createUser", user, pwd="strange", roles=[])
    try:
        uri = mongodb_uri(warehouse.settings, user=user, password="strange")
        result = ledgerline(MONGODB_URI=uri)
    finally:
        shop.client.admin.command("dropUser", user)
    assert_one_clear_line(result, "the MongoDB user lacks a right", "`read`")


def test_postgres_role_without_rights(warehouse, shop):
    shop.orders.insert_one({"_id": 1})
    role = f"stranger_{shop.name}"
    warehouse.load()
    settings = warehouse.settings
    port, home = settings.sandbox_postgres_port, settings._credentials
    superuser = psycopg.connect(
        host="127.0.0.1",
        port=port,
        user="postgres",
        password=home["postgres_superuser_password"],
        dbname=settings.postgres_db,
        autocommit=True,
    )
    with superuser:
        superuser.execute(f"create role {role} login password 'strange'")
        try:
            environment = postgres_environment(
                settings, POSTGRES_USER=role, POSTGRES_PASSWORD="strange"
            )
            result = ledgerline(**environment)
        finally:
            superuser.execute(f"drop role {role}")
    assert_one_clear_line(result, "the Postgres role lacks a right", "permission denied")


def test_case_19_full_disk_undoes_the_load_and_says_so(warehouse, shop):
    """Postgres' own error of a full disk, raised where the load would write its counts."""
    shop.orders.insert_one({"_id": 1})
    warehouse.load()
    before = warehouse.rows("orders")
    shop.orders.insert_one({"_id": 2})
    warehouse.conn.execute(
        """
        create function full_disk() returns trigger language plpgsql as $$ begin
            raise exception 'could not extend file: No space left on device'
                using errcode = 'disk_full';
        end $$;
        create trigger full_disk before insert on ops.load_runs
            for each row when (new.status = 'done') execute function full_disk();
        """
    )
    result = ledgerline("orders")
    assert_one_clear_line(result, "no disk space left", "free some and run again")
    assert warehouse.rows("orders") == before
