"""dlt on its Arrow path: pymongoarrow's tables, Parquet, ADBC.

dlt refuses pymongoarrow's nested columns and its types of ids and decimals as they are, so they are
turned into text on the way: that is the least that has to be done for a load that works.
"""

import os

import dlt
import orjson
import pyarrow as pa
import pymongo
from pymongoarrow.context import PyMongoArrowContext
from pymongoarrow.types import Decimal128Type, ObjectIdType

CHUNK = 10_000


def plain(column):
    """The column as one that dlt takes."""
    if isinstance(column.type, (ObjectIdType, Decimal128Type)):
        return pa.array([str(value) for value in column.to_pylist()])
    if pa.types.is_nested(column.type):
        return pa.array([orjson.dumps(value, default=str) for value in column.to_pylist()]).cast(
            pa.string()
        )
    return column


@dlt.resource(name="orders", primary_key="_id", write_disposition="replace")
def orders():
    """The documents as Arrow tables, one per chunk."""
    with pymongo.MongoClient(os.environ["BENCH_SOURCE"], tz_aware=True) as client:
        limit = int(os.environ["BENCH_DOCUMENTS"])
        collection = client.shop.orders
        for batch in collection.find_raw_batches(batch_size=CHUNK).limit(limit):
            context = PyMongoArrowContext(None, codec_options=collection.codec_options)
            context.process_bson_stream(batch)
            table = context.finish()
            yield pa.table({name: plain(table[name]) for name in table.column_names})


pipeline = dlt.pipeline(
    "bench",
    pipelines_dir=os.environ["HOME"],
    destination=dlt.destinations.postgres(os.environ["BENCH_TARGET"]),
    dataset_name="public",
)
pipeline.run(orders(), loader_file_format="parquet").raise_on_failed_jobs()
