"""Weights that two matrix products read in different ways, once for each of them."""

import numpy as np
import onnx
from onnx import GraphProto, TensorProto, helper, numpy_helper

_MATRICES = frozenset({"Gemm", "MatMul"})


def with_own_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy of *model* with a second constant where a matrix is read both as rows and as columns of outputs.

    Each reader's scales lie on the axis of its own outputs: tied weights, of an encoder and its decoder, have two. A
    constant that the canonical form leaves to a Transpose, since others read it as it is, is transposed in the file.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    _transpose_constants(copy.graph)
    constants = {tensor.name: tensor for tensor in copy.graph.initializer}
    taken = constants.keys() | {value for node in copy.graph.node for value in (*node.input, *node.output)}
    names: dict[tuple[str, bool], str] = {}
    read: set[str] = set()
    for node in copy.graph.node:
        if node.op_type not in _MATRICES or node.input[1] not in constants:
            continue
        name, by_rows = node.input[1], any(a.name == "transB" and a.i for a in node.attribute)
        if (name, by_rows) not in names:
            own = name
            while own in read or (own != name and own in taken):
                own += "_"
            names[name, by_rows] = own
            read.add(own)
            if own != name:
                second = TensorProto()
                second.CopyFrom(constants[name])
                second.name = own
                copy.graph.initializer.append(second)
        node.input[1] = names[name, by_rows]
    return copy


def _transpose_constants(graph: GraphProto) -> None:
    """Replace, in place, each Transpose of a constant by a constant of the name that it gave its output."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    outputs = {value.name for value in graph.output}
    for node in tuple(graph.node):
        if node.op_type != "Transpose" or node.input[0] not in constants or node.output[0] in outputs:
            continue
        order = next((helper.get_attribute_value(a) for a in node.attribute if a.name == "perm"), None)
        turned = np.ascontiguousarray(numpy_helper.to_array(constants[node.input[0]]).transpose(order))
        graph.initializer.append(numpy_helper.from_array(turned, node.output[0]))
        graph.node.remove(node)
    read = {value for node in graph.node for value in node.input} | outputs
    kept = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)
