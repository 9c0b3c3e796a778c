"""What the assets of this folder say of the tables that they write."""

import dagster as dg
import psycopg
from psycopg import sql


def row_count(conn: psycopg.Connection, key: dg.AssetKey, run_id: str | None = None) -> int:
    """Rows of an asset's table, of all runs or of one."""
    query = sql.SQL("select count(*) from {}").format(sql.Identifier(*key.path))
    if run_id is not None:
        query += sql.SQL(" where run_id = {}").format(sql.Literal(run_id))
    row = conn.execute(query).fetchone()
    assert row is not None
    return row[0]
