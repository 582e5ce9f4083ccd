"""Integer coverage: the part of a quantized file's arithmetic that its runtime does in integer kernels."""

import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec
import onnx
from onnx import ModelProto, NodeProto

from edgekd.networks.graph_counting import macs_by_node
from edgekd.networks.session import Arrays, open_session

INTEGER_KERNELS: Final = frozenset(
    {
        *("ConvInteger", "DynamicQuantizeMatMul", "MatMulInteger", "MatMulIntegerToFloat", "QGemm", "QLinearConv"),
        *("QLinearMatMul", "NhwcQLinearConv"),
    }
)
"""ONNX Runtime's operators that multiply integers."""

_RENUMBERED: Final = re.compile(r"(/MatMulAddFusion)?(_token_\d+)?$")
"""What ONNX Runtime's optimizers put behind a node's name."""


class FloatNode(msgspec.Struct, frozen=True, kw_only=True):
    """A node that multiplies real numbers: its operator in the file, its share of the work, and why."""

    name: str
    operator: str
    macs: int
    reason: str


class Coverage(msgspec.Struct, frozen=True, kw_only=True):
    """How many multiply-accumulates of all run in integer kernels, and which nodes are left in float."""

    integer_macs: int
    total_macs: int
    share: float
    float_nodes: tuple[FloatNode, ...]


def integer_coverage(path: Path, sample: Arrays) -> Coverage:
    """Return the coverage of the file at *path* in ONNX Runtime's own graph, after its ARM64 optimizations.

    *sample*: an array (1, ...) for each input. Convolutions and matrix products count; other operators that stay in
    float are listed with no work of their own.
    """
    model = onnx.load(path)
    with tempfile.TemporaryDirectory() as folder:
        optimized = Path(folder) / "optimized.onnx"
        open_session(path, arithmetic="arm64-kernels", save_optimized=optimized)
        runs_as = {_RENUMBERED.sub("", node.name): node.op_type for node in onnx.load(optimized).graph.node}
    return _coverage(model, sample, {name for name, kernel in runs_as.items() if kernel in INTEGER_KERNELS}, runs_as)


def coverage_by_rule(model: ModelProto, sample: Arrays) -> Coverage:
    """Return the coverage of *model* where the runtime is not here: a node whose operands all are dequantized counts.

    TensorRT builds such a node in INT8 (its documentation of explicit quantization).
    """
    dequantized = {node.output[0] for node in model.graph.node if node.op_type == "DequantizeLinear"}
    integer = {node.name for node in model.graph.node if dequantized.issuperset(node.input[:2])}
    return _coverage(model, sample, integer, {})


def _coverage(model: ModelProto, sample: Arrays, integer: set[str], runs_as: Mapping[str, str]) -> Coverage:
    """Return the coverage when the nodes named in *integer* are integer kernels."""
    work = macs_by_node(model, sample)
    total = sum(macs for _, macs in work)
    done = sum(macs for node, macs in work if node.name in integer or node.op_type in INTEGER_KERNELS)
    quantized = {node.output[0] for node in model.graph.node if node.op_type == "DequantizeLinear"}
    left = tuple(
        FloatNode(name=node.name, operator=node.op_type, macs=macs, reason=_reason(node, quantized, runs_as))
        for node, macs in work
        if node.name not in integer and node.op_type not in INTEGER_KERNELS
    )
    return Coverage(integer_macs=done, total_macs=total, share=done / max(1, total), float_nodes=left)


def _reason(node: NodeProto, quantized: set[str], runs_as: Mapping[str, str]) -> str:
    """Return why *node* multiplies real numbers."""
    real = [name for name in node.input[:2] if name not in quantized]
    if real:
        return f"its operands {', '.join(real)} are real: it was kept in float"
    kernel = runs_as.get(node.name)
    return f"the runtime has no integer kernel for this form{f' and runs it as {kernel}' if kernel else ''}"
