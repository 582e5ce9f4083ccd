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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of one folder in one worker: they share what its fixtures make."""
    for item in items:
        item.add_marker(pytest.mark.xdist_group(str(Path(item.path).parent)))
