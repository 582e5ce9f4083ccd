"""How far a network is from those that were published: what the width of its interval grows with."""

import numpy as np
from numpy.typing import NDArray

from edgekd.predict.fit import common_precision

_USUAL = 0.1
"""A network's own error where it is no stranger than any: about what is left of published ones after the fit."""


def interval_scale(prices: NDArray[np.float64], amounts: NDArray[np.float64], published: NDArray[np.float64]) -> float:
    """Return by what an interval is scaled for a network of *amounts* (terms,), given those of *published* networks.

    With log *prices* (terms,) every network spends shares of its time on the terms. The uncertainty of prices that
    published shares leave, the prior of prices included, times the shares of this network is its strangeness: small
    for a mixture of published networks, large for one that spends its time where few of them do.
    """
    seen = _shares(prices, published)
    uncertainty = np.linalg.inv(seen.T @ seen / _USUAL**2 + common_precision())
    part = _shares(prices, amounts[None])[0]
    return float(np.sqrt(part @ uncertainty @ part + _USUAL**2))


def _shares(prices: NDArray[np.float64], amounts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return which part of the time each term takes (networks, terms)."""
    costs = np.exp(prices) * amounts
    return np.asarray(costs / costs.sum(axis=1, keepdims=True))
