"""`docs/metrics`: pages about every metric, written from models/semantic and from nothing else."""

from __future__ import annotations

import re
from pathlib import Path

from loaders.settings import ROOT
from serving.metrics import MetricStore
from serving.semantic import Metric

FOLDER = ROOT / "docs" / "metrics"
_HEAD = "<!-- Written by `ledgerline metrics docs` from models/semantic: change it there. -->"
_UNITS = {
    "money": "an amount in the store's currency",
    "count": "a number",
    "share": "a share, 0 to 1",
    "ratio": "a ratio",
    "hours": "hours",
    "days": "days",
    "stars": "stars, 1 to 5",
}


def by_number(metric: Metric) -> tuple[int, bool, str]:
    """Sort key: M number, then definitions of ours before those of others, then the name."""
    digits = re.sub(r"\D", "", metric.meta["number"])
    return int(digits or 0), "variant_of" in metric.meta, metric.name


def variants(store: MetricStore, metric: Metric) -> list[Metric]:
    """Other definitions of the same thing."""
    root = metric.meta.get("variant_of", metric.name)
    return [
        other
        for other in store.catalogue.metrics.values()
        if other.name != metric.name and root in (other.name, other.meta.get("variant_of"))
    ]


def facts(store: MetricStore, metric: Metric) -> list[tuple[str, str]]:
    """What a page says about a metric, in its order."""
    meta = metric.meta
    models = sorted({store.catalogue.model_of(leaf) for leaf in metric.leaves})
    tables = [store.catalogue.models[model].table for model in models]
    rollups = sorted(
        {
            rollup.table
            for model in models
            for rollup in store.catalogue.models[model].rollups
            if {m for m in metric.measures if store.catalogue.model_of_measure[m] == model}
            <= set(rollup.measures)
        }
    )
    found = [
        ("Number", meta["number"]),
        ("Formula", meta["formula"]),
        ("Unit", _UNITS[meta["unit"]]),
        (
            "Basis",
            " (default), ".join(meta["basis"]) if len(meta["basis"]) > 1 else meta["basis"][0],
        ),
        ("Grain", meta["grain"]),
        ("Adds up", "yes" if meta.get("is_additive") else "no"),
        ("Definition of", meta["definition_of"]),
        ("Owner", meta["owner"]),
    ]
    if "caveats" in meta:
        found.append(("Caveats", meta["caveats"]))
    if meta.get("finance"):
        found.append(("Access", "finance: costs and margins"))
    found.append(("Read from", ", ".join(dict.fromkeys(tables))))
    if rollups:
        found.append(("Or from", ", ".join(rollups)))
    dimensions = store.dimensions_of([metric.name])
    found.append(("Dimensions", ", ".join(dimensions) or "time only"))
    return found


def readable(sql: str) -> str:
    """A template with names where a question puts its days."""
    names = {"%(p0)s": ":period_end", "%(p1)s": ":period_start", "%(limit)s": ":limit", "%%": "%"}
    for mark, name in names.items():
        sql = sql.replace(mark, name)
    return sql


def pages(store: MetricStore) -> dict[Path, str]:
    """Text by file."""
    groups: dict[str, list[Metric]] = {}
    for metric in store.catalogue.metrics.values():
        groups.setdefault(metric.meta["owner"], []).append(metric)
    files = {owner: f"{owner.lower().replace(' ', '_')}.md" for owner in groups}
    result = {FOLDER / "README.md": _index(store, files)}
    for owner, metrics in sorted(groups.items()):
        parts = [f"{_HEAD}\n\n# {owner}\n"]
        parts += [_section(store, metric, files) for metric in sorted(metrics, key=by_number)]
        result[FOLDER / files[owner]] = "\n".join(parts)
    return result


def _index(store: MetricStore, files: dict[str, str]) -> str:
    metrics = sorted(store.catalogue.metrics.values(), key=by_number)
    lines = [
        _HEAD,
        "",
        "# Metrics",
        "",
        f"{len(metrics)} metrics, each defined once in `models/semantic`. Every page, report and",
        "program asks `serving.metrics` for them; `ledgerline metrics query` does so here.",
        "",
        "- *Event basis*, the default, files a refund under its own day: a closed day stands.",
        "  *Order basis* nets it into the day of its order.",
        "- Ratios are the sum above ÷ the sum below, never a mean of ratios, and unknown where",
        "  the sum below is 0.",
        "- Where a word means different things to different people, each meaning has a name of",
        "  its own and says whose it is.",
        "",
        "| M | metric | formula | whose | variant of |",
        "|---|---|---|---|---|",
    ]
    for metric in metrics:
        meta = metric.meta
        page = files[meta["owner"]]
        variant = f"`{meta['variant_of']}`" if "variant_of" in meta else ""
        lines.append(
            f"| {meta['number']} | [{metric.label}]({page}#{metric.name}) `{metric.name}` "
            f"| {meta['formula']} | {meta['definition_of']} | {variant} |"
        )
    lines += ["", "## Dimensions", "", "| dimension | meaning |", "|---|---|"]
    for name, dimension in sorted(store.catalogue.dimensions.items()):
        if not dimension.is_time:
            note = " Personal: needs a role." if dimension.is_personal else ""
            lines.append(f"| `{name}` | {' '.join(dimension.description.split())}{note} |")
    return "\n".join(lines) + "\n"


def _section(store: MetricStore, metric: Metric, files: dict[str, str]) -> str:
    lines = [
        f'<a id="{metric.name}"></a>',
        "",
        f"## {metric.label}",
        "",
        f"`{metric.name}` · {' '.join(metric.description.split())}",
        "",
        "| | |",
        "|---|---|",
    ]
    for label, value in facts(store, metric):
        if label == "Dimensions":
            value = ", ".join(f"`{name}`" for name in value.split(", "))
            value = value.replace("`time only`", "time only")
        lines.append(f"| {label} | {value} |")
    for other in variants(store, metric):
        whose = other.meta["definition_of"]
        link = f"[{other.label}]({files[other.meta['owner']]}#{other.name})"
        lines.append(f"| {whose} | {link}: {other.meta['formula']} |")
    lines += [
        "",
        "<details><summary>SQL</summary>",
        "",
        "```sql",
        readable(store.template(metric.name)),
        "```",
        "",
        "</details>",
        "",
    ]
    return "\n".join(lines)


def stale(found: dict[Path, str]) -> list[str]:
    """Names of the pages that differ from those in the folder, in either direction."""
    there = {path: path.read_text() for path in FOLDER.glob("*.md")}
    return sorted(path.name for path in {*there, *found} if there.get(path) != found.get(path))


def write(found: dict[Path, str]) -> None:
    """Write the pages, and remove those of owners that are gone."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for path in FOLDER.glob("*.md"):
        if path not in found:
            path.unlink()
    for path, text in found.items():
        path.write_text(text)
