"""Each role logs in and tries what it must not see, and what it must."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from databases import create_database, drop_database
from dbt.cli.main import dbtRunner
from dbt.contracts.graph.manifest import Manifest
from psycopg import sql

from loaders.settings import Settings

pytestmark = [pytest.mark.servers, pytest.mark.dbt, pytest.mark.slow]

ROLES = ("reader", "finance", "pii", "ml", "loader")
OPEN_LAYERS = ("marts", "reporting", "predictions", "quality")
Denied = psycopg.errors.InsufficientPrivilege


@pytest.fixture(scope="module")
def copy(warehouse: Settings) -> Iterator[Settings]:
    """A copy that may be built anew; made before anybody logs in, who would be in its way."""
    settings = warehouse.model_copy(update={"postgres_db": f"access_{secrets.token_hex(6)}"})
    create_database(warehouse, settings.postgres_db, warehouse.postgres_db)
    yield settings
    drop_database(warehouse, settings.postgres_db)


@pytest.fixture(scope="module")
def logins(warehouse: Settings, copy: Settings) -> Iterator[dict[str, psycopg.Connection[Any]]]:
    """Role -> a connection of a login that is a member of it and nothing else."""
    owner = psycopg.connect(**warehouse.postgres(), autocommit=True)
    opened: dict[str, psycopg.Connection[Any]] = {}
    names = {role: f"login_{role}_{secrets.token_hex(4)}" for role in ROLES}
    for role, name in names.items():
        password = secrets.token_hex(16)
        owner.execute(
            sql.SQL("create role {} login password {} in role {}").format(
                sql.Identifier(name), sql.Literal(password), sql.Identifier(f"ledgerline_{role}")
            )
        )
        to = {**warehouse.postgres(), "user": name, "password": password}
        opened[role] = psycopg.connect(**to, autocommit=True)
    yield opened
    for role, name in names.items():
        opened[role].close()
        owner.execute(sql.SQL("drop role {}").format(sql.Identifier(name)))
    owner.close()


def relations(manifest: Manifest, *layers: str) -> dict[str, dict[str, set[str]]]:
    """Relation -> {open, pii, finance: its columns}, of models in these layers."""
    found = {}
    for node in manifest.nodes.values():
        if node.resource_type != "model" or node.fqn[1] not in layers:
            continue
        columns: dict[str, set[str]] = {"open": set(), "pii": set(), "finance": set()}
        whole = next((tag for tag in ("pii", "finance") if node.config.meta.get(tag)), None)
        for column in node.columns.values():
            meta = column.config.meta or column.meta
            tag = whole or next((tag for tag in ("pii", "finance") if meta.get(tag)), "open")
            columns[tag].add(column.name)
        found[f"{node.schema}.{node.alias}"] = columns
    return found


def select(connection: psycopg.Connection[Any], relation: str, columns: set[str]) -> None:
    """Read these columns; raises Denied."""
    connection.execute(
        sql.SQL("select {} from {} limit 1").format(
            sql.SQL(", ").join(map(sql.Identifier, sorted(columns))),
            sql.Identifier(*relation.split(".")),
        )
    )


def is_denied(connection: psycopg.Connection[Any], statement: str) -> bool:
    try:
        connection.execute(statement)
    except Denied:
        return True
    return False


def test_a_reader_sees_all_that_is_neither_personal_nor_a_cost(
    logins: dict[str, Any], manifest: Manifest
) -> None:
    models = relations(manifest, *OPEN_LAYERS)
    assert len(models) > 30
    for relation, columns in models.items():
        if columns["open"]:
            select(logins["reader"], relation, columns["open"])


@pytest.mark.parametrize(
    ("role", "denied"),
    [
        ("reader", ("pii", "finance")),
        ("finance", ("pii",)),
        ("pii", ("finance",)),
        ("ml", ("pii", "finance")),
    ],
)
def test_tagged_columns_are_closed_one_by_one(
    logins: dict[str, Any], manifest: Manifest, role: str, denied: tuple[str, ...]
) -> None:
    seen = []
    tried = 0
    for relation, columns in relations(manifest, *OPEN_LAYERS).items():
        for tag in denied:
            for column in columns[tag]:
                tried += 1
                try:
                    select(logins[role], relation, {column})
                    seen.append(f"{relation}.{column}")
                except Denied:
                    pass
    assert tried > 3
    assert seen == []


@pytest.mark.parametrize("tag", ["pii", "finance"])
def test_the_role_for_it_sees_the_whole_table(
    logins: dict[str, Any], manifest: Manifest, tag: str
) -> None:
    other = {"pii": "finance", "finance": "pii"}[tag]
    for relation, columns in relations(manifest, *OPEN_LAYERS).items():
        if columns[tag] and not columns[other]:
            logins[tag].execute(
                sql.SQL("select * from {} limit 1").format(sql.Identifier(*relation.split(".")))
            )
    if tag == "pii":
        assert logins[tag].execute(
            "select count(email) from staging.stg_shop__users"
        ).fetchone() > (0,)


@pytest.mark.parametrize("role", ["reader", "pii", "ml"])
def test_costs_that_are_rows_are_hidden(
    logins: dict[str, Any], warehouse: Settings, role: str
) -> None:
    """The sums of what customers see are the owner's; no cost entry is among the rows."""
    query = (
        "select count(*) filter (where entry_type in ('cogs', 'cogs_return', 'payment_fee',"
        " 'shipping_cost')) > 0, sum(amount) filter (where entry_type in"
        " ('sale', 'discount', 'return')) from finance.fct_sales_ledger"
    )
    with psycopg.connect(**warehouse.postgres()) as owner:
        costs, net_sales = owner.execute(query).fetchone() or ()
    assert costs
    assert logins[role].execute(query).fetchone() == (False, net_sales)
    assert logins["finance"].execute(query).fetchone() == (True, net_sales)


CLOSED = {
    "reader": ("raw.users", "ops.load_runs", "staging.stg_shop__users", "features.customer_rfm",
               "intermediate.int_customer_identities", "snapshots.users_history", "ml.runs"),
    "finance": ("raw.users", "ops.erasure_key", "staging.stg_shop__users", "features.customer_rfm",
                "intermediate.int_customer_identities", "ml.runs"),
    "pii": ("raw.users", "ops.erasure_key", "staging.stg_shop__reviews", "reference.overheads",
            "intermediate.int_customer_identities"),
    "ml": ("raw.users", "ops.load_runs", "staging.stg_shop__users", "reference.overheads",
           "intermediate.int_customer_identities"),
    "loader": ("core.fct_orders", "finance.fct_sales_ledger", "core.dim_customers",
               "staging.stg_shop__users", "ml.runs", "predictions.customer_segments"),
}  # fmt: skip


@pytest.mark.parametrize("role", ROLES)
def test_what_is_not_its_business_is_closed(logins: dict[str, Any], role: str) -> None:
    seen = [
        relation
        for relation in CLOSED[role]
        if not is_denied(logins[role], f"select * from {relation} limit 1")
    ]
    assert seen == []


@pytest.mark.parametrize("role", ["reader", "finance", "pii", "ml"])
def test_nobody_who_reads_may_write_marts(logins: dict[str, Any], role: str) -> None:
    for statement in (
        "delete from core.dim_date",
        "update core.dim_date set is_holiday = true",
        "insert into quality.recon_collections (collection) values (null)",
        "drop table core.dim_date",
        "create table core.mine (a int)",
        "create table reporting.mine (a int)",
    ):
        assert is_denied(logins[role], statement), statement


def test_the_models_role_reads_features_and_writes_its_own_schema(
    logins: dict[str, Any],
) -> None:
    ml = logins["ml"]
    assert ml.execute("select count(*) from features.customer_rfm").fetchone() > (0,)
    assert ml.execute("select count(net_profit_amount) from features.daily_sales").fetchone()
    with ml.transaction(force_rollback=True):
        ml.execute("update ml.runs set note = note")
        ml.execute("delete from ml.forecasts")
        ml.execute("create table ml.mine (a int)")


def test_the_loaders_role_writes_raw_and_its_books(logins: dict[str, Any]) -> None:
    loader = logins["loader"]
    with loader.transaction(force_rollback=True):
        loader.execute("select nextval('ops.batch_id')")
        loader.execute(
            "insert into raw.users (_id, doc, _loaded_at, _batch_id, _doc_hash)"
            " values ('x', '{}', now(), 0, '')"
        )
        loader.execute("update raw.users set _deleted_at = now() where _id = 'x'")
        loader.execute("delete from raw.users where _id = 'x'")
        loader.execute("update ops.watermarks set last_loaded_at = now()")
        loader.execute("create table raw.a_new_collection (a int)")


# --- grants last ----------------------------------------------------------------------------------

# with columns of either kind, with hidden rows, incremental and not
REBUILT = {
    "core.bridge_customer_identity",
    "core.fct_refund_lines",
    "core.fct_orders",
    "finance.fct_sales_ledger",
    "quality.restatements",
    "predictions.sales_forecasts",
}


def access(connection: psycopg.Connection[Any]) -> list[tuple[Any, ...]]:
    """Privileges and policies on the rebuilt relations and their columns."""
    found = connection.execute(
        """
        select oid::regclass::text, '', (select array_agg(a::text order by a::text)
            from unnest(relacl) as a), relrowsecurity
        from pg_class where relacl is not null and relkind in ('r', 'v')
            and relnamespace::regnamespace::text not in ('pg_catalog', 'information_schema')
        union all
        select attrelid::regclass::text, attname, (select array_agg(a::text order by a::text)
            from unnest(attacl) as a), null from pg_attribute where attacl is not null
        union all
        select polrelid::regclass::text, polname, polroles::regrole[]::text[], null from pg_policy
        order by 1, 2, 3
        """
    ).fetchall()
    return [row for row in found if row[0] in REBUILT]


def test_grants_outlive_increments_and_full_refreshes(
    copy: Settings, dbt_environment: Callable[[str], list[str]]
) -> None:
    with (
        pytest.MonkeyPatch.context() as patch,
        psycopg.connect(**copy.postgres(), autocommit=True) as connection,
    ):
        patch.setenv("POSTGRES_DB", copy.postgres_db)
        options = dbt_environment(copy.postgres_db)
        before = access(connection)
        assert {row[0] for row in before} == REBUILT
        # what was granted by hand to a role of ours goes with the next build, be it an increment
        connection.execute("grant select, delete on finance.fct_sales_ledger to ledgerline_pii")
        connection.execute("grant select on quality.restatements to ledgerline_loader")
        names = [relation.split(".")[1] for relation in sorted(REBUILT)]
        for more in ([], ["--full-refresh"]):
            built = dbtRunner().invoke(["run", "--select", *names, *more, *options])
            assert built.success, built.exception
            assert access(connection) == before, more
