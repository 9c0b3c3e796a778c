from __future__ import annotations

import json
import os
from collections import Counter
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import bson
import pandas as pd
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from loaders.errors import UserError
from sandbox.online_retail import documents
from sandbox.online_retail.cli import read_files
from sandbox.online_retail.lines import Lines, combine
from sandbox.online_retail.read import read_file
from tests.python.sandbox.retail_files import (
    FIRST,
    SECOND,
    line,
    write_csv,
    write_parquet,
    write_xlsx,
)

ROWS = [
    line("536365", quantity=6, price=2.55),
    line("536365", "71053", 6, price=3.39, description='LANTERN, £ "white"'),
    line("536370", "POST", 3, price=18.0, customer=12583, description="POSTAGE", country="France"),
    line("C536379", quantity=-2, at="2011-01-11 09:41"),
    line("A563185", "B", 1, at="2011-01-12 14:50", price=-11062.06, customer=None),
    line("536414", "22139", 56, at="2011-01-12 15:00", price=0.0, customer=None, description=None),
    line("536415", "PADS", 1, at="2011-01-13 15:00", price=0.001),
]


def local(text: str) -> datetime:
    return datetime.fromisoformat(text)


def imported(tmp_path: Path, *files: list) -> Lines:
    return read_files(
        [write_parquet(tmp_path / f"{n}.parquet", rows) for n, rows in enumerate(files)]
    )


def one(lines: Lines, order_no: str) -> dict:
    return next(order for order in documents.orders(lines) if order["order_no"] == order_no)


def found_lines(lines: Lines) -> tuple[Counter, Decimal]:
    """Every source line as the documents have it, and the sum that the documents give."""
    found: Counter = Counter()
    total = Decimal(0)
    for order in documents.orders(lines):
        for item in order["items"]:
            found[item["line_id"]] += 1
            total += item["qty"] * item["unit_price"].to_decimal()
        for refund in order["refunds"]:
            for part in refund["lines"]:
                found[part["source_line"]] += 1
                total -= part["amount"].to_decimal()
    return found, total


# --- reading ------------------------------------------------------------------------------------


def files_of(tmp_path: Path) -> dict[str, Path]:
    sheet = [SECOND, *ROWS]
    return {
        "parquet": write_parquet(tmp_path / "a.parquet", ROWS),
        "csv": write_csv(tmp_path / "b.csv", ROWS),
        "csv of the first set": write_csv(
            tmp_path / "c.csv", ROWS, FIRST, encoding="latin-1", dates="%m/%d/%Y %H:%M"
        ),
        "csv of a German spreadsheet": write_csv(
            tmp_path / "d.csv", ROWS, FIRST, delimiter=";", dates="%d.%m.%Y %H:%M", decimal=",",
            encoding="utf-8-sig",
        ),
        "tsv": write_csv(tmp_path / "e.tsv", ROWS, delimiter="\t", encoding="cp1252"),
        "workbook": write_xlsx(tmp_path / "f.xlsx", {"Year 2010-2011": sheet}),
        "workbook of two sheets and notes": write_xlsx(
            tmp_path / "g.xlsx",
            {"Notes": [["Source", "UCI"]], "1": sheet[:4], "2": [SECOND, *ROWS[3:]], "empty": []},
        ),
    }  # fmt: skip


def test_every_form_of_the_data_set_gives_the_same_lines(tmp_path):
    read = {form: read_file(path) for form, path in files_of(tmp_path).items()}
    expected = read["parquet"]
    assert expected["price"].tolist()[-1] == Decimal("0.001")
    assert expected["customer"].tolist()[:3] == ["17850", "17850", "12583"]
    assert expected["description"].isna().sum() == 1
    for form, frame in read.items():
        columns = [name for name in expected.columns if name not in {"line", "sheet"}]
        for name in columns:
            mine, theirs = frame[name], expected[name]
            same = (mine == theirs) | (mine.isna() & theirs.isna())
            assert same.all(), f"{form}: {name}"


def test_prices_are_what_was_written_not_what_a_float_makes_of_them(tmp_path):
    rows = [line("1", price=price) for price in (2.55, 0.1 + 0.2, 16.13, 0.001, -53594.36)]
    path = write_parquet(tmp_path / "a.parquet", rows[:1] + rows[2:])
    assert read_file(path)["price"].tolist() == [
        Decimal("2.55"), Decimal("16.13"), Decimal("0.001"), Decimal("-53594.36")
    ]  # fmt: skip
    with pytest.raises(UserError, match=r"line 3: .* is not a price of at most 6 decimals"):
        read_file(write_parquet(tmp_path / "b.parquet", rows))


@pytest.mark.parametrize(
    ("dates", "order", "expected"),
    [
        ("%d/%m/%Y %H:%M", "day-first", local("2011-02-01 10:00")),
        ("%m/%d/%y %I:%M %p", "month-first", local("2011-02-01 10:00")),
    ],
)
def test_dates_that_can_be_read_two_ways_are_asked_for(tmp_path, dates, order, expected):
    path = write_csv(tmp_path / "a.csv", [line("1", at="2011-02-01 10:00")], dates=dates)
    with pytest.raises(UserError, match="--dates day-first or --dates month-first"):
        read_file(path)
    assert read_file(path, order)["at"].tolist() == [expected]


def test_a_later_line_tells_how_the_dates_are_written(tmp_path):
    rows = [line("1", at="2011-02-01 10:00"), line("2", at="2011-02-13 10:00")]
    path = write_csv(tmp_path / "a.csv", rows, dates="%d/%m/%Y %H:%M")
    assert read_file(path)["at"].tolist() == [row[4] for row in rows]


def broken(tmp_path: Path, name: str) -> Path:
    path = tmp_path / name
    if name == "empty.csv":
        path.touch()
    elif name == "header only.csv":
        write_csv(path, [])
    elif name == "other.csv":
        path.write_text("order,sku,Quantity,Country\n1,2,3,UK\n")
    elif name == "other.xlsx":
        write_xlsx(path, {"Sheet1": [["order", "Quantity"], ["1", 2]]})
    elif name == "other.parquet":
        pq_header = [*SECOND[:7], "Land"]
        write_parquet(path, ROWS, pq_header)
    elif name in {"broken.xlsx", "broken.parquet"}:
        path.write_bytes(b"PK\x03\x04 this was a download that stopped")
    elif name == "ragged.csv":
        path.write_text(write_csv(tmp_path / "x.csv", ROWS).read_text() + "a,b,c,1,2,3,4,5,6,7\n")
    elif name == "letters.csv":
        text = write_csv(tmp_path / "x.csv", ROWS).read_text()
        path.write_text(text.replace("18.0", "gratis"))
    elif name == "half.csv":
        path.write_text(write_csv(tmp_path / "x.csv", ROWS).read_text().replace(",56,", ",5.6,"))
    elif name == "when.csv":
        path.write_text(write_csv(tmp_path / "x.csv", ROWS).read_text().replace("14:50", "25:50"))
    elif name == "no code.csv":
        path.write_text(write_csv(tmp_path / "x.csv", ROWS).read_text().replace("71053", ""))
    elif name == "notes.txt.gz":
        path.write_bytes(b"x")
    return path


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nowhere.csv", "no such file"),
        ("empty.csv", "the file is empty"),
        ("header only.csv", "a header but no lines"),
        ("other.csv", r"no column Invoice or InvoiceNo; .*Customer ID.* \(it has: order, sku"),
        ("other.xlsx", "no column Invoice or InvoiceNo; StockCode"),
        ("other.parquet", r"no column Country \(it has"),
        ("broken.xlsx", "not a readable workbook"),
        ("broken.parquet", "not a readable Parquet file"),
        ("ragged.csv", "not a readable CSV file"),
        ("letters.csv", "line 4: 'gratis' is not a price"),
        ("half.csv", "line 7: '5.6' is not a whole quantity"),
        ("when.csv", "line 6: .*25:50.* is not a date and time"),
        ("no code.csv", "line 3: no StockCode"),
        ("notes.txt.gz", "not a workbook"),
    ],
)
def test_bad_files_get_one_clear_line(tmp_path, name, says):
    with pytest.raises(UserError, match=says) as error:
        read_files([broken(tmp_path, name)])
    assert "\n" not in str(error.value)
    assert name in str(error.value)


# --- overlap ------------------------------------------------------------------------------------


def test_an_invoice_in_both_files_is_taken_once_with_its_duplicate_lines(tmp_path):
    twice = [line("2", at="2011-01-11 10:00"), line("2", at="2011-01-11 10:00")]
    lines = imported(tmp_path, [line("1"), *twice], [*twice, line("3", at="2011-01-12 10:00")])
    assert (len(lines.frame), lines.overlapping, lines.dropped) == (4, 1, 2)
    assert lines.differing == []
    assert [item["line_id"] for item in one(lines, "2")["items"]] == ["2-1", "2-2"]


@pytest.mark.parametrize("form", ["sheets of a workbook", "one CSV after the other"])
def test_the_overlap_within_one_file_is_found_too(tmp_path, form):
    first = [line("1", at="2011-01-01 10:00"), *[line("2", at="2011-01-08 10:00")] * 2]
    second = [*first[1:], line("3", at="2011-01-09 10:00")]
    second = [line("0", at="2011-01-05 10:00"), *second]
    if form == "one CSV after the other":
        path = write_csv(tmp_path / "a.csv", first + second)
    else:
        sheets = {"2010": [SECOND, *first], "2011": [SECOND, *second]}
        path = write_xlsx(tmp_path / "a.xlsx", sheets)
    lines = read_files([path])
    assert (lines.overlapping, lines.dropped, lines.files[0]["parts"]) == (1, 2, 2)
    assert Counter(lines.frame["invoice"]) == {"0": 1, "1": 1, "2": 2, "3": 1}


def test_a_file_that_is_not_sorted_has_no_overlap_with_itself(tmp_path):
    days = [f"2011-01-{day:02} 10:00" for n in range(1, 20) for day in (30 - n, n)]
    rows = [line("1", at=at) for at in days] * 2
    lines = imported(tmp_path, rows)
    assert (len(lines.frame), lines.overlapping, lines.files[0]["parts"]) == (76, 0, 1)


def test_copies_in_another_order_are_the_same_invoice(tmp_path):
    a, b = line("2", "A1"), line("2", "B1")
    lines = imported(tmp_path, [a, b], [b, a])
    assert (len(lines.frame), lines.differing) == (2, [])


def test_copies_that_differ_lose_no_line_and_are_named(tmp_path):
    shared, cut, changed = line("2", "A1"), line("2", "B1"), line("3", quantity=5)
    lines = imported(tmp_path, [shared, changed], [shared, cut, line("3", quantity=4)])
    assert lines.differing == ["2", "3"]
    assert Counter(lines.frame["invoice"]) == {"2": 2, "3": 2}
    assert documents.manifest(lines)["overlap"]["differing_invoices"] == ["2", "3"]


def test_the_order_of_the_files_does_not_matter(tmp_path):
    first, second = ROWS[:4], [*ROWS[2:], line("9", at="2011-03-01 10:00")]
    paths = [write_parquet(tmp_path / "a.parquet", first), write_csv(tmp_path / "b.csv", second)]
    one_way, other_way = read_files(paths), read_files(paths[::-1])
    assert documents.manifest(one_way) == documents.manifest(other_way)
    assert list(documents.orders(one_way)) == list(documents.orders(other_way))


# --- ties ---------------------------------------------------------------------------------------


def tied(tmp_path: Path, *rows) -> dict[str, str]:
    """Source line of each tied cancellation -> the line that it cancels."""
    lines = imported(tmp_path, list(rows))
    return {
        part["source_line"]: part["line_id"]
        for order in documents.orders(lines)
        for refund in order["refunds"]
        for part in refund["lines"]
    }


SALE = line("1", quantity=5)
LATER = "2011-02-01 10:00"


def test_a_cancellation_becomes_a_refund_on_the_order_that_it_cancels(tmp_path):
    lines = imported(tmp_path, [SALE, line("C2", quantity=-2, at=LATER)])
    order = one(lines, "1")
    at = local("2011-02-01 10:00")
    [refund] = order["refunds"]
    [part] = refund["lines"]
    assert (refund["id"], refund["at"], refund["reason"]) == ("C2", at, "cancellation")
    assert (part["line_id"], part["qty"], part["source_line"]) == ("1-1", 2, "C2-1")
    assert part["amount"].to_decimal() == Decimal("5.10")
    assert order["updated_at"] == at
    assert order["placed_at"] == order["created_at"] == local("2011-01-10 10:00")
    assert [order["order_no"] for order in documents.orders(lines)] == ["1"]


@pytest.mark.parametrize(
    ("why", "cancellation"),
    [
        ("other customer", line("C2", quantity=-2, at=LATER, customer=1)),
        ("no customer", line("C2", quantity=-2, at=LATER, customer=None)),
        ("other code", line("C2", "85123a", quantity=-2, at=LATER)),
        ("other price", line("C2", quantity=-2, at=LATER, price=2.5)),
        ("more than was sold", line("C2", quantity=-6, at=LATER)),
        ("same time", line("C2", quantity=-2)),
        ("earlier", line("C2", quantity=-2, at="2011-01-09 10:00")),
        ("positive", line("C2", quantity=2, at=LATER)),
    ],
)
def test_what_cannot_be_told_is_a_credit_note_of_its_own(tmp_path, why, cancellation):
    assert tied(tmp_path, SALE, cancellation) == {}
    note = one(imported(tmp_path, [SALE, cancellation]), "C2")
    assert (note["kind"], note["refunds"]) == ("credit_note", [])
    assert [(item["line_id"], item["qty"]) for item in note["items"]] == [("C2-1", cancellation[3])]


def test_two_anonymous_lines_are_not_one_customer(tmp_path):
    sale = line("1", quantity=5, customer=None)
    assert tied(tmp_path, sale, line("C2", quantity=-2, at=LATER, customer=None)) == {}


def test_the_most_recent_sale_with_enough_left_is_cancelled(tmp_path):
    newer, newest = (line(n, quantity=3, at=f"2011-01-1{n} 10:00") for n in "23")
    cancel = [line(f"C{n}", quantity=-2, at=f"2011-02-0{n} 10:00") for n in range(1, 6)]
    assert tied(tmp_path, SALE, newer, newest, *cancel) == {
        "C1-1": "3-1", "C2-1": "2-1", "C3-1": "1-1", "C4-1": "1-1"
    }  # fmt: skip


def test_an_invoice_tied_in_part_keeps_the_rest_as_a_credit_note(tmp_path):
    rows = [SALE, line("C2", "D", -1, LATER, 9.99), line("C2", quantity=-1, at=LATER)]
    lines = imported(tmp_path, rows)
    note = one(lines, "C2")
    assert [item["line_id"] for item in note["items"]] == ["C2-1"]
    assert one(lines, "1")["refunds"][0]["lines"][0]["source_line"] == "C2-2"
    assert note["totals"]["grand"].to_decimal() == Decimal("-9.99")


# --- documents ----------------------------------------------------------------------------------


def test_local_times_become_utc(tmp_path):
    at = {"1": "2011-01-10 10:00", "2": "2011-07-10 10:00", "3": "2011-03-27 01:30"}
    at["4"] = "2011-10-30 01:30"
    lines = imported(tmp_path, [line(invoice, at=when) for invoice, when in at.items()])
    assert {order["order_no"]: order["placed_at"] for order in documents.orders(lines)} == {
        "1": local("2011-01-10 10:00"),
        "2": local("2011-07-10 09:00"),
        "3": local("2011-03-27 01:00"),  # 01:30 was skipped: the clock went from 01:00 to 02:00
        "4": local("2011-10-30 00:30"),  # the first of the two
    }


def test_adjustments_and_lines_without_price_or_customer_are_kept(tmp_path):
    lines = imported(tmp_path, ROWS)
    assert one(lines, "A563185")["kind"] == "adjustment"
    assert one(lines, "A563185")["totals"]["gross"].to_decimal() == Decimal("-11062.06")
    free = one(lines, "536414")
    assert (free["kind"], free["user_id"], free["items"][0]["title"]) == ("sale", None, None)
    assert one(lines, "536415")["totals"]["gross"].to_decimal() == Decimal("0.001")


def test_a_line_that_contradicts_its_invoice_keeps_what_it_says(tmp_path):
    rows = [line("1"), line("1", at="2011-01-10 10:01", customer=None, country="France")]
    items = one(imported(tmp_path, rows), "1")["items"]
    assert {"at", "user_id", "address"}.isdisjoint(items[0])
    assert (items[1]["at"], items[1]["user_id"]) == (local("2011-01-10 10:01"), None)
    assert items[1]["address"] == {"country": "FR", "country_name": "France"}


def test_customers_have_the_country_of_their_latest_line_first(tmp_path):
    rows = [
        line("1", at="2011-01-10 10:00", country="France"),
        line("2", at="2011-03-10 10:00", country="Belgium"),
        line("3", at="2011-02-10 10:00", country="France"),
        line("4", customer=None, country="Japan"),
    ]
    [user] = documents.users(imported(tmp_path, rows))
    assert user["_id"] == "cust-17850"
    assert [(a["country"], a["default"]) for a in user["addresses"]] == [
        ("BE", True), ("FR", False)
    ]  # fmt: skip
    assert user["created_at"] == user["signup"]["at"] == local("2011-01-10 10:00")
    assert user["updated_at"] == local("2011-03-10 10:00")


@pytest.mark.parametrize(
    ("name", "code"),
    [("EIRE", "IE"), ("Channel Islands", "Channel Islands"), ("Unspecified", None), ("Oz", "Oz")],
)
def test_countries_have_codes_and_keep_their_names(tmp_path, name, code):
    order = one(imported(tmp_path, [line("1", country=name)]), "1")
    assert order["shipping"]["address"] == {"country": code, "country_name": name}


def test_products_are_named_and_priced_by_what_was_usual_last(tmp_path):
    rows = [
        *[line("1", description="OLD NAME", price=1.0, at="2011-01-10 10:00")] * 2,
        *[line("2", description="NEW NAME", price=2.0, at="2011-02-10 10:00")] * 2,
        line("3", description="NEW NAME", price=9.0, at="2011-02-09 10:00"),
        line("4", description="OLD NAME", price=9.0, at="2011-01-11 10:00"),
        *[line("5", description="damaged", price=0.0, at="2011-03-10 10:00")] * 9,
        line("6", "NOSALE", description="lost", price=0.0, quantity=-3),
        line("7", "BLANK", description="nan", price=0.0),
    ]
    products = {doc["sku"]: doc for doc in documents.products(imported(tmp_path, rows))}
    heart = products["85123A"]
    assert heart["title"] == "NEW NAME"
    assert heart["attrs"]["titles"] == ["OLD NAME", "NEW NAME", "damaged"]
    assert heart["variants"][0]["price"].to_decimal() == Decimal("2.00")
    assert products["NOSALE"]["title"] == "lost"
    assert "price" not in products["NOSALE"]["variants"][0]
    assert products["BLANK"]["title"] is None


def test_codes_lose_blanks_and_keep_their_case(tmp_path):
    rows = [line("1", code) for code in ("47503J ", "47503J", "47503j")]
    assert [doc["sku"] for doc in documents.products(imported(tmp_path, rows))] == [
        "47503J", "47503j"
    ]  # fmt: skip


# --- invariants ---------------------------------------------------------------------------------

invoices = st.lists(
    st.builds(
        line,
        invoice=st.sampled_from(["1", "2", "3", "C4", "C5", "C6", "A7"]),
        code=st.sampled_from(["A", "B", "POST"]),
        quantity=st.integers(-6, 6),
        at=st.integers(10, 28).map(lambda day: f"2011-01-{day} 10:00"),
        price=st.sampled_from([0.0, 0.001, 0.29, 1.1, -5.0]),
        customer=st.sampled_from([1, 2, None]),
        country=st.sampled_from(["France", "EIRE"]),
    ),
    min_size=1,
    max_size=40,
)


def as_frame(rows: list) -> pd.DataFrame:
    columns = ["invoice", "code", "description", "quantity", "at", "price", "customer", "country"]
    frame = pd.DataFrame(rows, columns=columns)
    frame["price"] = [Decimal(repr(price)) for price in frame["price"]]
    frame["customer"] = pd.Series(
        [None if row[6] is None else str(row[6]) for row in rows], dtype="str"
    )
    frame["sheet"] = 1
    return frame.sort_values("at", kind="stable", ignore_index=True).astype(
        {"invoice": "str", "code": "str", "at": "datetime64[us]"}
    )


@given(rows=invoices)
@hypothesis_settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_source_line_is_found_once_and_the_sum_is_exact(rows):
    lines = combine([("one", as_frame(rows))])
    found, total = found_lines(lines)
    number: Counter = Counter()
    expected = set()
    for row in rows:
        number[row[0]] += 1
        expected.add(f"{row[0]}-{number[row[0]]}")
    assert set(found) == expected
    assert set(found.values()) == {1}
    exact = sum(row[3] * Decimal(repr(row[5])) for row in rows)
    assert total == exact
    truth = documents.manifest(lines)
    assert Decimal(truth["sum"]) == exact
    for split in ("parts", "months"):
        assert sum(part["lines"] for part in truth[split].values()) == len(rows)
        assert sum(Decimal(part["sum"]) for part in truth[split].values()) == exact
    sold = {
        item["line_id"]: item["qty"] for order in documents.orders(lines) for item in order["items"]
    }
    cancelled: Counter = Counter()
    for order in documents.orders(lines):
        for refund in order["refunds"]:
            for part in refund["lines"]:
                cancelled[part["line_id"]] += part["qty"]
    assert all(0 < quantity <= sold[line_id] for line_id, quantity in cancelled.items())


@given(rows=invoices, data=st.data())
@hypothesis_settings(max_examples=75, deadline=None, suppress_health_check=list(HealthCheck))
def test_cutting_a_file_in_overlapping_pieces_changes_nothing(rows, data):
    rows = sorted(rows, key=lambda row: row[0])
    whole = combine([("whole", as_frame(rows))])
    ends = [n for n in range(1, len(rows)) if rows[n][0] != rows[n - 1][0]] + [len(rows)]
    end, start = data.draw(st.sampled_from(ends)), data.draw(st.sampled_from([0, *ends[:-1]]))
    pieces = [("a", as_frame(rows[:end])), ("b", as_frame(rows[min(start, end % len(rows)) :]))]
    cut = combine(pieces)
    assert cut.differing == []
    assert len(cut.frame) == len(rows)
    assert cut.frame["amount"].sum() == whole.frame["amount"].sum()


def test_the_same_files_give_the_same_bytes(tmp_path):
    def everything() -> bytes:
        lines = imported(tmp_path, ROWS)
        made = [*documents.users(lines), *documents.products(lines), *documents.orders(lines)]
        return json.dumps(documents.manifest(lines)).encode() + b"".join(map(bson.encode, made))

    assert everything() == everything()


# --- the published data set ---------------------------------------------------------------------

DATA = Path(
    os.environ.get("LEDGERLINE_DATA", Path(__file__).resolve().parents[4] / "shared" / "data")
)
PUBLISHED = [DATA / f"online_retail_ii_{years}.parquet" for years in ("2009_2010", "2010_2011")]


needs_published = pytest.mark.skipif(
    not all(path.is_file() for path in PUBLISHED),
    reason="the Online Retail II files are not there: set LEDGERLINE_DATA to their folder",
)


@pytest.mark.slow
@needs_published
def test_the_published_set_as_one_csv_gives_the_same(tmp_path):
    both = pd.concat([pd.read_parquet(path) for path in PUBLISHED])
    both.to_csv(tmp_path / "online_retail_II.csv", index=False)
    truth = documents.manifest(read_files([tmp_path / "online_retail_II.csv"]))
    assert (truth["lines"], truth["invoices"], truth["customers"]) == (1_044_847, 53_628, 5_942)
    assert truth["sum"] == "18909744.118"


@pytest.mark.slow
@needs_published
def test_the_published_counts_come_out():
    lines = read_files(PUBLISHED)
    truth = documents.manifest(lines)
    assert [(file["lines"], file["invoices"]) for file in truth["files"]] == [
        (525_461, 28_816), (541_909, 25_900)
    ]  # fmt: skip
    assert truth["overlap"] == {
        "invoices": 1_088, "lines_dropped": 22_523, "differing_invoices": []
    }  # fmt: skip
    assert (truth["lines"], truth["invoices"], truth["customers"]) == (1_044_847, 53_628, 5_942)
    assert (truth["sum"], truth["sum_rounded"]) == ("18909744.118", "18909744.12")
    assert truth["parts"]["adjustments"]["sum"] == "-147614.08"
    found, total = found_lines(lines)
    assert len(found) == 1_044_847
    assert set(found.values()) == {1}
    assert total == Decimal("18909744.118")
