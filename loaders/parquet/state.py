"""Whose a folder of datasets is, who writes to it now, and how far each dataset has come."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from loaders.errors import LoadInProgressError, UserError
from loaders.parquet.files import flush_folder
from loaders.tally import Days

FORMAT = 1
_MARK, _LOCK, _STATE = "_dataset.json", "_lock", "_state.json"
_LONGEST_NAME = 200  # bytes; file systems take 255


def folder_name(collection: str) -> str:
    """A folder for a collection: percent signs for what a path or a reader takes otherwise.

    No two collections have the same; readers pass over names that begin with a dot or underscore.
    """
    name = quote(collection, safe="")
    if name[0] in "._":
        name = f"%{ord(name[0]):02X}{name[1:]}"
    if len(name) <= _LONGEST_NAME:
        return name
    digest = hashlib.blake2b(collection.encode(), digest_size=8).hexdigest()
    return f"{name[:_LONGEST_NAME].rstrip('%')}~{digest}"


@contextmanager
def locked(out: Path, database: str) -> Iterator[None]:
    """Own the folder `out` for the time of a run; it is made if it isn't there.

    Raises:
        UserError: it is something else, or holds what isn't ours or comes from another database.
        LoadInProgressError: another loader writes to it.
    """
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is no folder: name another one with --out")
    if out.is_dir() and not (out / _MARK).exists():
        foreign = sorted(path.name for path in out.iterdir() if path.name != _LOCK)
        if foreign:
            raise UserError(
                f"{out} holds what `load --to parquet` didn't write ({foreign[0]}): "
                "name an empty or a new folder with --out"
            )
    out.mkdir(parents=True, exist_ok=True)
    with (out / _LOCK).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LoadInProgressError(
                f"another loader is writing to {out}: run again when it is done"
            ) from None
        _check_mark(out, database)
        yield


def _check_mark(out: Path, database: str) -> None:
    mark = out / _MARK
    if not mark.exists():
        _write(mark, {"format": FORMAT, "database": database})
    found = _read(mark)
    if found.get("format") != FORMAT:
        raise UserError(f"{out} was written by another release: name another folder with --out")
    if found.get("database") != database:
        raise UserError(
            f"{out} holds documents of the database {found.get('database')}: name another folder "
            "with --out, or correct MONGODB_DATABASE"
        )


@dataclass(slots=True)
class State:
    """How far the dataset of one collection has come; `_state.json` in its folder.

    Attributes:
        batch_id: of the last batch that wrote something; files of later ones are none of ours.
        files: of all batches, those of the quarantine too.
        last_loaded_at: of the last batch's newest row.
        watermark: (updated_at, _id) up to which the source was read.
        last_sweep_at: when all of the source was read last.
        live: documents that a reader finds.
        quarantined: documents that only the quarantine has.
        days: documents and hashes by UTC day that source and dataset should have in common.
        source_count, source_hash: what the source had; the hash as of the last time that all of it
            was read.
        days_differing: days on which the two sides differed then.
    """

    collection: str
    batch_id: int = 0
    files: int = 0
    last_loaded_at: datetime | None = None
    watermark: tuple[datetime, str] | None = None
    last_sweep_at: datetime | None = None
    live: int = 0
    quarantined: int = 0
    source_count: int = 0
    source_hash: int = 0
    dataset_hash: int = 0
    days_differing: int = 0
    days: Days = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        """Write it, in one step: this is what commits a batch."""
        _write(folder / _STATE, asdict(self))

    @classmethod
    def load(cls, folder: Path, collection: str) -> State:
        """The state of the collection's dataset; an empty one before its first batch.

        Raises:
            UserError: the folder is another collection's, or the file is broken.
        """
        path = folder / _STATE
        if not path.exists():
            return cls(collection)
        values = _read(path)
        try:
            for name in ("last_loaded_at", "last_sweep_at"):
                values[name] = values[name] and datetime.fromisoformat(values[name])
            if values["watermark"]:
                at, identity = values["watermark"]
                values["watermark"] = datetime.fromisoformat(at), identity
            values["days"] = {day: (count, sum_) for day, (count, sum_) in values["days"].items()}
            state = cls(**values)
        except (KeyError, TypeError, ValueError, AttributeError):
            raise UserError(f"{path} is broken: move {folder} away and load it anew") from None
        if state.collection != collection:
            raise UserError(f"{folder} is the folder of the collection {state.collection}")
        return state


def _read(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text("utf-8"))
    except ValueError:
        values = None
    if not isinstance(values, dict):
        raise UserError(f"{path} is broken: move {path.parent} away and load it anew")
    return values


def _write(path: Path, values: dict[str, Any]) -> None:
    new = path.with_name(f"{path.name}.new")
    with new.open("w", encoding="utf-8") as file:
        json.dump(values, file, default=datetime.isoformat, indent=1)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    flush_folder(path.parent)
