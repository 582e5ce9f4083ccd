"""Networks that are made alike err alike: an estimate is corrected by what estimates of networks like it are off.

Prices are of amounts; what the amounts leave out (how a runtime walks through small layers, squeezes or shuffles) is
much the same in a network of the same makeup. What no published network is like is not corrected.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edgekd.predict.layers import Layer, Precision
from edgekd.predict.terms import TERMS, amounts_of

Array = NDArray[np.float64]

_SIZES: Final = 6
_SHARES_WEIGHT: Final = 8.0
"""About what makes the shares of time count as much as the sizes among published networks."""
RADIUS: Final = 1.2
"""The squared distance from which networks have nothing in common; the nearest published ones are 0.13 apart."""
DOUBT: Final = 0.3
_LARGEST_ERROR: Final = 0.4
"""A log error above this is of something that other networks do not have."""


def makeup(layers: Sequence[Layer]) -> Array:
    """Return what a network is made of: logs of its sizes, then square roots of shares of its time by rough prices.

    Sizes: arithmetic, arithmetic for each weight, activations for each product, layers that compute, and the mean
    channels and side of outputs where the arithmetic is.
    """
    macs = np.array([layer.macs for layer in layers], np.float64)
    total, computing = float(macs.sum()) + 1, int(np.count_nonzero(macs)) + 1
    channels = np.log1p([(layer.in_channels + layer.out_channels) / 2 for layer in layers])
    sides = np.log1p(np.sqrt([float(np.prod(layer.out_size)) for layer in layers]))
    weights = sum(layer.weights for layer in layers)
    moved = sum(layer.read + layer.written for layer in layers)
    amounts = np.log(np.array([total, total / (weights + 1), (moved + 1) / total, computing]))
    means = macs @ np.stack([channels, sides], axis=1) / total
    costs = amounts_of(layers, "fp32").sum(axis=0) * [term.unit_price_ns for term in TERMS]
    return np.concatenate([amounts, means, np.sqrt(costs / max(float(costs.sum()), 1e-9))])


def distances(asked: Array, published: Array) -> Array:
    """Return squared distances between the makeups *asked* (networks, features) and *published* (others, features).

    Sizes are judged by their spread among the published ones.
    """
    difference = asked[:, None] - published[None]
    spread = np.maximum(published[:, :_SIZES].std(axis=0), 1e-9)
    sizes = np.mean((difference[:, :, :_SIZES] / spread) ** 2, axis=2)
    return np.asarray(sizes + _SHARES_WEIGHT * (difference[:, :, _SIZES:] ** 2).sum(axis=2))


def circumstances(precision: Precision, threads: int) -> tuple[Precision, bool]:
    """Return what groups have in common where networks err alike: the precision, and one thread or several."""
    return precision, threads > 1


def typical_errors(errors: Array) -> Array:
    """Return the median log error (networks,) over groups (groups, networks), NaN where no group has the network."""
    known = ~np.isnan(errors).all(axis=0)
    found = np.full(errors.shape[1], np.nan)
    found[known] = np.nanmedian(errors[:, known], axis=0)
    return found


def corrections(distance: Array, errors: Array, *, radius: float = RADIUS, doubt: float = DOUBT) -> Array:
    """Return what log estimates are expected to be off, by distances (networks, others) and *errors* (others,).

    A mean of the errors that are known, by likeness: one for the same makeup, zero from *radius* on. *doubt* is the
    weight of no error at all: a network that is like no other is not corrected.
    """
    known = ~np.isnan(errors)
    weights = np.maximum(1 - distance[:, known] / radius, 0) ** 2
    size = np.clip(errors[known], -_LARGEST_ERROR, _LARGEST_ERROR)
    return np.asarray(weights @ size / (doubt + weights.sum(axis=1)))
