"""What a text file of a stranger is written in: its encoding and its separator."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path

# Latin-1 reads any byte, so it comes last; cp1252 is what Windows calls Latin-1
ENCODINGS = ("utf-8-sig", "cp1252", "latin-1")
DELIMITERS = ",;\t|"
_BLOCK = 1 << 20


def encoding_of(path: Path) -> str:
    """The first of `ENCODINGS` that decodes the whole file (read in blocks)."""
    for encoding in ENCODINGS[:-1]:
        try:
            with path.open(encoding=encoding) as file:
                while file.read(_BLOCK):
                    pass
        except UnicodeDecodeError:
            continue
        return encoding
    return ENCODINGS[-1]


def delimiter_of(header: str, known: Callable[[Sequence[str]], int]) -> str:
    """The separator by which `known` finds most columns in the header line.

    Args:
        header: the first line of the file.
        known: counts how many of a list of column names it knows. Names decide first, then the
            number of columns, so that a header of unknown names is still split where it can be.
    """

    def score(mark: str) -> tuple[int, int]:
        names = next(csv.reader([header], delimiter=mark), [])
        return known(names), len(names)

    return max(DELIMITERS, key=score)
