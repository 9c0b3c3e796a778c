"""What the page says of a model: whether it has earned its place."""

from typing import Any

import pytest

from orchestration.page import _champion

PRODUCTS = "established: last_period, new: category_median"


def standing(*unbeaten: str, ahead: tuple[str, ...] = ()) -> dict[str, Any]:
    return {"ahead": list(ahead), "unbeaten": list(unbeaten)}


@pytest.mark.parametrize(
    ("champion", "baseline", "compared", "told"),
    [
        ("blend", "logistic", standing(ahead=("churn",)), "blend, ahead of logistic"),
        ("logistic", "logistic", standing("churn"), "logistic: no model beats the baseline"),
        (
            "revenue: prophet, orders: naive",
            "naive",
            standing("orders", ahead=("revenue",)),
            "revenue: prophet, orders: naive: no model beats the baseline of orders",
        ),
        ("revenue: prophet, orders: ridge", "naive", standing(ahead=("orders", "revenue")),
         "revenue: prophet, orders: ridge, ahead of naive"),
        (PRODUCTS, PRODUCTS, standing("established", "new"),
         f"{PRODUCTS}: no model beats the baseline"),
        ("established: xgboost, new: category_median", PRODUCTS, standing(ahead=("established",)),
         "established: xgboost, new: category_median, ahead of the baseline of established"),
        ("a model", "a baseline", None, "a model"),
        ("kmeans k=4", None, None, "kmeans k=4"),
        (None, "naive", None, "nothing scores"),
    ],
)  # fmt: skip
def test_a_model_that_beats_nothing_is_told(
    champion: str | None, baseline: str | None, compared: dict[str, Any] | None, told: str
) -> None:
    assert _champion({"champion": champion, "baseline": baseline}, compared) == told
