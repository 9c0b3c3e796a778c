"""Demand per product over the supplier's lead time: how much, how surely, and when to order."""

from ml.demand.demand import Model, TooLittleDataError, evaluate, fit, predict

__all__ = ["Model", "TooLittleDataError", "evaluate", "fit", "predict"]
