"""Lines of text files: CSV records that may span several, and what to do with those that are none.

A quote that is opened and never closed would swallow every line up to the next quote, or up to the
end of the file. So where the quotes of a record are wrong, only its first line is given up, and
reading goes on with the line after that one.
"""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

from loaders.files.text import BAD_BYTE, KEEP

MAX_CHARACTERS = 16 * 1024 * 1024  # of a field or line: as much as a MongoDB document holds


@dataclass(slots=True)
class Row:
    """One row: its line in the file (of a Parquet file its number, from 1), column -> value."""

    line: int
    values: dict[str, Any]


@dataclass(slots=True)
class BadLine:
    """A line that is no row, or can't be used as one, with what stands in it.

    Attributes:
        is_cut: it is the last one of its file and has no line break: the rest may be missing.
    """

    file: str
    line: int
    reason: str
    content: Any
    is_cut: bool = False


class Lines:
    """Physical lines of a text file, those of the present record at hand.

    Attributes:
        number: of the line that the present record begins with, from 1.
        held: the present record's lines.
    """

    def __init__(self, file: TextIO) -> None:
        self.held: list[str] = []
        self.number = 1
        self._file = file
        self._again: deque[str] = deque()

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else self._file.readline(MAX_CHARACTERS + 2)
        if not line:
            raise StopIteration
        self.held.append(line)
        return line

    def next_record(self) -> None:
        """The present record is done with."""
        self.number += sum(line.endswith(("\n", "\r")) for line in self.held)  # parts of long ones
        self.held = []

    def give_up_first(self) -> str:
        """Of the present record only the first line is done with; returns it."""
        first, *others = self.held
        self._again.extendleft(reversed(others))
        self.held = [first]
        self.next_record()
        return first

    def is_cut(self) -> bool:
        """True if the present record is the last line of a file that has no line break there."""
        return len(self.held) == 1 and not self.held[0].endswith(("\n", "\r"))


def original(text: str, encoding: str) -> str | bytes:
    """A line as it can be kept: its text, or its bytes where some of them are none."""
    text = text.rstrip("\r\n")
    if not BAD_BYTE.search(text):
        return text
    try:
        return text.encode(encoding.removesuffix("-sig"), KEEP)
    except UnicodeError:
        return text.encode("unicode_escape")


def header_of(file: TextIO, delimiter: str) -> list[str]:
    """The cells of the first record that isn't blank."""
    reader = csv.reader(file, delimiter=delimiter)
    return next((cells for cells in reader if any(cell.strip() for cell in cells)), [])


def csv_rows(
    file: TextIO,
    name: str,
    columns: Sequence[str],
    delimiter: str,
    *,
    encoding: str,
    has_bad: bool,
    is_marked: bool = False,
) -> Iterator[Row | BadLine]:
    """Rows of a CSV file, and its lines that are none.

    Args:
        file: at its start.
        name: what bad lines say that it is called.
        columns: names for the cells; the header itself is passed over.
        delimiter: between the cells.
        encoding: of the file, to give back the bytes of a line that it doesn't fit.
        has_bad: there are such lines.
        is_marked: the first line names the separator and is no row.
    """
    csv.field_size_limit(MAX_CHARACTERS)
    lines = Lines(file)
    if is_marked:
        next(lines)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    is_header = True
    while True:
        lines.next_record()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            number, is_cut = lines.number, lines.is_cut()
            content = original(lines.give_up_first(), encoding)
            yield BadLine(name, number, f"it is no CSV: {error}", content, is_cut)
            reader = csv.reader(lines, delimiter=delimiter, strict=True)
            continue
        if not any(cell.strip() for cell in cells):
            continue
        if is_header:
            is_header = False
        elif has_bad and any(BAD_BYTE.search(line) for line in lines.held):
            content = original("".join(lines.held), encoding)
            reason = f"it is not {encoding.removesuffix('-sig')}"
            yield BadLine(name, lines.number, reason, content, lines.is_cut())
        elif len(cells) != len(columns):
            reason = f"it has {len(cells)} fields, the header {len(columns)}"
            yield BadLine(name, lines.number, reason, cells, lines.is_cut())
        else:
            yield Row(lines.number, dict(zip(columns, cells, strict=True)))
