"""What a benchmark of a problem found: measures beside their targets, and tables of detail."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Measure:
    """One number of the table of targets.

    Attributes:
        name: what was measured, on what.
        value: as measured for the model that the product uses, chosen by its own rule.
        baseline: the same of the trivial baseline; NaN where there is none.
        target: the best known method's; NaN where there is none.
        better: `lower`, `higher`, or `within` (of `tolerance` around the target).
        tolerance: for `within`.
    """

    name: str
    value: float
    baseline: float
    target: float
    better: str
    tolerance: float = 0.0

    @property
    def is_met(self) -> bool | None:
        """Whether the target is met as it is printed; None where there is none."""
        if not np.isfinite(self.target):
            return None
        if self.better == "within":
            return abs(self.value - self.target) <= self.tolerance
        sign = 1 if self.better == "lower" else -1
        return sign * (self.value - self.target) <= 0


@dataclass(frozen=True)
class Report:
    """Of one problem: its measures, and tables by title that show all methods side by side."""

    measures: list[Measure]
    details: dict[str, pd.DataFrame] = field(default_factory=dict)


def targets(reports: list[Report]) -> str:
    """The table of targets in Markdown."""
    rows = [
        {
            "": measure.name,
            "measured": _number(measure.value),
            "target": _wanted(measure),
            "baseline": _number(measure.baseline),
            " ": {True: "met", False: "**missed**", None: ""}[measure.is_met],
        }
        for report in reports
        for measure in report.measures
    ]
    return markdown(pd.DataFrame(rows))


def markdown(table: pd.DataFrame) -> str:
    """A frame as a Markdown table; numbers are rounded, missing ones empty."""
    lines = ["| " + " | ".join(table.columns) + " |", "|" + "---|" * len(table.columns)]
    lines += [
        "| " + " | ".join(_number(v) if isinstance(v, float) else str(v) for v in row) + " |"
        for row in table.itertuples(index=False)
    ]
    return "\n".join(lines)


def _wanted(measure: Measure) -> str:
    if not np.isfinite(measure.target):
        return ""
    if measure.better == "within":
        return f"{_number(measure.target)} ± {measure.tolerance:g}"
    return ("≤ " if measure.better == "lower" else "≥ ") + _number(measure.target)


def _number(value: float) -> str:
    if not np.isfinite(value):
        return ""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 100 else f"{value:.3f}"
