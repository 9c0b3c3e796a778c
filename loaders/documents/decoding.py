"""A row of raw back to BSON: the other way of `documents.encoding`, whose docstring has the table.

The document comes back with every value and every type that it had; its keys in the order in which
jsonb keeps them, `_id` first and with its own keys as they were, since their order is part of what
it is called. The rows in `ops.altered_documents` have their BSON beside them.
"""

from __future__ import annotations

import json
import struct
from base64 import b64decode
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from loaders.documents import decimals
from loaders.documents import exact as bson
from loaders.documents.exact import EPOCH, EXTENDED, INT32, LOOKALIKE, Tree

_INT64 = range(-(2**63), 2**63)
_INT64_DIGITS = 20  # with a sign


class _Number(str):
    """A JSON number as it is written: whether it has a point matters."""

    __slots__ = ()


def decode(identity: str, doc: str, types: str | None) -> bytes:
    """The BSON document that a row stands for.

    Args:
        identity: the row's `_id`.
        doc: the row's `doc`, as Postgres prints it.
        types: the row's `_types`.

    Raises:
        ValueError: `doc` and `types` don't belong together.
    """
    document = json.loads(doc, parse_int=_Number, parse_float=_Number)
    tree = json.loads(types) if types else {}
    if "_id" not in document:
        return _object(document, tree)
    document = {"_id": document["_id"]} | document
    if isinstance(document["_id"], dict):
        named = json.loads(identity)
        if list(named) == ["$bson"]:
            del document["_id"]
            return _joined_bytes(bytes.fromhex(named["$bson"]), _object(document, tree))
        document["_id"] = _in_order(document["_id"], named)
    return _object(document, tree)


def _joined_bytes(first: bytes, second: bytes) -> bytes:
    """The elements of two documents in one."""
    body = first[4:-1] + second[4:]
    return struct.pack("<i", len(body) + 4) + body


def _in_order(value: Any, named: Any) -> Any:
    """The same with keys as in `named`, which is the id's name, or holds no more than its bytes."""
    if isinstance(value, dict) and isinstance(named, dict) and value.keys() == named.keys():
        return {key: _in_order(value[key], item) for key, item in named.items()}
    if isinstance(value, list) and isinstance(named, list):
        return [_in_order(one, other) for one, other in zip(value, named, strict=True)]
    return value


def _object(members: dict[str, Any], trees: dict[str, Any]) -> bytes:
    return _joined((key, item, trees.get(key)) for key, item in members.items())


def _array(items: list[Any], trees: Any) -> bytes:
    if isinstance(trees, list):
        trees = {f"#{index}": trees[0] for index in range(len(items))}
    trees = trees or {}
    return _joined((str(i), item, trees.get(f"#{i}")) for i, item in enumerate(items))


def _joined(elements: Iterable[tuple[str, Any, Tree]]) -> bytes:
    parts = []
    for key, item, tree in elements:
        kind, data = _value(item, tree)
        parts += bytes([kind]), key.encode(), b"\0", data
    body = b"".join(parts)
    return struct.pack("<i", len(body) + 5) + body + b"\0"


def _value(value: Any, tree: Tree) -> tuple[int, bytes]:
    """Type and bytes of one value."""
    match value:
        case None:
            return bson.NULL, b""
        case bool():
            return bson.BOOL, bytes([value])
        case list():
            return bson.ARRAY, _array(value, tree)
        case dict():
            return _object_or_extended(value, tree)
    if isinstance(tree, str) and tree != "string":
        return _as_named(value, tree)
    if isinstance(value, _Number):
        return _number(value)
    if tree is None and LOOKALIKE.fullmatch(value):
        return _object_id_or_date(value)
    return bson.STRING, _text(value)


def _object_or_extended(value: dict[str, Any], tree: Any) -> tuple[int, bytes]:
    if tree == "object":
        return bson.OBJECT, _object(value, {})
    if isinstance(tree, list):  # ["object", {…}]
        return bson.OBJECT, _object(value, tree[1])
    if frozenset(value) in EXTENDED:
        return _extended(value, tree or {})
    return bson.OBJECT, _object(value, tree or {})


def _extended(value: dict[str, Any], trees: dict[str, Any]) -> tuple[int, bytes]:
    match value:
        case {"$date": {"$numberLong": milliseconds}}:
            return bson.UTC_DATE, struct.pack("<q", int(milliseconds))
        case {"$binary": {"base64": content, "subType": subtype}}:
            data = b64decode(content, validate=True)
            if subtype == "02":  # the old one, which has its length once more inside
                data = struct.pack("<i", len(data)) + data
            return bson.BINARY, struct.pack("<i", len(data)) + bytes.fromhex(subtype) + data
        case {"$regularExpression": {"pattern": pattern, "options": options}}:
            return bson.REGEX, pattern.encode() + b"\0" + options.encode() + b"\0"
        case {"$timestamp": {"t": time, "i": increment}}:
            return bson.TIMESTAMP, struct.pack("<II", int(increment), int(time))
        case {"$code": code, "$scope": scope}:
            data = _text(code) + _object_or_extended(scope, trees.get("$scope"))[1]
            return bson.SCOPED_CODE, struct.pack("<i", len(data) + 4) + data
        case {"$code": code}:
            return bson.CODE, _text(code)
        case {"$minKey": _}:
            return bson.MIN_KEY, b""
        case {"$maxKey": _}:
            return bson.MAX_KEY, b""
    raise ValueError(f"an object with the keys {sorted(value)} isn't written so by the loader")


def _as_named(value: str, tree: str) -> tuple[int, bytes]:
    name, _, bits = tree.partition(":")
    match name:
        case "long":
            return bson.LONG, struct.pack("<q", int(value))
        case "double":
            return bson.DOUBLE, bytes.fromhex(bits) or struct.pack("<d", float(value))
        case "decimal":
            return bson.DECIMAL, bytes.fromhex(bits) or decimals.of_text(value)
    raise ValueError(f"_types names the type {name}, of which {value[:60]!r} can't be")


def _number(text: str) -> tuple[int, bytes]:
    if "." in text:
        return bson.DOUBLE, struct.pack("<d", float(text))
    if len(text) > _INT64_DIGITS or (value := int(text)) not in _INT64:
        raise ValueError(f"{text[:60]} is beyond 64 bits, and _types says no more of it")
    if value in INT32:
        return bson.INT, struct.pack("<i", value)
    return bson.LONG, struct.pack("<q", value)


def _object_id_or_date(text: str) -> tuple[int, bytes]:
    if text[-1] != "Z":
        return bson.OBJECT_ID_TYPE, bytes.fromhex(text)
    moment = datetime.fromisoformat(text[:-1])
    return bson.UTC_DATE, struct.pack("<q", (moment - EPOCH) // timedelta(milliseconds=1))


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<i", len(data) + 1) + data + b"\0"
