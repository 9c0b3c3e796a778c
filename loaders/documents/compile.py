"""Compile `transcoder.c` into the environment that runs this file; set-up calls it.

Only the standard library is used. Where there is no C compiler, or Python's headers are missing,
one line says so and nothing is lost: documents are then encoded in Python, in five times the time.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

SOURCE = Path(__file__).with_name("transcoder.c")
NAME = "_ledgerline_transcoder"
TIMEOUT_SECONDS = 120


def compile_transcoder(folder: Path) -> str | None:
    """Compile into `folder`; a half-written module is never left there.

    Returns:
        Why not, or None where the module is there now.
    """
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    if not compiler or shutil.which(compiler[0]) is None:
        compiler = ["cc"]
    if shutil.which(compiler[0]) is None:
        return "there is no C compiler"
    include = sysconfig.get_path("include")
    if not Path(include, "Python.h").exists():
        return "Python's C headers are not installed"
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    flags = ["-O2", "-shared", "-fPIC", f"-I{include}"]
    if sys.platform == "darwin":
        flags += ["-undefined", "dynamic_lookup"]
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        made = Path(scratch, NAME + suffix)
        command = [*compiler, *flags, str(SOURCE), "-o", str(made), "-lm"]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, check=False, timeout=TIMEOUT_SECONDS
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"{compiler[0]} failed: {error}"
        if done.returncode != 0:
            return f"{compiler[0]} failed: {(done.stderr.splitlines() or ['no message'])[0]}"
        made.replace(Path(folder, made.name))
    return None


if __name__ == "__main__":
    if reason := compile_transcoder(Path(sysconfig.get_path("platlib"))):
        print(f"Documents will be encoded in Python, in five times the time: {reason}.")
