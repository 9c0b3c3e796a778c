"""Reading of exports, the mapping, and rows as documents: no server needed."""

from __future__ import annotations

import gzip
import math
import tracemalloc
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import bson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bson import DBRef, Decimal128, Int64, ObjectId
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from loaders.errors import UserError
from loaders.files import documents as file_documents
from loaders.files.documents import FIELDS, RowMaker
from loaders.files.mapping import ENTITIES, REQUIRED, Reading, load_mapping
from loaders.files.rows import BadLine, Row, open_rows
from loaders.files.shelf import Shelf

MAPPING = load_mapping(None, "Europe/London")


def known(columns):
    return MAPPING.known("customers", columns)


def rows_of(path, **options):
    return list(open_rows(path, known, **options).rows())


# --- rows ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "encoding",
    ["utf-8", "utf-8-sig", "cp1252", "latin-1", "utf-16", "utf-16-le", "utf-16-be", "utf-32"],
)
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_encoding_and_delimiter_are_found_out(tmp_path, encoding, delimiter):
    path = tmp_path / "customers.csv"
    text = f"customer_id{delimiter}name{delimiter}city\n1{delimiter}Zoë{delimiter}Köln\n"
    path.write_bytes(text.encode(encoding))
    assert rows_of(path) == [Row(2, {"customer_id": "1", "name": "Zoë", "city": "Köln"})]


def test_bytes_that_no_windows_text_has_are_read_as_latin_1(tmp_path):
    path = tmp_path / "customers.csv"
    path.write_bytes(b"customer_id,name\n1,a\x81b\xe9\n")
    assert rows_of(path)[0].values["name"] == "a\x81bé"


def test_line_numbers_are_those_of_the_file(tmp_path):
    path = tmp_path / "customers.csv"
    path.write_text('customer_id,name\n1,"two\nlines"\n\n2,b,c\n3\n4,d\n')
    assert rows_of(path) == [
        Row(2, {"customer_id": "1", "name": "two\nlines"}),
        BadLine("customers.csv", 5, "it has 3 fields, the header 2", ["2", "b", "c"]),
        BadLine("customers.csv", 6, "it has 1 fields, the header 2", ["3"]),
        Row(7, {"customer_id": "4", "name": "d"}),
    ]


def test_json_lines_keep_numbers_exact_and_name_their_bad_lines(tmp_path):
    path = tmp_path / "products.jsonl"
    path.write_text('{"id": 1, "price": 12.10}\n\n[1]\n{"id": 2\n')
    good, array, broken = rows_of(path)
    assert good == Row(1, {"id": 1, "price": Decimal("12.10")})
    assert (array.line, array.reason) == (3, "it is no JSON object")
    assert broken.line == 4
    assert broken.reason.startswith("it is no JSON")


def test_parquet_keeps_its_types(tmp_path):
    path = tmp_path / "t.parquet"
    at = datetime(2024, 3, 1, 10, tzinfo=UTC)
    pq.write_table(pa.table({"id": [1], "at": [at], "price": [Decimal("1.20")]}), path)
    [row] = rows_of(path)
    assert row == Row(1, {"id": 1, "at": at, "price": Decimal("1.20")})


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("none.csv", None, "no such file"),
        ("empty.csv", b"", "the file is empty"),
        ("book.xlsx", b"x", "not a .csv, .jsonl or .parquet file"),
        ("t.parquet", b"PAR1 cut off", "not a readable Parquet file"),
        ("twice.csv", b"id,name,id\n1,a,2\n", "has the column id more than once"),
        ("mark.csv", b"\xef\xbb\xbf", "the file is empty"),
        ("t.csv.zip", b"x", "not a .csv, .jsonl or .parquet file"),
    ],
)
def test_files_that_are_none_get_one_clear_line(tmp_path, name, content, says):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=says) as error:
        rows_of(path)
    assert "\n" not in str(error.value)


def test_an_encoding_that_the_mapping_names_wrongly_is_told(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes("id\nKöln\n".encode("cp1252"))
    with pytest.raises(UserError, match="can't be read as wrong-8"):
        rows_of(path, encoding="wrong-8")


def test_a_few_bad_bytes_make_no_windows_file_of_utf_8(tmp_path):
    path = tmp_path / "people.csv"
    path.write_bytes(
        b"customer_id,name\n"
        + "".join(f"{n},Zoë\n" for n in range(20)).encode()
        + b"20,K\xf6ln\n21,Ely\n"
    )
    rows = rows_of(path)
    assert rows[0].values["name"] == "Zoë"
    assert rows[20] == BadLine("people.csv", 22, "it is not utf-8", b"20,K\xf6ln")
    assert rows[21] == Row(23, {"customer_id": "21", "name": "Ely"})


def test_an_encoding_that_fits_not_all_lines_has_bad_lines(tmp_path):
    path = tmp_path / "people.csv"
    path.write_bytes("customer_id,name\n1,Zoë\n2,Ely\n".encode("cp1252"))
    bad, good = rows_of(path, encoding="utf-8")
    assert (bad.line, bad.reason, bad.content) == (2, "it is not utf-8", b"1,Zo\xeb")
    assert good.values["name"] == "Ely"


def test_a_character_cut_in_two_at_the_end_is_a_bad_line(tmp_path):
    path = tmp_path / "people.csv"
    path.write_bytes("customer_id,name\n1,Zoë\n2,Noé\n3,Chloë".encode()[:-1])
    *_, last = rows_of(path)
    assert (last.line, last.is_cut, last.reason) == (4, True, "it is not utf-8")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_of_every_system(tmp_path, end):
    path = tmp_path / "people.csv"
    text = end.join(["customer_id,name", '1,"two', 'lines"', "2,b", "3"]) + end
    path.write_bytes(text.encode())
    first, second, bad = rows_of(path)
    assert first == Row(2, {"customer_id": "1", "name": f"two{end}lines"})
    assert (second.line, second.values["name"], bad.line) == (4, "b", 5)


def test_a_quote_that_is_never_closed_takes_no_other_line_with_it(tmp_path):
    path = tmp_path / "people.csv"
    path.write_text('customer_id,name\n1,a\n2,"b\n3,"c,d"\n4,"e ""f"""\n5,g\n6,"h\n7,i\n')
    rows = rows_of(path)
    assert [row.line for row in rows] == [2, 3, 4, 5, 6, 7, 8]
    bad = {row.line: row.content for row in rows if isinstance(row, BadLine)}
    assert bad == {3: '2,"b', 7: '6,"h'}
    assert rows[2].values["name"] == "c,d"
    assert rows[3].values["name"] == 'e "f"'


def test_a_line_without_end_that_is_whole_is_a_row(tmp_path):
    path = tmp_path / "people.csv"
    path.write_text("customer_id,name\n1,a")
    assert rows_of(path) == [Row(2, {"customer_id": "1", "name": "a"})]


def test_excels_separator_line_is_understood(tmp_path):
    path = tmp_path / "people.csv"
    path.write_text("sep=;\r\ncustomer_id;name\r\n1;a,b\r\n", newline="")
    assert rows_of(path) == [Row(3, {"customer_id": "1", "name": "a,b"})]


def test_columns_without_a_name_or_with_one_twice_are_kept(tmp_path):
    path = tmp_path / "people.csv"
    path.write_text("customer_id,note,,note\n1,a,b,c\n")
    assert rows_of(path) == [
        Row(2, {"customer_id": "1", "note": "a", "column 3": "b", "note (2)": "c"})
    ]


@pytest.mark.parametrize("name", ["people.csv.gz", "people.jsonl.gz"])
def test_compressed_files_are_read_and_broken_ones_refused(tmp_path, name):
    path = tmp_path / name
    lines = {"csv": "customer_id\n1\n", "jsonl": '{"customer_id": "1"}\n'}[name.split(".")[1]]
    data = gzip.compress(lines.encode())
    path.write_bytes(data)
    [row] = rows_of(path)
    assert row.values == {"customer_id": "1"}
    path.write_bytes(data[:-6])
    with pytest.raises(UserError, match="compressed file is broken or not all there"):
        rows_of(path)
    path.write_bytes(gzip.compress(b""))
    with pytest.raises(UserError, match="the file is empty"):
        rows_of(path)
    path.write_bytes(lines.encode())
    with pytest.raises(UserError, match="can't be read"):
        rows_of(path)


def test_a_file_that_is_changed_while_it_is_read_is_refused(tmp_path):
    path = tmp_path / "people.csv"
    path.write_text("customer_id\n1\n2\n")
    rows = open_rows(path, known).rows()
    next(rows)
    with path.open("a") as file:
        file.write("3\n")
    with pytest.raises(UserError, match="was changed while it was read"):
        list(rows)


def test_json_with_a_key_twice_or_wrong_extended_json_is_a_bad_line(tmp_path):
    path = tmp_path / "people.jsonl"
    path.write_text('{"id": 1, "id": 2}\n{"id": {"$oid": "xyz"}}\n{"id": {"$oid": 7}}\n{"id": 1')
    twice, wrong, type_, cut = rows_of(path)
    assert twice.reason == "it is no JSON: the key 'id' stands in it twice"
    assert all(row.reason.startswith("it is no JSON") for row in (wrong, type_, cut))
    assert [row.is_cut for row in (twice, wrong, type_, cut)] == [False, False, False, True]


def test_extended_json_of_every_form_is_the_type_it_names(tmp_path):
    path = tmp_path / "people.jsonl"
    path.write_text(
        '{"_id": {"$oid": "5f1e8a9b0c2d3e4f5a6b7c8d"}, "a": {"$date": "2024-03-01T10:00:00Z"}, '
        '"b": {"$date": {"$numberLong": "1709287200000"}}, "c": {"$numberDecimal": "1.50"}, '
        '"d": [{"$numberLong": "9007199254740993"}], "e": {"$numberDouble": "NaN"}, '
        '"f": {"$ref": "users", "$id": 1}, "g": {"$set": {"x": 1}}, "h": {"$numberInt": "7"}}\n'
    )
    [row] = rows_of(path)
    at = datetime(2024, 3, 1, 10, tzinfo=UTC)
    assert isinstance(row.values["d"][0], Int64)
    assert math.isnan(row.values.pop("e"))
    assert row.values == {
        "_id": ObjectId("5f1e8a9b0c2d3e4f5a6b7c8d"), "a": at, "b": at, "c": Decimal128("1.50"),
        "d": [2**53 + 1], "f": DBRef("users", 1), "g": {"$set": {"x": 1}}, "h": 7,
    }  # fmt: skip


def test_parquet_of_every_shape_is_what_bson_holds(tmp_path):
    path = tmp_path / "t.parquet"
    at = datetime(2024, 3, 1, 10, 0, 0, 123000)  # noqa: DTZ001 -- without a zone on purpose
    table = pa.table(
        {
            "id": pa.array(["a", "b"]).dictionary_encode(),
            "nested": [{"x": [1, None], "y": {"z": Decimal("1.20")}}, None],
            "naive": pa.array([at, None], pa.timestamp("us")),
            "nano": pa.array([1709287200123456789, None], pa.timestamp("ns", "UTC")),
            "map": pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int64())),
            "wide": pa.array([Decimal("1" * 40), None], pa.decimal256(50)),
            "bytes": [b"\0\xff", None],
            "float": [float("inf"), float("nan")],
        }
    )
    pq.write_table(table, path)
    reading = Reading(ZoneInfo("Europe/Berlin"))
    documents = [
        bson.decode(bson.encode(reading.any(row.values))) for row in open_rows(path, known).rows()
    ]
    hour = timedelta(hours=1)
    assert documents[0] == {
        "id": "a", "nested": {"x": [1, None], "y": {"z": Decimal128("1.20")}}, "naive": at - hour,
        "nano": at, "map": [["k", 1]], "wide": "1" * 40, "bytes": b"\0\xff",
        "float": float("inf"),
    }  # fmt: skip
    assert set(documents[1].values()) == {"b", None}


def test_a_parquet_row_that_python_cannot_hold_is_a_bad_line(tmp_path):
    path = tmp_path / "t.parquet"
    times = pa.array([0, 2**60, 1], pa.timestamp("ms"))
    pq.write_table(pa.table({"id": [1, 2, 3], "at": times}), path)
    first, bad, last = rows_of(path)
    assert (first.line, last.line, last.values["id"]) == (1, 3, 3)
    assert (bad.line, bad.reason.split(":")[0]) == (2, "a value has no counterpart")
    assert "1152921504606846976" in str(bad.content)


# --- mapping ------------------------------------------------------------------------------------


def test_the_default_mapping_and_the_documents_know_the_same_fields():
    assert {entity: set(MAPPING.names[entity]) for entity in ENTITIES} == {
        entity: set(FIELDS[entity]) for entity in ENTITIES
    }
    for entity, lists in REQUIRED.items():
        assert {name for names in lists for name in names} <= set(FIELDS[entity])


def test_case_blanks_and_punctuation_of_a_column_do_not_matter():
    found = MAPPING.resolve("customers", ["Customer ID", "E-Mail", "first-name", "ZIP_Code"])
    assert found == {
        "id": "Customer ID",
        "email": "E-Mail",
        "first_name": "first-name",
        "postal_code": "ZIP_Code",
    }


def own(tmp_path, text):
    path = tmp_path / "mapping.yml"
    path.write_text(text)
    return load_mapping(path, "Europe/London")


def test_an_own_mapping_names_columns_constants_and_formats(tmp_path):
    mapping = own(
        tmp_path,
        """
        options: {decimal: ",", dates: "%d.%m.%Y", timezone: Europe/Berlin, missing: ["", "-"]}
        transactions:
          id: Beleg
          placed_at: [Datum]
          total: Betrag
          currency: {value: EUR}
        """,
    )
    row = RowMaker("transactions", mapping).make(
        {"Beleg": "7", "Datum": "01.07.2024", "Betrag": "1.234,50", "status": "-"}
    )
    assert row == {
        "_id": "7",
        "placed_at": datetime.fromisoformat("2024-06-30 22:00"),
        "totals": {"grand": Decimal128("1234.50")},
        "currency": "EUR",
    }


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("customer: {id: x}", "no section customer: did you mean customers"),
        ("customers: {idd: x}", "no field of customers idd: did you mean id"),
        ("options: {decimals: x}", "no option decimals: did you mean decimal"),
        ("options: {decimal: x}", "the option decimal is"),
        ("options: {timezone: Mars}", "no timezone Mars"),
        ("options: {delimiter: ab}", "the option delimiter is one character"),
        ("customers: {id: []}", "customers.id must be a column name"),
        ("customers: id", "the section customers must hold"),
        ("- a", "the mapping must have sections"),
        ("a: [", "the mapping is no YAML"),
    ],
)
def test_a_wrong_mapping_gets_one_clear_line(tmp_path, text, says):
    with pytest.raises(UserError, match=says) as error:
        own(tmp_path, text)
    assert "\n" not in str(error.value)


def test_a_missing_mapping_file_is_told(tmp_path):
    with pytest.raises(UserError, match=r"no\.yml: the mapping can't be read"):
        load_mapping(tmp_path / "no.yml", "UTC")


def test_missing_columns_are_told_in_one_line_with_what_is_there():
    columns = ["order", "menge", "preis"]
    found = MAPPING.resolve("items", columns)
    with pytest.raises(UserError) as error:
        MAPPING.check("items.csv", "items", found, columns)
    assert "items.csv: no column for items quantity (quantity, qty, units); " in str(error.value)
    assert "unit_price or total_price (" in str(error.value)
    assert "it has: order, menge, preis" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_column_that_the_own_mapping_names_must_be_there(tmp_path):
    mapping = own(tmp_path, "customers: {brand_new: x}".replace("brand_new", "segment"))
    columns = ["customer_id", "name"]
    with pytest.raises(UserError, match=r"no column for customers segment \(x\)"):
        mapping.check("c.csv", "customers", mapping.resolve("customers", columns), columns)


# --- values -------------------------------------------------------------------------------------

READING = Reading(ZoneInfo("Europe/Berlin"), missing=frozenset({"", "NULL"}))


@pytest.mark.parametrize("value", [7, 7.0, Decimal("7"), "7", " 7 "])
def test_ids_of_every_type_meet(value):
    assert READING.identifier(value) == "7"


def test_24_hex_digits_are_an_object_id_again():
    text = "5f1e8a9b0c2d3e4f5a6b7c8d"
    assert READING.identifier(text) == ObjectId(text)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("12.50", Decimal128("12.50")),
        ("-3", Decimal128("-3")),
        ("12,50", "12,50"),
        ("1e5", "1e5"),
        ("free", "free"),
        (12.5, 12.5),
        (float("nan"), None),
        (2**70, Decimal128(str(2**70))),
        (Decimal("1." + "1" * 40), "1." + "1" * 40),
    ],
)
def test_numbers_are_exact_and_other_texts_stay(value, expected):
    assert READING.number(value) == expected


def test_times_without_a_zone_are_of_the_mappings_zone():
    naive = datetime.fromisoformat("2024-07-01 10:00")
    expected = datetime.fromisoformat("2024-07-01 08:00")
    assert READING.any(naive) == expected
    assert READING.any(naive.replace(tzinfo=ZoneInfo("Europe/Berlin"))) == expected
    assert READING.clock("2024-07-01T10:00") == expected
    assert READING.clock("2024-07-01T08:00Z") == expected
    assert READING.moment("2024-07-01T10:00") == "2024-07-01T10:00"
    assert READING.clock("yesterday") == "yesterday"
    assert READING.any(date(2024, 7, 1)) == "2024-07-01"


@pytest.mark.parametrize("text", ["02/13/2024", "2/13/2024 10:00"])
def test_month_first_dates_are_refused_unless_the_mapping_says_so(tmp_path, text):
    with pytest.raises(UserError, match="month first: say so in a file given by --mapping"):
        made("transactions", {"id": "T1", "date": text})
    mapping = own(tmp_path, f"options: {{dates: '%m/%d/%Y{' %H:%M' * (':' in text)}'}}")
    at = made("transactions", {"id": "T1", "date": text}, mapping)["placed_at"]
    assert (at.month, at.day) == (2, 13)
    assert made("transactions", {"id": "T1", "date": "13/02/2024"})["placed_at"] == "13/02/2024"


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.decimals(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.binary()
    | st.datetimes()
    | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(value=json_values)
@hypothesis_settings(max_examples=200, deadline=None)
def test_whatever_a_typed_file_holds_can_be_kept(value):
    try:
        document = {"value": Reading(ZoneInfo("UTC")).any(value)}
        bson.encode(document)
    except bson.errors.InvalidDocument as error:  # a key with NUL: BSON has none
        assert "null" in str(error).lower() or "NULL" in str(error)


# --- documents ----------------------------------------------------------------------------------


def made(entity, values, mapping=MAPPING, **options):
    return RowMaker(entity, mapping, **options).make(values)


def test_a_customer_is_a_users_document():
    row = made("customers", {
        "customer_id": "C1", "name": "Ada King Lovelace", "email": "a@b.org", "country": "GB",
        "region": "London", "registration_date": "2024-01-05", "age_group": "25-34",
        "tier": "gold", "phone": "NULL",
    })  # fmt: skip
    assert file_documents.customer(row) == {
        "_id": "C1",
        "name": {"full": "Ada King Lovelace", "first": "Ada King", "last": "Lovelace"},
        "email": "a@b.org",
        "addresses": [{"kind": "main", "country": "GB", "region": "London", "default": True}],
        "signup": {"at": "2024-01-05"},
        "attrs": {"age_group": "25-34", "tier": "gold"},
    }


@pytest.mark.parametrize(
    ("values", "categories"),
    [
        ({"category": "Home>Mugs; Gifts"}, ["Home>Mugs", "Gifts"]),
        ({"category": "Home", "subcategory": "Mugs"}, ["Home>Mugs"]),
        ({"category": ["A", "B"]}, ["A", "B"]),
        ({}, []),
    ],
)
def test_a_product_has_its_categories_and_one_variant(values, categories):
    row = made("products", {"product_id": 1, "price": "12.50", "cost": "4", **values})
    document = file_documents.product(row)
    assert document["categories"] == categories
    assert document["sku"] == "1"
    assert document["variants"] == [
        {"sku": "1", "price": Decimal128("12.50"), "cost": Decimal128("4")}
    ]


def an_order(transaction, items, *, has_items=True):
    return file_documents.order(
        made("transactions", transaction),
        [made("items", item) for item in items],
        currency="GBP",
        has_items=has_items,
    )


def test_an_order_has_its_items_payment_discount_shipping_and_refund():
    document = an_order(
        {"transaction_id": "T1", "customer_id": 7.0, "date": "2024-03-01 10:00",
         "total_amount": "28.50", "payment_method": "card", "discount": "-2", "coupon": "MAY",
         "shipping": "3.00", "tax": "1.00", "refund_amount": "5", "region": "London"},
        [{"order_id": "T1", "product": 1, "quantity": "2", "unit_price": "12.50"},
         {"order_id": "T1", "product": 2, "quantity": "4", "total_price": "10", "discount": "1"}],
    )  # fmt: skip
    assert document["user_id"] == "7"
    assert (document["order_no"], document["store_id"], document["currency"]) == (
        "T1", "main", "GBP"
    )  # fmt: skip
    assert document["items"] == [
        {"product_id": "1", "qty": Decimal128("2"), "unit_price": Decimal128("12.50"),
         "line_id": "1", "sku": "1"},
        {"product_id": "2", "qty": Decimal128("4"), "total_price": Decimal128("10"),
         "line_id": "2", "sku": "2", "unit_price": Decimal128("2.5"),
         "discounts": [{"type": "fixed", "amount": Decimal128("1")}]},
    ]  # fmt: skip
    assert document["discounts"] == [{"code": "MAY", "kind": "fixed", "amount": Decimal128("2")}]
    assert document["shipping"] == {
        "address": {"region": "London"}, "price": Decimal128("3.00")
    }  # fmt: skip
    assert document["tax"] == {"total": Decimal128("1.00")}
    [payment] = document["payments"]
    assert (payment["id"], payment["method"]) == ("T1-payment", "card")
    assert payment["amount"] == Decimal128("28.50")
    assert document["refunds"] == [{"id": "T1-refund", "adjustment": Decimal128("5")}]


def test_a_line_of_no_pieces_has_no_unit_price():
    item = {"order_id": "T1", "product": 1, "quantity": "0", "total_price": "10"}
    [line] = an_order({"id": "T1", "date": "2024-03-01"}, [item])["items"]
    assert "unit_price" not in line
    assert line["total_price"] == Decimal128("10")


def test_an_export_without_items_has_one_line_over_the_whole_amount():
    transaction = {"id": "T1", "date": "2024-03-01", "total": "28.50", "discount": "2"}
    document = an_order(transaction, [], has_items=False)
    assert document["items"] == [{"line_id": "1", "qty": 1, "unit_price": Decimal128("28.50")}]
    assert "discounts" not in document


def test_an_order_without_items_of_its_own_stays_empty():
    assert an_order({"id": "T1", "date": "2024-03-01", "total": "28.50"}, [])["items"] == []


# --- shelf --------------------------------------------------------------------------------------


@given(
    transactions=st.lists(st.sampled_from("abcdé"), unique=True),
    items=st.lists(st.tuples(st.sampled_from("aabcdeéz"), st.integers(0, 9)), max_size=30),
)
@hypothesis_settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_item_is_in_its_order_once_or_a_bad_line(transactions, items):
    shelf = Shelf()
    for line, identity in enumerate(transactions):
        shelf.put("transactions", identity, "t.csv", line, {"_id": identity})
    for line, (identity, number) in enumerate(items):
        shelf.put("items", identity, "i.csv", line, {"n": number, "line": line})
    shelf.seal()
    entries = list(shelf.orders())
    shelf.close()
    orders = {entry[0]["_id"]: entry[1] for entry in entries if not isinstance(entry, BadLine)}
    orphans = [entry for entry in entries if isinstance(entry, BadLine)]
    assert set(orders) == set(transactions)
    for identity, mine in orders.items():
        assert mine == [
            {"n": n, "line": line} for line, (whose, n) in enumerate(items) if whose == identity
        ]
    lost = [line for line, (whose, _) in enumerate(items) if whose not in transactions]
    assert sorted(orphan.line for orphan in orphans) == lost


def test_of_rows_with_one_id_the_last_counts_and_the_others_are_told():
    shelf = Shelf()
    for line, name in enumerate(["old", "older", "new", "old", "new"], start=2):
        shelf.put("customers", "C1", "c.csv", line, {"_id": "C1", "name": name})
    shelf.seal()
    *bad, last = shelf.documents("customers")
    assert last == {"_id": "C1", "name": "new"}
    assert [entry.line for entry in bad] == [2, 3]
    assert bad[0].reason == "the same id stands in line 6 again, with other values"


def test_a_hundred_thousand_rows_take_little_memory():
    tracemalloc.start()
    shelf = Shelf()
    for n in range(100_000):
        shelf.put("items", f"T{n * 7919 % 50_000}", "i.csv", n, {"sku": f"sku-{n}", "qty": n})
    for n in range(50_000):
        shelf.put("transactions", f"T{n}", "t.csv", n, {"_id": f"T{n}"})
    shelf.seal()
    held = sum(len(items) for _, items in shelf.orders())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    shelf.close()
    assert held == 100_000
    assert peak < 20 * 1024 * 1024
