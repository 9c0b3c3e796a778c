"""Reading ahead, and which collections are the shop's."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from loaders.source import Source, _ahead, collections_of


def readers():
    return [thread for thread in threading.enumerate() if thread.name == "source reader"]


def test_reading_ahead_keeps_order_and_ends():
    batches = [bytes([i]) for i in range(50)]
    assert list(_ahead(iter(batches))) == batches
    assert list(_ahead(iter([]))) == []
    assert not readers()


def test_reading_ahead_is_one_batch_not_all_of_them():
    taken = []

    def batches():
        for i in range(100):
            taken.append(i)
            yield bytes([i])

    ahead = _ahead(batches())
    next(ahead)
    next(ahead)
    ahead.close()
    assert len(taken) <= 5
    assert not readers(), "a reader that is let go ends its thread"


def test_error_of_the_source_is_raised_where_its_batches_are_read():
    def batches():
        yield b"one"
        raise ConnectionError("gone")

    ahead = _ahead(batches())
    assert next(ahead) == b"one"
    with pytest.raises(ConnectionError, match="gone"):
        next(ahead)
    assert not readers()


@pytest.mark.servers
def test_collections_are_the_shops_own(shop):
    shop.orders.insert_one({"_id": 1})
    shop["system_notes"].insert_one({"_id": 1})
    shop["_ledgerline_store"].insert_one({"_id": 1})
    shop.create_collection("paid_orders", viewOn="orders", pipeline=[])
    assert collections_of(shop) == ["orders", "system_notes"]


@pytest.mark.servers
def test_count_takes_the_running_count_only_where_it_is_the_expected_one(shop, monkeypatch):
    shop.orders.insert_many([{"_id": i} for i in range(5)])
    source = Source(shop, "orders")
    monkeypatch.setattr(source, "rough_count", lambda: 4)  # wrong, as after a crash
    assert source.counting()(5) == 5
    assert source.counting()(4) == 4
    assert source.counting()(3) == 5


@pytest.mark.slow
def test_memory_does_not_grow_with_the_collection(warehouse):
    """300,000 documents of 700 bytes; the same peak as for 30,000, and under 160 MiB."""
    program = """
import sys
from pathlib import Path
import bson
from loaders.documents import encoding
from loaders import landing
from loaders.connections import open_postgres
from loaders.settings import Settings

def slices():
    for start in range(0, int(sys.argv[1]), 2000):
        batch = b"".join(
            bson.encode({"_id": i, "text": "x" * 400, "list": [{"n": i, "m": "y" * 80}] * 2})
            for i in range(start, start + 2000)
        )
        for documents in encoding.cut(batch):
            yield encoding.encode(documents)

with open_postgres(Settings(), autocommit=True) as conn:
    landing.land(conn, "orders", slices, mode="files", is_complete=True)
# not getrusage: its peak includes that of the process which started this one
status = Path("/proc/self/status").read_text()
print(int(status.split("VmHWM:")[1].split()[0]) / 1024)
"""

    def peak(documents):
        command = [sys.executable, "-c", program, str(documents)]
        return float(subprocess.run(command, capture_output=True, check=True, text=True).stdout)

    small = peak(30_000)
    large = peak(300_000)
    assert warehouse.one("select count(*) from raw.orders") == 300_000
    assert large < 160
    assert large - small < 15
