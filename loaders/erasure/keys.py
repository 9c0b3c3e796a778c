"""What a person's documents are recognised by: keys, taken from rows by SQL and from BSON here.

How an e-mail, a phone number or an id is compared is the models' business: the expressions come
from dbt's macros, which are rendered here, so that each rule has one home.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import cache
from typing import Any

import bson
import psycopg
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.errors import BSONError
from psycopg import sql

from loaders.documents.encoding import id_text
from loaders.erasure.redaction import Rules
from loaders.settings import ROOT

TEXTS = ("email", "phone", "visitor")  # kinds of keys that are no ids

_HEX_TEXT = '"[0-9a-f]{24}"'
# what `loaders.files.cli` calls a line of a file
_LINE = re.compile(r", line [0-9]+$")
_EMAIL = re.compile(r"[^\s,;:<>\"'|]+@[^\s,;:<>\"'|]+")
_LINE_ID_LENGTH = 5  # in a broken line a shorter number may be anything, a quantity say
_READABLE = CodecOptions(
    unicode_decode_error_handler="replace",
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
)

# --- the keyed hash -------------------------------------------------------------------------------


def make_secret(conn: psycopg.Connection) -> None:
    """Make the secret of the keyed hashes if there is none."""
    secret = secrets.token_bytes(32).ljust(64, b"\0")
    conn.execute(
        "insert into ops.erasure_key (inner_pad, outer_pad) values (%s, %s) on conflict do nothing",
        [_padded(secret, 0x36), _padded(secret, 0x5C)],
    )


def hashed(kind: str, value: str) -> sql.SQL:
    """HMAC-SHA256 of two SQL expressions; `secret` is the row of ops.erasure_key."""
    text = f"convert_to({kind} || ':' || {value}, 'UTF8')"
    return sql.SQL(f"sha256(secret.outer_pad || sha256(secret.inner_pad || {text}))")


def visitor_names(conn: psycopg.Connection) -> Callable[[str], str]:
    """A function that gives a cookie 16 hex digits, the same each time."""
    row = conn.execute("select inner_pad from ops.erasure_key").fetchone()
    assert row is not None
    secret = _padded(row[0], 0x36)

    def name(visitor: str) -> str:
        text = f"visitor name:{visitor}".encode()
        return hmac.new(secret, text, hashlib.sha256).hexdigest()[:16]

    return name


def _padded(secret: bytes, pad: int) -> bytes:
    return bytes(byte ^ pad for byte in secret)


# --- keys of rows, in SQL -------------------------------------------------------------------------


@cache
def _macro(file: str, name: str) -> Callable[[str], str]:
    """A macro of the dbt project that needs nothing of dbt: SQL in, SQL out."""
    import jinja2  # every load imports this module, and hardly any looks for a person

    text = (ROOT / "macros" / file).read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=False)  # noqa: S701 -- it makes SQL, not HTML
    return getattr(environment.from_string(text).module, name)


def canonical(kind: str, value: str) -> str:
    """SQL that brings a text (an SQL expression) into the form in which keys are compared."""
    if kind == "email":
        return _macro("customers/normalised_email.sql", "normalised_email")(value)
    if kind == "phone":
        return _macro("customers/normalised_phone.sql", "normalised_phone")(value)
    if kind == "visitor":
        return value
    # shops write a reference to an ObjectId as a string now and then: the models take both for one
    return f"""case when {value} ~ '^{_HEX_TEXT}$' then btrim({value}, '"') else {value} end"""


def value_of(kind: str, path: str) -> str:
    """SQL of one key of a row of `rows_of`, null where it has none."""
    if path == "_id":
        return canonical(kind, "rows._id")
    if kind in TEXTS:
        return canonical(kind, f"({_json(path)} #>> '{{}}')")
    return _macro("casts/shop_id.sql", "postgres__shop_id")(_json(path))


def _json(path: str) -> str:
    """SQL of a field's value, null where it has none: an empty text is a field left out."""
    field, *steps = path.split(".")
    value = f'fields."{field}"'
    if steps:
        value += f" #> '{{{','.join(steps)}}}'"
    return f"""nullif(nullif({value}, 'null'), '""')"""


def rows_of(rules: Rules, table: sql.Identifier) -> sql.Composed:
    """FROM clause: rows called `rows`, and the fields of their documents that keys are taken from.

    The document is unpacked once a row, not once a key.
    """
    paths = [path for keys in (rules.recognised_by, rules.tells) for _, path in _pairs(keys)]
    names = {path.split(".")[0] for path in (*paths, rules.owner or "_id")} - {"_id"}
    columns = ", ".join(f'"{name}" jsonb' for name in sorted(names))
    return sql.SQL("{} as rows cross join lateral jsonb_to_record(rows.doc) as fields ({})").format(
        table, sql.SQL(columns)
    )


def recognising(rules: Rules) -> sql.SQL:
    """List `link (kind, value)` of what a row of `rows_of` is recognised by.

    A document that names an account is that account's, whatever else stands in it; a phone number
    counts where there is no e-mail.
    """
    owner = _json(rules.owner) if rules.owner else None
    entries = []
    for kind, path in _pairs(rules.recognised_by):
        conditions = []
        if owner and path != rules.owner:
            conditions.append(f"{owner} is null")
        if kind == "phone":
            conditions += [
                f"{value_of('email', at)} is null" for at in rules.recognised_by["email"]
            ]
        value = value_of(kind, path)
        if conditions:
            value = f"case when {' and '.join(conditions)} then {value} end"
        entries.append((kind, value))
    return _listed(entries)


def telling(rules: Rules, kinds: Collection[str]) -> sql.SQL:
    """List `link (kind, value)` of the keys that a row of `rows_of` tells."""
    return _listed(
        (kind, value_of(kind, path)) for kind, path in _pairs(rules.tells) if kind in kinds
    )


def _pairs(keys: Mapping[str, Iterable[str]]) -> Iterator[tuple[str, str]]:
    return ((kind, path) for kind, paths in keys.items() for path in paths)


def _listed(entries: Iterable[tuple[str, str]]) -> sql.SQL:
    kinds, values = zip(*entries, strict=True)
    # not VALUES: Postgres prepares the expressions of such a list anew for each row
    names = ", ".join(f"'{kind}'" for kind in kinds)
    return sql.SQL(
        f"unnest(array[{names}]::text[], array[{', '.join(values)}]::text[]) as link (kind, value)"
    )


# --- keys of kept bytes ---------------------------------------------------------------------------


def of_bytes(rules: Rules, identity: str, document: bytes) -> Iterator[tuple[str, str]]:
    """(kind, value) of what a document or line in ops.quarantine can be recognised by.

    Nothing for bytes that can't be decoded. E-mails and phone numbers are as they were written.
    """
    try:
        value = bson.decode(document, _READABLE)
    except (BSONError, RecursionError):
        return
    if _LINE.search(identity):
        yield from _of_line(value.get("content"))
        return
    owner = _at(value, rules.owner) if rules.owner else None
    has_email = any(_at(value, path) for path in rules.recognised_by.get("email", ()))
    for kind, path in _pairs(rules.recognised_by):
        part = _at(value, path)
        is_others = owner is not None and path != rules.owner
        if part is None or is_others or (kind == "phone" and has_email):
            continue
        yield kind, _storable(str(part)) if kind in TEXTS else _canonical_id(part)


def _of_line(content: Any) -> Iterator[tuple[str, str]]:
    """A broken line's columns can't be told: any text in it may be the account or the e-mail."""
    if isinstance(content, dict | list):
        for part in content.values() if isinstance(content, dict) else content:
            yield from _of_line(part)
    elif content is not None:
        text = content.decode(errors="replace") if isinstance(content, bytes) else str(content)
        text = _storable(text)
        yield from (("email", email) for email in _EMAIL.findall(text))
        for word in {text.strip(), *re.findall(r"[\w.-]+", text)}:
            if len(word) >= _LINE_ID_LENGTH:
                yield "account", word
                yield "account", id_text(word)


def _at(document: Any, path: str) -> Any:
    """The value at a path, None where there is none or an empty text."""
    for step in path.split("."):
        document = document.get(step) if isinstance(document, dict) else None
    return None if document == "" else document


def _canonical_id(value: Any) -> str:
    text = _storable(id_text(value))
    return text[1:-1] if re.fullmatch(_HEX_TEXT, text) else text


def _storable(text: str) -> str:
    return text.replace("\0", "\ufffd")  # as the encoder writes it
