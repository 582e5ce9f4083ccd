"""Writing small ONNX networks node by node, with random weights and every size known."""

import math
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

OPSET = 18
IR_VERSION = 8
Attribute = int | float | str | Sequence[int]
"""What the attribute of a node can hold here."""
_DRAWN = 4096
"""Random numbers of a weight; a larger one repeats them."""


class Value(msgspec.Struct, frozen=True, kw_only=True):
    """A tensor of the network that is written: its name and its shape, the batch of one included."""

    name: str
    shape: tuple[int, ...]

    @property
    def numbers(self) -> int:
        """Return how many numbers it holds."""
        return math.prod(self.shape)


class Draft:
    """A network under construction: nodes in their order and constants drawn from *random*."""

    def __init__(self, random: np.random.Generator) -> None:
        """Start with nothing."""
        self.random = random
        self.macs = 0
        self._nodes: list[NodeProto] = []
        self._constants: list[TensorProto] = []
        self._inputs: list[Value] = []

    @property
    def size(self) -> int:
        """Return how many nodes there are."""
        return len(self._nodes)

    def input(self, *shape: int) -> Value:
        """Return a new input of the network."""
        value = Value(name=f"input_{len(self._inputs)}", shape=shape)
        self._inputs.append(value)
        return value

    def weight(self, *shape: int, fan_in: int | None = None) -> Value:
        """Return normal random weights whose products with numbers of size one keep that size."""
        spread = 1.0 / math.sqrt(fan_in or math.prod(shape[1:]) or 1)
        some = self.random.standard_normal(min(math.prod(shape), _DRAWN), np.float32) * np.float32(spread)
        return self.constant(np.resize(some, shape))

    def positive(self, *shape: int) -> Value:
        """Return random numbers between a half and one and a half."""
        return self.constant(self.random.uniform(0.5, 1.5, shape).astype(np.float32))

    def constant(self, array: NDArray[np.float32] | NDArray[np.int64]) -> Value:
        """Return *array* as a constant."""
        value = Value(name=f"constant_{len(self._constants)}", shape=array.shape)
        self._constants.append(numpy_helper.from_array(array, value.name))
        return value

    def integers(self, *numbers: int) -> Value:
        """Return a list of integers as a constant."""
        return self.constant(np.array(numbers, dtype=np.int64))

    def scalar(self, number: float) -> Value:
        """Return one number without axes as a constant."""
        return self.constant(np.array(number, dtype=np.float32))

    def node(
        self, operator: str, inputs: Sequence[Value | None], shape: Sequence[int], **attributes: Attribute
    ) -> Value:
        """Return what *operator* gives, of *shape*; None among *inputs* leaves an optional one out."""
        return self.nodes(operator, inputs, [shape], **attributes)[0]

    def nodes(
        self, operator: str, inputs: Sequence[Value | None], shapes: Sequence[Sequence[int]], **attributes: Attribute
    ) -> list[Value]:
        """Return the several values that *operator* gives, of *shapes*."""
        name = f"{operator}_{len(self._nodes)}"
        made = [Value(name=f"{name}_output_{i}", shape=tuple(shape)) for i, shape in enumerate(shapes)]
        names = [value.name if value else "" for value in inputs]
        node = helper.make_node(operator, names, [v.name for v in made], name=name)
        node.attribute.extend(helper.make_attribute(key, value) for key, value in attributes.items())
        self._nodes.append(node)
        return made

    def finish(self, *outputs: Value) -> ModelProto:
        """Return the network with *outputs*."""
        graph = helper.make_graph(
            self._nodes,
            "suite",
            [helper.make_tensor_value_info(v.name, TensorProto.FLOAT, v.shape) for v in self._inputs],
            [helper.make_tensor_value_info(v.name, TensorProto.FLOAT, v.shape) for v in outputs],
            self._constants,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
