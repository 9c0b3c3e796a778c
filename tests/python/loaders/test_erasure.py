"""`ledgerline erase`: the person is gone from raw and stays gone, everything else is as it was."""

from __future__ import annotations

import ast
import hashlib
import hmac
import os
import pty
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pymongo
import pytest
from bson import Decimal128, ObjectId
from conftest import Warehouse
from databases import create_database, drop_database
from psycopg import sql

from loaders.connections import open_postgres
from loaders.erasure import keys as erasure_keys
from loaders.erasure.cli import erase
from loaders.erasure.redaction import rules
from loaders.errors import LoadInProgressError, UserError
from loaders.files import cli as files
from loaders.landing import open_batch
from loaders.modes import Mode, run
from loaders.quarantine import replay
from loaders.settings import Settings
from loaders.shadow import Shadow

pytestmark = pytest.mark.servers

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ANNA, TWIN, BEN = ObjectId("65" + "a" * 22), "usr-anna-2", ObjectId("65" + "b" * 22)
ORDERS = {name: ObjectId(f"66{number:022d}") for number, name in enumerate(
    ("own", "by_text", "guest", "phone_only", "bens", "bens_guest", "anonymous"))}  # fmt: skip
SESSION, BENS_SESSION, FREE_SESSION = (ObjectId(f"67{n:022d}") for n in range(3))

# what must be found nowhere afterwards, in lower case
PERSONAL = (
    "anna.smith", "annasmith", "7700 900123", "900-123", "smithson", "1 high street", "ls1 4ap",
    "1990-01-02", "cookie-anna", "203.0.113.7", "ring the bell", "lovely mug", "track-anna",
    "deliver to anna", "53.8008", "anna@work.example",
)  # fmt: skip


def address() -> dict[str, Any]:
    return {
        "line1": "1 High Street", "city": "Leeds", "postal": "LS1 4AP", "country": "GB",
        "geo": {"lat": 53.8008, "lng": -1.5491},
    }  # fmt: skip


def order(name: str, **fields: Any) -> dict[str, Any]:
    return {
        "_id": ORDERS[name],
        "order_no": f"A-{name}",
        "placed_at": NOW,
        "items": [{"line_id": "1", "sku": "MUG", "qty": 2, "unit_price": Decimal128("12.50")}],
        "totals": {"grand": Decimal128("25.00")},
        "shipping": {"price": Decimal128("3.90"), "address": address(), "tracking": "TRACK-ANNA"},
        "updated_at": NOW,
        **fields,
    }


def fill(shop: Any) -> None:
    """Anna with all that a shop may know of her, and Ben."""
    anna = {
        "email": "Anna.Smith+shop@GMail.com", "phone": "+44 7700 900123",
        "name": {"first": "Anna", "last": "Smithson"},
        "birth_date": datetime(1990, 1, 2, tzinfo=UTC),
        "addresses": [{"kind": "home", **address(), "default": True}],
        "signup": {"at": NOW, "channel": "web"}, "created_at": NOW, "updated_at": NOW,
    }  # fmt: skip
    shop.users.insert_many(
        [
            {"_id": ANNA, **anna},
            {"_id": TWIN, **anna, "email": "anna@work.example", "merged_into": ANNA},
            {"_id": BEN, **anna, "email": "ben@example.org", "phone": "+44 20 555555",
             "name": {"first": "Ben", "last": "Jones"}, "addresses": [], "birth_date": NOW},
        ]
    )  # fmt: skip
    bens = {"address": {"line1": "2 Low Road", "country": "GB"}}
    shop.orders.insert_many(
        [
            order("own", user_id=ANNA, session_id=SESSION, notes="ring the bell"),
            order("by_text", user_id=str(ANNA), ip="203.0.113.7"),
            order("guest", user_id=None, guest={"email": "annasmith@googlemail.com"}),
            order("phone_only", guest={"phone": "0044 (7700) 900-123"}),
            order("bens", user_id=BEN, guest={"email": "ben@example.org"}, shipping=bens),
            order("bens_guest", guest={"email": "ben@example.org"}, shipping=bens),
            order("anonymous", shipping=bens),
        ]
    )
    shop.reviews.insert_many(
        [
            {"_id": 1, "user_id": ANNA, "rating": 5, "text": "lovely mug", "updated_at": NOW},
            {"_id": 2, "order_id": ORDERS["guest"], "rating": 4, "title": "Lovely mug"},
            {"_id": 3, "user_id": BEN, "order_id": ORDERS["own"], "rating": 1, "text": "broken"},
        ]
    )
    shop.sessions.insert_many(
        [
            {"_id": SESSION, "user_id": ANNA, "visitor_id": "cookie-anna", "ip": "203.0.113.7",
             "geo": {"country": "GB", "city": "Leeds"}, "events": [{"type": "purchase"}]},
            {"_id": FREE_SESSION, "visitor_id": "cookie-anna", "user_agent": "Anna.Smith phone"},
            {"_id": BENS_SESSION, "user_id": BEN, "visitor_id": "cookie-ben"},
        ]
    )  # fmt: skip
    shop.campaign_events.insert_many(
        [
            {"_id": 1, "type": "send", "user_id": ANNA, "email": "anna.smith@gmail.com"},
            {"_id": 2, "type": "click", "visitor_id": "cookie-anna", "cost": Decimal128("0.20")},
            {"_id": 3, "type": "click", "visitor_id": "cookie-ben"},
        ]
    )
    shop.support_tickets.insert_many(
        [
            {"_id": 1, "user_id": ANNA, "topic": "late", "text": "Deliver to Anna, please"},
            {"_id": 2, "order_id": ORDERS["phone_only"], "topic": "deliver to anna", "csat": 3},
            {"_id": 3, "user_id": BEN, "topic": "late"},
        ]
    )


def everywhere(conn: psycopg.Connection, words: tuple[str, ...]) -> list[tuple[str, str]]:
    """(table, word) of each word in any row of any table of the database, whatever its case."""
    tables = conn.execute(
        "select schemaname, tablename from pg_tables "
        "where schemaname not in ('pg_catalog', 'information_schema')"
    ).fetchall()
    found = []
    for schema, table in tables:
        found += [
            (f"{schema}.{table}", word)
            for (word,) in conn.execute(
                sql.SQL(
                    "select word from unnest(%s::text[]) as word where exists (select from {} as t "
                    "where position(word in lower(t::text)) > 0 or "
                    "position(encode(word::bytea, 'hex') in lower(t::text)) > 0)"
                ).format(sql.Identifier(schema, table)),
                [list(words)],
            )
        ]
    return found


@pytest.fixture(scope="module")
def template(servers: Settings) -> Iterator[Settings]:
    """Databases with the shop, loaded once."""
    name = f"erasure_{secrets.token_hex(4)}"
    settings = servers.model_copy(update={"postgres_db": name, "mongodb_database": name})
    create_database(servers, name)
    with pymongo.MongoClient(servers.mongodb()) as client:
        fill(client[name])
    run(settings)
    yield settings
    drop_database(servers, name)


@pytest.fixture
def loaded(template: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Warehouse]:
    """A copy of the loaded warehouse; the source is shared, nobody changes it."""
    name = f"{template.postgres_db}_{secrets.token_hex(4)}"
    create_database(template, name, template.postgres_db)
    monkeypatch.setenv("POSTGRES_DB", name)
    monkeypatch.setenv("MONGODB_DATABASE", template.mongodb_database)
    with open_postgres(Settings(), autocommit=True) as conn:
        assert {word for _, word in everywhere(conn, PERSONAL)} == set(PERSONAL)
        yield Warehouse(Settings(), conn)
    drop_database(template, name)


@pytest.fixture
def living(warehouse: Any, shop: Any) -> Any:
    """A loaded warehouse whose source the test may change."""
    fill(shop)
    warehouse.load()
    return warehouse


def erase_anna(warehouse: Any, **options: Any) -> Any:
    return erase(warehouse.settings, str(ANNA), **options)


COLLECTIONS = tuple(rules())
OTHERS = {
    "users": [str(BEN)],
    "orders": [str(ORDERS[name]) for name in ("bens", "bens_guest", "anonymous")],
    "reviews": ["3"],
    "sessions": [str(BENS_SESSION)],
    "campaign_events": ["3"],
    "support_tickets": ["3"],
}


def test_nothing_personal_is_left_and_nothing_else_is_touched(loaded):
    before = {name: loaded.rows(name) for name in COLLECTIONS}
    report = erase_anna(loaded, reason="TICKET-7")
    assert everywhere(loaded.conn, PERSONAL) == []
    assert report.rows == {
        "raw.users": 2,
        "raw.orders": 4,
        "raw.reviews": 2,
        "raw.sessions": 2,
        "raw.campaign_events": 2,
        "raw.support_tickets": 2,
    }
    assert sorted(report.accounts) == sorted([str(ANNA), f'"{TWIN}"'])
    for name in COLLECTIONS:
        after = loaded.rows(name)
        assert after.keys() == before[name].keys()
        for identity, row in after.items():
            old = before[name][identity]
            if identity in OTHERS[name]:
                assert row == old
            else:
                assert row[3] > old[3], "staging reads what is newer"
                assert row[6] == old[6], "still that version of the source"
                assert row[2] == old[2]


def test_amounts_stay_to_the_digit_and_the_person_stays_one(loaded):
    erase_anna(loaded)
    orders = dict(loaded.all("select doc ->> 'order_no', doc::text from raw.orders"))
    assert '"unit_price": 12.50' in orders["A-own"]
    assert '"grand": 25.00' in orders["A-own"]
    contacts = loaded.all(
        "select doc ->> 'email', doc ->> 'phone' from raw.users where doc ? 'erased_at' union all "
        "select doc #>> '{guest,email}', doc #>> '{guest,phone}' from raw.orders "
        "where doc ? 'erased_at' and doc ? 'guest'"
    )
    assert len(contacts) == 4
    assert {email for email, _ in contacts if email} == {
        f"erased-{loaded.one('select subject from ops.erasure_log')}@erased.invalid"
    }
    assert len({phone for _, phone in contacts if phone}) == 1
    assert loaded.one("select count(distinct doc ->> 'visitor_id') from raw.sessions") == 2


def test_the_log_says_who_when_why_and_how_many(loaded):
    report = erase_anna(loaded, reason="TICKET-7")
    [(subject, kind, rows, reason, user, os_user)] = loaded.all(
        "select subject, subject_kind, rows, reason, database_user, os_user from ops.erasure_log"
    )
    assert (subject, kind, rows, reason) == (report.subject, "account", report.rows, "TICKET-7")
    assert user == "ledgerline"
    assert os_user
    assert str(ANNA) not in str(loaded.all("select * from ops.erasure_log"))
    run = loaded.all(
        "select mode, status, updated from ops.load_runs where mode = 'erase' order by collection"
    )
    assert len(run) == len(report.rows)


def test_twice_changes_nothing(loaded):
    first = erase_anna(loaded)
    before = {name: loaded.rows(name) for name in COLLECTIONS}
    known = loaded.all("select * from ops.erasures order by 1, 2")
    second = erase_anna(loaded)
    assert second.rows == {}
    assert second.subject == first.subject
    assert {name: loaded.rows(name) for name in COLLECTIONS} == before
    assert loaded.all("select * from ops.erasures order by 1, 2") == known
    assert loaded.one("select count(*) from ops.erasure_log") == 1
    assert erase(loaded.settings, TWIN).rows == {}, "the other account is the same person"


def test_a_dry_run_counts_and_changes_nothing(loaded):
    before = {name: loaded.rows(name) for name in COLLECTIONS}
    report = erase_anna(loaded, dry_run=True)
    assert {name: loaded.rows(name) for name in COLLECTIONS} == before
    assert loaded.one("select count(*) from ops.erasures") == 0
    assert loaded.one("select count(*) from ops.erasure_log") == 0
    assert erase_anna(loaded).rows == report.rows


def test_keys_are_kept_as_keyed_hashes_only(loaded):
    erase_anna(loaded)
    inner = loaded.one("select inner_pad from ops.erasure_key")
    secret = bytes(byte ^ 0x36 for byte in inner)
    keys = (f"account:{ANNA}", "email:annasmith@gmail.com", "phone:447700900123")
    for key in keys:
        digest = hmac.new(secret, key.encode(), hashlib.sha256).digest()
        kind = key.partition(":")[0]
        assert loaded.one(
            "select count(*) from ops.erasures where kind = %s and key_hash = %s", kind, digest
        )


# --- it stays erased ------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [Mode.INCREMENTAL, Mode.SWEEP, Mode.FULL, Mode.AUTO])
def test_the_next_load_does_not_bring_the_person_back(loaded, mode):
    erase_anna(loaded)
    state = {name: loaded.state(name) for name in COLLECTIONS}
    results = loaded.load(mode=mode)
    assert {name: loaded.state(name) for name in COLLECTIONS} == state
    assert all(result.is_reconciled for result in results)
    assert sum(result.counts.updated for result in results) == 0


@pytest.mark.parametrize("mode", [Mode.INCREMENTAL, Mode.SWEEP, Mode.FULL])
def test_what_the_source_changes_or_adds_is_redacted_as_it_arrives(living, shop, mode):
    erase_anna(living)
    later = NOW + timedelta(days=1)
    fresh = {name: ObjectId(f"68{n:022d}") for n, name in enumerate(("own", "guest", "phone"))}
    new = {"updated_at": later}
    shop.users.update_one({"_id": ANNA}, {"$set": {"name.last": "Smithson-Lee", **new}})
    shop.orders.update_one({"_id": ORDERS["guest"]}, {"$set": {"notes": "ring the bell", **new}})
    shop.orders.insert_many(
        [
            order("own", **new) | {"_id": fresh["own"], "user_id": ANNA},
            order("own", **new) | {"_id": fresh["guest"], "guest": {"email": "anna@work.example"}},
            order("own", **new) | {"_id": fresh["phone"], "guest": {"phone": "+447700900123"}},
        ]
    )
    shop.reviews.insert_one(
        {"_id": 9, "order_id": fresh["guest"], "text": "lovely mug", "rating": 2, **new}
    )
    living.load(mode=mode)
    assert everywhere(living.conn, PERSONAL) == []
    for identity in fresh.values():
        doc = living.docs("orders")[str(identity)]
        assert doc["totals"] == {"grand": 25.0}
        assert doc["erased_at"]
    assert living.docs("reviews")["9"]["rating"] == 2
    assert living.equals(shop)


def test_a_load_into_an_emptied_warehouse_redacts_too(loaded, template):
    erase_anna(loaded)
    loaded.conn.execute("truncate raw.users, raw.orders, raw.sessions, ops.watermarks")
    loaded.load(mode=Mode.FULL)
    assert everywhere(loaded.conn, PERSONAL) == []
    with pymongo.MongoClient(template.mongodb()) as client:
        assert loaded.equals(client[template.mongodb_database])


def test_a_load_where_nobody_was_erased_looks_once(loaded):
    """The look is one query on an empty table: no row of the batch is read for it."""
    assert loaded.one("select count(*) from ops.erasures") == 0
    loaded.conn.execute("drop table ops.erasure_key")  # whatever follows would need it
    shop_orders = loaded.load("orders", mode=Mode.SWEEP)
    assert shop_orders[0].is_reconciled


# --- wherever the loader keeps documents ----------------------------------------------------------


def test_kept_bytes_go_and_stay_away(living, shop):
    nul = "Anna\0Smithson, 1 High Street"
    shop.users.update_one({"_id": ANNA}, {"$set": {"name.last": nul, "updated_at": NOW}})
    shop.orders.insert_one(
        {"_id": "x" * 3000, "guest": {"email": "anna.smith@gmail.com"}, "updated_at": NOW}
    )
    shop.orders.insert_one({"_id": "y" * 3000, "user_id": BEN, "updated_at": NOW})
    living.load(mode=Mode.SWEEP)
    kept = "select count(*) from ops.{} where bson <> ''"
    assert living.one(kept.format("altered_documents")) == 1
    assert living.one(kept.format("quarantine")) == 2
    report = erase_anna(living)
    assert report.rows["ops.quarantine"] == 1
    assert report.rows["ops.altered_documents"] == 1
    assert everywhere(living.conn, PERSONAL) == []
    assert living.one(kept.format("quarantine")) == 1, "Ben's"
    assert living.all("select reason from ops.altered_documents") == [("erased on request",)]
    [replayed] = replay(living.settings)
    assert (replayed.tried, replayed.released) == (1, 0), "Ben's"
    for mode in (Mode.SWEEP, Mode.FULL):
        assert all(result.is_reconciled for result in living.load(mode=mode))
        assert everywhere(living.conn, PERSONAL) == []
    shop.orders.update_one({"_id": "x" * 3000}, {"$set": {"notes": "ring the bell"}})
    shop.users.update_one({"_id": ANNA}, {"$set": {"name.first": "A\0nna.smith"}})
    living.load(mode=Mode.SWEEP)
    assert everywhere(living.conn, PERSONAL) == []


def test_an_unfinished_full_load_is_redacted_where_it_is(loaded):
    shadow = Shadow(loaded.conn, "orders")
    shadow.create()
    loaded.conn.execute(
        "insert into shadow.orders (_id, _source_ts, _doc_hash, _types, doc) "
        "select _id, _source_ts, _doc_hash, _types, doc from raw.orders"
    )
    loaded.conn.execute(
        sql.SQL(
            "insert into {} select 'undone', 'quarantined', 'why', 'hash', "
            "decode('160000000375736572', 'hex')"
        ).format(shadow.odd)
    )
    report = erase_anna(loaded)
    assert report.rows["shadow.orders"] == 4
    assert everywhere(loaded.conn, PERSONAL) == []
    assert loaded.one("select count(*) from shadow.orders") == len(ORDERS)


def test_lines_of_files_that_name_the_person_go(warehouse, tmp_path):
    customers = tmp_path / "customers.csv"
    customers.write_text(
        "customer_id,email,country\n"
        "C-10077,anna.smith@gmail.com,GB\n"
        "C-10078,ben@example.org,GB\n"
        "C-10077,Anna.Smith@gmail.com,GB,too many\n"
        "C-10079,,GB,for C-10077\n"
        "C-10078,ben@example.org,GB,too many\n"
    )
    load = {"customers": [customers]}
    files.load_files(warehouse.settings, load)
    assert warehouse.one("select count(*) from ops.quarantine") == 3
    report = erase(warehouse.settings, "C-10077")
    assert report.rows == {"raw.users": 1, "ops.quarantine": 2}
    assert everywhere(warehouse.conn, ("anna.smith",)) == []
    files.load_files(warehouse.settings, load)
    assert everywhere(warehouse.conn, ("anna.smith",)) == []
    assert warehouse.one("select count(*) from ops.quarantine where bson <> ''") == 1


def test_messages_of_failed_loads_forget_the_person(loaded):
    loaded.conn.execute(
        "insert into ops.load_runs (batch_id, run_id, collection, mode, status, started_at, "
        "finished_at, error) values (-1, gen_random_uuid(), 'orders', 'full', 'failed', now(), "
        "now(), 'DataError: in line 7: anna.smith+shop@gmail.com')"
    )
    assert erase_anna(loaded).rows["ops.load_runs"] == 1
    assert everywhere(loaded.conn, PERSONAL) == []


# --- who is who -----------------------------------------------------------------------------------


def test_a_phone_number_that_others_have_tells_nobody(living, shop):
    shop.users.update_one({"_id": BEN}, {"$set": {"phone": "+447700900123", "updated_at": NOW}})
    living.load()
    assert erase_anna(living).rows["raw.orders"] == 3
    assert "erased_at" not in living.docs("orders")[str(ORDERS["phone_only"])]


def test_what_the_models_found_to_be_one_person_goes_together(living, shop):
    """A guest with a slip in the e-mail: only the models' rule knows."""
    slip = ObjectId("69" + "0" * 22)
    shop.orders.insert_one(order("own") | {"_id": slip, "guest": {"email": "anna.smith@gmial.com"}})
    living.load(mode=Mode.SWEEP)
    living.conn.execute("create schema intermediate")
    living.conn.execute(
        "create table intermediate.int_customers_resolved as "
        "select * from (values ('account:' || %s, 'account', %s, 'p1'), "
        "('guest:' || %s, 'guest', %s, 'p1')) "
        "as t (identity_id, identity_type, source_id, person_id)",
        [str(ANNA), str(ANNA), str(slip), str(slip)],
    )
    erase_anna(living)
    assert living.docs("orders")[str(slip)]["erased_at"]
    assert everywhere(living.conn, ("gmial",)) == []


def test_an_account_that_only_its_orders_name(living, shop):
    gone = ObjectId("64" + "0" * 22)
    shop.orders.insert_one(order("own") | {"_id": 77, "user_id": gone})
    living.load(mode=Mode.SWEEP)
    report = erase(living.settings, str(gone).upper())
    assert report.rows == {"raw.orders": 1}
    assert report.accounts == []


@pytest.mark.parametrize("user", ["nobody", "64" + "f" * 22, '"usr', "", "'; drop table raw.users"])
def test_an_unknown_account(loaded, user):
    before = loaded.rows("users")
    with pytest.raises(UserError, match="nothing is known of an account"):
        erase(loaded.settings, user)
    assert loaded.rows("users") == before
    assert loaded.one("select count(*) from ops.erasures") == 0


def test_every_field_that_staging_reads_is_decided(warehouse):
    """Whoever adds a column to staging says here whether it outlives an erasure."""
    staging = erasure_keys.ROOT / "models" / "staging" / "shop"
    undecided = []
    for path in staging.glob("stg_shop__*.sql"):
        undecided += [
            (path.stem, field)
            for collection, field in staged_fields(path.read_text())
            if collection in rules() and not rules()[collection].decides(field)
        ]
    assert undecided == []


def staged_fields(text: str) -> list[tuple[str, str]]:
    """(collection, path in the document) of each column of a staging model."""
    collection = re.search(r"source\('shop', '(\w+)'\)", text)[1]
    arrays = re.findall(r"json_array_rows\('\w+', '\w+', '(\w+)'", text)
    prefix = "".join(f"{array}.*." for array in arrays)
    columns = re.search(r"{% set columns = (\[.*?\]) %}", text, re.DOTALL)[1]
    fields = []
    for _, _, paths in ast.literal_eval(columns):
        fields += [
            (collection, prefix + path) for path in ([paths] if type(paths) is str else paths)
        ]
    return fields


# --- all or nothing -------------------------------------------------------------------------------


def test_killed_in_the_middle_nothing_is_done(loaded):
    before = {name: loaded.rows(name) for name in COLLECTIONS}
    loaded.conn.execute(
        """
        create function slow() returns trigger language plpgsql as
            $$ begin perform pg_sleep(60); return new; end $$;
        create trigger slow before insert on ops.erasure_log for each row execute function slow();
        """
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "orchestration.cli", "erase", "--user", str(ANNA), "--yes"]
    )
    try:
        waiting = "select count(*) from pg_stat_activity where wait_event = 'PgSleep'"
        deadline = time.monotonic() + 60
        while not loaded.one(waiting):
            assert time.monotonic() < deadline
            time.sleep(0.1)
    finally:
        process.kill()
        process.wait()
    loaded.conn.execute("drop trigger slow on ops.erasure_log")
    loaded.conn.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity where wait_event = 'PgSleep'"
    )
    assert {name: loaded.rows(name) for name in COLLECTIONS} == before
    assert loaded.one("select count(*) from ops.erasures") == 0
    erase_anna(loaded)
    assert everywhere(loaded.conn, PERSONAL) == []


def test_not_while_a_load_works_on_the_collection(loaded):
    with (
        psycopg.connect(**loaded.settings.postgres(), autocommit=True) as other,
        open_batch(other, "sessions", "full"),
        pytest.raises(LoadInProgressError, match='"sessions"'),
    ):
        erase_anna(loaded)


# --- the command ----------------------------------------------------------------------------------


def ledgerline(
    *arguments: str, stdin: int = subprocess.DEVNULL
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "orchestration.cli", "erase", *arguments],
        env=os.environ,
        capture_output=True,
        text=True,
        stdin=stdin,
        check=False,
    )


def test_the_command_says_what_it_did_and_what_is_left_to_do(loaded):
    asked = ledgerline("--user", str(ANNA))
    assert asked.returncode == 2
    assert asked.stderr == (
        "error: nobody is there to confirm: say --yes, or --dry-run to look only\n"
    )
    terminal, theirs = pty.openpty()
    os.write(terminal, b"n\n")
    declined = ledgerline("--user", str(ANNA), stdin=theirs)
    assert declined.stdout.endswith("This can't be undone. Erase? [y/N]: ")
    assert declined.stderr == "error: not confirmed: nothing was erased\n"
    looked = ledgerline("--user", str(ANNA), "--dry-run")
    assert looked.returncode == 0
    assert "raw.orders: 4 would be redacted" in looked.stdout
    assert loaded.one("select count(*) from ops.erasures") == 0
    done = ledgerline("--user", str(ANNA), "--yes", "--reason", "TICKET-7")
    assert done.returncode == 0, done.stderr
    assert "raw.orders: 4 redacted" in done.stdout
    assert "erase the person in the shop's own database" in done.stdout
    assert not [word for word in PERSONAL if word in done.stdout.lower()]
    again = ledgerline("--user", str(ANNA), "--yes")
    assert again.stdout.startswith("nothing left to erase\n")


def test_one_clear_line_when_it_cannot(loaded):
    for arguments, words in (
        (["--user", "nobody", "--yes"], 'nothing is known of an account "nobody"'),
        (["--yes"], "Missing option '--user'"),
        (["--user", "x", "--reason", "for anna@example.org"], "looks like an e-mail address"),
    ):
        result = ledgerline(*arguments)
        assert result.returncode == 2
        [line] = result.stderr.splitlines()
        assert line.startswith("error: ")
        assert words in line
