"""The gate where wall time cannot be trusted: instructions of one inference on an emulated ARM core, which repeat."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import onnx
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import ModelProto, helper

from edgekd.bench.blocks import Input, Inputs, expect_same_inputs
from edgekd.bench.cores import CORES
from edgekd.bench.emulator import EmulationSettings, Emulator, emulator_folder, find_emulator, run_emulated
from edgekd.bench.gate import Answer
from edgekd.core.errors import ConfigError

Example = dict[str, NDArray[Any]]
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
    inputs = [_inputs(_example(_read(path), path)) for path in (baseline, candidate)]
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
    sample = tuple(_example(_read(path), path).values())
    return run_emulated(emulator, CORES[core], path, [sample], settings).instructions.total


def _read(path: Path) -> ModelProto:
    """Return the file's graph; ConfigError where it is none."""
    try:
        return onnx.load(path, load_external_data=False)
    except (DecodeError, OSError) as error:
        message = f"{path}: not an ONNX file ({error})."
        raise ConfigError(message) from error


def _inputs(example: Example) -> Inputs:
    """Return the inputs that *example* is for."""
    return {name: Input(type=array.dtype.name, shape=array.shape) for name, array in example.items()}


def _example(model: ModelProto, path: Path) -> Example:
    """Return numbers for each input, 1 where a size is open; they do not change how many instructions are taken."""
    constants = {tensor.name for tensor in model.graph.initializer}
    arrays = {}
    for value in model.graph.input:
        if value.name in constants:
            continue
        if not value.type.HasField("tensor_type"):
            message = f"{path}: input '{value.name}' is no tensor."
            raise ConfigError(message)
        kind = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        shape = [dim.dim_value or 1 for dim in value.type.tensor_type.shape.dim]
        arrays[value.name] = np.random.default_rng(0).standard_normal(shape).astype(kind)
    return arrays
