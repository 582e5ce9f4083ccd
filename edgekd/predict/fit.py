"""Prices of terms for every group of points at once: its own, drawn to those of all where its points say little.

The model: log time of network n in group g = log sum_k amount_nk * exp(price_gk), price_g = common + speed_g + own_g.
*common* is normal around the rough prices of ``TERMS``; *own_g* is normal around zero with a covariance that is itself
estimated from all groups (empirical Bayes by expectation-maximization); *speed_g* is free. Residuals are judged by
Huber's loss, so that a single odd latency pulls little. Every step is a damped Gauss-Newton step in which the groups'
own prices are eliminated (a Schur complement).
"""

from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgekd.predict.terms import TERMS

Array = NDArray[np.float64]

_RESIDUAL: Final = 0.07
"""Expected deviation of a log latency from its group's own prices: what repeats of a published table show."""
_HUBER: Final = 2.5
_CLASS_DEVIATION: Final = 1.5
_TERM_DEVIATION: Final = 0.4
_GROUP_CLASS_DEVIATION: Final = 0.5
_GROUP_TERM_DEVIATION: Final = 0.3
_PRIOR_GROUPS: Final = 10.0
_ROUNDS: Final = 12
_STEPS: Final = 60
_TOLERANCE: Final = 3e-5
_LARGEST_STEP: Final = 1.0


class Fit(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Log prices in ms: *common* (terms,), of each group (groups, terms); *covariance* of what is a group's own."""

    common: Array
    groups: Array
    covariance: Array


class _State(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Where the search stands: common, speed and own log prices, the objective, predictions and residuals."""

    common: Array
    speed: Array
    own: Array
    objective: float
    predicted: Array
    residual: Array


class Problem:
    """Amounts (networks, terms) and log latencies (groups, networks) in ms, NaN where nothing is published."""

    def __init__(self, amounts: Array, log_ms: Array, common: Array | None = None) -> None:
        """Take the points; *common* are the log prices to start from, those of ``TERMS`` where none are given."""
        self._amounts = amounts
        self._known = ~np.isnan(log_ms)
        self._log_ms = np.where(self._known, log_ms, 0.0)
        rough = np.log([term.unit_price_ns * 1e-6 for term in TERMS])
        self._rough: Array = rough if common is None else common
        self._common_precision = common_precision()

    def solve(self, start: Fit | None = None, *, rounds: int = _ROUNDS) -> Fit:
        """Return the fit; *start* gives covariance and prices to go on from."""
        initial = _together(_GROUP_CLASS_DEVIATION, _GROUP_TERM_DEVIATION)
        covariance = initial if start is None else start.covariance
        state = self._start(start, covariance)
        count = len(self._log_ms)
        for _ in range(rounds):
            state = self._minimum(state, _inverse(covariance))
            spread = self._uncertainty(state, _inverse(covariance))
            squares = state.own.T @ state.own + spread.sum(axis=0)
            covariance = (squares + _PRIOR_GROUPS * initial) / (count + _PRIOR_GROUPS)
        prices = state.common + state.speed[:, None] + state.own
        return Fit(common=state.common, groups=prices, covariance=covariance)

    def refit(self, start: Fit) -> Fit:
        """Return the fit with the covariance of *start*: for points of which a few were left out."""
        state = self._minimum(self._start(start, start.covariance), _inverse(start.covariance))
        prices = state.common + state.speed[:, None] + state.own
        return Fit(common=state.common, groups=prices, covariance=start.covariance)

    def _start(self, start: Fit | None, covariance: Array) -> _State:
        """Return the state to start from: all groups alike but for their speed, or that of an earlier fit."""
        if start is not None and len(start.groups) == len(self._log_ms):
            offset = start.groups - start.common
            speed = offset.mean(axis=1)
            return self._state(start.common, speed, offset - speed[:, None], _inverse(covariance))
        common = self._rough
        guess = np.log(self._amounts @ np.exp(common))
        differences = np.where(self._known, self._log_ms - guess, np.nan)
        speed = np.nanmedian(differences, axis=1)
        return self._state(common, speed, np.zeros((len(speed), len(common))), _inverse(covariance))

    def _state(self, common: Array, speed: Array, own: Array, precision: Array) -> _State:
        """Return the state of these prices with its objective."""
        predicted = np.log(np.exp(common + speed[:, None] + own) @ self._amounts.T)
        residual = np.where(self._known, (self._log_ms - predicted) / _RESIDUAL, 0.0)
        size = np.abs(residual)
        loss = np.where(size < _HUBER, 0.5 * residual**2, _HUBER * (size - 0.5 * _HUBER)).sum()
        loss += 0.5 * np.einsum("gk,kl,gl", own, precision, own)
        away = common - self._rough
        loss += 0.5 * away @ self._common_precision @ away
        return _State(
            common=common, speed=speed, own=own, objective=float(loss), predicted=predicted, residual=residual
        )

    def _normal(self, state: _State, precision: Array) -> tuple[Array, Array, Array]:
        """Return each group's normal matrix over its own prices and speed, its gradient, and the weights' Jacobian."""
        size = np.abs(state.residual)
        weight = np.where(size < _HUBER, 1.0, _HUBER / np.maximum(size, _HUBER)) * self._known / _RESIDUAL**2
        prices = np.exp(state.common + state.speed[:, None] + state.own)
        shares = prices[:, None, :] * self._amounts[None] / np.exp(state.predicted)[:, :, None]
        jacobian = np.concatenate([shares, np.ones((*shares.shape[:2], 1))], axis=2)
        weighted = (jacobian * weight[:, :, None]).transpose(0, 2, 1)
        terms = shares.shape[2]
        curvature = weighted @ jacobian
        normal = curvature.copy()
        normal[:, :terms, :terms] += precision
        normal[:, terms, terms] += 1e-6
        gradient = (weighted @ (state.residual * _RESIDUAL)[:, :, None])[:, :, 0]
        return normal, gradient, curvature

    def _minimum(self, state: _State, precision: Array) -> _State:
        """Return the state of the least objective near *state*."""
        damping, terms = 1e-3, len(state.common)
        for _ in range(_STEPS):
            normal, gradient, curvature = self._normal(state, precision)
            cross = curvature[:, :, :terms]
            common_gradient = gradient[:, :terms].sum(axis=0)
            common_gradient -= self._common_precision @ (state.common - self._rough)
            gradient[:, :terms] -= state.own @ precision
            diagonal = np.arange(terms + 1)
            normal[:, diagonal, diagonal] *= 1 + damping
            common_normal = cross[:, :terms].sum(axis=0) + self._common_precision
            common_normal[diagonal[:-1], diagonal[:-1]] *= 1 + damping
            solved = np.linalg.solve(normal, np.concatenate([cross, gradient[:, :, None]], axis=2))
            reduced = common_normal - np.einsum("glk,glm->km", cross, solved[:, :, :terms])
            right = common_gradient - np.einsum("glk,gl->k", cross, solved[:, :, terms])
            step = np.linalg.solve(reduced, right)
            own_step = solved[:, :, terms] - solved[:, :, :terms] @ step
            scale = min(1.0, _LARGEST_STEP / max(float(np.abs(step).max()), float(np.abs(own_step).max()), 1e-9))
            tried = self._state(
                state.common + scale * step,
                state.speed + scale * own_step[:, terms],
                state.own + scale * own_step[:, :terms],
                precision,
            )
            if tried.objective >= state.objective:
                damping *= 10
                if damping > 1e4:  # noqa: PLR2004 - no step of any length goes down: this is the minimum
                    break
                continue
            is_done = state.objective - tried.objective < _TOLERANCE * state.objective
            state, damping = tried, max(damping / 5, 1e-6)
            if is_done:
                break
        return state

    def _uncertainty(self, state: _State, precision: Array) -> Array:
        """Return the covariance (groups, terms, terms) of each group's own prices, the common ones given."""
        normal, _, _ = self._normal(state, precision)
        terms = len(state.common)
        return _inverse(normal)[:, :terms, :terms]


def common_precision() -> Array:
    """Return the inverse covariance (terms, terms) of the common log prices around the rough ones."""
    return _inverse(_together(_CLASS_DEVIATION, _TERM_DEVIATION))


def _inverse(matrix: Array) -> Array:
    """Return the inverse of one matrix or of many."""
    return np.asarray(np.linalg.inv(matrix), np.float64)


def _together(class_deviation: float, term_deviation: float) -> Array:
    """Return a covariance in which the prices of one class move together, and each a little by itself."""
    classes = np.array([term.of for term in TERMS])
    same = classes[:, None] == classes[None]
    return np.asarray(class_deviation**2 * same + term_deviation**2 * np.eye(len(classes)), np.float64)
