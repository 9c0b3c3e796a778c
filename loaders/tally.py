"""What was read from the source, added up on the way: the source's side of every comparison."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime

from loaders.documents.encoding import Slice

Days = dict[str, tuple[int, int]]
"""UTC day of updated_at ("" where it has none) -> documents, sum of 60 bits of their hashes."""


def minus(days: Days, fewer: Days) -> Days:
    """The days without documents that are among them."""
    left = {}
    for day, (documents, hashes) in days.items():
        less_documents, less_hashes = fewer.get(day, (0, 0))
        if documents > less_documents:
            left[day] = documents - less_documents, hashes - less_hashes
    return left


@dataclass(slots=True)
class Tally:
    """Sums over slices; what Postgres says later is compared with it.

    Attributes:
        read: documents.
        size: BSON bytes.
        altered, rejected: documents stored with changes, and not stored.
        unclocked: documents without a usable `updated_at`.
        newest: largest (updated_at, _id), naive UTC.
        hash_sum: over the documents that were encoded.
        days: the same by day.
    """

    read: int = 0
    size: int = 0
    altered: int = 0
    rejected: int = 0
    unclocked: int = 0
    newest: tuple[datetime, str] | None = None
    hash_sum: int = 0
    days: Days = field(default_factory=dict)

    def add(self, part: Slice) -> None:
        """Count a slice in."""
        self.read += part.read
        self.size += part.size
        self.altered += part.altered
        self.rejected += part.rejected
        self.unclocked += part.unclocked
        self.hash_sum += part.hash_sum
        if part.newest and (self.newest is None or part.newest > self.newest):
            self.newest = part.newest
        for day, (documents, hashes) in part.days.items():
            self.move(day, documents, hashes)

    def move(self, day: str, documents: int, hashes: int) -> None:
        """Add to (or, with negative numbers, take from) one day."""
        had, sum_ = self.days.get(day, (0, 0))
        if had + documents:
            self.days[day] = had + documents, sum_ + hashes
        else:
            self.days.pop(day, None)

    def take_out(self, day: str, hash60: int) -> None:
        """A document that was counted as encoded was read twice."""
        self.read -= 1
        self.outdate(day, hash60)

    def outdate(self, day: str, hash60: int) -> None:
        """A newer version was read of a document that was counted as encoded."""
        self.hash_sum -= hash60
        self.move(day, -1, -hash60)

    def reject(self, day: str, hash60: int) -> None:
        """A document that was counted as encoded turned out to be one that Postgres can't hold."""
        self.rejected += 1
        self.outdate(day, hash60)

    def dump(self) -> str:
        """As JSON, for a load that goes on in another process."""
        newest = [self.newest[0].isoformat(), self.newest[1]] if self.newest else None
        plain = ("read", "size", "altered", "rejected", "unclocked", "hash_sum", "days")
        return json.dumps({name: getattr(self, name) for name in plain} | {"newest": newest})

    @classmethod
    def load(cls, text: str) -> Tally:
        """What `dump` wrote."""
        values = json.loads(text)
        newest = values.pop("newest")
        values["days"] = {day: (count, sum_) for day, (count, sum_) in values["days"].items()}
        return cls(
            **values, newest=(datetime.fromisoformat(newest[0]), newest[1]) if newest else None
        )
