"""The schema `ml` in Postgres."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

_DDL = Path(__file__).with_name("ddl")
_LOCK = "ledgerline ml schema"
_VERSION = "select obj_description(to_regnamespace('ml')::oid, 'pg_namespace')"


def ensure(connection: psycopg.Connection[Any]) -> None:
    """Create the schema `ml` and its tables where they are missing; commits.

    Two processes may do so at once: one waits for the other. A comment on the schema says which
    tables it has, so that nothing is locked where all are there.
    """
    scripts = [script.read_text() for script in sorted(_DDL.glob("*.sql"))]
    version = hashlib.sha256("".join(scripts).encode()).hexdigest()
    with connection.transaction():
        if connection.execute(_VERSION).fetchone() != (version,):
            connection.execute("select pg_advisory_xact_lock(hashtext(%s))", [_LOCK])
            for script in scripts:
                connection.execute(script)
            connection.execute(sql.SQL("comment on schema ml is {}").format(sql.Literal(version)))
    connection.commit()
