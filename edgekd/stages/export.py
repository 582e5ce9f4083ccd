"""export: the files in the forms that the target's runtime takes, proved against the networks they came from."""

import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

import msgspec
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto

from edgekd.core.disk import write_atomically
from edgekd.core.errors import ParityError, StageError
from edgekd.export.float16 import to_float16
from edgekd.export.overflow import overflowing
from edgekd.export.shapes import fix_batch
from edgekd.export.shipping import written_for
from edgekd.networks.session import answers, open_session
from edgekd.stages.result import read_graph, some_of
from edgekd.stages.settings import Export
from edgekd.stages.stage import Env, Inputs, Kind, Record
from edgekd.targets import PrecisionName

_MATRIX_OPERATORS: Final = frozenset({"Conv", "Gemm", "MatMul", "FusedConv", "FusedGemm", "FusedMatMul"})
RANGE_SAMPLES: Final = 64
"""Training images that say how large the numbers inside a network become."""

_QUANTIZE_OPERATORS: Final = frozenset({"QuantizeLinear", "DequantizeLinear"})


class Form(msgspec.Struct, frozen=True, kw_only=True):
    """How one precision is made, and how far its answers may be from those of its *source*.

    *convert* is told the nodes that stay in float32. ONNX Runtime on x86 computes float16 nodes in float32, so what a
    float16 file answers here speaks of its weights; that its numbers fit is what ``overflowing`` measures.
    *top1*: least part of images with the same class. *drift*: largest difference of a logit, relative to the
    largest logit.
    """

    source: Kind
    convert: Callable[[ModelProto, frozenset[str]], ModelProto]
    top1: float
    drift: float


def _as_it_is(graph: ModelProto, _in_float32: frozenset[str]) -> ModelProto:
    """Return *graph*."""
    return graph


FORMS: Final[Mapping[PrecisionName, Form]] = MappingProxyType(
    {
        "fp32": Form(source="student", convert=_as_it_is, top1=1.0, drift=1e-4),
        "fp16": Form(source="student", convert=to_float16, top1=0.99, drift=2e-2),
        "int8": Form(source="quantized", convert=_as_it_is, top1=1.0, drift=1e-4),
    }
)


def run(settings: Export, inputs: Inputs, out: Path, env: Env) -> Record:
    """Write ``model.<precision>.onnx`` for each variant and return how each agrees with its source."""
    record: Record = {"files": {}}
    for precision in settings.variants:
        form = FORMS[precision]
        source = read_graph(inputs[form.source])
        in_float32 = _in_float32(source, env) if precision == "fp16" else frozenset()
        graph = as_shipped(source, precision, settings, in_float32)
        write_atomically(out / file_name(precision), graph.SerializeToString(deterministic=True))
        record["files"][precision] = {
            "operators": dict(sorted(Counter(node.op_type for node in graph.graph.node).items())),
            "agreement": _agreement(precision, inputs, out, env),
            "in_float32": sorted(in_float32),
        }
        if precision == "int8" and settings.runtime == "onnxruntime":
            record["files"][precision]["kernels"] = optimized_operators(out / file_name(precision))
    return record


def ensures(settings: Export, inputs: Inputs, out: Path, env: Env) -> None:
    """Promise: valid files at the target's versions, the source's answers, and no float island in INT8."""
    for precision in settings.variants:
        path = out / file_name(precision)
        model = onnx.load(path)
        onnx.checker.check_model(model, full_check=True)
        _ensure_versions(model, settings, path)
        if precision != "int8":
            _ensure_no_quantization(model, path)
        elif settings.runtime == "onnxruntime":
            _ensure_integer_kernels(optimized_operators(path), path)
        _ensure_agreement(precision, _agreement(precision, inputs, out, env), path)


def as_shipped(
    graph: ModelProto, precision: PrecisionName, settings: Export, in_float32: frozenset[str] = frozenset()
) -> ModelProto:
    """Return a canonical *graph* in one precision, for one image at a time, at the target's opset and IR version.

    The nodes *in_float32* stay so in a float16 file. Raises ConfigError for a node that the runtime does not have.
    """
    converted = FORMS[precision].convert(fix_batch(graph), in_float32)
    runtime, listed = settings.runtime, settings.operator_list
    return written_for(converted, runtime, listed, opset=settings.opset, ir_version=settings.ir_version)


def _in_float32(graph: ModelProto, env: Env) -> frozenset[str]:
    """Return the nodes of *graph* that training images drive out of the range of float16."""
    return overflowing(graph, [env.task.read(env.task.train, slice(0, RANGE_SAMPLES))])


def file_name(precision: PrecisionName) -> str:
    """Return the name of the file in one precision."""
    return f"model.{precision}.onnx"


def optimized_operators(path: Path) -> dict[str, int]:
    """Return how often each operator occurs after the optimizations that ONNX Runtime does on ARM64."""
    with tempfile.TemporaryDirectory() as folder:
        optimized = Path(folder) / "optimized.onnx"
        open_session(path, arithmetic="arm64-kernels", save_optimized=optimized)
        nodes = onnx.load(optimized).graph.node
    return dict(sorted(Counter(node.op_type for node in nodes).items()))


def _agreement(precision: PrecisionName, inputs: Inputs, out: Path, env: Env) -> dict[str, float]:
    """Return how the file's answers on validation images compare with those of its source."""
    split = some_of(env.task.validation)
    source = open_session(read_graph(inputs[FORMS[precision].source]), arithmetic="reference")
    expected = answers(source, env.task.batches(split))
    found = answers(open_session(out / file_name(precision), arithmetic="reference"), env.task.batches(split))
    return {
        "samples": len(split),
        "top1": float((expected.argmax(1) == found.argmax(1)).mean()),
        "largest_relative_drift": _drift(found, expected),
    }


def _drift(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """Return the largest difference relative to the largest value."""
    return float(np.abs(found - expected).max() / max(1.0, float(np.abs(expected).max())))


def _ensure_versions(model: ModelProto, settings: Export, path: Path) -> None:
    """Raise StageError unless the file is at the target's versions."""
    opsets = {opset.domain: opset.version for opset in model.opset_import}
    if opsets != {"": settings.opset} or model.ir_version != settings.ir_version:
        message = (
            f"{path}: opsets {opsets}, IR {model.ir_version}; "
            f"expected opset {settings.opset} alone, IR {settings.ir_version}."
        )
        raise StageError(message)


def _ensure_no_quantization(model: ModelProto, path: Path) -> None:
    """Raise StageError where a float file holds Q/DQ: a device without INT8 cannot build it."""
    found = sorted({node.op_type for node in model.graph.node} & _QUANTIZE_OPERATORS)
    if found:
        message = f"{path}: holds {found}; expected none in a float file."
        raise StageError(message)


def _ensure_integer_kernels(operators: Mapping[str, int], path: Path) -> None:
    """Raise StageError where ONNX Runtime leaves a matrix operator in float."""
    left = {name: number for name, number in operators.items() if name in _MATRIX_OPERATORS}
    if left:
        message = f"{path}: ONNX Runtime leaves {left} in float; expected every one in an integer kernel."
        raise StageError(message)


def _ensure_agreement(precision: PrecisionName, agreement: Mapping[str, float], path: Path) -> None:
    """Raise ParityError where the file answers otherwise than its source."""
    form = FORMS[precision]
    if agreement["top1"] < form.top1 or not agreement["largest_relative_drift"] <= form.drift:
        message = (
            f"{path}: agrees with its source on {agreement['top1']:.2%} of the validation images, logits differ by up "
            f"to {agreement['largest_relative_drift']:.2g}; expected {form.top1:.1%} and {form.drift:g}."
        )
        raise ParityError(message)
