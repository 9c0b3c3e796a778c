"""Compares names and hashes of all documents with raw's: finds what no clock tells of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from psycopg import sql

from loaders.books import HASH_SUM
from loaders.documents.encoding import Slice
from loaders.landing import Batch, Slices
from loaders.tally import Days

SEEN = sql.Identifier("pg_temp", "ledgerline_seen")


def note_seen(batch: Batch, slices: Iterable[Slice]) -> None:
    """COPY the ids and hashes of all documents of the source (`encoding.identify`)."""
    batch.make_temporary("seen", "stage", "odd")
    batch.copy(SEEN, slices)
    batch.run("analyze pg_temp.ledgerline_seen")
    batch.run(
        """
        create temporary table ledgerline_differing on commit drop as
        select seen._id, seen.key, row_number() over () as position
        from pg_temp.ledgerline_seen as seen
        left join {table} as raw on raw._id = seen._id and raw._deleted_at is null
        left join ops.quarantine as kept
            on kept.collection = {collection} and kept._id = seen._id
        where raw._doc_hash is distinct from seen._doc_hash
            and kept._doc_hash is distinct from seen._doc_hash
        """
    )


def differing(batch: Batch, rows: int) -> Iterator[list[tuple[str, bytes | None]]]:
    """(_id, key) of the documents that raw and quarantine have not, or not in that version.

    At most `rows` at a time; `key` as in `encoding.identify`.
    """
    done = 0
    while found := batch.conn.execute(
        "select _id, key from pg_temp.ledgerline_differing where position > %s and position <= %s",
        [done, done + rows],
    ).fetchall():
        yield found
        done += rows


def merge(batch: Batch, again: Slices) -> Days:
    """Take over what `differing` led to; rows that were not seen are marked deleted.

    Args:
        again: as for `Batch.merge`.

    Returns:
        Documents and hashes by day that the source has and raw can hold.
    """
    # gone between the two reads
    gone = batch.changes(
        """
        delete from pg_temp.ledgerline_seen as seen using pg_temp.ledgerline_differing as asked
        where seen._id = asked._id
            and not exists (select from pg_temp.ledgerline_stage as staged
                where staged._id = seen._id)
            and not exists (select from pg_temp.ledgerline_odd as odd where odd._id = seen._id)
        """
    )
    batch.merge(again, seen=SEEN)
    batch.run(
        # the source went back to the version that raw has: nothing waits any more
        """
        delete from ops.quarantine as kept using pg_temp.ledgerline_seen as seen, {table} as raw
        where kept.collection = {collection} and kept._id = seen._id
            and kept._doc_hash <> seen._doc_hash
            and raw._id = seen._id and raw._doc_hash = seen._doc_hash and raw._deleted_at is null
        """
    )
    counts = batch.counts
    counts.read = gone + batch.count("select count(*) from pg_temp.ledgerline_seen")
    counts.unchanged = counts.read - counts.inserted - counts.updated
    found = batch.run(
        f"""
        select coalesce(to_char(raw._source_ts, 'YYYY-MM-DD'), ''), count(*),
            {HASH_SUM.format("coalesce(staged._doc_hash, seen._doc_hash)")}
        from pg_temp.ledgerline_seen as seen
        left join pg_temp.ledgerline_stage as staged on staged._id = seen._id
        left join {{table}} as raw on raw._id = seen._id
        where not exists (select from ops.quarantine as kept
            where kept.collection = {{collection}} and kept._id = seen._id)
        group by 1
        """  # noqa: S608 -- a constant of this package
    ).fetchall()
    return {day: (count, int(hashes)) for day, count, hashes in found}
