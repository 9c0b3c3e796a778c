"""The customer marts against the clean orders, worked out again in Python."""

from __future__ import annotations

import calendar
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from shop import Shop

pytestmark = [pytest.mark.servers, pytest.mark.dbt, pytest.mark.slow]


@dataclass(frozen=True)
class Order:
    """A countable order of the truth, under the person that the warehouse resolved it to."""

    order_id: str
    customer: str
    day: date
    net: Decimal

    @property
    def is_kept(self) -> bool:
        return self.net > 0


@pytest.fixture(scope="module")
def histories(shop: Shop) -> dict[str, list[Order]]:
    """Orders of each recognisable person in time; days and amounts are the truth's."""
    owners = {
        order_id: (customer, sequence)
        for order_id, customer, sequence in shop.rows(
            "select order_id, customer_key, order_seq from core.fct_orders"
            " where is_countable and is_new_customer is not null"
        )
    }
    found: dict[str, list[tuple[int, Order]]] = defaultdict(list)
    for order_id, row in shop.orders.items():
        if row["is_countable"] == "true" and order_id in owners:
            customer, sequence = owners[order_id]
            net = Decimal(row["gross_sales"]) - Decimal(row["discounts"]) - Decimal(row["returns"])
            order = Order(order_id, customer, date.fromisoformat(row["order_date"]), net)
            found[customer].append((sequence, order))
    assert len(found) > 200
    return {
        customer: [order for _, order in sorted(orders, key=lambda pair: pair[0])]
        for customer, orders in found.items()
    }


@pytest.fixture(scope="module")
def as_of(shop: Shop) -> date:
    """The last complete day."""
    return shop.one("select as_of_date from intermediate.int_store_clock")


def month(day: date) -> date:
    return day.replace(day=1)


def add_months(day: date, months: int) -> date:
    """The same day months later; a month that has no such day ends on its last."""
    year, index = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, index + 1, min(day.day, calendar.monthrange(year, index + 1)[1]))


def whole_months(first: date, second: date) -> int:
    months = 0
    while add_months(first, months + 1) <= second:
        months += 1
    return months


def scores(values: dict[str, Decimal | int]) -> dict[str, int]:
    """1 to 5 by percent rank: the share of the others that are worse."""
    ordered = sorted(values.values())
    below = {value: index for index, value in reversed(list(enumerate(ordered)))}
    others = max(1, len(values) - 1)
    return {key: min(5, 1 + 5 * below[value] // others) for key, value in values.items()}


def test_every_person_s_first_order_and_count(
    shop: Shop, histories: dict[str, list[Order]]
) -> None:
    """Nobody is cut off by a calendar, and what a person was worth is net of refunds."""
    found = {
        customer: values
        for customer, *values in shop.rows(
            "select customer_key, orders, kept_orders, order_days, net_sales_amount,"
            " first_order_date, last_order_date from reporting.agg_customer_metrics"
            " where is_recognisable and orders > 0"
        )
    }
    truth = {
        customer: [
            len(orders),
            sum(order.is_kept for order in orders),
            len({order.day for order in orders}),
            sum(order.net for order in orders),
            orders[0].day,
            orders[-1].day,
        ]
        for customer, orders in histories.items()
    }
    assert found == truth


def test_a_person_with_two_accounts_has_one_history(shop: Shop) -> None:
    """Accounts that were planted twice: all their orders are one person's, in one line."""
    merged = [
        entry
        for entry in shop.truth("identity.json")
        if entry["second_account"] and len(entry["user_ids"]) == 2
    ]
    people = dict(
        shop.rows(
            "select account_id, customer_key from customers.dim_customers_history where is_current"
        )
    )
    together = [entry for entry in merged if len({people[i] for i in entry["user_ids"]}) == 1]
    assert len(together) >= 0.8 * len(merged) > 0
    # a typo in the address is known by a phone alone
    assert {e["second_account"] for e in merged if e not in together} <= {"typo"}
    for entry in together:
        customer = people[entry["user_ids"][0]]
        orders = [o for o in shop.orders.values() if int(o["person"]) == entry["person"]]
        countable = sum(order["is_countable"] == "true" for order in orders)
        ((months, most),) = shop.rows(
            "select count(*) - count(distinct month_start_date), max(orders)"
            " from customers.fct_customer_snapshot where customer_key = %s",
            [customer],
        )
        assert (months, most or 0) == (0, countable)
        assert shop.one(
            "select count(*) from customers.dim_customers_history"
            " where customer_key = %s and is_primary and is_current",
            [customer],
        ) == 1  # fmt: skip


def test_any_order_finds_one_version_of_its_account(shop: Shop) -> None:
    """The join as of the order: no gap and no overlap, for each order with a known account."""
    versions = shop.rows(
        "select orders.order_id, count(history.account_id)"
        " from staging.stg_shop__orders as orders"
        " inner join staging.stg_shop__users as users on orders.user_id = users.user_id"
        " left join customers.dim_customers_history as history"
        "   on orders.user_id = history.account_id"
        "   and orders.placed_at >= history.valid_from and orders.placed_at < history.valid_to"
        " where orders.placed_at is not null"
        " group by orders.order_id"
    )
    assert len(versions) > 500
    assert {count for _, count in versions} == {1}


def test_monthly_cohorts_by_all_four_definitions(
    shop: Shop, histories: dict[str, list[Order]], as_of: date
) -> None:
    cohorts: dict[date, list[list[Order]]] = defaultdict(list)
    for orders in histories.values():
        cohorts[month(orders[0].day)].append([order for order in orders if order.day <= as_of])
    truth = {}
    for start, members in cohorts.items():
        end = add_months(start, 1) - timedelta(days=1)
        k = 0
        while add_months(start, k) <= as_of:
            ages = [[whole_months(orders[0].day, o.day) for o in orders] for orders in members]
            truth[start, k] = (
                len(members),
                sum(k in age for age in ages),
                sum(len([a for a in age if a <= k]) >= 2 for age in ages),
                sum(age.count(k) for age in ages) - (len(members) if k == 0 else 0),
                sum(max(age) >= k for age in ages),
                sum(
                    (o.net for orders in members for o in orders
                     if whole_months(orders[0].day, o.day) == k),
                    Decimal(0),
                ),
                add_months(end, k + 1) <= as_of + timedelta(days=1),
            )  # fmt: skip
            k += 1
    found = {
        (start, k): tuple(values)
        for start, k, *values in shop.rows(
            "select cohort_start_date, k, cohort_size, returning_customers,"
            " repurchasing_customers, repeat_orders, retained_customers, net_sales_amount,"
            " is_complete from reporting.agg_cohorts"
            " where cohort_grain = 'month' and cohort_dimension = 'all'"
        )
    }
    assert max(k for _, k in truth) > 10
    assert found == truth


def test_survival_and_the_horizon_of_churn(
    shop: Shop, histories: dict[str, list[Order]], as_of: date
) -> None:
    """Kaplan and Meier's product, multiplied out."""
    ended: dict[int, int] = defaultdict(int)
    running: dict[int, int] = defaultdict(int)
    for orders in histories.values():
        days = sorted({order.day for order in orders if order.day <= as_of})
        for before, after in pairwise(days):
            ended[(after - before).days] += 1
        running[(as_of - days[-1]).days] += 1
    truth, survival = {}, 1.0
    for gap in sorted({*ended, *running}):
        at_risk = sum(n for table in (ended, running) for t, n in table.items() if t >= gap)
        survival *= 1 - ended[gap] / at_risk
        truth[gap] = (at_risk, ended[gap], running[gap], pytest.approx(survival, abs=1e-6))
    found = {
        gap: (at_risk, reorders, censored, float(estimate))
        for gap, at_risk, reorders, censored, estimate in shop.rows(
            "select gap_days, at_risk, reorders, censored, survival from reporting.agg_order_gaps"
            " where gap_kind = 'all'"
        )
    }
    assert found == truth
    gaps = sorted(gap for gap, count in ended.items() for _ in range(count))
    p90 = gaps[-(-9 * len(gaps) // 10) - 1]
    assert p90 == shop.one(
        "select p90_gap_days from reporting.agg_churn_horizon where gap_kind = 'all'"
    )


def test_second_orders_of_those_old_enough(
    shop: Shop, histories: dict[str, list[Order]], as_of: date
) -> None:
    kept = [
        [order.day for order in orders if order.is_kept and order.day <= as_of]
        for orders in histories.values()
    ]
    kept = [days for days in kept if days]
    truth = {
        horizon: (
            sum(horizon == 0 or (as_of - days[0]).days >= horizon for days in kept),
            sum(
                len(days) > 1
                and (
                    horizon == 0
                    or ((as_of - days[0]).days >= horizon and (days[1] - days[0]).days <= horizon)
                )
                for days in kept
            ),
        )
        for horizon in (0, 30, 60, 90, 365)
    }
    found = {
        horizon: (mature, came_back)
        for horizon, mature, came_back in shop.rows(
            "select horizon_days, sum(mature_customers), sum(second_order_customers)"
            " from reporting.agg_second_orders group by horizon_days"
        )
    }
    assert found == truth
    assert 0 < truth[365][0] < truth[30][0] < truth[0][0]  # some are too young for each


def test_rfm_codes_of_the_last_day(
    shop: Shop, histories: dict[str, list[Order]], as_of: date
) -> None:
    """Recency and frequency from the truth's days; the ledger's events give the money."""
    known = {
        customer: [order.day for order in orders if order.day <= as_of]
        for customer, orders in histories.items()
    }
    money = dict(
        shop.rows(
            "select customer_key, sum(amount) from finance.fct_sales_ledger"
            " where is_countable and entry_type in ('sale', 'discount', 'return')"
            " and event_date <= %s group by customer_key",
            [as_of],
        )
    )
    recency = scores({customer: -(as_of - days[-1]).days for customer, days in known.items()})
    frequency = scores({customer: len(set(days)) for customer, days in known.items()})
    monetary = scores({customer: money[customer] for customer in known})
    truth = {c: f"{recency[c]}{frequency[c]}{monetary[c]}" for c in known}
    for table, condition in (
        ("customers.fct_customer_snapshot", "snapshot_date = %s"),
        ("features.customer_rfm", "is_latest and as_of_date = %s"),
    ):
        found = dict(
            shop.rows(f"select customer_key, rfm_code from {table} where {condition}", [as_of])
        )
        assert found == truth, table


def test_states_follow_the_planted_lives(
    shop: Shop, histories: dict[str, list[Order]], as_of: date
) -> None:
    """The generator's people buy until they die: the lapsed are mostly dead, the active not."""
    dead = {entry["person"]: not entry["is_alive"] for entry in shop.truth("customers.json")}
    stages = dict(
        shop.rows(
            "select customer_key, lifecycle_stage from customers.fct_customer_snapshot"
            " where snapshot_date = %s",
            [as_of],
        )
    )
    seen: dict[str, list[bool]] = defaultdict(list)
    for customer, orders in histories.items():
        person = int(shop.orders[orders[0].order_id]["person"])
        if customer in stages and person in dead:
            seen[stages[customer]].append(dead[person])

    def share(stage: str) -> float:
        return sum(seen[stage]) / len(seen[stage])

    assert share("active") < share("at_risk") < share("lapsed")
    assert share("active") < 0.35 < 0.6 < share("lapsed")


@pytest.mark.parametrize("scheme", ["rfm", "lifecycle"])
def test_who_leaves_a_segment_arrives_in_another(shop: Shop, scheme: str) -> None:
    """The flows into a segment are its people, the flows out of it those of the month before."""

    def totals(rows: Iterable[tuple[date, str, int]]) -> dict[tuple[date, str], int]:
        sums: dict[tuple[date, str], int] = defaultdict(int)
        for start, segment, customers in rows:
            sums[start, segment] += customers
        return dict(sums)

    def flow(side: str) -> dict[tuple[date, str], int]:
        return totals(
            shop.rows(
                f"select month_start_date, {side}, customers"
                " from reporting.agg_segment_migration where segment_scheme = %s",
                [scheme],
            )
        )

    people = totals(
        shop.rows(
            "select month_start_date, segment, customers from reporting.agg_segments"
            " where segment_scheme = %s",
            [scheme],
        )
    )
    assert flow("to_segment") == people
    last = max(start for start, _ in people)
    left = {
        (add_months(start, -1), segment): customers
        for (start, segment), customers in flow("from_segment").items()
        if segment != "(first order)"
    }
    assert left == {key: count for key, count in people.items() if key[0] != last}
