"""Environments of the peers under Ledgerline's home: made once, never mixed with Ledgerline's."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.loader.measure import FailedError, last_line

_READY = ".ready"  # written last: an environment without it was cut short


def make(home: Path, name: str, packages: Sequence[str]) -> Path:
    """The folder of an environment that has these packages; installs them the first time.

    Raises:
        FailedError: they can't be installed.
    """
    digest = hashlib.blake2b("\n".join((sys.version, *packages)).encode(), digest_size=4)
    folder = home / f"{name}-{digest.hexdigest()}"
    if (folder / _READY).exists():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    python = str(folder / "bin" / "python")
    if shutil.which("uv"):
        make_it = ["uv", "venv", "--quiet", "--python", sys.executable, str(folder)]
        install = ["uv", "pip", "install", "--quiet", "--python", python, *packages]
    else:
        make_it = [sys.executable, "-m", "venv", str(folder)]
        install = [python, "-m", "pip", "install", "--quiet", *packages]
    try:
        for command in (make_it, install):
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                raise FailedError(f"can't be installed: {last_line(done.stderr)}")
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    (folder / _READY).touch()
    return folder
