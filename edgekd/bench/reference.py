"""Small networks that never change, to tell how fast a host is at the moment: each asks something else of it.

Weights are one number everywhere and stand in the file as that number; ONNX Runtime fills them in when it loads it.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

Layer = tuple[str, tuple[int, ...], Mapping[str, Any]]
"""Operator, shape of its weight or () for none, attributes."""

_OPSET, _IR = 13, 8
_PAD: Final[Mapping[str, Any]] = {"pads": [1, 1, 1, 1]}
_POOL: Final[Mapping[str, Any]] = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}


def write_references(folder: Path) -> dict[str, Path]:
    """Write all reference networks to *folder* and return their paths by name."""
    paths = {name: folder / f"{name}.onnx" for name in REFERENCES}
    for name, path in paths.items():
        path.write_bytes(_bytes(name))
    return paths


def _bytes(name: str) -> bytes:
    """Return the ONNX file of one reference network."""
    model = REFERENCES[name]()
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def _chain(shape: Sequence[int], layers: Sequence[Layer]) -> ModelProto:
    """Return a network of *layers* one after another on an input of *shape*, whose output has that shape too."""
    nodes: list[NodeProto] = []
    sizes = []
    for number, (operator, weight, attributes) in enumerate(layers):
        taken = ["input" if number == 0 else f"value_{number - 1}"]
        if weight:
            name = f"weight_{number}"
            sizes.append(numpy_helper.from_array(np.array(weight, np.int64), f"{name}_shape"))
            fill = helper.make_tensor("fill", TensorProto.FLOAT, [1], [1 / int(np.prod(weight[1:]))])
            nodes.append(helper.make_node("ConstantOfShape", [f"{name}_shape"], [name], value=fill))
            taken.append(name)
        nodes.append(helper.make_node(operator, taken, [f"value_{number}"], **attributes))
    return _model(nodes, sizes, shape, nodes[-1].output[0])


def _integers() -> ModelProto:
    """Return three convolutions in 8-bit integers."""
    side, channels = 20, 32
    constants = {
        "scale": np.float32(0.05),
        "zero": np.uint8(128),
        "weight": np.ones((channels, channels, 3, 3), np.int8),
        "weight_scale": np.float32(0.01),
        "weight_zero": np.int8(0),
    }
    kernel = ["weight", "weight_scale", "weight_zero", "scale", "zero"]
    nodes = [
        helper.make_node("QuantizeLinear", ["input", "scale", "zero"], ["value_0"]),
        *(
            helper.make_node("QLinearConv", [f"value_{n}", "scale", "zero", *kernel], [f"value_{n + 1}"], **_PAD)
            for n in range(3)
        ),
        helper.make_node("DequantizeLinear", ["value_3", "scale", "zero"], ["output"]),
    ]
    tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    return _model(nodes, tensors, (1, channels, side, side), "output")


def _model(nodes: list[NodeProto], tensors: list[TensorProto], shape: Sequence[int], output: str) -> ModelProto:
    """Return a network with one input and one *output* of the same *shape*."""
    named = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape)) for name in ("input", output)}
    graph = helper.make_graph(nodes, "reference", [named["input"]], [named[output]], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR)


_DENSE: Final[Layer] = ("Conv", (32, 32, 3, 3), _PAD)
_SEPARABLE: Final[tuple[Layer, ...]] = (
    ("Conv", (96, 16, 1, 1), {}),
    ("Conv", (96, 1, 3, 3), {**_PAD, "group": 96}),
    ("Conv", (16, 96, 1, 1), {}),
)
_MOVES: Final[tuple[Layer, ...]] = (
    ("MaxPool", (), _POOL),
    ("Transpose", (), {"perm": [0, 2, 3, 1]}),
    ("MaxPool", (), _POOL),
    ("Transpose", (), {"perm": [0, 3, 1, 2]}),
)

REFERENCES: Final[Mapping[str, Callable[[], ModelProto]]] = MappingProxyType(
    {
        "dense": lambda: _chain((1, 32, 24, 24), [_DENSE] * 3),
        "separable": lambda: _chain((1, 16, 24, 24), _SEPARABLE * 2),
        "integers": _integers,
        "weights": lambda: _chain((1, 2048), [("MatMul", (2048, 2048), {})]),
        "stream": lambda: _chain((1, 64, 48, 48), [("Abs", (), {}), ("Neg", (), {})] * 2),
        "moves": lambda: _chain((1, 32, 32, 32), _MOVES),
        "functions": lambda: _chain((64, 128), [("Tanh", (), {}), ("Sigmoid", (), {}), ("Softmax", (), {})] * 2),
        "overhead": lambda: _chain((1, 16), [("Relu", (), {}), ("Neg", (), {})] * 20),
    }
)
"""Arithmetic of dense and of separable convolutions, in integers; 16 MiB of weights read once; activations streamed,
and moved about; transcendental functions; the start of an operator."""
