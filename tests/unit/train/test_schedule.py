"""Schedules: values by hand, bounds everywhere."""

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekd.train.fit import SCHEDULES
from edgekd.train.schedule import ScheduleName, cosine, one_cycle, stepwise
from edgekd.train.training import Training

steps = st.integers(1, 500)
warmups = st.floats(0, 1)


def factor_of(name: ScheduleName, steps: int, warmup: float) -> Callable[[int], float]:
    """Return the schedule *name* as a training makes it."""
    training = Training(epochs=1, lr=1.0, schedule=name, warmup=warmup, milestones=(1.0, 1.0))
    return SCHEDULES[name](training, steps)


def test_cosine_without_warmup_starts_at_the_peak_and_falls_along_half_a_cosine() -> None:
    """Of 4 steps: 1, then (1 + cos 45)/2, one half, (1 + cos 135)/2, and 0 after the last."""
    schedule = cosine(4, 0.0)
    root = math.sqrt(0.5)

    assert [schedule(step) for step in range(5)] == pytest.approx([1, (1 + root) / 2, 0.5, (1 - root) / 2, 0])


def test_cosine_rises_linearly_first() -> None:
    """A warm-up of 2 of 4 steps climbs in thirds, since the step before the first stands at 0."""
    schedule = cosine(4, 0.5)

    assert [schedule(step) for step in range(5)] == pytest.approx([1 / 3, 2 / 3, 1, 0.5, 0])


def test_one_cycle_rises_from_a_25th_of_the_peak() -> None:
    """A warm-up of 3 of 6 steps: 0.04 stands before the first, then quarters of the way, the peak, and down."""
    schedule = one_cycle(6, 0.5)

    assert [schedule(step) for step in range(7)] == pytest.approx([0.28, 0.52, 0.76, 1, 0.75, 0.25, 0])


def test_steps_go_down_at_their_milestones() -> None:
    """A warm-up of 2 of 10 climbs in thirds; from step 5 on a tenth, from step 8 on a hundredth, in any order."""
    schedule = stepwise(10, 0.2, milestones=(0.75, 0.5), gamma=0.1)

    expected = [1 / 3, 2 / 3, 1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01]
    assert [schedule(step) for step in range(10)] == pytest.approx(expected)


def test_a_training_chooses_schedule_milestones_and_gamma() -> None:
    """At half of 4 steps the rate becomes a half."""
    training = Training(epochs=1, lr=1.0, schedule="step", warmup=0.0, milestones=(0.5,), gamma=0.5)

    assert [SCHEDULES["step"](training, 4)(step) for step in range(4)] == [1, 1, 0.5, 0.5]


@pytest.mark.parametrize("name", SCHEDULES)
@given(steps=steps, warmup=warmups)
def test_every_step_moves_the_weights_and_none_is_above_the_peak(name: ScheduleName, steps: int, warmup: float) -> None:
    """The factor of each step is above 0 and at most 1; after the last step of a cosine it is 0."""
    schedule = factor_of(name, steps, warmup)

    assert all(0 < schedule(step) <= 1 for step in range(steps))
    assert name == "step" or round(warmup * steps) == steps or schedule(steps) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("name", SCHEDULES)
@given(steps=steps, warmup=warmups)
def test_a_schedule_has_one_peak(name: ScheduleName, steps: int, warmup: float) -> None:
    """It rises in the warm-up and never after it."""
    factors = [factor_of(name, steps, warmup)(step) for step in range(steps)]
    peak = round(warmup * steps)

    assert factors[: peak + 1] == sorted(factors[: peak + 1])
    assert factors[peak:] == sorted(factors[peak:], reverse=True)
