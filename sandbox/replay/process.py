"""The server as a process of its own, which ends with the one that started it."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sandbox.replay.documents import Documents
from sandbox.replay.server import ReplayServer


@dataclass(frozen=True)
class ReplayProcess:
    """Where the server is."""

    pid: int
    uri: str
    port: int


@contextmanager
def replay_process(
    files: Mapping[str, Path | str], *, indexes: Iterable[str] = (), port: int = 0
) -> Iterator[ReplayProcess]:
    """Serve files of concatenated BSON documents.

    Args:
        files: by namespace.
        indexes: fields to make an index on before it is ready.
        port: 0 for any free one.
    """
    command = [sys.executable, "-m", "sandbox.replay.process", "--port", str(port)]
    command += [f"--index={field}" for field in indexes]
    command += [f"{namespace}={file}" for namespace, file in files.items()]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdin is not None and process.stdout is not None
        try:
            ready = process.stdout.readline()
            if not ready:
                raise RuntimeError("the replay server didn't start; what it says is above")
            yield ReplayProcess(process.pid, **json.loads(ready))
        finally:
            process.stdin.close()  # which ends it


def documents_of(file: Path) -> Documents:
    """The documents of a file of concatenated BSON."""
    data = file.read_bytes()
    position = 0
    documents = []
    while position < len(data):
        size = int.from_bytes(data[position : position + 4], "little")
        documents.append(data[position : position + size])
        position += size
    return Documents(documents)


def main() -> None:
    """Serve till standard input is closed, which it is when the starter has ended, however."""
    parser = argparse.ArgumentParser(description="Serve BSON files as MongoDB collections.")
    parser.add_argument("files", nargs="+", metavar="DATABASE.COLLECTION=FILE")
    parser.add_argument("--index", action="append", default=[], metavar="FIELD")
    parser.add_argument("--port", type=int, default=0)
    arguments = parser.parse_args()
    collections = {}
    for entry in arguments.files:
        namespace, _, file = entry.partition("=")
        collections[namespace] = documents_of(Path(file))
        for field in ("_id", *arguments.index):
            collections[namespace].index(field)
    with ReplayServer(collections, port=arguments.port) as server:
        print(json.dumps({"uri": server.uri, "port": server.port}), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
