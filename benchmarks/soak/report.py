"""What a run of the soak did, as Markdown."""

from __future__ import annotations

import os
import time
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.soak.__main__ import Soak


def table(soak: Soak) -> str:
    """Kills by victim and mode, how loads ended, what was compared."""
    tally, writer = soak.tally, soak.writer
    checks = ", ".join(f"{number} after {mode}" for mode, number in sorted(tally.checks.items()))
    did = ", ".join(f"{number:,} {kind}" for kind, number in sorted(writer.done.items()))
    documents = sum(map(len, writer.revisions.values()))
    return "\n".join(
        [
            f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, seed {soak.arguments.seed}.\n",
            _grid("killed", tally.kills),
            _grid("loads", Counter({(how, mode): n for (mode, how), n in tally.loads.items()})),
            f"{tally.kills.total()} kills in {time.monotonic() - soak.began:,.0f} s; "
            f"{tally.checks.total()} comparisons without a difference ({checks}).",
            f"The writer's documents: {did}; {documents:,} are left. The source was away "
            f"{writer.retries:,} times when it was asked, and lost {len(tally.lost)} acknowledged "
            "writes.",
            "",
        ]
    )


def _grid(title: str, numbers: Counter[tuple[str, str]]) -> str:
    rows = sorted({row for row, _ in numbers})
    columns = sorted({column for _, column in numbers}, key=lambda name: (" " in name, name))
    lines = [
        f"| {title} | {' | '.join(columns)} | all |",
        "|---" + "|--:" * (len(columns) + 1) + "|",
    ]
    for row in rows:
        cells = [numbers[row, column] for column in columns]
        lines.append(f"| {row} | {' | '.join(str(cell or '') for cell in cells)} | {sum(cells)} |")
    sums = [sum(numbers[row, column] for row in rows) for column in columns]
    lines.append(f"| all | {' | '.join(map(str, sums))} | {sum(sums)} |")
    return "\n".join(lines) + "\n"
