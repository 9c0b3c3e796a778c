"""The registry: runs as versions of a task's model, which of them is current, and their cards."""

from ml.registry.versions import (
    NoSuchVersionError,
    Version,
    current,
    find,
    promote,
    rollback,
    unpin,
    versions,
    versions_of,
)

__all__ = [
    "NoSuchVersionError",
    "Version",
    "current",
    "find",
    "promote",
    "rollback",
    "unpin",
    "versions",
    "versions_of",
]
