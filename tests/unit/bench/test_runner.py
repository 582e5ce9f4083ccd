"""Laws of the runner that need no measurement."""

from importlib import import_module
from typing import Any

import pytest

runner: Any = import_module("edgekd.bench.runner")  # it has no types: it runs on Python 3.6 too


@pytest.mark.parametrize(
    ("cores", "count", "chosen"),
    [
        ([(1000, 0, 0), (1000, 0, 1), (2000, 0, 2), (2000, 0, 3)], 2, {2, 3}),  # big.LITTLE
        ([(1000, 0, 0), (1000, 0, 1), (2000, 0, 2)], 2, {2, 1}),  # one big core, and the later of the small ones
        ([(3000, 0, 0), (3000, 0, 1), (3000, 1, 2), (3000, 1, 3)], 2, {0, 1}),  # 2 and 3 are siblings of 0 and 1
        ([(0, 0, 0), (0, 0, 1)], 1, {1}),  # nothing is known
        ([(0, 0, 0)], 4, {0}),  # fewer than asked for
    ],
)
def test_the_fastest_cores_are_taken_each_once(cores: list[tuple[int, int, int]], count: int, chosen: set[int]) -> None:
    """Speed first, then cores that are shared with nobody, then the later numbers."""
    assert set(runner.fastest(cores, count)) == chosen


@pytest.mark.parametrize(("text", "version"), [("1.8.0", (1, 8)), ("1.32.0", (1, 32)), ("1.10.2.dev1", (1, 10))])
def test_versions_are_compared_as_numbers(text: str, version: tuple[int, int]) -> None:
    """1.10 is newer than 1.8."""
    assert runner.version_of(text) == version
