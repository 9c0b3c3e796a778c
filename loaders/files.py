"""Loads a shop's exports (CSV, JSON Lines, Parquet) straight into `raw`, without MongoDB.

Customers, products, transactions with their items, and reviews become the same documents that a
shop's MongoDB holds (`users`, `products`, `orders`, `reviews`), and land in the same tables by the
same rules: a row whose document is unchanged is not touched, state and rows commit together.

A file is taken for the complete export of its kind: what it no longer has is marked deleted. With
`partial`, it adds and changes only. A line that can't be used goes to `ops.quarantine` as
`<file>, line <n>` with what stands in it and why: it has too many or too few fields, is no JSON,
has no id, is an item of no transaction, or has the id of a later line that says otherwise. The
note goes when the file no longer has that line.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Annotated, Any

import bson
import psycopg
import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from loaders import file_documents, landing
from loaders.connections import open_postgres, readable_errors
from loaders.encoding import Slice, encode_mappings, hash_of
from loaders.errors import UserError
from loaders.file_mapping import DEFAULT, ENTITIES, load_mapping
from loaders.file_mapping import Mapping as Names
from loaders.file_rows import BadLine, RowFile, open_rows
from loaders.file_shelf import Shelf
from loaders.landing import Result
from loaders.schema import ensure
from loaders.settings import Settings

MODE = "files"
COLLECTIONS = {
    "customers": "users",
    "products": "products",
    "transactions": "orders",
    "items": "orders",
    "reviews": "reviews",
}
_CHUNK = 500  # documents encoded together
_KEY = {"items": "transaction_id"}  # what rows are sorted by; the id of all others


@dataclass(frozen=True)
class FileNote:
    """What one file held, for the page at the end.

    Attributes:
        rows, bad: usable and unusable lines.
        rest: columns that are no field, kept under `attrs`.
        absent: fields that the file has no column for.
    """

    name: str
    entity: str
    rows: int
    bad: int
    rest: tuple[str, ...]
    absent: tuple[str, ...]


OnRows = Callable[[str, int], None]


def load_files(
    settings: Settings,
    files: Mapping[str, Sequence[Path]],
    *,
    mapping: Path | None = None,
    partial: bool = False,
    replace: bool = False,
    on_rows: OnRows = lambda _file, _rows: None,
) -> tuple[list[Result], list[FileNote]]:
    """Read all files, then land one collection after another, each in its own transaction.

    Args:
        settings: the warehouse.
        files: kind of file (`file_mapping.ENTITIES`) -> its files; several are one export.
        mapping: the user's mapping file.
        partial: the files are a part of the shop: nothing is marked deleted.
        replace: load over collections that came from MongoDB.
        on_rows: is told of progress: file, rows more.

    Raises:
        UserError: a file, the mapping or the server is not as it should be. Nothing was written if
            it was a file or the mapping.
    """
    files = {entity: list(files.get(entity, ())) for entity in ENTITIES}
    if not any(files.values()):
        raise UserError(
            "no file given: name at least one of " + ", ".join(f"--{name}" for name in ENTITIES)
        )
    if files["items"] and not files["transactions"]:
        raise UserError("--items needs --transactions: items are part of their order")
    names = load_mapping(mapping, settings.store_timezone)
    shelf = Shelf()
    try:
        notes = [
            _read(shelf, names, entity, path, on_rows, is_flat=_is_flat(path, files))
            for entity, paths in files.items()
            for path in paths
        ]
        shelf.seal()
        with readable_errors(), open_postgres(settings, autocommit=True) as conn:
            collections = dict.fromkeys(COLLECTIONS[name] for name, paths in files.items() if paths)
            ensure(conn, collections)
            if not replace:
                for collection in collections:
                    _refuse_other_source(conn, collection)
            run_id = uuid.uuid4()
            results = []
            for collection in collections:
                maker = _documents(shelf, collection, settings.store_currency, files)
                names_of_files = {
                    path.name
                    for entity, paths in files.items()
                    for path in paths
                    if COLLECTIONS[entity] == collection
                }
                results.append(
                    _land(conn, collection, maker, names_of_files, run_id, partial=partial)
                )
        return results, notes
    finally:
        shelf.close()


def _is_flat(path: Path, files: Mapping[str, Sequence[Path]]) -> bool:
    return path in files["transactions"] and path in files["items"]


def _read(
    shelf: Shelf, names: Names, entity: str, path: Path, on_rows: OnRows, *, is_flat: bool
) -> FileNote:
    """Put the rows of one file on the shelf."""
    file = open_rows(
        path,
        lambda columns: names.known(entity, columns),
        encoding=names.encoding,
        delimiter=names.delimiter,
    )
    maker = file_documents.RowMaker(entity, names, is_flat=is_flat)
    if file.columns is not None:
        maker.plan(tuple(file.columns))
        names.check(str(path), entity, maker.found, file.columns)
    rows = bad = 0
    for row in file.rows():
        problem = row if isinstance(row, BadLine) else _shelve(shelf, maker, file, row)
        if problem:
            shelf.put_bad(COLLECTIONS[entity], problem)
            bad += 1
            continue
        rows += 1
        if rows % 1_000 == 0:
            on_rows(path.name, 1_000)
    on_rows(path.name, rows % 1_000)
    if file.columns is None:  # each object has its own names: only now are they all known
        names.check(str(path), entity, maker.found, list(maker.rest))
    if not rows:
        raise UserError(f"{path}: the file has no usable line" + (f", {bad} bad ones" * bool(bad)))
    fields = file_documents.FIELDS[entity]
    given = maker.found | set(names.constants.get(entity, {}))
    absent = tuple(name for name in fields if name not in given)
    return FileNote(path.name, entity, rows, bad, tuple(maker.rest), absent)


def _shelve(
    shelf: Shelf, maker: file_documents.RowMaker, file: RowFile, row: Any
) -> BadLine | None:
    key = _KEY.get(maker.entity, "_id")
    try:
        document = maker.make(row.values)
    except UserError as error:
        raise UserError(f"{file.name}, line {row.line}: {error}") from None
    if key not in document:
        what = "transaction" if maker.entity == "items" else maker.entity.removesuffix("s")
        values = {str(name): maker.mapping.reading.any(value) for name, value in row.values.items()}
        return BadLine(file.name, row.line, f"it names no {what}", values)
    try:
        shelf.put(maker.entity, str(document[key]), file.name, row.line, document)
    except (bson.errors.InvalidDocument, UnicodeEncodeError) as error:
        # a key with NUL, half a surrogate pair: JSON may have them, no document can
        reason = f"it can't be a document: {error}"
        return BadLine(file.name, row.line, reason, repr(row.values).encode("unicode_escape"))
    return None


def _documents(
    shelf: Shelf, collection: str, currency: str, files: Mapping[str, Sequence[Path]]
) -> Callable[[], Iterator[dict[str, Any] | BadLine]]:
    """A function that gives the collection's documents and bad lines, each time from the start."""

    def orders() -> Iterator[dict[str, Any] | BadLine]:
        has_items = bool(files["items"])
        for entry in shelf.orders():
            if isinstance(entry, BadLine):
                yield entry
            else:
                row, items = entry
                yield file_documents.order(row, items, currency=currency, has_items=has_items)

    def others(entity: str, make: Callable[[dict], dict]) -> Iterator[dict[str, Any] | BadLine]:
        for entry in shelf.documents(entity):
            yield entry if isinstance(entry, BadLine) else make(entry)

    ways = {
        "users": lambda: others("customers", file_documents.customer),
        "products": lambda: others("products", file_documents.product),
        "reviews": lambda: others("reviews", file_documents.review),
        "orders": orders,
    }
    return lambda: chain(ways[collection](), shelf.bad_lines(collection))


def _land(
    conn: psycopg.Connection,
    collection: str,
    documents: Callable[[], Iterator[dict[str, Any] | BadLine]],
    file_names: set[str],
    run_id: uuid.UUID,
    *,
    partial: bool,
) -> Result:
    seen = 0

    def slices() -> Iterator[Slice]:
        nonlocal seen
        seen = 0
        entries = documents()
        while chunk := list(islice(entries, _CHUNK)):
            seen += len(chunk)
            yield from encode_mappings(entry for entry in chunk if not isinstance(entry, BadLine))
            yield from (_rejected(entry) for entry in chunk if isinstance(entry, BadLine))

    with landing.open_batch(conn, collection, MODE, run_id) as batch:
        landing.fill(batch, slices, is_complete=not partial)
        for name in file_names:
            # a line that the file no longer has, or has mended, waits for nothing
            conn.execute(
                """
                delete from ops.quarantine as kept
                where collection = %s and starts_with(_id, %s) and not exists (
                    select from pg_temp.ledgerline_odd as odd where odd._id = kept._id)
                """,
                [collection, _source_of(name)],
            )
        return batch.finish(
            source_count=None if partial else seen,
            source_hash=None if partial else batch.hash_sum,
            is_complete=not partial,
        )


def _rejected(bad: BadLine) -> Slice:
    """A bad line as a slice of one quarantined document, in the form of `Slice.odd`."""
    document = bson.encode({"file": bad.file, "line": bad.line, "content": bad.content})
    texts = (
        f"{_source_of(bad.file)}{bad.line}",
        "quarantined",
        _one_line(bad.reason),
        hash_of(document),
        "\\x" + document.hex(),
    )
    odd = "\t".join(texts).replace("\\", "\\\\") + "\n"
    return Slice(rows=b"", count=0, read=1, odd=odd.encode(), rejected=1)


def _source_of(file: str) -> str:
    """What the quarantine's names of a file's lines begin with."""
    return f"{_one_line(file)}, line "


def _one_line(text: str) -> str:
    """Without tabs, line breaks and what else isn't printable: one field of a COPY line."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _refuse_other_source(conn: psycopg.Connection, collection: str) -> None:
    row = conn.execute(
        """
        select mode from ops.load_runs
        where collection = %s and status = 'done' and raw_count > 0
        order by batch_id desc limit 1
        """,
        [collection],
    ).fetchone()
    if row and row[0] != MODE:
        raise UserError(
            f"raw.{collection} holds documents of a MongoDB: load the files into another database "
            "(POSTGRES_DB), or say --replace to have the files' documents in their place"
        )


app = typer.Typer(help="Load CSV, JSON Lines or Parquet exports into raw.", no_args_is_help=True)


@app.command()
def mapping() -> None:
    """Print the default mapping: column names that are known, and how to write an own one."""
    typer.echo(DEFAULT.read_text(encoding="utf-8"), nl=False)


@app.command()
def load(
    customers: Annotated[list[Path] | None, typer.Option(help="File of customers.")] = None,
    products: Annotated[list[Path] | None, typer.Option(help="File of products.")] = None,
    transactions: Annotated[list[Path] | None, typer.Option(help="File of orders.")] = None,
    items: Annotated[
        list[Path] | None,
        typer.Option(help="File of order lines; the transactions' own one if it is flat."),
    ] = None,
    reviews: Annotated[list[Path] | None, typer.Option(help="File of reviews.")] = None,
    mapping: Annotated[
        Path | None, typer.Option(help="YAML: your column names (`files mapping` shows how).")
    ] = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="Files are not complete: delete nothing.")
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Take the place of what came from MongoDB.")
    ] = False,
) -> None:
    """Load exports; each option may be given several times."""
    console = Console(stderr=True)
    given = {
        "customers": customers,
        "products": products,
        "transactions": transactions,
        "items": items,
        "reviews": reviews,
    }
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TextColumn("{task.completed:,} rows"),
        TimeElapsedColumn(),
        console=console,
    ) as progress:
        tasks: dict[str, Any] = {}

        def on_rows(name: str, rows: int) -> None:
            if name not in tasks:
                tasks[name] = progress.add_task(name, total=None)
            progress.advance(tasks[name], rows)

        results, notes = load_files(
            Settings(),
            {entity: paths or [] for entity, paths in given.items()},
            mapping=mapping,
            partial=partial,
            replace=replace,
            on_rows=on_rows,
        )
    _show(results, notes, console)


def _show(results: list[Result], notes: list[FileNote], console: Console) -> None:
    for note in notes:
        console.print(f"{note.name}: {note.rows:,} {note.entity}", highlight=False)
        if note.bad:
            console.print(f"  bad lines: {note.bad:,}, see ops.quarantine", style="yellow")
        if note.rest:
            console.print(f"  kept under attrs: {', '.join(note.rest)}", highlight=False)
        console.print(f"  not given: {', '.join(note.absent)}", style="dim", highlight=False)
    names = ("inserted", "updated", "unchanged", "deleted")
    table = Table("", *names, "in raw", "quarantined", box=None)
    for column in table.columns[1:]:
        column.justify = "right"
    for result in results:
        counts = [f"{getattr(result.counts, name):,}" for name in names]
        table.add_row(
            result.collection, *counts, f"{result.raw_count:,}", f"{result.quarantined:,}"
        )
    console.print(table)
