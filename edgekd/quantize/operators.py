"""What each ONNX operator computes, in torch: the forms that ``export.canonical`` writes (opset 18)."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor

from edgekd.core.errors import ConfigError

Attributes = Mapping[str, Any]
Inputs = Sequence[Tensor | None]
Operator = Callable[[Inputs, Attributes], Tensor]

IMAGE_DIMENSIONS: Final = 4


def run(op_type: str, name: str, inputs: Inputs, attributes: Attributes) -> Tensor:
    """Return the output of one node; ConfigError naming the node where the operator or its form is unknown."""
    operator = OPERATORS.get(op_type)
    if operator is None:
        message = (
            f"quantize: node '{name}': operator {op_type} is not known here; known are {', '.join(sorted(OPERATORS))}; "
            'ship export.precision = "fp32" or "fp16" for this network.'
        )
        raise ConfigError(message)
    return operator(inputs, attributes)


def _required(tensor: Tensor | None) -> Tensor:
    """Return an input that the operator cannot do without."""
    if tensor is None:
        message = "quantize: a required input of a node is missing; the ONNX graph is not valid."
        raise ConfigError(message)
    return tensor


def _spatial_padding(attributes: Attributes) -> tuple[int, int, int, int]:
    """Return ONNX's (top, left, bottom, right) as torch's (left, right, top, bottom)."""
    if attributes.get("auto_pad", "NOTSET") not in {"NOTSET", "VALID"}:
        message = f"quantize: auto_pad = {attributes['auto_pad']} is not known here; write the pads out."
        raise ConfigError(message)
    top, left, bottom, right = attributes.get("pads", (0, 0, 0, 0))
    return left, right, top, bottom


def _padded(images: Tensor, attributes: Attributes, value: float) -> tuple[Tensor, tuple[int, int]]:
    """Return *images* padded where the two sides differ, and the padding left for the operator itself."""
    left, right, top, bottom = _spatial_padding(attributes)
    if left == right and top == bottom:
        return images, (top, left)
    return F.pad(images, (left, right, top, bottom), value=value), (0, 0)


def _conv(inputs: Inputs, attributes: Attributes) -> Tensor:
    images, weight = _required(inputs[0]), _required(inputs[1])
    bias = inputs[2] if len(inputs) > 2 else None  # noqa: PLR2004 - the optional third input
    if images.ndim != IMAGE_DIMENSIONS:
        message = f"quantize: a convolution over {images.ndim - 2} dimensions is not known here; 2 are."
        raise ConfigError(message)
    images, padding = _padded(images, attributes, 0.0)
    strides, dilations = attributes.get("strides", (1, 1)), attributes.get("dilations", (1, 1))
    return F.conv2d(images, weight, bias, tuple(strides), padding, tuple(dilations), attributes.get("group", 1))


def _gemm(inputs: Inputs, attributes: Attributes) -> Tensor:
    left, right = _required(inputs[0]), _required(inputs[1])
    bias = inputs[2] if len(inputs) > 2 else None  # noqa: PLR2004 - the optional third input
    if attributes.get("alpha", 1.0) != 1.0 or attributes.get("beta", 1.0) != 1.0 or attributes.get("transA", 0):
        message = "quantize: Gemm with alpha, beta or transA is not known here."
        raise ConfigError(message)
    return F.linear(left, right if attributes.get("transB", 0) else right.t(), bias)


def _global_average_pool(inputs: Inputs, _attributes: Attributes) -> Tensor:
    return _required(inputs[0]).mean((2, 3), keepdim=True)


def _average_pool(inputs: Inputs, attributes: Attributes) -> Tensor:
    left, right, top, bottom = _spatial_padding(attributes)
    if left != right or top != bottom or attributes.get("ceil_mode", 0) or any(
        step != 1 for step in attributes.get("dilations", (1, 1))
    ):
        message = "quantize: AveragePool with uneven pads, ceil_mode or dilations is not known here."
        raise ConfigError(message)
    counts_padding = bool(attributes.get("count_include_pad", 0))
    kernel, strides = tuple(attributes["kernel_shape"]), tuple(attributes.get("strides", (1, 1)))
    return F.avg_pool2d(_required(inputs[0]), kernel, strides, (top, left), False, counts_padding)  # noqa: FBT003


def _max_pool(inputs: Inputs, attributes: Attributes) -> Tensor:
    images, padding = _padded(_required(inputs[0]), attributes, float("-inf"))
    kernel, strides = tuple(attributes["kernel_shape"]), tuple(attributes.get("strides", (1, 1)))
    dilations, ceil = tuple(attributes.get("dilations", (1, 1))), bool(attributes.get("ceil_mode", 0))
    return F.max_pool2d(images, kernel, strides, padding, dilations, ceil)


def _clip(inputs: Inputs, _attributes: Attributes) -> Tensor:
    bounds = [bound for bound in (*inputs[1:], None, None)]
    return torch.clamp(_required(inputs[0]), bounds[0], bounds[1])


def _reshape(inputs: Inputs, attributes: Attributes) -> Tensor:
    data, shape = _required(inputs[0]), [int(size) for size in _required(inputs[1]).tolist()]
    if not attributes.get("allowzero", 0):
        shape = [data.shape[axis] if size == 0 else size for axis, size in enumerate(shape)]
    return data.reshape(shape)


def _flatten(inputs: Inputs, attributes: Attributes) -> Tensor:
    data, axis = _required(inputs[0]), attributes.get("axis", 1)
    rows = int(torch.tensor(data.shape[:axis]).prod().item()) if axis else 1
    return data.reshape(rows, -1)


def _squeeze(inputs: Inputs, _attributes: Attributes) -> Tensor:
    data = _required(inputs[0])
    if len(inputs) < 2 or inputs[1] is None:  # noqa: PLR2004 - the optional second input
        return data.squeeze()
    return data.squeeze(tuple(int(axis) for axis in inputs[1].tolist()))


def _reduce_mean(inputs: Inputs, attributes: Attributes) -> Tensor:
    data, keep = _required(inputs[0]), bool(attributes.get("keepdims", 1))
    axes = inputs[1].tolist() if len(inputs) > 1 and inputs[1] is not None else range(data.ndim)
    return data.mean(tuple(int(axis) for axis in axes), keepdim=keep)


def _pad(inputs: Inputs, attributes: Attributes) -> Tensor:
    data, pads = _required(inputs[0]), [int(size) for size in _required(inputs[1]).tolist()]
    if attributes.get("mode", "constant") != "constant" or len(inputs) > 3:  # noqa: PLR2004 - axes come fourth
        message = "quantize: Pad with axes or a mode other than constant is not known here."
        raise ConfigError(message)
    value = inputs[2].item() if len(inputs) > 2 and inputs[2] is not None else 0.0  # noqa: PLR2004 - third input
    both = [(pads[axis], pads[axis + data.ndim]) for axis in reversed(range(data.ndim))]
    return F.pad(data, [size for pair in both for size in pair], value=value)


def _two(function: Callable[[Tensor, Tensor], Tensor]) -> Operator:
    """Return the operator that applies *function* to two inputs."""
    return lambda inputs, _attributes: function(_required(inputs[0]), _required(inputs[1]))


def _one(function: Callable[[Tensor], Tensor]) -> Operator:
    """Return the operator that applies *function* to one input."""
    return lambda inputs, _attributes: function(_required(inputs[0]))


OPERATORS: Final[Mapping[str, Operator]] = MappingProxyType(
    {
        "Add": _two(torch.add),
        "AveragePool": _average_pool,
        "Clip": _clip,
        "Concat": lambda inputs, attributes: torch.cat([_required(i) for i in inputs], attributes["axis"]),
        "Conv": _conv,
        "Flatten": _flatten,
        "Gemm": _gemm,
        "GlobalAveragePool": _global_average_pool,
        "HardSigmoid": lambda inputs, attributes: torch.clamp(
            _required(inputs[0]) * attributes.get("alpha", 0.2) + attributes.get("beta", 0.5), 0, 1
        ),
        "HardSwish": _one(F.hardswish),
        "LeakyRelu": lambda inputs, attributes: F.leaky_relu(_required(inputs[0]), attributes.get("alpha", 0.01)),
        "MatMul": _two(torch.matmul),
        "MaxPool": _max_pool,
        "Mul": _two(torch.mul),
        "Pad": _pad,
        "ReduceMean": _reduce_mean,
        "Relu": _one(torch.relu),
        "Reshape": _reshape,
        "Sigmoid": _one(torch.sigmoid),
        "Softmax": lambda inputs, attributes: torch.softmax(_required(inputs[0]), attributes.get("axis", -1)),
        "Squeeze": _squeeze,
        "Transpose": lambda inputs, attributes: _required(inputs[0]).permute(*attributes["perm"]),
    }
)
