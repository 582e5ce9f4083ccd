"""An ONNX graph as a torch module that computes what the quantized graph will compute, and can be trained."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import torch
from onnx import ModelProto, NodeProto, numpy_helper
from torch import Tensor, nn

from edgekd.quantize.fake import (
    BIAS_LIMIT,
    HIGH,
    LOW,
    WEIGHT_LIMIT,
    Grid,
    bias_scales,
    fake_quantize,
    weight_scales,
)
from edgekd.quantize.operators import run
from edgekd.quantize.placement import Places, Weight


class SimulatedGraph(nn.Module):
    """The nodes of *model* run one by one in torch; weights and biases are parameters.

    With *grids* (one for each activation in ``places.readers``), weights, biases and activations are rounded
    as the runtime's integer kernels round them. Without, it is the float graph.
    """

    def __init__(self, model: ModelProto, places: Places) -> None:
        """Take the graph's float weights as parameters, every other constant as it is; *model* stays."""
        super().__init__()
        self.places = places
        self.grids: Mapping[str, Grid] | None = None
        self._nodes = [(node, _attributes(node)) for node in model.graph.node]
        self._inputs = [value.name for value in model.graph.input]
        self._outputs = [value.name for value in model.graph.output]
        self.points = nn.ModuleDict({_point(node): nn.Identity() for node in model.graph.node})
        trained = _trained(places)
        self._parameter_of: dict[str, str] = {}
        self._buffer_of: dict[str, str] = {}
        for position, initializer in enumerate(model.graph.initializer):
            tensor = torch.from_numpy(np.array(numpy_helper.to_array(initializer)))
            if initializer.name in trained:
                self._parameter_of[initializer.name] = f"constant_{position}"
                self.register_parameter(f"constant_{position}", nn.Parameter(tensor))
            else:
                self._buffer_of[initializer.name] = f"constant_{position}"
                self.register_buffer(f"constant_{position}", tensor, persistent=False)

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Return the graph's output for *inputs*, in the graph's order; a tuple where it has several."""
        values = self.values(*inputs)
        outputs = tuple(
            self._rounded(name, values[name]) if name in self.places.outputs else values[name] for name in self._outputs
        )
        return outputs if len(outputs) > 1 else outputs[0]

    def values(self, *inputs: Tensor) -> dict[str, Tensor]:
        """Return every activation of the graph by name, before its own quantization.

        Each goes through the submodule ``points.<name>``, where it can be tapped.
        """
        values = dict(zip(self._inputs, inputs, strict=True))
        rounded: dict[str, Tensor] = {}
        for node, attributes in self._nodes:
            operands = [self._read(node, name, values, rounded) for name in node.input]
            weight = self.places.weights.get(node.name)
            if weight is not None and self.grids is not None:
                operands[1:] = self._weights(weight, self.grids)
            result = run(node.op_type, node.name, operands, attributes)
            values[node.output[0]] = self.points[_point(node)](result)
        return values

    def initializer(self, name: str) -> Tensor:
        """Return the current values of the trained initializer *name*."""
        return self.get_parameter(self._parameter_of[name])

    def _read(
        self, node: NodeProto, name: str, values: Mapping[str, Tensor], rounded: dict[str, Tensor]
    ) -> Tensor | None:
        """Return one input of *node*: a constant, an activation, or the activation rounded to its grid."""
        if not name:
            return None
        if name in self._parameter_of:
            return self.initializer(name)
        if name in self._buffer_of:
            return self.get_buffer(self._buffer_of[name])
        if self.grids is None or node.name not in self.places.readers.get(name, ()):
            return values[name]
        if name not in rounded:
            rounded[name] = self._rounded(name, values[name])
        return rounded[name]

    def _rounded(self, name: str, value: Tensor) -> Tensor:
        """Return the activation *name* rounded to its grid; as it is in the float graph."""
        if self.grids is None:
            return value
        grid = self.grids[name]
        return fake_quantize(value, torch.tensor(grid.scale, dtype=torch.float32), grid.zero_point, LOW, HIGH)

    def _weights(self, weight: Weight, grids: Mapping[str, Grid]) -> list[Tensor | None]:
        """Return a node's rounded weights and its bias, rounded too where the runtime's is an integer."""
        values = self.initializer(weight.name)
        scales = weight_scales(values, weight.axis)
        rounded = fake_quantize(values, scales, 0, -WEIGHT_LIMIT, WEIGHT_LIMIT)
        if weight.bias is None:
            return [rounded]
        bias = self.initializer(weight.bias)
        if self.places.integer_bias:
            step = bias_scales(grids[weight.input_value].scale, scales)
            bias = fake_quantize(bias, step, 0, -BIAS_LIMIT, BIAS_LIMIT)
        return [rounded, bias]


def trained_model(model: ModelProto, simulation: SimulatedGraph) -> ModelProto:
    """Return a copy of *model* with the weights and biases that *simulation* has now."""
    trained = ModelProto()
    trained.CopyFrom(model)
    changed = _trained(simulation.places)
    for initializer in trained.graph.initializer:
        if initializer.name in changed:
            array = simulation.initializer(initializer.name).detach().contiguous().numpy()
            initializer.CopyFrom(numpy_helper.from_array(array, initializer.name))
    return trained


def _trained(places: Places) -> set[str]:
    """Return the initializers that training changes."""
    return {name for weight in places.weights.values() for name in (weight.name, weight.bias) if name}


def _point(node: NodeProto) -> str:
    """Return the name under which *node*'s output can be tapped: its own, unless torch's modules cannot have it."""
    name = str(node.output[0]).replace(".", "_")
    return f"{name}_" if hasattr(nn.ModuleDict(), name) else name


def _attributes(node: NodeProto) -> dict[str, Any]:
    """Return a node's attributes as plain values, text decoded."""
    values = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    return {name: value.decode() if isinstance(value, bytes) else value for name, value in values.items()}
