"""Leaving out: what was left out has no say, and half widths hold what they promise."""

import msgspec
import numpy as np
import pytest

from edgekd.predict.fit import log_sums
from edgekd.predict.leaving_out import (
    LeftOut,
    Table,
    half_width,
    known_elsewhere,
    table,
    without_devices,
    without_networks,
)
from edgekd.predict.likeness import corrections
from edgekd.predict.published import groups, networks
from edgekd.predict.strangeness import interval_scale
from edgekd.predict.terms import TERMS


@pytest.fixture(scope="module")
def points() -> Table:
    """Return the groups of one core with one precision and four threads: enough for a fit, few enough for a test."""
    chosen = [one for one in groups() if (one.precision, one.threads, one.core) == ("fp32", 4, "Cortex-A53")]
    return table(chosen, dict(networks()))


@pytest.fixture(scope="module")
def left_out(points: Table) -> LeftOut:
    """Return the estimates of networks that were left out."""
    return without_networks(points)


def test_a_network_that_is_left_out_has_no_say_in_its_estimate(points: Table) -> None:
    """Ten times its published latencies, in every group, change none of its estimates."""
    log_ms = points.log_ms.copy()
    log_ms[:, 0] += np.log(10)
    changed = msgspec.structs.replace(points, log_ms=log_ms)
    before, after = (without_networks(one).log_ms for one in (points, changed))
    assert np.array_equal(before[:, 0], after[:, 0])
    assert not np.array_equal(before[:, 1], after[:, 1])


def test_what_networks_alike_are_off_corrects_a_left_out_one(points: Table, left_out: LeftOut) -> None:
    """By the errors of the fit that has not seen it, on the points that it has seen."""
    column = points.networks.index("mnasnet")
    fit, seen = left_out.fits[column], points.training.copy()
    seen[:, column] = np.nan
    alone = log_sums(fit.groups, points.amounts)
    errors = np.array([np.nanmedian(one) if np.isfinite(one).any() else np.nan for one in (alone - seen).T])
    expected = corrections(points.distances[column][None], errors)[0]
    assert expected != 0
    assert left_out.corrections[:, column] == pytest.approx(expected)
    assert left_out.log_ms[:, column] == pytest.approx(alone[:, column] - expected)


def test_a_device_that_is_left_out_has_no_price_in_its_estimate(points: Table, left_out: LeftOut) -> None:
    """Estimates from other devices are those of groups with another name."""
    prices = [msgspec.structs.replace(fit, groups=_moved(fit.groups, 0)) for fit in left_out.fits]
    moved = msgspec.structs.replace(left_out, fits=tuple(prices))
    before, after = (without_devices(points, one)["core"][0] for one in (left_out, moved))
    assert np.isfinite(before).any()
    assert np.array_equal(before, after, equal_nan=True)


def test_what_a_network_takes_elsewhere_corrects_its_estimate(points: Table, left_out: LeftOut) -> None:
    """Errors that are the same on every device vanish."""
    shifted = msgspec.structs.replace(left_out, log_ms=points.log_ms + 0.3)
    found = known_elsewhere(points, shifted)
    columns = (~np.isnan(points.training)).sum(axis=0) > len(points.groups) / 2
    assert found[:, columns] == pytest.approx(points.log_ms[:, columns], nan_ok=True)


@pytest.mark.parametrize("coverage", [0.5, 0.9])
def test_half_widths_hold_their_part_of_the_errors(coverage: float) -> None:
    """At least the part, and little more; what was not estimated does not count."""
    error = np.append(np.random.default_rng(0).normal(size=999), np.nan)
    inside = np.mean(np.abs(error[:-1]) <= half_width(error, coverage))
    assert coverage <= inside <= coverage + 0.01


def test_a_stranger_network_has_a_wider_interval() -> None:
    """One that spends its time where no published one does is stranger than one of them."""
    prices = np.log([term.unit_price_ns for term in TERMS])
    published = np.zeros((5, len(TERMS)))
    published[:, 0] = [1, 2, 3, 4, 5]
    usual, strange = np.eye(len(TERMS))[0], np.eye(len(TERMS))[len(TERMS) - 1]
    assert interval_scale(prices, strange, published) > 2 * interval_scale(prices, usual, published)


def test_a_network_of_any_size_is_equally_strange() -> None:
    """Shares count, not amounts."""
    prices, random = np.zeros(len(TERMS)), np.random.default_rng(0)
    published, one = random.uniform(size=(5, len(TERMS))), random.uniform(size=len(TERMS))
    assert interval_scale(prices, 7 * one, published) == pytest.approx(interval_scale(prices, one, published))


def _moved(
    prices: np.ndarray[tuple[int, int], np.dtype[np.float64]], row: int
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Return *prices* with those of the device in *row* made a thousand times as large."""
    moved = prices.copy()
    moved[row] += np.log(1000)
    return moved
