"""One test per imperfection of the demo shop: what was planted comes out as it should."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import pytest
from shop import Shop

pytestmark = [pytest.mark.servers, pytest.mark.dbt, pytest.mark.slow]


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def gross_of(shop: Shop, order_ids: list[str]) -> dict[str, Decimal]:
    return dict(
        shop.rows(
            "select order_id, gross_sales_amount from core.fct_orders where order_id = any(%s)",
            [order_ids],
        )
    )


def truth_gross(shop: Shop, order_ids: list[str]) -> dict[str, Decimal]:
    return {order_id: Decimal(shop.orders[order_id]["gross_sales"]) for order_id in order_ids}


def test_flaw_01_late_refunds_are_filed_under_their_own_day(shop: Shop) -> None:
    late = shop.rows(
        "select order_date, refund_date, refund_amount from core.fct_refunds"
        " where refund_date > order_date + 14"
    )
    assert late
    assert not shop.rows(
        "select ledger.entry_id from finance.fct_sales_ledger as ledger"
        " inner join core.fct_orders as orders on ledger.order_id = orders.order_id"
        " where ledger.entry_type = 'return' and ledger.source_type = 'refund'"
        " and (ledger.event_date < orders.order_date or ledger.order_date <> orders.order_date)"
    )


@pytest.mark.parametrize("kind", ["missing", "equal", "not_bumped"])
def test_flaw_02_documents_with_a_broken_updated_at_all_arrive(shop: Shop, kind: str) -> None:
    entries = shop.planted("02_updated_at", kind).values()
    for collection, mart, column in (
        ("orders", "core.fct_orders", "order_id"),
        ("users", "core.bridge_customer_identity", "source_id"),
    ):
        ids = [entry["_id"] for entry in entries if entry["collection"] == collection]
        found = shop.rows(f"select {column} from {mart} where {column} = any(%s)", [ids])
        assert {identifier for (identifier,) in found} == set(ids)


def test_flaw_03_deleted_and_merged_accounts_keep_their_orders(shop: Shop) -> None:
    people = dict(
        shop.rows(
            "select source_id, customer_key from core.bridge_customer_identity"
            " where identity_type = 'account'"
        )
    )
    for account, entry in shop.planted("03_deletes", "merged").items():
        assert people[account] == people[entry["into"]]
    deleted = [
        account
        for account in shop.planted("03_deletes", "soft_deleted")
        if shop.one(
            "select identity_count from core.dim_customers where customer_key = %s",
            [people[account]],
        )
        == 1
    ]
    assert deleted
    assert all(
        shop.rows(
            "select is_deleted from core.dim_customers where customer_key = any(%s)",
            [[people[account] for account in deleted]],
        )
    )
    archived = list(shop.planted("03_deletes", "archived"))
    assert set(
        shop.rows(
            "select status, is_deleted from core.dim_products where product_id = any(%s)",
            [archived],
        )
    ) == {("archived", False)}


def test_flaw_04_duplicate_orders_are_counted_once(shop: Shop) -> None:
    planted = {
        **shop.planted("04_duplicates", "retried"),
        **shop.planted("04_duplicates", "imported_twice"),
    }
    found = dict(
        shop.rows(
            "select order_id, duplicate_of_order_id from core.fct_orders"
            " where exclusion_reason = 'duplicate'"
        )
    )
    assert found == {identifier: entry["of"] for identifier, entry in planted.items()}
    assert shop.findings("duplicate_order") == set(planted)
    # no money of theirs is in a metric, and the first document's is
    assert not shop.one(
        "select count(*) from finance.fct_sales_ledger where is_countable and order_id = any(%s)",
        [list(planted)],
    )
    firsts = [entry["of"] for entry in planted.values()]
    assert gross_of(shop, firsts) == truth_gross(shop, firsts)


def test_flaw_04_duplicate_payments_cost_one_fee(shop: Shop) -> None:
    for order_id, entry in shop.planted("04_duplicates", "payment_webhook_twice").items():
        copies = shop.rows(
            "select is_duplicate, is_countable, fee_amount from core.fct_payments"
            " where order_id = %s and payment_id = %s order by payment_position",
            [order_id, entry["payment_id"]],
        )
        assert [(copy[0], copy[1]) for copy in copies] == [(False, True), (True, False)]
        booked = shop.one(
            "select -sum(amount) from finance.fct_sales_ledger"
            " where order_id = %s and entry_type = 'payment_fee'",
            [order_id],
        )
        assert booked == copies[0][2]


def test_flaw_05_duplicate_people_are_one_person(shop: Shop) -> None:
    keys = dict(shop.rows("select source_id, customer_key from core.bridge_customer_identity"))
    reachable = {
        account
        for (account,) in shop.rows(
            "select user_id from staging.stg_shop__users where email is not null"
        )
    }
    with_phone = {
        account
        for (account,) in shop.rows(
            "select user_id from staging.stg_shop__users where phone is not null"
        )
    }
    kinds = set()
    for entry in shop.truth("identity.json"):
        kind = entry["second_account"]
        accounts = [account for account in entry["user_ids"] if account in reachable]
        if kind is None or len(accounts) < 2:
            continue
        one = len({keys[account] for account in accounts}) == 1
        if kind in ("case", "plus_address") or set(accounts) <= with_phone:
            assert one, entry
            kinds.add(kind)
        else:  # a typo alone is no evidence, unless the shop merged the accounts itself
            merged = set(shop.planted("03_deletes", "merged"))
            assert one == bool(set(accounts) & merged), entry
    assert {"case", "plus_address"} <= kinds


def test_flaw_06_guests_are_people_by_email_or_phone(shop: Shop) -> None:
    rows = shop.rows(
        "select bridge.source_id, bridge.match_rule, orders.customer_key, bridge.customer_key"
        " from core.bridge_customer_identity as bridge"
        " inner join core.fct_orders as orders on bridge.source_id = orders.order_id"
        " where bridge.identity_type = 'guest'"
    )
    guests = {order for order, row in shop.orders.items() if row["is_guest"] == "true"}
    present = {order for (order,) in shop.rows("select order_id from core.fct_orders")}
    assert guests & present <= {row[0] for row in rows}
    assert all(of_order == of_bridge for _, _, of_order, of_bridge in rows)
    assert {rule for _, rule, _, _ in rows} >= {"email", "phone"}
    erased = {e["_id"] for e in shop.planted("20_erasure", "orders").values()}
    assert {order for order, rule, _, _ in rows if rule == "order"} <= erased


def test_flaw_07_what_is_missing_stays_null_and_lowers_the_coverage(shop: Shop) -> None:
    empty = list(shop.planted("07_missing", "orders.items"))
    rows = shop.rows(
        "select exclusion_reason, line_count, gross_sales_amount, is_countable"
        " from core.fct_orders where order_id = any(%s)",
        [empty],
    )
    assert rows == [("no_items", 0, 0, False)] * len(empty)
    uncosted = list(shop.planted("07_missing", "products.cost"))
    assert set(
        shop.rows(
            "select cost, cost_source from core.dim_products where product_id = any(%s)", [uncosted]
        )
    ) == {(None, "unknown")}
    assert (
        shop.one(
            "select count(*) from core.fct_order_items as items"
            " inner join core.dim_products as products on items.product_key = products.product_key"
            " where products.product_id = any(%s) and items.measure = 'sale'"
            " and (items.cost_source <> 'unknown' or items.cogs_amount is not null)",
            [uncosted],
        )
        == 0
    )
    # a line without its own cost takes the product's of that day
    assert (
        shop.one("select count(*) from core.fct_order_items where cost_source = 'price_history'")
        > 100
    )
    # an address without a country stays without one
    counts = shop.truth("counts.json")["imperfections"]["07_missing"]
    assert counts["users.addresses.country"] == shop.one(
        "select count(*) from staging.stg_shop__users where country is null and city is not null"
    )


def test_flaw_08_values_in_other_types_are_read_as_what_they_mean(shop: Shop) -> None:
    columns = {
        "items.0.unit_price": ("core.fct_order_items", "unit_price_amount", "line_position = 1"),
        "items.0.qty": ("core.fct_order_items", "quantity", "line_position = 1"),
        "placed_at": ("core.fct_orders", "placed_at", "true"),
        "totals.grand": ("staging.stg_shop__orders", "totals_grand", "true"),
        "tax.included": ("staging.stg_shop__orders", "is_tax_included", "true"),
        "user_id": ("staging.stg_shop__orders", "user_id", "true"),
    }
    checked = set()
    for entry in shop.truth("drift.json"):
        if entry["collection"] != "orders" or entry["path"] not in columns:
            continue
        table, column, condition = columns[entry["path"]]
        found = shop.one(
            f"select {column} from {table} where order_id = %s and {condition}", [entry["_id"]]
        )
        true = entry["true"]
        if isinstance(found, Decimal):
            assert found == Decimal(true), entry
        elif isinstance(found, datetime):
            assert found == utc(true), entry
        else:
            assert str(found) == true, entry
        checked.add(entry["kind"])
    assert checked >= {
        "price_comma_text",
        "price_double",
        "qty_text",
        "date_epoch_ms",
        "date_dd_mm_yyyy",
        "boolean_text",
    }
    # what cannot be read is null, and counted
    unreadable = shop.planted("08_type_drift", "unparseable").values()
    reported = dict(
        shop.rows(
            "select staging_model || '.' || column_names, row_count"
            " from quality.cleaning_report where column_names is not null"
        )
    )
    names = {
        "birth_date": "stg_shop__users.birth_date",
        "variants.0.weight_g": "stg_shop__product_variants.weight_g",
    }
    for path, name in names.items():
        assert reported[name] == sum(entry["path"] == path for entry in unreadable)


def test_flaw_09_old_shapes_are_read_like_new_ones(shop: Shop) -> None:
    as_map = list(shop.planted("09_shape_drift", "items_as_map"))
    assert gross_of(shop, as_map) == truth_gross(shop, as_map)
    for order_id, entry in shop.planted("09_shape_drift", "status_spelling").items():
        status = shop.one("select status from core.fct_orders where order_id = %s", [order_id])
        assert status == entry["true"]
    flat = shop.rows(
        "select facts.geography_key from raw.orders as documents"
        " inner join core.fct_orders as facts on documents._id = facts.order_id"
        " where documents.doc ? 'shipping_address'"
    )
    assert len(flat) > 200
    assert ("-1",) not in flat
    assert not shop.one(
        "select count(*) from core.dim_products where category is null"
        " or category = 'Uncategorised'"
    )


def test_flaw_10_other_currencies_convert_at_the_rate_of_the_order_s_day(shop: Shop) -> None:
    looked_up = shop.planted("10_currencies", "fx_rate_missing")
    assert shop.findings("exchange_rate_looked_up") == set(looked_up)
    foreign = dict(
        shop.rows(
            "select order_id, gross_sales_amount from core.fct_orders"
            " where currency <> 'GBP' and is_countable"
        )
    )
    assert len(foreign) > 80
    assert foreign == truth_gross(shop, list(foreign))
    assert {"JPY", "KWD", "EUR", "USD"} <= {
        currency for (currency,) in shop.rows("select distinct currency from core.fct_orders")
    }


def test_flaw_11_tax_is_split_from_prices_that_include_it(shop: Shop) -> None:
    found = shop.rows(
        "select facts.order_id, documents.is_tax_included, facts.gross_sales_amount"
        " from core.fct_orders as facts inner join staging.stg_shop__orders as documents"
        " on facts.order_id = documents.order_id where facts.is_countable"
    )
    for included in (True, False):
        part = {order: amount for order, flag, amount in found if flag is included}
        assert len(part) > 300
        assert part == truth_gross(shop, list(part))


def test_flaw_12_totals_that_differ_are_listed_and_lines_are_booked(shop: Shop) -> None:
    planted = shop.planted("12_totals", "grand")
    assert shop.findings("totals_differ_from_lines") == set(planted)
    for order_id, entry in planted.items():
        booked, countable = shop.rows(
            "select amount_presentment, is_countable from finance.fct_sales_ledger"
            " where order_id = %s and entry_type = 'total_difference'",
            [order_id],
        )[0]
        assert booked == Decimal(entry["stored"]) - Decimal(entry["true"])
        assert not countable
    assert gross_of(shop, list(planted)) == truth_gross(shop, list(planted))


def test_flaw_13_refunds_come_out_as_they_were_given(shop: Shop) -> None:
    found = dict(
        shop.rows(
            "select order_id, returns_amount from core.fct_orders where refund_count > 0"
            " and is_countable"
        )
    )
    assert len(found) > 50
    assert found == {order: Decimal(shop.orders[order]["returns"]) for order in found}
    several = shop.one("select count(*) from core.fct_orders where refund_count > 1")
    partial = shop.one(
        "select count(*) from core.fct_order_items"
        " where returned_quantity > 0 and returned_quantity < quantity"
    )
    cancelled = shop.one("select count(*) from core.fct_refunds where is_after_cancellation")
    other_month = shop.one(
        "select count(*) from core.fct_refunds"
        " where date_trunc('month', refund_date)"
        " <> date_trunc('month', order_date)"
    )
    unknown = shop.one("select count(*) from core.fct_refund_lines where is_restock_unknown")
    over = shop.one(
        "select count(*) from core.fct_orders"
        " where returns_amount > gross_sales_amount - discount_amount"
    )
    assert min(several, partial, cancelled, other_month, unknown, over) > 0
    # goods that did not go back to the shelf, or of which nobody says so, keep their cost
    assert not shop.one(
        "select count(*) from core.fct_refund_lines"
        " where restock is distinct from 'return'"
        " and restocked_cogs_amount is not null"
    )


def test_flaw_14_orphans_fall_to_the_unknown_member_and_are_counted(shop: Shop) -> None:
    lines = shop.rows(
        "select order_id, sku, product_key from core.fct_order_items where sku like 'GONE-%%'"
    )
    planted = shop.planted("14_orphans", "item_of_unknown_sku")
    assert {line[0] for line in lines} == set(planted)
    assert {line[2] for line in lines} == {"-1"}
    assert len(shop.findings("sku_unknown")) >= len(lines)
    orders = [
        order
        for order in shop.planted("14_orphans", "order_of_deleted_user")
        if shop.one("select count(*) from core.fct_orders where order_id = %s", [order])
    ]
    assert set(
        shop.rows(
            "select customers.is_inferred from core.fct_orders as orders"
            " inner join core.dim_customers as customers"
            " on orders.customer_key = customers.customer_key"
            " where orders.order_id = any(%s)",
            [orders],
        )
    ) == {(True,)}
    reviews = shop.rows(
        "select review_id, product_key from core.fct_reviews where is_product_unknown"
    )
    assert {key for _, key in reviews} == {"-1"}
    assert {review for review, _ in reviews} <= set(
        shop.planted("14_orphans", "review_of_deleted_product")
    )


def test_flaw_15_clocks_that_cannot_be_right_are_listed(shop: Shop) -> None:
    for finding, kind in (
        ("delivered_before_shipped", "delivered_before_shipped"),
        ("delivered_in_the_future", "delivered_in_the_future"),
        ("updated_in_the_future", "updated_in_the_future"),
    ):
        assert shop.findings(finding) == set(shop.planted("15_clock", kind))
    for order_id, entry in shop.planted("15_clock", "zone_lost").items():
        placed = shop.one("select placed_at from core.fct_orders where order_id = %s", [order_id])
        assert placed == utc(entry["true"])
    for order_id in shop.planted("15_clock", "repeated_hour"):
        day = shop.one("select order_date from core.fct_orders where order_id = %s", [order_id])
        assert str(day) == shop.orders[order_id]["order_date"]


@pytest.mark.parametrize(
    "reason",
    [
        "test",
        "fraud",
        "cancelled_before_payment",
        "gift_card_only",
        "zero_value",
        "negative_or_zero_quantity",
    ],
)
def test_flaw_16_what_is_no_order_says_why(shop: Shop, reason: str) -> None:
    found = shop.rows(
        "select order_id, is_countable from core.fct_orders where exclusion_reason = %s", [reason]
    )
    assert {order for order, _ in found} == set(shop.planted("16_excluded", reason))
    assert not any(countable for _, countable in found)
    assert not shop.one(
        "select coalesce(sum(abs(amount)), 0) from finance.fct_sales_ledger"
        " where is_countable and exclusion_reason = %s",
        [reason],
    )


def test_flaw_17_odd_texts_and_numbers_break_nothing(shop: Shop) -> None:
    for kind, table, column in (
        ("nul", "core.fct_reviews", "review_id"),
        ("emoji", "core.fct_reviews", "review_id"),
        ("html", "core.fct_reviews", "review_id"),
        ("text_in_name", "core.bridge_customer_identity", "source_id"),
        ("keys_and_infinity", "core.dim_products", "product_id"),
    ):
        ids = list(shop.planted("17_oddities", kind))
        found = shop.rows(f"select distinct {column} from {table} where {column} = any(%s)", [ids])
        assert {identifier for (identifier,) in found} == set(ids), kind
    # the largest order has its lines, each one entry
    assert shop.one("select max(line_count) from core.fct_orders") >= 100
    not_numbers = shop.planted("17_oddities", "nan")
    assert not shop.one(
        "select count(*) from staging.stg_shop__products"
        " where product_id = any(%s) and rating_avg is not null",
        [list(not_numbers)],
    )


def test_flaw_18_misspelt_tags_still_find_their_channel(shop: Shop) -> None:
    misspelt = list(shop.planted("18_web", "utm_misspelt"))
    channels = {
        channel
        for (channel,) in shop.rows(
            "select channels.marketing_channel from core.fct_orders as orders"
            " inner join core.dim_channels as channels on orders.channel_key = channels.channel_key"
            " where orders.order_id = any(%s)",
            [misspelt],
        )
    }
    assert channels
    assert not channels & {"other", "unknown", "direct"}
    declared = list(shop.planted("18_web", "bot_declared"))
    assert not shop.one(
        "select count(*) from staging.stg_shop__sessions"
        " where session_id = any(%s) and is_bot is not true",
        [declared],
    )
    without = list(shop.planted("18_web", "purchase_without_session"))
    assert gross_of(shop, without) == truth_gross(shop, without)


def test_flaw_19_stock_movements_are_kept_as_they_are(shop: Shop) -> None:
    in_documents = shop.rows(
        "select doc ->> 'sku', sum((doc ->> 'qty')::numeric) from raw.inventory_movements"
        " group by 1 order by 1"
    )
    in_staging = shop.rows(
        "select sku, sum(quantity) from staging.stg_shop__inventory_movements group by 1 order by 1"
    )
    assert in_staging == in_documents
    assert shop.planted("19_stock", "receipt_missing")
    for movement, entry in shop.planted("19_stock", "out_of_order").items():
        moved = shop.one(
            "select moved_at::date from staging.stg_shop__inventory_movements"
            " where movement_id = %s",
            [movement],
        )
        assert str(moved) > entry["true"]


def test_flaw_20_erased_people_have_no_personal_data_and_their_amounts_stay(shop: Shop) -> None:
    users = list(shop.planted("20_erasure", "users"))
    found = shop.rows(
        "select customers.is_erased, customers.email_hash, customers.phone_hash,"
        " customers.gender, customers.age_group"
        " from core.bridge_customer_identity as bridge inner join core.dim_customers as customers"
        " on bridge.customer_key = customers.customer_key where bridge.source_id = any(%s)",
        [users],
    )
    assert set(found) == {(True, None, None, None, None)}
    assert len(found) == len(users)
    orders = [
        order
        for order in shop.planted("20_erasure", "orders")
        if shop.orders[order]["is_countable"] == "true"
    ]
    assert gross_of(shop, orders) == truth_gross(shop, orders)
