"""What stays of a document and what goes: pure, without servers."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loaders.erasure.redaction import Pseudonyms, redact, rules

ERASED_AT = "2026-05-01T10:00:00Z"
NAMES = Pseudonyms(
    subject="0123456789abcdef",
    erased_at=datetime(2026, 5, 1, 10, tzinfo=UTC),
    visitor=lambda text: f"{len(text):016x}",
)
EMAIL = "erased-0123456789abcdef@erased.invalid"
PHONE = "erased-0123456789abcdef"


def redacted(collection: str, doc: Any, types: Any = None) -> tuple[Any, Any]:
    """(document, types) afterwards, without the marker, which is always there."""
    text, new_types = redact(
        rules()[collection], json.dumps(doc), json.dumps(types) if types else None, NAMES
    )
    document = json.loads(text)
    assert document.pop("erased_at") == ERASED_AT
    return document, json.loads(new_types) if new_types else None


def test_a_user_keeps_what_is_counted_and_loses_what_names_them():
    document, _ = redacted(
        "users",
        {
            "_id": "65a1",
            "email": "Anna@Example.org",
            "phone": "+44 7700 900123",
            "name": {"first": "Anna", "last": "Smith"},
            "gender": "female",
            "birth_date": "1990-01-02T00:00:00Z",
            "addresses": [
                {"kind": "home", "line1": "1 High St", "city": "Leeds", "country": "GB",
                 "geo": {"lat": 53.8, "lng": -1.5}, "default": True}
            ],
            "consent": {"email": True, "at": "2024-01-01T00:00:00Z"},
            "instagram": "@anna",
            "created_at": "2024-01-01T00:00:00Z",
        },
    )  # fmt: skip
    assert document == {
        "_id": "65a1",
        "email": EMAIL,
        "phone": PHONE,
        "addresses": [{"kind": "home", "country": "GB", "default": True}],
        "consent": {"email": True, "at": "2024-01-01T00:00:00Z"},
        "created_at": "2024-01-01T00:00:00Z",
    }


def test_amounts_keep_each_digit():
    doc = (
        '{"items":[{"unit_price":12.50,"qty":2}],"totals":{"grand":'
        '12345678901234567890.1234567890},"tax":{"total":9007199254740993}}'
    )
    text, _ = redact(rules()["orders"], doc, None, NAMES)
    assert text == doc[:-1] + f',"erased_at":"{ERASED_AT}"' + "}"


def test_items_may_be_a_map_and_lists_keep_their_places():
    document, _ = redacted(
        "orders",
        {
            "items": {"L1": {"qty": 1, "engraving": "for Anna"}},
            "discounts": [None, "Anna", {"amount": 5, "note": "Anna"}],
        },
    )
    assert document == {
        "items": {"L1": {"qty": 1}},
        "discounts": [None, None, {"amount": 5}],
    }


def test_a_scalar_may_stay_where_an_object_is_looked_into():
    assert redacted("sessions", {"geo": "GB"})[0] == {"geo": "GB"}
    document, _ = redacted("sessions", {"geo": {"country": "GB", "city": "Leeds"}})
    assert document == {"geo": {"country": "GB"}}
    assert redacted("orders", {"status": {"note": "for Anna"}})[0] == {}
    assert redacted("orders", {"status": ["for Anna"]})[0] == {}


@pytest.mark.parametrize(
    ("reason", "stays"),
    [("too_small", True), ("no-stock", True), ("wrong size, call Anna", False), (17, False)],
)
def test_a_reason_stays_if_it_is_a_code(reason: Any, stays: bool):
    document, _ = redacted("orders", {"cancel": {"reason": reason}})
    assert document == {"cancel": {"reason": reason} if stays else {}}


@pytest.mark.parametrize("email", ["n/a", "", 17, None])
def test_what_is_no_email_gets_no_pseudonym(email: Any):
    assert redacted("orders", {"guest": {"email": email}})[0] in (
        {"guest": {}},
        {"guest": {"email": None}},
    )


def test_a_phone_number_may_be_a_number():
    assert redacted("users", {"phone": 447700900123})[0] == {"phone": PHONE}


def test_types_go_with_their_values_and_stay_with_those_that_stay():
    doc = {
        "order_no": "0123456789abcdef01234567",
        "guest": {"email": "0123@example.org"},
        "ip": "x",
        "items": [{"qty": 1, "note": "a"}, {"qty": 2}],
        "placed_at": {"$date": {"$numberLong": "99999999999999999"}},
        "shipping": {"price": 3},
        "totals": {"$date": "not a date: an object"},
    }
    types = {
        "order_no": "string",
        "guest": {"email": "string"},
        "ip": "string",
        "items": {"#0": {"qty": "long", "note": "string"}, "#1": {"qty": "long"}},
        "shipping": {"price": "decimal"},
        "totals": "object",
    }
    document, new_types = redacted("orders", doc, types)
    assert document["placed_at"] == doc["placed_at"], "a date that JSON has no other form for"
    assert new_types == {
        "order_no": "string",
        "items": [{"qty": "long"}],
        "shipping": {"price": "decimal"},
    }
    document, new_types = redacted("orders", {"items": [{"note": "a"}]}, {"items": [{"note": "x"}]})
    assert new_types is None


def test_the_sources_own_date_of_erasure_stays():
    text, _ = redact(rules()["users"], '{"erased_at": "2025-01-01T00:00:00Z"}', None, NAMES)
    assert json.loads(text) == {"erased_at": "2025-01-01T00:00:00Z"}


_scalars = st.none() | st.booleans() | st.integers() | st.text(max_size=8)
_names = st.sampled_from(
    ["_id", "email", "phone", "guest", "items", "name", "addresses", "country", "qty", "visitor_id",
     "geo", "totals", "cancel", "reason", "$date", "city", "note"]
)  # fmt: skip
_values = st.recursive(
    _scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_names, inner, max_size=4)
)


@given(st.sampled_from(sorted(rules())), st.dictionaries(_names, _values, max_size=5))
def test_doing_it_again_changes_nothing(collection: str, doc: dict[str, Any]):
    once, types = redact(rules()[collection], json.dumps(doc), None, NAMES)
    assert redact(rules()[collection], once, types, NAMES) == (once, types)
