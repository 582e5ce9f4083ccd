"""Budgets judged: PASS and MISS need a measurement, everything else is UNPROVEN."""

from collections.abc import Sequence
from typing import Literal

import msgspec

from edgekd.targets import Budgets

Outcome = Literal["PASS", "MISS", "UNPROVEN"]


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """One budget: its *limit*, what was *measured* (None where nothing was), and the outcome."""

    budget: str
    limit: float
    measured: float | None
    outcome: Outcome
    reason: str


def judge(budgets: Budgets, *, size_bytes: int, drop_points: float, device: str) -> tuple[Judgement, ...]:
    """Return a judgement for each budget.

    *size_bytes* of the shipped file, *drop_points* of accuracy that it lost to the teacher on test data. The
    latency budget is the device's: as long as nothing ran there it is UNPROVEN, whatever this host measured.
    """
    return (
        _judged("size_kb", budgets.size_kb, size_bytes / 1000, "size of model.onnx, 1 kB = 1000 bytes"),
        _judged("drop_points", budgets.drop_points, drop_points, "test accuracy of the teacher minus model.onnx's"),
        Judgement(
            budget="latency_ms",
            limit=budgets.latency_ms,
            measured=None,
            outcome="UNPROVEN",
            reason=f"nothing was measured on {device}; a latency of this host says nothing about it",
        ),
    )


def exit_code(judgements: Sequence[Judgement], *, strict: bool) -> int:
    """Return 1 where a budget is missed (with *strict* also where one is unproven), else 0."""
    failing = {"MISS", "UNPROVEN"} if strict else {"MISS"}
    return int(any(judgement.outcome in failing for judgement in judgements))


def _judged(budget: str, limit: float, measured: float, reason: str) -> Judgement:
    """Return PASS where *measured* is within *limit*; equal counts as within."""
    outcome: Outcome = "PASS" if measured <= limit + 1e-9 else "MISS"
    return Judgement(budget=budget, limit=limit, measured=measured, outcome=outcome, reason=reason)
