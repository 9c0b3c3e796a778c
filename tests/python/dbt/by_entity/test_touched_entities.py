"""Of a chain of models, only what a change touches is computed, once and wherever it ends."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import psycopg
import pytest
from chain import TESTS, Chain

pytestmark = [pytest.mark.servers, pytest.mark.dbt]


def test_a_first_build_leaves_nothing_to_take_over(chain: Chain) -> None:
    # what nobody reads is forgotten, what the children took over as well
    assert chain.log() == set()
    # a view and a seed have a row each
    assert chain.rows("select count(*) from ops.built") == [(11,)]


def test_a_moved_entity_leaves_the_old_parent_too(chain: Chain) -> None:
    chain.rows("update shop.lines set customer = 'bob' where order_id = 'b'")
    chain.dbt("build")
    assert chain.customers() == {"ann": (3, 1), "bob": (12, 2)}


def test_an_entity_that_vanished_is_gone(chain: Chain) -> None:
    chain.rows("delete from shop.lines where order_id = 'c'")
    chain.dbt("build")
    assert chain.customers() == {"ann": (7, 2)}
    assert chain.rows("select count(*) from marts.orders where order_id = 'c'") == [(0,)]


def test_only_touched_entities_are_computed(chain: Chain) -> None:
    chain.rows("update marts.customers set amount = 1000 + amount")
    chain.rows("insert into shop.lines values ('5', 'd', 'bob', 16)")
    chain.dbt("build")
    assert chain.customers() == {"ann": (1007, 2), "bob": (24, 2)}


def test_a_recomputation_that_changes_nothing_goes_no_further(chain: Chain) -> None:
    chain.rows("update marts.customers set amount = 1000")
    # the sum stays
    chain.rows("update shop.lines set amount = 3 - amount::int where order_id = 'a'")
    chain.dbt("build", "--select", "lines orders")
    assert chain.log() == set()
    chain.dbt("build")
    assert chain.customers() == {"ann": (1000, 2), "bob": (1000, 1)}


def test_a_build_that_stopped_between_models_goes_on_where_it_was(chain: Chain) -> None:
    chain.rows("update shop.lines set customer = 'bob' where order_id = 'b'")
    chain.dbt("run", "--select", "lines")
    chain.rows("alter table marts.orders add constraint no_bob check (customer <> 'bob') not valid")
    chain.dbt("run", success=False)
    assert chain.customers() == {"ann": (7, 2), "bob": (8, 1)}
    chain.rows("alter table marts.orders drop constraint no_bob")
    chain.dbt("run")
    assert chain.customers() == {"ann": (3, 1), "bob": (12, 2)}


def test_a_model_built_alone_takes_over_what_its_parents_have(chain: Chain) -> None:
    chain.rows("insert into shop.lines values ('5', 'd', 'cy', 16)")
    chain.dbt("run", "--select", "customers")
    assert "cy" not in chain.customers()
    chain.dbt("run", "--select", "lines")
    chain.dbt("run", "--select", "customers")
    assert "cy" not in chain.customers()
    chain.dbt("run", "--select", "orders")
    chain.dbt("run", "--select", "customers")
    assert chain.customers()["cy"] == (16, 1)


def test_a_parent_built_from_nothing_touches_everything(chain: Chain) -> None:
    chain.rows("update marts.customers set amount = 1000")
    chain.dbt("run", "--select", "orders", "--full-refresh")
    assert chain.log() == {("orders", "*", "*")}
    chain.dbt("build")
    assert chain.customers() == {"ann": (7, 2), "bob": (8, 1)}
    assert chain.log() == set()


def test_touches_are_kept_until_all_have_taken_them_over(chain: Chain) -> None:
    for line in (5, 6):
        chain.rows(f"insert into shop.lines values ('{line}', 'd{line}', 'cy', 16)")
        chain.dbt("run", "--select", "lines orders")
    assert {entry for entry in chain.log() if entry[1] == "customer"} == {
        ("orders", "customer", "cy")
    }
    assert {entry[2] for entry in chain.log() if entry[1] == "order"} == {"d5", "d6"}
    chain.dbt("run", "--select", "customers")
    assert chain.customers()["cy"] == (32, 2)
    # tests read them too, and a table that is made anew
    chain.dbt("test")
    assert chain.log() == {("customers", "customer", "cy")}
    chain.dbt("run", "--select", "totals")
    assert chain.log() == {("totals", "*", "*")}
    chain.dbt("test")
    assert chain.log() == set()


def test_a_key_without_a_value_is_refused(chain: Chain) -> None:
    chain.rows("insert into shop.lines values ('5', null, 'cy', 16)")
    chain.dbt("run", "--full-refresh", "--select", "lines orders", success=False)
    chain.rows("update shop.lines set order_id = 'd' where line_id = '5'")
    chain.dbt("build", "--full-refresh")
    with pytest.raises(psycopg.errors.NotNullViolation):
        chain.rows("insert into marts.orders (customer, amount) values ('cy', 16)")


@pytest.mark.parametrize("contract", ["true", "false"])
def test_a_null_among_personal_data_is_refused_without_showing_its_row(
    chain: Chain, contract: str
) -> None:
    (chain.folder / "models/tests.yml").write_text(
        TESTS
        + f"""
  - name: customers
    config: {{contract: {{enforced: {contract}}}}}
    columns:
      - {{name: customer, data_type: text, config: {{meta: {{pii: true}}}},
         constraints: [{{type: not_null}}]}}
      - {{name: amount, data_type: numeric, constraints: [{{type: not_null}}]}}
      - {{name: orders, data_type: bigint}}
"""
    )
    chain.dbt("parse")
    for arguments in (["--full-refresh"], []):
        chain.rows("insert into shop.lines values ('5', 'd', 'cy of 1 Mill Lane', null)")
        [error] = chain.dbt("run", "--select", "lines orders customers", *arguments, success=False)
        assert 'column "amount" of relation "customers' in error
        assert "Mill Lane" not in error
        chain.rows("delete from shop.lines where line_id = '5'")
        chain.dbt("run", "--full-refresh", "--select", "lines orders customers")


def test_two_builds_at_once_lose_nothing_and_double_nothing(chain: Chain) -> None:
    """Each model of the second waits for the first's, then takes over what is left."""
    chain.rows("update shop.lines set customer = 'bob' where order_id = 'b'")
    chain.rows("insert into shop.lines values ('5', 'd', 'cy', 16)")
    command = [sys.executable, "-m", "dbt.cli.main", "run", "--quiet"]
    folders = ["--project-dir", ".", "--profiles-dir", os.environ["DBT_PROFILES_DIR"]]
    with psycopg.connect(**chain.settings.postgres()) as busy:
        busy.execute("lock table marts.lines in share row exclusive mode")
        both = [
            subprocess.Popen([*command, *folders, "--target-path", f"t{i}"], cwd=chain.folder)
            for i in range(2)
        ]
        waiting = "select count(*) = 2 from pg_locks join pg_database on pg_database.oid = database"
        waiting += " where not granted and datname = current_database()"
        for _ in range(600):
            if chain.rows(waiting) == [(True,)]:
                break
            time.sleep(0.1)
    assert [process.wait() for process in both] == [0, 0]
    assert chain.customers() == {"ann": (3, 1), "bob": (12, 2), "cy": (16, 1)}
