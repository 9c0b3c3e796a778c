"""After `ledgerline erase` and a build the person is in no table, and no number has moved."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
import pytest
from databases import create_database, drop_database
from psycopg import sql
from shop import Shop, ledgerline

from loaders.settings import Settings

pytestmark = [pytest.mark.servers, pytest.mark.dbt, pytest.mark.slow]

BUILD = ("dbt", "build", "--exclude-resource-type", "unit_test")

# a word of their own in each place where a person may have left something: path -> collection
PLANTED = {
    "users": ["name.first", "name.last", "gender", "nickname", "tags"],
    "orders": [
        "notes", "ip", "guest.name", "shipping.tracking", "shipping.address.line1",
        "shipping.address.city", "shipping.address.region", "shipping.address.postal",
        "cancel.reason", "utm.term",
    ],
    "reviews": ["title", "text", "author"],
    "sessions": ["ip", "landing", "referrer", "geo.city", "user_agent", "utm.content"],
    "campaign_events": ["ip", "email"],
    "support_tickets": ["topic", "text"],
}  # fmt: skip

# what may look different: the person's own attributes, and the way in which they were recognised
PERSONAL_COLUMNS = {
    "core.dim_customers": {
        "email_hash", "phone_hash", "region", "city", "gender", "age_group", "is_erased",
        "erased_at",
    },
    "core.bridge_customer_identity": {"email_hash", "phone_hash", "match_rule", "confidence"},
    "core.fct_orders": {"geography_key", "cancel_reason"},
    "core.fct_reviews": {"text_hash", "text_length"},
    "core.fct_refunds": {"reason"},
    "core.fct_payments": {"error"},
    "operations.fct_order_lifecycle": {"geography_key"},
    "operations.fct_shipments": {"geography_key", "has_tracking"},
    "reporting.obt_sales": {"geography_key", "region", "city"},
}  # fmt: skip
NOT_COMPARED = {
    # lists of places: one that only the person lived in goes
    "core.dim_geography",
    "reporting.agg_geo",
    # a person who is erased has a new version
    "customers.dim_customers_history",
    # the words of a review are the person's own
    "features.review_texts",
    # an erasure is a batch, and what it took is missing
    "quality.recon_source_days",
    "quality.cleaning_checks",
}
COMPARED = (
    "core", "finance", "customers", "products", "operations", "reporting", "features", "quality",
    "predictions", "ml",
)  # fmt: skip


@dataclass
class Erased:
    """A warehouse in which some people were erased.

    Attributes:
        words: theirs, in lower case.
        before: table -> its rows but for personal columns, before.
    """

    shop: Shop
    people: dict[str, str]
    words: set[str]
    before: dict[str, dict[str, int]]


def contents(shop: Shop) -> dict[str, dict[str, int]]:
    """{schema.table: {row without personal columns and load times: how often}}."""
    relations = shop.rows(
        "select table_schema || '.' || table_name from information_schema.tables"
        " where table_schema = any(%s)",
        [list(COMPARED)],
    )
    found = {}
    for (name,) in relations:
        if name in NOT_COMPARED:
            continue
        hidden = [*PERSONAL_COLUMNS.get(name, ()), "_loaded_at"]
        statement = sql.SQL(
            "select row, count(*) from (select (to_jsonb(t) - %s::text[])::text as row"
            " from {} as t) as rows group by row"
        ).format(sql.Identifier(*name.split(".")))
        found[name] = dict(shop.rows(statement, [hidden]))
    return found


def people_of(shop: Shop) -> dict[str, str]:
    """Why they are chosen -> account: one each of whom there is much, and much to get wrong."""
    chosen = {}
    for why, condition in {
        "guest by e-mail, much else": "'email' = any(rules) and guests > 0 and sessions > 0",
        "guest by phone": "'phone' = any(rules) and guests > 0",
        "second account by a slip": "'email_slip_same_phone' = any(rules)",
        "merged account": "'merged_into' = any(rules)",
    }.items():
        [(account,)] = shop.rows(
            f"""
            with people as (
                select person_id, array_agg(match_rule) as rules,
                    count(*) filter (where identity_type = 'guest') as guests,
                    min(source_id) filter (where identity_rank = 1) as account
                from intermediate.int_customers_resolved
                where person_id like 'account:%%' and not is_test
                group by person_id
            ), counted as (
                select *,
                    (select count(*) from staging.stg_shop__sessions where user_id = account)
                        as sessions,
                    (select count(*) from staging.stg_shop__reviews where user_id = account)
                        as reviews
                from people
            )
            select account from counted
            where {condition} and account <> all(%s)
            order by reviews * 3 + sessions desc, account
            limit 1
            """,
            [list(chosen.values())],
        )
        chosen[why] = account
    return chosen


def plant(shop: Shop, account: str) -> set[str]:
    """Give the person words of their own, and find the ones they have; in lower case."""
    identities = shop.rows(
        "select other.identity_type, other.source_id, other.email_hash, other.phone_hash"
        " from intermediate.int_customers_resolved as mine"
        " inner join intermediate.int_customers_resolved as other using (person_id)"
        " where mine.identity_id = %s",
        [f"account:{account}"],
    )
    accounts = [source for kind, source, _, _ in identities if kind == "account"]
    guests = [source for kind, source, _, _ in identities if kind == "guest"]
    words = {word for _, _, *hashes in identities for word in hashes if word}
    contacts = shop.rows(
        "select email, phone from staging.stg_shop__users where user_id = any(%s)"
        " union all select guest_email, guest_phone from staging.stg_shop__orders"
        " where order_id = any(%s)",
        [accounts, guests],
    )
    words |= {word.lower() for contact in contacts for word in contact if word}
    assert len(words) > 3
    with psycopg.connect(**shop.settings.postgres()) as connection:
        for collection, paths in PLANTED.items():
            where = "doc ->> 'user_id' = any(%(accounts)s)"
            if collection == "users":
                where = "_id = any(%(accounts)s)"
            elif collection == "orders":
                where += " or _id = any(%(guests)s)"
            elif collection in ("reviews", "support_tickets"):
                where += " or doc ->> 'order_id' = any(%(guests)s)"
            for path in paths:
                word = f"zq {secrets.token_hex(6)}"
                steps = path.split(".")
                changed = connection.execute(
                    f"update raw.{collection} set _loaded_at = %(at)s,"
                    " doc = jsonb_set(doc, %(path)s, %(word)s)"
                    f" where ({where}) and doc #> %(parent)s is not null",
                    {
                        "path": steps,
                        "parent": steps[:-1],
                        "accounts": accounts,
                        "guests": guests,
                        "word": json.dumps(word),
                        "at": shop.one("select clock_timestamp()"),
                    },
                ).rowcount
                if changed:
                    words.add(word)
    return words


def everywhere(settings: Settings, words: set[str]) -> list[tuple[str, str, str]]:
    """(schema, relation, word) of each word in any row of any table, view or snapshot."""
    found = []
    with psycopg.connect(**settings.postgres()) as connection:
        relations = connection.execute(
            "select table_schema, table_name from information_schema.tables"
            " where table_schema not in ('pg_catalog', 'information_schema')"
        ).fetchall()
        for schema, relation in relations:
            # one pass for all words; which they are is asked only of the rows that have some
            rows = connection.execute(
                sql.SQL(
                    "select distinct word from (select lower(t::text) as row from {} as t) as rows"
                    " cross join unnest(%s::text[]) as word"
                    " where row ~ %s and position(word in row) > 0"
                ).format(sql.Identifier(schema, relation)),
                [sorted(words), "|".join(map(re.escape, sorted(words)))],
            ).fetchall()
            found += [(schema, relation, word) for (word,) in rows]
    return found


@pytest.fixture(scope="module")
def erased(warehouse: Settings) -> Iterator[Erased]:
    """A copy of the warehouse, built, the people erased and built again as an increment."""
    name = f"erased_{secrets.token_hex(4)}"
    create_database(warehouse, name, warehouse.postgres_db)
    settings = warehouse.model_copy(update={"postgres_db": name})
    shop = Shop(settings, warehouse.home / "store" / "xs-42")
    people = people_of(shop)
    words = {word for account in people.values() for word in plant(shop, account)}
    ledgerline(settings, *BUILD, "--exclude-resource-type", "test")
    missing = words - {word for _, _, word in everywhere(settings, words)}
    assert not missing, "else the search proves nothing"
    before = contents(shop)
    for account in people.values():
        ledgerline(settings, "erase", "--user", account, "--yes", "--reason", "a test")
    ledgerline(settings, *BUILD)
    yield Erased(shop, people, words, before)
    drop_database(warehouse, name)


def test_no_table_has_a_word_of_them(erased: Erased) -> None:
    assert everywhere(erased.shop.settings, erased.words) == []


def test_no_number_has_moved(erased: Erased) -> None:
    after = contents(erased.shop)
    assert after.keys() == erased.before.keys()
    assert len(after) > 25
    different = {
        table: (
            [row for row, n in erased.before[table].items() if after[table].get(row) != n][:3],
            [row for row, n in after[table].items() if erased.before[table].get(row) != n][:3],
        )
        for table in after
        if after[table] != erased.before[table]
    }
    assert different == {}


def test_the_person_is_marked_in_the_dimension_and_in_its_history(erased: Erased) -> None:
    accounts = sorted(erased.people.values())
    marked = erased.shop.rows(
        "select customer_id from core.dim_customers where is_erased and erased_at is not null"
        " and customer_id = any(%s)",
        [accounts],
    )
    assert sorted(account for (account,) in marked) == accounts
    versions = erased.shop.rows(
        "select user_id, is_erased from snapshots.users_history"
        " where user_id = any(%s) and dbt_valid_to is null",
        [accounts],
    )
    assert sorted(versions) == [(account, True) for account in accounts]
