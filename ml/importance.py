"""Which facts a model leans on: by how much it errs more once they are shuffled among the rows.

Measured on rows that the model did not learn from. Columns that tell nearly the same stand together
as one fact: shuffling one of two that agree costs nothing, and both would seem to be of no use.

Sources: Breiman 2001, Machine Learning 45 (permutation); Au et al. 2022, Data Mining and Knowledge
Discovery 36 (by groups of columns).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

SEED = 20240229
REPEATS = 3
MOST_ROWS = 2_000  # more would tell the ranks no better
COLUMNS = ("fact", "features", "importance", "deviation", "rank", "n")


def nothing() -> pd.DataFrame:
    """No fact: where the scores come from a formula, or nothing was measured."""
    return pd.DataFrame(columns=list(COLUMNS))


def permutation(
    rows: pd.DataFrame,
    facts: Mapping[str, Sequence[str]],
    predict: Callable[[pd.DataFrame], np.ndarray],
    error: Callable[[np.ndarray], float],
) -> pd.DataFrame:
    """By how much the error rises, as a part of it, if a fact is that of another row.

    Args:
        rows: what the model predicts from, shape (n, columns).
        facts: the columns of each; those of one fact are shuffled together.
        predict: from any rows like these, shape (m,); asked once for all.
        error: of predictions for `rows`, shape (n,); above 0, less is better.

    Returns:
        One row per fact: fact, features (its columns), importance (mean of `REPEATS`; 0.1 says that
        the model errs a tenth more without it, below 0 that it errs less), deviation (standard,
        over the repeats), rank (1 is the most important), n (rows). Empty where there is no error.
    """
    n, random = len(rows), np.random.default_rng(SEED)
    tried = [(fact, random.permutation(n)) for fact in facts for _ in range(REPEATS)]
    shuffled = [_with_others(rows, list(facts[fact]), order) for fact, order in tried]
    predicted = predict(pd.concat([rows, *shuffled], ignore_index=True)).reshape(-1, n)
    usual = error(predicted[0])
    if not usual > 0:
        return nothing()
    rises = np.array([error(one) / usual - 1 for one in predicted[1:]]).reshape(-1, REPEATS)
    table = pd.DataFrame(
        {
            "fact": list(facts),
            "features": [", ".join(columns) for columns in facts.values()],
            "importance": rises.mean(axis=1),
            "deviation": rises.std(axis=1, ddof=1),
        }
    ).sort_values(["importance", "fact"], ascending=[False, True], ignore_index=True)
    return table.assign(rank=np.arange(1, len(table) + 1), n=n)[list(COLUMNS)]


def _with_others(rows: pd.DataFrame, columns: list[str], order: np.ndarray) -> pd.DataFrame:
    changed = rows.copy()
    changed[columns] = rows[columns].to_numpy()[order]
    return changed
