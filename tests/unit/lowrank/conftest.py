"""The same random weights in every test, in whatever order or process it runs."""

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def _equal_start() -> Iterator[None]:
    """Give each test torch's random numbers from the start."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield
