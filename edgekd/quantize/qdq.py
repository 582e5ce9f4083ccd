"""The quantized graph as ONNX: QuantizeLinear/DequantizeLinear pairs and real int8 weights."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from edgekd.quantize.fake import LOW, Encodings, bias_scales, broadcast_scales, quantize_bias, quantize_weight
from edgekd.quantize.placement import Places, Weight


def write_qdq(model: ModelProto, places: Places, encodings: Encodings) -> ModelProto:
    """Return a copy of the float graph *model* with Q/DQ at *places*, by *encodings*, and int8 weights on disk.

    Scales and zero points of activations are 0-d: shape (1,) keeps runtimes from fusing. A trained bias
    becomes int32 where the runtime wants it so. The float weights that were replaced are gone from the file.
    Weights have zero points, though ONNX reads 0 where there are none: without them ONNX Runtime 1.32 leaves
    Gemm in float and TensorRT 8.2 refuses the node. Equal zero points are one initializer.
    """
    writer = _Writer(model.graph, places, encodings)
    for node in model.graph.node:
        writer.add(node)
    quantized = ModelProto()
    quantized.CopyFrom(model)
    del quantized.graph.node[:]
    quantized.graph.node.extend(writer.nodes)
    _replace_initializers(quantized.graph, writer.constants)
    return quantized


class _Writer:
    """Nodes and constants of the quantized graph, as far as they are written: each pair and constant once."""

    def __init__(self, graph: GraphProto, places: Places, encodings: Encodings) -> None:
        """Start with no node and no constant."""
        self._floats = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
        self._places = places
        self._encodings = encodings
        self._written: set[str] = set()
        self._taken = {value for node in graph.node for value in node.output}
        self._taken |= {named.name for named in (*graph.input, *graph.output, *graph.initializer)}
        self._names: dict[str, str] = {}
        self.nodes: list[NodeProto] = []
        self.constants: dict[str, TensorProto] = {}

    def add(self, node: NodeProto) -> None:
        """Write *node*, reading integers where it is placed so, after the Q/DQ nodes that it reads from."""
        rewired = NodeProto()
        rewired.CopyFrom(node)
        for position, value in enumerate(node.input):
            if node.name in self._places.readers.get(value, ()):
                rewired.input[position] = self._activation(value, node.name)
        weight = self._places.weights.get(node.name)
        if weight is not None:
            values = _tensor(self._floats[weight.name])
            scales = broadcast_scales(self._encodings.weights[weight.name], values, weight.axis)
            levels = quantize_weight(values, scales).numpy()
            rewired.input[1] = self._dequantized(weight.name, levels, scales.numpy(), weight.axis)
            if weight.bias is not None and self._places.integer_bias:
                rewired.input[2] = self._bias(node.name, weight, scales)
        rounded = [value for value in node.output if value in self._places.outputs]
        for position, value in enumerate(node.output):
            rewired.output[position] = self._before_rounding(value) if value in rounded else value
        self.nodes.append(rewired)
        for value in rounded:
            self._activation(value, "")

    def _activation(self, value: str, reader: str) -> str:
        """Return what *reader* reads instead of *value*: the end of its own Q/DQ pair or of the common one."""
        own = self._places.dedicated and len(self._places.readers[value]) > 1
        name = f"{value}_for_{reader}" if own else value
        is_output = value in self._places.outputs
        end = value if is_output else self._new(f"{name}_dq")
        if end not in self._written:
            grid = self._encodings.activations[value]
            scale = np.array(grid.scale, dtype=np.float32)
            shift, kind = (-LOW, np.uint8) if self._places.unsigned else (0, np.int8)
            zero_point = np.array(grid.zero_point + shift, dtype=kind)
            constants = [
                self._constant(f"{self._places.scale_of[value]}_scale", scale),
                self._constant(f"zero_point_{'u' if shift else ''}{zero_point}", zero_point),
            ]
            source = self._before_rounding(value) if is_output else value
            levels = self._new(f"{name}_q")
            self._write(helper.make_node("QuantizeLinear", [source, *constants], [levels]))
            self._write(helper.make_node("DequantizeLinear", [levels, *constants], [end]))
        return end

    def _bias(self, node: str, weight: Weight, scales: torch.Tensor) -> str:
        """Return the dequantized int32 bias of *node*, whose step is input scale times weight scale."""
        steps = bias_scales(torch.tensor(self._encodings.activations[weight.input_value].scale), scales)
        levels = quantize_bias(_tensor(self._floats[weight.bias or ""]), steps)
        return self._dequantized(f"{node}_bias", levels.numpy(), steps.numpy(), None if weight.axis is None else 0)

    def _dequantized(self, name: str, levels: NDArray[Any], scales: NDArray[Any], axis: int | None) -> str:
        """Return constant integers as real numbers, one scale for each index of *axis* or a single one.

        Zero points are 0.
        """
        end = self._new(f"{name}_dq")
        if end not in self._written:
            scales = scales.reshape(() if axis is None else -1)
            inputs = [self._constant(f"{name}_q", levels), self._constant(f"{name}_scale", scales)]
            if levels.dtype == np.int8:
                zeros = np.zeros(scales.shape, dtype=np.int8)
                inputs.append(self._constant(f"zero_points_{zeros.size}" if zeros.ndim else "zero_point_0", zeros))
            node = helper.make_node("DequantizeLinear", inputs, [end])
            if axis is not None:
                node.attribute.append(helper.make_attribute("axis", axis))
            self._write(node)
        return end

    def _write(self, node: NodeProto) -> None:
        """Write a Q or DQ node; it has no name, that of its output does."""
        self._written.add(node.output[0])
        self.nodes.append(node)

    def _new(self, wished: str) -> str:
        """Return the name of something that the float graph has not: *wished*, longer where the graph has that name."""
        if wished not in self._names:
            name = wished
            while name in self._taken:
                name += "_"
            self._taken.add(name)
            self._names[wished] = name
        return self._names[wished]

    def _before_rounding(self, value: str) -> str:
        """Return the name of an output of the graph before it is rounded."""
        return self._new(f"{value}_real")

    def _constant(self, name: str, array: NDArray[Any]) -> str:
        """Write a constant, unless it is there already, and return its name."""
        name = self._new(name)
        if name not in self.constants:
            contiguous = np.ascontiguousarray(array).reshape(array.shape)
            self.constants[name] = numpy_helper.from_array(contiguous, name)
        return name


def _tensor(array: NDArray[Any]) -> torch.Tensor:
    """Return a tensor of its own memory."""
    return torch.from_numpy(np.array(array))


def _replace_initializers(graph: GraphProto, added: Mapping[str, TensorProto]) -> None:
    """Put *added* behind the initializers of *graph* and drop, in place, those that no node reads any more."""
    read = {value for node in graph.node for value in node.input}
    kept = [i for i in (*graph.initializer, *added.values()) if i.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)
