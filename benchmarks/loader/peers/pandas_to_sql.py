"""pandas: all documents in one frame, written with `to_sql`; nested values as JSON text by hand."""

import json
import os

import pandas as pd
import pymongo
import sqlalchemy

with pymongo.MongoClient(os.environ["BENCH_SOURCE"]) as client:
    documents = client.shop.orders.find().limit(int(os.environ["BENCH_DOCUMENTS"]))
    frame = pd.DataFrame(list(documents))
for name in ("_id", "user_id", "total"):
    frame[name] = frame[name].map(str)
for name in ("address", "items"):
    frame[name] = frame[name].map(lambda value: json.dumps(value, default=str))
engine = sqlalchemy.create_engine(os.environ["BENCH_TARGET"])
frame.to_sql("orders", engine, if_exists="replace", index=False)
