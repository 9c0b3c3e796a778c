"""Rows of CSV, JSON Lines and Parquet files, each with its line number; bad lines as such."""

from __future__ import annotations

import hashlib
import json
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from bson import json_util
from bson.codec_options import DatetimeConversion
from bson.errors import BSONError

from loaders.errors import UserError
from loaders.files.csv_rows import (
    MAX_CHARACTERS,
    BadLine,
    Lines,
    Row,
    csv_rows,
    header_of,
    original,
)
from loaders.files.text import (
    BAD_BYTE,
    delimiter_of,
    encoding_of,
    has_bad_bytes,
    open_text,
)

__all__ = ["BadLine", "Row", "RowFile", "open_rows"]

PARQUET_ROWS = 5_000
_TABLES, _JSON, _PARQUET = {".csv", ".tsv", ".txt"}, {".jsonl", ".ndjson"}, {".parquet", ".pq"}
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\s*$', re.IGNORECASE)  # Excel's first line of a CSV
_EXTENDED = json_util.JSONOptions(
    tz_aware=True, tzinfo=UTC, datetime_conversion=DatetimeConversion.DATETIME_AUTO
)

# what the parser says, and what bson says of Extended JSON with a value of another type
_NO_JSON = (ValueError, TypeError, ArithmeticError, LookupError, AttributeError)


@dataclass(slots=True)
class RowFile:
    """An opened file.

    Attributes:
        name: what its lines are called after: the file's name, without its folder.
        columns: names of the header; None for JSON Lines, where each row has its own.
        rows: reads the file from its start, at constant memory. Raises UserError where the file
            is broken, or was changed since it was opened.
        size, digest: of its bytes; the digest is BLAKE2b-128 in hex digits.
        encoding, delimiter: of a text file.
    """

    name: str
    columns: Sequence[str] | None
    rows: Callable[[], Iterator[Row | BadLine]]
    size: int
    digest: str
    encoding: str | None = None
    delimiter: str | None = None


def open_rows(
    path: Path,
    known: Callable[[Sequence[str]], int],
    *,
    encoding: str | None = None,
    delimiter: str | None = None,
    name: str | None = None,
) -> RowFile:
    """Open a file by its suffix: .csv .tsv .txt .jsonl .ndjson, also with .gz; .parquet .pq.

    Args:
        path: the file.
        known: counts the names that it knows among some column names; settles the delimiter.
        encoding: of a text file; found out if None (`text_files.encoding_of`).
        delimiter: of a CSV file; found out if None (`text_files.DELIMITERS`).
        name: what its lines are called after, if not the file's own name.

    Raises:
        UserError: the file is missing, empty or not what its suffix says.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    suffixes = [suffix.lower() for suffix in path.suffixes]
    kind = suffixes[-2] if suffixes[-1:] == [".gz"] and len(suffixes) > 1 else path.suffix.lower()
    if kind not in _TABLES | _JSON | _PARQUET or (kind in _PARQUET and suffixes[-1] == ".gz"):
        raise UserError(f"{path}: not a .csv, .jsonl or .parquet file")
    if path.stat().st_size == 0:
        raise UserError(f"{path}: the file is empty")
    name = name or path.name
    stamp = _stamp(path)
    with _readable(path):
        with path.open("rb") as content:
            digest = hashlib.file_digest(content, lambda: hashlib.blake2b(digest_size=16))
        if kind in _PARQUET:
            file = _open_parquet(path, name)
        elif kind in _JSON:
            file = _open_json(path, name, encoding)
        else:
            file = _open_csv(path, name, known, encoding, delimiter)
    read = file.rows
    file.rows = lambda: _while_unchanged(path, stamp, read())
    file.size, file.digest = path.stat().st_size, digest.hexdigest()
    return file


def _stamp(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def _while_unchanged(
    path: Path, stamp: tuple[int, int, int], rows: Iterator[Row | BadLine]
) -> Iterator[Row | BadLine]:
    with _readable(path):
        yield from rows
    if not path.is_file() or _stamp(path) != stamp:
        raise UserError(
            f"{path}: the file was changed while it was read; run again when it is complete"
        )


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """What goes wrong with a file, in one line."""
    try:
        yield
    except (EOFError, zlib.error) as error:
        raise UserError(
            f"{path}: the compressed file is broken or not all there ({error})"
        ) from None
    except pa.ArrowException as error:
        raise UserError(f"{path}: not a readable Parquet file ({_first_line(error)})") from None
    except OSError as error:
        raise UserError(f"{path}: can't be read ({error.strerror or error})") from None


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _text(path: Path, encoding: str | None) -> tuple[str, bool]:
    """Encoding of a text file, and whether some lines don't fit it."""
    encoding = encoding or encoding_of(path)
    try:
        has_bad = has_bad_bytes(path, encoding)
    except LookupError:
        raise UserError(f"{path}: can't be read as {encoding}: there is no such encoding") from None
    with open_text(path, encoding) as file:
        if not file.read(1):
            raise UserError(f"{path}: the file is empty")
    return encoding, has_bad


# --- CSV ------------------------------------------------------------------------------------------


def _open_csv(
    path: Path,
    name: str,
    known: Callable[[Sequence[str]], int],
    encoding: str | None,
    delimiter: str | None,
) -> RowFile:
    encoding, has_bad = _text(path, encoding)
    with open_text(path, encoding) as file:
        first = file.readline(MAX_CHARACTERS)
        separator = _SEPARATOR_LINE.match(first)
        if separator:
            delimiter = delimiter or separator[1]
        else:
            file.seek(0)
        delimiter = delimiter or delimiter_of(first, known)
        header = header_of(file, delimiter)
    if BAD_BYTE.search("".join(header)):
        raise UserError(f"{path}: the header can't be read as {encoding.removesuffix('-sig')}")
    columns = _columns(path, header, known)

    def rows() -> Iterator[Row | BadLine]:
        with open_text(path, encoding) as file:
            yield from csv_rows(
                file,
                name,
                columns,
                delimiter,
                encoding=encoding,
                has_bad=has_bad,
                is_marked=bool(separator),
            )

    return RowFile(name, columns, rows, 0, "", encoding, delimiter)


def _columns(path: Path, header: Sequence[str], known: Callable[[Sequence[str]], int]) -> list[str]:
    """Names for all columns: nothing is dropped because it has no name, or another one's.

    Raises:
        UserError: a column that is a field of ours stands there twice: which one is it?
    """
    columns: list[str] = []
    seen: Counter[str] = Counter()
    for position, cell in enumerate(header, start=1):
        column = cell.replace("\0", "").strip() or f"column {position}"
        seen[column] += 1
        if seen[column] > 1:
            if known([column]):
                raise UserError(f"{path}: the header has the column {column} more than once")
            column = f"{column} ({seen[column]})"
        columns.append(column)
    return columns


# --- JSON Lines -----------------------------------------------------------------------------------


def _open_json(path: Path, name: str, encoding: str | None) -> RowFile:
    encoding, _ = _text(path, encoding)
    return RowFile(name, None, lambda: _json_rows(path, name, encoding), 0, "", encoding)


def _json_rows(path: Path, name: str, encoding: str) -> Iterator[Row | BadLine]:
    with open_text(path, encoding) as file:
        lines = Lines(file)
        for text in lines:
            value = _json_value(text, encoding) if text.strip() else None
            match value:
                case dict():
                    yield Row(lines.number, value)
                case str():
                    content = original(text, encoding)
                    yield BadLine(name, lines.number, value, content, lines.is_cut())
            lines.next_record()


def _json_value(text: str, encoding: str) -> dict[str, Any] | str:
    """The object of one line, or why there is none."""
    if BAD_BYTE.search(text):
        return f"it is not {encoding.removesuffix('-sig')}"
    try:
        value = json.loads(
            text, parse_float=Decimal, parse_constant=str, object_pairs_hook=_json_object
        )
    except RecursionError:
        return "it is no JSON: its objects are nested too deep"
    except (*_NO_JSON, BSONError) as error:
        return f"it is no JSON: {error}"
    return value if isinstance(value, dict) else "it is no JSON object"


def _json_object(pairs: list[tuple[str, Any]]) -> Any:
    """An object; one of Extended JSON ({"$oid": …}, as mongoexport writes it) is what it names."""
    value = dict(pairs)
    if len(value) < len(pairs):
        twice = [key for key, count in Counter(key for key, _ in pairs).items() if count > 1]
        raise ValueError(f"the key {twice[0]!r} stands in it twice")
    if pairs and pairs[0][0].startswith("$"):
        if isinstance(value.get("$date"), Decimal):
            value["$date"] = int(value["$date"])
        return json_util.object_hook(value, _EXTENDED)
    return value


# --- Parquet --------------------------------------------------------------------------------------


def _open_parquet(path: Path, name: str) -> RowFile:
    columns = pq.read_schema(path).names
    twice = [column for column, count in Counter(columns).items() if count > 1]
    if twice:
        raise UserError(f"{path}: it has the column {twice[0]} more than once")
    return RowFile(name, columns, lambda: _parquet_rows(path, name), 0, "")


def _parquet_rows(path: Path, name: str) -> Iterator[Row | BadLine]:
    line = 0
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(PARQUET_ROWS):
                for row in _values(batch):
                    line += 1
                    if isinstance(row, dict):
                        yield Row(line, row)
                    else:
                        yield BadLine(name, line, f"a value has no counterpart: {row[0]}", row[1])
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path}: broken after row {line} ({_first_line(error)})") from None


def _values(batch: pa.RecordBatch) -> list[dict[str, Any] | tuple[str, dict[str, str]]]:
    """Each row as Python values, or why not, and what Arrow prints of it."""
    try:
        return batch.to_pylist()
    except (ValueError, OverflowError):  # a date beyond Python's: see which row has it
        pass
    rows: list[dict[str, Any] | tuple[str, dict[str, str]]] = []
    for position in range(batch.num_rows):
        one = batch.slice(position, 1)
        try:
            rows += one.to_pylist()
        except (ValueError, OverflowError) as error:
            texts = {
                column: one.column(number).to_string()
                for number, column in enumerate(one.schema.names)
            }
            rows.append((_first_line(error), texts))
    return rows
