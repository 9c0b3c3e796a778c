"""Reads one file of the data set (workbook, CSV or Parquet) into a frame of invoice lines."""

from __future__ import annotations

import csv
import re
import zipfile
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Literal

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from python_calamine import CalamineError, CalamineWorkbook

from loaders.errors import UserError
from loaders.files.text import delimiter_of, encoding_of

DateOrder = Literal["day-first", "month-first"]

# our name -> the names of Online Retail and of Online Retail II, without case and blanks
HEADERS = {
    "invoice": ("invoice", "invoiceno"),
    "code": ("stockcode",),
    "description": ("description",),
    "quantity": ("quantity",),
    "at": ("invoicedate",),
    "price": ("price", "unitprice"),
    "customer": ("customerid",),
    "country": ("country",),
}
PUBLISHED = {
    "invoice": "Invoice or InvoiceNo",
    "code": "StockCode",
    "description": "Description",
    "quantity": "Quantity",
    "at": "InvoiceDate",
    "price": "Price or UnitPrice",
    "customer": "Customer ID or CustomerID",
    "country": "Country",
}
MISSING = {"", "nan", "none", "null", "<na>", "n/a"}  # how tools write "no value" as text
MAX_DECIMALS = 6  # of a price; more is a broken number, not a price
EXCEL_EPOCH = pd.Timestamp("1899-12-30")

_ISO = re.compile(r"(\d{4})-(\d\d?)-(\d\d?)(?:[ T](\d\d?):(\d\d)(?::(\d\d)(?:\.\d+)?)?)?$")
_NUMERIC = re.compile(
    r"(\d\d?)([/.-])(\d\d?)\2(\d{4}|\d\d)(?: (\d\d?):(\d\d)(?::(\d\d))?(?: ?([AaPp])[Mm])?)?$"
)


def read_file(path: Path, date_order: DateOrder | None = None) -> pd.DataFrame:
    """Read every invoice line of a file, in its order.

    Returns:
        A frame with one row per line: `invoice`, `code`, `description`, `customer`, `country`
        (text, null where missing), `quantity` (int64), `at` (naive UK local time), `price`
        (Decimal), `line` (position in the file or sheet, the first line after the header is 2),
        `sheet` (1, 2, … in a workbook, else 1).

    Raises:
        UserError: the file is missing, empty, unreadable, lacks columns, or a value can't be read.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    if path.stat().st_size == 0:
        raise UserError(f"{path}: the file is empty")
    suffix = path.suffix.lower()
    if suffix in {".xlsx", ".xlsm", ".xls", ".xlsb", ".ods"}:
        tables = _read_workbook(path)
    elif suffix in {".parquet", ".pq"}:
        tables = [_read_parquet(path)]
    elif suffix in {".csv", ".tsv", ".txt"}:
        tables = [_read_csv(path)]
    else:
        raise UserError(f"{path}: not a workbook (.xlsx), a .csv or a .parquet file")
    lines = pd.concat(
        [
            _clean(path, table, date_order).assign(sheet=sheet)
            for sheet, table in enumerate(tables, start=1)
        ],
        ignore_index=True,
    )
    if lines.empty:
        raise UserError(f"{path}: the file has a header but no lines")
    return lines


def _columns(names: Sequence[str]) -> dict[str, str]:
    """Our column name -> the name in the file, for those of `HEADERS` that are there."""
    plain = {re.sub(r"[\s_\ufeff]", "", str(name)).lower(): name for name in names}
    return {
        ours: plain[theirs]
        for ours, known in HEADERS.items()
        for theirs in known
        if theirs in plain
    }


def _rename(path: Path, table: pd.DataFrame) -> pd.DataFrame:
    found = _columns(list(table.columns))
    lacking = [PUBLISHED[name] for name in HEADERS if name not in found]
    if lacking:
        has = ", ".join(str(name) for name in table.columns[:12])
        raise UserError(
            f"{path}: not an Online Retail file: no column {'; '.join(lacking)} (it has: {has})"
        )
    return table[[found[name] for name in HEADERS]].set_axis(list(HEADERS), axis=1)


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        file = pq.ParquetFile(path)
        found = _columns(file.schema_arrow.names)
        wanted = list(found.values()) if len(found) == len(HEADERS) else None
        table = file.read(columns=wanted).to_pandas()
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path}: not a readable Parquet file ({_first_line(error)})") from None
    return _rename(path, table).assign(line=range(2, len(table) + 2))


def _read_csv(path: Path) -> pd.DataFrame:
    encoding = encoding_of(path)
    with path.open(encoding=encoding, newline="") as file:
        delimiter = delimiter_of(file.readline(), lambda names: len(_columns(names)))
    try:
        table = pd.read_csv(path, sep=delimiter, encoding=encoding, dtype=str, na_filter=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, csv.Error) as error:
        raise UserError(f"{path}: not a readable CSV file ({_first_line(error)})") from None
    return _rename(path, table).assign(line=range(2, len(table) + 2))


def _read_workbook(path: Path) -> list[pd.DataFrame]:
    """The sheets that have the data set's header; other sheets (notes, a pivot) are passed over."""
    tables, others = [], None
    try:
        workbook = CalamineWorkbook.from_path(path)
        for name in workbook.sheet_names:
            rows = workbook.get_sheet_by_name(name).to_python(skip_empty_area=True)
            if not rows:
                continue
            table = pd.DataFrame(rows[1:], columns=[str(cell) for cell in rows[0]], dtype=object)
            if len(_columns(list(table.columns))) < len(HEADERS):
                others = table if others is None else others
                continue
            tables.append(_rename(path, table).assign(line=range(2, len(table) + 2)))
    except (CalamineError, zipfile.BadZipFile, OSError, ValueError) as error:
        raise UserError(f"{path}: not a readable workbook ({_first_line(error)})") from None
    if not tables and others is not None:
        _rename(path, others)  # raises, naming what the first sheet lacks
    if not tables:
        raise UserError(f"{path}: the workbook is empty")
    return tables


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).strip().splitlines()[0]


def _clean(path: Path, table: pd.DataFrame, date_order: DateOrder | None) -> pd.DataFrame:
    line = table["line"]
    frame = pd.DataFrame({"line": line})
    for name in ("invoice", "code", "description", "customer", "country"):
        frame[name] = _text(table[name])
    empty = frame[["invoice", "code", "description", "customer", "country"]].isna().all(axis=1)
    if empty.any():  # rows that a spreadsheet kept below its data
        table, frame, line = table[~empty], frame[~empty], line[~empty]
    for name in ("invoice", "code"):
        if frame[name].isna().any():
            bad = line[frame[name].isna()].iloc[0]
            raise UserError(f"{path}, line {bad}: no {PUBLISHED[name]}")
    frame["quantity"] = _quantities(path, table["quantity"], line)
    frame["price"] = _prices(path, table["price"], line)
    frame["at"] = _times(path, table["at"], line, date_order)
    return frame.reset_index(drop=True)


def _each(path: Path, column: pd.Series, line: pd.Series, what: str, read) -> pd.Series:
    """Apply `read` to each distinct value; a value that it refuses is named with its line."""
    codes, values = pd.factorize(column, use_na_sentinel=False)
    read_values = []
    for position, value in enumerate(values):
        try:
            read_values.append(read(value))
        except (ValueError, TypeError, InvalidOperation, OverflowError):
            bad = line.iloc[int((codes == position).argmax())]
            shown = "nothing" if _is_missing(value) else repr(value)
            raise UserError(f"{path}, line {bad}: {shown} is not {what}") from None
    return pd.Series(pd.Series(read_values, dtype=object).to_numpy()[codes], index=column.index)


def _is_missing(value: object) -> bool:
    return value is None or bool(pd.isna(value)) or str(value).strip().lower() in MISSING


def _text(column: pd.Series) -> pd.Series:
    """Trimmed text; numbers that a spreadsheet made of ids (13085.0) become whole again."""

    def one(value: object) -> str | None:
        if _is_missing(value):
            return None
        if isinstance(value, float) and value.is_integer():
            return str(int(value))
        return str(value).strip()

    codes, values = pd.factorize(column, use_na_sentinel=False)
    read = pd.Series([one(value) for value in values], dtype="str")
    if column.name == "customer":
        read = read.str.replace(r"^(\d+)\.0+$", r"\1", regex=True)
    return pd.Series(read.array.take(codes), index=column.index)


def _decimal(value: object) -> Decimal:
    if _is_missing(value):
        raise ValueError
    if isinstance(value, Decimal):
        number = value
    elif isinstance(value, str):
        text = value.strip().replace("\u00a0", "")
        if re.fullmatch(r"[+-]?\d+,\d+", text):  # a decimal comma; no file has 1,234 for 1234
            text = text.replace(",", ".")
        number = Decimal(text)
    else:
        number = Decimal(repr(float(value)))
    if not number.is_finite():
        raise ValueError
    if -number.as_tuple().exponent > MAX_DECIMALS:  # 2.5499999999999998 as some tools write 2.55
        number = Decimal(repr(float(number)))
    return number


def _prices(path: Path, column: pd.Series, line: pd.Series) -> pd.Series:
    def one(value: object) -> Decimal:
        number = _decimal(value)
        if -number.as_tuple().exponent > MAX_DECIMALS:
            raise ValueError
        return number

    return _each(path, column, line, f"a price of at most {MAX_DECIMALS} decimals", one)


def _quantities(path: Path, column: pd.Series, line: pd.Series) -> pd.Series:
    if pd.api.types.is_integer_dtype(column.dtype) and not column.isna().any():
        return column.astype("int64")

    def one(value: object) -> int:
        number = _decimal(value)
        if number != number.to_integral_value():
            raise ValueError
        return int(number)

    return _each(path, column, line, "a whole quantity", one).astype("int64")


def _times(
    path: Path, column: pd.Series, line: pd.Series, date_order: DateOrder | None
) -> pd.Series:
    """UK local times without a zone, to the second."""
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        column = column.dt.tz_convert("Europe/London").dt.tz_localize(None)
    if pd.api.types.is_datetime64_any_dtype(column.dtype) and not column.isna().any():
        return column.astype("datetime64[us]")
    order = date_order or _date_order(path, column)

    def one(value: object) -> datetime:
        if isinstance(value, datetime):
            return pd.Timestamp(value).tz_localize(None).to_pydatetime()
        if isinstance(value, date):
            return datetime(value.year, value.month, value.day)  # noqa: DTZ001 - local by intent
        if isinstance(value, int | float) and not pd.isna(value):  # days since Excel's epoch
            return (EXCEL_EPOCH + pd.Timedelta(days=float(value))).round("s").to_pydatetime()
        return _time(str(value).strip(), order)

    return _each(path, column, line, "a date and time", one).astype("datetime64[us]")


def _date_order(path: Path, column: pd.Series) -> DateOrder:
    """Which of 01/02/2011's numbers is the day, from the dates of the whole file.

    Raises:
        UserError: no date settles it.
    """
    first = second = 0
    slashed = False
    for value in column.drop_duplicates():
        match = _NUMERIC.match(value.strip()) if isinstance(value, str) else None
        if match and match[2] == ".":  # dots are written day first
            return "day-first"
        if match:
            slashed = True
            first, second = max(first, int(match[1])), max(second, int(match[3]))
    if not slashed or second > 12:
        return "month-first"
    if first > 12:
        return "day-first"
    raise UserError(
        f"{path}: the dates can be read day first or month first; "
        "say which with --dates day-first or --dates month-first"
    )


def _time(text: str, order: DateOrder) -> datetime:
    if match := _ISO.match(text):
        year, month, day, hour, minute, second = (int(part or 0) for part in match.groups())
    elif match := _NUMERIC.match(text):
        first, _, other, year, hour, minute, second, half = match.groups()
        day, month = (first, other) if order == "day-first" else (other, first)
        year, month, day = int(year), int(month), int(day)
        year += 2000 if year < 100 else 0
        hour, minute, second = int(hour or 0), int(minute or 0), int(second or 0)
        if half:
            hour = hour % 12 + (12 if half in "Pp" else 0)
    else:
        raise ValueError(text)
    return datetime(year, month, day, hour, minute, second)  # noqa: DTZ001 - local by intent
