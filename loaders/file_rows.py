"""Rows of CSV, JSON Lines and Parquet files, each with its line number; bad lines as such."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from loaders.errors import UserError
from loaders.text_files import delimiter_of, encoding_of

PARQUET_ROWS = 5_000
MAX_FIELD_BYTES = 16 * 1024 * 1024  # as much as a MongoDB document holds


@dataclass(slots=True)
class Row:
    """One row: its line in the file (of a Parquet file its number, from 1), column -> value."""

    line: int
    values: dict[str, Any]


@dataclass(slots=True)
class BadLine:
    """A line that is no row, or can't be used as one, with what stands in it."""

    file: str
    line: int
    reason: str
    content: Any


@dataclass(slots=True)
class RowFile:
    """An opened file.

    Attributes:
        name: the file's name without its folder.
        columns: names of the header; None for JSON Lines, where each row has its own.
        rows: reads the file from its start, at constant memory.
    """

    name: str
    columns: Sequence[str] | None
    rows: Callable[[], Iterator[Row | BadLine]]


def open_rows(
    path: Path,
    known: Callable[[Sequence[str]], int],
    *,
    encoding: str | None = None,
    delimiter: str | None = None,
) -> RowFile:
    """Open a file by its suffix: .csv .tsv .txt, .jsonl .ndjson, .parquet .pq.

    Args:
        path: the file.
        known: counts the names that it knows among some column names; settles the delimiter.
        encoding: of a text file; found out if None (`text_files.ENCODINGS`).
        delimiter: of a CSV file; found out if None (`text_files.DELIMITERS`).

    Raises:
        UserError: the file is missing, empty or not what its suffix says.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    if path.stat().st_size == 0:
        raise UserError(f"{path}: the file is empty")
    suffix = path.suffix.lower()
    if suffix in {".parquet", ".pq"}:
        return _open_parquet(path)
    if suffix not in {".csv", ".tsv", ".txt", ".jsonl", ".ndjson"}:
        raise UserError(f"{path}: not a .csv, .jsonl or .parquet file")
    try:
        encoding = encoding or encoding_of(path)
        with path.open(encoding=encoding, newline="") as file:
            first = file.readline()
    except (LookupError, UnicodeDecodeError):
        raise UserError(f"{path}: can't be read as {encoding}") from None
    except OSError as error:
        raise UserError(f"{path}: can't be read ({error.strerror})") from None
    if suffix in {".jsonl", ".ndjson"}:
        return RowFile(path.name, None, lambda: _json_rows(path, encoding))
    delimiter = delimiter or delimiter_of(first, known)
    with path.open(encoding=encoding, newline="") as file:
        header = next(csv.reader(file, delimiter=delimiter), [])
    columns = [name.strip() for name in header]
    twice = sorted({name for name in columns if name and columns.count(name) > 1})
    if twice:
        raise UserError(f"{path}: the header has the column {', '.join(twice)} more than once")
    return RowFile(path.name, columns, lambda: _csv_rows(path, encoding, delimiter, columns))


def _csv_rows(
    path: Path, encoding: str, delimiter: str, columns: Sequence[str]
) -> Iterator[Row | BadLine]:
    csv.field_size_limit(MAX_FIELD_BYTES)
    with path.open(encoding=encoding, newline="") as file:
        reader = csv.reader(file, delimiter=delimiter)
        next(reader)
        while True:
            line = reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield BadLine(path.name, line, f"it is no CSV: {error}", None)
                continue
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(columns):
                reason = f"it has {len(cells)} fields, the header {len(columns)}"
                yield BadLine(path.name, line, reason, cells)
                continue
            yield Row(line, dict(zip(columns, cells, strict=True)))


def _json_rows(path: Path, encoding: str) -> Iterator[Row | BadLine]:
    with path.open(encoding=encoding) as file:
        for line, text in enumerate(file, start=1):
            if not text.strip():
                continue
            try:
                value = json.loads(text, parse_float=Decimal, parse_constant=str)
            except (ValueError, RecursionError) as error:
                yield BadLine(path.name, line, f"it is no JSON: {error}", text)
                continue
            if isinstance(value, dict):
                yield Row(line, value)
            else:
                yield BadLine(path.name, line, "it is no JSON object", text)


def _open_parquet(path: Path) -> RowFile:
    try:
        columns = pq.read_schema(path).names
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path}: not a readable Parquet file ({reason})") from None
    return RowFile(path.name, columns, lambda: _parquet_rows(path))


def _parquet_rows(path: Path) -> Iterator[Row | BadLine]:
    line = 0
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(PARQUET_ROWS):
                for values in batch.to_pylist():
                    line += 1
                    yield Row(line, values)
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path}: broken after row {line} ({reason})") from None
