"""The interval of a ratio of medians from noisy pairs that came in blocks."""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
Rows = NDArray[np.float64]


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """A ratio with its confidence interval."""

    low: float
    median: float
    high: float


def ratio_interval(blocks: Sequence[Rows], *, confidence: float, seed: int = 0) -> Interval:
    """Return the median ratio of paired samples and its bootstrap interval.

    *blocks*: for each fresh process the logarithms of the ratios of its pairs, (n,). Blocks are drawn with replacement,
    then pairs within each (Davison and Hinkley 1997, section 3.8): what a process does to all its pairs, such as where
    its memory lies, then counts as one observation. Blocks are cut to the shortest.
    """
    least = min(len(block) for block in blocks)
    table = np.stack([block[:least] for block in blocks])
    random = np.random.default_rng(seed)
    which = random.integers(0, len(table), (RESAMPLES, len(table), 1))
    pairs = random.integers(0, least, (RESAMPLES, len(table), least))
    medians = np.median(table[which, pairs].reshape(RESAMPLES, -1), axis=1)
    low, high = np.quantile(medians, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(low=float(np.exp(low)), median=float(np.exp(np.median(table))), high=float(np.exp(high)))


def log_ratios(numerator: Sequence[float], denominator: Sequence[float]) -> Rows:
    """Return the logarithm of each ratio of two equally long series of times."""
    found: Rows = np.log(np.asarray(numerator) / np.asarray(denominator))
    return found
