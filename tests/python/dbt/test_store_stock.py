"""Stock, lifecycle and assortment against what the generator planted."""

from __future__ import annotations

from decimal import Decimal

import pytest
from shop import Shop

pytestmark = [pytest.mark.servers, pytest.mark.dbt, pytest.mark.slow]


def at_place(shop: Shop, statement: str) -> dict[str, int]:
    """{sku@location: number} of a query with these three columns."""
    return {f"{sku}@{place}": int(number) for sku, place, number in shop.rows(statement)}


def test_stock_ends_where_the_generator_s_does(shop: Shop) -> None:
    truth = shop.truth("model.json")["stock_at_end"]
    found = at_place(
        shop,
        "select sku, location_key, on_hand from operations.fct_inventory_levels"
        " where valid_until is null",
    )
    assert found == {place: units for place, units in truth.items() if place in found}
    assert not any(units for place, units in truth.items() if place not in found)
    # and the last day of the view says the same
    assert found == at_place(
        shop,
        "select sku, location_key, on_hand from operations.fct_inventory_daily"
        " where inventory_date = (select max(inventory_date) from operations.fct_inventory_daily)",
    )


def test_stock_by_movements_is_what_the_product_documents_count(shop: Shop) -> None:
    counted = shop.rows(
        "select product_id, location, quantity from staging.stg_shop__product_stock"
        " where quantity <> 0 order by 1, 2"
    )
    rebuilt = shop.rows(
        "select products.product_id, levels.location_key, sum(levels.on_hand)"
        " from operations.fct_inventory_levels as levels inner join core.dim_products as products"
        " on levels.product_key = products.product_key where levels.valid_until is null"
        " and products.product_id is not null"
        " group by 1, 2 having sum(levels.on_hand) <> 0 order by 1, 2"
    )
    assert len(counted) > 50
    assert rebuilt == counted


def test_flaw_19_movements_out_of_order_are_put_where_they_took_place(shop: Shop) -> None:
    planted = shop.planted("19_stock", "out_of_order")
    found = dict(
        shop.rows(
            "select movement_id, (moved_at at time zone 'UTC')::date::text"
            " from operations.fct_inventory_movements where is_out_of_order"
        )
    )
    assert found == {movement: entry["true"] for movement, entry in planted.items()}


def test_flaw_19_missing_receipts_and_negative_counts_are_told_apart(shop: Shop) -> None:
    missing = shop.planted("19_stock", "receipt_missing").values()
    found = at_place(
        shop,
        "select sku, location_key, max(-on_hand) from operations.fct_inventory_levels"
        " where is_receipt_missing group by 1, 2",
    )
    assert set(found) == {f"{entry['sku']}@{entry['location']}" for entry in missing}
    # what is found missing cannot be more than what did not come in
    units = {f"{entry['sku']}@{entry['location']}": entry["qty"] for entry in missing}
    assert all(0 < found[place] <= units[place] for place in found)
    negative = shop.planted("19_stock", "negative").values()
    assert at_place(
        shop,
        "select sku, location_key, on_hand from operations.fct_inventory_levels"
        " where is_negative and not is_receipt_missing and valid_until is null",
    ) == {f"{entry['sku']}@{entry['location']}": entry["on_hand"] for entry in negative}


def test_where_sales_were_lost_the_stock_ran_out(shop: Shop) -> None:
    lost = set(shop.truth("model.json")["lost_units"])
    out = set(
        at_place(
            shop,
            "select sku, location_key, count(*) from operations.fct_inventory_daily"
            " where is_stockout group by 1, 2",
        )
    )
    # a transfer or a return on the same day can fill a shelf again before it closes
    assert len(lost) > 20
    assert len(lost & out) >= 0.95 * len(lost)


def test_flaw_15_impossible_times_are_flagged_and_have_no_lag(shop: Shop) -> None:
    for problem, kind in (
        ("delivered_before_shipped", "delivered_before_shipped"),
        ("delivered_in_future", "delivered_in_the_future"),
    ):
        rows = shop.rows(
            "select order_id, hours_to_deliver, hours_in_transit, is_on_time"
            " from operations.fct_order_lifecycle where date_problem = %s",
            [problem],
        )
        assert {row[0] for row in rows} == set(shop.planted("15_clock", kind))
        assert {row[1:] for row in rows} == {(None, None, None)}


def test_every_cost_of_a_sale_is_the_version_s_of_that_moment(shop: Shop) -> None:
    (counts,) = shop.rows(
        "select count(*), count(*) filter (where history.cost = items.unit_cost_amount)"
        " from core.fct_order_items as items"
        " inner join core.fct_orders as orders on items.order_id = orders.order_id"
        " inner join products.dim_products_history as history"
        " on items.product_key = history.product_key and orders.placed_at >= history.valid_from"
        " and (orders.placed_at < history.valid_to or history.valid_to is null)"
        " where items.unit_cost_amount is not null"
    )
    assert counts[0] > 2000
    assert counts[0] == counts[1]


def test_planted_basket_rules_are_the_first_partners(shop: Shop) -> None:
    rules = shop.truth("model.json")["basket_rules"]
    assert rules
    for rule in rules:
        rows = shop.rows(
            "select pair_rank, lift, confidence from reporting.agg_product_pairs"
            " where sku = %s and other_sku = %s",
            [rule["if"], rule["then"]],
        )
        assert [row[0] for row in rows] == [1], rule
        assert rows[0][1] > Decimal("1.5"), rule
        # the rule holds for the first line of orders of two or more, so for a part of the orders
        assert rows[0][2] < Decimal(str(rule["probability"])), rule


def test_products_sum_to_the_shop(shop: Shop) -> None:
    columns = "gross_sales_amount, discount_amount, returns_amount, net_sales_amount, units"
    sums = ", ".join(f"sum({name.strip()})" for name in columns.split(","))
    of_shop = shop.rows(f"select {sums} from reporting.agg_daily_metrics")
    assert shop.rows(f"select {sums} from reporting.agg_product_performance") == of_shop
    assert shop.rows(f"select {sums} from reporting.agg_product_months") == of_shop
    assert (
        shop.one("select sum(returns_amount) from reporting.agg_product_returns") == (of_shop[0][2])
    )


def test_classes_of_a_month_cover_its_revenue(shop: Shop) -> None:
    for share, before_a, before_b, tail in shop.rows(
        "select sum(revenue_share),"
        " max(cumulative_share_before) filter (where abc_class = 'A'),"
        " max(cumulative_share_before) filter (where abc_class = 'B'),"
        " min(cumulative_share_before) filter (where abc_class = 'C' and revenue_share > 0)"
        " from reporting.agg_product_portfolio group by month_start_date"
    ):
        assert abs(share - 1) < Decimal("0.0001")
        assert before_a < Decimal("0.8")
        assert before_b is None or before_b < Decimal("0.95")
        assert tail is None or tail >= Decimal("0.95")
