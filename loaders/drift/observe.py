"""Watches the shape of what is loaded: fields, their types, and how many documents have them.

After a run, `observe_run` looks at a random sample of the documents that each collection's new
batches wrote, in SQL, and notes what it sees in the tables of `ddl/50_drift.sql`. What is new,
came back, vanished or changed its type goes to `ops.schema_changes` and to the log.

The cost has a bound whatever was loaded (`sample_size`, `_source_of_sample`), and a look that fails
costs nothing but itself: the batch was committed before.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
import structlog
from psycopg import sql

from loaders.connections import open_postgres
from loaders.drift.changes import (
    ABSENT,
    Change,
    Field,
    Known,
    compare,
    folded,
    is_material,
    maps_among,
    shortened,
)
from loaders.landing import Result
from loaders.schema import LOCK_NAMESPACE, table_name
from loaders.settings import Settings

# documents per look: one in so many of what was written, so that a look costs some percent of the
# load, but never fewer or more than these
SAMPLE_SHARE = 150
MIN_SAMPLE, MAX_SAMPLE = 150, 2_000
SAMPLE_BYTES = 4 * 1024 * 1024  # as stored, compressed; the first document is taken in any case
SCAN_ROWS = 5_000  # a batch of up to so many rows is read as a whole to sample from it
MOST_SCAN_ROWS = 100_000
SAMPLE_PAGES = 5_000  # random pages of 8 kB
TIMEOUT = "10s"
MOST_LOGGED = 50  # changes of one look; all are in ops.schema_changes

MAX_DEPTH = 10
MAX_ELEMENTS = 20  # of one array, its first ones
MAX_FIELDS = 2_000
_ROWS = 5 * MAX_FIELDS  # (path, type) pairs taken from Postgres

REPEAT_AFTER = "1 day"
_OBJECT_WORDS = ["$date", "$binary", "$regularExpression", "$timestamp"]
_OBJECT_WORDS += ["$minKey", "$maxKey", "$code"]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Observation:
    """One look at one collection, as in `ops.field_samples`."""

    collection: str
    batch_id: int
    documents: int
    fields: int
    changes: Sequence[Change]
    seconds: float


def observe_run(settings: Settings, results: Iterable[Result]) -> list[Observation]:
    """Look at what a run has written; never raises, as the load is done and must stay done.

    Returns:
        One per collection that the run wrote something to.
    """
    try:
        with open_postgres(settings, autocommit=True) as conn:
            return observe_results(conn, results)
    except Exception as error:
        log.warning("couldn't look at the fields", error=type(error).__name__)
        return []


def observe_results(conn: psycopg.Connection, results: Iterable[Result]) -> list[Observation]:
    """The same over a connection (autocommit, outside of a transaction)."""
    written = (one.collection for one in results if one.counts.inserted or one.counts.updated)
    return observe_all(conn, dict.fromkeys(written))


def observe_all(conn: psycopg.Connection, collections: Iterable[str]) -> list[Observation]:
    """Look at each collection that has new batches; a failure is logged, not raised."""
    found = []
    for collection in collections:
        try:
            observation = observe(conn, collection)
        except Exception as error:
            log.warning(
                "couldn't look at the fields", collection=collection, error=type(error).__name__
            )
            continue
        if observation is not None:
            found.append(observation)
    return found


def observe(conn: psycopg.Connection, collection: str) -> Observation | None:
    """Look at the batches of a collection that nobody has looked at yet, in one transaction.

    Killed anywhere, it has done nothing, and the next call looks at these batches too.

    Returns:
        None if there is no such batch.
    """
    started = time.perf_counter()
    with conn.transaction():
        conn.execute(
            "select pg_advisory_xact_lock(hashtextextended(%s, 0))",
            [f"{LOCK_NAMESPACE}.drift.{collection}"],
        )
        batches = _pending(conn, collection)
        if not batches.ids:
            return None
        known = _known(conn, collection)
        try:
            with conn.transaction():
                conn.execute("select set_config('statement_timeout', %s, true)", [TIMEOUT])
                conn.execute("set local jit = off")  # compiling takes longer than the look
                sampled, seen, cut = _look(conn, collection, batches, known)
        except psycopg.errors.QueryCanceled:
            # not again at each run: these batches count as looked at
            log.warning("looking at the fields took too long", collection=collection)
            sampled, seen, cut = 0, {}, 0
        total = _sampled_before(conn, collection)
        changes = compare(known, seen, sampled, total)
        batch_id = batches.ids[-1]
        if sampled:
            look = _Look(conn, collection, batch_id, batches.now, sampled)
            look.note(known, seen, changes)
        seconds = time.perf_counter() - started
        conn.execute(
            """
            insert into ops.field_samples
                (collection, batch_id, documents, fields, fields_cut, total, seconds)
            values (%s, %s, %s, %s, %s, %s, %s)
            """,
            [collection, batch_id, sampled, len(seen), cut, total + sampled, seconds],
        )
    for change in changes[:MOST_LOGGED]:
        log.warning("schema changed", collection=collection, batch_id=batch_id, **change.words())
    if len(changes) > MOST_LOGGED:
        log.warning("more schema changes", collection=collection, count=len(changes) - MOST_LOGGED)
    return Observation(collection, batch_id, sampled, len(seen), changes, seconds)


def fields_now(conn: psycopg.Connection, collection: str) -> dict[str, Field]:
    """Fields by path, as they were noted last; one that vanished is in no document."""
    return {path: known.last for path, known in sorted(_known(conn, collection).items())}


# --- the sample -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Batches:
    """Batches to look at, oldest first; how many rows they wrote, and from when to when."""

    ids: list[int]
    written: int
    since: datetime
    now: datetime


def _pending(conn: psycopg.Connection, collection: str) -> _Batches:
    row = conn.execute(
        """
        select coalesce(array_agg(batch_id order by batch_id), '{}'),
            coalesce(sum(inserted + updated), 0), min(started_at), clock_timestamp()
        from ops.load_runs
        where collection = %(collection)s and status = 'done' and inserted + updated > 0
            and batch_id > coalesce((
                select max(batch_id) from ops.field_samples where collection = %(collection)s), 0)
        """,
        {"collection": collection},
    ).fetchone()
    assert row is not None
    ids, written, since, now = row
    return _Batches(ids, int(written), since, now)


def sample_size(written: int) -> int:
    """How many documents to look at when so many were written."""
    return min(max(written // SAMPLE_SHARE, MIN_SAMPLE), MAX_SAMPLE)


def _source_of_sample(conn: psycopg.Connection, table: sql.Composable, batches: _Batches) -> str:
    """Which rows the sample is drawn from: a clause for `from … where`.

    A small batch is read by the index on _loaded_at. Of a large one, random pages are read, enough
    for five times the sample, which is then drawn from them, so that neighbours on a page hardly
    ever come together. A large batch that is thinly spread over a huge table is read by the index
    again: its first 100,000 rows by their place in the table, which says little about the document.
    """
    row = conn.execute(
        sql.SQL("select pg_relation_size({}::regclass) / 8192").format(
            sql.Literal(table.as_string())
        )
    ).fetchone()
    assert row is not None
    pages = max(int(row[0]), 1)
    wanted = math.ceil(5 * sample_size(batches.written) / (batches.written / pages))
    if batches.written > SCAN_ROWS and wanted <= SAMPLE_PAGES:
        share = min(100.0, 100.0 * wanted / pages)
        return f"tablesample system ({share:.6f}) repeatable ({batches.ids[-1]})"
    return ""


# `_doc_hash` is as good as random: the rows with the smallest ones are a fair sample of the rows,
# and the same again if the look is repeated. Sizes are those in the table, known without reading.
_SAMPLE = """
sample as materialized (
    select row_number() over (order by _doc_hash) as n, _id, doc, cast(_types as jsonb) as types
    from (
        select _id, doc, _types, _doc_hash,
            sum(pg_column_size(doc)) over (order by _doc_hash, _id) - pg_column_size(doc) as before
        from (
            select _id, doc, _types, _doc_hash
            from (
                select _id, doc, _types, _doc_hash
                from {table} {pages}
                where _loaded_at >= {since} and _batch_id = any({batches}) and _deleted_at is null
                limit {most}
            ) as candidates
            order by _doc_hash, _id
            limit {documents}
        ) as drawn
    ) as sized
    where before < {bytes}
)
"""

_WALK = """
node (n, path, depth, kind, value, types) as (
    select n, '', 0, 'object', doc, types from sample
    union all
    select node.n, child.path, node.depth + 1,
        case
            when jsonb_typeof(child.value) <> 'object' then jsonb_typeof(child.value)
            when child.value ?| {words} and child.types is distinct from '"object"' then 'special'
            else 'object'
        end,
        child.value, child.types
    from node
    cross join lateral (
        select
            case
                when node.path = any({maps}) then node.path || '.*'
                else node.path || ops.path_step(entry.key)
            end as path,
            entry.value,
            node.types -> entry.key as types
        from jsonb_each(case when node.kind = 'object' then node.value end) as entry
        union all
        select node.path || '[]', entry.value,
            case jsonb_typeof(node.types)
                when 'array' then node.types -> 0
                else node.types -> ('#' || entry.position - 1)
            end
        from (
            select value, position
            from jsonb_array_elements(case when node.kind = 'array' then node.value end)
                with ordinality as element (value, position)
            limit {elements}
        ) as entry
    ) as child
    where node.kind in ('object', 'array') and node.depth < {depth}
),

read as (
    -- offset 0: each is worked out once, not at each place where it is used
    select n, path, kind, value,
        case when kind in ('string', 'number') then value #>> '{{}}' end as content,
        case when jsonb_typeof(types) = 'string' then types #>> '{{}}' end as told
    from node
    where depth > 0
    offset 0
),

typed as (
    select n, path, ops.bson_type(kind, value, content, told) as type, count(*) as occurrences
    from read
    group by 1, 2, 3
),

by_type as (
    select path, type, count(*) as documents, sum(occurrences) as occurrences, min(n) as example
    from typed
    group by path, type
),

-- elsewhere a document has one value, so one type
several as (
    select path, count(distinct n) as present
    from typed
    where strpos(path, '[]') > 0 or strpos(path, '*') > 0
    group by path
)

select by_type.path, by_type.type, by_type.documents, by_type.occurrences, sample._id,
    coalesce(several.present, sum(by_type.documents) over (partition by by_type.path)),
    (select count(*) from sample), count(*) over ()
from by_type
inner join sample on sample.n = by_type.example
left join several on several.path = by_type.path
order by by_type.documents desc, by_type.path
limit {rows}
"""


def _look(
    conn: psycopg.Connection, collection: str, batches: _Batches, known: Mapping[str, Known]
) -> tuple[int, dict[str, Field], int]:
    """(documents sampled, their fields by path, number of fields left out)."""
    table = sql.Identifier("raw", table_name(collection))
    query = sql.SQL("with recursive" + _SAMPLE + "," + _WALK)
    values = {
        "since": batches.since,
        "batches": batches.ids,
        "documents": sample_size(batches.written),
        "most": MOST_SCAN_ROWS,
        "bytes": SAMPLE_BYTES,
        "words": _OBJECT_WORDS,
        "elements": MAX_ELEMENTS,
        "depth": MAX_DEPTH,
        "rows": _ROWS,
    }
    pages = sql.SQL(_source_of_sample(conn, table, batches))
    maps = {path.removesuffix(".*") for path in known if path.endswith(".*")}
    while True:
        # composed, not parameters: a percent sign in a collection's name would be a placeholder
        rows = conn.execute(
            query.format(
                table=table,
                pages=pages,
                maps=sql.Literal([f".{path}" for path in sorted(maps)]),
                **{name: sql.Literal(value) for name, value in values.items()},
            )
        ).fetchall()
        sampled, fields = _fields_of(rows)
        found = maps_among(fields, known) - maps
        if not found:
            break
        # the outermost first, since a map in a map shows its keys only when the outer one is known
        shortest = min(path.count(".") for path in found)
        maps |= {path for path in found if path.count(".") == shortest}
    kept = sorted(fields, key=lambda path: (-fields[path].present, path))[:MAX_FIELDS]
    cut = max(len(fields), rows[0][7] if len(rows) == _ROWS else 0) - len(kept)
    return sampled, {path: fields[path] for path in kept}, cut


def _fields_of(rows: Sequence[tuple[Any, ...]]) -> tuple[int, dict[str, Field]]:
    fields: dict[str, Field] = {}
    sampled = 0
    for path, kind, documents, occurrences, example, present, sampled, _ in rows:
        one = fields.setdefault(shortened(path[1:]), Field(sampled, int(present)))
        one.documents[kind] = documents
        one.occurrences[kind] = int(occurrences)
        one.example[kind] = example
    return sampled, fields


# --- notes ----------------------------------------------------------------------------------------


def _known(conn: psycopg.Connection, collection: str) -> dict[str, Known]:
    known: dict[str, Known] = {}
    rows = conn.execute(
        """
        select path, fields.unseen, fields.types,
            seen.observed_at <= clock_timestamp() - cast(%s as interval),
            seen.type, seen.sampled, seen.present, seen.documents, seen.occurrences
        from ops.fields as fields
        inner join ops.field_types as seen using (collection, path)
        where collection = %s and seen.batch_id = fields.observed_batch_id
        """,
        [REPEAT_AFTER, collection],
    )
    for path, unseen, types, is_old, kind, sampled, present, documents, occurrences in rows:
        one = known.setdefault(path, Known(Field(sampled, present), unseen, set(types), is_old))
        one.last.documents[kind] = documents
        one.last.occurrences[kind] = occurrences
    return known


def _sampled_before(conn: psycopg.Connection, collection: str) -> int:
    row = conn.execute(
        "select total from ops.field_samples where collection = %s order by batch_id desc limit 1",
        [collection],
    ).fetchone()
    return int(row[0]) if row else 0


@dataclass(frozen=True, slots=True)
class _Look:
    """What is noted of one look; its time is the server's."""

    conn: psycopg.Connection
    collection: str
    batch_id: int
    at: datetime
    sampled: int

    def note(
        self, known: Mapping[str, Known], seen: Mapping[str, Field], changes: Sequence[Change]
    ) -> None:
        """Bring the tables up to date, where there is something new to say."""
        changed = {change.path for change in changes}
        noted = {
            path: now
            for path, now in seen.items()
            if path not in known
            or path in changed
            or known[path].is_old
            or is_material(known[path], now)
        }
        nothing = Field(self.sampled, 0, {ABSENT: 0}, {ABSENT: 0})
        noted |= {change.path: nothing for change in changes if change.kind == "vanished"}
        self._note_types(noted)
        self._note_fields(noted, known, seen)
        self._note_changes(changes)

    def _note_types(self, noted: Mapping[str, Field]) -> None:
        statement = (
            "copy ops.field_types (collection, path, batch_id, observed_at, sampled, present, "
            "type, documents, occurrences) from stdin"
        )
        look = (self.batch_id, self.at, self.sampled)
        with self.conn.cursor() as cursor, cursor.copy(statement) as copy:
            for path, one in noted.items():
                for kind, count in one.occurrences.items():
                    row = (*look, one.present, kind, one.documents[kind], count)
                    copy.write_row((self.collection, path, *row))

    def _note_fields(
        self, noted: Mapping[str, Field], known: Mapping[str, Known], seen: Mapping[str, Field]
    ) -> None:
        self.conn.execute(
            "delete from ops.fields where collection = %s and path = any(%s)",
            [self.collection, sorted(folded(known, seen))],
        )
        self.conn.execute(
            """
            update ops.fields
            set unseen = case when path = any(%(seen)s) then 0 else unseen + %(sampled)s end
            where collection = %(collection)s and (unseen > 0 or path <> all(%(seen)s))
            """,
            {"collection": self.collection, "seen": list(seen), "sampled": self.sampled},
        )
        ever = {
            path: known[path].types.union(one.occurrences) if path in known else one.occurrences
            for path, one in noted.items()
        }
        self.conn.execute(
            """
            insert into ops.fields
                (collection, path, first_batch_id, first_seen_at, observed_batch_id, types)
            select %(collection)s, path, %(batch)s, %(at)s, %(batch)s, string_to_array(types, ',')
            from unnest(%(paths)s::text[], %(types)s::text[]) as noted (path, types)
            on conflict (collection, path) do update set
                observed_batch_id = excluded.observed_batch_id, types = excluded.types
            """,
            {
                "collection": self.collection,
                "batch": self.batch_id,
                "at": self.at,
                "paths": list(ever),
                "types": [",".join(sorted(types)) for types in ever.values()],
            },
        )

    def _note_changes(self, changes: Sequence[Change]) -> None:
        look = (self.collection, self.batch_id, self.at)
        with self.conn.cursor() as cursor:
            cursor.executemany(
                """
                insert into ops.schema_changes
                    (collection, batch_id, seen_at, path, kind, before, after, example_id)
                values (%s, %s, %s, %s, %s, %s, %s, %s)
                """,
                [
                    (*look, one.path, one.kind, one.before, one.after, one.example)
                    for one in changes
                ],
            )
