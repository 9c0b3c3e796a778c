"""What each customer will spend in the next 12 months, with an interval."""

from ml.lifetime.lifetime import (
    LifetimeModel,
    TooLittleDataError,
    evaluate,
    fit,
    importance,
    predict,
)

__all__ = ["LifetimeModel", "TooLittleDataError", "evaluate", "fit", "importance", "predict"]
