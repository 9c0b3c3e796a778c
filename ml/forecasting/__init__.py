"""Forecasts: closed days, models, rolling-origin backtest, champion, intervals, parts."""

from ml.forecasting.forecast import Forecaster, evaluate, fit, predict
from ml.forecasting.series import Series, TooLittleDataError

__all__ = ["Forecaster", "Series", "TooLittleDataError", "evaluate", "fit", "predict"]
