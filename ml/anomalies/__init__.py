"""What is out of the ordinary: days by their residuals, orders among all orders."""

from ml.anomalies import daily, orders, residuals
from ml.anomalies.daily import DailyModel, TooLittleDataError, evaluate, fit, predict

__all__ = [
    "DailyModel",
    "TooLittleDataError",
    "daily",
    "evaluate",
    "fit",
    "orders",
    "predict",
    "residuals",
]
