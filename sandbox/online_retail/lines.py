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


@dataclass
class Lines:
    """The invoice lines of an import.

    Attributes:
        frame: one row per source line, invoices in the order of their first line. Columns of
            `read.read_file`, and: `units` (int64, price * 10**scale), `amount` (int64, quantity *
            units), `number` (1, 2, … within the invoice), `kind`, `tied` (row position of the sale
            line that this line cancels, -1 for none), `utc` (naive UTC).
        scale: decimals of `units` and `amount`.
        files: name, lines, invoices, first and last time of each file.
        overlapping: invoices that stand in more than one file.
        dropped: lines that were not taken because an earlier file has them.
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

    The order of the arguments does not matter: files are taken in the order of their first and
    last line's time, then of their names.

    Args:
        files: name and frame (as of `read.read_file`) of each.
    """
    files = sorted(files, key=lambda file: (file[1]["at"].min(), file[1]["at"].max(), file[0]))
    frame = pd.concat(
        [lines.assign(file=position) for position, (_, lines) in enumerate(files)],
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
                "lines": len(lines),
                "invoices": int(lines["invoice"].nunique()),
                "first": str(lines["at"].min()),
                "last": str(lines["at"].max()),
            }
            for name, lines in files
        ],
        overlapping=overlapping,
        dropped=dropped,
        differing=differing,
    )


def _units(price: pd.Series) -> tuple[np.ndarray, int]:
    """Prices as whole numbers of 10**-scale, so that sums are exact."""
    codes, values = pd.factorize(price)
    scale = max([2, *(-value.as_tuple().exponent for value in values)])
    units = np.array([int(value.scaleb(scale)) for value in values], dtype="int64")
    return units[codes], scale


def _without_overlap(frame: pd.DataFrame) -> tuple[pd.DataFrame, int, int, list[str]]:
    """Each line as often as in the file that has it most often."""
    in_files = frame.groupby("invoice", sort=False)["file"].transform("nunique")
    shared = frame[in_files > 1]
    if shared.empty:
        return frame, 0, 0, []
    # the second of two equal lines in one file is the second in the other too
    occurrence = shared.groupby(["file", *IDENTITY], dropna=False, sort=False).cumcount()
    repeated = shared.assign(occurrence=occurrence).duplicated([*IDENTITY, "occurrence"])
    kept = frame.drop(index=shared.index[repeated])
    union = shared[~repeated].groupby("invoice").size()
    smallest = shared.groupby(["invoice", "file"]).size().groupby("invoice").min()
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
