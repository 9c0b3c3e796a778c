"""Staging over hand-made documents: what an increment leaves is what a full refresh builds."""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest

from loaders import schema

pytestmark = pytest.mark.dbt

TABLES = (
    "orders", "order_items", "order_item_discounts", "order_discounts", "order_status_events",
    "payments", "refunds", "refund_lines", "users", "user_addresses", "products",
    "product_categories", "product_variants", "product_prices", "sessions", "session_events",
)  # fmt: skip

FULL = {
    "order_no": "1001",
    "status": "CANCELED",
    "placed_at": "2024-07-01T12:00:00Z",
    "items": [
        {"line_id": "1", "sku": "A", "qty": 2, "unit_price": "12,50",
         "discounts": [{"code": "X", "type": "percent", "amount": 1}, {"amount": 0.5}]},
        {"line_id": "2", "sku": "B", "qty": "1", "unit_price": 3},
    ],
    "discounts": [{"code": "TEN", "kind": "percent", "amount": 2}],
    "status_history": [{"status": "Pending", "at": "2024-07-01T12:00:00Z"}],
    "payments": [{"id": "p1", "method": "CARD", "amount": 28}],
    "refunds": [
        {"id": "r1", "lines": [{"line_id": "1", "qty": 1, "amount": 12.5}]},
        {"id": "r2", "lines": []},
    ],
    "shipping": {"address": {"city": "London", "country": "GB"}},
}  # fmt: skip
BARE = {**FULL, "items": [], "discounts": [], "status_history": None, "payments": [], "refunds": []}
VERSION_ONE = {
    "order_no": "1002",
    "status": "Delivered",
    "placed_at": "01/07/2024 13:00:00",
    "schema_version": 1,
    "items": {"7": {"sku": "A", "qty": 1, "unit_price": "cheap"}},
    "shipping_address": {"city": "Leeds", "country": "GB"},
}


@pytest.fixture
def raw(connection: psycopg.Connection) -> Any:
    """Writes versions of documents as the loader does, each later than the ones before."""
    schema.ensure(connection)

    def write(collection: str, identifier: str, document: Any, *, deleted: bool = False) -> None:
        connection.execute(
            f"""
            insert into raw.{collection} (_id, doc, _loaded_at, _batch_id, _deleted_at, _doc_hash)
            values (%(id)s, %(doc)s, clock_timestamp(), 1,
                    case when %(deleted)s then clock_timestamp() end, '')
            on conflict (_id) do update
            set doc = excluded.doc, _loaded_at = excluded._loaded_at,
                _deleted_at = excluded._deleted_at
            """,
            {"id": identifier, "doc": json.dumps(document), "deleted": deleted},
        )

    return write


def contents(connection: psycopg.Connection) -> dict[str, list[tuple]]:
    """All rows of all staging tables, in an order that does not depend on how they came."""
    return {
        table: connection.execute(
            f"select * from staging.stg_shop__{table} as t order by t::text"
        ).fetchall()
        for table in TABLES
    }


def build(dbt, *arguments: str) -> None:
    result = dbt("run", "--select", "staging", *arguments)
    assert result.success, [r.message for r in result.result.results if r.status != "success"]


def test_increments_equal_a_full_refresh(dbt, raw, connection):
    build(dbt)  # raw is empty
    assert not any(contents(connection).values())

    raw("orders", "a", FULL)
    raw("orders", "b", FULL)
    raw("orders", "c", VERSION_ONE)
    raw("users", "u", {"addresses": [{"city": "X"}, {"city": "Y", "default": True}]})
    raw("products", "p", {"category": "Home>Kitchen>Mugs", "variants": [{"sku": "A"}]})
    raw("products", "q", {"categories": ["Home", "Garden>Pots"], "price_history": [{"price": 1}]})
    raw("sessions", "s", {"events": [{"type": "View_Item"}]})
    build(dbt)

    rows = connection.execute
    assert rows(
        "select order_id, status, kind, ship_city, item_count, placed_at = '2024-07-01 12:00Z' "
        "from staging.stg_shop__orders order by 1"
    ).fetchall() == [
        ("a", "cancelled", "sale", "London", 2, True),
        ("b", "cancelled", "sale", "London", 2, True),
        ("c", "delivered", "sale", "Leeds", 1, True),
    ]
    assert rows(
        "select line_id, quantity::int, unit_price::text, line_discount::text, cast_failures "
        "from staging.stg_shop__order_items where order_id in ('a', 'c') order by order_id, 1"
    ).fetchall() == [
        ("1", 2, "12.50", "1.5", None),
        ("2", 1, "3", "0", None),
        ("7", 1, None, "0", "unit_price"),
    ]
    assert rows(
        "select refund_id, refund_position, line_position from staging.stg_shop__refund_lines "
        "where order_id = 'a'"
    ).fetchall() == [("r1", 1, 1)]
    assert rows("select city from staging.stg_shop__users").fetchall() == [("Y",)]
    assert rows(
        "select product_id, category_l1, category_l2, is_primary "
        "from staging.stg_shop__product_categories order by 1, position"
    ).fetchall() == [("p", "Home", "Kitchen", True), ("q", "Home", None, True),
                     ("q", "Garden", "Pots", False)]  # fmt: skip

    before = contents(connection)
    build(dbt)  # nothing new
    assert contents(connection) == before

    raw("orders", "a", BARE)  # every array is empty now
    raw("orders", "b", FULL, deleted=True)
    raw("orders", "d", {**FULL, "order_no": "1003"})
    raw("users", "u", {})
    raw("products", "p", {"variants": []})
    raw("sessions", "s", {"events": "lost"})
    build(dbt)

    kept = rows("select distinct order_id from staging.stg_shop__order_items order by 1")
    assert kept.fetchall() == [("b",), ("c",), ("d",)]
    for table in ("order_discounts", "payments", "refunds", "refund_lines", "order_item_discounts"):
        found = rows(
            f"select distinct order_id from staging.stg_shop__{table} order by 1"
        ).fetchall()
        assert found == [("b",), ("d",)], table
    gone = rows("select is_deleted from staging.stg_shop__orders where order_id = 'b'")
    assert gone.fetchall() == [(True,)]

    incremental = contents(connection)
    build(dbt, "--full-refresh")
    assert contents(connection) == incremental


def test_a_model_without_a_key_is_refused(compiled):
    with pytest.raises(AssertionError, match="by_document needs unique_key"):
        compiled(
            {
                "x": "{{ get_incremental_by_document_sql({'target_relation': 't', "
                "'temp_relation': 'n', 'unique_key': none, 'dest_columns': []}) }}"
            }
        )
