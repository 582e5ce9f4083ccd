"""Cross-layer equalization: channels between two layers scaled so that both layers' weights reach equally far.

Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction", section 4.1.
"""

from collections import Counter
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, numpy_helper

MOST_SWEEPS: Final = 20
SETTLED: Final = 1e-3
"""The change of a factor below which all is equal."""

LAYERS: Final = frozenset({"Conv", "Gemm"})
HOMOGENEOUS: Final = frozenset({"Relu", "LeakyRelu"})
"""Activations with f(s x) = s f(x) for s > 0. A Clip is none: its limit would have to differ by channel."""

Array = NDArray[np.float32]


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """Two layers of which the second alone reads the first. Their weights, and the bias of the first if it has one.

    *is_depthwise*: the second layer's weights are one kernel for each channel, not one for each pair of channels.
    """

    first: str
    bias: str | None
    second: str
    is_depthwise: bool


def equalized(model: ModelProto) -> ModelProto:
    """Return a copy of the float graph *model* that computes the same, up to rounding, with equalized weights.

    Of each pair, channel i of the first layer is divided by ``s = sqrt(r1 * r2) / r2`` and the second layer's weights
    for it multiplied, with r1 and r2 the largest weights of the channel in either layer. Pairs are visited in turn
    until nothing moves. Channels without weight on either side stay.
    """
    arrays = {tensor.name: np.array(numpy_helper.to_array(tensor)) for tensor in model.graph.initializer}
    pairs = pairs_of(model.graph)
    for _ in range(MOST_SWEEPS):
        if max((_equalize(pair, arrays) for pair in pairs), default=0.0) < SETTLED:
            break
    changed = {name for pair in pairs for name in (pair.first, pair.bias, pair.second) if name}
    copied = ModelProto()
    copied.CopyFrom(model)
    for tensor in copied.graph.initializer:
        if tensor.name in changed:
            tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(arrays[tensor.name]), tensor.name))
    return copied


def pairs_of(graph: GraphProto) -> tuple[Pair, ...]:
    """Return the pairs of *graph* that can be equalized, in its order.

    Between the two is nothing, or one homogeneous activation; nobody else reads the value between, and nobody else the
    constants of the two.
    """
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    uses = Counter(value for node in graph.node for value in node.input)
    uses.update(output.name for output in graph.output)
    readers = {value: node for node in graph.node for value in node.input if uses[value] == 1}
    pairs = []
    for node in graph.node:
        after = readers.get(node.output[0]) if node.op_type in LAYERS else None
        if after is not None and after.op_type in HOMOGENEOUS:
            after = readers.get(after.output[0])
        if after is None or after.op_type not in LAYERS or not (_is_owned(node, shapes, uses)):
            continue
        pair = _pair(node, after, shapes)
        if pair is not None and _is_owned(after, shapes, uses):
            pairs.append(pair)
    return tuple(pairs)


def _is_owned(node: NodeProto, shapes: dict[str, tuple[int, ...]], uses: Counter[str]) -> bool:
    """Tell whether all of a layer's weights are constants that it alone reads, outputs on axis 0."""
    constants = [value for value in node.input[1:] if value]
    is_row_major = node.op_type == "Conv" or _attribute(node, "transB", 0) == 1
    plain = all(_attribute(node, name, 1) == 1 for name in ("alpha", "beta"))
    return is_row_major and plain and all(value in shapes and uses[value] == 1 for value in constants)


def _pair(first: NodeProto, second: NodeProto, shapes: dict[str, tuple[int, ...]]) -> Pair | None:
    """Return the pair of two layers, or None where the channels between them are not both's outer ones."""
    channels = shapes[first.input[1]][0]
    weight = shapes.get(second.input[1], ())
    groups = _attribute(second, "group", 1)
    is_depthwise = second.op_type == "Conv" and groups == channels == weight[0] and weight[1] == 1
    if not is_depthwise and (groups != 1 or weight[1:2] != (channels,)):
        return None
    bias = first.input[2] if len(first.input) > 2 and first.input[2] else None  # noqa: PLR2004 - optional third input
    if bias is not None and shapes[bias] != (channels,):
        return None
    return Pair(first=first.input[1], bias=bias, second=second.input[1], is_depthwise=is_depthwise)


def _attribute(node: NodeProto, name: str, default: float) -> float:
    """Return a number among a node's attributes."""
    found = next((attribute for attribute in node.attribute if attribute.name == name), None)
    return default if found is None else (found.f if name in {"alpha", "beta"} else found.i)


def _equalize(pair: Pair, arrays: dict[str, Array]) -> float:
    """Equalize one *pair* in place in *arrays*; return the largest change of a factor."""
    axis = 0 if pair.is_depthwise else 1
    first, second = _reach(arrays[pair.first], 0), _reach(arrays[pair.second], axis)
    alive = (first > 0) & (second > 0)
    factors = np.ones_like(first)
    factors[alive] = np.sqrt(first[alive] / second[alive])
    arrays[pair.first] = arrays[pair.first] / _along(factors, arrays[pair.first].ndim, 0)
    arrays[pair.second] = arrays[pair.second] * _along(factors, arrays[pair.second].ndim, axis)
    if pair.bias is not None:
        arrays[pair.bias] = arrays[pair.bias] / factors
    return float(np.abs(factors - 1).max())


def _reach(weight: Array, axis: int) -> Array:
    """Return the largest magnitude for each index of *axis*."""
    largest: Array = np.abs(weight).max(tuple(other for other in range(weight.ndim) if other != axis))
    return largest


def _along(factors: Array, ndim: int, axis: int) -> Array:
    """Return *factors* in the shape that broadcasts along *axis* of *ndim*."""
    return factors.reshape([-1 if index == axis else 1 for index in range(ndim)])
