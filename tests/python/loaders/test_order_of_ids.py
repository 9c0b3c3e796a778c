"""A source that sorts ids in another order than the one in which it seeks them."""

from __future__ import annotations

import pytest

from loaders import snapshot, source
from loaders.modes import Mode, Observer

pytestmark = pytest.mark.servers

COUNT = 1_000


class KilledError(BaseException):
    """Ends a load on the spot, as a signal would, in this process."""


class Killer(Observer):
    """Ends the load after half of the documents."""

    def __init__(self):
        self.total = 0

    def read(self, collection, documents, size):
        self.total += documents
        if self.total >= COUNT // 2:
            raise KilledError


def test_full_load_that_goes_on_after_a_sub_document_is_whole(warehouse, shop, monkeypatch):
    """The sandbox's server sorts sub-documents unlike it compares them, so that what comes after
    one of them overlaps what came before it, and leaves others out: the load notices and sweeps.
    """
    monkeypatch.setattr(snapshot, "CHUNK_BYTES", 20_000)
    monkeypatch.setattr(source, "BATCH_DOCUMENTS", 100)
    shop.orders.insert_many(
        {"_id": {"n": i * 7919 % COUNT}, "text": "x" * 70} for i in range(COUNT)
    )
    with pytest.raises(KilledError):
        warehouse.load("orders", mode=Mode.FULL, observer=Killer())
    first, *more = warehouse.load("orders", mode=Mode.FULL)
    assert (first.is_reconciled, [result.mode for result in more]) in [
        (False, ["sweep"]),
        (True, []),  # a server that does it right
    ]
    assert [first, *more][-1].is_reconciled
    assert warehouse.equals(shop)
    rows = warehouse.one("select count(*) from raw.orders")
    assert rows == COUNT == warehouse.one("select sum(inserted) from ops.load_runs")
