"""How the attribution models share out the credit, and how far their shares can be relied on."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

BASELINE = "last"
MARKOV = "markov"
HALF_YEAR = 26  # weeks


START, CONVERSION, LOST = "start", "conversion", "null"


def removal_effects(transitions: pd.DataFrame) -> pd.Series:
    """By which part the chance of an order falls without a channel: Markov attribution's weights.

    The same as `int_channel_removal_effects` works out in SQL, by the fundamental matrix of the
    absorbing chain (Anderl et al. 2016, International Journal of Research in Marketing 33).

    Args:
        transitions: from_state, to_state, transitions; states are channels, and start, conversion
            and null.

    Returns:
        Effect by channel, 0 to 1; empty where nothing converts.
    """
    table = transitions.groupby(["from_state", "to_state"])["transitions"].sum()
    moves = table.unstack(fill_value=0).astype(float)
    states = [START, *sorted(set(moves.index) - {START})]
    chances = moves.reindex(states).div(moves.sum(axis=1).reindex(states), axis=0)
    inner = chances.reindex(columns=states, fill_value=0.0).to_numpy()
    arrive = chances.reindex(columns=[CONVERSION], fill_value=0.0).to_numpy()[:, 0]

    def arrival(without: int | None) -> float:
        kept = np.ones(len(states))
        if without is not None:
            kept[without] = 0.0
        system = np.eye(len(states)) - inner * kept[:, None] * kept[None, :]
        return float(np.linalg.solve(system, arrive * kept)[0])

    whole = arrival(None)
    if not whole > 0:
        return pd.Series(dtype=float)
    return pd.Series({state: 1 - arrival(k) / whole for k, state in enumerate(states) if k})


def shares(credit: pd.Series) -> pd.Series:
    """Parts of the total; NaN where there is none."""
    total = float(credit.sum())
    return credit / total if total > 0 else credit * float("nan")


def agreement(found: pd.Series, true: pd.Series) -> dict[str, float]:
    """Mean absolute difference and rank correlation of two shares of the same channels."""
    found = found.reindex(true.index).fillna(0.0)
    rank = (
        spearmanr(found, true).statistic
        if min(true.nunique(), found.nunique()) > 1
        else float("nan")
    )
    return {
        "share_mae": float((found - true).abs().mean()),
        "share_rank_correlation": float(rank),
    }


def choose(measured: pd.DataFrame) -> str:
    """The Markov model if its shares are the steadier ones, else the last touch."""
    errors = measured[measured["metric"] == "share_mae"].set_index("model")["value"]
    markov, last = (errors.get(model, np.nan) for model in (MARKOV, BASELINE))
    return MARKOV if markov < last else BASELINE


def stability(weekly: pd.DataFrame) -> pd.DataFrame:
    """Does a model's share of a half year tell that of the next one?

    A model whose shares jump is no ground for next half year's budget. Whether shares are right
    can't be told without an experiment.

    Args:
        weekly: marketing_channel, attribution_model, net_sales_amount, week_start_date; of the
            channels that cost something.

    Returns:
        model, metric (share_mae, share_rank_correlation), value, n (pairs of half years); empty
        with less than a year.
    """
    week = (weekly["week_start_date"].max() - weekly["week_start_date"]).dt.days // 7
    half = week // HALF_YEAR
    whole = int((week.max() + 1) // HALF_YEAR)
    rows = []
    for model, part in weekly.groupby("attribution_model", sort=True):
        table = part.groupby([half[part.index], "marketing_channel"])["net_sales_amount"].sum()
        table = table.unstack(fill_value=0.0).clip(lower=0.0)
        pairs = [
            agreement(shares(table.loc[k + 1]), shares(table.loc[k]))
            for k in range(whole - 1)
            if k in table.index and k + 1 in table.index
        ]
        if not pairs:
            continue
        means = pd.DataFrame(pairs).mean()
        rows += [(str(model), metric, float(value), len(pairs)) for metric, value in means.items()]
    return pd.DataFrame(rows, columns=["model", "metric", "value", "n"]).replace(
        {"value": {np.inf: np.nan}}
    )
