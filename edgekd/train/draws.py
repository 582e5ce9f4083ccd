"""Random numbers that belong to a sample: a function of seed, epoch, sample and purpose, and of nothing else.

So a sample looks the same in an epoch whatever batch it is in, on whichever process, and however often a run is cut;
and what a teacher says of it can be kept.
"""

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_FIRST: Final = np.uint64(0xBF58476D1CE4E5B9)
_SECOND: Final = np.uint64(0x94D049BB133111EB)


def uniform(seed: int, epoch: int, samples: NDArray[np.int64], purpose: int) -> NDArray[np.float64]:
    """Return a number in [0, 1) for each of *samples*, shape (n,); another *purpose* gives other numbers.

    The finalizer of SplitMix64 (Steele, Lea, Flood 2014) after each of the four.
    """
    with np.errstate(over="ignore"):
        state = _mixed(np.uint64(seed) + _GOLDEN)
        state = _mixed(state + np.uint64(epoch) + _GOLDEN)
        state = _mixed(state + np.uint64(purpose) + _GOLDEN)
        states = _mixed(state + samples.astype(np.uint64) + _GOLDEN)
    return (states >> np.uint64(11)).astype(np.float64) * 2.0**-53


def signed(seed: int, epoch: int, samples: NDArray[np.int64], purpose: int) -> Tensor:
    """Return a float32 number in [-1, 1) for each of *samples*, shape (n,).

    Cut to 24 bits first, which float32 holds: rounding to the nearest would give 1 now and then.
    """
    steps = np.floor(uniform(seed, epoch, samples, purpose) * 2.0**24)
    return torch.from_numpy((steps * 2.0**-23 - 1).astype(np.float32))


def order(count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Return the samples 0 to *count* - 1 in the order of one epoch."""
    generator = torch.Generator().manual_seed(mixed_seed(seed, epoch))
    return torch.randperm(count, generator=generator).numpy()


def mixed_seed(seed: int, position: int) -> int:
    """Return a number of its own for one position of one seed."""
    return (seed * 0x9E3779B97F4A7C15 + position * 0xBF58476D1CE4E5B9 + 1) % (1 << 63)


def _mixed(state: NDArray[np.uint64] | np.uint64) -> NDArray[np.uint64]:
    """Return SplitMix64's finalizer of *state*."""
    value = np.asarray(state, dtype=np.uint64)
    value = (value ^ (value >> np.uint64(30))) * _FIRST
    value = (value ^ (value >> np.uint64(27))) * _SECOND
    return value ^ (value >> np.uint64(31))
