"""What is computed as a whole: models whose text or seed changed, tables, and the views on them."""

from __future__ import annotations

import pytest
from chain import Chain

pytestmark = [pytest.mark.servers, pytest.mark.dbt]


def test_a_changed_seed_or_model_is_computed_anew(chain: Chain) -> None:
    (chain.folder / "seeds/rates.csv").write_text("rate\n10\n")
    chain.dbt("parse")
    chain.dbt("build", "--exclude", "same_sum")
    assert chain.customers() == {"ann": (70, 2), "bob": (80, 1)}
    model = chain.folder / "models/customers.sql"
    model.write_text(model.read_text().replace("count(*)", "count(*) + 100"))
    chain.dbt("parse")
    chain.dbt("build", "--exclude", "same_sum")
    assert chain.customers() == {"ann": (70, 102), "bob": (80, 101)}


def test_a_model_with_other_columns_is_made_anew(chain: Chain) -> None:
    def table() -> int:
        return chain.rows("select cast(cast('marts.customers' as regclass) as integer)")[0][0]

    model = chain.folder / "models/customers.sql"
    model.write_text(model.read_text().replace("as orders", "as orders, max(amount) as largest"))
    chain.dbt("parse")
    before = table()
    chain.dbt("build")
    assert table() != before
    largest = chain.rows("select customer, largest from marts.customers order by 1")
    assert largest == [("ann", 4), ("bob", 8)]
    assert chain.rows("select count(*) from marts.people") == [(2,)]
    anew = table()
    chain.rows("update shop.lines set amount = 16 where line_id = '4'")
    chain.dbt("build")
    assert table() == anew
    assert chain.customers() == {"ann": (7, 2), "bob": (16, 1)}


def test_a_table_is_made_anew_only_when_what_it_reads_was_touched(chain: Chain) -> None:
    def made() -> tuple[int, int]:
        """Which table it is, and the sum in it."""
        [(oid, amount)] = chain.rows(
            "select 'marts.totals'::regclass::oid::bigint, amount::int from marts.totals"
        )
        return oid, amount

    first = made()
    chain.dbt("build")
    assert made() == first
    chain.rows("update shop.lines set amount = 9 where order_id = 'c'")
    chain.dbt("build")
    second = made()
    assert second[0] != first[0]
    assert second[1] == 16
    # not by what stands in it: that is for the tests, and for a full refresh
    chain.rows("update marts.totals set amount = 0")
    chain.dbt("run", "--select", "totals")
    assert made() == (second[0], 0)
    chain.dbt("run", "--full-refresh", "--select", "totals")
    assert made()[1] == 16
    # a table that is gone, one of another text, one that reads a view of another text
    chain.rows("drop table marts.totals")
    chain.dbt("run", "--select", "totals")
    assert made()[1] == 16
    for name, before, after, amount in (
        ("totals", "sum(amount)", "sum(amount) + 1", 17),
        ("people", "amount from", "amount * 2 as amount from", 33),
    ):
        model = chain.folder / f"models/{name}.sql"
        model.write_text(model.read_text().replace(before, after))
        chain.dbt("parse")
        chain.dbt("run", "--select", "people totals")
        assert made()[1] == amount


def test_a_view_is_replaced_where_it_is(chain: Chain) -> None:
    chain.rows("create view marts.on_people as select amount from marts.people")
    chain.dbt("run", "--select", "people")
    assert chain.rows("select sum(amount) from marts.on_people") == [(15,)]
    # with other columns it is made anew, and what stands on it goes, as dbt's own does at every run
    model = chain.folder / "models/people.sql"
    model.write_text(model.read_text().replace("select customer, amount", "select amount"))
    chain.dbt("parse")
    chain.dbt("run", "--select", "people")
    assert chain.rows("select * from marts.people order by 1") == [(7,), (8,)]
    assert chain.rows("select to_regclass('marts.on_people')") == [(None,)]
    # in place of a table
    chain.rows("drop view marts.people")
    chain.rows("create table marts.people (other text)")
    chain.dbt("run", "--select", "people")
    assert chain.rows("select * from marts.people order by 1") == [(7,), (8,)]
    # and an error in it is an error, with the old one left
    model.write_text("{{ config(materialized='view') }} select nobody from {{ ref('customers') }}")
    chain.dbt("parse")
    [error] = chain.dbt("run", "--select", "people", success=False)
    assert 'column "nobody" does not exist' in error
    assert chain.rows("select * from marts.people order by 1") == [(7,), (8,)]


def test_a_view_of_which_nothing_changed_stays(chain: Chain) -> None:
    def made() -> str:
        """The transaction that wrote its text."""
        people = "to_regclass('marts.people')"
        [(xmin,)] = chain.rows(f"select xmin::text from pg_rewrite where ev_class = {people}")
        return str(xmin)

    first = made()
    chain.dbt("build")
    assert made() == first
    chain.dbt("run", "--full-refresh", "--select", "people")
    assert made() != first
    chain.rows("drop view marts.people")
    chain.dbt("run", "--select", "people")
    last = made()
    # what it is made of is kept while the project has it
    assert chain.rows("select count(*) from ops.built where model = 'people'") == [(1,)]
    model = chain.folder / "models/people.sql"
    model.write_text(model.read_text().replace("amount from", "amount + 1 as amount from"))
    chain.dbt("parse")
    chain.dbt("run", "--select", "people")
    assert made() != last
    assert chain.rows("select sum(amount) from marts.people") == [(17,)]


def test_a_seed_of_which_nothing_changed_stays(chain: Chain) -> None:
    def made() -> list[tuple[str, int]]:
        return [
            (str(xmin), rate) for xmin, rate in chain.rows("select xmin, rate from marts.rates")
        ]

    first = made()
    chain.dbt("build")
    chain.dbt("seed")
    assert made() == first
    chain.dbt("seed", "--full-refresh")
    again = made()
    assert again[0][0] != first[0][0]
    (chain.folder / "seeds/rates.csv").write_text("rate\n3\n")
    chain.dbt("parse")
    chain.dbt("seed")
    assert [rate for _, rate in made()] == [3]
    chain.rows("drop table marts.rates cascade")
    chain.dbt("seed")
    assert [rate for _, rate in made()] == [3]


def test_views_follow_a_table_that_is_made_anew(chain: Chain) -> None:
    chain.rows("create schema bi")
    chain.rows(
        "create view bi.buyers as select c.customer, c.amount, count(*) as orders "
        "from marts.customers c join marts.orders using (customer) group by 1, 2"
    )
    chain.rows("create view bi.best as select customer from bi.buyers where amount > 7")
    chain.rows("create view bi.orders as select * from marts.orders where order_id <> '__dbt'")
    chain.rows("grant select on bi.best to public")
    chain.rows("update shop.lines set amount = 9 where order_id = 'c'")
    chain.dbt("run", "--full-refresh", "--exclude", "people")
    assert chain.rows("select * from bi.buyers order by 1") == [("ann", 7, 2), ("bob", 9, 1)]
    assert chain.rows("select customer from bi.best") == [("bob",)]
    assert chain.rows("select relacl is not null from pg_class where relname = 'best'") == [(True,)]
    assert chain.rows("select sum(amount) from marts.people") == [(16,)]
    # one that reads what the new version has no more goes with the old one
    model = chain.folder / "models/customers.sql"
    model.write_text(model.read_text().replace(" as amount", " as total"))
    chain.dbt("parse")
    chain.dbt("run", "--full-refresh", "--select", "customers")
    assert chain.rows("select to_regclass('bi.buyers'), to_regclass('bi.best')") == [(None, None)]
    assert chain.rows("select count(*) from bi.orders") == [(3,)]
    assert chain.rows("select count(*) from pg_class where relname like '%dbt_backup'") == [(0,)]
