"""BSON files as mongodump writes them, JSON truth, and a manifest that is written last."""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import bson

from loaders.errors import UserError

COLLECTIONS = (
    "users", "products", "orders", "reviews", "campaigns", "campaign_events", "campaign_daily",
    "sessions", "inventory_movements", "support_tickets", "exchange_rates",
)  # fmt: skip
MANIFEST = "manifest.json"


class _Hashed:
    """A file that knows the hash of what was written."""

    def __init__(self, path: Path) -> None:
        self.file: BinaryIO = path.open("wb", buffering=1 << 20)
        self.hash, self.documents, self.bytes = hashlib.sha256(), 0, 0

    def write(self, data: bytes, documents: int = 1) -> None:
        self.file.write(data)
        self.hash.update(data)
        self.bytes += len(data)
        self.documents += documents


class Folder:
    """Writes a store's folder; use as a context, the manifest appears only if all went well.

    Raises:
        UserError: the disk is full or the folder can't be written.
    """

    def __init__(self, path: Path, header: dict[str, Any]) -> None:
        self.path, self.header = path, header

    def __enter__(self) -> Folder:
        try:
            self._clear()
            (self.path / "truth").mkdir(parents=True)
            self.files = {name: _Hashed(self.path / f"{name}.bson") for name in COLLECTIONS}
        except OSError as error:
            raise explain(error, self.path) from error
        self.others: dict[str, str] = {}
        return self

    def _clear(self) -> None:
        """Remove an earlier run's files; a folder with anything else in it is left alone."""
        if not self.path.exists():
            return
        known = {f"{name}.bson" for name in COLLECTIONS} | {
            MANIFEST, MANIFEST + ".part", "truth", "pending.bson", "later.bson", "state.json",
            "ticks",
        }  # fmt: skip
        strange = sorted(entry.name for entry in self.path.iterdir() if entry.name not in known)
        if strange:
            raise UserError(
                f"{self.path} holds files that are not a store's ({strange[0]}): "
                "name another folder with --out"
            )
        shutil.rmtree(self.path)

    def add(self, collection: str, document: dict[str, Any]) -> None:
        """Append a document to a collection's file."""
        self.files[collection].write(bson.encode(document))

    def json(self, name: str, value: Any) -> None:
        """Write one file below the folder, keys sorted."""
        self.text(name, [json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False), "\n"])

    def rows(self, name: str, rows: Iterable[Any]) -> None:
        """Write a JSON array with one row a line, without holding it in memory."""

        def lines() -> Iterable[str]:
            separator = "[\n"
            for row in rows:
                yield separator + json.dumps(row, ensure_ascii=False)
                separator = ",\n"
            yield "[]\n" if separator == "[\n" else "\n]\n"

        self.text(name, lines())

    def text(self, name: str, parts: Iterable[str]) -> None:
        """Write a text file from parts."""
        self.binary(name, (part.encode() for part in parts))

    def binary(self, name: str, parts: Iterable[bytes]) -> None:
        """Write a file from parts."""
        file = _Hashed(self.path / name)
        for part in parts:
            file.write(part)
        file.file.close()
        self.others[name] = file.hash.hexdigest()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            for file in self.files.values():
                file.file.close()
            if error is None:
                self._manifest()
        except OSError as problem:
            raise explain(problem, self.path) from problem
        if isinstance(error, OSError):
            raise explain(error, self.path) from error

    def _manifest(self) -> None:
        collections = {
            name: {"documents": f.documents, "bytes": f.bytes, "sha256": f.hash.hexdigest()}
            for name, f in self.files.items()
        }
        manifest = {**self.header, "collections": collections, "files": self.others}
        text = json.dumps(manifest, indent=1, sort_keys=True) + "\n"
        temporary = self.path / (MANIFEST + ".part")
        temporary.write_text(text)
        temporary.rename(self.path / MANIFEST)


def explain(error: OSError, path: Path) -> UserError:
    """A full disk or an unwritable folder in one line."""
    if error.errno == errno.ENOSPC:
        return UserError(f"no space left on the disk of {path}: free some, then run it again")
    return UserError(f"can't write {path}: {error.strerror or error}")


def read_manifest(path: Path) -> dict[str, Any] | None:
    """The manifest of a finished folder, or None: absent, cut off, or files of another size."""
    try:
        manifest = json.loads((path / MANIFEST).read_text())
        for name, facts in manifest["collections"].items():
            if (path / f"{name}.bson").stat().st_size != facts["bytes"]:
                return None
        if not all((path / name).exists() for name in manifest["files"]):
            return None
    except (OSError, ValueError, KeyError):
        return None
    return manifest
