"""Make `.venv` on a machine that has Python with pip and nothing else; `make` calls this.

Only the standard library is used, and the syntax stays readable for older Pythons, so that one of
them prints a line that says what is wanted instead of a syntax error. Packages come with `uv`
(ten times faster than pip, and it compiles the bytecode without which every start of dbt or
Dagster takes seconds longer), from wherever this user's pip gets them: uv doesn't read pip's
configuration, so it is handed over here. No registry is named in any file of this project.
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
LOCK = ROOT / "requirements.lock"
TRANSCODER = ROOT / "loaders" / "documents" / "compile.py"
OLDEST, NEWEST = (3, 11), (3, 13)


class SetupError(Exception):
    """The environment can't be made; the message is one line that says what to do."""


def check_python(version=sys.version_info):
    """Raise SetupError unless `version` is one that the locked packages support."""
    if not OLDEST <= tuple(version[:2]) <= NEWEST:
        raise SetupError(
            "Python {}.{} to {}.{} is needed and {} is {}.{}: "
            "install one, or name it with `make PYTHON=/path/to/python3.11`".format(
                *OLDEST, *NEWEST, sys.executable, *version[:2]
            )
        )


def pip_settings(output):
    """Parse what `pip config list` prints, e.g. `global.index-url='…'`, into {option: value}.

    The environment wins over `install.*`, which wins over `global.*`, as in pip.
    """
    settings = {}
    for wanted in ("global", "install", ":env:"):
        for line in output.splitlines():
            key, _, value = line.partition("=")
            section, _, option = key.partition(".")
            if section == wanted and value:
                settings[option] = value.strip().strip("'\"")
    return settings


def uv_environment(pip, environment):
    """Environment variables that make uv look where pip looks; a UV_* the user set is kept.

    pip separates several values by white space (a literal backslash-n in `pip config list`).
    """

    def words(option):
        return pip.get(option, "").replace("\\n", " ").split()

    uv = {}
    if "index-url" in pip:
        uv["UV_DEFAULT_INDEX"] = pip["index-url"]
    if words("extra-index-url"):
        uv["UV_INDEX"] = " ".join(words("extra-index-url"))
    if words("find-links"):
        uv["UV_FIND_LINKS"] = ",".join(words("find-links"))
    if words("trusted-host"):
        uv["UV_INSECURE_HOST"] = " ".join(words("trusted-host"))
    if "cert" in pip:
        uv["SSL_CERT_FILE"] = pip["cert"]
    if "proxy" in pip:
        uv["HTTPS_PROXY"] = uv["HTTP_PROXY"] = pip["proxy"]
    if pip.get("timeout", pip.get("default-timeout", "")).isdigit():
        uv["UV_HTTP_TIMEOUT"] = pip.get("timeout", pip.get("default-timeout"))
    # like pip, take a version from whichever index has it; safe, as every file's hash is locked
    uv["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    uv["UV_PYTHON_DOWNLOADS"] = "never"
    older_names = {"UV_DEFAULT_INDEX": "UV_INDEX_URL", "UV_INDEX": "UV_EXTRA_INDEX_URL"}
    return {
        name: value
        for name, value in uv.items()
        if name not in environment and older_names.get(name) not in environment
    }


def writable_cache(environment):
    """A cache folder for tools where the user's home can't be written, else nothing."""
    home = environment.get("XDG_CACHE_HOME") or str(Path("~/.cache").expanduser())
    folder = Path(home)
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if os.access(str(folder), os.W_OK):
        return {}
    cache = ROOT / ".ledgerline" / "cache"
    return {"XDG_CACHE_HOME": str(cache), "PIP_CACHE_DIR": str(cache / "pip")}


def run(command, environment):
    """Run a command with its output shown; raises CalledProcessError."""
    subprocess.run([str(part) for part in command], check=True, env=environment)


def find_uv(environment):
    """The path of uv: the user's, or one that pip puts under `.venv`; None if neither works."""
    found = shutil.which("uv", path=environment.get("PATH"))
    own = VENV / "uv" / "bin" / "uv"
    for candidate in (found, own):
        if candidate and _answers([str(candidate), "--version"], environment):
            return str(candidate)
    if not _answers([sys.executable, "-m", "pip", "--version"], environment):
        return None
    print("Fetching uv …", flush=True)
    # --target needs no working venv module, which Debian keeps in a package of its own
    target = ["--quiet", "--disable-pip-version-check", "--target", VENV / "uv"]
    try:
        run([sys.executable, "-m", "pip", "install", *target, "uv>=0.5"], environment)
    except subprocess.CalledProcessError:
        return None
    return str(own) if own.exists() else None


def _answers(command, environment):
    try:
        done = subprocess.run(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
    except OSError:
        return False
    return done.returncode == 0


def install_with_uv(uv, environment):
    """Make `.venv` exactly what the lock says, with bytecode, and the project in it."""
    python = VENV / "bin" / "python"
    if uv is None:
        raise subprocess.CalledProcessError(127, ["uv"])
    if not python.exists():
        run(
            [uv, "venv", "--quiet", "--allow-existing", "--python", sys.executable, VENV],
            environment,
        )
    target = ["--python", python]
    exactly = ["--quiet", "--require-hashes", "--compile-bytecode", LOCK]
    run([uv, "pip", "sync", *target, *exactly], environment)
    project = ["--no-deps", "--no-build-isolation", "--editable", ROOT]
    run([uv, "pip", "install", "--quiet", *target, *project], environment)


def install_with_pip(environment):
    """The same with pip alone, minutes instead of seconds, where no uv is to be had."""
    python = VENV / "bin" / "python"
    try:
        run([sys.executable, "-m", "venv", VENV], environment)
    except subprocess.CalledProcessError:
        raise SetupError(
            "Python's venv module doesn't work here: install it "
            "(Debian and Ubuntu: `apt install python3-venv`) or install uv, then run make again"
        ) from None
    pip = [python, "-m", "pip", "install", "--disable-pip-version-check"]
    run([*pip, "--require-hashes", "--no-deps", "-r", LOCK], environment)
    run([*pip, "--quiet", "--no-deps", "--no-build-isolation", "--editable", ROOT], environment)


def drop_moved_environment():
    """Remove a `.venv` that was made for another folder: its scripts name that folder."""
    script = VENV / "bin" / "dbt"
    if script.exists() and str(VENV) not in script.read_text(errors="replace")[:1000]:
        shutil.rmtree(str(VENV))


def main():
    """Install everything and touch the stamp file that tells make that it is done."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("stamp", type=Path, help="file to touch when all is installed")
    stamp = parser.parse_args().stamp
    try:
        check_python()
        drop_moved_environment()
        environment = dict(os.environ)
        environment.update(writable_cache(environment))
        listed = subprocess.run(
            [sys.executable, "-m", "pip", "config", "list"],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        VENV.mkdir(exist_ok=True)
        uv = find_uv(environment)
        print("Setting up .venv from requirements.lock, this once …", flush=True)
        try:
            settings = pip_settings(listed.stdout)
            install_with_uv(uv, dict(environment, **uv_environment(settings, environment)))
        except subprocess.CalledProcessError:
            print("uv can't install the packages here: trying pip, which takes longer", flush=True)
            install_with_pip(environment)
        run([VENV / "bin" / "python", "-I", TRANSCODER], environment)
    except SetupError as problem:
        sys.exit(f"error: {problem}")
    except subprocess.CalledProcessError as problem:
        tool = Path(problem.cmd[0]).name
        sys.exit(
            f"error: {tool} could not install the packages (see above): check the network, "
            "the disk and `pip config list`, then run make again"
        )
    except OSError as problem:
        sys.exit(f"error: .venv can't be written: {problem}")
    stamp.touch()


if __name__ == "__main__":
    main()
