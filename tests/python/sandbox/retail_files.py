"""Writes small Online Retail files in every form in which the data set is passed around."""

from __future__ import annotations

import csv
import zipfile
from datetime import datetime
from pathlib import Path
from xml.sax.saxutils import escape

import pyarrow as pa
import pyarrow.parquet as pq

SECOND = ["Invoice", "StockCode", "Description", "Quantity", "InvoiceDate", "Price"]
SECOND += ["Customer ID", "Country"]
FIRST = ["InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice"]
FIRST += ["CustomerID", "Country"]

Row = tuple[str, str, str | None, int, datetime, float, int | None, str]


def line(
    invoice: str,
    code: str = "85123A",
    quantity: int = 1,
    at: str = "2011-01-10 10:00",
    price: float = 2.55,
    customer: int | None = 17850,
    description: str | None = "WHITE HANGING HEART",
    country: str = "United Kingdom",
) -> Row:
    when = datetime.fromisoformat(at)
    return (invoice, code, description, quantity, when, price, customer, country)


def write_parquet(path: Path, rows: list[Row], header: list[str] = SECOND) -> Path:
    columns = list(zip(*rows, strict=True)) if rows else [[] for _ in header]
    types = [pa.string(), pa.string(), pa.string(), pa.int64(), pa.timestamp("us"), pa.float64()]
    types += [pa.int64(), pa.string()]
    arrays = [pa.array(column, type_) for column, type_ in zip(columns, types, strict=True)]
    pq.write_table(pa.table(dict(zip(header, arrays, strict=True))), path)
    return path


def write_csv(
    path: Path,
    rows: list[Row],
    header: list[str] = SECOND,
    *,
    delimiter: str = ",",
    encoding: str = "utf-8",
    dates: str = "%Y-%m-%d %H:%M:%S",
    decimal: str = ".",
) -> Path:
    with path.open("w", encoding=encoding, newline="") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(header)
        for invoice, code, text, quantity, at, price, customer, country in rows:
            number = repr(price).replace(".", decimal)
            known = "" if customer is None else f"{customer}.0"
            writer.writerow(
                [invoice, code, text or "", quantity, at.strftime(dates), number, known, country]
            )
    return path


def write_xlsx(path: Path, sheets: dict[str, list[list | tuple]]) -> Path:
    """A workbook of plain sheets: text, numbers and dates, as a spreadsheet stores them."""
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006"
    names = list(sheets)
    numbers = range(1, len(names) + 1)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(
            "[Content_Types].xml",
            f'<Types xmlns="{package}/content-types">'
            '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.'
            'relationships+xml"/><Default Extension="xml" ContentType="application/xml"/></Types>',
        )
        archive.writestr(
            "_rels/.rels",
            f'<Relationships xmlns="{package}/relationships"><Relationship Id="r1" '
            f'Type="{office}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        )
        archive.writestr(
            "xl/workbook.xml",
            f'<workbook xmlns="{main}" xmlns:r="{office}"><sheets>'
            + "".join(
                f'<sheet name="{escape(name)}" sheetId="{n}" r:id="r{n}"/>'
                for n, name in zip(numbers, names, strict=True)
            )
            + "</sheets></workbook>",
        )
        archive.writestr(
            "xl/_rels/workbook.xml.rels",
            f'<Relationships xmlns="{package}/relationships">'
            + "".join(
                f'<Relationship Id="r{n}" Type="{office}/worksheet" Target="worksheets/s{n}.xml"/>'
                for n in numbers
            )
            + f'<Relationship Id="s" Type="{office}/styles" Target="styles.xml"/></Relationships>',
        )
        archive.writestr(
            "xl/styles.xml",
            f'<styleSheet xmlns="{main}"><cellXfs count="2"><xf numFmtId="0"/>'
            '<xf numFmtId="22" applyNumberFormat="1"/></cellXfs></styleSheet>',
        )
        for n, rows in zip(numbers, sheets.values(), strict=True):
            body = "".join(f"<row>{''.join(_cell(value) for value in row)}</row>" for row in rows)
            archive.writestr(
                f"xl/worksheets/s{n}.xml",
                f'<worksheet xmlns="{main}"><sheetData>{body}</sheetData></worksheet>',
            )
    return path


def _cell(value: object) -> str:
    if value is None:
        return "<c/>"
    if isinstance(value, datetime):
        days = (value - datetime.fromisoformat("1899-12-30")).total_seconds() / 86400
        return f'<c s="1"><v>{days!r}</v></c>'
    if isinstance(value, int | float):
        return f"<c><v>{value!r}</v></c>"
    return f'<c t="inlineStr"><is><t>{escape(str(value))}</t></is></c>'
