"""Watching models: do inputs and scores move, and were the scores right once the outcome is known.

Pure functions over frames; `ml.jobs.watching` does the reading and writing.
"""

from ml.monitoring.drift import Profile, Shift, profile, shift
from ml.monitoring.outcomes import Outcome, churn, forecasts, lifetime_value

__all__ = [
    "Outcome",
    "Profile",
    "Shift",
    "churn",
    "forecasts",
    "lifetime_value",
    "profile",
    "shift",
]
