"""One list of invoice lines out of several files, and which sale each cancellation cancels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal

import numpy as np
import pandas as pd

from loaders.errors import UserError

SALE, CREDIT_NOTE, ADJUSTMENT = "sale", "credit_note", "adjustment"
# what makes two lines of an invoice the same line
IDENTITY = ["invoice", "code", "description", "quantity", "at", "units", "customer", "country"]


MOST_PARTS = 12  # more steps back than that are disorder, not exports put together


@dataclass
class Lines:
    """The invoice lines of an import.

    Attributes:
        frame: one row per source line, invoices in the order of their first line. Columns of
            `read.read_file`, and: `units` (int64, price * 10**scale), `amount` (int64, quantity *
            units), `number` (1, 2, … within the invoice), `kind`, `tied` (row position of the sale
            line that this line cancels, -1 for none), `utc` (naive UTC).
        scale: decimals of `units` and `amount`.
        files: name, parts, lines, invoices, first and last time of each file.
        overlapping: invoices that stand in more than one part (see `_parts`).
        dropped: lines that were not taken because an earlier part has them.
        differing: invoices whose copies are not the same; their union was taken.
    """

    frame: pd.DataFrame
    scale: int
    files: list[dict] = field(default_factory=list)
    overlapping: int = 0
    dropped: int = 0
    differing: list[str] = field(default_factory=list)

    def money(self, units: int) -> Decimal:
        """The exact decimal of a number of units, with at least two decimals."""
        whole = Decimal(int(units)).scaleb(-self.scale)
        short = whole.normalize()
        return short if -short.as_tuple().exponent > 2 else whole.quantize(Decimal("0.01"))


def combine(files: Sequence[tuple[str, pd.DataFrame]]) -> Lines:
    """Put the files together, each invoice once, and tie the cancellations.

    The order of the arguments does not matter: parts of files are taken in the order of their
    first and last line's time, then of their names.

    Args:
        files: name and frame (as of `read.read_file`) of each.
    """
    parts = sorted(
        (
            (name, number, part)
            for name, lines in files
            for number, part in enumerate(_parts(lines))
        ),
        key=lambda part: (part[2]["at"].min(), part[2]["at"].max(), part[:2]),
    )
    frame = pd.concat(
        [lines.assign(part=position) for position, (_, _, lines) in enumerate(parts)],
        ignore_index=True,
    )
    frame["units"], scale = _units(frame.pop("price"))
    frame["amount"] = frame["quantity"] * frame["units"]
    if (frame["quantity"].abs().astype(float) * frame["units"].abs()).sum() >= 2**62:
        raise UserError("quantities and prices are too large to be added up exactly")
    kept, overlapping, dropped, differing = _without_overlap(frame)
    first = kept.groupby("invoice", sort=False).ngroup()
    kept = kept.iloc[np.argsort(first.to_numpy(), kind="stable")].reset_index(drop=True)
    kept["number"] = kept.groupby("invoice", sort=False).cumcount() + 1
    letter = kept["invoice"].str[0].str.upper()
    kept["kind"] = np.select([letter == "C", letter == "A"], [CREDIT_NOTE, ADJUSTMENT], SALE)
    kept["utc"] = _utc(kept["at"])
    kept["tied"] = _tie(kept)
    return Lines(
        frame=kept,
        scale=scale,
        files=[
            {
                "name": name,
                "parts": sum(owner == name for owner, _, _ in parts),
                "lines": len(lines),
                "invoices": int(lines["invoice"].nunique()),
                "first": str(lines["at"].min()),
                "last": str(lines["at"].max()),
            }
            for name, lines in sorted(
                files, key=lambda file: (file[1]["at"].min(), file[1]["at"].max(), file[0])
            )
        ],
        overlapping=overlapping,
        dropped=dropped,
        differing=differing,
    )


def _parts(lines: pd.DataFrame) -> list[pd.DataFrame]:
    """The exports that one file was put together of: each sheet, and where time steps back.

    An export is sorted by time; where a file goes back by more than a day, another export was
    appended. A file that does so often isn't sorted at all, and is one part.
    """
    back = (lines["at"].diff() < -pd.Timedelta(days=1)) | (lines["sheet"].diff() > 0)
    number = back.cumsum()
    if number.iloc[-1] >= MOST_PARTS:
        number = lines["sheet"]
    return [part for _, part in lines.groupby(number)]


def _units(price: pd.Series) -> tuple[np.ndarray, int]:
    """Prices as whole numbers of 10**-scale, so that sums are exact."""
    codes, values = pd.factorize(price)
    scale = max([2, *(-value.as_tuple().exponent for value in values)])
    units = np.array([int(value.scaleb(scale)) for value in values], dtype="int64")
    return units[codes], scale


def _without_overlap(frame: pd.DataFrame) -> tuple[pd.DataFrame, int, int, list[str]]:
    """Each line as often as in the part that has it most often."""
    in_parts = frame.groupby("invoice", sort=False)["part"].transform("nunique")
    shared = frame[in_parts > 1]
    if shared.empty:
        return frame, 0, 0, []
    # the second of two equal lines in one part is the second in the other too
    occurrence = shared.groupby(["part", *IDENTITY], dropna=False, sort=False).cumcount()
    repeated = shared.assign(occurrence=occurrence).duplicated([*IDENTITY, "occurrence"])
    kept = frame.drop(index=shared.index[repeated])
    union = shared[~repeated].groupby("invoice").size()
    smallest = shared.groupby(["invoice", "part"]).size().groupby("invoice").min()
    differing = union.index[union > smallest.reindex(union.index)]
    return kept, len(union), int(repeated.sum()), sorted(differing)


def _utc(local: pd.Series) -> pd.Series:
    zoned = local.dt.tz_localize(
        "Europe/London", ambiguous=np.ones(len(local), dtype=bool), nonexistent="shift_forward"
    )
    return zoned.dt.tz_convert("UTC").dt.tz_localize(None)


def _tie(frame: pd.DataFrame) -> np.ndarray:
    """For each line the position of the sale line that it cancels, or -1."""
    tied = np.full(len(frame), -1, dtype="int64")
    known = frame["customer"].notna() & (frame["units"] > 0)
    cancels = known & (frame["kind"] == CREDIT_NOTE) & (frame["quantity"] < 0)
    sells = known & (frame["kind"] == SALE) & (frame["quantity"] > 0)
    columns = ["customer", "code", "units"]
    key = frame.groupby(columns, sort=False).ngroup().to_numpy()
    sells &= np.isin(key, key[cancels])
    quantity, at = frame["quantity"].to_numpy(), frame["at"].to_numpy()

    sales: dict[int, list[int]] = defaultdict(list)  # of one key, by time
    remaining: dict[int, int] = {}
    for position in _by_time(at, sells):
        sales[key[position]].append(position)
        remaining[position] = int(quantity[position])
    for position in _by_time(at, cancels):
        needed = -int(quantity[position])
        for sale in reversed(sales[key[position]]):
            if at[sale] < at[position] and remaining[sale] >= needed:
                remaining[sale] -= needed
                tied[position] = sale
                break
    return tied


def _by_time(at: np.ndarray, chosen: pd.Series) -> np.ndarray:
    positions = np.flatnonzero(chosen.to_numpy())
    return positions[np.argsort(at[positions], kind="stable")]
