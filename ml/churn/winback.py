"""Whom to win back, and who is left alone so that the effect can be measured.

A list holds the customers who are more likely gone than not, the greatest expected margin at stake
first, as many as hold `SHARE_AT_STAKE` of it. A part of them, drawn by a hash, gets nothing: the
difference between the two is what winning back is worth (`predictions.winback_uplift`).
"""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd

from ml.business import MIN_COST_COVERAGE

MIN_PROBABILITY = 0.5
# the long tail costs as much to write to as the rest, and holds little
SHARE_AT_STAKE = 0.8
# a fifth measures an uplift of 5 points on 1,000 people to within 3; more would give up much margin
HOLDOUT_SHARE = 0.2
_HASHES = 2**32


def campaign_of(as_of: pd.Timestamp) -> str:
    """Name of the campaign, one a quarter: who is in its holdout stays there the whole quarter.

    No shorter: outcomes are counted for 90 days after the list, and only until groups are drawn
    anew, or those who were left alone would be written to while it is measured that they were not.
    """
    return f"{as_of.year}-Q{as_of.quarter}"


def is_holdout(customers: np.ndarray, campaign: str) -> np.ndarray:
    """Who is left alone, shape (n,): decided by customer and campaign alone, on any machine."""
    drawn = [
        int(hashlib.sha256(f"{campaign}\n{key}".encode()).hexdigest()[:8], 16) for key in customers
    ]
    return np.array(drawn, dtype=float) / _HASHES < HOLDOUT_SHARE


def make_list(scores: pd.DataFrame, as_of: pd.Timestamp) -> pd.DataFrame:
    """The list of a day.

    Args:
        scores: customer_key, churn_probability, expected_amount (spend of the next 12 months)
            and margin_share (of spend).
        as_of: the day; names the campaign.

    Returns:
        One row per listed customer, most at stake first: campaign, customer_key, listed_on,
        rank, is_holdout, churn_probability, expected_amount, margin_share, expected_margin_amount
        (what leaving would cost: probability x spend x margin).
    """
    at_stake = scores["churn_probability"] * scores["expected_amount"] * scores["margin_share"]
    listed = scores.assign(expected_margin_amount=at_stake)
    listed = listed[
        (listed["churn_probability"] > MIN_PROBABILITY) & (listed["expected_margin_amount"] > 0)
    ].sort_values(["expected_margin_amount", "customer_key"], ascending=[False, True])
    amount = listed["expected_margin_amount"]
    before = amount.cumsum() - amount
    listed = listed[before < SHARE_AT_STAKE * amount.sum()].reset_index(drop=True)
    campaign = campaign_of(as_of)
    return pd.DataFrame(
        {
            "campaign": campaign,
            "customer_key": listed["customer_key"],
            "listed_on": as_of,
            "rank": np.arange(1, len(listed) + 1),
            "is_holdout": is_holdout(listed["customer_key"].to_numpy(), campaign),
            "churn_probability": listed["churn_probability"],
            "expected_amount": listed["expected_amount"],
            "margin_share": listed["margin_share"],
            "expected_margin_amount": listed["expected_margin_amount"],
        }
    )


def knows_costs(facts: pd.DataFrame, least_coverage: float = MIN_COST_COVERAGE) -> bool:
    """Whether costs are known for enough of the shop's demand; arguments as `margin_share`."""
    demand = float(facts["demand_amount"].sum())
    return demand > 0 and float(facts["costed_demand_amount"].sum()) >= least_coverage * demand


def margin_share(facts: pd.DataFrame, least_coverage: float = MIN_COST_COVERAGE) -> pd.DataFrame:
    """Share of spend that is margin, per customer, drawn towards the shop's.

    Args:
        facts: customer_key, net_amount, margin_amount, demand_amount, costed_demand_amount.
        least_coverage: share of the shop's demand whose costs must be known.

    Returns:
        customer_key and margin_share between 0 and 1; 1 for all where costs are too little known,
        so that lists are sized by spend.
    """
    shares = facts[["customer_key"]].copy()
    net = float(facts["net_amount"].sum())
    if not knows_costs(facts, least_coverage) or net <= 0:
        return shares.assign(margin_share=1.0)
    shop = float(facts["margin_amount"].sum()) / net
    # a customer's own margin weighs as much as the shop's once they spent what the mean one does
    usual = net / len(facts)
    own = (facts["margin_amount"] + shop * usual) / (facts["net_amount"].clip(lower=0) + usual)
    return shares.assign(margin_share=own.clip(0, 1))
