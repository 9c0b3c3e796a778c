"""`benchmarks/README.md`: what was measured goes between markers."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import readme


def test_the_text_goes_between_the_markers(tmp_path: Path) -> None:
    begin, end = readme.markers("soak")
    file = tmp_path / "README.md"
    file.write_text(f"before\n{begin}old\n{end}after\n")
    for _ in range(2):
        readme.write("soak", "new\n", file)
    assert file.read_text() == f"before\n{begin}new\n{end}after\n"
    with pytest.raises(ValueError, match="no markers for bench-loader"):
        readme.write("bench-loader", "new\n", file)


@pytest.mark.parametrize("name", ["bench-loader", "bench-metrics", "soak"])
def test_the_readme_has_the_markers(name: str) -> None:
    begin, end = readme.markers(name)
    assert end in readme.README.read_text().partition(begin)[2]
