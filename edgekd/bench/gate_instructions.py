"""The gate where wall time cannot be trusted: instructions of one inference on an emulated ARM core, which repeat."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from edgekd.bench.blocks import Input, Inputs, expect_same_inputs
from edgekd.bench.cores import CORES
from edgekd.bench.emulator import EmulationSettings, Emulator, emulator_folder, find_emulator, run_emulated
from edgekd.bench.gate import Answer
from edgekd.bench.inputs import form_of, random_sample, shapes_of
from edgekd.core.errors import ConfigError

CALLS: Final = 12
"""Calls of each network; the first, which packs weights, does not count."""


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """The answer by instructions of one inference on *core*; *ratio* is candidate over baseline."""

    answer: Answer
    reason: str
    advice: str
    seconds: float
    core: str
    baseline: int
    candidate: int
    ratio: float
    limit: float


def count_and_judge(
    baseline: Path, candidate: Path, core: str, max_regression: float, *, environment: Mapping[str, str]
) -> Counted:
    """Return whether *candidate* takes more instructions than *baseline* by more than the part *max_regression*.

    Counts repeat, so one run of each is enough and no answer is inconclusive. Raises ConfigError for an unknown core, a
    missing emulator, and a file that does not run there.
    """
    began = time.monotonic()
    if core not in CORES:
        message = f"--on emulator:{core}: no such core; known are {', '.join(CORES)}."
        raise ConfigError(message)
    emulator = find_emulator(emulator_folder(environment))
    inputs = [_inputs(path) for path in (baseline, candidate)]
    expect_same_inputs(*inputs, names=(str(baseline), str(candidate)))
    before, after = (instructions(emulator, path, core) for path in (baseline, candidate))
    ratio, limit = after / before, 1 + max_regression
    return Counted(
        answer="regression" if ratio > limit else "pass",
        reason=f"the candidate takes {ratio:.4f} times the instructions of the baseline, and {limit:.4f} is allowed",
        advice="",
        seconds=time.monotonic() - began,
        core=core,
        baseline=before,
        candidate=after,
        ratio=ratio,
        limit=limit,
    )


def instructions(emulator: Emulator, path: Path, core: str) -> int:
    """Return the instructions of one inference of the ONNX file *path* on *core*."""
    settings = EmulationSettings(repeats=CALLS, count=True)
    sample = random_sample(form_of(path), 1, path=path)
    return run_emulated(emulator, CORES[core], path, [sample], settings).instructions.total


def _inputs(path: Path) -> Inputs:
    """Return the inputs of the ONNX file *path* as they are counted."""
    form = form_of(path)
    shapes = shapes_of(form, 1, path=path)
    return {name: Input(type=kind, shape=shapes[name]) for name, (kind, _) in form.inputs.items()}
