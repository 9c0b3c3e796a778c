"""Runs a command and says what it cost."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

TIMEOUT_SECONDS = 3_600


class FailedError(Exception):
    """The command failed; the message is its reason in one line."""


@dataclass(frozen=True)
class Cost:
    """What one run took.

    Attributes:
        seconds: of the whole command, its start included.
        cpu: seconds of processor time of the command and its children.
        server_cpu: of Postgres meanwhile; None where that isn't known.
        memory: MiB of its largest process at its peak.
        load_seconds: of the load itself, as the tool says; None where it doesn't.
    """

    seconds: float
    cpu: float
    server_cpu: float | None
    memory: float
    load_seconds: float | None = None


def run(
    command: Sequence[str],
    environment: Mapping[str, str],
    folder: Path,
    server_cpu: Callable[[], float | None],
) -> tuple[Cost, str]:
    """Run a command to its end.

    Returns:
        Its cost, and what it printed to standard output.

    Raises:
        FailedError: it ended with an error, or not within `TIMEOUT_SECONDS`.
    """
    # The peak that the kernel reports of a child is never lower than that of the process which
    # started it: this one must stay small.
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        cpu_before = server_cpu()
        began = time.perf_counter()
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            start_new_session=True,  # so that it can be ended with its children
        )
        patience = threading.Timer(TIMEOUT_SECONDS, _kill, [process])
        patience.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            _kill(process)
            process.wait()
            raise
        finally:
            patience.cancel()
        seconds = time.perf_counter() - began
        cpu_after = server_cpu()
        output.seek(0)
        errors.seek(0)
        printed, complaint = output.read(), errors.read()
    process.returncode = os.waitstatus_to_exitcode(status)
    if status:
        late = seconds > TIMEOUT_SECONDS
        raise FailedError(
            "took too long, so it was ended" if late else last_line(complaint or printed)
        )
    cost = Cost(
        seconds=seconds,
        cpu=usage.ru_utime + usage.ru_stime,
        server_cpu=None if cpu_before is None or cpu_after is None else cpu_after - cpu_before,
        memory=usage.ru_maxrss / 1024,
    )
    return cost, printed


def last_line(text: str) -> str:
    """What a failed command said at its end, in at most 200 characters."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else "it said nothing"


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
