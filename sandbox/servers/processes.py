"""Daemons: find, start and stop them, and say who holds a port."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from loaders.errors import UserError

LOG_LIMIT = 20 * 1024 * 1024  # bytes; a larger log is moved to `<name>.log.1` at the next start


def is_ours(pid: int, words: list[str]) -> bool:
    """True when process `pid` lives (a zombie doesn't) and its command line holds all `words`.

    A pid file alone proves nothing: after a crash or a reboot its number may be anybody's.
    """
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and set(words) <= set(process.cmdline())
    except (psutil.NoSuchProcess, psutil.AccessDenied, ValueError):
        return False


def find(words: list[str]) -> int | None:
    """The pid of a process whose command line holds all `words`, wherever its pid file went."""
    for pid in psutil.pids():
        if pid != os.getpid() and is_ours(pid, words):
            return pid
    return None


def working_in(folder: Path) -> list[int]:
    """Live processes whose working directory is `folder`, which is true of all of PostgreSQL's."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.cwd() == str(folder) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
    return found


def start(
    command: list[str], log: Path, user: int | None = None, group: int | None = None
) -> subprocess.Popen[bytes]:
    """Start a daemon in a session of its own, so that it outlives us and our terminal.

    It gets none of our environment but what a server needs: no passwords, no locale of the user.
    The log is opened here, so that a server that runs as another user needs no rights on it.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > LOG_LIMIT:
        log.replace(log.with_name(log.name + ".1"))
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "LC_ALL": "C",
        "PYTHONUTF8": "1",
        "TZ": "UTC",
    }
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd="/",
            env=environment,
            start_new_session=True,
            user=user,
            group=group,
            extra_groups=None if user is None else [],
        )


def stop(pid: int, sign: signal.Signals, seconds: float, words: list[str]) -> bool:
    """Send `sign` to the process and wait till it is gone; False when it is still there."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, sign)
    return wait_until(lambda: not is_ours(pid, words), seconds)


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """True as soon as `condition` holds, False when `seconds` have passed without."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.03)
    return True


def port_answers(port: int) -> bool:
    """True when something accepts connections on the loopback port."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def require_free_port(port: int, server: str, setting: str) -> None:
    """Raise UserError, naming who holds it where that can be seen, unless the port is free."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as problem:
            if problem.errno == errno.EACCES:
                raise UserError(
                    f"this user may not open port {port} for {server}: choose one above 1023, "
                    f"e.g. {setting}={free_port()}"
                ) from None
            raise UserError(
                f"port {port} is wanted for {server} but in use{_holder(port)}: "
                f"stop that, or choose another port, e.g. {setting}={free_port()}"
            ) from None


def free_port() -> int:
    """A port that nobody uses at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _holder(port: int) -> str:
    with contextlib.suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            if (
                connection.status == psutil.CONN_LISTEN
                and connection.laddr.port == port
                and connection.pid
            ):
                return f" by {psutil.Process(connection.pid).name()} (pid {connection.pid})"
    return " by another program"


def folder_size(folder: Path) -> int:
    """Bytes on disk of everything below `folder`; files that vanish meanwhile count nothing."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(parent, name)).st_blocks * 512  # noqa: PTH118
    return total


def require_space(folder: Path, megabytes: int) -> None:
    """Raise UserError when the disk of `folder` has less than `megabytes` left."""
    free = shutil.disk_usage(folder).free // 2**20
    if free < megabytes:
        raise UserError(
            f"the disk is full: {free} MB free in {folder}, {megabytes} MB needed: "
            "free some space, or set LEDGERLINE_HOME to a folder on a larger disk"
        )


@contextlib.contextmanager
def readable_disk_errors(folder: Path) -> Iterator[None]:
    """Turn a refused or failed write below `folder` into one clear line."""
    try:
        yield
    except OSError as problem:
        if problem.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            what, cure = "the disk is full", "free some space"
        elif problem.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            what, cure = "no right to write", "mend its owner or mode"
        elif problem.errno in (errno.EEXIST, errno.ENOTDIR):
            what, cure = "a file stands where a folder is needed", "move it away"
        elif problem.errno == errno.ENOENT:
            what, cure = "no folder can be made", "is that disk there?"
        else:
            raise
        where = problem.filename or folder
        raise UserError(
            f"{what} at {where}: {cure}, or set LEDGERLINE_HOME to another folder"
        ) from None


def command_line(pid: int) -> list[str]:
    """The words that a process was started with; empty when it is gone."""
    try:
        return psutil.Process(pid).cmdline()
    except psutil.Error:
        return []
