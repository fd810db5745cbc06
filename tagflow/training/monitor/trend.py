"""The statistics of a loss: level, trend, rises and swings; open it for how noise is told from change.

A diffusion model's loss depends on the timestep that was drawn more than on anything learnt: single values
spread over two powers of ten, and a good training moves their middle by some 10 %. So: logarithms, medians of
blocks, Theil and Sen's slope with the interval of Mann and Kendall's test (Sen 1968, "Estimates of the
regression coefficient based on Kendall's tau"), and no change is reported that noise alone could have made.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_SMALLEST, _LARGEST = (
    1e-12,
    1e12,
)  # a loss of 0 has no logarithm, and one of 1e300 says no more than one of 1e12
_FIRST = (25, 50, 100)  # values: a run that was lost early has no low quarter any more, but it had a start
_STEEPEST = 100.0  # logarithm of a factor that no number needs to go beyond
_MEDIAN = math.sqrt(math.pi / 2)  # a median's standard error against a mean's, in normal noise
_MAD = 1.4826  # from a median absolute deviation to a standard deviation, in normal noise
_CORRELATED = 0.8  # where neighbours are more alike than this, the correction below means nothing


@dataclass(frozen=True, slots=True)
class Trend:
    """How a loss changed from the first block to the last: a factor less 1, and its interval.

    `change` -0.1: it fell by 10 %. `low` and `high`: where the change lies with 95 % certainty.
    """

    change: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Rise:
    """How far the last values lie over the low level before: a factor, and how many standard errors."""

    factor: float
    errors: float
    values: int


def logarithms(losses: Floats) -> Floats:
    """Natural logarithms; n in, n out. Give finite values only."""
    return np.asarray(np.log(np.clip(losses, _SMALLEST, _LARGEST)), dtype=np.float64)


def block_medians(values: Floats, blocks: int) -> Floats:
    """The medians of so many blocks of one length, the first values left over; shape (blocks,)."""
    length = len(values) // blocks
    medians: Floats = np.median(values[len(values) - blocks * length :].reshape(blocks, length), axis=1)
    return medians


def noise(values: Floats, blocks: int = 20) -> float:
    """The standard deviation of one value about its level, larger where neighbours are alike."""
    blocks = max(1, min(blocks, len(values) // 5))
    length = len(values) // blocks
    rows = values[len(values) - blocks * length :].reshape(blocks, length)
    rest = rows - np.median(rows, axis=1, keepdims=True)
    sigma = _MAD * float(np.median(np.abs(rest)))
    bounded = np.clip(rest, -3 * sigma, 3 * sigma)
    power = float(np.mean(bounded**2))
    alike = float(np.mean(bounded[:, 1:] * bounded[:, :-1])) / power if power and length > 1 else 0.0
    alike = min(max(alike, 0.0), _CORRELATED)
    return sigma * math.sqrt((1 + alike) / (1 - alike))


def standard_error(sigma: float, count: int) -> float:
    """Of the median of so many values."""
    return _MEDIAN * sigma / math.sqrt(count)


def trend(values: Floats, blocks: int = 20) -> Trend | None:
    """The trend of logarithms; None for fewer than 80 of them."""
    blocks = min(blocks, len(values) // 10)
    if blocks < 8:
        return None
    medians = block_medians(values, blocks)
    first, second = np.triu_indices(blocks, 1)
    slopes = np.sort((medians[second] - medians[first]) / (second - first))
    # Sen's interval: so many of the slopes from either end, by the variance of Kendall's S.
    spread = 1.96 * math.sqrt(blocks * (blocks - 1) * (2 * blocks + 5) / 18)
    low = max(0, math.floor((len(slopes) - spread) / 2) - 1)
    high = min(len(slopes) - 1, math.ceil((len(slopes) + spread) / 2))
    middle, lowest, highest = (
        math.expm1(min(float(slope) * (blocks - 1), _STEEPEST))
        for slope in (np.median(slopes), slopes[low], slopes[high])
    )
    return Trend(middle, lowest, highest)


def rise(values: Floats, count: int, *, least: float, known: int) -> Rise | None:
    """The last `count` logarithms against the lowest quarter of those before, and against the very first.

    The surest of these rises; None for less than a factor of `least`, or fewer than `known` values before.
    """
    before = values[: len(values) - count]
    if len(before) < max(2 * count, known):
        return None
    last, sigma = float(np.median(values[-count:])), noise(before)
    levels = [(float(np.min(block_medians(before, 4))), len(before) // 4)]
    levels += [(float(np.median(before[:some])), some) for some in _FIRST if len(before) >= 4 * some]
    risen = []
    for level, some in levels:
        if last - level >= math.log(least):
            error = math.hypot(standard_error(sigma, count), standard_error(sigma, some))
            factor = math.exp(min(last - level, _STEEPEST))
            risen.append(Rise(factor, (last - level) / max(error, 1e-9), count))
    return max(risen, key=lambda one: one.errors, default=None)


def swings(values: Floats, blocks: int, *, least: float, errors: float) -> tuple[int, float]:
    """How often the level of logarithms turned back by a factor of `least` and by so many standard errors.

    Gives the number of turns, and the factor that a turn had to have.
    """
    length, medians = len(values) // blocks, block_medians(values, blocks)
    if np.ptp(medians) < math.log(least):
        return 0, least
    needed = max(math.log(least), errors * standard_error(noise(values, blocks), length))
    turns, direction, low, high = 0, 0, math.inf, -math.inf
    for level in medians:
        low, high = min(low, level), max(high, level)
        if direction != -1 and high - level >= needed:
            turns, direction, low = turns + (direction == 1), -1, level
        elif direction != 1 and level - low >= needed:
            turns, direction, high = turns + (direction == -1), 1, level
    return turns, math.exp(min(needed, _STEEPEST))
