"""What makes the data the same on every machine: seeds, ids, integer money, whole seconds."""

from __future__ import annotations

import hashlib
import struct
from datetime import UTC, datetime
from zlib import crc32

import numpy as np
from bson import Decimal128, ObjectId

DAY = 86_400


def rng(seed: int, part: str, *keys: int) -> np.random.Generator:
    """A random stream of its own for each part of the shop, so that parts can change alone."""
    sequence = np.random.SeedSequence([seed, crc32(part.encode()), *keys])
    return np.random.Generator(np.random.PCG64(sequence))


class Ids:
    """ObjectIds of one collection: 4 bytes creation time, 3 of seed and collection, 5 counter."""

    def __init__(self, seed: int, collection: str) -> None:
        self._tag = hashlib.sha256(f"{seed}/{collection}".encode()).digest()[:3]

    def at(self, number: int, seconds: int) -> ObjectId:
        """The id of document `number`, created `seconds` after 1970."""
        return ObjectId(
            (max(seconds, 0) & 0xFFFFFFFF).to_bytes(4, "big")
            + self._tag
            + number.to_bytes(5, "big")
        )


def utc(seconds: int) -> datetime:
    """Seconds since 1970 as an aware datetime."""
    return datetime.fromtimestamp(seconds, UTC)


_LOCAL_STARTS: dict[int, tuple[int, int]] = {}


def _summer(year: int) -> tuple[int, int]:
    """Start and end of British summer time: last Sundays of March and October, 01:00 UTC."""
    if year not in _LOCAL_STARTS:
        bounds = []
        for month in (3, 10):
            last = datetime(year, month, 31, 1, tzinfo=UTC)
            bounds.append(int(last.timestamp()) - ((last.weekday() + 1) % 7) * DAY)
        _LOCAL_STARTS[year] = (bounds[0], bounds[1])
    return _LOCAL_STARTS[year]


def local(seconds: np.ndarray) -> np.ndarray:
    """UTC seconds as wall-clock seconds of Europe/London (rule in force since 1996)."""
    seconds = np.asarray(seconds, dtype=np.int64)
    if seconds.size == 0:
        return seconds
    result = seconds.copy()
    years = range(utc(int(seconds.min())).year, utc(int(seconds.max())).year + 1)
    for start, end in map(_summer, years):
        result[(seconds >= start) & (seconds < end)] += 3600
    return result


def local_day(seconds: np.ndarray) -> np.ndarray:
    """The business day (Europe/London) of UTC seconds, counted from 1970-01-01."""
    return local(seconds) // DAY


def round_div(numerator: np.ndarray, denominator: np.ndarray | int) -> np.ndarray:
    """Integer division rounded half away from zero, as PostgreSQL's `round(numeric)` does."""
    numerator = np.asarray(numerator, dtype=np.int64)
    quotient = (2 * np.abs(numerator) + denominator) // (2 * np.asarray(denominator, np.int64))
    return np.where(numerator < 0, -quotient, quotient)


_DECIMALS: dict[tuple[int, int], Decimal128] = {}


def decimal(minor: int, places: int = 2) -> Decimal128:
    """Minor units as Decimal128 with `places` decimals; built from bits, as text is 5x slower."""
    key = (minor, places)
    found = _DECIMALS.get(key)
    if found is None:
        if len(_DECIMALS) > 200_000:
            _DECIMALS.clear()
        high = (6176 - places) << 49 | (1 << 63 if minor < 0 else 0)
        found = _DECIMALS[key] = Decimal128.from_bid(struct.pack("<QQ", abs(minor), high))
    return found


def plain(minor: int, places: int = 2) -> str:
    """Minor units as plain text: 1250 -> "12.50"; JPY (0 places) 1250 -> "1250"."""
    sign, digits = ("-" if minor < 0 else ""), str(abs(minor)).rjust(places + 1, "0")
    return f"{sign}{digits[:-places]}.{digits[-places:]}" if places else f"{sign}{digits}"


def continental(minor: int, places: int = 2) -> str:
    """Minor units as a German would type them: 123450 -> "1.234,50"."""
    whole, _, cents = plain(abs(minor), places).partition(".")
    grouped = f"{int(whole):,}".replace(",", ".")
    return f"{'-' if minor < 0 else ''}{grouped}{',' + cents if cents else ''}"


def pick(generator: np.random.Generator, weights: list[int], size: int) -> np.ndarray:
    """`size` indices drawn with integer weights (integers, so that no rounding decides)."""
    edges = np.cumsum(np.asarray(weights, dtype=np.int64))
    return np.searchsorted(edges, generator.integers(0, edges[-1], size), side="right")


def shares(generator: np.random.Generator, weights: list[int], size: int) -> np.ndarray:
    """As `pick`, but with exact shares (each index at least once if there is room), shuffled."""
    total = sum(weights)
    counts = [max(1, size * w // total) if w else 0 for w in weights]
    largest = counts.index(max(counts))
    counts[largest] += size - sum(counts)
    return generator.permutation(np.repeat(np.arange(len(weights)), counts))


def some(generator: np.random.Generator, eligible: np.ndarray, count: int) -> np.ndarray:
    """`count` positions where `eligible` is true (fewer if there are fewer), sorted."""
    candidates = np.flatnonzero(eligible)
    chosen = generator.permutation(candidates.size)[:count]
    return np.sort(candidates[chosen])
