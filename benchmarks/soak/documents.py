"""Documents of the shop that is loaded while things are killed.

    orders    ObjectIds, a clock with an index: what a shop's documents look like
    tickets   integer ids, clocks that tie to the second, no index
    events    no clock at all
    oddities  ids of every type, values of every type, clocks that are wrong, documents that
              Postgres can't hold unchanged (NUL in a text) or not at all (nested too deep, too long
              an id)

Each has a `revision`, which no other document and no other version of it has.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from bson.binary import Binary
from bson.code import Code
from bson.dbref import DBRef
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.max_key import MaxKey
from bson.min_key import MinKey
from bson.objectid import ObjectId
from bson.regex import Regex
from bson.timestamp import Timestamp

# collection -> its share of the documents
SHARES = {"orders": 0.4, "tickets": 0.2, "events": 0.2, "oddities": 0.2}
LONG_ID = "the id of a document that can't be stored " + "x" * 3000
DEEP_LEVELS = 300  # the server takes them, a JSON writer doesn't
YEAR_ONE = datetime(1, 1, 1, tzinfo=UTC)

Document = dict[str, Any]


def make(random: Random, collection: str, identity: Any, revision: int) -> Document:
    """A new version of a document."""
    now = datetime.now(UTC)
    document: Document = {"_id": identity, "revision": revision}
    match collection:
        case "orders":
            return document | _order(random) | {"updated_at": now}
        case "tickets":
            return document | {"text": _text(random), "updated_at": now.replace(microsecond=0)}
        case "events":
            return document | {"kind": random.choice("abc"), "payload": {"n": random.random()}}
    return document | random.choice(_ODD_CLOCKS)(now) | random.choice(_ODD_VALUES)(random)


def identity(random: Random, collection: str, number: int) -> Any:
    """An `_id` that no other number gives, not even one that MongoDB takes for an equal one."""
    if collection == "orders":
        return ObjectId(random.randbytes(9) + number.to_bytes(3, "big"))
    if collection == "oddities":
        return random.choice(_ODD_IDS)(number)
    return number


def is_altered(document: Document) -> bool:
    """True if raw can only have it with changes."""
    return "nul" in document


def is_quarantined(document: Document) -> bool:
    """True if raw can't have it."""
    return document["_id"] == LONG_ID or "deep" in document


def _text(random: Random) -> str:
    words = ['"quoted"', "back\\slash", "line\nbreak", "tab\t", "żółć", "😀", "\\u0000", "plain"]
    return " ".join(random.choices(words, k=random.randrange(3, 20)))


def _order(random: Random) -> Document:
    item = {"sku": f"P{random.randrange(9999)}", "price": random.random() * 100, "quantity": 2}
    return {
        "customer": ObjectId(random.randbytes(12)),
        "total": Decimal128(f"{random.randrange(10**6)}.{random.randrange(100):02d}"),
        "number": Int64(2**53 + random.randrange(1000)),
        "items": [item] * random.randrange(4),
        "address": {"city": "Łódź", "location": {"type": "Point", "coordinates": [19.45, 51.77]}},
        "note": _text(random),
    }


def _deep() -> Any:
    value: Any = 0
    for _ in range(DEEP_LEVELS):
        value = {"n": value}
    return value


_ODD_IDS: list[Callable[[int], Any]] = [
    lambda n: n,
    str,
    lambda n: n + 0.5,
    lambda n: Int64(2**54 + n),
    lambda n: ObjectId(f"{n:024x}"),
    lambda n: f"{n:024x}",
    lambda n: {"n": n},
    lambda n: {"n": str(n)},
    lambda n: Binary(n.to_bytes(4, "big")),
    lambda n: Binary.from_uuid(uuid.UUID(int=n)),
    lambda n: Decimal128(f"{n}.25"),
    lambda n: datetime(2024, 1, 1, tzinfo=UTC) + timedelta(milliseconds=n),
    lambda n: Timestamp(n, 1),
    lambda n: f'"{n}" with\ttab, \\backslash and\nnew line',
]

_ODD_CLOCKS: list[Callable[[datetime], Document]] = [
    lambda now: {"updated_at": now},
    lambda now: {"updated_at": now - timedelta(days=40)},
    lambda now: {"updated_at": now + timedelta(hours=30)},
    lambda now: {"updated_at": now.isoformat()},
    lambda now: {"updated_at": None},
    lambda now: {"updated_at": YEAR_ONE},
    lambda now: {},
]

_ODD_VALUES: list[Callable[[Random], Document]] = [
    lambda random: {"value": float("nan"), "more": [1.5, float("-inf")]},
    lambda random: {"nul": "a\0b", "text": "\\u0000"},
    lambda random: {"deep": _deep()},
    lambda random: {"value": Decimal128("1E+6000"), "text": "x" * random.randrange(5000)},
    lambda random: {"value": Regex("^a", "i"), "more": Code("f()", {"x": 1})},
    lambda random: {"value": [MinKey(), MaxKey(), DBRef("orders", ObjectId(b"0" * 12))]},
    lambda random: {"value": YEAR_ONE, "a.b": {"": 1, "$x": {"y": 2}}},
    lambda random: {
        "value": Binary(random.randbytes(50)),
        "date": datetime(2024, 1, 1, tzinfo=UTC),
    },
    lambda random: {"value": "2024-01-01T00:00:00Z", "more": f"{random.randrange(99):024x}"},
    lambda random: {"value": _text(random)},
]
