"""The fit: it finds the prices of synthetic devices, and what its left-out networks do not know."""

import numpy as np
import pytest
from numpy.typing import NDArray

from edgekd.predict.fit import Problem
from edgekd.predict.terms import TERMS

Array = NDArray[np.float64]


def synthetic(*, groups: int = 8, networks: int = 40, own: float = 0.2) -> tuple[Array, Array]:
    """Return amounts and exact log latencies of devices whose prices are the rough ones, scaled, a little their own."""
    random = np.random.default_rng(0)
    rough = np.log([term.unit_price_ns * 1e-6 for term in TERMS])
    costs = random.uniform(0.0, 1.0, (networks, len(TERMS)))
    amounts = costs / np.exp(rough)
    prices = rough + random.normal(0, 1, (groups, 1)) + random.normal(0, own, (groups, len(TERMS)))
    return amounts, np.log(np.exp(prices) @ amounts.T)


def test_devices_that_are_sums_of_prices_are_reproduced() -> None:
    """Without noise latencies come out within a percent, the worst of 320 within five: prices are drawn together."""
    amounts, log_ms = synthetic()
    fit = Problem(amounts, log_ms).solve()
    error = np.log(np.exp(fit.groups) @ amounts.T) - log_ms
    assert np.median(np.abs(error)) < 0.01
    assert np.abs(error).max() < 0.05


def test_devices_that_differ_in_speed_alone_are_reproduced_exactly() -> None:
    """One price list, eight speeds: a network that was left out is as exact as the others."""
    amounts, log_ms = synthetic(own=0.0)
    known = log_ms.copy()
    known[:, 0] = np.nan
    fit = Problem(amounts, known).solve(rounds=2)
    assert np.log(np.exp(fit.groups) @ amounts[0]) == pytest.approx(log_ms[:, 0], abs=1e-3)


def test_an_odd_point_pulls_little() -> None:
    """One latency of eight times the truth moves the others by less than five percent."""
    amounts, log_ms = synthetic()
    wrong = log_ms.copy()
    wrong[0, 0] += np.log(8)
    before, after = (Problem(amounts, values).solve(rounds=3) for values in (log_ms, wrong))
    moved = np.log(np.exp(after.groups[0]) @ amounts.T) - np.log(np.exp(before.groups[0]) @ amounts.T)
    assert np.abs(moved[1:]).max() < 0.05


def test_a_device_with_few_points_takes_the_rest_from_the_others() -> None:
    """Six latencies tell speed; what they do not tell is common."""
    amounts, log_ms = synthetic(own=0.02)
    known = log_ms.copy()
    known[0, 6:] = np.nan
    fit = Problem(amounts, known).solve(rounds=3)
    assert np.log(np.exp(fit.groups[0]) @ amounts.T) == pytest.approx(log_ms[0], abs=0.03)
