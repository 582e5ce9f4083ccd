"""A quantized file read back: the float graph, where its quantization is, and on which grids."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from edgekd.core.errors import ConfigError
from edgekd.quantize.fake import LOW, Encodings, Grid
from edgekd.quantize.placement import Places, Weight
from edgekd.quantize.simulation import SimulatedGraph

QUANTIZE: Final = "QuantizeLinear"
DEQUANTIZE: Final = "DequantizeLinear"


class Read(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """What ``qdq.write_qdq`` was given, but for the rounding of weights and biases: they are what the file holds."""

    graph: ModelProto
    places: Places
    encodings: Encodings


def simulated(model: ModelProto, *, fixed_point_sums: bool = False) -> SimulatedGraph:
    """Return the graph in the quantized file *model* in torch, rounding as its runtime does, in evaluation mode.

    Whether the runtime adds in fixed point, as on ARM, is not written in a file.
    """
    read = read_qdq(model)
    places = msgspec.structs.replace(read.places, fixed_point_sums=fixed_point_sums)
    simulation = SimulatedGraph(read.graph, places)
    simulation.quantize(read.encodings)
    return simulation.eval()


def read_qdq(model: ModelProto) -> Read:
    """Return the parts of a file with Q/DQ pairs of 8 bits. Raises ConfigError for one that edgekd did not write."""
    reader = _Reader(model)
    graph = ModelProto()
    graph.CopyFrom(model)
    del graph.graph.node[:], graph.graph.initializer[:]
    graph.graph.node.extend(reader.nodes())
    graph.graph.initializer.extend(reader.initializers())
    return Read(graph=graph, places=reader.places(), encodings=reader.encodings())


def quantized_values(model: ModelProto) -> dict[str, str]:
    """Return for every 8-bit activation of a quantized file, in its order, the value of the float graph behind it."""
    reader = _Reader(model)
    return {node.output[0]: reader.value(node) for node in model.graph.node if node.op_type == QUANTIZE}


class _Reader:
    """The quantizers of one file by what they read and write; ``_real`` has each rounded output before that."""

    def __init__(self, model: ModelProto) -> None:
        """Sort the nodes of *model*."""
        self._constants = {i.name: numpy_helper.to_array(i) for i in model.graph.initializer}
        self._outputs = {output.name for output in model.graph.output}
        self._compute = [node for node in model.graph.node if node.op_type not in {QUANTIZE, DEQUANTIZE}]
        quantizers = {node.output[0]: node for node in model.graph.node if node.op_type == QUANTIZE}
        self._pairs: dict[str, NodeProto] = {}
        self._weights: dict[str, NodeProto] = {}
        for node in model.graph.node:
            if node.op_type != DEQUANTIZE:
                continue
            if node.input[0] in quantizers:
                self._pairs[node.output[0]] = quantizers[node.input[0]]
            elif node.input[0] in self._constants:
                self._weights[node.output[0]] = node
            else:
                message = f"node '{node.name or node.output[0]}' (DequantizeLinear): reads neither a constant nor a Q."
                raise ConfigError(message)
        self._rounded = self._outputs & self._pairs.keys()
        self._real: dict[str, str] = {self._pairs[value].input[0]: value for value in self._rounded}

    def nodes(self) -> list[NodeProto]:
        """Return the float nodes, reading and writing what they did before they were quantized."""
        return [self._rewired(node) for node in self._compute]

    def initializers(self) -> list[TensorProto]:
        """Return the constants of the float graph, weights and biases as real numbers."""
        real = {_plain(name): _dequantized(node, self._constants) for name, node in self._weights.items()}
        read = {value for node in self.nodes() for value in node.input}
        constants: dict[str, NDArray[Any]] = {**self._constants, **real}
        return [numpy_helper.from_array(array, name) for name, array in constants.items() if name in read]

    def places(self) -> Places:
        """Return where the file has quantization."""
        readers: dict[str, tuple[str, ...]] = {self.value(quantizer): () for quantizer in self._pairs.values()}
        for node in self._compute:
            for value in node.input:
                if value in self._pairs:
                    source = self.value(self._pairs[value])
                    readers[source] = tuple(dict.fromkeys((*readers[source], node.name)))
        first: dict[str, str] = {}
        scale_of = {self.value(q): first.setdefault(q.input[1], self.value(q)) for q in self._pairs.values()}
        weights = {node.name: weight for node in self._compute if (weight := self._weight(node)) is not None}
        zero_points = [grid.zero_point for grid in self.encodings().activations.values()]
        return Places(
            readers=MappingProxyType(readers),
            scale_of=MappingProxyType(scale_of),
            weights=MappingProxyType(weights),
            outputs=frozenset(self._rounded),
            symmetric=not any(zero_points),
            integer_bias=self._has_integer_biases(),
            dedicated=False,
            unsigned=any(self._constants[q.input[2]].dtype == np.uint8 for q in self._pairs.values()),
        )

    def encodings(self) -> Encodings:
        """Return the grids of the file."""
        return Encodings(
            activations={self.value(quantizer): self._grid(quantizer) for quantizer in self._pairs.values()},
            weights={
                _plain(name): tuple(self._constants[node.input[1]].reshape(-1).tolist())
                for name, node in self._weights.items()
            },
        )

    def _rewired(self, node: NodeProto) -> NodeProto:
        """Return *node* without the quantizers around it."""
        rewired = NodeProto()
        rewired.CopyFrom(node)
        for position, value in enumerate(node.input):
            if value in self._pairs:
                rewired.input[position] = self.value(self._pairs[value])
            elif value in self._weights:
                rewired.input[position] = _plain(value)
        rewired.output[:] = [self._real.get(value, value) for value in node.output]
        return rewired

    def value(self, quantizer: NodeProto) -> str:
        """Return the activation that *quantizer* rounds, by the name it has in the float graph."""
        source: str = quantizer.input[0]
        return self._real.get(source, source)

    def _grid(self, quantizer: NodeProto) -> Grid:
        """Return the grid of *quantizer*; unsigned levels are signed ones shifted by 128."""
        zero_point = self._constants[quantizer.input[2]]
        shift = LOW if zero_point.dtype == np.uint8 else 0
        return Grid(scale=float(self._constants[quantizer.input[1]]), zero_point=int(zero_point) + shift)

    def _weight(self, node: NodeProto) -> Weight | None:
        """Return the quantized weights of *node*, None where it has none."""
        if len(node.input) < 2 or node.input[1] not in self._weights or node.input[0] not in self._pairs:  # noqa: PLR2004
            return None
        dequantizer = self._weights[node.input[1]]
        is_single = self._constants[dequantizer.input[1]].ndim == 0
        has_bias = len(node.input) > 2 and bool(node.input[2])  # noqa: PLR2004 - the optional third input
        return Weight(
            name=_plain(node.input[1]),
            axis=None if is_single else _axis(dequantizer),
            input_value=self.value(self._pairs[node.input[0]]),
            bias=_plain(node.input[2]) if has_bias else None,
        )

    def _has_integer_biases(self) -> bool:
        """Tell whether biases are integers: none of a quantized layer is real."""
        return all(
            len(node.input) < 3 or not node.input[2] or node.input[2] in self._weights  # noqa: PLR2004
            for node in self._compute
            if self._weight(node) is not None
        )


def _plain(name: str) -> str:
    """Return the name of a constant before it was quantized."""
    return name.removesuffix("_dq")


def _axis(dequantizer: NodeProto) -> int:
    """Return the axis of *dequantizer*'s scales; ONNX's default is 1."""
    return next((int(helper.get_attribute_value(a)) for a in dequantizer.attribute if a.name == "axis"), 1)


def _dequantized(node: NodeProto, constants: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
    """Return the real numbers of a constant's *node*."""
    levels, scales = constants[node.input[0]], constants[node.input[1]]
    if scales.ndim:
        shape = [1] * levels.ndim
        shape[_axis(node)] = -1
        scales = scales.reshape(shape)
    real: NDArray[np.float32] = levels.astype(np.float32) * scales
    return real
