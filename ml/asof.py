"""Nothing that a model learns from may be dated after the day it stands on.

Every `fit` and every backtest origin passes its features through here, so that a leak stops the
run instead of flattering it.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

# people aren't that predictable: on public data the best AUC of churn is .81, and the usual leak, a
# label made of a feature, shows 1.000
SUSPICIOUS_AUC = 0.99


class LeakError(ValueError):
    """A feature knows what happens after the as-of date."""


def require_past(frame: pd.DataFrame, dates: Sequence[str], as_of: pd.Timestamp) -> pd.DataFrame:
    """The frame, if none of its dates lies after the as-of date; missing dates know nothing.

    Args:
        frame: features, one row per whatever is learned from.
        dates: its columns that say when something was known; datetime64.
        as_of: last day that may be known.

    Raises:
        LeakError: names the column, the newest date and how many rows lie after the as-of date.
    """
    for column in dates:
        late = frame[column] > as_of
        if late.any():
            newest = frame.loc[late, column].max()
            raise LeakError(
                f"{column}: {int(late.sum())} of {len(frame)} rows are dated after"
                f" {as_of:%Y-%m-%d}, up to {newest:%Y-%m-%d}"
            )
    return frame


def newest(*dates: pd.Series) -> pd.Timestamp:
    """The newest of all dates: the last day of which something is known.

    Raises:
        ValueError: there is none.
    """
    known = [series.max() for series in dates if series.notna().any()]
    if not known:
        raise ValueError("no date")
    return max(known)
