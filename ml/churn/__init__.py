"""Probability that a customer doesn't order in the next 90 days, with tiers and reasons."""

from ml.churn.churn import ChurnModel, TooLittleDataError, evaluate, fit, importance, predict

__all__ = ["ChurnModel", "TooLittleDataError", "evaluate", "fit", "importance", "predict"]
