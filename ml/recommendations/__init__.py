"""Recommendations: the next basket, new items for a customer, and what is bought together."""

from ml.recommendations.recommend import Model, TooLittleDataError, evaluate, fit, predict

__all__ = ["Model", "TooLittleDataError", "evaluate", "fit", "predict"]
