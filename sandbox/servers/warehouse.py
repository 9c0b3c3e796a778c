"""The tables that dbt reads as sources, so that plain `dbt build` works right after `make up`."""

from __future__ import annotations

import psycopg

import loaders.schema
import ml.schema
from loaders.errors import UserError
from loaders.settings import Settings


def ensure(settings: Settings) -> None:
    """Make the schemas `raw`, `ops` and `ml` with their tables where they are missing.

    Raises:
        UserError: this user may not make them.
    """
    target = settings.postgres()
    try:
        with psycopg.connect(**target) as connection:
            loaders.schema.ensure(connection)
            ml.schema.ensure(connection)
    except psycopg.errors.InsufficientPrivilege as problem:
        raise UserError(
            f"user {target['user']!r} may not make the schemas raw, ops and ml "
            f"({problem.diag.message_primary}): let its administrator run "
            f"`grant create on database {target['dbname']} to {target['user']}`"
        ) from None
    except psycopg.errors.DiskFull:
        raise UserError(
            f"the disk of PostgreSQL at {target['host']}:{target['port']} is full: free some space"
        ) from None
