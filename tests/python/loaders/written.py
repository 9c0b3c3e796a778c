"""What an encoder wrote, to compare two of them to the byte: one may sort keys, another not."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import orjson

from loaders.documents import binary
from loaders.documents.encoding import Slice


def in_order(rows: bytes) -> bytes:
    """The rows with the keys of every object in jsonb's order, and all else as it is written."""
    return b"".join(
        binary.row(*fields, doc[:1] + _sorted(doc[1:])) for *fields, doc in binary.fields_of(rows)
    )


def assert_alike(one: Slice, *others: Slice) -> None:
    """They are equal in all but the order of keys."""
    for other in others:
        assert in_order(one.rows) == in_order(other.rows)
        assert replace(one, rows=other.rows) == other


def _sorted(doc: bytes) -> bytes:
    # numbers stay the text that they are; orjson writes the rest, as it does for the exact reader
    tree = json.loads(
        doc, parse_int=orjson.Fragment, parse_float=orjson.Fragment, object_pairs_hook=_by_key
    )
    return orjson.dumps(tree)


def _by_key(members: list[tuple[str, Any]]) -> dict[str, Any]:
    return dict(sorted(members, key=lambda member: (len(member[0].encode()), member[0].encode())))
