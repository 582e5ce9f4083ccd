"""The interval of a ratio of medians from noisy samples that came in blocks, of one session or of two."""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
_DRAWS = 20
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
    table, medians = _resampled([block[:, None] for block in blocks], np.random.default_rng(seed))
    low, high = np.quantile(medians, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(low=float(np.exp(low)), median=float(np.exp(np.median(table))), high=float(np.exp(high)))


class Normalized(msgspec.Struct, frozen=True, kw_only=True):
    """A ratio over two sessions. *drift*: by how much reference workloads changed against each other, as a part."""

    ratio: Interval
    drift: float


def normalized_interval(
    before: Sequence[Rows], after: Sequence[Rows], *, confidence: float, seed: int = 0
) -> Normalized:
    """Return how many times as long something takes *after* as *before*, where the two were never timed in turn.

    Each block, (n, references), holds for each round the logarithm of its time over that of each of several reference
    workloads, two or more. A host that is loaded otherwise does not slow all workloads alike. The change by each
    reference is one observation; what is asked for is a workload like them, one more draw, so Student's prediction
    interval holds it: mean, give or take t(references - 1) times their standard deviation times the root of
    1 + 1 / references. The bootstrap over blocks of both sessions is added to it.
    """
    random = np.random.default_rng(seed)
    (table_before, medians_before), (table_after, medians_after) = (_resampled(x, random) for x in (before, after))
    changes = np.median(table_after, axis=(0, 1)) - np.median(table_before, axis=(0, 1))
    references = len(changes)
    drift = float(np.std(changes, ddof=1))
    sampled = np.repeat((medians_after - medians_before).mean(axis=1), _DRAWS)
    drawn = sampled + drift * np.sqrt(1 + 1 / references) * random.standard_t(references - 1, len(sampled))
    low, high = np.exp(np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2]))
    ratio = Interval(low=float(low), median=float(np.exp(changes.mean())), high=float(high))
    return Normalized(ratio=ratio, drift=drift)


def _resampled(blocks: Sequence[Rows], random: np.random.Generator) -> tuple[Rows, Rows]:
    """Return the *blocks* as one table, (blocks, n, columns), and the medians of its resamples, (resamples, columns).

    Blocks are drawn with replacement, then rows within each; all are cut to the shortest.
    """
    least = min(len(block) for block in blocks)
    table = np.stack([block[:least] for block in blocks])
    which = random.integers(0, len(table), (RESAMPLES, len(table), 1))
    rows = random.integers(0, least, (RESAMPLES, len(table), least))
    medians = [np.median(column[which, rows].reshape(RESAMPLES, -1), axis=1) for column in np.moveaxis(table, 2, 0)]
    return table, np.stack(medians, axis=1)


def log_ratios(numerator: Sequence[float], denominator: Sequence[float]) -> Rows:
    """Return the logarithm of each ratio of two equally long series of times."""
    found: Rows = np.log(np.asarray(numerator) / np.asarray(denominator))
    return found
