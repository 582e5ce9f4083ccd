"""An ONNX graph as a torch module that computes what the quantized graph will compute, and can be trained."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np
import onnx
import torch
from onnx import ModelProto, NodeProto, numpy_helper
from torch import Tensor, nn

from edgekd.quantize.fake import BIAS_LIMIT, LOW, Encodings, Grid, bias_scales, broadcast_scales, fake_quantize
from edgekd.quantize.kernels import Operands, integer_layer, integer_sum
from edgekd.quantize.operators import run
from edgekd.quantize.placement import Places, Weight
from edgekd.quantize.scales import ACTIVATION_GRIDS, WEIGHT_SCALES, FixedGrid, FixedScales, ScaleRule

FOLDED: Final = frozenset({"Clip", "Relu"})
"""Activations that a kernel does as part of its rounding."""

SPATIAL: Final = frozenset({"Conv"})
"""Operators whose outputs have their channels on axis 1, before the spatial ones; others have them last."""


class SimulatedGraph(nn.Module):
    """The nodes of *model* run one by one in torch; weights and biases are parameters.

    With encodings (see ``quantize``), weights, biases and activations are rounded as the runtime's integer kernels
    round them: in training in float32, so that there are gradients; in evaluation mode in integer arithmetic, bit for
    bit, where the runtime's biases are integers. Without, it is the float graph.
    """

    def __init__(self, model: ModelProto, places: Places) -> None:
        """Take the graph's float weights as parameters, every other constant as it is; *model* stays."""
        super().__init__()
        self.places = places
        self.is_quantized = False
        self._nodes = [(node, _attributes(node)) for node in model.graph.node]
        self._inputs = [value.name for value in model.graph.input]
        self._outputs = [value.name for value in model.graph.output]
        self._point_of = _points(node for node, _ in self._nodes)
        self.points = nn.ModuleDict({name: nn.Identity() for name in self._point_of.values()})
        self.grids = nn.ModuleDict()
        self.scales = nn.ModuleDict()
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self._held_after = 0
        self._is_moving = False
        self._grid_of: dict[str, str] = {}
        self._written_by: dict[str, str] = {}
        self._rectifiers: dict[str, str] = {}
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

    def quantize(self, encodings: Encodings, *, rule: ScaleRule = "fixed", held_after: int = 0) -> None:
        """Round from now on, beginning with *encodings*; scales move by *rule* for *held_after* training batches."""
        grids = encodings.activations
        self.grids, self.scales = nn.ModuleDict(), nn.ModuleDict()
        sources = sorted({self.places.scale_of[value] for value in grids})
        places = {source: f"grid_{position}" for position, source in enumerate(sources)}
        for source, name in places.items():
            self.grids[name] = ACTIVATION_GRIDS[rule](grids[source], symmetric=self.places.symmetric)
        self._grid_of = {value: places[self.places.scale_of[value]] for value in grids}
        for weight in self.places.weights.values():
            values = self.initializer(weight.name)
            scales = broadcast_scales(encodings.weights[weight.name], values, weight.axis)
            self.scales[self._parameter_of[weight.name]] = WEIGHT_SCALES[rule](scales, weight.axis)
        self._written_by = self._kernel_outputs()
        self._rectifiers = self._folded_rectifiers() if not self.places.symmetric else {}
        self._held_after = held_after
        self.get_buffer("steps").zero_()
        self.is_quantized = True

    def encodings(self) -> Encodings:
        """Return the grids as they are now."""
        return Encodings(
            activations={value: self._grid(value).grid for value in self._grid_of},
            weights={
                weight.name: tuple(self._scales(weight).current().flatten().tolist())
                for weight in self.places.weights.values()
            },
        )

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Return the graph's output for *inputs*, in the graph's order; a tuple where it has several."""
        values = self.values(*inputs)
        outputs = tuple(
            self._rounded(name, values) if name in self.places.outputs else values[name] for name in self._outputs
        )
        if self.training:
            self.get_buffer("steps").add_(1)
        return outputs if len(outputs) > 1 else outputs[0]

    def values(self, *inputs: Tensor) -> dict[str, Tensor]:
        """Return every activation of the graph by name, before its own quantization.

        Each goes through the submodule ``points.<name>``, where it can be tapped. Of a quantized graph, those of a
        ReLU are left out that its reader's rounding does as well, unless somebody taps them.
        """
        self._is_moving = self.training and int(self.get_buffer("steps")) < self._held_after
        values = dict(zip(self._inputs, inputs, strict=True))
        rounded: dict[str, Tensor] = {}
        for node, attributes in self._nodes:
            point = self.points[self._point_of[node.output[0]]]
            if node.output[0] in self._rectifiers and not point._forward_hooks:  # noqa: SLF001 - torch has no other way to ask
                continue
            operands = [self._read(node, name, values, rounded) for name in node.input]
            values[node.output[0]] = point(self._result(node, attributes, operands))
        return values

    def levels(self, *inputs: Tensor) -> dict[str, Tensor]:
        """Return every quantized activation as int8, by name; the graph is quantized."""
        values = self.values(*inputs)
        return {
            value: (torch.round(self._rounded(value, values) / torch.tensor(grid.scale)) + grid.zero_point).to(
                torch.int8
            )
            for value, grid in self.encodings().activations.items()
        }

    def initializer(self, name: str) -> Tensor:
        """Return the current values of the trained initializer *name*."""
        return self.get_parameter(self._parameter_of[name])

    def _folded_rectifiers(self) -> dict[str, str]:
        """Return the input of each ReLU that does nothing more, since all its readers round from zero upwards."""
        readers = {name: {node.name for node, _ in self._nodes if name in node.input} for name in self._grid_of}
        return {
            node.output[0]: node.input[0]
            for node, _ in self._nodes
            if node.op_type == "Relu"
            and node.output[0] not in self._outputs
            and node.output[0] in self._grid_of
            and node.input[0] not in self._grid_of
            and self._grid(node.output[0]).zero_point == LOW
            and readers[node.output[0]] == set(self.places.readers[node.output[0]])
        }

    def _kernel_outputs(self) -> dict[str, str]:
        """Return for each weighted node the value that its kernel writes: that of the activation it does as well."""
        written: dict[str, str] = {}
        for node, _ in self._nodes:
            value = node.output[0]
            readers = [other for other, _ in self._nodes if value in other.input]
            if value not in self._grid_of and len(readers) == 1 and readers[0].op_type in FOLDED:
                value = readers[0].output[0]
            written[node.name] = value
        return written

    def _grid(self, value: str) -> FixedGrid:
        """Return the grid of an activation."""
        found = self.grids[self._grid_of[value]]
        assert isinstance(found, FixedGrid)  # noqa: S101 - ``quantize`` puts nothing else there
        return found

    def _scales(self, weight: Weight) -> FixedScales:
        """Return the scales of a weight."""
        found = self.scales[self._parameter_of[weight.name]]
        assert isinstance(found, FixedScales)  # noqa: S101 - ``quantize`` puts nothing else there
        return found

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
        if not self.is_quantized or node.name not in self.places.readers.get(name, ()):
            return values[name]
        if name not in rounded:
            rounded[name] = self._rounded(name, values)
        return rounded[name]

    def _rounded(self, name: str, values: Mapping[str, Tensor]) -> Tensor:
        """Return the activation *name* rounded to its grid; as it is in the float graph."""
        if not self.is_quantized:
            return values[name]
        source = self._rectifiers.get(name, name)
        found: Tensor = self._grid(name)(values[source], rectified=source != name, moving=self._is_moving)
        return found

    def _weights(self, weight: Weight) -> list[Tensor | None]:
        """Return a node's rounded weights and its bias, rounded too where the runtime's is an integer."""
        rounded, scales = self._scales(weight)(self.initializer(weight.name), moving=self._is_moving)
        if weight.bias is None:
            return [rounded]
        bias = self.initializer(weight.bias)
        if self.places.integer_bias:
            step = bias_scales(torch.tensor(self._grid(weight.input_value).grid.scale), scales)
            bias = fake_quantize(bias, step, 0, -BIAS_LIMIT, BIAS_LIMIT)
        return [rounded, bias]

    def _result(self, node: NodeProto, attributes: Mapping[str, Any], operands: list[Tensor | None]) -> Tensor:
        """Return the output of *node*: of its integer kernel in evaluation mode, of real arithmetic otherwise."""
        weight = self.places.weights.get(node.name)
        is_integer = self.is_quantized and not self.training and self.places.integer_bias
        if weight is not None and is_integer:
            return self._by_integers(node, attributes, weight, operands[0])
        if weight is not None and self.is_quantized:
            operands[1:] = self._weights(weight)
        if is_integer and node.op_type == "Add":
            grids = [self._grid_read(node, value) for value in (*node.input, self._written_by[node.name])]
            pairs = [(data, grid) for data, grid in zip(operands, grids, strict=False) if data is not None and grid]
            if len(pairs) == len(operands) and grids[-1] is not None:
                fixed_point, unsigned = self.places.fixed_point_sums, self.places.unsigned
                return integer_sum(*pairs, result=grids[-1], fixed_point=fixed_point, unsigned=unsigned)
        return run(node.op_type, node.name, operands, attributes)

    def _grid_read(self, node: NodeProto, value: str) -> Grid | None:
        """Return the grid on which *node* reads or writes *value*, None where it is real."""
        is_read = value not in node.input or node.name in self.places.readers.get(value, ())
        return self._grid(value).grid if value in self._grid_of and is_read else None

    def _by_integers(
        self, node: NodeProto, attributes: Mapping[str, Any], weight: Weight, data: Tensor | None
    ) -> Tensor:
        """Return what the integer kernel of a weighted *node* writes: on the grid of its output, where there is one."""
        assert data is not None  # noqa: S101 - a graph without it is not valid ONNX
        values = self.initializer(weight.name)
        after = self._written_by[node.name]
        operands = Operands(
            data=data,
            data_grid=self._grid(weight.input_value).grid,
            weight=values,
            weight_scales=self._scales(weight).current(),
            bias=None if weight.bias is None else self.initializer(weight.bias),
            channels=(-1, *(1,) * (values.ndim - 2)) if node.op_type in SPATIAL else (-1,),
        )
        return integer_layer(
            lambda *inputs: run(node.op_type, node.name, inputs, attributes),
            operands,
            self._grid(after).grid if after in self._grid_of else None,
        )


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


def _points(nodes: Iterable[NodeProto]) -> dict[str, str]:
    """Return for each node's output the name under which it can be tapped: its own, unless a module cannot have it."""
    points: dict[str, str] = {}
    for node in nodes:
        name = str(node.output[0]).replace(".", "_")
        while hasattr(nn.ModuleDict(), name) or name in points.values():
            name += "_"
        points[node.output[0]] = name
    return points


def _attributes(node: NodeProto) -> dict[str, Any]:
    """Return a node's attributes as plain values, text decoded."""
    values = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    return {name: value.decode() if isinstance(value, bytes) else value for name, value in values.items()}
