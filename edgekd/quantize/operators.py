"""What each ONNX operator computes, in torch: the forms that ``export.canonical`` writes (opset 18)."""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import functional

from edgekd.core.errors import ConfigError

Attributes = Mapping[str, Any]
Inputs = Sequence[Tensor | None]
Operator = Callable[[Inputs, Attributes], Tensor]

_CONVOLUTIONS: Final[Mapping[int, Callable[..., Tensor]]] = MappingProxyType(
    {1: functional.conv1d, 2: functional.conv2d}
)
_AVERAGE_POOLS: Final[Mapping[int, Callable[..., Tensor]]] = MappingProxyType(
    {1: functional.avg_pool1d, 2: functional.avg_pool2d}
)
_MAX_POOLS: Final[Mapping[int, Callable[..., Tensor]]] = MappingProxyType(
    {1: functional.max_pool1d, 2: functional.max_pool2d}
)
"""By the number of spatial dimensions."""

IMAGE_DIMENSIONS: Final = 4
_PADDINGS: Final[Mapping[str, str]] = MappingProxyType(
    {"constant": "constant", "edge": "replicate", "reflect": "reflect"}
)
_RESIZES: Final[Mapping[tuple[str, str, str], str]] = MappingProxyType(
    {
        ("nearest", "asymmetric", "floor"): "nearest",
        ("linear", "half_pixel", ""): "bilinear",
        ("linear", "pytorch_half_pixel", ""): "bilinear",
        ("linear", "align_corners", ""): "bilinear",
    }
)
"""Torch's name for a way to resize: ONNX's mode, where it samples, and how it rounds."""


def run(op_type: str, name: str, inputs: Inputs, attributes: Attributes) -> Tensor:
    """Return the output of one node; ConfigError naming the node where its operator or its form is unknown."""
    try:
        return _operator(op_type)(inputs, attributes)
    except _UnknownError as unknown:
        message = (
            f"quantize: node '{name}' ({op_type}): {unknown}; "
            'ship export.precision = "fp32" or "fp16" for this network.'
        )
        raise ConfigError(message) from unknown


class _UnknownError(Exception):
    """What a node asks for has no form here; the message says what."""


def _operator(op_type: str) -> Operator:
    """Return the operator of a name."""
    if op_type not in OPERATORS:
        message = f"an operator that cannot be simulated; those that can are {', '.join(sorted(OPERATORS))}"
        raise _UnknownError(message)
    return OPERATORS[op_type]


def _refuse(unknown: object, what: str) -> None:
    """Raise where a node has an *unknown* form."""
    if unknown:
        message = f"{what} cannot be simulated"
        raise _UnknownError(message)


def _given(inputs: Inputs, position: int) -> Tensor:
    """Return an input that the operator cannot do without; the exporter's checker has seen to it."""
    tensor = inputs[position]
    assert tensor is not None  # noqa: S101 - a graph without it is not valid ONNX
    return tensor


def _optional(inputs: Inputs, position: int) -> Tensor | None:
    """Return an input that may be absent."""
    return inputs[position] if position < len(inputs) else None


def _numbers(tensor: Tensor) -> list[int]:
    """Return the numbers in a constant input."""
    return [int(number) for number in tensor.tolist()]


def _spatial_padding(attributes: Attributes, dimensions: int) -> tuple[tuple[int, int], ...]:
    """Return ONNX's pads as (before, after) of each of the *dimensions* spatial dimensions."""
    _refuse(attributes.get("auto_pad", "NOTSET") not in {"NOTSET", "VALID"}, "auto_pad")
    pads = attributes.get("pads", (0,) * 2 * dimensions)
    return tuple(zip(pads[:dimensions], pads[dimensions:], strict=True))


def _for_torch(pads: Sequence[tuple[int, int]]) -> list[int]:
    """Return (before, after) of each dimension in torch's order: the last dimension first."""
    return [size for pair in reversed(pads) for size in pair]


def _dimensions(data: Tensor, attributes: Attributes, functions: Mapping[int, Callable[..., Tensor]]) -> int:
    """Return the number of spatial dimensions of *data*; refuse one for which there is no function."""
    found = data.ndim - 2
    _refuse(found not in functions, f"work over {found} dimensions")
    _refuse(len(attributes.get("kernel_shape", (0,) * found)) != found, "a kernel of other dimensions than its input")
    return found


def _conv(inputs: Inputs, attributes: Attributes) -> Tensor:
    data = _given(inputs, 0)
    dimensions = _dimensions(data, attributes, _CONVOLUTIONS)
    pads = _spatial_padding(attributes, dimensions)
    padding = tuple(before for before, _ in pads)
    if any(before != after for before, after in pads):
        data, padding = functional.pad(data, _for_torch(pads)), (0,) * dimensions
    return _CONVOLUTIONS[dimensions](
        data,
        _given(inputs, 1),
        _optional(inputs, 2),
        tuple(attributes.get("strides", (1,) * dimensions)),
        padding,
        tuple(attributes.get("dilations", (1,) * dimensions)),
        attributes.get("group", 1),
    )


def _gemm(inputs: Inputs, attributes: Attributes) -> Tensor:
    scaled = attributes.get("alpha", 1.0) != 1.0 or attributes.get("beta", 1.0) != 1.0
    _refuse(scaled or attributes.get("transA", 0), "Gemm with alpha, beta or transA")
    weight = _given(inputs, 1)
    rows = weight if attributes.get("transB", 0) else weight.t()
    return functional.linear(_given(inputs, 0), rows, _optional(inputs, 2))


def _average_pool(inputs: Inputs, attributes: Attributes) -> Tensor:
    data = _given(inputs, 0)
    dimensions = _dimensions(data, attributes, _AVERAGE_POOLS)
    pads = _spatial_padding(attributes, dimensions)
    dilated = set(attributes.get("dilations", (1,))) != {1}
    uneven = any(before != after for before, after in pads)
    _refuse(uneven or dilated or attributes.get("ceil_mode", 0), "uneven pads, dilations or ceil_mode")
    return _AVERAGE_POOLS[dimensions](
        data,
        tuple(attributes["kernel_shape"]),
        tuple(attributes.get("strides", (1,) * dimensions)),
        tuple(before for before, _ in pads),
        count_include_pad=bool(attributes.get("count_include_pad", 0)),
    )


def _max_pool(inputs: Inputs, attributes: Attributes) -> Tensor:
    data = _given(inputs, 0)
    dimensions = _dimensions(data, attributes, _MAX_POOLS)
    pads, padding = _spatial_padding(attributes, dimensions), (0,) * dimensions
    if attributes.get("ceil_mode", 0):
        # Where the last window may start depends on which zeros are padding: only torch's own know.
        _refuse(any(before != after for before, after in pads), "uneven pads with ceil_mode")
        padding = tuple(before for before, _ in pads)
    else:
        data = functional.pad(data, _for_torch(pads), value=float("-inf"))
    return _MAX_POOLS[dimensions](
        data,
        tuple(attributes["kernel_shape"]),
        tuple(attributes.get("strides", (1,) * dimensions)),
        padding,
        tuple(attributes.get("dilations", (1,) * dimensions)),
        ceil_mode=bool(attributes.get("ceil_mode", 0)),
    )


def _clip(inputs: Inputs, _attributes: Attributes) -> Tensor:
    return torch.clamp(_given(inputs, 0), _optional(inputs, 1), _optional(inputs, 2))


def _reshape(inputs: Inputs, attributes: Attributes) -> Tensor:
    data, shape = _given(inputs, 0), _numbers(_given(inputs, 1))
    if not attributes.get("allowzero", 0):
        shape = [data.shape[axis] if size == 0 else size for axis, size in enumerate(shape)]
    return data.reshape(shape)


def _flatten(inputs: Inputs, attributes: Attributes) -> Tensor:
    data = _given(inputs, 0)
    return data.reshape(data.shape[: attributes.get("axis", 1)].numel(), -1)


def _squeeze(inputs: Inputs, _attributes: Attributes) -> Tensor:
    data, axes = _given(inputs, 0), _optional(inputs, 1)
    return data.squeeze() if axes is None else data.squeeze(_numbers(axes))


def _unsqueeze(inputs: Inputs, _attributes: Attributes) -> Tensor:
    data, axes = _given(inputs, 0), _numbers(_given(inputs, 1))
    for axis in sorted(axis % (data.ndim + len(axes)) for axis in axes):
        data = data.unsqueeze(axis)
    return data


def _pad(inputs: Inputs, attributes: Attributes) -> Tensor:
    data, pads, value = _given(inputs, 0), _numbers(_given(inputs, 1)), _optional(inputs, 2)
    mode = attributes.get("mode", "constant")
    _refuse(_optional(inputs, 3) is not None or mode not in _PADDINGS, f"Pad with axes, or in the mode {mode}")
    both = [(pads[axis], pads[axis + data.ndim]) for axis in range(data.ndim)]
    if mode == "constant":
        return functional.pad(data, _for_torch(both), value=0.0 if value is None else value.item())
    _refuse(any(pair != (0, 0) for pair in both[:2]), f"Pad of batch or channels in the mode {mode}")
    return functional.pad(data, _for_torch(both[2:]), mode=_PADDINGS[mode])


def _slice(inputs: Inputs, _attributes: Attributes) -> Tensor:
    data, starts, ends = (_given(inputs, position) for position in range(3))
    axes, steps = _optional(inputs, 3), _optional(inputs, 4)
    chosen = [slice(None)] * data.ndim
    named = range(len(starts)) if axes is None else _numbers(axes)
    strides = [1] * len(starts) if steps is None else _numbers(steps)
    for axis, start, end, step in zip(named, _numbers(starts), _numbers(ends), strides, strict=True):
        _refuse(step < 1, "Slice backwards")
        chosen[axis] = slice(start, end, step)
    return data[tuple(chosen)]


def _transpose(inputs: Inputs, attributes: Attributes) -> Tensor:
    data = _given(inputs, 0)
    return data.permute(*attributes.get("perm", reversed(range(data.ndim))))


def _hard_sigmoid(inputs: Inputs, attributes: Attributes) -> Tensor:
    slope, offset = float(attributes.get("alpha", 0.2)), float(attributes.get("beta", 0.5))
    return (_given(inputs, 0) * slope + offset).clamp(0, 1)


def _layer_normalization(inputs: Inputs, attributes: Attributes) -> Tensor:
    data, axis = _given(inputs, 0), attributes.get("axis", -1)
    shape = data.shape[axis % data.ndim :]
    bias = _optional(inputs, 2)
    return functional.layer_norm(data, shape, _given(inputs, 1), bias, attributes.get("epsilon", 1e-5))


def _instance_normalization(inputs: Inputs, attributes: Attributes) -> Tensor:
    scale, bias = _given(inputs, 1), _given(inputs, 2)
    return functional.instance_norm(
        _given(inputs, 0), weight=scale, bias=bias, use_input_stats=True, eps=attributes.get("epsilon", 1e-5)
    )


def _gather(inputs: Inputs, attributes: Attributes) -> Tensor:
    data, indices, axis = _given(inputs, 0), _given(inputs, 1), attributes.get("axis", 0)
    positions = torch.where(indices < 0, indices + data.shape[axis], indices)
    shape = (*data.shape[:axis], *indices.shape, *data.shape[axis % data.ndim + 1 :])
    return data.index_select(axis, positions.flatten()).reshape(shape)


def _prelu(inputs: Inputs, _attributes: Attributes) -> Tensor:
    data, slope = _given(inputs, 0), _given(inputs, 1)
    return torch.where(data < 0, data * slope, data)


def _resize(inputs: Inputs, attributes: Attributes) -> Tensor:
    """Interpolate as torch does it: its own sampling points, the last two dimensions."""
    data, scales, sizes = _given(inputs, 0), _optional(inputs, 2), _optional(inputs, 3)
    mode = attributes.get("mode", "nearest")
    point = attributes.get("coordinate_transformation_mode", "half_pixel")
    _refuse(data.ndim != IMAGE_DIMENSIONS, "Resize of anything but images")
    aligned = point == "align_corners"
    form = (mode, point, attributes.get("nearest_mode", "round_prefer_floor") if mode == "nearest" else "")
    _refuse(form not in _RESIZES, f"Resize in the form {form}")
    if sizes is not None and sizes.numel():
        shape = _numbers(sizes)[2:]
    else:
        assert scales is not None  # noqa: S101 - one of the two is there
        factors = scales.tolist()[2:]
        shape = [math.floor(size * factor) for size, factor in zip(data.shape[2:], factors, strict=True)]
    torch_mode = _RESIZES[form]
    return functional.interpolate(
        data, shape, mode=torch_mode, align_corners=aligned if torch_mode != "nearest" else None
    )


def _reduced(function: Callable[..., Tensor]) -> Operator:
    """Return the operator that reduces with *function*; axes come as an input or, before opset 18, an attribute."""

    def reduce(inputs: Inputs, attributes: Attributes) -> Tensor:
        data, axes = _given(inputs, 0), _optional(inputs, 1)
        named = attributes.get("axes") if axes is None else _numbers(axes)
        over = list(range(data.ndim)) if named is None else list(named)
        return function(data, over, keepdim=bool(attributes.get("keepdims", 1)))

    return reduce


def _all_of(function: Callable[[Tensor, Tensor], Tensor]) -> Operator:
    """Return the operator that applies *function* from left to right to all inputs."""
    return lambda inputs, _attributes: functools.reduce(function, (_given(inputs, i) for i in range(len(inputs))))


def _two(function: Callable[[Tensor, Tensor], Tensor]) -> Operator:
    """Return the operator that applies *function* to two inputs."""
    return lambda inputs, _attributes: function(_given(inputs, 0), _given(inputs, 1))


def _one(function: Callable[[Tensor], Tensor]) -> Operator:
    """Return the operator that applies *function* to one input."""
    return lambda inputs, _attributes: function(_given(inputs, 0))


OPERATORS: Final[Mapping[str, Operator]] = MappingProxyType(
    {
        "Abs": _one(torch.abs),
        "Add": _two(torch.add),
        "AveragePool": _average_pool,
        "Clip": _clip,
        "Concat": lambda inputs, attributes: torch.cat([i for i in inputs if i is not None], attributes["axis"]),
        "Conv": _conv,
        "Cos": _one(torch.cos),
        "Div": _two(torch.div),
        "Elu": lambda inputs, attributes: functional.elu(_given(inputs, 0), attributes.get("alpha", 1.0)),
        "Erf": _one(torch.erf),
        "Exp": _one(torch.exp),
        "Flatten": _flatten,
        "Gather": _gather,
        "Gemm": _gemm,
        "GlobalAveragePool": _one(lambda data: data.mean(tuple(range(2, data.ndim)), keepdim=True)),
        "GlobalMaxPool": _one(lambda data: data.amax(tuple(range(2, data.ndim)), keepdim=True)),
        "HardSigmoid": _hard_sigmoid,
        "HardSwish": _one(functional.hardswish),
        "Identity": _one(lambda data: data),
        "InstanceNormalization": _instance_normalization,
        "LayerNormalization": _layer_normalization,
        "LeakyRelu": lambda inputs, attributes: functional.leaky_relu(_given(inputs, 0), attributes.get("alpha", 0.01)),
        "MatMul": _two(torch.matmul),
        "Max": _all_of(torch.maximum),
        "MaxPool": _max_pool,
        "Min": _all_of(torch.minimum),
        "Mul": _two(torch.mul),
        "Neg": _one(torch.neg),
        "Pad": _pad,
        "Pow": _two(torch.pow),
        "PRelu": _prelu,
        "ReduceMax": _reduced(torch.amax),
        "ReduceMean": _reduced(torch.mean),
        "ReduceSum": _reduced(torch.sum),
        "Reciprocal": _one(torch.reciprocal),
        "Relu": _one(torch.relu),
        "Reshape": _reshape,
        "Resize": _resize,
        "Sigmoid": _one(torch.sigmoid),
        "Sin": _one(torch.sin),
        "Slice": _slice,
        "Softmax": lambda inputs, attributes: torch.softmax(_given(inputs, 0), attributes.get("axis", -1)),
        "Softplus": _one(functional.softplus),
        "Sqrt": _one(torch.sqrt),
        "Squeeze": _squeeze,
        "Sub": _two(torch.sub),
        "Tanh": _one(torch.tanh),
        "Transpose": _transpose,
        "Unsqueeze": _unsqueeze,
    }
)
