"""What the page says of a model: whether it has earned its place."""

from typing import Any

import pytest

from orchestration.page import _champion


@pytest.mark.parametrize(
    ("champion", "baseline", "told"),
    [
        ("blend", "logistic", "blend, ahead of logistic"),
        ("logistic", "logistic", "logistic: no model beats the baseline"),
        (
            "revenue: prophet, orders: naive",
            "naive",
            "revenue: prophet, orders: naive: no model beats the baseline of orders",
        ),
        ("revenue: prophet, orders: ridge", "naive",
         "revenue: prophet, orders: ridge, ahead of naive"),
        ("kmeans k=4", None, "kmeans k=4"),
        (None, "naive", "nothing scores"),
    ],
)  # fmt: skip
def test_a_model_that_beats_nothing_is_told(
    champion: str | None, baseline: str | None, told: str
) -> None:
    row: dict[str, Any] = {"champion": champion, "baseline": baseline}
    assert _champion(row) == told
