"""What each product will sell in the next 90 days, new products included."""

from ml.products.products import Model, TooLittleDataError, evaluate, fit, importance, predict

__all__ = ["Model", "TooLittleDataError", "evaluate", "fit", "importance", "predict"]
