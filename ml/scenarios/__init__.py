"""What if: prices, promotions, spend and season, from elasticities, forecasts and curves."""

from ml.scenarios.scenarios import (
    Answer,
    Base,
    Effect,
    Figure,
    RefusedError,
    Response,
    price,
    promotion,
    season,
    spend,
)

__all__ = [
    "Answer",
    "Base",
    "Effect",
    "Figure",
    "RefusedError",
    "Response",
    "price",
    "promotion",
    "season",
    "spend",
]
