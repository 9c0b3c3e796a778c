"""Daily forecasts: closed days, models, rolling-origin backtest, champion, conformal intervals."""

from ml.forecasting.forecast import (
    Forecaster,
    Series,
    TooLittleDataError,
    evaluate,
    fit,
    predict,
)

__all__ = ["Forecaster", "Series", "TooLittleDataError", "evaluate", "fit", "predict"]
