"""The smooth function through noisy values."""

import numpy as np
import pytest

from edgekd.predict.gaussian import Scales, choose_scales, learn, unlikeliness


def test_a_smooth_function_is_foretold_between_its_points() -> None:
    """sin(x) + y / 2 from 200 random points with noise of 0.01: unseen ones within four times that."""
    random = np.random.default_rng(0)
    points = random.uniform(0, 3, (200, 2))
    values = np.sin(points[:, 0]) + points[:, 1] / 2
    process = learn(points, values + 0.01 * random.standard_normal(200), choose_scales(points, values))
    unseen = random.uniform(0.1, 2.9, (50, 2))
    found, _ = process.at(unseen)
    assert found == pytest.approx(np.sin(unseen[:, 0]) + unseen[:, 1] / 2, abs=0.04)


def test_far_from_all_points_nothing_is_known() -> None:
    """The mean is that of the values, and the deviation that of the function."""
    scales = Scales(lengths=(0.0,), spread=float(np.log(0.3)), noise=-4.0)
    process = learn(np.array([[0.0], [1.0]]), np.array([1.0, 2.0]), scales)
    mean, deviation = process.at(np.array([[1000.0]]))
    assert mean == pytest.approx([1.5])
    assert deviation == pytest.approx([0.3])


def test_a_feature_that_says_nothing_gets_a_longer_length() -> None:
    """Values depend on the first of two features alone."""
    points = np.random.default_rng(1).uniform(0, 3, (150, 2))
    scales = choose_scales(points, np.sin(2 * points[:, 0]))
    assert scales.lengths[1] > scales.lengths[0] + 1


def test_the_gradient_is_that_of_the_likelihood() -> None:
    """Against central differences, for every scale."""
    random = np.random.default_rng(2)
    points, values = random.uniform(0, 2, (20, 3)), random.standard_normal(20)
    squares = (points[:, None, :] - points[None, :, :]) ** 2
    logs = np.array([0.1, -0.3, 0.5, -0.7, -1.2])
    _, gradient = unlikeliness(logs, squares, values)
    for place in range(5):
        step = np.zeros(5)
        step[place] = 1e-5
        above, below = (unlikeliness(logs + sign * step, squares, values)[0] for sign in (1, -1))
        assert gradient[place] == pytest.approx((above - below) / 2e-5, rel=1e-5)
