"""The command `ledgerline erase`: removes a person from the warehouse, keeps the amounts.

A person is the account given and what the warehouse knows to be the same one: accounts merged with
it, the accounts and guest orders that the models' last build counted as one customer with it, and
whatever carries the same e-mail since then. A phone number counts where there is no e-mail, unless
somebody else's account or order has it too. With these go their orders, reviews, sessions, campaign
events and tickets, wherever the loader keeps documents: `raw`, unfinished full loads in `shadow`,
and the bytes in `ops.quarantine` and `ops.altered_documents`.

All of it is one transaction: a run that is killed has done nothing. The models follow with the next
`ledgerline dbt build`, since the rows count as changed.
"""

from __future__ import annotations

import getpass
import json
import re
import secrets
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated

import psycopg
import typer
from psycopg import sql

from loaders.connections import open_postgres, readable_errors
from loaders.documents.encoding import id_text
from loaders.erasure import apply as erasure
from loaders.erasure import keys
from loaders.erasure.apply import Found, Rows
from loaders.erasure.redaction import rules
from loaders.errors import UserError
from loaders.landing import Batch, Reading, open_batch
from loaders.schema import COLLECTIONS, ensure, table_name
from loaders.settings import Settings

MODE = "erase"
_RESOLVED = "intermediate.int_customers_resolved"
_STILL_TO_DO = """\
Still to do:
  - erase the person in the shop's own database; until then each load brings them back and redacts
    them again
  - ledgerline dbt build: brings the erasure into staging, the marts and all above them
  - backups, the server's log archive and exports made earlier (Parquet, CSV, dashboards) still
    hold the data"""


@dataclass
class Report:
    """What an erasure did, or would do.

    Attributes:
        subject: random name of the person, as in ops.erasure_log.
        erased_at: when it was done first.
        rows: table -> rows from which something was removed.
        accounts: `_id` of the accounts found to be this person.
        unknown: raw tables that no rule says anything about.
    """

    subject: str
    erased_at: datetime
    rows: dict[str, int] = field(default_factory=dict)
    accounts: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    @property
    def changed(self) -> int:
        """Rows in all."""
        return sum(self.rows.values())


def erase(
    settings: Settings, user: str, *, reason: str | None = None, dry_run: bool = False
) -> Report:
    """Remove a person from all that the loader keeps.

    Args:
        user: the account's `_id`, as raw has it or without the quotes of a string.
        reason: for the log: a ticket's number, say.
        dry_run: do all of it, then roll it back.

    Raises:
        UserError: nothing is known of the account, or a load works on one of the collections.
    """
    with readable_errors(), open_postgres(settings, autocommit=True) as conn:
        ensure(conn)
        with conn.transaction() as transaction, ExitStack() as batches:
            keys.make_secret(conn)
            open_ = {
                collection: batches.enter_context(open_batch(conn, collection, MODE))
                for collection in rules()
            }
            report = _Erasure(conn, open_).run(user)
            if dry_run:
                raise psycopg.Rollback(transaction)
            if report.changed:
                _log(conn, report, reason)
    return report


class _Erasure:
    """One erasure, inside its transaction.

    Args:
        conn: the transaction's.
        batches: collection -> its open batch; they hold the locks.
    """

    def __init__(self, conn: psycopg.Connection, batches: dict[str, Batch]) -> None:
        self.conn = conn
        self.batches = batches
        self.raw = {
            name: Rows(conn, name, batch.table, stamp=(batch.loaded_at, batch.batch_id))
            for name, batch in batches.items()
        }
        self.places = [*self.raw.values(), *self._shadows()]
        self.found: dict[str, list[Found]] = {}

    def run(self, user: str) -> Report:
        """Find all that is of the person, and redact it."""
        accounts = self._accounts(user)
        subject, erased_at = self._subject(accounts)
        report = Report(subject, erased_at, unknown=self._unknown())
        self._note(subject, erased_at, [("account", account) for account in accounts])
        self._note(subject, erased_at, self._resolved(accounts))
        self._gather(subject, set(rules()))
        if self._learn_phones(subject):
            self._gather(
                subject, {name for name, rule in rules().items() if "phone" in rule.recognised_by}
            )
        report.accounts = [one.identity for one in self.found["raw.users"]]
        contacts = self._contacts()
        for rows in self.places:
            self._redact(rows, report)
        report.rows["ops.load_runs"] = self._forget_errors(contacts)
        if not any(self.found.values()) and not report.changed:
            raise UserError(
                f'nothing is known of an account "{user}": give the _id of a document of users, '
                "as in raw.users"
            )
        report.rows = {table: count for table, count in report.rows.items() if count}
        return report

    # --- who ----------------------------------------------------------------------------------

    def _accounts(self, user: str) -> list[str]:
        """The account's `_id`; both ways to read what was given if users has neither."""
        written = user.lower() if re.fullmatch("[0-9A-Fa-f]{24}", user) else user
        names = [written, id_text(written)]
        found = self.conn.execute("select _id from raw.users where _id = any(%s)", [names])
        known = {name for (name,) in found.fetchall()}
        return [name for name in names if name in known][:1] or names

    def _subject(self, accounts: Sequence[str]) -> tuple[str, datetime]:
        """The person's random name and date, new ones if they were never erased before."""
        row = self.conn.execute(
            sql.SQL(
                """
                select known.subject, known.erased_at
                from unnest({accounts}::text[]) as account cross join ops.erasure_key as secret
                inner join ops.erasures as known
                    on known.kind = 'account' and known.key_hash = {hash}
                order by known.erased_at, known.subject
                limit 1
                """
            ).format(
                accounts=sql.Literal(list(accounts)),
                hash=keys.hashed("'account'", keys.canonical("account", "account")),
            )
        ).fetchone()
        if row:
            return row
        [(now,)] = self.conn.execute("select date_trunc('second', clock_timestamp())").fetchall()
        return secrets.token_hex(8), now

    def _resolved(self, accounts: Sequence[str]) -> list[tuple[str, str]]:
        """Keys of what the models' last build counted as the same person."""
        if self.conn.execute("select to_regclass(%s)", [_RESOLVED]).fetchone() == (None,):
            return []
        rows = self.conn.execute(
            sql.SQL(
                """
                select distinct other.identity_type, other.source_id
                from {resolved} as mine
                inner join {resolved} as other on other.person_id = mine.person_id
                where mine.identity_id = any(%s)
                """
            ).format(resolved=sql.SQL(_RESOLVED)),
            [[f"account:{account}" for account in accounts]],
        ).fetchall()
        kinds = {"account": "account", "guest": "order"}
        return [(kinds[kind], source_id) for kind, source_id in rows]

    def _note(self, subject: str, erased_at: datetime, entries: Sequence[tuple[str, str]]) -> None:
        """Note ids as keys: (kind, `_id`)."""
        query = sql.SQL(
            """
            insert into ops.erasures (kind, key_hash, subject, erased_at)
            select link.kind, {hash}, {subject}, {erased_at}
            from unnest({kinds}::text[], {values}::text[]) as link (kind, value)
            cross join ops.erasure_key as secret
            on conflict do nothing
            """
        ).format(
            hash=keys.hashed("link.kind", keys.canonical("account", "link.value")),
            subject=sql.Literal(subject),
            erased_at=sql.Literal(erased_at),
            kinds=sql.Literal([kind for kind, _ in entries]),
            values=sql.Literal([value for _, value in entries]),
        )
        self.conn.execute(query)

    def _gather(self, subject: str, pending: set[str]) -> None:
        """Find the person's documents, and learn from them, till nothing new is learned."""
        while pending:
            learned: set[str] = set()
            for rows in self.places:
                if rows.collection in pending:
                    found = erasure.find(rows, subject)
                    self.found[_name(rows.table)] = found
                    learned |= erasure.learn(rows, found)
            pending = {
                name for name, rule in rules().items() if learned & rule.recognised_by.keys()
            }

    def _learn_phones(self, subject: str) -> bool:
        """Note the person's phone numbers that nobody else has; returns whether there are any."""
        places = [rows for rows in self.places if "phone" in rows.rules.tells]
        learned: set[str] = set()
        for rows in places:
            learned |= erasure.learn(rows, self.found[_name(rows.table)], {"phone"})
        if not learned:
            return False
        for rows in places:
            for path in rows.rules.tells["phone"]:
                query = sql.SQL(
                    """
                    delete from ops.erasures as known
                    using {rows} cross join ops.erasure_key as secret
                    where known.kind = 'phone' and known.subject = {subject}
                        and known.key_hash = {hash} and {email} is not null
                        and rows._id <> all({found})
                    """
                ).format(
                    rows=keys.rows_of(rows.rules, rows.table),
                    subject=sql.Literal(subject),
                    hash=keys.hashed("'phone'", keys.value_of("phone", path)),
                    email=sql.SQL(keys.value_of("email", rows.rules.tells["email"][0])),
                    found=sql.Literal([one.identity for one in self.found[_name(rows.table)]]),
                )
                self.conn.execute(query)
        return True

    # --- what ---------------------------------------------------------------------------------

    def _shadows(self) -> list[Rows]:
        """Full loads that are under way."""
        found = []
        for name in self.batches:
            table = sql.Identifier("shadow", table_name(name))
            if self._exists(table):
                found.append(Rows(self.conn, name, table))
        return found

    def _exists(self, table: sql.Identifier) -> bool:
        row = self.conn.execute("select to_regclass(%s)", [table.as_string(self.conn)]).fetchone()
        return row != (None,)

    def _unknown(self) -> list[str]:
        known = {table_name(name) for name in (*COLLECTIONS, *rules())}
        rows = self.conn.execute(
            "select tablename from pg_tables where schemaname = 'raw' and tablename <> all(%s)",
            [list(known)],
        ).fetchall()
        return sorted(name for (name,) in rows)

    def _redact(self, rows: Rows, report: Report) -> None:
        name = _name(rows.table)
        found = self.found[name]
        in_raw = self.found[_name(self.raw[rows.collection].table)]
        if rows.stamp is None:
            notes = [
                (sql.Identifier("shadow", table_name(f"{rows.collection}:odd")), sql.SQL("true"))
            ]
        else:
            of_collection = sql.SQL("collection = {}").format(sql.Literal(rows.collection))
            notes = [
                (sql.Identifier("ops", table), of_collection)
                for table in ("quarantine", "altered_documents")
            ]
        for table, where in notes:
            if self._exists(table):
                emptied = erasure.empty_notes(
                    rows, table, [*found, *in_raw], where=where, subject=report.subject
                )
                report.rows[_name(table)] = report.rows.get(_name(table), 0) + emptied
        changed = report.rows[name] = erasure.redact_rows(rows, found)
        if changed and rows.stamp:
            batch = self.batches[rows.collection]
            batch.counts.updated = changed
            batch.finish(Reading())

    def _contacts(self) -> list[str]:
        """E-mails and phone numbers as the person's documents have them."""
        contacts: set[str] = set()
        for rows in self.places:
            paths = [
                path
                for kind in ("email", "phone")
                for path in rows.rules.recognised_by.get(kind, ())
            ]
            for path in paths:
                found = self.conn.execute(
                    sql.SQL(
                        "select distinct doc #>> {} from {} as rows where _id = any({})"
                    ).format(
                        sql.Literal(path.split(".")),
                        rows.table,
                        sql.Literal([one.identity for one in self.found[_name(rows.table)]]),
                    )
                )
                # a shorter one would be found in any message
                contacts |= {value for (value,) in found.fetchall() if value and len(value) > 4}
        return sorted(contacts)

    def _forget_errors(self, contacts: Sequence[str]) -> int:
        """Messages of failed loads that quote one of them."""
        return self.conn.execute(
            """
            update ops.load_runs set error = %s
            where error is not null and exists (
                select from unnest(%s::text[]) as contact
                where position(lower(contact) in lower(error)) > 0)
            """,
            [erasure.NOTE, list(contacts)],
        ).rowcount


def _name(table: sql.Identifier) -> str:
    return table.as_string(None).replace('"', "")


def _log(conn: psycopg.Connection, report: Report, reason: str | None) -> None:
    conn.execute(
        """
        insert into ops.erasure_log
            (erased_at, subject, subject_kind, rows, reason, database_user, os_user)
        values (clock_timestamp(), %s, 'account', %s, %s, session_user, %s)
        """,
        [report.subject, json.dumps(report.rows), reason, getpass.getuser()],
    )


# --- the command ----------------------------------------------------------------------------------


def command(
    user: Annotated[str, typer.Option(help="_id of the person's account, as in raw.users.")],
    reason: Annotated[
        str | None, typer.Option(help="For the log: the request's ticket. No personal data.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
) -> None:
    """Remove a person's data from the warehouse for good; amounts, dates and products stay."""
    settings = Settings()
    if reason and "@" in reason:
        raise UserError("the reason looks like an e-mail address: the log holds no personal data")
    if not yes or dry_run:
        report = erase(settings, user, dry_run=True)
        _show(report, "would be redacted")
        if dry_run or not report.changed:
            return
        if not sys.stdin.isatty():
            raise UserError("nobody is there to confirm: say --yes, or --dry-run to look only")
        if not typer.confirm("This can't be undone. Erase?"):
            raise UserError("not confirmed: nothing was erased")
    report = erase(settings, user, reason=reason)
    _show(report, "redacted")
    if report.changed:
        typer.echo(_STILL_TO_DO)


def _show(report: Report, what: str) -> None:
    for table, count in report.rows.items():
        typer.echo(f"{table}: {count:,} {what}")
    if not report.changed:
        typer.echo("nothing left to erase")
    typer.echo(
        f"person {report.subject}, accounts: {', '.join(report.accounts) or 'none in users'}"
        f", erased since {report.erased_at:%Y-%m-%d %H:%M} UTC" * (not report.changed)
    )
    if any("@" in account for account in report.accounts):
        typer.echo("an account's _id is an e-mail address: ids stay, since all refers to them")
    if report.unknown:
        typer.echo(f"not looked at, no rules in personal.yml: {', '.join(report.unknown)}")
