"""The rough price of a layer is what the benchmark derived, not what somebody typed."""

import json
from pathlib import Path

import msgspec
import pytest

from edgekd.targets import load_target, target_names

RESULT = Path(__file__).parents[3] / "benchmarks" / "results" / "target_costs.json"


@pytest.mark.parametrize("name", target_names())
def test_a_cost_is_that_of_the_fit(name: str) -> None:
    """Each number stands in the result of benchmarks/target_costs.py, with the published rows that it rests on."""
    found = json.loads(RESULT.read_text(encoding="utf-8"))["costs"][name]
    assert msgspec.to_builtins(load_target(name).cost) == found["cost"]
    assert all(row["source"] for row in found["rows"])
