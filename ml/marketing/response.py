"""Response curve of a channel: credited sales of a week against its spend, present and past.

    credited = base + slope x a / (1 + a / half),    a = spend + decay x a of the week before

`base` comes without spend (a newsletter needs no campaign), `decay` is what a week's spend still
does in the next (geometric adstock, Broadbent 1979, Journal of the Market Research Society 21),
`half` where the return of more has halved (saturation; infinite for a straight line). Slope and
base are not negative. A straight line without memory is taken unless another shape foretells later
weeks clearly better, so that few weeks give a simple curve.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

DECAYS = (0.0, 0.25, 0.5, 0.75)
HALVES = (np.inf, 2.0, 1.0, 0.5)  # in units of the largest adstock seen
# a bent or remembering curve must lower the error of later weeks by this share
SHAPE_GAIN = 0.05
FIRST_WEEKS = 0.5  # share of the history before the first later week
BLOCK_WEEKS = 8
DRAWS = 400
BOOTSTRAP_BLOCK = 4  # weeks that are drawn together: campaigns and their echoes last a month


@dataclass(frozen=True)
class Shape:
    """Decay per week, and half-saturation in units of the largest adstock."""

    decay: float
    half: float


SHAPES = tuple(Shape(decay, half) for half in HALVES for decay in DECAYS)


@dataclass(frozen=True)
class Curve:
    """A fitted curve with its uncertainty.

    Attributes:
        shape: as chosen.
        scale: largest adstock seen; 0 < scale.
        base, slope: least squares.
        bases, slopes: the same of the bootstrap's draws, shape (`DRAWS`,).
        error, baseline_error: mean absolute error of later weeks, of the curve and of the mean.
        largest: largest spend of a week.
    """

    shape: Shape
    scale: float
    base: float
    slope: float
    bases: np.ndarray
    slopes: np.ndarray
    error: float
    baseline_error: float
    largest: float

    def effect(self, weekly_spend: np.ndarray | float) -> np.ndarray:
        """Transformed spend of a channel that spends so much every week."""
        steady = np.asarray(weekly_spend, dtype=float) / (1 - self.shape.decay)
        return _saturated(steady, self.shape.half * self.scale)

    def over(self, spend: np.ndarray) -> np.ndarray:
        """Credited sales beyond the base in each of these weeks, by least squares."""
        adstock = _adstock(spend, self.shape.decay)
        return self.slope * _saturated(adstock, self.shape.half * self.scale)


def fit(spend: np.ndarray, credited: np.ndarray, seed: int) -> Curve:
    """Choose a shape by its errors on later weeks, and fit it.

    Args:
        spend, credited: of each week in the order of time, without gaps.
        seed: of the bootstrap.
    """
    start = int(len(spend) * FIRST_WEEKS)
    errors = {shape: _later_error(spend, credited, shape, start) for shape in SHAPES}
    plain = SHAPES[0]
    best = min(SHAPES, key=lambda shape: errors[shape])
    shape = best if errors[best] < (1 - SHAPE_GAIN) * errors[plain] else plain
    adstock = _adstock(spend, shape.decay)
    scale = float(adstock.max())
    x = _saturated(adstock, shape.half * scale)
    weights = _blocks(len(spend), np.random.default_rng(seed))
    base, slope = _lines(x, credited, np.ones((1, len(x))))
    bases, slopes = _lines(x, credited, weights)
    mean = np.cumsum(credited) / np.arange(1, len(credited) + 1)
    return Curve(
        shape=shape,
        scale=scale,
        base=float(base[0]),
        slope=float(slope[0]),
        bases=bases,
        slopes=slopes,
        error=errors[shape],
        baseline_error=float(np.abs(credited[start:] - mean[start - 1 : -1]).mean()),
        largest=float(spend.max()),
    )


def _later_error(spend: np.ndarray, credited: np.ndarray, shape: Shape, start: int) -> float:
    """Mean absolute error of each later block of weeks by what was known before it."""
    adstock = _adstock(spend, shape.decay)
    missed = []
    for first in range(start, len(spend), BLOCK_WEEKS):
        scale = max(float(adstock[:first].max()), 1e-9)
        x = _saturated(adstock, shape.half * scale)
        base, slope = _lines(x[:first], credited[:first], np.ones((1, first)))
        ahead = slice(first, first + BLOCK_WEEKS)
        missed.append(np.abs(credited[ahead] - base[0] - slope[0] * x[ahead]))
    return float(np.concatenate(missed).mean())


def _lines(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bases and slopes, none below 0, one per row of weights (draws, weeks)."""
    total = weights.sum(axis=1)
    mean_x, mean_y = weights @ x / total, weights @ y / total
    spread = weights @ (x * x) / total - mean_x**2
    slope = (weights @ (x * y) / total - mean_x * mean_y) / np.maximum(spread, 1e-12)
    slope = np.where(spread > 1e-12, np.maximum(slope, 0.0), 0.0)
    base = mean_y - slope * mean_x
    # with the base at its bound the slope is that of a line through the origin
    through = (weights @ (x * y)) / np.maximum(weights @ (x * x), 1e-12)
    slope = np.where(base < 0, np.maximum(through, 0.0), slope)
    return np.maximum(base, 0.0), slope


def _adstock(spend: np.ndarray, decay: float) -> np.ndarray:
    found = np.zeros(len(spend))
    last = 0.0
    for week, amount in enumerate(spend):
        last = amount + decay * last
        found[week] = last
    return found


def _saturated(adstock: np.ndarray, half: float) -> np.ndarray:
    return adstock / (1 + adstock / half) if np.isfinite(half) else adstock


def _blocks(weeks: int, random: np.random.Generator) -> np.ndarray:
    """How often each week is drawn, in circular blocks, shape (`DRAWS`, weeks)."""
    count = -(-weeks // BOOTSTRAP_BLOCK)
    starts = random.integers(0, weeks, (DRAWS, count))
    drawn = (starts[:, :, None] + np.arange(BOOTSTRAP_BLOCK)).reshape(DRAWS, -1)[:, :weeks] % weeks
    table = np.zeros((DRAWS, weeks))
    np.add.at(table, (np.repeat(np.arange(DRAWS), weeks), drawn.ravel()), 1.0)
    return table
