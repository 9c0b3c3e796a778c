"""What the staging models should read and don't, and casts that don't fit what was seen. Pure."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from loaders.drift.changes import EMPTY, Field, key_of, percent, steps
from loaders.drift.staging_models import ELEMENT, Model, Steps, begins_with

MAX_NAME = 63  # bytes that Postgres keeps of a column's name

_CONTAINERS = {"object", "array"}
_NOTHING = {"null", EMPTY, "absent"}
_INTEGERS = {"int", "long"}
_NUMBERS = _INTEGERS | {"double", "decimal"}
_NOT_FINITE = {"double:NaN", "decimal:NaN"}
_MOMENTS = {"date", "string:date"}
_TEXTS = {"string", "string:number", "string:date", "string:boolean", "objectId"}
_TRUTHS = {"bool", "string:boolean"}
_WORDS = _TEXTS | _NUMBERS | _NOT_FINITE | _TRUTHS | _MOMENTS

# casts of macros/casts -> the types that they can read
HANDLED: Mapping[str, Collection[str]] = {
    "text": _WORDS,
    "code": _WORDS,
    "id": _WORDS,
    "number": _NUMBERS | {"string:number"},
    "integer": _NUMBERS | {"string:number"},  # those that are whole
    "boolean": _TRUTHS | _INTEGERS | {"string:number"},  # 0 and 1
    "timestamp": _MOMENTS | _INTEGERS | {"double", "string:number"},  # milliseconds since 1970
    "date": _MOMENTS | _INTEGERS | {"double", "string:number"},
}

_CODES = {"type", "kind", "status", "state", "method", "mode", "channel", "device", "platform"}
_CODES |= {"lang", "language", "gender", "provider"}
# digits that are no number: nobody adds them up, and a leading zero counts
_LABELS = re.compile(
    r"(^|_)(phone|mobile|tel|fax|zip|postal|postcode|sku|code|barcode|ean|upc|no|nr|ref|id|tracking"
    r"|iban|vat|version|name)$"
)
_DAYS = re.compile(r"(^|_)(date|day|birthday|dob)$|birth")
_CLOCKS = re.compile(r"(^|_)(at|time|timestamp|ts|on|date)$")

# keys that the casts' paths can name: they stand unquoted in an array literal
_KEY = re.compile(r"[^\s{}\"',.\\%\x00-\x1f](?:[^{}\"',.\\%\x00-\x1f]*[^\s{}\"',.\\%\x00-\x1f])?")


@dataclass(frozen=True, slots=True)
class Column:
    """A line for a list of columns.

    Attributes:
        name, cast, paths: as the list has them.
        note: what was seen.
    """

    name: str
    cast: str
    paths: Sequence[str]
    note: str

    def line(self) -> str:
        """As it stands in the list."""
        paths = [f"'{path}'" for path in self.paths]
        read = paths[0] if len(paths) == 1 else f"[{', '.join(paths)}]"
        return f"    ('{self.name}', '{self.cast}', {read}),"


@dataclass(frozen=True, slots=True)
class Addition:
    """Columns for one list.

    Attributes:
        model: the one to add them to; None where one must be made.
        container: for a model to be made, whose elements it has; empty: whole documents.
        presence: of the container.
    """

    model: Model | None
    container: str
    columns: Sequence[Column]
    presence: str = ""


@dataclass(frozen=True, slots=True)
class Remark:
    """Something that a person must decide: an unreadable path, or a cast that doesn't fit."""

    path: str
    text: str
    model: Model | None = None


def suggest(
    fields: Mapping[str, Field], models: Iterable[Model], reserved: Collection[str]
) -> tuple[list[Addition], list[Remark]]:
    """What to add to the models of one collection.

    Args:
        fields: the collection's, as they are now.
        models: those that read the collection.
        reserved: words that can't be a column's name.
    """
    models = list(models)
    groups: dict[tuple[str, str], list[tuple[str, str]]] = {}
    owners: dict[str, Model] = {}
    remarks = []
    for path, one in fields.items():
        found = steps(path)
        if path == "_id":
            continue
        if any(read.covers(found) for model in models for read in model.reads):
            remarks += _misfits(path, one, found, models)
            continue
        if not _scalars(one):
            continue
        owner, start = _owner(found, models)
        container, rest = _split(found, len(start))
        if (bad := _unreadable(container + rest)) is not None:
            text = f"no cast can name the key {json.dumps(bad)}: read it with an expression"
            remarks.append(Remark(path, f"{_seen(path, fields)}: {text}"))
            continue
        holder = _text(container) if len(container) > len(start) else ""
        if owner:
            owners[owner.name] = owner
        group = (owner.name if owner and not holder else "", holder)
        groups.setdefault(group, []).append((path, ".".join(rest) or "$"))
    additions = []
    for (name, holder), paths in sorted(groups.items(), key=lambda item: (not item[0][0], item[0])):
        owner = owners.get(name)
        taken = {*reserved, *(owner.words if owner else ())}
        columns = list(_columns(paths, fields, taken))
        seen = _seen(holder, fields) if holder in fields else ""
        additions.append(Addition(owner, holder, columns, seen))
    return additions, remarks


def _owner(found: Sequence[str], models: Iterable[Model]) -> tuple[Model | None, Steps]:
    """The model whose list of columns is the nearest to a path, and where that list begins."""
    best: tuple[Model | None, Steps] = (None, ())
    for model in models:
        for start in model.lists:
            nearer = best[0] is None or len(start) > len(best[1])
            if nearer and begins_with(found, start):
                best = model, start
    return best


def _split(found: Sequence[str], start: int) -> tuple[list[str], list[str]]:
    """(container, rest): the container ends with the first array or map after `start`."""
    for index in range(start, len(found)):
        if found[index] in (ELEMENT, "*"):
            inner, rest = _split(found, index + 1)
            return (inner, rest) if len(inner) > index + 1 else (list(found[: index + 1]), rest)
    return list(found[:start]), list(found[start:])


def _unreadable(found: Sequence[str]) -> str | None:
    for step in found:
        key = key_of(step)
        if step not in (ELEMENT, "*") and (
            not _KEY.fullmatch(key) or key.lower() == "null" or len(key.encode()) > MAX_NAME
        ):
            return key
    return "$" if list(found) == ["$"] else None


def _text(found: Sequence[str]) -> str:
    """The path of these steps, as in `ops.fields`."""
    return "".join(step if step == ELEMENT else f".{step}" for step in found).removeprefix(".")


def _scalars(one: Field) -> list[str]:
    return [kind for kind in one.occurrences if kind not in _CONTAINERS | _NOTHING]


def _seen(path: str, fields: Mapping[str, Field]) -> str:
    """`in 12 % of documents; int 95 %, string 5 %`."""
    one = fields[path]
    return f"in {percent(one.presence)} of documents; {one.describe()}"


# --- columns --------------------------------------------------------------------------------------


def _columns(
    paths: Iterable[tuple[str, str]], fields: Mapping[str, Field], taken: set[str]
) -> Iterator[Column]:
    for name, cast, group in _named(paths, fields):
        notes = [_seen(path, fields) for path, _ in group]
        lost = [kind for path, _ in group for kind in unhandled(cast, fields[path])]
        if lost:
            notes.append(f"{', '.join(lost)} will be null")
        free = _free(name, taken)
        taken.add(free)
        yield Column(free, cast, tuple(_readable(path) for _, path in group), "; ".join(notes))


def _named(
    paths: Iterable[tuple[str, str]], fields: Mapping[str, Field]
) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """(name, cast, paths) of each column.

    Paths that give the same name are one column where no document has both: `ship.city` and
    `ship_city`, an older and a newer form.
    """
    columns: dict[tuple[str, str, int], list[tuple[str, str]]] = {}
    for path, relative in sorted(paths):
        named = path if relative == "$" else relative
        cast = cast_for(named, fields[path])
        name, number = _name(named, cast), 0
        while (group := columns.setdefault((name, cast, number), [])) and (
            sum(fields[other].presence for other, _ in group) + fields[path].presence > 1
        ):
            number += 1
        group.append((path, relative))
    return [(name, cast, group) for (name, cast, _), group in columns.items()]


def _readable(relative: str) -> str:
    return "$" if relative == "$" else ".".join(map(key_of, steps(relative)))


def cast_for(path: str, one: Field) -> str:
    """The cast of macros/casts that reads most of the values, where the name doesn't say more."""
    name = _words(path).split(".")[-1]
    total = sum(one.occurrences[kind] for kind in _scalars(one))

    def share(kinds: Iterable[str]) -> float:
        return sum(one.occurrences.get(kind, 0) for kind in kinds) / total

    if share(["objectId"]) >= 0.5:
        return "id"
    if share(_MOMENTS) >= 0.5:
        return "date" if _DAYS.search(name) else "timestamp"
    if share(["bool"]) > 0 and share(_TRUTHS) >= 0.5:
        return "boolean"
    if share({*_NUMBERS, *_NOT_FINITE, "string:number"}) >= 0.5:
        if _CLOCKS.search(name) and share(["long"]) >= 0.5:
            return "timestamp"
        if share(_NUMBERS) < 0.5 and _LABELS.search(name):
            return "text"
        if name.endswith("_id"):
            return "id"
        fractions = share({*_NUMBERS, *_NOT_FINITE, "string:number"} - _INTEGERS)
        return "number" if fractions else "integer"
    if share(["string:boolean"]) >= 0.9:
        return "boolean"
    return "code" if name in _CODES and share(_TEXTS) == 1 else "text"


def unhandled(cast: str, one: Field, but: Collection[str] = ()) -> list[str]:
    """Types that were seen and that the cast gives null for, with their shares."""
    total = sum(count for kind, count in one.occurrences.items() if kind not in _NOTHING)
    return [
        f"{kind} ({percent(count / total)})"
        for kind, count in sorted(one.occurrences.items())
        if count and kind not in {*_NOTHING, *but, *HANDLED.get(cast, ())}
    ]


def _words(path: str) -> str:
    """A path in snake case, its steps separated by dots."""
    found = []
    for step in steps(path):
        if step in (ELEMENT, "*"):
            continue
        ascii_only = unicodedata.normalize("NFKD", key_of(step)).encode("ascii", "ignore").decode()
        snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", ascii_only).lower()
        found.append(re.sub(r"[^a-z0-9]+", "_", snake).strip("_") or "field")
    return ".".join(found) or "field"


def _name(path: str, cast: str) -> str:
    """A column's name by the project's rules."""
    name = _words(path).replace(".", "_")
    if name[0].isdigit():
        name = f"field_{name}"
    if cast == "boolean" and not name.startswith(("is_", "has_")):
        name = f"is_{name}"
    for kind, ending in (("timestamp", "_at"), ("date", "_date"), ("id", "_id")):
        if cast == kind and not name.endswith(ending):
            name += ending
    return name[: MAX_NAME - 4]


def _free(name: str, taken: Collection[str]) -> str:
    """The name, or one like it that no other column has."""
    if name not in taken:
        return name
    names = (f"{name}_{number}" for number in range(2, 1000))
    return next(one for one in (f"{name}_raw", *names) if one not in taken)


def _misfits(
    path: str, one: Field, found: Sequence[str], models: Iterable[Model]
) -> Iterator[Remark]:
    """Casts that give null for some of what a field has been seen to hold."""
    for model in models:
        for read in model.reads:
            if not read.cast or not read.covers(found):
                continue
            # a column that reads `geo.country`, else `geo`, expects the object; so does a list
            inside = len(read.steps) > len(found) or any(
                other.column == read.column and begins_with(other.steps[: len(found)], read.steps)
                for other in model.reads
                if len(other.steps) > len(found)
            )
            if lost := unhandled(read.cast, one, but=_CONTAINERS if inside else ()):
                text = f"{', '.join(lost)}: not for the cast {read.cast} of {read.column}"
                yield Remark(path, text, model)
