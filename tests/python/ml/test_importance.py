"""What a model leans on: shuffled facts against errors worked out by hand."""

import numpy as np
import pandas as pd
import pytest

from ml import importance

FACTS = {"strong": ["a"], "weak": ["b"], "unused": ["c"]}


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    random = np.random.default_rng(3)
    return pd.DataFrame(random.normal(0, 1, (20_000, 3)), columns=["a", "b", "c"])


def predict(rows: pd.DataFrame) -> np.ndarray:
    return (3 * rows["a"] + rows["b"]).to_numpy()


def test_errors_rise_by_what_a_fact_explains(rows):
    """Of 3a + b + noise of variance 4: a stranger's `a` adds 2 x 9 to the squared error of 4."""
    noise = np.random.default_rng(4).normal(0, 2, len(rows))
    came = predict(rows) + noise
    before = rows.copy()
    found = importance.permutation(
        rows, FACTS, predict, lambda one: float(((one - came) ** 2).mean())
    ).set_index("fact")
    assert found.loc["strong", "importance"] == pytest.approx(18 / 4, rel=0.03)
    assert found.loc["weak", "importance"] == pytest.approx(2 / 4, rel=0.05)
    assert found.loc["unused", ["importance", "deviation"]].tolist() == [0, 0]
    assert found.index.tolist() == ["strong", "weak", "unused"]
    assert found["rank"].tolist() == [1, 2, 3] and set(found["n"]) == {len(rows)}
    assert (found["deviation"] < 0.1).all()
    pd.testing.assert_frame_equal(rows, before)


def test_columns_that_tell_the_same_are_shuffled_together(rows):
    twice = rows.assign(d=rows["a"])

    def halves(some: pd.DataFrame) -> np.ndarray:
        return (some["a"] + some["d"]).to_numpy() / 2

    def error(one: np.ndarray) -> float:
        return 1 + float(((one - rows["a"].to_numpy()) ** 2).mean())

    alone = importance.permutation(twice, {"a": ["a"], "d": ["d"]}, halves, error)
    both = importance.permutation(twice, {"a or d": ["a", "d"]}, halves, error)
    assert alone["importance"].to_numpy() == pytest.approx([0.5, 0.5], rel=0.05)
    assert both["importance"].item() == pytest.approx(2, rel=0.05)
    assert both["features"].item() == "a, d"


def test_the_model_is_asked_once_and_gives_the_same_twice(rows):
    asked = []

    def counting(some: pd.DataFrame) -> np.ndarray:
        asked.append(len(some))
        return predict(some)

    few, came = rows.head(50), predict(rows.head(50)) + 1
    tables = [
        importance.permutation(few, FACTS, counting, lambda one: float(np.abs(one - came).mean()))
        for _ in range(2)
    ]
    assert asked == [50 * (1 + 3 * importance.REPEATS)] * 2
    pd.testing.assert_frame_equal(*tables, check_exact=True)


def test_without_an_error_nothing_can_rise(rows):
    came = predict(rows)
    found = importance.permutation(
        rows, FACTS, predict, lambda one: float(np.abs(one - came).mean())
    )
    assert found.empty and list(found) == list(importance.nothing())
