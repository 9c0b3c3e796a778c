"""dlt with its defaults: Python objects, a table for the nested items, INSERT statements.

The steps of dlt's own MongoDB source, which isn't on PyPI: chunks of 10,000 documents, whose
values of BSON's own types are turned into text.
"""

import os
from itertools import islice

import dlt
import pymongo
from bson.decimal128 import Decimal128
from bson.objectid import ObjectId
from dlt.common.utils import map_nested_in_place

CHUNK = 10_000


def plain(value):
    """The value without types that dlt doesn't know."""
    return str(value) if isinstance(value, (ObjectId, Decimal128)) else value


@dlt.resource(name="orders", primary_key="_id", write_disposition="replace")
def orders():
    """The documents, a chunk at a time."""
    with pymongo.MongoClient(os.environ["BENCH_SOURCE"], tz_aware=True) as client:
        cursor = client.shop.orders.find(batch_size=CHUNK).limit(int(os.environ["BENCH_DOCUMENTS"]))
        while chunk := list(islice(cursor, CHUNK)):
            yield map_nested_in_place(plain, chunk)


pipeline = dlt.pipeline(
    "bench",
    pipelines_dir=os.environ["HOME"],
    destination=dlt.destinations.postgres(os.environ["BENCH_TARGET"]),
    dataset_name="public",
)
pipeline.run(orders()).raise_on_failed_jobs()
