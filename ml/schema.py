"""The schema `ml` in Postgres."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg

_DDL = Path(__file__).with_name("ddl")
_LOCK = "ledgerline ml schema"


def ensure(connection: psycopg.Connection[Any]) -> None:
    """Create the schema `ml` and its tables where they are missing; commits.

    Two processes may do so at once: one waits for the other.
    """
    with connection.transaction():
        connection.execute("select pg_advisory_xact_lock(hashtext(%s))", [_LOCK])
        for script in sorted(_DDL.glob("*.sql")):
            connection.execute(script.read_text())
    connection.commit()
