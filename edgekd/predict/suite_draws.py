"""What the networks of the suite draw at random: sizes from ranges, choices by their chances."""

from collections.abc import Mapping
from typing import Final, TypeVar

import numpy as np

from edgekd.predict.drafting import Draft

CHANNELS: Final = (8, 768)
Choice = TypeVar("Choice")


def log_uniform(draft: Draft, low: float, high: float) -> float:
    """Return a number between *low* and *high*, each factor as likely as the other."""
    return float(np.exp(draft.random.uniform(np.log(low), np.log(high))))


def one_of(draft: Draft, choices: Mapping[Choice, float]) -> Choice:
    """Return one of *choices*, each as likely as it says."""
    chances = np.array(list(choices.values()))
    return list(choices)[draft.random.choice(len(choices), p=chances / chances.sum())]


def some_channels(draft: Draft, low: float = CHANNELS[0], high: float = CHANNELS[1]) -> int:
    """Return a number of channels: mostly a multiple of 8 or 16, as networks have them."""
    multiple = one_of(draft, {16: 4.0, 8: 4.0, 4: 1.5, 2: 0.5, 1: 0.5})
    return max(multiple, multiple * round(log_uniform(draft, low, max(low, high)) / multiple))


def around(draft: Draft, channels: int) -> int:
    """Return a number of channels that could follow *channels*."""
    return some_channels(draft, max(CHANNELS[0], channels / 3), min(CHANNELS[1], 3 * channels))
