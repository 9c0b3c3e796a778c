"""Takes what is personal out of a document, by the rules of `personal.yml`. Pure.

A field stays only if the rules name it. What stays keeps its place, its digits and its BSON type,
so that nothing that counts or adds up documents can tell that the person is gone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import orjson
from ruamel.yaml import YAML

RULES = Path(__file__).parent / "personal.yml"
MARKER = "erased_at"  # the field that says so in a document

_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,31}")
# as the models see them, too: they take the dash out of a phone number
PSEUDONYM = r"erased-?[0-9a-f]{16}(@erased\.invalid)?"
_PSEUDONYM = re.compile(PSEUDONYM)
_GONE = object()

Types = Any
"""What `_types` holds of a value: None, a token, {key: types} or [types of every element]."""


@dataclass(slots=True)
class _Node:
    """What may stay at one place of a document, and below it."""

    keeps: str | None = None  # keep, code, email, phone or visitor
    below: dict[str, _Node] = field(default_factory=dict)

    def at(self, key: str) -> _Node | None:
        return self.below.get(key) or self.below.get("*")


@dataclass(frozen=True)
class Rules:
    """The rules of one collection, see `personal.yml`.

    Attributes:
        owner, recognised_by, tells: as there.
        named: fields of which the rules say whether they stay or go.
        root: what may stay.
    """

    owner: str | None
    recognised_by: Mapping[str, tuple[str, ...]]
    tells: Mapping[str, tuple[str, ...]]
    named: frozenset[str]
    root: _Node

    def decides(self, field: str) -> bool:
        """True if a field is named, whatever becomes of it."""
        parent, _, _ = field.rpartition(".")
        return bool({field, f"{parent}.*"} & self.named)


@dataclass(frozen=True)
class Pseudonyms:
    """What the person is called from now on.

    Attributes:
        subject: random name, 16 hex digits.
        erased_at: of the person.
        visitor: 16 hex digits for a cookie, the same each time.
    """

    subject: str
    erased_at: datetime
    visitor: Callable[[str], str]

    def of(self, kind: str, value: Any) -> Any:
        """The pseudonym of a value, itself if it is one, `_GONE` if it reaches nobody."""
        text = value if isinstance(value, str) else orjson.dumps(value).decode()
        if _PSEUDONYM.fullmatch(text):
            return value
        if kind == "visitor":
            return f"erased-{self.visitor(text)}"
        if kind == "email":
            return f"erased-{self.subject}@erased.invalid" if "@" in text else _GONE
        return f"erased-{self.subject}" if any(map(str.isdigit, text)) else _GONE


@cache
def rules() -> Mapping[str, Rules]:
    """Collection -> its rules."""
    loaded = YAML(typ="safe", pure=True).load(RULES.read_text(encoding="utf-8"))
    return {collection: _rules(entry) for collection, entry in loaded.items()}


def _rules(entry: Mapping[str, Any]) -> Rules:
    root = _Node()
    ways = dict.fromkeys(entry["keep"], "keep")
    ways |= dict.fromkeys(entry.get("codes", ()), "code")
    ways |= entry.get("pseudonyms", {})
    for path, way in ways.items():
        node = root
        for step in path.split("."):
            node = node.below.setdefault(step, _Node())
        node.keeps = way
    return Rules(
        owner=entry.get("owner"),
        recognised_by={kind: tuple(paths) for kind, paths in entry["recognised_by"].items()},
        tells={kind: tuple(paths) for kind, paths in entry.get("tells", {}).items()},
        named=frozenset(ways) | frozenset(entry["gone"]),
        root=root,
    )


def redact(rules: Rules, doc: str, types: str | None, names: Pseudonyms) -> tuple[str, str | None]:
    """A document (JSON text, as in raw) and its `_types` without what is personal.

    Doing it again changes nothing.

    Args:
        rules: of its collection.
        doc: the document.
        types: its `_types`.
        names: the person's pseudonyms.
    """
    # numbers pass through as text: no digit of an amount is touched
    number = orjson.Fragment
    value = json.loads(doc, parse_float=number, parse_int=number)
    kept, kept_types = _object(value, json.loads(types) if types else None, rules.root, names)
    if not kept.get(MARKER):
        kept[MARKER] = names.erased_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    text = json.dumps(kept_types, separators=(",", ":")) if kept_types else None
    return orjson.dumps(kept).decode(), text


def _redact(value: Any, types: Types, node: _Node, names: Pseudonyms) -> tuple[Any, Types]:
    if value is None:
        return None, None
    if isinstance(value, dict) and not (_is_scalar_object(value) and types != "object"):
        return _object(value, types, node, names) if node.below else (_GONE, None)
    if isinstance(value, list):
        return _array(value, types, node, names) if "*" in node.below else (_GONE, None)
    match node.keeps:
        case "keep":
            return value, types
        case "code":
            is_code = isinstance(value, str) and _CODE.fullmatch(value)
            return (value, types) if is_code else (_GONE, None)
        case None:
            return _GONE, None
        case kind:
            made_up = names.of(kind, value)
            return made_up, types if made_up is value else None


def _is_scalar_object(value: dict[str, Any]) -> bool:
    """True for Extended JSON, the form of a value that JSON has no other for."""
    return bool(value) and all(key.startswith("$") for key in value)


def _object(
    value: dict[str, Any], types: Types, node: _Node, names: Pseudonyms
) -> tuple[dict[str, Any], Types]:
    inner = types if isinstance(types, dict) else {}
    kept, kept_types = {}, {}
    for key, part in value.items():
        below = node.at(key)
        if below is None:
            continue
        new, new_types = _redact(part, inner.get(key), below, names)
        if new is not _GONE:
            kept[key] = new
            if new_types is not None:
                kept_types[key] = new_types
    return kept, kept_types or None


def _array(value: list[Any], types: Types, node: _Node, names: Pseudonyms) -> tuple[Any, Types]:
    def of_element(position: int) -> Types:
        if isinstance(types, list):
            return types[0]
        return types.get(f"#{position}") if isinstance(types, dict) else None

    parts = [_redact(part, of_element(i), node.below["*"], names) for i, part in enumerate(value)]
    kept = [None if new is _GONE else new for new, _ in parts]  # each keeps its place
    kept_types = {f"#{i}": new_types for i, (_, new_types) in enumerate(parts) if new_types}
    if parts and len(kept_types) == len(parts) and all(t == parts[0][1] for _, t in parts):
        return kept, [parts[0][1]]
    return kept, kept_types or None
