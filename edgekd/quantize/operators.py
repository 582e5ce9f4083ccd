"""What each ONNX operator computes, in torch: the forms that ``export.canonical`` writes (opset 18)."""

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

IMAGE_DIMENSIONS: Final = 4


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


def _spatial_padding(attributes: Attributes) -> tuple[int, int, int, int]:
    """Return ONNX's (top, left, bottom, right) as torch's (left, right, top, bottom)."""
    _refuse(attributes.get("auto_pad", "NOTSET") not in {"NOTSET", "VALID"}, "auto_pad")
    top, left, bottom, right = attributes.get("pads", (0, 0, 0, 0))
    return left, right, top, bottom


def _conv(inputs: Inputs, attributes: Attributes) -> Tensor:
    images = _given(inputs, 0)
    _refuse(images.ndim != IMAGE_DIMENSIONS, f"a convolution over {images.ndim - 2} dimensions")
    left, right, top, bottom = _spatial_padding(attributes)
    padding = (top, left)
    if (left, top) != (right, bottom):
        images, padding = functional.pad(images, (left, right, top, bottom)), (0, 0)
    return functional.conv2d(
        images,
        _given(inputs, 1),
        _optional(inputs, 2),
        tuple(attributes.get("strides", (1, 1))),
        padding,
        tuple(attributes.get("dilations", (1, 1))),
        attributes.get("group", 1),
    )


def _gemm(inputs: Inputs, attributes: Attributes) -> Tensor:
    scaled = attributes.get("alpha", 1.0) != 1.0 or attributes.get("beta", 1.0) != 1.0
    _refuse(scaled or attributes.get("transA", 0), "Gemm with alpha, beta or transA")
    weight = _given(inputs, 1)
    rows = weight if attributes.get("transB", 0) else weight.t()
    return functional.linear(_given(inputs, 0), rows, _optional(inputs, 2))


def _average_pool(inputs: Inputs, attributes: Attributes) -> Tensor:
    left, right, top, bottom = _spatial_padding(attributes)
    dilated = set(attributes.get("dilations", (1, 1))) != {1}
    uneven = (left, top) != (right, bottom)
    _refuse(uneven or dilated or attributes.get("ceil_mode", 0), "uneven pads, dilations or ceil_mode")
    return functional.avg_pool2d(
        _given(inputs, 0),
        tuple(attributes["kernel_shape"]),
        tuple(attributes.get("strides", (1, 1))),
        (top, left),
        count_include_pad=bool(attributes.get("count_include_pad", 0)),
    )


def _max_pool(inputs: Inputs, attributes: Attributes) -> Tensor:
    images, padding = _given(inputs, 0), (0, 0)
    left, right, top, bottom = _spatial_padding(attributes)
    if attributes.get("ceil_mode", 0):
        # Where the last window may start depends on which zeros are padding: only torch's own know.
        _refuse((left, top) != (right, bottom), "uneven pads with ceil_mode")
        padding = (top, left)
    else:
        images = functional.pad(images, (left, right, top, bottom), value=float("-inf"))
    return functional.max_pool2d(
        images,
        tuple(attributes["kernel_shape"]),
        tuple(attributes.get("strides", (1, 1))),
        padding,
        tuple(attributes.get("dilations", (1, 1))),
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


def _reduce_mean(inputs: Inputs, attributes: Attributes) -> Tensor:
    data, axes = _given(inputs, 0), _optional(inputs, 1)
    over = list(range(data.ndim)) if axes is None else _numbers(axes)
    return data.mean(over, keepdim=bool(attributes.get("keepdims", 1)))


def _pad(inputs: Inputs, attributes: Attributes) -> Tensor:
    data, pads, value = _given(inputs, 0), _numbers(_given(inputs, 1)), _optional(inputs, 2)
    other = attributes.get("mode", "constant") != "constant" or _optional(inputs, 3) is not None
    _refuse(other, "Pad with axes or a mode other than constant")
    both = [(pads[axis], pads[axis + data.ndim]) for axis in reversed(range(data.ndim))]
    return functional.pad(data, [size for pair in both for size in pair], value=0.0 if value is None else value.item())


def _transpose(inputs: Inputs, attributes: Attributes) -> Tensor:
    data = _given(inputs, 0)
    return data.permute(*attributes.get("perm", reversed(range(data.ndim))))


def _hard_sigmoid(inputs: Inputs, attributes: Attributes) -> Tensor:
    slope, offset = float(attributes.get("alpha", 0.2)), float(attributes.get("beta", 0.5))
    return (_given(inputs, 0) * slope + offset).clamp(0, 1)


def _two(function: Callable[[Tensor, Tensor], Tensor]) -> Operator:
    """Return the operator that applies *function* to two inputs."""
    return lambda inputs, _attributes: function(_given(inputs, 0), _given(inputs, 1))


def _one(function: Callable[[Tensor], Tensor]) -> Operator:
    """Return the operator that applies *function* to one input."""
    return lambda inputs, _attributes: function(_given(inputs, 0))


OPERATORS: Final[Mapping[str, Operator]] = MappingProxyType(
    {
        "Add": _two(torch.add),
        "AveragePool": _average_pool,
        "Clip": _clip,
        "Concat": lambda inputs, attributes: torch.cat([i for i in inputs if i is not None], attributes["axis"]),
        "Conv": _conv,
        "Flatten": _flatten,
        "Gemm": _gemm,
        "GlobalAveragePool": _one(lambda images: images.mean((2, 3), keepdim=True)),
        "HardSigmoid": _hard_sigmoid,
        "HardSwish": _one(functional.hardswish),
        "LeakyRelu": lambda inputs, attributes: functional.leaky_relu(_given(inputs, 0), attributes.get("alpha", 0.01)),
        "MatMul": _two(torch.matmul),
        "MaxPool": _max_pool,
        "Mul": _two(torch.mul),
        "Pad": _pad,
        "ReduceMean": _reduce_mean,
        "Relu": _one(torch.relu),
        "Reshape": _reshape,
        "Sigmoid": _one(torch.sigmoid),
        "Softmax": lambda inputs, attributes: torch.softmax(_given(inputs, 0), attributes.get("axis", -1)),
        "Squeeze": _squeeze,
        "Transpose": _transpose,
    }
)
