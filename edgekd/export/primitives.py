"""Operators that older opsets do not have, written in operators that they do have."""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from edgekd.core.errors import ConfigError
from edgekd.export.rewriting import Replacement, input_of, optional_input

DEFAULT_EPSILON = 1e-5


def mish(node: ir.Node, new: Replacement) -> Sequence[ir.Value]:
    """Write Mish (opset 18) as ``x * tanh(softplus(x))`` (Misra 2019, equation 1)."""
    x = input_of(node, 0)
    return [new.op("Mul", x, new.op("Tanh", new.op("Softplus", x)))]


def hard_swish(node: ir.Node, new: Replacement) -> Sequence[ir.Value]:
    """Write HardSwish (opset 14) as ``x * max(0, min(1, x / 6 + 1 / 2))``."""
    x = input_of(node, 0)
    return [new.op("Mul", x, new.op("HardSigmoid", x, alpha=1 / 6, beta=0.5))]


def layer_normalization(node: ir.Node, new: Replacement) -> Sequence[ir.Value]:
    """Write LayerNormalization (opset 17) as ``(x - mean) / sqrt(variance + epsilon) * scale + bias``.

    Mean and variance are taken in float32 for any input type, as ``stash_type = 1`` demands: squares of
    float16 overflow early, and a small epsilon is no normal float16 number.
    """
    x, where = input_of(node, 0), f"node {node.name!r} (LayerNormalization)"
    if any(output.uses() or output.is_graph_output() for output in node.outputs[1:]):
        message = f"{where}: its mean or deviation is used; only the first output has an older form."
        raise ConfigError(message)
    if x.shape is None or x.dtype is None:
        message = f"{where}: the rank or type of its input cannot be inferred; export the network again."
        raise ConfigError(message)
    rank = x.shape.rank()
    axes = list(range(node.attributes.get_int("axis", -1) % rank, rank))
    epsilon = np.array(node.attributes.get_float("epsilon", DEFAULT_EPSILON), np.float32)
    narrow = x.dtype != ir.DataType.FLOAT
    wide = new.op("Cast", x, to=ir.DataType.FLOAT.value) if narrow else x
    centred = new.op("Sub", wide, new.op("ReduceMean", wide, axes=axes, keepdims=1))
    squares = new.op("Pow", centred, new.constant(np.array(2, np.float32), "two"))
    variance = new.op("ReduceMean", squares, axes=axes, keepdims=1)
    deviation = new.op("Sqrt", new.op("Add", variance, new.constant(epsilon, "epsilon")))
    normal = new.op("Div", centred, deviation)
    scaled = new.op("Mul", new.op("Cast", normal, to=x.dtype.value) if narrow else normal, input_of(node, 1))
    bias = optional_input(node, 2)
    return [scaled if bias is None else new.op("Add", scaled, bias)]
