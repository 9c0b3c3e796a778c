"""Brings a MongoDB database to exactly the documents of an import, writing only what differs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import bson
from bson.raw_bson import RawBSONDocument
from pymongo import ReplaceOne
from pymongo.database import Database

from loaders.documents.encoding import cut, hash_of
from loaders.errors import UserError

COLLECTIONS = ("users", "products", "orders")
BATCH_BYTES = 4 << 20
BATCH_DOCUMENTS = 1000


def refuse_other_stores(
    database: Database[dict[str, Any]], ids: dict[str, set[str]], *, can_replace: bool
) -> None:
    """Check that the database holds nothing but (a part of) this import.

    What an interrupted run of the same import left is part of it.

    Args:
        database: where the import goes.
        ids: collection -> the `_id` values that the import writes.
        can_replace: whether `--replace` may be offered as the way out.

    Raises:
        UserError: a collection has a document that the import doesn't write.
    """
    for name in sorted(database.list_collection_names()):
        if name.startswith("system."):
            continue
        known = ids.get(name, set())
        found = database[name].find({}, {"_id": 1})
        stranger = next((row["_id"] for row in found if row["_id"] not in known), None)
        if stranger is not None:
            way = "empty it first with --replace, or " if can_replace else ""
            raise UserError(
                f"database {database.name} holds documents that are not of this import "
                f"({name}: {stranger}): {way}choose another one by MONGODB_DATABASE"
            )


def empty(database: Database[dict[str, Any]]) -> None:
    """Drop every collection of the database."""
    for name in database.list_collection_names():
        if not name.startswith("system."):
            database.drop_collection(name)


def write(
    database: Database[dict[str, Any]],
    collection: str,
    documents: Iterable[dict[str, Any]],
    advance: Callable[[int], None] = lambda _: None,
) -> tuple[int, int]:
    """Insert the documents that are missing and replace those that differ by a byte.

    Args:
        database: the database.
        collection: name of the collection.
        documents: all documents of the collection, with `_id`.
        advance: called with the number of documents done, a batch at a time.

    Returns:
        How many were inserted and how many replaced.
    """
    target = database[collection]
    stored = {
        RawBSONDocument(raw)["_id"]: hash_of(raw)
        for batch in target.find_raw_batches({}, batch_size=BATCH_DOCUMENTS)
        for documents_of_slice in cut(batch)
        for raw in documents_of_slice
    }
    inserted = replaced = 0
    new: list[RawBSONDocument] = []
    changed: list[ReplaceOne] = []
    seen = size = 0

    def flush() -> None:
        nonlocal inserted, replaced, seen, size
        if new:
            target.insert_many(new, ordered=False)
        if changed:
            target.bulk_write(changed, ordered=False)
        advance(seen)
        inserted, replaced = inserted + len(new), replaced + len(changed)
        new.clear()
        changed.clear()
        seen = size = 0

    for document in documents:
        raw = bson.encode(document)
        seen += 1
        if document["_id"] not in stored:
            new.append(RawBSONDocument(raw))
            size += len(raw)
        elif stored[document["_id"]] != hash_of(raw):
            changed.append(ReplaceOne({"_id": document["_id"]}, RawBSONDocument(raw)))
            size += len(raw)
        if size >= BATCH_BYTES or seen >= BATCH_DOCUMENTS:
            flush()
    flush()
    return inserted, replaced
