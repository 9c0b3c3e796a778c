"""Drift: how far the values of a column have moved since an earlier run.

The measure is the population stability index over the bins of the earlier run, sum of
(share now - share then) * ln(share now / share then), the symmetric Kullback-Leibler divergence
of the two histograms. The bands in common use (below 0.1 none, above 0.25 much) are for thousands
of rows; on small samples chance alone exceeds them, so a column counts as drifted only beyond
what chance would do.

Source of the distribution under no drift: Yurdakul 2018, "Statistical properties of population
stability index": PSI / (1/n + 1/m) is about chi-squared with (bins - 1) degrees of freedom.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import chi2

BINS = 10  # the number that the bands below are stated for
MUCH = 0.25
# share of unmoved columns that would be called drifted; with a hundred columns a day, one in ten
# days has a false alarm
CHANCE = 0.001
# a text with more different values than this is a name or prose: nothing of it is kept
MOST_VALUES = 50
# rows: quantiles of more move by less than a tenth of a percent
MOST_ROWS = 100_000
RECENT_DAYS = 90


@dataclass(frozen=True)
class Profile:
    """How the values of a column are spread.

    Attributes:
        borders: inner borders of the bins of a number, ascending; empty for texts.
        values: of a text or a boolean, one bin each; empty for numbers.
        counts: rows by bin; one longer than `borders` (or `values`: others), the last bin of all
            has the missing ones.
    """

    borders: tuple[float, ...]
    values: tuple[str, ...]
    counts: tuple[int, ...]

    @property
    def n(self) -> int:
        """Rows, missing values included."""
        return sum(self.counts)

    def to_json(self) -> dict[str, Any]:
        """For `ml.profiles`."""
        return {"borders": self.borders, "values": self.values, "counts": self.counts}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Profile:
        """From `ml.profiles`."""
        return cls(*(tuple(document[name]) for name in ("borders", "values", "counts")))


@dataclass(frozen=True)
class Shift:
    """How far a column has moved: index, what chance does not reach, and rows of both."""

    psi: float
    threshold: float
    n: int
    reference_n: int

    @property
    def is_drifted(self) -> bool:
        """More than the usual band, and more than chance."""
        return self.psi > self.threshold


def profile(column: pd.Series) -> Profile | None:
    """Its deciles or its values with their counts; None for what has no spread to compare.

    That is dates, keys, prose, and columns without a value.
    """
    column = _sample(column)
    if not column.notna().any():
        return None
    if _is_number(column):
        numbers = column.dropna().to_numpy(float)
        borders = np.unique(np.quantile(numbers, np.linspace(0, 1, BINS + 1)[1:-1]))
        # with many equal values a border can be the minimum: below it lies nothing
        borders = borders[borders > numbers.min()] if len(borders) else borders
        empty = Profile(tuple(borders.tolist()), (), ())
    elif pd.api.types.is_datetime64_any_dtype(column):
        return None
    else:
        values = column.dropna().astype(str)
        counts = values.value_counts()
        if len(counts) > MOST_VALUES:
            return None
        empty = Profile((), tuple(sorted(counts.index)), ())
    return _counted(empty, column)


def shift(reference: Profile, column: pd.Series) -> Shift:
    """How far a column has moved since the reference was taken; NaN-free.

    Counts get half a row each, so that an empty bin is improbable and not impossible.
    """
    now = _counted(reference, _sample(column))
    before, after = np.array(reference.counts, float), np.array(now.counts, float)
    used = (before + after) > 0
    before, after = before[used] + 0.5, after[used] + 0.5
    p, q = before / before.sum(), after / after.sum()
    psi = float(((q - p) * np.log(q / p)).sum())
    freedom = max(int(used.sum()) - 1, 1)
    rows = 1 / max(reference.n, 1) + 1 / max(now.n, 1)
    threshold = max(MUCH, float(chi2.ppf(1 - CHANCE, freedom)) * rows)
    return Shift(psi, threshold, now.n, reference.n)


def columns(frames: Mapping[str, pd.DataFrame]) -> dict[str, pd.Series]:
    """The columns worth watching of each frame, by name: no keys, no dates.

    Args:
        frames: by the name that goes before the column's; of one unnamed frame the key is "".

    Returns:
        Of a frame with as-of dates its newest; else of one with dates the last `RECENT_DAYS` of
        the first date column: what all history says hardly moves. Where the frame has series,
        one column per series, of champions only.
    """
    found: dict[str, pd.Series] = {}
    for name, frame in frames.items():
        prefix = f"{name}." if name else ""
        for part, rows in _series(_current(frame)).items():
            for column in rows.columns:
                if not _is_key(column) and column not in ("series", "is_champion"):
                    suffix = f"[{part}]" if part else ""
                    found[f"{prefix}{column}{suffix}"] = rows[column]
    return found


def _current(frame: pd.DataFrame) -> pd.DataFrame:
    dates = [c for c in frame.columns if pd.api.types.is_datetime64_any_dtype(frame[c])]
    if frame.empty or not dates:
        return frame
    if "as_of_date" in dates:
        return frame[frame["as_of_date"] == frame["as_of_date"].max()]
    # scores look ahead: all of them are current
    first = dates[0]
    if first == "target_date":
        return frame
    return frame[frame[first] > frame[first].max() - pd.Timedelta(days=RECENT_DAYS)]


def _series(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    if "is_champion" in frame:
        frame = frame[frame["is_champion"].astype(bool)]
    if "series" not in frame:
        return {"": frame}
    return {str(name): part for name, part in frame.groupby("series", sort=True)}


def _is_key(column: str) -> bool:
    return column.endswith(("_key", "_id", "_date", "_at")) or column in ("sku", "key", "id")


def _is_number(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def _sample(column: pd.Series) -> pd.Series:
    step = -(-len(column) // MOST_ROWS)
    return column.iloc[::step] if step > 1 else column


def _counted(bins: Profile, column: pd.Series) -> Profile:
    present = column.dropna()
    if bins.values:
        counts = present.astype(str).value_counts()
        known = [int(counts.get(value, 0)) for value in bins.values]
        found = [*known, len(present) - sum(known)]
    else:
        numbers = pd.to_numeric(present, errors="coerce").to_numpy(float)
        place = np.searchsorted(np.array(bins.borders), numbers, side="right")
        found = np.bincount(place, minlength=len(bins.borders) + 1).tolist()
    return Profile(bins.borders, bins.values, (*found, len(column) - len(present)))
