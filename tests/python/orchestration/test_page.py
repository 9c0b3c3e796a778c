"""What the page says of a model: whether it has earned its place."""

from typing import Any

import pytest

from orchestration.page import _champion

PRODUCTS = "established: last_period, new: category_median"


def standing(*unbeaten: str, of: int = 1) -> dict[str, Any]:
    return {"is_ahead": len(unbeaten) < of, "unbeaten": list(unbeaten), "series": of}


@pytest.mark.parametrize(
    ("champion", "baseline", "compared", "told"),
    [
        ("blend", "logistic", standing(), "blend, ahead of logistic"),
        ("logistic", "logistic", standing("churn"), "logistic: no model beats the baseline"),
        (
            "revenue: prophet, orders: naive",
            "naive",
            standing("orders", of=2),
            "revenue: prophet, orders: naive: no model beats the baseline of orders",
        ),
        (PRODUCTS, PRODUCTS, standing("established", "new", of=2),
         f"{PRODUCTS}: no model beats the baseline"),
        ("a model", "a baseline", None, "a model"),
        ("kmeans k=4", None, None, "kmeans k=4"),
        (None, "naive", standing(), "nothing scores"),
    ],
)  # fmt: skip
def test_a_model_that_beats_nothing_is_told(
    champion: str | None, baseline: str | None, compared: dict[str, Any] | None, told: str
) -> None:
    assert _champion({"champion": champion, "baseline": baseline}, compared) == told
