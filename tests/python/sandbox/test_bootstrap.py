"""The set-up of `.venv`: what is decided before anything is installed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from loaders.settings import ROOT
from sandbox import bootstrap


@pytest.mark.parametrize("version", [(3, 10, 13), (3, 14, 0), (2, 7, 18)])
def test_another_python_is_refused_with_what_to_do(version: tuple[int, ...]) -> None:
    with pytest.raises(bootstrap.SetupError, match=r"Python 3\.11 to 3\.13 is needed.*PYTHON="):
        bootstrap.check_python(version)


@pytest.mark.parametrize("version", [(3, 11, 0), (3, 12, 4), (3, 13, 9)])
def test_supported_pythons_pass(version: tuple[int, ...]) -> None:
    bootstrap.check_python(version)


def test_pip_settings_are_read_and_the_environment_wins() -> None:
    listed = (
        ":env:.index-url='https://from.environment/simple'\n"
        "global.index-url='https://from.file/simple'\n"
        "global.extra-index-url='https://a/simple\\nhttps://b/simple'\n"
        "install.find-links='/wheels'\n"
        "freeze.timeout='10'\n"
    )
    found = bootstrap.pip_settings(listed)
    assert found == {
        "index-url": "https://from.environment/simple",
        "extra-index-url": "https://a/simple\\nhttps://b/simple",
        "find-links": "/wheels",
    }


def test_uv_is_told_where_pip_looks() -> None:
    pip = {
        "index-url": "https://one/simple",
        "extra-index-url": "https://two/simple\\nhttps://three/simple",
        "find-links": "/wheels /more",
        "trusted-host": "one two",
        "cert": "/ca.pem",
        "default-timeout": "180",
    }
    assert bootstrap.uv_environment(pip, {}) == {
        "UV_DEFAULT_INDEX": "https://one/simple",
        "UV_INDEX": "https://two/simple https://three/simple",
        "UV_FIND_LINKS": "/wheels,/more",
        "UV_INSECURE_HOST": "one two",
        "SSL_CERT_FILE": "/ca.pem",
        "UV_HTTP_TIMEOUT": "180",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_PYTHON_DOWNLOADS": "never",
    }


@pytest.mark.parametrize("name", ["UV_DEFAULT_INDEX", "UV_INDEX_URL"])
def test_what_the_user_has_told_uv_is_kept(name: str) -> None:
    told = bootstrap.uv_environment({"index-url": "https://pip/simple"}, {name: "https://uv/"})
    assert "UV_DEFAULT_INDEX" not in told


def test_a_home_that_cannot_be_written_gets_a_cache_in_the_project(tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    if os.access(locked, os.W_OK):
        locked = Path("/proc/self")  # root may write everywhere but here
    told = bootstrap.writable_cache({"XDG_CACHE_HOME": str(locked / "cache")})
    assert told["XDG_CACHE_HOME"].startswith(str(ROOT / ".ledgerline"))
    assert bootstrap.writable_cache({"XDG_CACHE_HOME": str(tmp_path / "mine")}) == {}


def test_an_old_python_can_still_read_the_file() -> None:
    """The oldest syntax that we promise a clear line to is 3.7's."""
    import ast

    ast.parse(Path(bootstrap.__file__).read_text(), feature_version=(3, 7))


def test_failing_set_up_leaves_no_stamp(tmp_path: Path) -> None:
    """An environment that is half made must not look finished to make."""
    copy = tmp_path / "project" / "sandbox"
    copy.mkdir(parents=True)
    script = copy / "bootstrap.py"
    script.write_text(Path(bootstrap.__file__).read_text())
    (tmp_path / "project" / "requirements.lock").write_text(
        "no-such-package-anywhere==1 --hash=sha256:" + "0" * 64 + "\n"
    )
    stamp = tmp_path / "stamp"
    nowhere = {"PIP_NO_INDEX": "1", "UV_OFFLINE": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    done = subprocess.run(
        [sys._base_executable, str(script), str(stamp)],
        env={**os.environ, **nowhere},
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert done.stderr.strip().splitlines()[-1].startswith("error: ")
    assert "Traceback" not in done.stderr
    assert not stamp.exists()
