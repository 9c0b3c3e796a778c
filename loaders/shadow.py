"""The shadow of a raw table: rows gathered out of sight, which become raw's in one transaction."""

from __future__ import annotations

from datetime import datetime

import psycopg
from psycopg import sql

from loaders import odd
from loaders.schema import index_names, table_name

SCHEMA = "shadow"

# In the order of `encoding.Slice.rows`. The columns that all rows of a batch share are added in the
# end, with a default: Postgres notes it once and doesn't write it to any row.
_COLUMNS = """
    _id text not null, _source_ts timestamptz, _doc_hash text not null, _types text,
    doc jsonb not null
"""


class Shadow:
    """The shadow table of one collection, and the table of its odd documents.

    Args:
        conn: its transactions are the caller's.
        collection: whose.
    """

    def __init__(self, conn: psycopg.Connection, collection: str) -> None:
        self.conn = conn
        self.name = table_name(collection)
        self.table = sql.Identifier(SCHEMA, self.name)
        self.odd = sql.Identifier(SCHEMA, table_name(f"{collection}:odd"))
        self.raw = sql.Identifier("raw", self.name)

    def create(self) -> None:
        """Make both tables anew, empty."""
        self.drop()
        # autovacuum would count its values over and over while it grows
        self._run(
            "create table {table} ({columns}) with (autovacuum_enabled = false)",
            columns=sql.SQL(_COLUMNS),
        )
        self._run("create table {odd} ({columns})", columns=sql.SQL(odd.COLUMNS))

    def drop(self) -> None:
        """Drop both tables, if there are any."""
        self._run("drop table if exists {table}, {odd}")

    def index(self) -> None:
        """Make the indexes that a raw table has, if they aren't there.

        Raises:
            psycopg.errors.UniqueViolation: the same `_id` came twice.
        """
        made = self.conn.execute(
            "select from pg_indexes where schemaname = %s and tablename = %s", [SCHEMA, self.name]
        )
        if made.fetchone() is not None:
            return
        names = index_names(self.name)
        self._run("alter table {table} add constraint {key} primary key (_id)", **names)
        self._run("create index {index} on {table} (_source_ts)", **names)
        # what merges ask for; of the documents it would take long and tell nothing
        self._run("analyze {table} (_id, _source_ts, _doc_hash)")

    def hand_over_odd(self) -> None:
        """Move the odd documents into the batch's temporary table."""
        self._run("insert into pg_temp.ledgerline_odd select * from {odd}")

    def replace_raw(self, loaded_at: datetime, batch_id: int) -> bool:
        """Take the place of the empty raw table, with its rights, comments and additional indexes.

        Returns:
            False where something, a view say, depends on the raw table: nothing was done then.
        """
        if self._has_dependants():
            return False
        indexes = self.conn.execute(
            """
            select indexdef from pg_indexes where schemaname = 'raw' and tablename = %s
            and indexname not in (
                select indexname from pg_indexes where schemaname = %s and tablename = %s)
            """,
            [self.name, SCHEMA, self.name],
        ).fetchall()
        rights = self.conn.execute(
            """
            select pg_get_userbyid(grantee), privilege_type, is_grantable
            from pg_class, aclexplode(relacl) where oid = %s::regclass and grantee <> relowner
            """,
            [self.raw.as_string(self.conn)],
        ).fetchall()
        comments = self.conn.execute(
            """
            select attname, description
            from pg_description left join pg_attribute
                on attrelid = objoid and attnum = objsubid and objsubid > 0
            where classoid = 'pg_class'::regclass and objoid = %s::regclass
            """,
            [self.raw.as_string(self.conn)],
        ).fetchall()
        self._run(
            """
            alter table {table}
                add column _loaded_at timestamptz not null default {at},
                add column _batch_id bigint not null default {batch},
                add column _deleted_at timestamptz
            """,
            at=sql.Literal(loaded_at),
            batch=sql.Literal(batch_id),
        )
        self._run(
            "alter table {table} alter _loaded_at drop default, alter _batch_id drop default, "
            "reset (autovacuum_enabled)"
        )
        self._run("drop table {raw}")
        self._run("alter table {table} set schema raw")
        for (definition,) in indexes:
            self.conn.execute(definition)  # text of the catalogue
        for role, privilege, grantable in rights:
            self._run(
                "grant {privilege} on {raw} to {role}" + " with grant option" * grantable,
                privilege=sql.SQL(privilege),
                role=sql.Identifier(role) if role != "unknown (OID=0)" else sql.SQL("public"),
            )
        for column, comment in comments:
            self._run(
                "comment on column {raw}.{column} is {comment}"
                if column
                else "comment on table {raw} is {comment}",
                column=sql.Identifier(column or ""),
                comment=sql.Literal(comment),
            )
        return True

    def _has_dependants(self) -> bool:
        row = self.conn.execute(
            """
            select exists (
                select from pg_depend
                where refclassid = 'pg_class'::regclass and refobjid = %s::regclass
                    and classid in ('pg_rewrite'::regclass, 'pg_trigger'::regclass,
                        'pg_policy'::regclass, 'pg_publication_rel'::regclass))
            """,
            [self.raw.as_string(self.conn)],
        ).fetchone()
        return row == (True,)

    def _run(self, statement: str, **names: sql.Composable) -> psycopg.Cursor:
        query = sql.SQL(statement).format(table=self.table, odd=self.odd, raw=self.raw, **names)
        return self.conn.execute(query)


def drop_older(conn: psycopg.Connection, table: sql.Identifier) -> list[tuple[str, int]]:
    """Of rows with the same `_id`, keep the one that came last.

    Args:
        conn: its transaction is the caller's.
        table: a shadow table or a batch's stage.

    Returns:
        Day and 60 bits of the hash of each row that was dropped.
    """
    rows = conn.execute(
        sql.SQL(
            """
            delete from {table} as older
            where exists (select from {table} as newer
                where newer._id = older._id and newer.ctid > older.ctid)
            returning coalesce(to_char(_source_ts, 'YYYY-MM-DD'), ''), left(_doc_hash, 15)
            """
        ).format(table=table)
    )
    return [(day, int(bits, 16)) for day, bits in rows]
