"""What an encoder wrote, to compare two of them: one may sort the keys of objects, another not."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from loaders.documents import binary
from loaders.documents.encoding import Slice


def in_any_order(rows: bytes) -> list[list[Any]]:
    """The fields of each row; of the document its tree, with numbers as they are written."""
    return [
        [*fields, json.loads(doc[1:], parse_float=lambda text: (text,), parse_int=str)]
        for *fields, doc in binary.fields_of(rows)
    ]


def assert_alike(one: Slice, *others: Slice) -> None:
    """They are equal in all but the order of keys."""
    for other in others:
        assert in_any_order(one.rows) == in_any_order(other.rows)
        assert replace(one, rows=other.rows) == other
