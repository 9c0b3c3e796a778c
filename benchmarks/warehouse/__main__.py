"""`make bench-warehouse`: a build from nothing beside one after a tick, as the shop grows.

    python -m benchmarks.warehouse [--profile s] [--scales 1 3 10] [--days 5] [--write]
    python -m benchmarks.warehouse --profile xl --scales 1 --days 1 --keep

For each scale a shop of so many times the profile's people, orders and sessions is made, loaded
and built in a database of its own. It then lives on for so many days (at three times the size for
a third of them, so that about as many documents change at each size), is loaded and built again,
and once more with nothing new. What a build costs is the time that the server's sessions worked for
it, those of tests included, added up.

The shop is served from its files. With `--keep` its database stays, as `bench_warehouse_xl_1`, for
what else wants a large warehouse.
"""

from __future__ import annotations

import argparse
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
from benchmarks.warehouse.shop import DATABASE, Shop
from loaders.settings import ROOT, Settings

NAME = "bench-warehouse"
SLOWEST = 15


def main() -> None:
    """Measure each scale."""
    parser = argparse.ArgumentParser(description="Time builds of the warehouse as it grows.")
    parser.add_argument("--profile", default="s")
    parser.add_argument("--scales", type=int, nargs="*", default=[1, 3, 10])
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
    settings = Settings().model_copy(update={"postgres_db": name})
    os.environ["POSTGRES_DB"] = name
    os.environ["MONGODB_DATABASE"] = DATABASE
    with psycopg.connect(**settings.postgres("postgres"), autocommit=True) as admin:
        _create(admin, name)
        with tempfile.TemporaryDirectory(prefix="bench-warehouse-") as folder:
            shop = Shop(Path(folder), profile, scale)
            _load(shop)
            project = Project(Path(folder) / "dbt", settings)
            full = project.build("--full-refresh")
            _tell(f"{scale}x, full", full)
            loaded = _batch(settings)
            documents = _changed(settings, 0)
            shop.live_on(days)
            _load(shop, "--mode", "sweep")
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


def _load(shop: Shop, *arguments: str) -> None:
    with shop.served() as uri:
        subprocess.run(
            [sys.executable, "-m", "orchestration.cli", "load", *arguments],
            cwd=ROOT,
            env=os.environ | {"MONGODB_URI": uri},
            check=True,
            stdout=subprocess.DEVNULL,
        )


if __name__ == "__main__":
    main()
