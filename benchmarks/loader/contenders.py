"""What is measured: the bare COPY, the loader's commands, and the peers."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import psycopg

from benchmarks.loader import environments
from benchmarks.loader.orders import CHANGED_EVERY
from loaders import schema
from sandbox.replay import uri_of

PEERS = Path(__file__).parent / "peers"


@dataclass(frozen=True)
class Run:
    """What a command is made for.

    Attributes:
        home: a folder of the run's own, empty.
        environments: where the peers' environments are.
        rows: file with the finished rows.
        port: of the replay server.
        url: of the Postgres database.
        documents: to be loaded.
    """

    home: Path
    environments: Path
    rows: Path
    port: int
    url: str
    documents: int


@dataclass(frozen=True)
class Contender:
    """One line of the table.

    Attributes:
        name: short, for the command line.
        label: in the table.
        command: makes its command.
        environment: variables beside PATH and HOME.
        loaded: query that counts what is in the target afterwards.
        share: of all documents that it has to load.
        at_most: documents, for what is slow; None for all.
        is_peer: another tool, which may fail.
        goes_on: it works on what the one before has left.
        source_changes: the source has other documents meanwhile.
        prepare: what to do in the new database before.
        own_seconds: query for the seconds that the load itself took.
        prints_seconds: it prints them.
    """

    name: str
    label: str
    command: Callable[[Run], Sequence[str]]
    environment: Callable[[Run], Mapping[str, str]]
    loaded: str
    share: int = 1
    at_most: int | None = None
    is_peer: bool = False
    goes_on: bool = False
    source_changes: bool = False
    prepare: Callable[[psycopg.Connection], None] = field(default=lambda _: None)
    own_seconds: str | None = None
    prints_seconds: bool = False

    def documents(self, documents: int) -> int:
        """How many of so many documents it loads."""
        return min(documents, self.at_most or documents)


def _ledgerline(*arguments: str) -> Callable[[Run], list[str]]:
    command = [sys.executable, "-m", "orchestration.cli", "load", *arguments]
    return lambda run: command


def _from_replay(database: str, run: Run) -> dict[str, str]:
    """Ledgerline's own environment, with another source and target."""
    servers = {"MONGODB_URI": uri_of(run.port), "MONGODB_DATABASE": database}
    return {**os.environ, **servers}


def _bare_copy(run: Run) -> list[str]:
    return [sys.executable, "-m", "benchmarks.loader.bare_copy", str(run.rows)]


def _peer_environment(run: Run) -> dict[str, str]:
    source = uri_of(run.port)
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(run.home),
        "LANG": "C.UTF-8",
        # for our programs, and what sling and ingestr are told to read
        "BENCH_SOURCE": source,
        "BENCH_TARGET": run.url,
        "BENCH_DOCUMENTS": str(run.documents),
        "SOURCE_URI": source,
        "DESTINATION_URI": run.url,
        # nothing is reported to anyone
        "DO_NOT_TRACK": "1",
        "DISABLE_TELEMETRY": "true",
        "INGESTR_DISABLE_TELEMETRY": "true",
        "SLING_DISABLE_TELEMETRY": "true",
        "RUNTIME__DLTHUB_TELEMETRY": "false",
    }


def _ingestr(run: Run) -> list[str]:
    folder = environments.make(run.environments, "ingestr", ["ingestr==0.15.9"])
    tables = ["--source-table", "shop.orders", "--dest-table", "public.orders"]
    return [str(folder / "bin" / "ingestr"), "ingest", *tables, "--yes", "--progress", "log"]


def _sling(run: Run) -> list[str]:
    # the package `sling` itself downloads its binary from elsewhere; this one has it
    package = "sling-linux-" + {"aarch64": "arm64"}.get(os.uname().machine, "amd64")
    folder = environments.make(run.environments, "sling", [f"{package}==1.4.11"])
    [binary] = folder.glob(f"lib/python*/site-packages/*/bin/{package}")
    source = ["--src-conn", "BENCH_SOURCE", "--src-stream", "shop.orders"]
    return [
        str(binary),
        "run",
        *source,
        "--tgt-conn",
        "BENCH_TARGET",
        "--tgt-object",
        "public.orders",
    ]


def _program(name: str, packages: Sequence[str], run: Run) -> list[str]:
    """A program of the folder `peers`."""
    folder = environments.make(run.environments, name.partition("_")[0], packages)
    return [str(folder / "bin" / "python"), str(PEERS / f"{name}.py")]


_DLT = ("dlt[postgres]==1.31.0", "pymongo==4.20.0", "pymongoarrow==1.15.0", "orjson")
_DLT += ("pyarrow==25.0.1", "adbc-driver-postgresql==1.13.0")
_PANDAS = ("pandas==3.1.1", "sqlalchemy==2.1.9", "psycopg[binary]==3.3.9", "pymongo==4.20.0")

_IN_PUBLIC = "select count(*) from public.orders"
_OWN_SECONDS = """
    select extract(epoch from max(finished_at) - min(started_at)) from ops.load_runs
    where run_id = (select run_id from ops.load_runs order by batch_id desc limit 1)
"""

_in_two = partial(
    Contender,
    environment=partial(_from_replay, "halves"),
    loaded="select (select count(*) from raw.orders_1) + (select count(*) from raw.orders_2)",
    own_seconds=_OWN_SECONDS,
)
_peer = partial(Contender, environment=_peer_environment, loaded=_IN_PUBLIC, is_peer=True)

CONTENDERS = (
    Contender(
        name="copy",
        label="bare text `COPY` of the same finished rows",
        command=_bare_copy,
        environment=lambda run: dict(os.environ),
        loaded=_IN_PUBLIC,
        prepare=partial(schema.ensure, collections=["orders"]),
        prints_seconds=True,
    ),
    Contender(
        name="full",
        label="`ledgerline load --mode full`",
        command=_ledgerline("orders", "--mode", "full"),
        environment=partial(_from_replay, "shop"),
        loaded="select count(*) from raw.orders where _deleted_at is null",
        own_seconds=_OWN_SECONDS,
    ),
    Contender(
        name="incremental",
        label="`ledgerline load --mode incremental`, 1 % changed",
        command=_ledgerline("orders", "--mode", "incremental"),
        environment=partial(_from_replay, "shop"),
        loaded="select count(*) from raw.orders where doc ->> 'status' = 'closed'",
        share=CHANGED_EVERY,
        goes_on=True,
        source_changes=True,
        own_seconds=_OWN_SECONDS,
    ),
    _in_two(
        name="one-worker",
        label="full, the orders in two collections",
        command=_ledgerline("--mode", "full"),
    ),
    _in_two(
        name="two-workers",
        label="the same with `--workers 2`",
        command=_ledgerline("--mode", "full", "--workers", "2"),
    ),
    _peer(name="ingestr", label="`ingestr` 0.15.9", command=_ingestr),
    _peer(name="sling", label="`sling` 1.4.11", command=_sling),
    _peer(
        name="dlt-arrow",
        label="`dlt` 1.31, Arrow path",
        command=partial(_program, "dlt_arrow", _DLT),
    ),
    _peer(
        name="pandas",
        label="`pandas` 3.1 `to_sql`",
        command=partial(_program, "pandas_to_sql", _PANDAS),
    ),
    _peer(
        name="dlt-objects",
        label="`dlt` 1.31 with its defaults",
        command=partial(_program, "dlt_objects", _DLT),
        at_most=50_000,
    ),
)
