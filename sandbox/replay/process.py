"""The server as a process of its own, which ends with the one that started it."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from loaders.settings import ROOT
from sandbox.replay.documents import Documents
from sandbox.replay.server import ReplayServer, uri_of


class ReplayProcess:
    """A server in another process; made by `replay_process`.

    Attributes:
        pid, port: of that process.
        uri: where drivers find it.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.pid = process.pid
        self.port = int(self._answer())
        self.uri = uri_of(self.port)

    def put(self, namespace: str, file: Path | str) -> None:
        """Serve other documents in a collection from now on."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{namespace}={file}\n")
        self._process.stdin.flush()
        self._answer()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError("the replay server has ended; what it says is above")
        return answer.strip()


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
    command = [sys.executable, "-m", "sandbox.replay", "--port", str(port)]
    command += [f"--index={field}" for field in indexes]
    command += [f"{namespace}={file}" for namespace, file in files.items()]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            yield ReplayProcess(process)
        finally:
            assert process.stdin is not None
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
    """Serve till standard input is closed, which it is when the starter has ended, however.

    Prints the port when it is ready. A line `database.collection=file` on standard input sets the
    documents of a collection, and is answered with their number.
    """
    parser = argparse.ArgumentParser(description="Serve BSON files as MongoDB collections.")
    parser.add_argument("files", nargs="+", metavar="DATABASE.COLLECTION=FILE")
    parser.add_argument("--index", action="append", default=[], metavar="FIELD")
    parser.add_argument("--port", type=int, default=0)
    arguments = parser.parse_args()

    def put(entry: str) -> int:
        namespace, _, file = entry.partition("=")
        documents = documents_of(Path(file))
        for field in ("_id", *arguments.index):
            documents.index(field)
        server.put(namespace, documents)
        return len(documents)

    with ReplayServer(port=arguments.port) as server:
        for entry in arguments.files:
            put(entry)
        print(server.port, flush=True)
        for line in sys.stdin:
            print(put(line.strip()), flush=True)
