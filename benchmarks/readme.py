"""Puts what was measured into `benchmarks/README.md`, between two markers."""

from __future__ import annotations

from pathlib import Path

from loaders.settings import ROOT

README = ROOT / "benchmarks" / "README.md"


def markers(name: str) -> tuple[str, str]:
    """The lines before and after the text of a benchmark."""
    return f"<!-- {name} begins -->\n", f"<!-- {name} ends -->\n"


def write(name: str, text: str, readme: Path = README) -> None:
    """Put the text of a benchmark in place of its last one.

    Raises:
        ValueError: its markers aren't there.
    """
    begin, end = markers(name)
    before, _, rest = readme.read_text("utf-8").partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise ValueError(f"{readme.name} has no markers for {name}")
    readme.write_text(f"{before}{begin}{text}{end}{after}", "utf-8")
