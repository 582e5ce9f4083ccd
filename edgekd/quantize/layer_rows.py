"""A layer as a matrix product: rows of what it takes and gives at random places, so that its weights can be fitted."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import onnx
import torch
from onnx import NodeProto
from torch import Tensor
from torch.nn import functional

FITTED: Final = frozenset({"Conv", "Gemm", "MatMul"})
"""Operators whose weights can be fitted; a product of a constant must be plain (alpha and beta 1, no transA)."""


class Rows(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """*taken* (n, groups, inputs) and *given* (n, groups, outputs), the float layer's output without its activation.

    ``given ~ taken @ weights``, for weights (groups, inputs, outputs) as ``matrix`` gives them, plus the bias.
    """

    taken: Tensor
    given: Tensor


def joined(parts: Sequence[Rows]) -> Rows:
    """Return the rows of all *parts*."""
    return Rows(taken=torch.cat([part.taken for part in parts]), given=torch.cat([part.given for part in parts]))


def rows_of(node: NodeProto, taken: Tensor, given: Tensor, *, count: int, random: torch.Generator) -> Rows:
    """Return *count* rows, drawn by *random*, of a layer that was given *taken* and gave *given* (batch tensors)."""
    if node.op_type != "Conv":
        inputs, outputs = taken.flatten(0, -2), given.flatten(0, -2)
        chosen = torch.randint(len(inputs), (count,), generator=random)
        return Rows(taken=inputs[chosen][:, None], given=outputs[chosen][:, None])
    patches, groups = _patches(node, taken), _settings(node).get("group", 1)
    sizes = (len(given), *given.shape[2:])
    place = tuple(torch.randint(size, (count,), generator=random) for size in sizes)
    inputs, outputs = patches.movedim(1, len(sizes))[place], given.movedim(1, -1)[place]
    return Rows(taken=inputs.reshape(count, groups, -1), given=outputs.reshape(count, groups, -1))


def matrix(node: NodeProto, weight: Tensor) -> Tensor:
    """Return a layer's *weight*, or anything of its shape, as (groups, inputs, outputs)."""
    if node.op_type == "Conv":
        groups = _settings(node).get("group", 1)
        return weight.reshape(groups, weight.shape[0] // groups, -1).transpose(1, 2)
    return (weight.t() if _settings(node).get("transB", 0) else weight)[None]


def row_numbers(weight: Tensor, node: NodeProto) -> int:
    """Return how many numbers a row of a layer with *weight* holds, taken and given together."""
    groups, inputs, outputs = matrix(node, weight).shape
    return int(groups * (inputs + outputs))


def _patches(node: NodeProto, data: Tensor) -> Tensor:
    """Return what each output of a convolution sees: a view (batch, channels, *places, *kernel) of padded *data*."""
    settings, dims = _settings(node), data.ndim - 2
    pads = settings.get("pads", [0] * 2 * dims)
    kernel = settings["kernel_shape"]
    padded = functional.pad(data, [size for axis in reversed(range(dims)) for size in (pads[axis], pads[axis + dims])])
    for axis in range(dims):
        dilation = settings.get("dilations", [1] * dims)[axis]
        stride = settings.get("strides", [1] * dims)[axis]
        padded = padded.unfold(axis + 2, (kernel[axis] - 1) * dilation + 1, stride)[..., ::dilation]
    return padded


def _settings(node: NodeProto) -> dict[str, Any]:
    """Return the attributes of *node*."""
    return {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
