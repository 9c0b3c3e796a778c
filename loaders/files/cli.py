"""Loads a shop's exports (CSV, JSON Lines, Parquet) straight into `raw`, without MongoDB.

Customers, products, transactions with their items, and reviews become the same documents that a
shop's MongoDB holds (`users`, `products`, `orders`, `reviews`), and land in the same tables by the
same rules: a row whose document is unchanged is not touched, state and rows commit together.

A file is taken for the complete export of its kind: what it no longer has is marked deleted. With
`partial`, it adds and changes only. So a file that can be seen to be cut off is refused, unless it
is a partial one; and nothing is written before all files were read to their end.

A line that can't be used goes to `ops.quarantine` as `<file>, line <n>` with what stands in it and
why: it has too many or too few fields, its quotes or bytes are wrong, it is no JSON, has no id, is
an item of no transaction, or has the id of a later line that says otherwise. The note goes when
the file no longer has that line. `ops.load_files` has the count: each line read is a document, is
merged into one, or is in quarantine.
"""

from __future__ import annotations

import dataclasses
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Annotated, Any

import bson
import psycopg
import typer
from psycopg.types.json import Jsonb
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from loaders import landing
from loaders.connections import open_postgres, readable_errors
from loaders.documents.encoding import Slice, encode_mappings, hash_of
from loaders.errors import UserError
from loaders.files import documents as file_documents
from loaders.files.headers import Header, differences
from loaders.files.mapping import DEFAULT, ENTITIES, load_mapping
from loaders.files.mapping import Mapping as Names
from loaders.files.origin import FILES, refuse_mongodb_documents
from loaders.files.rows import BadLine, Row, RowFile, open_rows
from loaders.files.shelf import Shelf
from loaders.landing import Batch, Result
from loaders.schema import ensure
from loaders.settings import Settings

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
    """What one file held; a row of `ops.load_files` and of the page at the end.

    Attributes:
        name: what its lines are called after in the quarantine.
        rows, bad: usable and unusable lines.
        header: its columns.
        absent: fields that the file has no column for.
        size, digest: of its bytes.
        encoding, delimiter: of a text file.
        remarks: how its header differs from others of its kind, here and in the load before.
    """

    name: str
    entity: str
    rows: int
    bad: int
    header: Header
    absent: tuple[str, ...]
    size: int
    digest: str
    encoding: str | None
    delimiter: str | None
    remarks: tuple[str, ...] = ()

    @property
    def rest(self) -> tuple[str, ...]:
        """Columns that are no field, kept under `attrs`."""
        return self.header.rest


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
    mapped = load_mapping(mapping, settings.store_timezone)
    called = _names({path for paths in files.values() for path in paths})
    shelf = Shelf()
    try:
        notes: list[FileNote] = []
        for entity, paths in files.items():
            for path in paths:
                is_flat = path in files["transactions"] and path in files["items"]
                reader = _Reader(shelf, mapped, entity, is_flat=is_flat, partial=partial)
                notes.append(_compared(reader.read(path, called[path], on_rows), notes))
        shelf.seal()
        with readable_errors(), open_postgres(settings, autocommit=True) as conn:
            collections = dict.fromkeys(COLLECTIONS[note.entity] for note in notes)
            ensure(conn, collections)
            if not replace:
                for collection in collections:
                    refuse_mongodb_documents(conn, collection)
            notes = [_compared_with_last_load(conn, note) for note in notes]
            run_id = uuid.uuid4()
            results = []
            for collection in collections:
                maker = _documents(shelf, collection, settings.store_currency, files)
                mine = [note for note in notes if COLLECTIONS[note.entity] == collection]
                results.append(
                    _land(conn, collection, maker, mine, shelf.fates, run_id, partial=partial)
                )
        return results, notes
    finally:
        shelf.close()


def _names(paths: Iterable[Path]) -> dict[Path, str]:
    """A name for each file: its own, with as many of its folders as tell it from the others."""
    whole = {path: path.resolve().parts for path in paths}
    names = {}
    for path, parts in whole.items():
        others = {other for other in whole.values() if other != parts}
        length = next(
            n for n in range(1, len(parts) + 1) if all(other[-n:] != parts[-n:] for other in others)
        )
        names[path] = "/".join(parts[-length:])
    return names


def _compared(note: FileNote, earlier: Sequence[FileNote]) -> FileNote:
    """The note with what its header lacks, or has more, than the first one of its kind."""
    first = next((other for other in earlier if other.entity == note.entity), None)
    if first is None:
        return note
    return dataclasses.replace(
        note, remarks=tuple(differences(note.header, first.header, first.name))
    )


def _compared_with_last_load(conn: psycopg.Connection, note: FileNote) -> FileNote:
    """The same for the load before, in which the file of that name counts, else the first one."""
    found = conn.execute(
        """
        select header from ops.load_files
        where entity = %(entity)s and batch_id = (
            select max(batch_id) from ops.load_files where entity = %(entity)s)
        order by file = %(file)s desc, file limit 1
        """,
        {"entity": note.entity, "file": note.name},
    ).fetchone()
    if found is None:
        return note
    new = differences(note.header, Header.load(found[0]), "the load before")
    return dataclasses.replace(note, remarks=note.remarks + tuple(new))


class _Reader:
    """Puts the rows of one file on the shelf."""

    def __init__(
        self, shelf: Shelf, mapping: Names, entity: str, *, is_flat: bool, partial: bool
    ) -> None:
        self.shelf = shelf
        self.mapping = mapping
        self.entity = entity
        self.partial = partial
        self.maker = file_documents.RowMaker(entity, mapping, is_flat=is_flat)

    def read(self, path: Path, name: str, on_rows: OnRows) -> FileNote:
        """All rows of the file.

        Raises:
            UserError: the file is none that can be loaded.
        """
        mapping, maker = self.mapping, self.maker
        file = open_rows(
            path,
            lambda columns: mapping.known(self.entity, columns),
            encoding=mapping.encoding,
            delimiter=mapping.delimiter,
            name=name,
        )
        if file.columns is not None:
            maker.plan(tuple(file.columns))
            mapping.check(str(path), self.entity, maker.fields, file.columns)
        rows = bad = 0
        for row in file.rows():
            problem = row if isinstance(row, BadLine) else self._shelve(file, row)
            if problem:
                self._keep_bad(path, problem)
                bad += 1
                continue
            rows += 1
            if rows % 1_000 == 0:
                on_rows(name, 1_000)
        on_rows(name, rows % 1_000)
        if file.columns is None:  # each object has its own names: only now are they all known
            mapping.check(str(path), self.entity, maker.fields, list(maker.rest))
        if not rows:
            raise UserError(
                f"{path}: the file has no usable line" + f", {bad} bad ones" * bool(bad)
            )
        given = set(maker.fields) | set(mapping.constants.get(self.entity, {}))
        return FileNote(
            name=name,
            entity=self.entity,
            rows=rows,
            bad=bad,
            header=Header(maker.fields, tuple(maker.rest)),
            absent=tuple(name for name in file_documents.FIELDS[self.entity] if name not in given),
            size=file.size,
            digest=file.digest,
            encoding=file.encoding,
            delimiter=file.delimiter,
        )

    def _keep_bad(self, path: Path, problem: BadLine) -> None:
        if problem.is_cut and not self.partial:
            # all that was lost with the rest of the file would be marked deleted
            raise UserError(
                f"{path}: the file ends in the middle of line {problem.line}: export it again, or "
                "load what there is with --partial"
            )
        self.shelf.put_bad(COLLECTIONS[self.entity], problem)

    def _shelve(self, file: RowFile, row: Row) -> BadLine | None:
        maker = self.maker
        key = _KEY.get(self.entity, "_id")
        try:
            document = maker.make(row.values)
        except UserError as error:
            raise UserError(f"{file.name}, line {row.line}: {error}") from None
        if key not in document:
            what = "transaction" if self.entity == "items" else self.entity.removesuffix("s")
            read = maker.mapping.reading.any
            values = {str(name): read(value) for name, value in row.values.items()}
            return BadLine(file.name, row.line, f"it names no {what}", values)
        try:
            self.shelf.put(self.entity, str(document[key]), file.name, row.line, document)
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
    notes: Sequence[FileNote],
    fates: Counter[tuple[str, str, str]],
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

    with landing.open_batch(conn, collection, FILES, run_id) as batch:
        landing.fill(batch, slices, is_complete=not partial)
        for name in {note.name for note in notes}:
            # a line that the file no longer has, or has mended, waits for nothing
            conn.execute(
                """
                delete from ops.quarantine as kept
                where collection = %s and starts_with(_id, %s) and not exists (
                    select from pg_temp.ledgerline_odd as odd where odd._id = kept._id)
                """,
                [collection, _source_of(name)],
            )
        _write_files(batch, notes, fates)
        reading = landing.Reading(
            source_count=None if partial else seen,
            days=None if partial else batch.tally.days,
            is_complete=not partial,
        )
        return batch.finish(reading)


def _write_files(
    batch: Batch, notes: Sequence[FileNote], fates: Counter[tuple[str, str, str]]
) -> None:
    """One row of `ops.load_files` for each file.

    Raises:
        RuntimeError: lines were lost on the way, which would be an error of ours.
    """
    for note in {(note.entity, note.name): note for note in notes}.values():
        documents, merged, overruled = (
            fates[note.entity, note.name, fate] for fate in ("documents", "merged", "overruled")
        )
        # the same file twice is read twice
        lines = sum(
            other.rows for other in notes if (other.entity, other.name) == (note.entity, note.name)
        )
        if lines != documents + merged + overruled:
            raise RuntimeError(
                f"{note.name}: of {lines} lines {documents + merged + overruled} arrived"
            )
        batch.conn.execute(
            "insert into ops.load_files values "
            "(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            [
                batch.batch_id,
                batch.collection,
                note.entity,
                note.name,
                lines + note.bad,
                documents,
                merged,
                overruled + note.bad,
                note.size,
                note.digest,
                note.encoding,
                note.delimiter,
                Jsonb(note.header.dump()),
                list(note.remarks),
            ],
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
            kept = f"ledgerline quarantine list {COLLECTIONS[note.entity]}"
            console.print(f"  bad lines: {note.bad:,}, see `{kept}`", style="yellow")
        for remark in note.remarks:
            console.print(f"  {escape(remark)}", style="yellow", highlight=False)
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
