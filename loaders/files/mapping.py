"""Which column of a stranger's file is which field of ours, and how its texts are read."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from datetime import time as clock_time
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from bson import DBRef, Decimal128, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.datetime_ms import DatetimeMS
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from loaders.errors import UserError

DEFAULT = Path(__file__).parent / "mappings" / "default.yml"
ENTITIES = ("customers", "products", "transactions", "items", "reviews")
OPTIONS = ("delimiter", "encoding", "decimal", "dates", "timezone", "missing")
# of a list of alternatives one is enough
REQUIRED: dict[str, list[tuple[str, ...]]] = {
    "customers": [("id",)],
    "products": [("id",)],
    "transactions": [("id",), ("placed_at",)],
    "items": [("transaction_id",), ("quantity",), ("unit_price", "total_price")],
    "reviews": [("id",), ("product_id",), ("rating",)],
}
_OBJECT_ID = re.compile(r"[0-9a-fA-F]{24}")
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")
_DECIMAL_DIGITS = 34  # of a Decimal128


def plain(name: str) -> str:
    """A column name without what doesn't matter: case, blanks and punctuation."""
    return re.sub(r"[\W_]", "", name).casefold()


@dataclass(frozen=True)
class Reading:
    """How the texts of a file are read.

    Attributes:
        zone: of times without one.
        decimal: the mark before decimals.
        dates: a strptime format, or None: dates stay text.
        missing: texts that mean no value.
    """

    zone: ZoneInfo
    decimal: str = "."
    dates: str | None = None
    missing: frozenset[str] = frozenset({""})

    def is_missing(self, value: Any) -> bool:
        """True for null and for a text that means it."""
        return value is None or (isinstance(value, str) and value.strip() in self.missing)

    def identifier(self, value: Any) -> str | ObjectId:
        """An id as text, so that 7, 7.0 and "7" meet; 24 hex digits become an ObjectId again."""
        if isinstance(value, Decimal128):
            value = value.to_decimal()
        if isinstance(value, float | Decimal) and math.isfinite(value) and value == int(value):
            value = int(value)
        text = str(value).strip()
        return ObjectId(text) if _OBJECT_ID.fullmatch(text) else text

    def number(self, value: Any) -> Any:
        """A number as an exact decimal; a text that is none stays as it is, for staging to see."""
        if not isinstance(value, str):
            return self.any(value)
        text = value.strip()
        if self.decimal == ",":
            text = text.replace(".", "").replace(",", ".")
        return self.any(Decimal(text)) if _NUMBER.fullmatch(text) else value

    def moment(self, value: Any) -> Any:
        """A time as naive UTC where the mapping tells how to read it, else the text."""
        if not isinstance(value, str) or not self.dates:
            return self.any(value)
        try:
            return self.any(datetime.strptime(value.strip(), self.dates))  # noqa: DTZ007 -- see above
        except ValueError:
            return value

    def clock(self, value: Any) -> Any:
        """As `moment`, and ISO 8601 too: `updated_at` is what `raw._source_ts` is made of."""
        value = self.moment(value)
        if isinstance(value, str):
            try:
                return self.any(datetime.fromisoformat(value.strip()))
            except ValueError:
                return value
        return value

    def any(self, value: Any) -> Any:
        """Any value of a typed file as what BSON holds, nothing lost."""
        match value:
            case datetime():
                zoned = value if value.tzinfo else value.replace(tzinfo=self.zone)
                return zoned.astimezone(UTC).replace(tzinfo=None)
            case date() | clock_time():
                return value.isoformat()
            case Decimal():
                digits = len(value.as_tuple().digits)
                return Decimal128(value) if digits <= _DECIMAL_DIGITS else str(value)
            case bool() | str() | bytes() | None:
                return value
            case ObjectId() | Decimal128() | DatetimeMS() | Regex() | Timestamp() | DBRef():
                return value  # of Extended JSON
            case MinKey() | MaxKey():
                return value
            case float():
                return None if math.isnan(value) else value  # what pandas writes for no value
            case int():
                return value if -(2**63) <= value < 2**63 else self.any(Decimal(value))
            case dict():
                return {str(key): self.any(item) for key, item in value.items()}
            case list() | tuple():
                return [self.any(item) for item in value]
        return str(value)


@dataclass(frozen=True)
class Mapping:
    """A mapping file, checked.

    Attributes:
        names: entity -> field -> column names that it may have.
        constants: entity -> field -> value of every row.
        demanded: entity -> fields that the user's own mapping names: their column must be there.
    """

    names: dict[str, dict[str, list[str]]]
    reading: Reading
    constants: dict[str, dict[str, Any]] = field(default_factory=dict)
    demanded: dict[str, set[str]] = field(default_factory=dict)
    delimiter: str | None = None
    encoding: str | None = None

    def known(self, entity: str, columns: Iterable[str]) -> int:
        """How many of the columns are a field of the entity."""
        names = {plain(name) for names in self.names[entity].values() for name in names}
        return sum(plain(column) in names for column in columns)

    def resolve(self, entity: str, columns: Iterable[str]) -> dict[str, str]:
        """Field -> the column that it is read from, for the fields that have one."""
        by_name: dict[str, str] = {}
        for column in columns:
            by_name.setdefault(plain(column), column)
        found = {}
        for ours, names in self.names[entity].items():
            column = next((by_name[plain(name)] for name in names if plain(name) in by_name), None)
            if column is not None:
                found[ours] = column
        return found

    def check(self, file: str, entity: str, found: Iterable[str], columns: Sequence[str]) -> None:
        """Say in one line which columns a file lacks.

        Args:
            found: the fields that have a column.
            columns: what the file has.

        Raises:
            UserError: a required field, or one that the user's mapping names, has no column.
        """
        given = {*found, *self.constants.get(entity, {})}
        lacking = [
            alternatives
            for alternatives in REQUIRED[entity]
            if not given.intersection(alternatives)
        ]
        lacking += [(ours,) for ours in sorted(self.demanded.get(entity, set()) - given)]
        if not lacking:
            return
        wanted = "; ".join(
            " or ".join(dict.fromkeys(alternatives))
            + f" ({', '.join(n for ours in alternatives for n in self.names[entity][ours][:4])})"
            for alternatives in dict.fromkeys(lacking)
        )
        has = ", ".join(columns[:15]) + (", …" if len(columns) > 15 else "")
        raise UserError(
            f"{file}: no column for {entity} {wanted}; it has: {has}. "
            "Name its columns in a file given by --mapping"
        )


def load_mapping(path: Path | None, timezone: str) -> Mapping:
    """The default mapping, with the user's own laid over it.

    Args:
        path: the user's file, or None.
        timezone: of times without a zone, unless the file says otherwise.

    Raises:
        UserError: the file is missing, is no YAML, or names what isn't there.
    """
    names, constants, options = _parse(DEFAULT, {entity: {} for entity in ENTITIES})
    mapping = _with_options(Mapping(names, Reading(ZoneInfo("UTC"))), DEFAULT, options, timezone)
    if path is None:
        return mapping
    own, constants, own_options = _parse(path, names)
    return replace(
        _with_options(mapping, path, options | own_options, timezone),
        names={entity: names[entity] | own[entity] for entity in ENTITIES},
        constants=constants,
        demanded={entity: set(own[entity]) for entity in ENTITIES},
    )


def _parse(
    path: Path, fields: dict[str, dict[str, list[str]]]
) -> tuple[dict[str, dict[str, list[str]]], dict[str, dict[str, Any]], dict[str, Any]]:
    """Names, constants and options of a mapping file; `fields` are the ones allowed, if any."""
    try:
        content = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: the mapping can't be read ({error.strerror})") from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path}: the mapping is no YAML ({' '.join(str(error).split())[:200]})"
        ) from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: the mapping must have sections: {', '.join(ENTITIES)}")
    _allow(path, "section", content, ("options", *ENTITIES))
    for section, entries in content.items():
        if not isinstance(entries, dict):
            raise UserError(f"{path}: the section {section} must hold `name: value` lines")
    names: dict[str, dict[str, list[str]]] = {entity: {} for entity in ENTITIES}
    constants: dict[str, dict[str, Any]] = {entity: {} for entity in ENTITIES}
    for entity in ENTITIES:
        entries = content.get(entity, {})
        if fields[entity]:
            _allow(path, f"field of {entity}", entries, fields[entity])
        for ours, theirs in entries.items():
            if isinstance(theirs, dict) and set(theirs) == {"value"}:
                constants[entity][ours] = theirs["value"]
            elif isinstance(theirs, str | int):
                names[entity][ours] = [str(theirs)]
            elif isinstance(theirs, list) and theirs:
                names[entity][ours] = [str(name) for name in theirs]
            else:
                raise UserError(
                    f"{path}: {entity}.{ours} must be a column name, a list of them, "
                    "or {value: …}"
                )
    options = content.get("options", {})
    _allow(path, "option", options, OPTIONS)
    return names, constants, options


def _allow(path: Path, what: str, names: Iterable[str], allowed: Iterable[str]) -> None:
    for name in names:
        if name not in set(allowed):
            near = difflib.get_close_matches(str(name), list(allowed), 1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(allowed)}"
            raise UserError(f"{path}: there is no {what} {name}: {hint}")


def _with_options(mapping: Mapping, path: Path, options: dict[str, Any], timezone: str) -> Mapping:
    zone = str(options.get("timezone", timezone))
    try:
        info = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError):
        raise UserError(
            f"{path}: there is no timezone {zone}: write one as Europe/London"
        ) from None
    decimal = options.get("decimal", ".")
    if decimal not in (".", ","):
        raise UserError(f'{path}: the option decimal is "." or ",", not {decimal!r}')
    delimiter = options.get("delimiter")
    if delimiter is not None and (not isinstance(delimiter, str) or len(delimiter) != 1):
        raise UserError(f"{path}: the option delimiter is one character, not {delimiter!r}")
    missing = frozenset(str(text).strip() for text in options.get("missing", [""]))
    return replace(
        mapping,
        reading=Reading(info, decimal, options.get("dates"), missing),
        delimiter=delimiter,
        encoding=options.get("encoding"),
    )
