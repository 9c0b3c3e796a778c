"""Whose documents a raw table holds: a MongoDB's, or those of files. One never replaces the other
unasked: a load of the other kind would mark them all deleted.
"""

from __future__ import annotations

from collections.abc import Iterable

import psycopg
from psycopg import sql

from loaders.errors import UserError
from loaders.schema import table_name

FILES = "files"
"""Mode of the batches in `ops.load_runs` that came from files."""

_NO_ORIGIN = ["replay", "erase"]  # modes that say nothing of it


def refuse_mongodb_documents(conn: psycopg.Connection, collection: str) -> None:
    """For a load of files.

    Raises:
        UserError: the raw table holds documents of a MongoDB.
    """
    if _last_mode(conn, collection) not in (None, FILES):
        raise UserError(
            f"raw.{collection} holds documents of a MongoDB: load the files into another database "
            "(POSTGRES_DB), or say --replace to have the files' documents in their place"
        )


def refuse_documents_of_files(conn: psycopg.Connection, collections: Iterable[str]) -> None:
    """For a load of a MongoDB.

    Raises:
        UserError: one of the raw tables holds documents of files.
    """
    for collection in collections:
        if _last_mode(conn, collection) == FILES:
            raise UserError(
                f"raw.{collection} holds documents of files: load the MongoDB into another "
                f'database (POSTGRES_DB), or empty it first with `truncate raw."{collection}"`'
            )


def _last_mode(conn: psycopg.Connection, collection: str) -> str | None:
    """Mode of the last batch that says whose the rows are; None where there are none."""
    table = sql.Identifier("raw", table_name(collection))
    # an emptied table is nobody's
    if conn.execute("select to_regclass(%s)", [table.as_string(conn)]).fetchone() == (None,):
        return None
    # as literals: a percent sign in a collection's name would make parameters of them
    query = sql.SQL(
        """
        select mode from ops.load_runs
        where collection = {collection} and status = 'done' and raw_count > 0
            and mode <> all({no_origin}) and exists (select from {table})
        order by batch_id desc limit 1
        """
    ).format(collection=sql.Literal(collection), no_origin=sql.Literal(_NO_ORIGIN), table=table)
    found = conn.execute(query).fetchone()
    return found[0] if found else None
