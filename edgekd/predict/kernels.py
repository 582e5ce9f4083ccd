"""The kernels that ONNX Runtime ran, as layers: its own graph after its own optimizations, read from its trace."""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import msgspec
from onnx import GraphProto, helper

from edgekd.bench.kernel_run import Traced
from edgekd.core.errors import ConfigError
from edgekd.predict.layers import Kind, Layer, Precision, convolution_kind
from edgekd.predict.operators import KIND_OF_OTHERS, VIEWS

Shape = tuple[int, ...]

CONVOLUTIONS: Final = frozenset({"Conv", "ConvInteger", "FusedConv", "NhwcFusedConv", "QLinearConv"})
PRODUCTS: Final = frozenset(
    {
        *("DynamicQuantizeMatMul", "FusedGemm", "FusedMatMul", "Gemm", "MatMul", "MatMulInteger"),
        *("MatMulIntegerToFloat", "QGemm", "QLinearMatMul"),
    }
)
MULTIPLYING: Final = CONVOLUTIONS | PRODUCTS
"""Operators of which a trace says too little: that they keep their names is asked of a device's trace."""

SEVERAL_AXES: Final = "Transpose of several axes"
TRANSPOSITIONS: Final = frozenset({"Transpose", SEVERAL_AXES})
"""A transposition, and one that does not merely move one axis of the tensor as it is written: number by number."""

_PRECISIONS: Final[Mapping[str, Precision]] = MappingProxyType({"float16": "fp16", "int8": "int8", "uint8": "int8"})
_IMAGE_RANK: Final = 4
_KIND_OF_OWN: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        **dict.fromkeys(("BiasGelu", "FastGelu", "Gelu", "QuickGelu", "BiasAdd"), "elementwise"),
        **dict.fromkeys(("SkipLayerNormalization", "SimplifiedLayerNormalization"), "normalization"),
    }
)
"""ONNX Runtime's own operators, beside those that ONNX has too."""
_REORDERINGS: Final = frozenset({"ReorderInput", "ReorderOutput"})
_STANDING: Final = frozenset({*KIND_OF_OTHERS, *_KIND_OF_OWN, *MULTIPLYING, *VIEWS, *_REORDERINGS, SEVERAL_AXES})


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What a trace does not say of a node, from the graph after optimization."""

    domain: str = ""
    attributes: Mapping[str, Any] = {}
    weight: Shape | None = None


def can_stand_for_its_kind(operator: str) -> bool:
    """Tell whether the kind of *operator*, with its domain, is known: others of that kind may then stand for it."""
    return _base(operator.rpartition(".")[2]) in _STANDING


def _base(operator: str) -> str:
    """Return the operator that an integer form or one with channels last is a form of."""
    return operator if operator in MULTIPLYING else operator.removeprefix("QLinear").removeprefix("Nhwc")


def told_by(graph: GraphProto) -> dict[str, Told]:
    """Return what *graph*, as ONNX Runtime writes it after its optimizations, says of each node by name."""
    matrices = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer if len(tensor.dims) > 1}
    return {
        node.name: Told(
            domain=node.domain,
            attributes={a.name: helper.get_attribute_value(a) for a in node.attribute},
            weight=next((matrices[name] for name in node.input if name in matrices), None),
        )
        for node in graph.node
    }


def kernel_layer(row: Traced, told: Mapping[str, Told]) -> Layer:
    """Return a node of a trace as a layer whose operator carries its domain, as in ``com.microsoft.nchwc.Conv``.

    A trace leaves out the weights that the kernel has packed for itself; *read* never counts weights.
    """
    known = told.get(row.name, Told())
    read = [shape for _, shape in row.inputs]
    written = row.outputs[0][1] if row.outputs else ()
    if row.operator in CONVOLUTIONS:
        form = _convolution(read, written, known)
    elif row.operator in PRODUCTS:
        form = _product(read, written, known)
    else:
        form = _other(row.operator, read, written, known)
    named = SEVERAL_AXES if row.operator == "Transpose" and not _moves_one_axis(read, known) else row.operator
    return Layer(
        name=row.name,
        operator=f"{known.domain}.{named}" if known.domain else named,
        read=_read(read, form.get("weights", 0)),
        written=sum(math.prod(shape) for _, shape in row.outputs),
        precision=_PRECISIONS.get(row.inputs[0][0] if row.inputs else "", "fp32"),
        **form,
    )


def _convolution(read: Sequence[Shape], written: Shape, known: Told) -> dict[str, Any]:
    """Return the form of a convolution over (1, channels, height, width), or (1, height, width, channels)."""
    is_last = bool(known.attributes.get("channels_last"))
    source, target = (_channels_first(shape) if is_last else shape for shape in (read[0], written))
    if len(target) > _IMAGE_RANK:
        message = "it has a convolution over three dimensions, of which the suite has none: no ground for an estimate."
        raise ConfigError(message)
    window = known.attributes.get("kernel_shape", () if known.weight is None else known.weight[2:])
    kernel, in_size, out_size = (_pair(sizes) for sizes in (window or (1, 1), source[2:], target[2:]))
    groups = known.attributes.get("group", 1)
    weights = target[1] * (source[1] // groups) * math.prod(kernel)
    return {
        "kind": convolution_kind(kernel=kernel, groups=groups, in_channels=source[1]),
        "in_channels": source[1],
        "out_channels": target[1],
        "kernel": kernel,
        "stride": max(known.attributes.get("strides", (1,))),
        "groups": groups,
        "in_size": in_size,
        "out_size": out_size,
        "weights": weights,
        "macs": weights * math.prod(out_size),
    }


def _product(read: Sequence[Shape], written: Shape, known: Told) -> dict[str, Any]:
    """Return the form of a matrix product: rows in the sizes, products side by side (heads) as groups."""
    is_linear = known.weight is not None
    groups = 1 if is_linear else math.prod(written[:-2])
    rows = math.prod(written[:-1]) // groups
    inner = math.prod(read[0]) // (groups * rows)
    return {
        "kind": "linear" if is_linear else "product",
        "in_channels": inner,
        "out_channels": written[-1],
        "in_size": (rows, 1),
        "out_size": (rows, 1),
        "groups": groups,
        "weights": inner * written[-1] if is_linear else 0,
        "macs": groups * rows * inner * written[-1],
    }


def _other(operator: str, read: Sequence[Shape], written: Shape, known: Told) -> dict[str, Any]:
    """Return the form of what only passes over its numbers: the last sizes as channels, all before as rows."""
    source = max(read, key=math.prod, default=())
    base = _base(operator)
    kind: Kind = KIND_OF_OTHERS.get(base, _KIND_OF_OWN.get(base, "movement"))
    if operator == "Transpose":
        return _transposed(source, known) | {"kind": kind}
    window = _pair(known.attributes.get("kernel_shape", (1, 1)))
    if base.startswith("Global") and len(source) == _IMAGE_RANK:
        window = _pair(source[1:3] if known.attributes.get("channels_last") else source[2:])
    return {
        "kind": kind,
        "in_channels": source[-1] if source else 1,
        "out_channels": written[-1] if written else 1,
        "in_size": (math.prod(source[:-1]), 1),
        "out_size": (math.prod(written[:-1]), 1),
        "kernel": window,
        "stride": max(known.attributes.get("strides", (1,))),
    }


def _moves_one_axis(read: Sequence[Shape], known: Told) -> bool:
    """Tell whether a transposition leaves all axes but one in their order, axes of one number too."""
    order = list(known.attributes.get("perm", range(len(read[0]))[::-1]))
    rests = ([one for one in order if one != axis] for axis in order)
    return any(rest == sorted(rest) for rest in rests)


def _transposed(source: Shape, known: Told) -> dict[str, Any]:
    """Return the form of a transposition: numbers that stay side by side as channels, axes that move as kernel.

    Axes that stay neighbours count as one, axes of one number as none: the last two that move, as they were read.
    """
    order = [axis for axis in known.attributes.get("perm", range(len(source))[::-1]) if source[axis] > 1]
    runs: list[list[int]] = []
    kept = {axis: position for position, axis in enumerate(sorted(order))}
    for axis in order:
        if runs and kept[axis] == kept[runs[-1][-1]] + 1:
            runs[-1].append(axis)
        else:
            runs.append([axis])
    sizes = {run[0]: math.prod(source[axis] for axis in run) for run in runs}
    stays = sizes.pop(runs[-1][0]) if len(runs) > 1 and max(sizes) == runs[-1][0] else 1
    moved = [sizes[first] for first in sorted(sizes)]
    return {
        "in_channels": stays,
        "out_channels": stays,
        "kernel": _pair(moved[-2:] if len(runs) > 1 else (1, 1)),
        "in_size": (math.prod(source) // stays, 1),
        "out_size": (math.prod(source) // stays, 1),
    }


def _read(shapes: Sequence[Shape], weights: int) -> int:
    """Return how many numbers of *shapes* are activations: all but a tensor of as many as there are *weights*."""
    sizes = [math.prod(shape) for shape in shapes]
    return sum(sizes) - (weights if weights and weights in sizes[1:] else 0)


def _channels_first(shape: Shape) -> Shape:
    """Return (1, height, width, channels) as (1, channels, height, width)."""
    return (shape[0], shape[-1], *shape[1:-1])


def _pair(sizes: Sequence[int]) -> tuple[int, int]:
    """Return (height, width) of one or two *sizes*."""
    height, width = (1, 1, *sizes)[-2:]
    return int(height), int(width)
