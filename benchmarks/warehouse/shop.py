"""A demo shop that is served from its files, and lives on in them.

A large shop's sorted collections take the sandbox's MongoDB-protocol server tens of gigabytes; the
replay server serves the same documents from memory.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bson
from bson.codec_options import CodecOptions, DatetimeConversion

from loaders.settings import ROOT
from sandbox.replay.process import replay_process
from sandbox.store.profiles import profile
from sandbox.store.tick import read_documents, work_out

SEED = 42
EXACT: CodecOptions[dict[str, Any]] = CodecOptions(
    datetime_conversion=DatetimeConversion.DATETIME_MS
)
DATABASE = "shop"


class Shop:
    """The files of a store of this profile and size, made when it is."""

    def __init__(self, folder: Path, profile_name: str, scale: int) -> None:
        self.shape = profile(profile_name, scale)
        command = ["store", "generate", "--profile", profile_name, "--scale", str(scale)]
        command += ["--seed", str(SEED), "--out", str(folder), "--no-insert"]
        subprocess.run(
            [sys.executable, "-m", "orchestration.cli", *command],
            cwd=ROOT,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        [manifest] = folder.glob("*/manifest.json")
        self.folder = manifest.parent
        self.collections = sorted(json.loads(manifest.read_text())["collections"])
        self.ticks = 0

    @contextmanager
    def served(self) -> Iterator[str]:
        """The URI under which a server has the documents as they are now."""
        files = {f"{DATABASE}.{name}": self._file(name) for name in self.collections}
        with replay_process(files) as source:
            yield source.uri

    def live_on(self, days: int) -> None:
        """Let so many days pass: the changes that a tick would make in MongoDB, in the files."""
        self.ticks += 1
        tick = work_out(self.shape, SEED, self.folder, self.ticks, days)
        operations: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for operation in read_documents(tick / "operations.bson"):
            operations[operation["in"]].append(operation)
        living = self.folder / "living"
        living.mkdir(exist_ok=True)
        for name, changes in operations.items():
            data = _changed(self._file(name).read_bytes(), changes)
            (living / f"{name}.bson").write_bytes(data)

    def _file(self, collection: str) -> Path:
        """Another one than the tick is worked out from, once the collection has changed."""
        living = self.folder / "living" / f"{collection}.bson"
        return living if living.exists() else self.folder / f"{collection}.bson"


def _changed(data: bytes, operations: list[dict[str, Any]]) -> bytes:
    """Concatenated documents after these operations of a tick."""
    documents: dict[bytes, bytes] = {}
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "little")
        document = data[at : at + size]
        documents[_key(bson.decode(document, EXACT)["_id"])] = document
        at += size
    for operation in operations:
        if operation["do"] == "insert":
            documents.setdefault(_key(operation["doc"]["_id"]), bson.encode(operation["doc"]))
        elif operation["do"] == "delete":
            documents.pop(_key(operation["_id"]), None)
        else:
            key = _key(operation["filter"]["_id"])
            if key in documents:
                document = bson.decode(documents[key], EXACT)
                _update(document, operation["filter"], operation["changes"])
                documents[key] = bson.encode(document)
    return b"".join(documents.values())


def _key(identifier: object) -> bytes:
    return bson.encode({"_id": identifier})


def _update(document: dict[str, Any], only_if: dict[str, Any], changes: list[Any]) -> None:
    """The part of MongoDB's update language that ticks use.

    Raises:
        ValueError: they use another one by now.
    """
    conditions = {name: value for name, value in only_if.items() if name != "_id"}
    if not conditions.keys() <= {"refunds.id"}:
        raise ValueError(f"a tick's filter that is not understood: {conditions}")
    if any(
        refund["id"] == conditions["refunds.id"]["$ne"]
        for refund in document.get("refunds", [])
        if conditions
    ):
        return
    for operator, values in changes:
        for path, value in values.items():
            *way, last = path.split(".")
            inside: Any = document
            for step in way:
                inside = inside[int(step)] if isinstance(inside, list) else inside[step]
            if operator == "$set":
                inside[last] = value
            elif operator == "$unset":
                inside.pop(last, None)
            elif operator == "$push":
                inside.setdefault(last, []).append(value)
            else:
                raise ValueError(f"a tick's operator that is not understood: {operator}")
