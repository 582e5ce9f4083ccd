"""Weights that two matrix products read in different ways, once for each of them."""

import onnx
from onnx import TensorProto

_MATRICES = frozenset({"Gemm", "MatMul"})


def with_own_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy of *model* with a second constant where a matrix is read both as rows and as columns of outputs.

    Each reader's scales lie on the axis of its own outputs: tied weights, of an encoder and its decoder, have two.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
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
