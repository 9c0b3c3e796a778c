"""Erased people stay erased: finds their documents in what a load brings, and redacts them.

`ledgerline erase` (`erasure.cli`) notes keyed hashes of what a person's documents have in common:
account, e-mail, phone, orders, sessions, cookie. Every batch looks its rows up there before it
commits (`apply`), since the source may keep the person, or change a document once more. What is
personal, and what a person is recognised by, stands in `personal.yml`.

`_doc_hash` goes on naming the source's version of a redacted document: the two sides reconcile, and
an unchanged document isn't written again.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg import sql

from loaders.erasure import keys
from loaders.erasure.redaction import PSEUDONYM, Pseudonyms, Rules, redact, rules
from loaders.schema import table_name

NOTE = "erased on request"  # the reason of a note in ops whose bytes were removed

KINDS = ("account", "email", "order", "session", "visitor")
"""Of keys; without phone numbers, which others may share."""

_ALL = sql.SQL("true")


@dataclass(frozen=True)
class Found:
    """A document of an erased person."""

    identity: str
    subject: str
    erased_at: datetime


@dataclass(frozen=True)
class Rows:
    """Rows with documents of one collection.

    Attributes:
        table: has `_id`, `doc` and `_types`.
        where: condition on its rows, whose alias is `rows`; None: all.
        stamp: (_loaded_at, _batch_id) that changed rows get; None where the table has neither.
    """

    conn: psycopg.Connection
    collection: str
    table: sql.Identifier
    where: sql.Composable | None = None
    stamp: tuple[datetime, int] | None = None

    @property
    def rules(self) -> Rules:
        """What is personal in them."""
        return rules()[self.collection]


def apply(conn: psycopg.Connection, collection: str, loaded_at: datetime, batch_id: int) -> int:
    """Redact what a batch brought of erased people; in its transaction, after its rows and notes.

    Costs one look into an empty table where nobody was ever erased.

    Returns:
        Documents redacted.
    """
    # asked first: reading the rules takes longer
    if conn.execute("select exists (select from ops.erasures)").fetchone() == (False,):
        return 0
    if collection not in rules():
        return 0
    rows = Rows(
        conn,
        collection,
        sql.Identifier("raw", table_name(collection)),
        sql.SQL("rows._loaded_at = {}").format(sql.Literal(loaded_at)),
        (loaded_at, batch_id),
    )
    found = find(rows)
    learn(rows, found)
    of_batch = sql.SQL("batch_id = {}").format(sql.Literal(batch_id))
    for table in ("quarantine", "altered_documents"):
        empty_notes(rows, sql.Identifier("ops", table), found, where=of_batch)
    return redact_rows(rows, found)


def find(rows: Rows, subject: str | None = None) -> list[Found]:
    """The documents of erased people, or of one of them."""
    query = sql.SQL(
        """
        select distinct on (link._id) link._id, known.subject, known.erased_at
        from (
            select rows._id, link.kind, link.value
            from {rows} cross join lateral {links}
            where {where} and link.value is not null
        ) as link
        cross join ops.erasure_key as secret
        inner join ops.erasures as known on known.kind = link.kind and known.key_hash = {hash}
        where {subject}::text is null or known.subject = {subject}
        order by link._id, known.erased_at, known.subject
        """
    ).format(
        rows=keys.rows_of(rows.rules, rows.table),
        links=keys.recognising(rows.rules),
        where=rows.where or _ALL,
        hash=keys.hashed("link.kind", "link.value"),
        subject=sql.Literal(subject),
    )
    return [Found(*row) for row in rows.conn.execute(query).fetchall()]


def learn(rows: Rows, found: Sequence[Found], kinds: Collection[str] = KINDS) -> set[str]:
    """Note the keys that documents tell, before they are redacted.

    Args:
        rows: where they are.
        found: the documents.
        kinds: only keys of these kinds.

    Returns:
        Kinds of which a key was new.
    """
    wanted = rows.rules.tells.keys() & set(kinds)
    if not found or not wanted:
        return set()
    query = sql.SQL(
        """
        insert into ops.erasures (kind, key_hash, subject, erased_at)
        select link.kind, {hash}, min(found.subject), min(found.erased_at)
        from {found}
        cross join {rows}
        cross join lateral {links}
        cross join ops.erasure_key as secret
        where rows._id = found._id and link.value is not null and link.value !~ {pseudonym}
        group by 1, 2
        on conflict do nothing
        returning kind
        """
    ).format(
        hash=keys.hashed("link.kind", "link.value"),
        found=_listed(found),
        rows=keys.rows_of(rows.rules, rows.table),
        links=keys.telling(rows.rules, wanted),
        pseudonym=sql.Literal(f"^{PSEUDONYM}$"),
    )
    return {kind for (kind,) in rows.conn.execute(query).fetchall()}


def _listed(found: Sequence[Found]) -> sql.Composed:
    return sql.SQL(
        "unnest({}::text[], {}::text[], {}::timestamptz[]) as found (_id, subject, erased_at)"
    ).format(
        sql.Literal([one.identity for one in found]),
        sql.Literal([one.subject for one in found]),
        sql.Literal([one.erased_at for one in found]),
    )


def redact_rows(rows: Rows, found: Sequence[Found]) -> int:
    """Take what is personal out of these documents; returns how many had anything."""
    if not found:
        return 0
    visitor = keys.visitor_names(rows.conn)
    documents = rows.conn.execute(
        sql.SQL(
            "select rows._id, rows.doc::text, rows._types, found.subject, found.erased_at "
            "from {found} inner join {table} as rows on rows._id = found._id"
        ).format(found=_listed(found), table=rows.table)
    ).fetchall()
    changes = [
        (identity, *redact(rows.rules, doc, types, Pseudonyms(subject, erased_at, visitor)))
        for identity, doc, types, subject, erased_at in documents
    ]
    stamp = sql.SQL("")
    if rows.stamp:
        stamp = sql.SQL(", _loaded_at = {}, _batch_id = {}").format(*map(sql.Literal, rows.stamp))
    query = sql.SQL(
        """
        update {table} as rows set doc = new.doc::jsonb, _types = new._types {stamp}
        from unnest({ids}::text[], {docs}::text[], {types}::text[]) as new (_id, doc, _types)
        where rows._id = new._id
            and (rows.doc <> new.doc::jsonb or rows._types is distinct from new._types)
        """
    ).format(
        table=rows.table,
        stamp=stamp,
        ids=sql.Literal([identity for identity, _, _ in changes]),
        docs=sql.Literal([doc for _, doc, _ in changes]),
        types=sql.Literal([types for _, _, types in changes]),
    )
    return rows.conn.execute(query).rowcount


def empty_notes(
    rows: Rows,
    notes: sql.Identifier,
    found: Sequence[Found],
    *,
    where: sql.Composable = _ALL,
    subject: str | None = None,
) -> int:
    """Remove the bytes that a table of odd documents keeps of erased people.

    The notes stay, with the hash of the version, so that the same version isn't noted again.

    Args:
        rows: the collection.
        notes: table with `_id`, `bson` and `reason`.
        found: documents of the collection that were recognised in raw.
        where: condition on the notes.
        subject: only this person's.

    Returns:
        How many notes.
    """
    condition = sql.SQL("bson <> '' and {}").format(where)
    names = {one.identity for one in found} | _recognised(rows, notes, condition, subject)
    query = sql.SQL("update {} set bson = '', reason = {} where {} and _id = any({})").format(
        notes, sql.Literal(NOTE), condition, sql.Literal(list(names))
    )
    return rows.conn.execute(query).rowcount


def _recognised(
    rows: Rows, notes: sql.Identifier, condition: sql.Composable, subject: str | None
) -> set[str]:
    """`_id` of notes that are of erased people by what they hold."""
    links = []
    with rows.conn.cursor(name="ledgerline_notes") as cursor:  # a document may have 16 MB
        cursor.itersize = 50
        cursor.execute(sql.SQL("select _id, bson from {} where {}").format(notes, condition))
        for identity, document in cursor:
            links += [(identity, *key) for key in keys.of_bytes(rows.rules, identity, document)]
    if not links:
        return set()
    query = sql.SQL(
        """
        select link._id
        from unnest({ids}::text[], {kinds}::text[], {values}::text[]) as raw (_id, kind, value)
        cross join lateral (
            select raw._id, raw.kind,
                case raw.kind when 'email' then {email} when 'phone' then {phone} else raw.value end
                    as value
        ) as link
        cross join ops.erasure_key as secret
        inner join ops.erasures as known on known.kind = link.kind and known.key_hash = {hash}
        where {subject}::text is null or known.subject = {subject}
        """
    ).format(
        ids=sql.Literal([identity for identity, _, _ in links]),
        kinds=sql.Literal([kind for _, kind, _ in links]),
        values=sql.Literal([value for _, _, value in links]),
        email=sql.SQL(keys.canonical("email", "raw.value")),
        phone=sql.SQL(keys.canonical("phone", "raw.value")),
        hash=keys.hashed("link.kind", "link.value"),
        subject=sql.Literal(subject),
    )
    return {identity for (identity,) in rows.conn.execute(query).fetchall()}
