"""Documents that raw can't hold as they are: their books, `ops.quarantine` and
`ops.altered_documents`, which keep the BSON.
"""

from __future__ import annotations

import tempfile
from typing import IO, TYPE_CHECKING

import psycopg
from psycopg import sql

from loaders.documents.encoding import identity_of, odd_row

if TYPE_CHECKING:
    from loaders.landing import Batch

MEMORY_BYTES = 8 * 1024 * 1024  # beyond it, they wait on disk

# of the temporary table in which they arrive, as `encoding.Slice.odd` has them
COLUMNS = "_id text, kind text, reason text, _doc_hash text, bson bytea"

# what Postgres says of a document that it can't hold
UNSTORABLE = (
    psycopg.DataError,
    psycopg.errors.ProgramLimitExceeded,
    psycopg.errors.StatementTooComplex,
)


def spool() -> tempfile.SpooledTemporaryFile[bytes]:
    """A file for rows as in `Slice.odd`: there are few as a rule, so they wait in memory."""
    return tempfile.SpooledTemporaryFile(MEMORY_BYTES)


def copy(
    conn: psycopg.Connection,
    rows: IO[bytes],
    target: sql.Composable = sql.SQL("pg_temp.ledgerline_odd"),  # noqa: B008 -- immutable
) -> None:
    """COPY rows as in `Slice.odd` from the start of a file."""
    if rows.tell() == 0:
        return
    rows.seek(0)
    statement = sql.SQL("copy {} from stdin with (format text, null '')").format(target)
    with conn.cursor() as cursor, cursor.copy(statement) as to:
        while data := rows.read(1 << 20):
            to.write(data)


def keep(batch: Batch, *, arrived: sql.Identifier, seen: sql.Identifier | None) -> None:
    """Bring both tables up to date with the batch.

    Args:
        arrived: table with the `_id` of every document that the batch brought.
        seen: table with the `_id` of every document that the source has, if that is known.
    """
    # as a rule there is nothing to tell: one question instead of four or five statements
    nothing = batch.run(
        """
        select not exists (select from pg_temp.ledgerline_odd)
            and not exists (select from ops.quarantine where collection = {collection})
            and not exists (select from ops.altered_documents where collection = {collection})
        """
    ).fetchone()
    if nothing == (True,):
        return
    for target in ("quarantine", "altered_documents"):
        # an earlier note goes when a version that needs none is in
        batch.run(
            """
            delete from {target} as kept using {arrived} as arrived
            where kept.collection = {collection} and kept._id = arrived._id
                and not exists (select from pg_temp.ledgerline_odd as odd
                    where odd._id = kept._id and odd._doc_hash = kept._doc_hash)
            """,
            target=sql.Identifier("ops", target),
            arrived=arrived,
        )
    if seen is not None:  # what the source no longer has isn't waiting for anything
        batch.run(
            """
            delete from ops.quarantine as kept
            where kept.collection = {collection}
                and not exists (select from {seen} as seen where seen._id = kept._id)
                and not exists (select from pg_temp.ledgerline_odd as odd
                    where odd._id = kept._id)
            """,
            seen=seen,
        )
    for target, kind, at in (
        ("quarantine", "quarantined", "quarantined_at"),
        ("altered_documents", "altered", "altered_at"),
    ):
        batch.run(
            """
            insert into {target} as kept
                (collection, _id, reason, bson, _doc_hash, {column}, batch_id)
            select distinct on (_id)
                {collection}, _id, reason, bson, _doc_hash, {at}, {batch}
            from pg_temp.ledgerline_odd
            where kind = {kind}
            order by _id, ctid desc
            on conflict (collection, _id) do update set
                reason = excluded.reason, bson = excluded.bson, {column} = excluded.{column},
                _doc_hash = excluded._doc_hash, batch_id = excluded.batch_id
            where kept._doc_hash <> excluded._doc_hash
            """,
            target=sql.Identifier("ops", target),
            kind=sql.Literal(kind),
            column=sql.Identifier(at),
        )


def take_unstorable(conn: psycopg.Connection) -> dict[str, tuple[str, str, int]]:
    """Remove from the stage what can't be cast to jsonb, one cast after another.

    Returns:
        `_id` -> (what Postgres says of it, day of its updated_at, 60 bits of its hash).
    """
    conn.execute(
        """
        do $$
        declare staged record;
        begin
            for staged in select _id, doc from pg_temp.ledgerline_stage loop
                begin
                    perform convert_from(substr(staged.doc, 2), 'UTF8')::jsonb;
                exception when others then
                    insert into pg_temp.ledgerline_unstorable values (staged._id, sqlerrm);
                end;
            end loop;
        end $$
        """
    )
    found = conn.execute(
        """
        delete from pg_temp.ledgerline_stage as staged
        using pg_temp.ledgerline_unstorable as unstorable where staged._id = unstorable._id
        returning staged._id, unstorable.reason,
            coalesce(to_char(staged._source_ts, 'YYYY-MM-DD'), ''), left(staged._doc_hash, 15)
        """
    ).fetchall()
    return {identity: (reason, day, int(bits, 16)) for identity, reason, day, bits in found}


def unstorable_row(document: bytes, reasons: dict[str, tuple[str, str, int]]) -> bytes:
    """The document as a row of `Slice.odd` if `take_unstorable` named it, else nothing."""
    identity = identity_of(document)
    if identity not in reasons:
        return b""
    reason = f"Postgres can't store it: {reasons[identity][0]}"
    return odd_row(identity, "quarantined", reason, document)
