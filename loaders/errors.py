"""Errors that are the user's to mend: one line that says what is wrong and what to do."""

from __future__ import annotations


class UserError(Exception):
    """Ends a command with `error: <message>` and a non-zero exit code, without a traceback."""


class ServerUnreachableError(UserError):
    """A server can't be reached or went away: the same call may work later, so retry it."""


class LoadInProgressError(UserError):
    """Another loader holds the collection; it is left alone."""
