"""Operators that move values, or select some, and compute none."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from edgekd.quantize.operands import Attributes, Inputs, Operator, for_torch, given, numbers, optional, refuse

_PADDINGS: Final[Mapping[str, str]] = MappingProxyType(
    {"constant": "constant", "edge": "replicate", "reflect": "reflect"}
)


def _reshape(inputs: Inputs, attributes: Attributes) -> Tensor:
    data, shape = given(inputs, 0), numbers(given(inputs, 1))
    if not attributes.get("allowzero", 0):
        shape = [data.shape[axis] if size == 0 else size for axis, size in enumerate(shape)]
    return data.reshape(shape)


def _flatten(inputs: Inputs, attributes: Attributes) -> Tensor:
    data = given(inputs, 0)
    return data.reshape(data.shape[: attributes.get("axis", 1)].numel(), -1)


def _squeeze(inputs: Inputs, _attributes: Attributes) -> Tensor:
    data, axes = given(inputs, 0), optional(inputs, 1)
    return data.squeeze() if axes is None else data.squeeze(numbers(axes))


def _unsqueeze(inputs: Inputs, _attributes: Attributes) -> Tensor:
    data, axes = given(inputs, 0), numbers(given(inputs, 1))
    for axis in sorted(axis % (data.ndim + len(axes)) for axis in axes):
        data = data.unsqueeze(axis)
    return data


def _pad(inputs: Inputs, attributes: Attributes) -> Tensor:
    data, pads, value = given(inputs, 0), numbers(given(inputs, 1)), optional(inputs, 2)
    mode = attributes.get("mode", "constant")
    refuse(optional(inputs, 3) is not None or mode not in _PADDINGS, f"Pad with axes, or in the mode {mode}")
    both = [(pads[axis], pads[axis + data.ndim]) for axis in range(data.ndim)]
    if mode == "constant":
        return functional.pad(data, for_torch(both), value=0.0 if value is None else value.item())
    refuse(any(pair != (0, 0) for pair in both[:2]), f"Pad of batch or channels in the mode {mode}")
    return functional.pad(data, for_torch(both[2:]), mode=_PADDINGS[mode])


def _slice(inputs: Inputs, _attributes: Attributes) -> Tensor:
    data, starts, ends = (given(inputs, position) for position in range(3))
    axes, steps = optional(inputs, 3), optional(inputs, 4)
    chosen = [slice(None)] * data.ndim
    named = range(len(starts)) if axes is None else numbers(axes)
    strides = [1] * len(starts) if steps is None else numbers(steps)
    for axis, start, end, step in zip(named, numbers(starts), numbers(ends), strides, strict=True):
        refuse(step < 1, "Slice backwards")
        chosen[axis] = slice(start, end, step)
    return data[tuple(chosen)]


def _transpose(inputs: Inputs, attributes: Attributes) -> Tensor:
    data = given(inputs, 0)
    return data.permute(*attributes.get("perm", reversed(range(data.ndim))))


def _gather(inputs: Inputs, attributes: Attributes) -> Tensor:
    data, indices, axis = given(inputs, 0), given(inputs, 1), attributes.get("axis", 0)
    positions = torch.where(indices < 0, indices + data.shape[axis], indices)
    shape = (*data.shape[:axis], *indices.shape, *data.shape[axis % data.ndim + 1 :])
    return data.index_select(axis, positions.flatten()).reshape(shape)


def _depth_to_space(inputs: Inputs, attributes: Attributes) -> Tensor:
    """Interleave groups of channels: neighbouring ones in the mode CRD, those far apart in DCR."""
    data, block = given(inputs, 0), int(attributes["blocksize"])
    if attributes.get("mode", "DCR") == "DCR":
        data = data.reshape(len(data), block * block, -1, *data.shape[2:]).transpose(1, 2).flatten(1, 2)
    return functional.pixel_shuffle(data, block)


MOVEMENTS: Final[Mapping[str, Operator]] = MappingProxyType(
    {
        "DepthToSpace": _depth_to_space,
        "Flatten": _flatten,
        "Gather": _gather,
        "Identity": lambda inputs, _attributes: given(inputs, 0),
        "Pad": _pad,
        "Reshape": _reshape,
        "Slice": _slice,
        "Squeeze": _squeeze,
        "Transpose": _transpose,
        "Unsqueeze": _unsqueeze,
    }
)
