"""The 37 cases that a loader must pass to be trusted: each is a test named after it.

1 to 12 types, 13 to 19 full copy, 20 reads of a range, 21 to 27 cursors, 28 to 37 change streams.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

CASES = range(1, 38)


def names() -> list[str]:
    """All test functions of this folder."""
    return [
        node.name
        for file in Path(__file__).parent.glob("test_*.py")
        for node in ast.parse(file.read_text("utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]


def test_every_case_has_a_test():
    found = [match for name in names() if (match := re.match(r"test_case_(\d\d)_(\w+)", name))]
    assert {int(match[1]) for match in found} == set(CASES)
    assert len({match[0] for match in found}) == len(found), "each stands in one place"
