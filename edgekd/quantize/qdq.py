"""The quantized graph as ONNX: QuantizeLinear/DequantizeLinear pairs and real int8 weights."""

from collections.abc import Iterator

import numpy as np
import torch
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from edgekd.quantize.fake import Grid, bias_scales, quantize_bias, quantize_weight
from edgekd.quantize.placement import Places, Weight


def write_qdq(model: ModelProto, places: Places, grids: dict[str, Grid]) -> ModelProto:
    """Return a copy of the float graph *model* with Q/DQ at *places* on *grids* and int8 weights on disk.

    Scales and zero points of activations are 0-d: shape (1,) keeps runtimes from fusing. A trained bias becomes
    int32 where the runtime wants it so. The float weights that were replaced are gone from the file.
    """
    quantized = ModelProto()
    quantized.CopyFrom(model)
    graph = quantized.graph
    constants = {i.name: numpy_helper.to_array(i) for i in model.graph.initializer}
    nodes: list[NodeProto] = []
    written: set[str] = set()
    for node in model.graph.node:
        rewired = NodeProto()
        rewired.CopyFrom(node)
        for position, value in enumerate(node.input):
            if node.name in places.readers.get(value, ()):
                nodes.extend(_activation(graph, value, node.name, places, grids, written))
                rewired.input[position] = _pair_name(value, node.name, places) + "_dq"
        weight = places.weights.get(node.name)
        if weight is not None:
            nodes.extend(_weights(graph, rewired, weight, constants, places, grids, written))
        nodes.append(rewired)
    del graph.node[:]
    graph.node.extend(nodes)
    _drop_unused(graph)
    return quantized


def _pair_name(value: str, reader: str, places: Places) -> str:
    """Return the name of the Q/DQ pair on *value*: one for all readers, or one for each."""
    return f"{value}_for_{reader}" if places.dedicated and len(places.readers[value]) > 1 else value


def _activation(  # noqa: PLR0913 - the graph, one edge, and where and how it is rounded
    graph: GraphProto, value: str, reader: str, places: Places, grids: dict[str, Grid], written: set[str]
) -> Iterator[NodeProto]:
    """Yield the Q/DQ pair on *value* for *reader*, unless it is there already."""
    name = _pair_name(value, reader, places)
    if name + "_dq" in written:
        return
    written.add(name + "_dq")
    grid = grids[value]
    scale = _constant(graph, f"{name}_scale", np.array(grid.scale, dtype=np.float32))
    zero_point = _constant(graph, f"{name}_zero_point", np.array(grid.zero_point, dtype=np.int8))
    yield helper.make_node("QuantizeLinear", [value, scale, zero_point], [f"{name}_q"], name=f"{name}_q")
    yield helper.make_node("DequantizeLinear", [f"{name}_q", scale, zero_point], [f"{name}_dq"], name=f"{name}_dq")


def _weights(  # noqa: PLR0913 - the graph, one node, and where and how it is rounded
    graph: GraphProto,
    node: NodeProto,
    weight: Weight,
    constants: dict[str, np.ndarray],
    places: Places,
    grids: dict[str, Grid],
    written: set[str],
) -> Iterator[NodeProto]:
    """Yield the DQ nodes of a weighted *node*'s weights and bias, and make it read them."""
    levels, scales = quantize_weight(torch.from_numpy(np.array(constants[weight.name])), weight.axis)
    node.input[1] = f"{weight.name}_dq"
    if node.input[1] not in written:
        written.add(node.input[1])
        yield _dequantize(graph, weight.name, levels.numpy(), scales.numpy(), weight.axis)
    if weight.bias is None or not places.integer_bias:
        return
    steps = bias_scales(grids[weight.input_value].scale, scales)
    name = f"{weight.bias}_for_{node.name}"
    node.input[2] = f"{name}_dq"
    bias = quantize_bias(torch.from_numpy(np.array(constants[weight.bias])), steps)
    yield _dequantize(graph, name, bias.numpy(), steps.numpy(), 0)


def _dequantize(graph: GraphProto, name: str, levels: np.ndarray, scales: np.ndarray, axis: int) -> NodeProto:
    """Return a DQ node over integer constants with one scale for each index of *axis* and zero points of 0."""
    inputs = [_constant(graph, f"{name}_q", levels), _constant(graph, f"{name}_scale", scales)]
    if levels.dtype == np.int8:
        inputs.append(_constant(graph, f"{name}_zero_point", np.zeros(scales.shape, dtype=np.int8)))
    return helper.make_node("DequantizeLinear", inputs, [f"{name}_dq"], name=f"{name}_dq", axis=axis)


def _constant(graph: GraphProto, name: str, array: np.ndarray) -> str:
    """Add an initializer and return its name."""
    graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name))
    return name


def _drop_unused(graph: GraphProto) -> None:
    """Remove the initializers that no node reads any more."""
    read = {value for node in graph.node for value in node.input}
    kept: list[TensorProto] = [i for i in graph.initializer if i.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)
