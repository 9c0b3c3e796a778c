"""The table of what was measured, with the targets beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from benchmarks.loader.contenders import CONTENDERS, Contender
from benchmarks.loader.measure import Cost

FASTEST_PEERS = ("ingestr", "sling", "dlt-arrow")


@dataclass
class Outcome:
    """All runs of one contender.

    Attributes:
        documents: that it read, or that the source has where it reads only what changed.
        costs: one per run.
        failure: why there are no more.
    """

    contender: Contender
    documents: int
    costs: list[Cost] = field(default_factory=list)
    failure: str | None = None

    @property
    def seconds(self) -> float:
        """Median of the whole command."""
        return median(cost.seconds for cost in self.costs)

    @property
    def load_seconds(self) -> float | None:
        """Median of the load itself."""
        known = [cost.load_seconds for cost in self.costs if cost.load_seconds is not None]
        return median(known) if known else None

    @property
    def rate(self) -> float:
        """Documents a second of the whole command."""
        return self.documents / self.seconds

    @property
    def load_rate(self) -> float | None:
        """Documents a second of the load itself."""
        return self.documents / self.load_seconds if self.load_seconds else None

    @property
    def memory(self) -> float:
        """Largest peak of all runs, MiB."""
        return max(cost.memory for cost in self.costs)

    def cpu(self) -> float:
        """Median of the tool's processor time, microseconds a document."""
        return median(cost.cpu for cost in self.costs) / self.documents * 1e6

    def server_cpu(self) -> float | None:
        """Median of Postgres' processor time, microseconds a document."""
        known = [cost.server_cpu for cost in self.costs if cost.server_cpu is not None]
        return median(known) / self.documents * 1e6 if known else None


def table(outcomes: Sequence[Outcome]) -> str:
    """What was measured, as Markdown."""
    names = ("documents", "command, s", "docs/s", "load itself, s", "docs/s", "tool CPU, µs/doc")
    names += ("Postgres CPU, µs/doc", "peak MiB")
    lines = [f"| | {' | '.join(names)} |", "|---" + "|--:" * len(names) + "|"]
    for outcome in outcomes:
        cells = [outcome.contender.label, f"{outcome.documents:,}"]
        if outcome.failure:
            cells.append("failed: " + outcome.failure.replace("|", "/"))
            cells += [""] * (len(names) - 2)
        else:
            is_part = outcome.contender.share > 1  # a rate over what it didn't read means nothing
            cells += [
                f"{outcome.seconds:.2f}",
                "" if is_part else f"{outcome.rate:,.0f}",
                _number(outcome.load_seconds, ".2f"),
                "" if is_part else _number(outcome.load_rate, ",.0f"),
                f"{outcome.cpu():.1f}",
                _number(outcome.server_cpu(), ".1f"),
                f"{outcome.memory:,.0f}",
            ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def verdicts(outcomes: Sequence[Outcome]) -> str:
    """Each target, what was reached of it, and whether that is enough, as Markdown."""
    by_name = {outcome.contender.name: outcome for outcome in outcomes if not outcome.failure}
    lines = ["| target | wanted | measured | |", "|---|--:|--:|---|"]
    for wanted, what, measured in _targets(by_name):
        reached = "not measured" if measured is None else _ratio(measured, what)
        sign, limit = wanted.split()
        met = measured is not None and (
            measured >= float(limit) if sign == "≥" else measured <= float(limit)
        )
        mark = "" if measured is None else "met" if met else "**missed**"
        lines.append(f"| {what} | {wanted} | {reached} | {mark} |")
    return "\n".join(lines) + "\n"


def _targets(found: Mapping[str, Outcome]) -> list[tuple[str, str, float | None]]:
    full, copy, incremental = (found.get(name) for name in ("full", "copy", "incremental"))
    peers = [found[name].rate for name in FASTEST_PEERS if name in found]

    def times(other: float | None) -> float | None:
        return full.rate / other if full and other else None

    def of_load(one: Outcome | None, other: Outcome | None) -> float | None:
        """How many times as fast the load itself is."""
        if one and other and one.load_seconds and other.load_seconds:
            return other.load_seconds / one.load_seconds
        return None

    share = of_load(full, incremental)
    one_worker, two_workers = _rate(found, "one-worker"), _rate(found, "two-workers")
    return [
        ("≥ 0.7", "full load against bare `COPY`, whole commands", times(copy and copy.rate)),
        ("≥ 0.7", "the same, the loads themselves", of_load(full, copy)),
        ("≥ 2.2", "full load against the fastest peer", times(max(peers, default=None))),
        ("≥ 8", "full load against `pandas.to_sql`", times(_rate(found, "pandas"))),
        ("≥ 15", "full load against `dlt` with its defaults", times(_rate(found, "dlt-objects"))),
        ("≤ 160", "peak memory of a full load, MiB", full.memory if full else None),
        ("≤ 0.03", "incremental, 1 % changed, against full: the loads themselves", share),
        (
            "≥ 1",
            "a second worker against one (pays on 4 cores and more)",
            two_workers / one_worker if one_worker and two_workers else None,
        ),
    ]


def _rate(found: Mapping[str, Outcome], name: str) -> float | None:
    return found[name].rate if name in found else None


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _ratio(value: float, what: str) -> str:
    return (
        f"{value:,.0f}"
        if what.endswith("MiB")
        else f"{value:.3f}"
        if value < 0.1
        else f"{value:.2f}"
    )


def labels() -> str:
    """Names of all contenders, for messages."""
    return ", ".join(contender.name for contender in CONTENDERS)
