"""Settings for every test."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# Two workers share two cores: more threads in each would only wait for each other. Before torch is loaded.
os.environ["OMP_NUM_THREADS"] = "1"

# No deadline: a shared machine may stop for a moment. Derandomized: the same commit gives the same answer.
settings.register_profile("edgekd", deadline=None, derandomize=True)
settings.load_profile("edgekd")

LONGEST = Path(__file__).parent / "pipeline"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest, so that two workers who take file by file end together."""
    items.sort(key=lambda item: not item.path.is_relative_to(LONGEST))
