"""What a load costs, in what is steady on a busy machine: processor time against Postgres' own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.loader import orders
from benchmarks.loader.target import Target
from loaders.modes import Mode, run
from loaders.settings import Settings
from sandbox.replay import replay_process

DOCUMENTS = 60_000
TRIES = 3  # the least of several: what shares the processor's caches can only add
LIMIT = 1.5  # loader's processor time over that of Postgres; about 1 was measured

pytestmark = [pytest.mark.servers, pytest.mark.slow]


@pytest.fixture
def shop_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Collections with the same orders, each to be loaded once."""
    files = orders.write(tmp_path, DOCUMENTS)
    names = [f"orders_{number}" for number in range(TRIES)]
    with replay_process({f"shop.{name}": files.orders for name in names}) as source:
        monkeypatch.setenv("MONGODB_URI", source.uri)
        monkeypatch.setenv("MONGODB_DATABASE", "shop")
        yield names


def test_a_full_load_takes_no_more_than_postgres_half_as_much_again(
    pg_database: Settings, shop_in_memory: list[str]
) -> None:
    settings = Settings()
    target = Target(settings)
    loader, postgres = [], []
    for name in shop_in_memory:
        server_before, before = target.cpu_seconds(), time.process_time()
        [result] = run(settings, [name], Mode.FULL)
        loader.append((time.process_time() - before) / DOCUMENTS * 1e6)
        server_after = target.cpu_seconds()
        assert server_before is not None and server_after is not None
        postgres.append((server_after - server_before) / DOCUMENTS * 1e6)
        assert (result.counts.inserted, result.is_reconciled) == (DOCUMENTS, True)
    figures = f"µs a document: loader {min(loader):.1f}, Postgres {min(postgres):.1f}"
    print(figures)
    assert min(loader) <= LIMIT * min(postgres), figures
