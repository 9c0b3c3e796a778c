"""The `ledgerline` command: each way to end is one line and an exit code."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from loaders.settings import ROOT, Settings
from ml import schema
from orchestration import logs
from orchestration.cli import COMMANDS


def ledgerline(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "orchestration.cli", *arguments],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "200", **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


def error_line(done: subprocess.CompletedProcess[str], code: int = 2) -> str:
    """The one line on stderr of a command that was refused."""
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("error: ")
    return lines[0]


def test_help_lists_every_command() -> None:
    shown = ledgerline("--help").stdout
    for name, target in COMMANDS.items():
        assert re.search(rf"\b{name}\b", shown)
        assert target.help in shown


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_there(name: str) -> None:
    if name in ("dbt", "psql"):
        pytest.skip("hands all its arguments over, --help too")
    assert ledgerline(name, "--help").returncode == 0


def test_status_does_not_wait_for_dagster(servers: Settings) -> None:
    started = time.monotonic()
    done = ledgerline("status")
    assert done.returncode == 0
    assert time.monotonic() - started < 5  # a second on a quiet machine; dagster alone takes 3
    loaded = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "orchestration.cli", "status"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    ).stderr
    assert not re.search(r"\| +(dagster|dbt|pandas|prophet)$", loaded, re.MULTILINE)


def test_dbt_finds_the_tables_of_scores_that_a_newer_version_has(pg_database: Settings) -> None:
    with psycopg.connect(**pg_database.postgres(), autocommit=True) as connection:
        schema.ensure(connection)
        connection.execute("drop table ml.feature_importance, ml.drift")
        connection.execute("comment on schema ml is 'an older one'")
        assert ledgerline("dbt", "deps").returncode == 0
        [(found,)] = connection.execute("select to_regclass('ml.feature_importance') is not null")
    assert found
    assert ledgerline("dbt", "deps", LEDGERLINE_POSTGRES_PORT="1").returncode == 0


def test_a_mistyped_command_is_answered_with_the_right_one() -> None:
    assert "Did you mean 'refresh'" in error_line(ledgerline("refrsh"))


def test_an_unknown_option_is_one_line() -> None:
    assert "--quick" in error_line(ledgerline("refresh", "--quick"))


@pytest.mark.parametrize("arguments", [("--data", "xxl", "status"), ("demo", "--profile", "xxl")])
def test_an_unknown_data_set_is_answered_with_the_known_ones(arguments: tuple[str, ...]) -> None:
    line = error_line(ledgerline(*arguments))
    assert "'xxl'" in line
    assert "online-retail" in line


def test_a_setting_of_the_wrong_type_names_the_setting() -> None:
    assert "POSTGRES_PORT" in error_line(ledgerline("status", POSTGRES_PORT="five"))


@pytest.mark.parametrize("command", ["refresh", "psql", "ui", "docs"])
def test_a_postgres_that_is_down_is_one_line(command: str, servers: Settings) -> None:
    line = error_line(
        ledgerline(
            command, POSTGRES_HOST="127.0.0.1", POSTGRES_PORT="1", POSTGRES_PASSWORD="s3cr3t-word"
        )
    )
    assert "127.0.0.1" in line
    assert "s3cr3t-word" not in line


def test_a_mongodb_that_is_down_stops_refresh_before_it_begins(servers: Settings) -> None:
    line = error_line(
        ledgerline(
            "refresh",
            MONGODB_URI="mongodb://me:s3cr3t-word@127.0.0.1:1/?serverSelectionTimeoutMS=300",
        )
    )
    assert "s3cr3t-word" not in line


def test_a_wrong_password_is_one_line(servers: Settings) -> None:
    line = error_line(
        ledgerline(
            "refresh",
            POSTGRES_HOST="127.0.0.1",
            POSTGRES_PORT=str(servers.sandbox_postgres_port),
            POSTGRES_PASSWORD="not-it",
        )
    )
    assert "password" in line


def test_a_missing_file_is_one_line(servers: Settings) -> None:
    done = ledgerline(
        "demo", "--data", "online-retail", "/no/such/file.xlsx", MONGODB_DATABASE="test_no_file"
    )
    assert done.returncode == 2
    assert done.stderr.strip().splitlines() == ["error: /no/such/file.xlsx: no such file"]


def test_online_retail_without_files_says_how_to_give_them(servers: Settings) -> None:
    done = ledgerline("demo", "--data", "online-retail", MONGODB_DATABASE="test_no_files")
    assert done.returncode == 2
    assert "FILES=" in done.stderr


def test_files_belong_to_one_data_set_only() -> None:
    assert "FILES" in error_line(ledgerline("demo", "--profile", "xs", "orders.csv"))


def test_the_unexpected_is_one_line_and_its_traceback_is_in_the_log(tmp_path: Path) -> None:
    broken = "import orchestration.cli as c; c._load = lambda name: 1 / 0; c.main()"
    done = subprocess.run(
        [sys.executable, "-c", broken, "status"],
        cwd=ROOT,
        env={**os.environ, "LEDGERLINE_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    line = error_line(done, code=1)
    log = logs.log_file(tmp_path)
    assert "ZeroDivisionError" in line
    assert str(log) in line
    assert "Traceback" in log.read_text()


def test_psql_runs_on_the_warehouse(pg_database: Settings) -> None:
    done = ledgerline("psql", "-X", "-A", "-t", "-c", "select current_database()")
    assert done.stdout.strip() == pg_database.postgres_db


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("mongodb://me:top-secret@db:27017/", "mongodb://me:***@db:27017/"),
        ("password=hunter2 host=db", "password=*** host=db"),
        ('{"POSTGRES_PASSWORD": "hunter2"}', '{"POSTGRES_PASSWORD": "***"}'),
        ("mail to jane.doe+x@shop.example.com now", "mail to ***@*** now"),
        ("nothing to hide: 12:30 in core.fct_orders", "nothing to hide: 12:30 in core.fct_orders"),
    ],
)
def test_logs_hide_passwords_and_addresses(text: str, masked: str) -> None:
    assert logs.masked(text) == masked
