"""Observers: what calibration remembers of one activation, in bounded memory, and the grid that it makes of it."""

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgekd.quantize.fake import HIGH, LOW, Grid
from edgekd.quantize.ranges import SHRINKS, grid_over, least_error_grid, thinned
from edgekd.quantize.recipe import CalibrationMethod

BINS: Final = 4096
"""Of a histogram, on each side of zero: 16 for each level of int8 and more."""

PERCENTILE: Final = 99.99
"""The part of all values, in percent, that the range reaches on either side."""

Counts = NDArray[np.float64]


class Observer(Protocol):
    """What remembers one activation."""

    def see(self, values: Tensor) -> None:
        """Remember one batch (any shape) of finite numbers."""
        ...

    def grid(self, *, symmetric: bool) -> Grid:
        """Return the grid for all that was seen; it holds zero. A *symmetric* one has zero point 0."""
        ...


class MinMax:
    """The whole range: nothing is cut, and one far value makes every step coarse."""

    def __init__(self, _per_batch: int = 0) -> None:
        """Begin with zero, which every grid holds."""
        self._low, self._high = 0.0, 0.0

    def see(self, values: Tensor) -> None:
        """Widen the range to *values*."""
        low, high = (end.item() for end in torch.aminmax(values.detach()))
        self._low, self._high = min(self._low, low), max(self._high, high)

    def grid(self, *, symmetric: bool) -> Grid:
        """Return the grid over all that was seen."""
        return grid_over(self._low, self._high, symmetric=symmetric)


class LeastError:
    """The range with the least mean squared error on evenly spaced values."""

    def __init__(self, per_batch: int) -> None:
        """Keep *per_batch* values of each batch, besides its smallest and largest."""
        self._per_batch = per_batch
        self._seen: list[Tensor] = []

    def see(self, values: Tensor) -> None:
        """Keep some of *values*."""
        self._seen.append(thinned(values, self._per_batch))

    def grid(self, *, symmetric: bool) -> Grid:
        """Return the least-error grid."""
        return least_error_grid(torch.cat(self._seen), symmetric=symmetric)


class Histogram:
    """Counts of every value in bins of one width around zero; where they do not reach, each two become one.

    *counts* (2 * BINS,) begin at -*reach*; bin number BINS begins at 0.
    """

    def __init__(self) -> None:
        """Begin empty."""
        self.reach = 0.0
        self.counts: Counts = np.zeros(2 * BINS)

    def add(self, values: Tensor) -> None:
        """Count *values* (any shape)."""
        flat = values.detach().flatten()
        reach = float(flat.abs().max()) if flat.numel() else 0.0
        self.reach = self.reach or reach
        while self.reach < reach:
            self._widen()
        if self.reach:
            self.counts += torch.histc(flat, 2 * BINS, -self.reach, self.reach).double().numpy()
        else:
            self.counts[BINS] += flat.numel()

    def _widen(self) -> None:
        """Double the reach; what was counted stays, exactly."""
        pairs = self.counts.reshape(-1, 2).sum(1)
        self.counts = np.zeros(2 * BINS)
        self.counts[BINS // 2 : BINS // 2 + BINS] = pairs
        self.reach *= 2

    @property
    def edges(self) -> NDArray[np.float64]:
        """Return where the bins begin, and where the last one ends."""
        return np.linspace(-self.reach, self.reach, 2 * BINS + 1)


class Percentile:
    """The range that leaves out (100 - PERCENTILE) % of all values on either side."""

    def __init__(self, _per_batch: int = 0) -> None:
        """Begin with no value."""
        self._histogram = Histogram()

    def see(self, values: Tensor) -> None:
        """Count *values*."""
        self._histogram.add(values)

    def grid(self, *, symmetric: bool) -> Grid:
        """Return the grid between the two percentiles, widened to zero."""
        counts, edges = self._histogram.counts, self._histogram.edges
        below = np.concatenate([[0.0], counts.cumsum()])
        cut = below[-1] * (1 - PERCENTILE / 100)
        low = edges[np.searchsorted(below, cut, side="right") - 1]
        high = edges[np.searchsorted(below, below[-1] - cut, side="left")]
        return grid_over(min(0.0, float(low)), max(0.0, float(high)), symmetric=symmetric)


class Entropy:
    """The range whose rounded distribution is nearest to the real one: the smallest Kullback-Leibler divergence.

    The idea is TensorRT's (Migacz 2017, "8-bit inference with TensorRT"), here for ranges whose two ends differ. Zeros
    are exact on every grid and are left out: after a ReLU they would drown all else.
    """

    def __init__(self, _per_batch: int = 0) -> None:
        """Begin with no value."""
        self._histogram = Histogram()
        self._whole = MinMax()

    def see(self, values: Tensor) -> None:
        """Count the *values* that are not zero."""
        self._whole.see(values)
        self._histogram.add(values[values != 0])

    def grid(self, *, symmetric: bool) -> Grid:
        """Return the best of the grids over a part of the range: both ends drawn in together, then each alone."""
        whole = self._whole.grid(symmetric=symmetric)
        low, high = ((level - whole.zero_point) * whole.scale for level in (LOW, HIGH))
        low, high = min(low, 0.0), max(high, 0.0)
        parts = (1.0, 1.0)
        for candidates in _REFINEMENTS:
            parts = min(
                candidates(parts),
                key=lambda both: self._divergence(grid_over(low * both[0], high * both[1], symmetric=symmetric)),
            )
        return grid_over(low * parts[0], high * parts[1], symmetric=symmetric)

    def _divergence(self, grid: Grid) -> float:
        """Return KL(seen || rounded to *grid*) in nats; what is clamped counts as seen in the outermost bin."""
        counts, edges = self._histogram.counts, self._histogram.edges
        centres = (edges[:-1] + edges[1:]) / 2
        levels = np.rint(centres / grid.scale) + grid.zero_point
        inside = np.flatnonzero((levels >= LOW) & (levels <= HIGH))
        kept, level = counts[inside], levels[inside].astype(np.int64) - LOW
        seen = kept.copy()
        seen[0] += counts[: inside[0]].sum()
        seen[-1] += counts[inside[-1] + 1 :].sum()
        occupied = seen > 0
        mass = np.bincount(level, kept, HIGH - LOW + 1)
        places = np.bincount(level, occupied, HIGH - LOW + 1)
        rounded = (mass / np.maximum(places, 1))[level]
        p, q = seen[occupied] / max(seen.sum(), 1.0), rounded[occupied] / max(kept.sum(), 1.0)
        return float((p * np.log(p / np.maximum(q, _NEVER))).sum())


_NEVER: Final = 1e-10
"""The probability of what a rounded distribution does not hold."""

_Parts = tuple[float, float]
"""The parts of the range's lower and upper end."""

_REFINEMENTS: Final[tuple[Callable[[_Parts], Iterator[_Parts]], ...]] = (
    lambda _parts: ((part, part) for part in SHRINKS),
    lambda parts: ((part, parts[1]) for part in SHRINKS),
    lambda parts: ((parts[0], part) for part in SHRINKS),
)

OBSERVERS: Final[Mapping[CalibrationMethod, Callable[[int], Observer]]] = MappingProxyType(
    {"min-max": MinMax, "percentile": Percentile, "entropy": Entropy, "mse": LeastError}
)
"""Each is made with the number of values that it may keep of a batch."""
