"""Mean and deviation of stored rows, channel by channel, in constant memory."""

import math
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgekd.tasks.task import Rows

_CHUNK_NUMBERS = 1 << 21
_LEAST_DECIMALS = 4


class Spread(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Mean and standard deviation of each channel, in units of the stored number."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


def spread(rows: Rows) -> Spread:
    """Return mean and standard deviation (of the population) of each channel of *rows* (n, channels, ...).

    Two passes in float64: the mean first, then the squares of what differs from it, so nothing cancels.
    """
    numbers = len(rows) * math.prod(rows.shape[2:])
    mean = sum((piece.sum(axis=(0, 2)) for piece in _pieces(rows)), start=np.zeros(rows.shape[1])) / numbers
    squares = (np.square(piece - mean[:, np.newaxis]).sum(axis=(0, 2)) for piece in _pieces(rows))
    std = np.sqrt(sum(squares, start=np.zeros(rows.shape[1])) / numbers)
    return Spread(mean=tuple(mean.tolist()), std=tuple(std.tolist()))


def scaled(found: Spread, scale: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and deviation of the numbers times *scale*, rounded to 4 decimals.

    More decimals where a deviation is so small that fewer than 3 digits of it would be left.
    """
    pairs = [
        (round(mean * scale, decimals), round(std * scale, decimals))
        for mean, std in zip(found.mean, found.std, strict=True)
        for decimals in (_decimals(std * scale),)
    ]
    return tuple(mean for mean, _ in pairs), tuple(std for _, std in pairs)


def _decimals(std: float) -> int:
    """Return to how many decimals a channel of deviation *std* is rounded."""
    return _LEAST_DECIMALS if std <= 0 else max(_LEAST_DECIMALS, 2 - math.floor(math.log10(std)))


def _pieces(rows: Rows) -> Iterator[NDArray[np.float64]]:
    """Yield *rows* a few at a time as (k, channels, the rest), in float64."""
    step = max(1, _CHUNK_NUMBERS // max(1, math.prod(rows.shape[1:])))
    for start in range(0, len(rows), step):
        piece: NDArray[Any] = rows[start : start + step]
        yield piece.astype(np.float64).reshape(len(piece), rows.shape[1], -1)
