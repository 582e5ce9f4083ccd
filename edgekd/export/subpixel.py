"""Transposed convolutions as convolutions at the input's resolution whose channels are the pixels in between.

ONNX Runtime multiplies integers in Conv but not in ConvTranspose. Outputs that are a stride apart are sums over the
same taps of the kernel: a phase. One Conv computes all phases as channels, and what interleaves them only moves
values, integers as well as real numbers (Shi and others 2016, "Is the deconvolution layer the same as a convolutional
layer?").
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import numpy as np
import onnx
import onnx_ir as ir

from edgekd.export.canonical import canonicalize
from edgekd.export.rewriting import (
    Array,
    Replacement,
    attributes_of,
    constant_of,
    input_of,
    known_dims,
    optional_input,
    rewrite,
)

TRANSPOSED: Final = "ConvTranspose"
FOLDED: Final = frozenset({"Clip", "Relu"})
"""Activations that an integer Conv does as part of its rounding: they go before the values are moved."""

_RANKS: Final = (3, 4)
_IMAGE: Final = 2
"""Spatial axes of an image; a signal has one."""


class Axis(msgspec.Struct, frozen=True, kw_only=True):
    """One spatial axis of a transposed convolution: input ``i`` times ``tap`` goes to ``i * stride + tap - begin``.

    It has *size* inputs, *taps* in the kernel, and *length* outputs.
    """

    size: int
    taps: int
    stride: int
    begin: int
    length: int


class Phases(msgspec.Struct, frozen=True, kw_only=True):
    """The convolution that computes one axis: its kernel, its zero padding, and what is cut off afterwards.

    *taps*: for each phase and each place of the convolution's kernel the tap of the transposed one, None for a zero.
    Interleaved, the phases give *given* outputs, of which those from *crop* on are wanted.
    """

    taps: tuple[tuple[int | None, ...], ...]
    pads: tuple[int, int]
    crop: int
    given: int


def with_subpixel_convolutions(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the canonical *model* with subpixel convolutions for its transposed ones, canonical again.

    The answers are the same but for the order of float sums; the batch stays free. Left as it is: a ConvTranspose
    with dilations, of more than two spatial axes, of a size known only at run time, or with computed weights.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = ir.from_proto(copy)
    if not any(node.op_type == TRANSPOSED for node in ir.traversal.RecursiveGraphIterator(graph.graph)):
        return copy
    rewrite(graph, subpixel_convolution)
    return canonicalize(ir.to_proto(graph))


def subpixel_convolution(node: ir.Node, new: Replacement) -> Sequence[ir.Value] | None:
    """Write a ConvTranspose, or the activation that alone reads one, as Conv, activation, and what interleaves."""
    if node.domain:
        return None
    if node.op_type == TRANSPOSED:
        return None if _activation_after(node) is not None else _rewritten(node, None, new)
    before = node.inputs[0].producer() if node.op_type in FOLDED and node.inputs[0] is not None else None
    if before is None or before.op_type != TRANSPOSED or _activation_after(before) is not node:
        return None
    # Read by an activation that stays, it has been passed over: it is written here, or by nobody.
    return _rewritten(before, node, new)


def phases_of(axis: Axis) -> Phases:
    """Return the cheapest convolution for *axis*: that of the smallest kernel, of those the one that gives least.

    To begin some outputs early, and cut them off, can line the phases up: four taps at stride 2 are two phases over
    the same two inputs, but over three inputs if the first output is left out.
    """
    return min((_phases(axis, crop) for crop in range(axis.stride)), key=lambda it: (len(it.taps[0]), it.given))


def _phases(axis: Axis, crop: int) -> Phases:
    """Return the convolution whose phases begin *crop* outputs before the first that is wanted."""
    reads: list[Mapping[int, int]] = []
    for phase in range(axis.stride):
        shift, first = divmod(phase + axis.begin - crop, axis.stride)
        reads.append({shift - step: tap for step, tap in enumerate(range(first, axis.taps, axis.stride))})
    offsets = set(itertools.chain.from_iterable(reads))
    nearest, farthest = min(0, *offsets), max(offsets)
    rows = math.ceil((axis.length + crop) / axis.stride)
    after = max(0, rows + farthest - axis.size)
    return Phases(
        taps=tuple(tuple(read.get(offset) for offset in range(nearest, farthest + 1)) for read in reads),
        pads=(-nearest, after),
        crop=crop,
        given=(axis.size + after - farthest) * axis.stride,
    )


def _activation_after(node: ir.Node) -> ir.Node | None:
    """Return the activation that alone reads *node* and can be computed before its values are moved."""
    uses = tuple(node.outputs[0].uses())
    if len(uses) != 1 or node.outputs[0].is_graph_output():
        return None
    reader, index = uses[0]
    return reader if reader.op_type in FOLDED and not reader.domain and index == 0 else None


def _rewritten(node: ir.Node, activation: ir.Node | None, new: Replacement) -> Sequence[ir.Value] | None:
    """Return the output of the ConvTranspose *node*, and of *activation*, in other operators; None if it has none."""
    axes, weight, bias = _axes(node), constant_of(node, 1), constant_of(node, 2)
    if axes is None or weight is None or (bias is None) != (optional_input(node, 2) is None):
        return None
    phases = [phases_of(axis) for axis in axes]
    group, count = node.attributes.get_int("group", 1), math.prod(axis.stride for axis in axes)
    inputs = [input_of(node, 0), new.constant(_kernel(weight, phases, group), "W")]
    if bias is not None:
        inputs.append(new.constant(np.repeat(bias, count), "B"))
    pads = [found.pads[0] for found in phases] + [found.pads[1] for found in phases]
    kernel_shape = [len(found.taps[0]) for found in phases]
    value = new.op("Conv", *inputs, kernel_shape=kernel_shape, pads=pads, group=group)
    if activation is not None:
        value = new.op(activation.op_type, value, *activation.inputs[1:], **attributes_of(activation))
    return [_cropped(_interleaved(value, axes, phases, weight.shape[1] * group, new), axes, phases, new)]


def _axes(node: ir.Node) -> tuple[Axis, ...] | None:
    """Return the spatial axes of the ConvTranspose *node*; None if a size is open, or the form is another one."""
    dims, weight = known_dims(input_of(node, 0)), constant_of(node, 1)
    if dims is None or weight is None or len(dims) not in _RANKS or any(dilation != 1 for dilation in _dilations(node)):
        return None
    count = len(dims) - 2
    strides = node.attributes.get_ints("strides", (1,) * count)
    extra = node.attributes.get_ints("output_padding", (0,) * count)
    asked = node.attributes.get_ints("output_shape", ())
    pads = node.attributes.get_ints("pads", (0,) * 2 * count)
    placing = node.attributes.get_string("auto_pad", "NOTSET")
    found = []
    for index, (size, taps, stride) in enumerate(zip(dims[2:], weight.shape[2:], strides, strict=True)):
        if size is None:
            return None
        whole = (size - 1) * stride + taps + extra[index]
        begin, length = pads[index], whole - pads[index] - pads[index + count]
        if asked or placing in {"SAME_UPPER", "SAME_LOWER"}:
            length = asked[-count:][index] if asked else size * stride
            begin = _before(whole - length, placing)
        elif placing == "VALID":
            begin, length = 0, whole
        found.append(Axis(size=size, taps=taps, stride=stride, begin=begin, length=length))
    return tuple(found) if all(axis.length > 0 for axis in found) else None


def _dilations(node: ir.Node) -> Sequence[int]:
    return node.attributes.get_ints("dilations", ())


def _before(total: int, placing: str) -> int:
    """Return how much of *total* is cut off before the first output: the smaller half for SAME_UPPER alone."""
    return max(0, total) // 2 if placing == "SAME_UPPER" else max(0, total) - max(0, total) // 2


def _kernel(weight: Array, phases: Sequence[Phases], group: int) -> Array:
    """Return the weights (outputs * phases, inputs / groups, *places) of a transposed convolution's Conv.

    *weight*: (inputs, outputs / groups, *taps). The channels of one output, a phase each, are neighbours.
    """
    rank = len(phases)
    inputs, taps = weight.shape[0] // group, weight.shape[2:]
    grouped = weight.reshape(group, inputs, weight.shape[1], *taps).swapaxes(1, 2)
    kernel = grouped.reshape(-1, inputs, *taps)
    for axis in reversed(range(rank)):
        places = np.array([[taps[axis] if tap is None else tap for tap in row] for row in phases[axis].taps])
        zero = [(0, int(other == axis + 2)) for other in range(kernel.ndim)]
        kernel = np.take(np.pad(kernel, zero), places, axis=axis + 2)
    order = (0, *range(2, 2 + 2 * rank, 2), 1, *range(3, 2 + 2 * rank, 2))
    return np.ascontiguousarray(kernel.transpose(order)).reshape(-1, inputs, *(len(it.taps[0]) for it in phases))


def _interleaved(
    value: ir.Value, axes: Sequence[Axis], phases: Sequence[Phases], channels: int, new: Replacement
) -> ir.Value:
    """Return *value* (batch, channels * phases, *rows) as (batch, channels, *rows * strides).

    DepthToSpace takes a third of the time of Reshape and Transpose in ONNX Runtime 1.32, but has one block size for
    both axes. Versions before its pull requests 23352 (uint8, 2025) and 29154 (int8, 2026) lack the integer kernels.
    """
    strides = [axis.stride for axis in axes]
    rank, rows = len(axes), [found.given // stride for found, stride in zip(phases, strides, strict=True)]
    if set(strides) == {1}:
        return value
    if rank == _IMAGE and strides[0] == strides[1]:
        return new.op("DepthToSpace", value, blocksize=strides[0], mode="CRD")
    apart = new.op("Reshape", value, new.constant(np.array([0, channels, *strides, *rows]), "apart"))
    order = [0, 1, *(axis for index in range(rank) for axis in (2 + rank + index, 2 + index))]
    joined = new.constant(np.array([0, channels, *(found.given for found in phases)]), "joined")
    return new.op("Reshape", new.op("Transpose", apart, perm=order), joined)


def _cropped(value: ir.Value, axes: Sequence[Axis], phases: Sequence[Phases], new: Replacement) -> ir.Value:
    """Return the outputs of *value* that are wanted."""
    cuts = [
        (found.crop, found.crop + axis.length, index)
        for index, (axis, found) in enumerate(zip(axes, phases, strict=True), start=2)
        if (found.crop, found.given) != (0, axis.length)
    ]
    if not cuts:
        return value
    names = ("starts", "ends", "axes")
    bounds = [new.constant(np.array(column), name) for name, column in zip(names, zip(*cuts, strict=True), strict=True)]
    return new.op("Slice", value, *bounds)
