"""The commands `ledgerline schema …`: fields of the shop's documents, and what staging lacks."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Annotated

import psycopg
import typer
from rich.console import Console
from rich.table import Table

from loaders.connections import open_postgres, readable_errors
from loaders.drift import observe as drift
from loaders.drift.changes import Field, percent
from loaders.drift.staging_models import SOURCE_SCHEMA, STAGING, Model, staging_models
from loaders.drift.suggest import Addition, Remark, suggest
from loaders.errors import UserError
from loaders.schema import ensure
from loaders.settings import ROOT, Settings

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Fields of the shop's documents: what they look like, what changed, what staging lacks.",
)

Collection = Annotated[
    str | None, typer.Argument(help="A collection; all that were loaded if none is named.")
]


@app.command()
def show(collection: Collection = None) -> None:
    """Fields with the share of documents that have them, and their types."""
    rows = []
    with readable_errors(), open_postgres(Settings(), autocommit=True) as conn:
        for name in _observed(conn, collection):
            for path, one in drift.fields_now(conn, name).items():
                gone = not one.present
                presence = "vanished" if gone else percent(one.presence)
                rows.append((name, path, presence, "" if gone else one.describe()))
    _print(("collection", "field", "documents", "types"), rows)


@app.command()
def changes(
    collection: Collection = None,
    since: Annotated[
        datetime | None, typer.Option(help="UTC day or time from which on; all if not given.")
    ] = None,
) -> None:
    """Fields that are new, came back, vanished or changed their type; the newest last."""
    start = (since or datetime.min).replace(tzinfo=UTC)  # noqa: DTZ901 -- made aware here
    with readable_errors(), open_postgres(Settings(), autocommit=True) as conn:
        found = conn.execute(
            """
            select to_char(seen_at, 'YYYY-MM-DD HH24:MI'), batch_id, collection, path, kind, before,
                after, coalesce(example_id, '')
            from ops.schema_changes
            where collection = any(%s) and seen_at >= %s
            order by batch_id, collection, path
            """,
            [_observed(conn, collection), start],
        ).fetchall()
    names = ("seen", "batch", "collection", "field", "change", "before", "after", "example")
    _print(names, [tuple(map(str, row)) for row in found])


@app.command("suggest")
def suggest_casts(collection: Collection = None) -> None:
    """Lines to add to the staging models: fields that none of them reads, with a cast for each."""
    models = staging_models()
    with readable_errors(), open_postgres(Settings(), autocommit=True) as conn:
        reserved = _reserved_words(conn)
        for name in _observed(conn, collection):
            fields = {p: one for p, one in drift.fields_now(conn, name).items() if one.present}
            readers = [model for model in models if model.collection == name]
            sys.stdout.write(render(name, fields, *suggest(fields, readers, reserved)))


def render(
    collection: str,
    fields: dict[str, Field],
    additions: Sequence[Addition],
    remarks: Sequence[Remark],
) -> str:
    """The text that `suggest` prints: SQL comments, and the lines to paste."""
    sampled = max((one.sampled for one in fields.values()), default=0)
    missing = sum(len(one.paths) for addition in additions for one in addition.columns)
    lines = [
        f"-- {collection}: {len(fields)} fields, of which no staging model reads {missing} "
        f"(in up to {sampled:,} documents looked at)"
    ]
    for addition in additions:
        lines += ["", *_addition(collection, addition)]
    for model, group in groupby(remarks, key=lambda remark: remark.model):
        lines += ["", f"-- {_file(model)}: to look at" if model else "-- to look at"]
        lines += [f"--   {remark.path}: {remark.text}" for remark in group]
    return "\n".join(lines) + "\n\n"


def _addition(collection: str, addition: Addition) -> list[str]:
    if addition.model is not None:
        lines = [f"-- {_file(addition.model)}: into the list `columns`"]
    elif addition.container:
        lines = [
            f"-- {addition.container} ({addition.presence}): one row per element needs a model of",
            "-- its own; json_array_rows makes the rows, and these are its columns",
        ]
    else:
        lines = [
            "-- no staging model reads this collection: a model of its own, from "
            f"source('{SOURCE_SCHEMA}', '{collection}')",
        ]
    lines += [column.line() for column in addition.columns]
    lines.append("-- into its last select")
    lines += [f"        {column.name},  -- {column.note}" for column in addition.columns]
    if addition.model is not None:
        lines.append(f"-- then: ledgerline dbt build --full-refresh -s {addition.model.name}")
    return lines


def _file(model: Model) -> str:
    file = model.file
    return str(file.relative_to(ROOT) if file.is_relative_to(STAGING) else file.name)


def _observed(conn: psycopg.Connection, wanted: str | None) -> list[str]:
    """Collections that were looked at; those loaded but not yet looked at are looked at now."""
    ensure(conn)
    loaded = [
        name
        for (name,) in conn.execute(
            "select distinct collection from ops.load_runs where status = 'done' order by 1"
        )
    ]
    if wanted is not None and wanted not in loaded:
        known = ", ".join(loaded) or "nothing yet: run `ledgerline load`"
        raise UserError(f'no collection "{wanted}" was loaded; there is {known}')
    names = [wanted] if wanted else loaded
    drift.observe_all(conn, names)
    return names


def _reserved_words(conn: psycopg.Connection) -> set[str]:
    rows = conn.execute("select word from pg_get_keywords() where catcode in ('R', 'T')")
    return {word for (word,) in rows}


def _print(names: Sequence[str], rows: Iterable[tuple[str, ...]]) -> None:
    """A table for people; for logs and pipes, lines of fields with tabs between them."""
    console = Console(file=sys.stdout)
    if not console.is_terminal:
        for row in rows:
            sys.stdout.write("\t".join(row) + "\n")
        return
    table = Table(*names, box=None, header_style="bold", padding=(0, 2, 0, 0))
    for row in rows:
        table.add_row(*row)
    console.print(table, markup=False)
