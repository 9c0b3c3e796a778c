"""The Parquet files of one collection: rows as raw has them, each version of a document one.

    <collection>/loaded_date=YYYY-MM-DD/batch-<n>-<k>.parquet   versions and tombstones
    <collection>/_quarantine/batch-<n>-<k>.parquet              bytes of odd documents

Readers pass over names that begin with a dot or an underscore. A file is written under such a name
and gets its own when the batch is whole.
"""

from __future__ import annotations

import os
import re
from array import array
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import accumulate
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from loaders.documents import binary
from loaders.documents.encoding import Slice
from loaders.errors import UserError
from loaders.tally import Days

PARSE_BYTES = 512 * 1024  # of rows as text at once: Arrow's reader takes several times as much
GROUP_BYTES = 2 * 1024 * 1024  # of rows in memory, then they become a row group
FILE_BYTES = 128 * 1024 * 1024  # of a file on disk, then the next one begins
READ_ROWS = 2_000

_STAMP = pa.timestamp("us", tz="UTC")
SCHEMA = pa.schema(
    [
        pa.field("_id", pa.string(), nullable=False),
        pa.field("doc", pa.string()),
        pa.field("_types", pa.string()),
        pa.field("_source_ts", _STAMP),
        pa.field("_loaded_at", _STAMP, nullable=False),
        pa.field("_batch_id", pa.int64(), nullable=False),
        pa.field("_deleted_at", _STAMP),
        pa.field("_doc_hash", pa.string(), nullable=False),
    ]
)
QUARANTINE = pa.schema(
    [
        pa.field("_id", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),  # altered, quarantined, released
        pa.field("reason", pa.string()),
        pa.field("bson", pa.binary()),
        pa.field("_loaded_at", _STAMP, nullable=False),
        pa.field("_batch_id", pa.int64(), nullable=False),
        pa.field("_doc_hash", pa.string(), nullable=False),
    ]
)
QUARANTINE_FOLDER = "_quarantine"
RELEASED = "released"

# fields of `Slice.rows` and `Slice.odd`
_ROWS = {"_id": pa.string(), "_source_ts": _STAMP, "_doc_hash": pa.string()}
_ROWS |= {"_types": pa.string(), "doc": pa.string()}
ODD = {"_id": pa.string(), "kind": pa.string(), "reason": pa.string(), "_doc_hash": pa.string()}
ODD |= {"bson": pa.string()}

_NAME = re.compile(r"\.?batch-(\d+)-(\d+)\.parquet")
_EPOCH = date(1970, 1, 1)


def table_of(rows: bytes, columns: dict[str, pa.DataType]) -> pa.Table:
    """Rows in Postgres' COPY text format as columns; an empty field is null."""
    return csv.read_csv(
        pa.BufferReader(rows),
        read_options=csv.ReadOptions(
            column_names=list(columns), use_threads=False, block_size=len(rows) + 1
        ),
        parse_options=csv.ParseOptions(delimiter="\t", quote_char=False, escape_char="\\"),
        convert_options=csv.ConvertOptions(
            column_types=columns, null_values=[""], strings_can_be_null=True
        ),
    )


@dataclass(frozen=True, slots=True)
class Found:
    """A file of a batch, as its name says."""

    path: Path
    batch_id: int
    part: int


def files_of(folder: Path) -> list[Found]:
    """All files of versions, or of the quarantine, below a folder, oldest batch first.

    Raises:
        UserError: there are others, which readers would take for ours.
    """
    found = []
    for path in folder.rglob("*"):
        inside = path.relative_to(folder).parts
        if not path.is_file() or inside[0].startswith("_"):
            continue
        match = _NAME.fullmatch(path.name)
        if match:
            found.append(Found(path, int(match[1]), int(match[2])))
        elif not path.name.startswith((".", "_")):
            raise UserError(f"{path} is no file of this dataset: move it elsewhere")
    return sorted(found, key=lambda file: (file.batch_id, file.part))


def read(path: Path, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Some columns of one file, at bounded memory.

    Raises:
        UserError: it is broken.
    """
    try:
        with pq.ParquetFile(path, pre_buffer=False) as file:
            # a reader of the whole file holds on to each group's buffers: 20 MB more in all
            for group in range(file.num_row_groups):
                table = file.read_row_group(group, list(columns), use_threads=False)
                yield from table.to_batches(max_chunksize=READ_ROWS)
    except pa.ArrowException as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path} is broken ({reason}): write the dataset anew") from None


def add_days(days: Days, path: Path) -> None:
    """Add a file's versions, not its tombstones, to the sums by day."""
    for batch in read(path, ["_source_ts", "_doc_hash", "_deleted_at"]):
        stamps, hashes, gone = (batch.column(n) for n in ("_source_ts", "_doc_hash", "_deleted_at"))
        for day, digest, is_live in zip(
            days_of(stamps), hashes.to_pylist(), gone.is_null().to_pylist(), strict=True
        ):
            if is_live:
                count, sum_ = days.get(day, (0, 0))
                days[day] = count + 1, sum_ + int(digest[:15], 16)


def days_of(stamps: pa.Array) -> list[str]:
    """UTC day of each, as `encoding.Slice.days` has it; "" for null."""
    names: dict[int | None, str] = {None: ""}
    days = stamps.cast(pa.timestamp("us")).cast(pa.date32(), safe=False).cast(pa.int32())
    result = []
    for day in days.to_pylist():
        if day not in names:
            names[day] = (_EPOCH + timedelta(days=day)).isoformat()
        result.append(names[day])
    return result


class BatchFiles:
    """Writes the files of one batch; they are hidden until `publish`.

    Args:
        folder: the collection's.
        batch_id: number of the batch.
        loaded_at: of its rows.
    """

    def __init__(self, folder: Path, batch_id: int, loaded_at: datetime) -> None:
        self.loaded_at = loaded_at
        self.batch_id = batch_id
        self.rows = 0
        self._versions = _Parts(folder / f"loaded_date={loaded_at:%Y-%m-%d}", batch_id, SCHEMA)
        self._odd = _Parts(folder / QUARANTINE_FOLDER, batch_id, QUARANTINE)
        self._text: list[bytes] = []
        self._text_bytes = 0
        self._tables: list[pa.Table] = []
        self._table_bytes = 0

    def add(self, part: Slice) -> None:
        """Write a slice's rows and odd documents."""
        if part.rows:
            self._text += map(binary.document_as_text, binary.fields_of(part.rows))
            self._text_bytes += len(part.rows)
            if self._text_bytes >= PARSE_BYTES:
                self._parse()
        if part.odd:
            odd = table_of(part.odd, ODD)
            bson = _unhexed(odd.column("bson"))
            self._write(self._odd, odd.set_column(odd.schema.get_field_index("bson"), "bson", bson))

    def later(self) -> None:
        """What comes from now on is later than what came: a document arrived in two versions."""
        self._flush()
        self.loaded_at += timedelta(microseconds=1)

    def delete(self, gone: Sequence[tuple[str, str]]) -> None:
        """Write tombstones of (_id, hash of the last version)."""
        self._flush()
        self.rows += len(gone)
        table = _hashes(gone)
        self._write(self._versions, table.append_column("_deleted_at", self._now(table.num_rows)))

    def release(self, notes: Sequence[tuple[str, str]]) -> None:
        """Note that documents, (_id, hash), are no longer in quarantine."""
        kind = _constant(RELEASED, pa.string(), len(notes))
        self._write(self._odd, _hashes(notes).append_column("kind", kind))

    def close(self) -> list[Path]:
        """Everything is on disk; returns the files with versions, in the order of their rows."""
        self._flush()
        self._odd.close()
        return self._versions.close()

    def publish(self) -> int:
        """Give the files their names; returns how many there are."""
        return self._versions.publish() + self._odd.publish()

    def discard(self) -> None:
        """Remove what was written and not published."""
        self._versions.discard()
        self._odd.discard()

    def _parse(self) -> None:
        if self._text:
            table = table_of(b"".join(self._text), _ROWS)
            self._tables.append(table)
            self._table_bytes += self._text_bytes
            self._text, self._text_bytes = [], 0
            if self._table_bytes >= GROUP_BYTES:
                self._flush()

    def _flush(self) -> None:
        self._parse()
        if self._tables:
            table = pa.concat_tables(self._tables)
            self._tables, self._table_bytes = [], 0
            self.rows += table.num_rows
            self._write(self._versions, table)

    def _now(self, rows: int) -> pa.Array:
        return _constant(f"{self.loaded_at:%Y-%m-%dT%H:%M:%S.%fZ}", _STAMP, rows)

    def _write(self, parts: _Parts, table: pa.Table) -> None:
        rows = table.num_rows
        given = dict(zip(table.column_names, table.columns, strict=True))
        given["_loaded_at"] = self._now(rows)
        given["_batch_id"] = _constant(str(self.batch_id), pa.int64(), rows)
        columns = [
            given[field.name] if field.name in given else pa.nulls(rows, field.type)
            for field in parts.schema
        ]
        parts.write(pa.table(columns, schema=parts.schema))


# Arrow imports pandas, 40 MB, as soon as it is given a Python value. So columns are made of text.


def _constant(text: str, kind: pa.DataType, rows: int) -> pa.Array:
    """The same value in each row."""
    return pa.repeat(table_of(f"{text}\n".encode(), {"value": kind}).column("value")[0], rows)


def _hashes(named: Sequence[tuple[str, str]]) -> pa.Table:
    """(_id, hash) as columns."""
    text = "".join(f"{name}\t{digest}\n" for name, digest in named).replace("\\", "\\\\")
    return table_of(text.encode(), {"_id": pa.string(), "_doc_hash": pa.string()})


def _unhexed(column: pa.ChunkedArray) -> pa.Array:
    r"""Texts such as \x00ff as bytes."""
    values = [bytes.fromhex(text[2:]) for text in column.to_pylist()]
    ends = array("i", accumulate(map(len, values), initial=0))
    data = [None, pa.py_buffer(ends), pa.py_buffer(b"".join(values))]
    return pa.BinaryArray.from_buffers(pa.binary(), len(values), data)


class _Parts:
    """The files of a batch in one folder, one after another."""

    def __init__(self, folder: Path, batch_id: int, schema: pa.Schema) -> None:
        self.folder = folder
        self.batch_id = batch_id
        self.schema = schema
        self._paths: list[Path] = []
        self._writer: pq.ParquetWriter | None = None
        self._sink: Any = None

    def write(self, table: pa.Table) -> None:
        """Add a row group."""
        if self._writer is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            path = self.folder / f".batch-{self.batch_id}-{len(self._paths)}.parquet"
            self._paths.append(path)
            self._sink = path.open("wb")
            names = self.schema.names
            self._writer = pq.ParquetWriter(
                self._sink,
                self.schema,
                compression="zstd",
                # all else is different in each row; of documents a page's extremes are of no use
                use_dictionary=[n for n in names if n in ("_types", "_loaded_at", "_batch_id")],
                write_statistics=[n for n in names if n not in ("doc", "_types", "bson", "reason")],
            )
        self._writer.write_table(table, row_group_size=max(1, table.num_rows))
        if self._sink.tell() >= FILE_BYTES:
            self._end_file()

    def close(self) -> list[Path]:
        """End the last file."""
        self._end_file()
        return self._paths

    def publish(self) -> int:
        """Rename the files to what readers see."""
        for position, path in enumerate(self._paths):
            self._paths[position] = path.rename(path.with_name(path.name[1:]))
        if self._paths:
            flush_folder(self.folder)
            flush_folder(self.folder.parent)
        return len(self._paths)

    def discard(self) -> None:
        """Remove the files that are hidden still; the next run knows whether the others count."""
        with suppress(OSError):  # it may be what failed
            if self._writer is not None:
                self._sink.close()
        for path in self._paths:
            if path.name.startswith("."):
                with suppress(OSError):
                    path.unlink()

    def _end_file(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._sink.flush()
            os.fsync(self._sink.fileno())
            self._sink.close()
            self._writer = None


def flush_folder(folder: Path) -> None:
    """Renames in a folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
