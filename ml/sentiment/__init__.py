"""What reviews say: how pleased each one is, and which words and aspects go with bad ratings."""

from ml.sentiment.sentiment import (
    SentimentModel,
    TooLittleDataError,
    evaluate,
    fit,
    predict,
    product_aspects,
)

__all__ = [
    "SentimentModel",
    "TooLittleDataError",
    "evaluate",
    "fit",
    "predict",
    "product_aspects",
]
