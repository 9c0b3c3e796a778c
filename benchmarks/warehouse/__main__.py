"""`make bench-warehouse`: a build from nothing beside one after a tick, as the shop grows.

    python -m benchmarks.warehouse [--profile s] [--scales 1 3 10] [--days 5] [--write]
    python -m benchmarks.warehouse --scales --largest xl

For each scale a shop of so many times the profile's people, orders and sessions is made, loaded
and built in databases of its own. It then lives on for so many days (at three times the size for
a third of them, so that about as many documents change at each size), is loaded and built again,
and once more with nothing new. What a build costs is the time that the server's sessions worked for
it, those of tests included, added up.

The largest profile is loaded from its files by the replay server and built once: sorted, its
collections take the sandbox's MongoDB server tens of gigabytes. Its database stays, as
`POSTGRES_DB=bench_warehouse_xl` for what else wants a large warehouse.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import psycopg
from psycopg import sql

from benchmarks import readme
from benchmarks.warehouse.measure import Build, Project
from loaders.settings import ROOT, Settings
from sandbox.replay.process import replay_process

NAME = "bench-warehouse"
SLOWEST = 15


def main() -> None:
    """Measure each scale."""
    parser = argparse.ArgumentParser(description="Time builds of the warehouse as it grows.")
    parser.add_argument("--profile", default="s")
    parser.add_argument("--scales", type=int, nargs="*", default=[1, 3, 10])
    parser.add_argument("--largest", help="profile to build once, in full")
    parser.add_argument("--days", type=int, default=5, help="days of the tick at scale 1")
    parser.add_argument("--write", action="store_true", help="put it into benchmarks/README.md")
    parser.add_argument("--keep", action="store_true", help="leave the databases")
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    lines = []
    for scale in arguments.scales:
        days = max(1, round(arguments.days / scale))
        lines.append(_measure(arguments.profile, scale, days, keep=arguments.keep))
        print(lines[-1], flush=True)
    if arguments.largest:
        lines.append(_measure_largest(arguments.largest))
    text = (
        f"{os.cpu_count()} cores ({platform.machine()}), load {load:.1f} at the start, "
        f"Python {platform.python_version()}; profile `{arguments.profile}`, seconds.\n\n"
        "| size | orders | full build | its SQL | documents | changed | tick: build | its SQL "
        "| share of the full build's SQL | nothing new: build | its SQL |\n"
        "|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n" + "\n".join(lines) + "\n"
    )
    if arguments.write:
        readme.write(NAME, text)
    print(text)


def _measure(profile: str, scale: int, days: int, *, keep: bool) -> str:
    name = f"bench_warehouse_{profile}_{scale}"
    settings = Settings().model_copy(update={"postgres_db": name, "mongodb_database": name})
    os.environ["POSTGRES_DB"] = name
    os.environ["MONGODB_DATABASE"] = name
    with psycopg.connect(**settings.postgres("postgres"), autocommit=True) as admin:
        _create(admin, name)
        with tempfile.TemporaryDirectory(prefix="bench-warehouse-") as folder:
            _ledgerline(
                "store", "generate", "--profile", profile, "--scale", str(scale),
                "--out", folder, "--replace",
            )  # fmt: skip
            _ledgerline("load")
            project = Project(Path(folder) / "dbt", settings)
            full = project.build("--full-refresh")
            _tell(f"{scale}x, full", full)
            loaded = _batch(settings)
            documents = _changed(settings, 0)
            _ledgerline("store", "tick", "--days", str(days), "--out", folder)
            _ledgerline("load", "--mode", "sweep")
            changed = _changed(settings, loaded)
            tick = project.build()
            _tell(f"{scale}x, tick", tick)
            idle = project.build()
            _tell(f"{scale}x, nothing new", idle)
        orders = _orders(settings)
        if not keep:
            _drop(admin, name)
    return (
        f"| {scale} | {orders:,} "
        f"| {full.wall:.0f} | {full.sql:.0f} | {documents:,} | {changed / documents:.1%} "
        f"| {tick.wall:.0f} | {tick.sql:.1f} | {tick.sql / full.sql:.1%} "
        f"| {idle.wall:.0f} | {idle.sql:.1f} |"
    )


def _measure_largest(profile: str) -> str:
    name = f"bench_warehouse_{profile}"
    settings = Settings().model_copy(update={"postgres_db": name})
    os.environ["POSTGRES_DB"] = name
    os.environ["MONGODB_DATABASE"] = "shop"
    with psycopg.connect(**settings.postgres("postgres"), autocommit=True) as admin:
        _create(admin, name)
    with tempfile.TemporaryDirectory(prefix="bench-warehouse-") as folder:
        _ledgerline("store", "generate", "--profile", profile, "--out", folder, "--no-insert")
        [manifest] = Path(folder).glob("*/manifest.json")
        collections = json.loads(manifest.read_text())["collections"]
        files = {f"shop.{one}": manifest.with_name(f"{one}.bson") for one in collections}
        with replay_process(files) as source:
            os.environ["MONGODB_URI"] = source.uri
            _ledgerline("load")
        full = Project(Path(folder) / "dbt", settings).build("--full-refresh")
    _tell(f"{profile}, full", full)
    return (
        f"| `{profile}` | {_orders(settings):,} | {full.wall:.0f} | {full.sql:.0f} "
        f"| {_changed(settings, 0):,} | | | | | | |"
    )


def _create(admin: psycopg.Connection, name: str) -> None:
    _drop(admin, name)
    admin.execute(sql.SQL("create database {}").format(sql.Identifier(name)))


def _drop(admin: psycopg.Connection, name: str) -> None:
    admin.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))


def _orders(settings: Settings) -> int:
    with psycopg.connect(**settings.postgres()) as connection:
        (orders,) = connection.execute("select count(*) from core.fct_orders").fetchone() or (0,)
    return int(orders)


def _tell(what: str, build: Build) -> None:
    print(f"{what}: {build.wall:.1f} s, SQL {build.sql:.1f} s", flush=True)
    for node, seconds in build.queries.most_common(SLOWEST):
        print(f"    {seconds:8.2f} {node}", flush=True)


def _batch(settings: Settings) -> int:
    with psycopg.connect(**settings.postgres()) as connection:
        (batch,) = connection.execute("select max(batch_id) from ops.load_runs").fetchone() or (0,)
    return int(batch)


def _changed(settings: Settings, batch: int) -> int:
    statement = "select sum(inserted + updated + deleted) from ops.load_runs where batch_id > %s"
    with psycopg.connect(**settings.postgres()) as connection:
        (changed,) = connection.execute(statement, [batch]).fetchone() or (0,)
    return int(changed)


def _ledgerline(*arguments: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "orchestration.cli", *arguments],
        cwd=ROOT,
        check=True,
        stdout=subprocess.DEVNULL,
    )


if __name__ == "__main__":
    main()
