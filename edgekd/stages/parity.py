"""The parity ladder: one INT8 file computed in every way there is here, and the first layer where two differ."""

import platform
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import msgspec
import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper

from edgekd.bench.cores import Core
from edgekd.bench.emulator import Emulator, run_emulated
from edgekd.core.errors import ParityError
from edgekd.networks.saturation import saturating_kernels
from edgekd.networks.session import Arithmetic, Arrays, every_answer, open_session
from edgekd.quantize.fake import HIGH, LOW
from edgekd.quantize.kernels import EXACT_OPERATORS
from edgekd.quantize.reading import DEQUANTIZE, QUANTIZE, quantized_values, simulated

LEAST_TOP1: Final = 0.9995
LARGEST_LSB: Final = 1.0
MOST_DIFFERING: Final = 1e-4
"""What a rung of integer arithmetic must keep against the network that was tuned."""

_ARM: Final = frozenset({"aarch64", "arm64"})
"""What Linux and macOS call a 64-bit ARM machine."""

LEVEL_SAMPLES: Final = 16
"""Samples of which every activation is compared."""

EMULATED_SAMPLES: Final = 16

AnyArray = NDArray[Any]


class Rung(msgspec.Struct, frozen=True, kw_only=True):
    """One way to compute the file, against the fake-quantized network in torch.

    *top1* is the part of *samples* with the same class. *largest_lsb* is the largest difference of an output, in steps
    of an 8-bit grid over that output. *levels* are the 8-bit activations inside that were compared, *differing* the
    part of them that is another integer, by up to *largest_level_difference*; *first_difference* names the first.
    *must_agree*: it computes in integers, as the device does, and edgekd knows every kernel of the file to the bit.
    """

    name: str
    samples: int
    top1: float
    largest_lsb: float
    levels: int
    differing: float
    largest_level_difference: int
    first_difference: str | None
    must_agree: bool


class Ladder(msgspec.Struct, frozen=True, kw_only=True):
    """Every rung, and what could not be climbed or must be known, in sentences."""

    rungs: tuple[Rung, ...]
    notes: tuple[str, ...]


class _Way(msgspec.Struct, frozen=True, kw_only=True):
    """A way to compute on this machine; where its kernels saturate, it is no integer arithmetic."""

    arithmetic: Arithmetic
    is_integer: bool


DEFAULT_SESSION: Final = "ONNX Runtime, default session of this host"

WAYS: Final[Mapping[str, _Way]] = MappingProxyType(
    {
        "ONNX Runtime, optimizations off": _Way(arithmetic="reference", is_integer=False),
        "ONNX Runtime, optimized, integer kernels": _Way(arithmetic="arm64-kernels", is_integer=True),
        DEFAULT_SESSION: _Way(arithmetic="default", is_integer=False),
    }
)


def climb(path: Path, inputs: Arrays, *, emulator: Emulator | None = None, cores: Sequence[Core] = ()) -> Ladder:
    """Return the ladder of the INT8 file at *path* over *inputs*, an array (n, ...) for each input.

    The first ``LEVEL_SAMPLES`` are compared inside as well; emulated *cores* see ``EMULATED_SAMPLES``. Raises
    ConfigError for a file that edgekd did not write, or that no runtime here loads.
    """
    model = onnx.load(path)
    base = Base(model, inputs, fixed_point_sums=platform.machine() in _ARM)
    few = tuple(array[:LEVEL_SAMPLES] for array in inputs)
    with tempfile.TemporaryDirectory(prefix="edgekd-parity-") as folder:
        opened = Path(folder) / "levels.onnx"
        onnx.save(with_levels(model), opened)
        rungs = [
            base.rung(
                name,
                every_answer(open_session(path, arithmetic=way.arithmetic), [inputs]),
                every_answer(open_session(opened, arithmetic=way.arithmetic), [few])[len(base.outputs) :],
                must_agree=base.is_exact and way.is_integer and base.kernels not in saturating_kernels(),
            )
            for name, way in WAYS.items()
        ]
        if emulator is not None and base.has_integer_biases and cores:
            some = tuple(array[:EMULATED_SAMPLES] for array in inputs)
            device = Base(model, some, fixed_point_sums=True)
            rungs += [_emulated(device, emulator, core, opened, some) for core in cores]
    return Ladder(rungs=tuple(rungs), notes=tuple(_notes(base, rungs, has_emulator=emulator is not None)))


def demand_parity(ladder: Ladder, path: Path) -> None:
    """Raise ParityError where a rung of integer arithmetic leaves the network that was tuned."""
    for rung in ladder.rungs:
        holds = rung.top1 >= LEAST_TOP1 and rung.largest_lsb <= LARGEST_LSB and rung.differing <= MOST_DIFFERING
        if rung.must_agree and not holds:
            message = (
                f"{path}: {rung.name}: same class for {rung.top1:.2%} of {rung.samples} samples, outputs differ by up "
                f"to {rung.largest_lsb:.2g} steps, {rung.differing:.2g} of the activations are other integers (first: "
                f"{rung.first_difference}); expected {LEAST_TOP1:.2%}, {LARGEST_LSB:g} and {MOST_DIFFERING:g}."
            )
            raise ParityError(message)


class Base:
    """What the fake-quantized network in torch answers, which every rung is compared with."""

    def __init__(self, model: ModelProto, inputs: Arrays, *, fixed_point_sums: bool) -> None:
        """Run *model* on *inputs* in torch, as kernels for ARM compute it or, without *fixed_point_sums*, for x86."""
        simulation = simulated(model, fixed_point_sums=fixed_point_sums)
        self.kernels = "U8S8" if simulation.places.unsigned else "S8S8"
        self.has_integer_biases = simulation.places.integer_bias
        floats = {node.op_type for node in model.graph.node} - EXACT_OPERATORS - {QUANTIZE, DEQUANTIZE}
        self.is_exact = self.has_integer_biases and not floats
        size = model.graph.input[0].type.tensor_type.shape.dim[0].dim_value or len(inputs[0])
        batches = [
            tuple(torch.from_numpy(array[start : start + size]) for array in inputs)
            for start in range(0, len(inputs[0]), size)
        ]
        with torch.no_grad():
            answers = [simulation(*batch) for batch in batches]
            inside = [simulation.levels(*batch) for batch in batches[: -(-LEVEL_SAMPLES // size)]]
        rows = [answer if isinstance(answer, tuple) else (answer,) for answer in answers]
        self.outputs = tuple(torch.cat(output).numpy() for output in zip(*rows, strict=True))
        self._levels = [
            (value, torch.cat([levels[value] for levels in inside]).numpy())
            for value in quantized_values(model).values()
        ]

    def rung(self, name: str, outputs: Sequence[AnyArray], levels: Sequence[AnyArray], *, must_agree: bool) -> Rung:
        """Return how *outputs* and *levels*, of as many samples as there are, compare."""
        count = len(outputs[0])
        mine = tuple(output[:count] for output in self.outputs)
        steps = [np.ptp(output) / (HIGH - LOW) or 1.0 for output in self.outputs]
        gaps = [float(np.abs(a - b).max() / step) for a, b, step in zip(mine, outputs, steps, strict=True)]
        inside = [
            (value, np.abs(expected[: len(found)].astype(int) - signed(found)[: len(expected)]))
            for (value, expected), found in zip(self._levels, levels, strict=True)
        ]
        total = sum(gap.size for _, gap in inside)
        return Rung(
            name=name,
            samples=count,
            top1=float((mine[0].argmax(1) == outputs[0].argmax(1)).mean()),
            largest_lsb=max(gaps),
            levels=total,
            differing=sum(int((gap > 0).sum()) for _, gap in inside) / max(1, total),
            largest_level_difference=max((int(gap.max()) for _, gap in inside), default=0),
            first_difference=next((value for value, gap in inside if gap.any()), None),
            must_agree=must_agree,
        )


def _emulated(base: Base, emulator: Emulator, core: Core, opened: Path, inputs: Arrays) -> Rung:
    """Return the rung of an emulated *core*, by the file whose levels are outputs."""
    samples = [tuple(array[i : i + 1] for array in inputs) for i in range(len(inputs[0]))]
    found = run_emulated(emulator, core, opened, samples).outputs
    name = f"ONNX Runtime {emulator.versions.onnxruntime}, aarch64, {core.name}"
    known = len(base.outputs)
    return base.rung(name, found[:known], found[known:], must_agree=base.is_exact)


def with_levels(model: ModelProto) -> ModelProto:
    """Return a copy of *model* that gives every 8-bit activation as well."""
    opened = ModelProto()
    opened.CopyFrom(model)
    unsigned = {i.name for i in model.graph.initializer if i.data_type == TensorProto.UINT8}
    for node in model.graph.node:
        if node.op_type == QUANTIZE:
            kind = TensorProto.UINT8 if node.input[2] in unsigned else TensorProto.INT8
            opened.graph.output.append(helper.make_tensor_value_info(node.output[0], kind, None))
    return opened


def signed(levels: AnyArray) -> NDArray[np.int64]:
    """Return 8-bit integers as those that edgekd counts in: unsigned ones are shifted by 128."""
    return levels.astype(np.int64) + (LOW if levels.dtype == np.uint8 else 0)


def _notes(base: Base, rungs: Sequence[Rung], *, has_emulator: bool) -> Iterator[str]:
    """Say what could not be climbed, and what an app would get on this host."""
    default = next(rung for rung in rungs if rung.name == DEFAULT_SESSION)
    kernels = ", ".join(sorted(saturating_kernels()))
    if kernels:
        yield (
            f"The {kernels} kernels of this host saturate at 16 bits: its default session names another class for "
            f"{1 - default.top1:.2%} of the samples. No accuracy is judged with it."
        )
    if not base.has_integer_biases:
        yield "The file is for TensorRT, which is not here: its kernels are a rung that only the device can climb."
    elif not has_emulator:
        yield "The kernels of the ARM cores were not run: there is no emulator here; run tools/arm-emulation/setup."
