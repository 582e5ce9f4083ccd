"""Budgets judged by hand."""

import pytest

from edgekd.targets import Budgets
from edgekd.verdict import Judgement, Outcome, exit_code, judge

BUDGETS = Budgets(size_kb=100, drop_points=0.7, latency_ms=33.3)


def outcomes(size_bytes: int, drop_points: float) -> dict[str, Outcome]:
    """Return the outcome of each budget."""
    judged = judge(BUDGETS, size_bytes=size_bytes, drop_points=drop_points, device="My Board")
    return {judgement.budget: judgement.outcome for judgement in judged}


@pytest.mark.parametrize(
    ("size_bytes", "drop_points", "size", "drop"),
    [
        (50_000, 0.3, "PASS", "PASS"),
        (100_000, 0.7, "PASS", "PASS"),
        (100_001, 0.0, "MISS", "PASS"),
        (102_400, 0.71, "MISS", "MISS"),
        (1, -2.0, "PASS", "PASS"),
    ],
    ids=["within", "equal is within", "a byte too large", "1 kB is 1000 bytes", "better than the teacher"],
)
def test_size_and_drop_are_compared_with_their_limits(
    size_bytes: int, drop_points: float, size: Outcome, drop: Outcome
) -> None:
    """At most the limit is a PASS, more is a MISS."""
    found = outcomes(size_bytes, drop_points)
    assert (found["size_kb"], found["drop_points"]) == (size, drop)


def test_a_drop_of_seven_in_a_thousand_images_is_seven_tenths() -> None:
    """100 * (0.985 - 0.978) is 0.7000000000000006 in binary; it is not a MISS for that."""
    assert outcomes(1, 100 * (0.985 - 0.978))["drop_points"] == "PASS"


def test_the_latency_of_an_absent_device_is_never_a_pass() -> None:
    """Nothing ran there: UNPROVEN, with no number and the device's name, whatever this host measured."""
    latency = judge(BUDGETS, size_bytes=1, drop_points=0, device="My Board")[-1]
    assert (latency.budget, latency.limit, latency.measured, latency.outcome) == ("latency_ms", 33.3, None, "UNPROVEN")
    assert "My Board" in latency.reason


def test_what_was_measured_is_reported_in_the_budgets_unit() -> None:
    """12,345 bytes are 12.345 kB."""
    size, drop, _ = judge(BUDGETS, size_bytes=12_345, drop_points=0.25, device="My Board")
    assert (size.measured, drop.measured) == (12.345, 0.25)


@pytest.mark.parametrize(
    ("found", "plain", "strict"),
    [
        (["PASS"], 0, 0),
        (["PASS", "UNPROVEN"], 0, 1),
        (["PASS", "MISS"], 1, 1),
        (["UNPROVEN", "MISS"], 1, 1),
        ([], 0, 0),
    ],
)
def test_exit_codes(found: list[Outcome], plain: int, strict: int) -> None:
    """A MISS is 1; with --strict an UNPROVEN is too."""
    judged = [Judgement(budget="b", limit=1, measured=None, outcome=outcome, reason="") for outcome in found]
    assert (exit_code(judged, strict=False), exit_code(judged, strict=True)) == (plain, strict)
