"""What a text file of a stranger is written in: compression, encoding and separator."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO, TextIO, cast

DELIMITERS = ",;\t|"
_BLOCK = 1 << 20
# Windows' Latin-1 lacks these; Latin-1 itself reads any byte, so it comes last
_NOT_WINDOWS = b"\x81\x8d\x8f\x90\x9d"
_MARKS = {  # the longer ones first: UTF-32's begins as UTF-16's
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_UTF8_LEAD = 1_000  # so many more bad bytes than good characters, and it is no UTF-8 for sure

KEEP = "ledgerline.keep"
"""Error handler: a byte that can't be decoded becomes U+DC00 plus the byte, and back again."""

BAD_BYTE = re.compile("[\udc00-\udcff]")
"""What `KEEP` writes; decoding gives no such character otherwise."""


def _keep(error: UnicodeError) -> tuple[str | bytes, int]:
    match error:
        case UnicodeDecodeError():
            bad = error.object[error.start : error.end]
            return "".join(chr(0xDC00 + byte) for byte in bad), error.end
        case UnicodeEncodeError():
            codes = [ord(character) for character in error.object[error.start : error.end]]
            if all(0xDC00 <= code <= 0xDCFF for code in codes):
                return bytes(code - 0xDC00 for code in codes), error.end
    raise error


codecs.register_error(KEEP, _keep)


def open_bytes(path: Path) -> BinaryIO:
    """The file's content, uncompressed if its name ends in .gz."""
    if path.suffix.lower() == ".gz":
        return cast("BinaryIO", gzip.open(path, "rb"))
    return path.open("rb")


def open_text(path: Path, encoding: str) -> TextIO:
    """The file's text; line breaks stay as they are, and bad bytes are kept (`KEEP`)."""
    return io.TextIOWrapper(open_bytes(path), encoding=encoding, errors=KEEP, newline="")


def encoding_of(path: Path) -> str:
    """UTF-16 or UTF-32 if the file's first bytes say so; else UTF-8, Windows-1252 or Latin-1.

    All of the file is looked at, in blocks. Some bad bytes among the many good characters of a
    UTF-8 file don't make it one of Windows; the lines that they stand in are bad lines then.
    """
    with open_bytes(path) as file:
        start = file.read(_BLOCK)
        for mark, encoding in _MARKS.items():
            if start.startswith(mark):
                return encoding
        if encoding := _utf16_without_mark(start):
            return encoding
        decoder = codecs.getincrementaldecoder("utf-8")(errors=KEEP)
        good = bad = 0
        is_windows = True
        block = start
        while block:
            if bad <= good + _UTF8_LEAD and not (text := decoder.decode(block)).isascii():
                bad_here = len(BAD_BYTE.findall(text))
                good += len(text) - len(text.encode("ascii", "ignore")) - bad_here
                bad += bad_here
            is_windows = is_windows and len(block.translate(None, _NOT_WINDOWS)) == len(block)
            block = file.read(_BLOCK)
        bad += bool(decoder.getstate()[0])  # the file ends in the middle of a character
    if bad == 0 or good > bad:
        return "utf-8-sig"
    return "cp1252" if is_windows else "latin-1"


def _utf16_without_mark(start: bytes) -> str | None:
    """UTF-16 of mostly Latin letters, by the NULs that every other byte is then."""
    half = len(start) // 2
    for encoding, nuls, letters in (("utf-16-le", 1, 0), ("utf-16-be", 0, 1)):
        if start[nuls::2].count(0) > half * 0.6 and start[letters::2].count(0) == 0:
            return encoding
    return None


def has_bad_bytes(path: Path, encoding: str) -> bool:
    """True if some of the file can't be read in this encoding.

    Raises:
        LookupError: there is no such encoding.
    """
    decoder = codecs.getincrementaldecoder(encoding)(errors="strict")
    with open_bytes(path) as file:
        try:
            while block := file.read(_BLOCK):
                decoder.decode(block)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return True
    return False


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
