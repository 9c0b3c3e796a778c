"""What the customers who left have in common, against those who stayed.

Counted, not modelled: of the people who were active on a past day, how many of those who then left
and of those who stayed have a trait. It says what goes together, not what made them leave.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import fisher_exact

# who was silent for half a year had left before
ACTIVE_DAYS = 180
# a trait of fewer people is their story, not a common trait
MIN_PEOPLE = 30
MIN_PER_CLASS = 20
# chance that any trait of the list is called clear though nothing goes with leaving
ERROR_SHARE = 0.05

COLUMNS = (
    "trait", "value", "people", "churned_share", "kept_share", "lift", "churn_rate", "p_value",
    "is_clear",
)  # fmt: skip


def measure(labelled: pd.DataFrame, facts: pd.DataFrame) -> pd.DataFrame:
    """Traits of those who left, the most telling first.

    Args:
        labelled: `models.labelled` of a past day whose horizon is over.
        facts: customer_key and columns of text that were known by the first order; missing rows
            and values are no trait.

    Returns:
        One row per trait and value, empty with too few people: trait, value, people (who have it),
        churned_share and kept_share (of those who left and stayed, who has it), lift (their
        ratio), churn_rate (of those who have it), p_value (Fisher's exact test), is_clear (below
        `ERROR_SHARE` over the number of traits).
    """
    active = labelled[labelled["recency_days"] < ACTIVE_DAYS]
    left = active["is_churned"].to_numpy(bool)
    if min(left.sum(), (~left).sum()) < MIN_PER_CLASS:
        return pd.DataFrame(columns=list(COLUMNS))
    rows = []
    for trait, value, has in _traits(active, facts):
        if not MIN_PEOPLE <= has.sum() <= len(has) - MIN_PEOPLE:
            continue
        among_left, among_kept = float(has[left].mean()), float(has[~left].mean())
        table = [
            [(has & left).sum(), (has & ~left).sum()],
            [(~has & left).sum(), (~has & ~left).sum()],
        ]
        rows.append(
            {
                "trait": trait,
                "value": value,
                "people": int(has.sum()),
                "churned_share": among_left,
                "kept_share": among_kept,
                "lift": among_left / among_kept if among_kept > 0 else np.nan,
                "churn_rate": float(left[has].mean()),
                "p_value": float(fisher_exact(table).pvalue),
            }
        )
    if not rows:
        return pd.DataFrame(columns=list(COLUMNS))
    found = pd.DataFrame(rows)
    found["is_clear"] = found["p_value"] < ERROR_SHARE / len(found)
    return found.sort_values(["p_value", "trait", "value"], ignore_index=True)


def _traits(active: pd.DataFrame, facts: pd.DataFrame) -> list[tuple[str, str, np.ndarray]]:
    """(trait, value, who has it) of what they did and of what was known by the first order."""
    average = active["sales_amount"] / active["order_days"]
    sold = active["sales_amount"].to_numpy(float)
    returned = active["returns_amount"] / np.where(sold > 0, sold, np.inf)
    before = active["demand_180d_amount"] - active["demand_90d_amount"]
    did = {
        "has ordered once": active["order_days"] == 1,
        "has ordered on 5 days or more": active["order_days"] >= 5,
        "came in the last 90 days": active["tenure_days"] < 90,
        "was silent for longer than ever before": (
            active["recency_days"] > active["longest_gap_days"]
        ),
        "spends less per order than half of the customers": average < average.median(),
        "spent less in the last 90 days than in the 90 before": (
            (active["demand_90d_amount"] < before) & (before > 0)
        ),
        "sent back a fifth or more by value": returned >= 0.2,
        "sent something back": active["returns_amount"] > 0,
        "ordered in the same weeks a year ago": active["order_days_same_season"] > 0,
    }
    found = [(trait, "yes", has.to_numpy(bool)) for trait, has in did.items()]
    known = facts.set_index("customer_key").reindex(active["customer_key"])
    for column in known:
        values = known[column]
        for value in sorted(values.dropna().unique()):
            found.append((column.replace("_", " "), str(value), (values == value).to_numpy(bool)))
    return found
