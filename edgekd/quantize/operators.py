"""What each ONNX operator computes, in torch: the forms that ``export.canonical`` writes (opset 18)."""

import functools
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from edgekd.core.errors import ConfigError
from edgekd.quantize.movement import MOVEMENTS
from edgekd.quantize.operands import Attributes, Inputs, Operator, UnknownFormError, given, numbers, optional, refuse
from edgekd.quantize.spatial import SPATIAL


def run(op_type: str, name: str, inputs: Inputs, attributes: Attributes) -> Tensor:
    """Return the output of one node; ConfigError naming the node where its operator or its form is unknown."""
    try:
        return _operator(op_type)(inputs, attributes)
    except UnknownFormError as unknown:
        message = (
            f"quantize: node '{name}' ({op_type}): {unknown}; "
            "replace it in the network, or ship the float file in FP32 or FP16."
        )
        raise ConfigError(message) from unknown


def _operator(op_type: str) -> Operator:
    """Return the operator of a name."""
    if op_type not in OPERATORS:
        message = f"an operator that cannot be simulated; those that can are {', '.join(sorted(OPERATORS))}"
        raise UnknownFormError(message)
    return OPERATORS[op_type]


def _gemm(inputs: Inputs, attributes: Attributes) -> Tensor:
    scaled = attributes.get("alpha", 1.0) != 1.0 or attributes.get("beta", 1.0) != 1.0
    refuse(scaled or attributes.get("transA", 0), "Gemm with alpha, beta or transA")
    weight = given(inputs, 1)
    rows = weight if attributes.get("transB", 0) else weight.t()
    return functional.linear(given(inputs, 0), rows, optional(inputs, 2))


def _clip(inputs: Inputs, _attributes: Attributes) -> Tensor:
    return torch.clamp(given(inputs, 0), optional(inputs, 1), optional(inputs, 2))


def _hard_sigmoid(inputs: Inputs, attributes: Attributes) -> Tensor:
    slope, offset = float(attributes.get("alpha", 0.2)), float(attributes.get("beta", 0.5))
    return (given(inputs, 0) * slope + offset).clamp(0, 1)


def _layer_normalization(inputs: Inputs, attributes: Attributes) -> Tensor:
    data, axis = given(inputs, 0), attributes.get("axis", -1)
    shape = data.shape[axis % data.ndim :]
    bias = optional(inputs, 2)
    return functional.layer_norm(data, shape, given(inputs, 1), bias, attributes.get("epsilon", 1e-5))


def _instance_normalization(inputs: Inputs, attributes: Attributes) -> Tensor:
    scale, bias = given(inputs, 1), given(inputs, 2)
    return functional.instance_norm(
        given(inputs, 0), weight=scale, bias=bias, use_input_stats=True, eps=attributes.get("epsilon", 1e-5)
    )


def _prelu(inputs: Inputs, _attributes: Attributes) -> Tensor:
    data, slope = given(inputs, 0), given(inputs, 1)
    return torch.where(data < 0, data * slope, data)


def _reduced(function: Callable[..., Tensor]) -> Operator:
    """Return the operator that reduces with *function*; axes come as an input or, before opset 18, an attribute."""

    def reduce(inputs: Inputs, attributes: Attributes) -> Tensor:
        data, axes = given(inputs, 0), optional(inputs, 1)
        named = attributes.get("axes") if axes is None else numbers(axes)
        over = list(range(data.ndim)) if named is None else list(named)
        return function(data, over, keepdim=bool(attributes.get("keepdims", 1)))

    return reduce


def _all_of(function: Callable[[Tensor, Tensor], Tensor]) -> Operator:
    """Return the operator that applies *function* from left to right to all inputs."""
    return lambda inputs, _attributes: functools.reduce(function, (given(inputs, i) for i in range(len(inputs))))


def _two(function: Callable[[Tensor, Tensor], Tensor]) -> Operator:
    """Return the operator that applies *function* to two inputs."""
    return lambda inputs, _attributes: function(given(inputs, 0), given(inputs, 1))


def _one(function: Callable[[Tensor], Tensor]) -> Operator:
    """Return the operator that applies *function* to one input."""
    return lambda inputs, _attributes: function(given(inputs, 0))


OPERATORS: Final[Mapping[str, Operator]] = MappingProxyType(
    {
        **MOVEMENTS,
        **SPATIAL,
        "Abs": _one(torch.abs),
        "Add": _two(torch.add),
        "Clip": _clip,
        "Concat": lambda inputs, attributes: torch.cat([i for i in inputs if i is not None], attributes["axis"]),
        "Cos": _one(torch.cos),
        "Div": _two(torch.div),
        "Elu": lambda inputs, attributes: functional.elu(given(inputs, 0), attributes.get("alpha", 1.0)),
        "Erf": _one(torch.erf),
        "Exp": _one(torch.exp),
        "Gemm": _gemm,
        "HardSigmoid": _hard_sigmoid,
        "HardSwish": _one(functional.hardswish),
        "InstanceNormalization": _instance_normalization,
        "LayerNormalization": _layer_normalization,
        "LeakyRelu": lambda inputs, attributes: functional.leaky_relu(given(inputs, 0), attributes.get("alpha", 0.01)),
        "MatMul": _two(torch.matmul),
        "Max": _all_of(torch.maximum),
        "Min": _all_of(torch.minimum),
        "Mul": _two(torch.mul),
        "Neg": _one(torch.neg),
        "Pow": _two(torch.pow),
        "PRelu": _prelu,
        "ReduceMax": _reduced(torch.amax),
        "ReduceMean": _reduced(torch.mean),
        "ReduceSum": _reduced(torch.sum),
        "Reciprocal": _one(torch.reciprocal),
        "Relu": _one(torch.relu),
        "Sigmoid": _one(torch.sigmoid),
        "Sin": _one(torch.sin),
        "Softmax": lambda inputs, attributes: torch.softmax(given(inputs, 0), attributes.get("axis", -1)),
        "Softplus": _one(functional.softplus),
        "Sqrt": _one(torch.sqrt),
        "Sub": _two(torch.sub),
        "Tanh": _one(torch.tanh),
    }
)
