"""The sandbox's passwords: made once, kept in `credentials.json` with mode 0600."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path

from loaders.errors import UserError
from loaders.settings import Settings

NAMES = ("postgres_password", "postgres_superuser_password", "mongodb_password")


def read(settings: Settings) -> dict[str, str] | None:
    """The passwords, or None before the first start.

    Raises:
        UserError: the file is another user's, or isn't what was written.
    """
    path = settings.credentials_file
    try:
        owner = path.stat().st_uid
        if os.geteuid() == 0 != owner:
            # files that root adds to it would lock its owner out
            raise UserError(
                f"{path} belongs to user {owner}: work as that user (e.g. setpriv --reuid {owner} "
                "--clear-groups make up), or set LEDGERLINE_HOME to a folder of your own"
            )
        found = json.loads(path.read_text())
        if not all(found[name] for name in NAMES):
            raise ValueError
    except FileNotFoundError:
        return None
    except IsADirectoryError:
        raise UserError(f"{path} is a folder: remove it") from None
    except PermissionError:
        raise UserError(
            f"{path} belongs to another user: work as that user, or set LEDGERLINE_HOME to a "
            "folder of your own"
        ) from None
    except (ValueError, KeyError, TypeError):
        raise UserError(
            f"{path} is damaged: put it back from a copy, or remove the folder {settings.home} "
            "and begin anew"
        ) from None
    else:
        return found


def create(settings: Settings) -> dict[str, str]:
    """Generate a password per user and write them where only their owner can read them."""
    passwords = {name: secrets.token_urlsafe(24) for name in NAMES}
    write_private(settings.credentials_file, json.dumps(passwords, indent=2) + "\n")
    return passwords


def write_private(path: Path, text: str) -> None:
    """Write a file of mode 0600, at once or not at all."""
    half = path.with_name(path.name + ".new")
    half.unlink(missing_ok=True)
    with os.fdopen(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    half.replace(path)
