"""A finished store's files into MongoDB: once, whole, and never over data that isn't ours."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import BulkWriteError, ConfigurationError, OperationFailure, PyMongoError

from loaders.errors import UserError
from loaders.settings import Settings, SettingsError
from sandbox.store.writer import COLLECTIONS, MANIFEST, read_manifest

MARKER = "_ledgerline_store"
"""Collection with one document: which store lies in the database, and whether it is whole."""
BATCH_DOCUMENTS = 2_000
BATCH_BYTES = 4 << 20


def connect(settings: Settings) -> Database[Any]:
    """The shop's database, reachable.

    Raises:
        UserError: no server answers, or it refuses the password.
    """
    try:
        client: MongoClient[Any] = MongoClient(settings.mongodb(), serverSelectionTimeoutMS=5_000)
        client.admin.command("ping")
        database = client[settings.mongodb_database]
        database[MARKER].find_one()
    except SettingsError as error:
        raise UserError(str(error)) from error
    except OperationFailure as error:
        raise UserError(
            "MongoDB refuses the user or password in MONGODB_URI: set the right one "
            "(or unset it to use the sandbox's)"
        ) from error
    except (ConfigurationError, PyMongoError) as error:
        reason = str(error).split(",")[0].split("(configured")[0].strip()
        raise UserError(
            f"MongoDB can't be reached ({reason}): start the sandbox with `make up`, "
            "or set MONGODB_URI"
        ) from error
    return database


def batches(path: Path) -> Iterator[list[RawBSONDocument]]:
    """A BSON file's documents in batches, without decoding them."""
    batch: list[RawBSONDocument] = []
    size = 0
    with path.open("rb", buffering=1 << 20) as file:
        while head := file.read(4):
            length = int.from_bytes(head, "little")
            batch.append(RawBSONDocument(head + file.read(length - 4)))
            size += length
            if len(batch) == BATCH_DOCUMENTS or size > BATCH_BYTES:
                yield batch
                batch, size = [], 0
    if batch:
        yield batch


def fingerprint(path: Path) -> str:
    """Hash of a finished store."""
    return hashlib.sha256((path / MANIFEST).read_bytes()).hexdigest()


def marker(database: Database[Any]) -> dict[str, Any] | None:
    """What is noted about the store in the database."""
    return database[MARKER].find_one({"_id": "store"})


def next_tick(mark: dict[str, Any], days: int) -> tuple[int, int]:
    """Number and length of the tick to do now; one that was interrupted goes first."""
    begun = mark.get("begun")
    if begun is not None and begun["tick"] == mark["tick"] + 1:
        return begun["tick"], begun["days"]
    return mark["tick"] + 1, days


def begin_tick(database: Database[Any], number: int, days: int) -> None:
    """Note that a tick is on its way, so that it is finished first if it is interrupted."""
    begun = {"tick": number, "days": days}
    database[MARKER].update_one({"_id": "store"}, {"$set": {"begun": begun}})


def end_tick(database: Database[Any], number: int) -> None:
    """Note that a tick is whole."""
    database[MARKER].update_one({"_id": "store"}, {"$set": {"tick": number}})


def insert(
    path: Path,
    database: Database[Any],
    *,
    replace: bool = False,
    progress: Callable[[str, float], None],
) -> bool:
    """Insert the store at `path`; a store that is there whole is left alone.

    Returns: whether anything was written.

    Raises:
        UserError: the folder isn't whole, or the database holds something else.
    """
    manifest = read_manifest(path)
    if manifest is None:
        raise UserError(f"{path} holds no finished store: run `ledgerline store generate` again")
    mark, print_now = marker(database), fingerprint(path)
    ours = mark is not None and mark["manifest"] == print_now
    if ours and mark is not None and mark["state"] == "whole" and not replace:
        return False
    if not ours and not replace:
        _refuse_other_data(database, mark)
    total = sum(facts["documents"] for facts in manifest["collections"].values())
    noted = {
        "manifest": print_now,
        "profile": manifest["profile"],
        "seed": manifest["seed"],
        "tick": 0,
    }
    try:
        database[MARKER].replace_one({"_id": "store"}, {**noted, "state": "partly"}, upsert=True)
        done = 0
        for name in COLLECTIONS:
            database.drop_collection(name)
            for batch in batches(path / f"{name}.bson"):
                database[name].insert_many(batch, ordered=False)
                done += len(batch)
                progress(f"inserting {name}", done / max(1, total))
        database[MARKER].replace_one({"_id": "store"}, {**noted, "state": "whole"}, upsert=True)
    except BulkWriteError as error:
        first = (error.details or {}).get("writeErrors", [{}])[0].get("errmsg", str(error))
        raise UserError(f"MongoDB refused documents of the store: {first}") from error
    except PyMongoError as error:
        raise UserError(
            f"MongoDB stopped answering while the store was inserted ({error}): "
            "start it and run the same command again"
        ) from error
    return True


def _refuse_other_data(database: Database[Any], mark: dict[str, Any] | None) -> None:
    if mark is not None:
        raise UserError(
            f"database '{database.name}' holds the store {mark['profile']} with seed "
            f"{mark['seed']}: pass --replace to put this one in its place"
        )
    for name in COLLECTIONS:
        if database[name].find_one({}, {"_id": 1}) is not None:
            raise UserError(
                f"database '{database.name}' holds other data (collection {name}): set "
                "MONGODB_DATABASE to another name, or pass --replace to drop the shop's "
                "collections"
            )
