"""What channels bring for what they cost: response curves, incrementality, budget advice."""

from ml.marketing.marketing import (
    MarketingModel,
    TooLittleDataError,
    evaluate,
    fit,
    incremental_sales,
    predict,
)

__all__ = [
    "MarketingModel",
    "TooLittleDataError",
    "evaluate",
    "fit",
    "incremental_sales",
    "predict",
]
