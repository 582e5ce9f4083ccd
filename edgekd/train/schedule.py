"""Learning-rate schedules: pure functions from a step to a factor between 0 and 1."""

import math
from collections.abc import Callable, Sequence
from typing import Final, Literal

Schedule = Callable[[int], float]
ScheduleName = Literal["cosine", "one-cycle", "step"]

ONE_CYCLE_START: Final = 1 / 25
"""Where one-cycle begins, as a part of the peak (Smith and Topin 2017, arXiv 1708.07120; torch's default)."""


def cosine(steps: int, warmup: float) -> Schedule:
    """Return ``step -> factor`` falling from 1 to 0 along half a cosine, after a linear rise.

    *warmup* is the part of *steps* that rises, 0 for none.
    """
    return _rise_and_fall(steps, warmup, start=0.0)


def one_cycle(steps: int, warmup: float) -> Schedule:
    """Return ``step -> factor`` rising linearly from 1/25 to 1, then falling to 0 along half a cosine.

    1/25 stands one step before the first, as 0 does after the last: every step moves the weights.
    """
    return _rise_and_fall(steps, warmup, start=ONE_CYCLE_START)


def _rise_and_fall(steps: int, warmup: float, *, start: float) -> Schedule:
    """Return the curve both schedules share: *start* to 1 in ``warmup * steps`` steps, then to 0."""
    rising = round(warmup * steps)

    def factor(step: int) -> float:
        if step < rising:
            return start + (1 - start) * (step + 1) / (rising + 1)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - rising) / max(1, steps - rising))))

    return factor


def stepwise(steps: int, warmup: float, *, milestones: Sequence[float], gamma: float) -> Schedule:
    """Return ``step -> factor``: after the rise 1, multiplied by *gamma* at each of *milestones* (parts of *steps*)."""
    rising = round(warmup * steps)

    def factor(step: int) -> float:
        if step < rising:
            return (step + 1) / (rising + 1)
        return float(gamma ** sum(step >= part * steps for part in milestones))

    return factor
