"""A Gaussian process: a smooth function of a few features from noisy values, and how sure it is where."""

from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize

Rows = NDArray[np.float64]
LEARNED_FROM: Final = 220
"""Values that choose scales; all of them make the function."""
_JITTER: Final = 1e-8
_BOUNDS: Final = {"length": (-1.6, 4.0), "spread": (-4.0, 1.0), "noise": (-4.5, -0.5)}


class Scales(msgspec.Struct, frozen=True, kw_only=True):
    """Natural logarithms: of a length for each feature, of the function's spread, and of the noise of one value."""

    lengths: tuple[float, ...]
    spread: float
    noise: float


class Process(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A function that was learned: *points* (n, features) and what solves the system of their values."""

    scales: Scales
    points: Rows
    factor: Rows
    solved: Rows
    level: float

    def at(self, rows: Rows) -> tuple[Rows, Rows]:
        """Return mean and standard deviation (without the noise of a value) at *rows* (m, features), each (m,)."""
        across = _covariance(rows, self.points, self.scales)
        reduced = cho_solve((self.factor, True), across.T)
        variance = np.exp(2 * self.scales.spread) - np.einsum("ij,ji->i", across, reduced)
        return self.level + across @ self.solved, np.sqrt(np.maximum(variance, 0.0))


def choose_scales(points: Rows, values: Rows) -> Scales:
    """Return the scales under which *values* (n,) at *points* (n, features) are likeliest."""
    order = np.random.default_rng(0).permutation(len(points))[:LEARNED_FROM]
    points, values = points[order], values[order] - values.mean()
    squares = (points[:, None, :] - points[None, :, :]) ** 2
    features = points.shape[1]
    start = np.concatenate([np.full(features, 0.7), [np.log(0.2), np.log(0.05)]])
    bounds = [_BOUNDS["length"]] * features + [_BOUNDS["spread"], _BOUNDS["noise"]]
    best = minimize(
        unlikeliness,
        start,
        args=(squares, values),
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"maxiter": 40},
    ).x
    return Scales(lengths=tuple(best[:features].tolist()), spread=float(best[-2]), noise=float(best[-1]))


def learn(points: Rows, values: Rows, scales: Scales) -> Process:
    """Return the process through *values* (n,) at *points* (n, features)."""
    level = float(values.mean())
    covariance = _covariance(points, points, scales)
    covariance[np.diag_indices_from(covariance)] += np.exp(2 * scales.noise) + _JITTER
    factor, _ = cho_factor(covariance, lower=True)
    return Process(
        scales=scales, points=points, factor=factor, solved=cho_solve((factor, True), values - level), level=level
    )


def unlikeliness(logs: Rows, squares: NDArray[np.float64], values: Rows) -> tuple[float, Rows]:
    """Return the negative logarithm of the likelihood and its gradient by each of *logs*."""
    features = squares.shape[2]
    weights = np.exp(-2 * logs[:features])
    distance = np.sqrt(5 * (squares @ weights))
    decay = np.exp(2 * logs[-2]) * np.exp(-distance)
    smooth = decay * (1 + distance + distance**2 / 3)
    noise = np.exp(2 * logs[-1])
    size = len(values)
    factor = cho_factor(smooth + (noise + _JITTER) * np.eye(size), lower=True)
    solved = cho_solve(factor, values)
    inner = cho_solve(factor, np.eye(size)) - np.outer(solved, solved)
    by_length = (5 / 3) * decay * (1 + distance)
    gradient = np.empty_like(logs)
    for feature in range(features):
        gradient[feature] = 0.5 * np.sum(inner * by_length * squares[:, :, feature] * weights[feature])
    gradient[-2] = np.sum(inner * smooth)
    gradient[-1] = noise * np.trace(inner)
    value = 0.5 * values @ solved + np.log(np.diag(factor[0])).sum()
    return float(value), gradient


def _covariance(first: Rows, second: Rows, scales: Scales) -> Rows:
    """Return the covariance of the function at *first* (n, features) and *second* (m, features): Matérn, 5/2."""
    weights = np.exp(-np.array(scales.lengths))
    one, two = first * weights, second * weights
    squares = np.maximum((one**2).sum(1)[:, None] + (two**2).sum(1)[None, :] - 2 * one @ two.T, 0.0)
    distance = np.sqrt(5 * squares)
    found: Rows = np.exp(2 * scales.spread) * (1 + distance + distance**2 / 3) * np.exp(-distance)
    return found
