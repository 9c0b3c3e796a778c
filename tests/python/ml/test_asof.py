"""A feature from the future stops the run."""

import pandas as pd
import pytest

from ml.asof import LeakError, require_past

AS_OF = pd.Timestamp("2024-03-31")


def test_a_feature_dated_after_the_as_of_date_raises():
    frame = pd.DataFrame({"seen": pd.to_datetime(["2024-03-31", "2024-04-01", "2024-04-09"])})
    with pytest.raises(
        LeakError, match="seen: 2 of 3 rows are dated after 2024-03-31, up to 2024-04-09"
    ):
        require_past(frame, ["seen"], AS_OF)


def test_the_day_itself_and_missing_dates_are_known():
    frame = pd.DataFrame({"seen": pd.to_datetime(["2024-03-31", None])})
    assert require_past(frame, ["seen"], AS_OF) is frame
