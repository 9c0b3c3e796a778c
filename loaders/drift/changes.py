"""What has changed between two looks at a collection's fields. Pure: no server, no clock.

What counts as a change:

    new         a field that no document showed before. A field that a share p of the documents has
                was overlooked by n sampled ones with the chance (1 - p)^n: 1 in 1,000 has it and
                2,000 were looked at, 14 %. So `before` says how many there were.
    vanished    the field was in at least 5 % of the documents, and in none of the next so many that
                20 were to be expected to have it, both by the lower end of its share's 95 %
                interval. If batches are alike, the chance of a false alarm is below e^-20, 2 in a
                billion; if its share has halved, e^-10, 1 in 20,000. Batches need not be alike: a
                field that only old documents get can vanish from new ones.
    returned    a vanished field is there again
    new type    a BSON type that the field never had (null aside); or text of another kind where 20
                values or more were all of one kind, as the first "n/a" among numbers
    type share  a type has gained or lost at least 20 percentage points of the values, by more than
                5 standard errors: by chance 6 in 10 million
    map         an object turned out to be a map, whose keys are data: `a.*` stands for all of them
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

MAX_PATH = 300  # characters: a path is part of an index's key
MAX_KEYS = 100  # an object with more different keys than this is a map, whose keys are data
FEWEST_KEYS = 20  # ... so is one with this many, 4 in 5 of which stand in one document only,
FEWEST_OBJECTS = 5  # ... where that many objects were seen

FORGET_SHARE, FORGET_EXPECTED = 0.05, 20
ENOUGH_TEXT = 20
STANDARD_ERRORS = 5
MATERIAL, FAR = 0.10, 0.20

ABSENT, EMPTY = "absent", "string:empty"
_QUIET = {"null", ABSENT}
_STEP = re.compile(r'\[\]|(?:^|\.)("(?:[^"\\]|\\.)*"|\*|[^.\[\]"]+)')


@dataclass(slots=True)
class Field:
    """What one sample showed of one field.

    Attributes:
        sampled: documents looked at.
        present: those that have the field.
        documents, occurrences: by type, the documents and the values.
        example: a document that has it; by type.
    """

    sampled: int
    present: int
    documents: dict[str, int] = field(default_factory=dict)
    occurrences: dict[str, int] = field(default_factory=dict)
    example: dict[str, str] = field(default_factory=dict)

    @property
    def presence(self) -> float:
        """Share of the documents that have it."""
        return self.present / self.sampled if self.sampled else 0.0

    def share(self, kind: str) -> float:
        """Share of that type among its values, nulls aside."""
        total = self.values
        return self.occurrences.get(kind, 0) / total if total else 0.0

    @property
    def values(self) -> int:
        """Its values that are not null."""
        return sum(n for kind, n in self.occurrences.items() if kind not in _QUIET)

    def describe(self) -> str:
        """Its types, the most frequent first: `int 95 %, string:number 5 %`."""
        kinds = sorted(self.occurrences.items(), key=lambda item: (-item[1], item[0]))
        total = sum(self.occurrences.values())
        if len(kinds) == 1:
            return kinds[0][0]
        return ", ".join(f"{kind} {percent(count / total)}" for kind, count in kinds)


@dataclass(slots=True)
class Known:
    """What is known of a field: its newest observation, and what it ever was.

    Attributes:
        unseen: documents looked at since it was seen last.
        types: every type that it ever had.
        is_old: the newest observation is a day old.
    """

    last: Field
    unseen: int
    types: set[str]
    is_old: bool

    @property
    def is_absent(self) -> bool:
        """It has vanished."""
        return ABSENT in self.last.occurrences


@dataclass(frozen=True, slots=True)
class Change:
    """One row of `ops.schema_changes`."""

    path: str
    kind: str
    before: str
    after: str
    example: str | None = None

    def words(self) -> dict[str, str]:
        """What may be told of it in logs and messages: nothing that stands in a document."""
        return {"path": self.path, "kind": self.kind, "before": self.before, "after": self.after}


def shortened(path: str) -> str:
    """A path that fits into an index: a very long one is its start and a hash."""
    if len(path) <= MAX_PATH:
        return path
    return path[: MAX_PATH // 2] + "…" + hashlib.blake2b(path.encode(), digest_size=8).hexdigest()


def steps(path: str) -> list[str]:
    """The steps of a path: keys as they are written in it, `*` and `[]`."""
    return [match[1] or match[0] for match in _STEP.finditer(path)]


def key_of(step: str) -> str:
    """The key behind a step of a path."""
    if len(step) > 1 and step[0] == step[-1] == '"':
        return re.sub(r"\\(.)", r"\1", step[1:-1])
    return step


def parent(path: str) -> str:
    """The path of the object or array that holds it; empty at the top."""
    starts = [step.start() for step in _STEP.finditer(path)]
    return path[: starts[-1]] if starts else ""


def maps_among(fields: Mapping[str, Field], known: Iterable[str]) -> set[str]:
    """Paths of objects whose keys are data, by the number of different keys that they have."""
    keys: dict[str, set[str]] = {}
    for path in {*fields, *known}:
        if not path.endswith(("[]", "*")) and (holder := parent(path)):
            keys.setdefault(holder, set()).add(path)
    found = set()
    for holder, paths in keys.items():
        if len(paths) > MAX_KEYS:
            found.add(holder)
        elif len(paths) >= FEWEST_KEYS and holder in fields:
            objects = fields[holder].occurrences.get("object", 0)
            alone = sum(path in fields and fields[path].present == 1 for path in paths)
            if objects >= FEWEST_OBJECTS and alone >= 0.8 * len(paths):
                found.add(holder)
    return found


def compare(
    known: Mapping[str, Known], seen: Mapping[str, Field], sampled: int, sampled_before: int
) -> list[Change]:
    """What has changed, by the rules of the module; nothing at the first look."""
    if not sampled_before:
        return []
    changes = []
    for path, now in sorted(seen.items()):
        before = known.get(path)
        after = f"{now.describe()}; in {percent(now.presence)} of {sampled:,} documents"
        example = next(iter(now.example.values()), None)
        if before is None and (keys := _keys_of_map(path, known)):
            changes.append(Change(path, "map", f"{len(keys)} fields", after, example))
        elif before is None:
            nobody = f"in none of {sampled_before:,} documents"
            changes.append(Change(path, "new", nobody, after, example))
        elif before.is_absent:
            changes.append(Change(path, "returned", "vanished", after, example))
        elif change := _type_change(path, before, now):
            changes.append(change)
    gone_into_maps = folded(known, seen)
    for path, before in sorted(known.items()):
        if path not in seen and path not in gone_into_maps and _has_vanished(before, sampled):
            was = f"{before.last.describe()}; in {percent(before.last.presence)} of documents"
            nobody = f"in none of {before.unseen + sampled:,} documents"
            changes.append(Change(path, "vanished", was, nobody))
    return changes


def _type_change(path: str, before: Known, now: Field) -> Change | None:
    kinds = [kind for kind in now.occurrences if kind not in _QUIET]
    bases = {_base(kind) for kind in before.types}
    fresh = [kind for kind in kinds if _base(kind) not in bases]
    texts = {kind for kind in before.types if _base(kind) == "string" and kind != EMPTY}
    if len(texts) == 1 and "string" not in texts:
        [text] = texts
        if before.last.occurrences.get(text, 0) >= ENOUGH_TEXT:
            fresh += [k for k in kinds if _base(k) == "string" and k not in (text, EMPTY, *fresh)]
    if fresh:
        example = now.example[fresh[0]]
        return Change(path, "new type", before.last.describe(), now.describe(), example)
    moved = [
        k for k in {*kinds, *before.last.occurrences} if _share_moved(k, before.last, now, FAR)
    ]
    if moved:
        gained = max(moved, key=lambda kind: now.share(kind) - before.last.share(kind))
        example = now.example.get(gained)
        return Change(path, "type share", before.last.describe(), now.describe(), example)
    return None


def _base(kind: str) -> str:
    return kind.split(":")[0]


def _has_vanished(before: Known, sampled: int) -> bool:
    if before.is_absent:
        return False
    share = _lower_end(before.last.present, before.last.sampled)
    return share >= FORGET_SHARE and share * (before.unseen + sampled) >= FORGET_EXPECTED


def _lower_end(present: int, sampled: int) -> float:
    """Lower end of the 95 % interval of a share (Wilson's, which holds for few documents too)."""
    if not sampled:
        return 0.0
    z, share = 1.96, present / sampled
    middle = share + z * z / (2 * sampled)
    width = z * math.sqrt((share * (1 - share) + z * z / (4 * sampled)) / sampled)
    return (middle - width) / (1 + z * z / sampled)


def _share_moved(kind: str, before: Field, now: Field, least: float) -> bool:
    if kind in _QUIET:
        return False
    # values of one array are alike: documents are what counts as independent
    sizes = min(before.present, before.values), min(now.present, now.values)
    return _moved(before.share(kind), now.share(kind), *sizes, least)


def _moved(before: float, now: float, size_before: int, size_now: int, least: float) -> bool:
    """Whether a share moved by at least that much, and by more than chance explains."""
    if not size_before or not size_now or abs(now - before) < least:
        return False
    pooled = (before * size_before + now * size_now) / (size_before + size_now)
    error = math.sqrt(pooled * (1 - pooled) * (1 / size_before + 1 / size_now))
    return abs(now - before) > STANDARD_ERRORS * error


def _keys_of_map(path: str, known: Iterable[str]) -> set[str]:
    """Known fields for which `a.*` now stands."""
    if not path.endswith(".*"):
        return set()
    start = path.removesuffix("*")
    return {other for other in known if other.startswith(start) and other != path}


def folded(known: Mapping[str, Known], seen: Mapping[str, Field]) -> set[str]:
    """Known fields that now are keys of a map: all of them, or a map was there before."""
    new_maps = [path for path in seen if path not in known and path.endswith(".*")]
    return {key for path in new_maps for key in _keys_of_map(path, known) if key not in seen}


def is_material(before: Known, now: Field) -> bool:
    """Whether a field looks so different that it must be noted again."""
    last = before.last
    if before.is_absent or not now.occurrences.keys() <= before.types:
        return True
    if _moved(last.presence, now.presence, last.sampled, now.sampled, MATERIAL):
        return True
    kinds = {*last.occurrences, *now.occurrences}
    return any(_share_moved(kind, last, now, MATERIAL) for kind in kinds)


def percent(share: float) -> str:
    """A share in words that don't round something to nothing or to all: `<1 %`, `>99 %`."""
    if 0 < share < 0.01:
        return "<1 %"
    if 0.99 < share < 1:
        return ">99 %"
    return f"{share:.0%}".replace("%", " %")
