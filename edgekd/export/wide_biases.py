"""Biases of matrix products over three and more dimensions, in a form that keeps the product in integers."""

import numpy as np
import onnx
import onnx_ir as ir

from edgekd.export.rewriting import Replacement, constant_of, known_dims, rewrite, sweep

_MATRIX = 2


def with_wide_biases(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy of *model* in which a bias (n,) added to a MatMul of rank three and more is (1, ..., 1, n).

    The numbers are the same. ONNX Runtime writes a MatMul with a bias (n,) as a Gemm between two Reshapes, whose real
    bias then has no integer kernel: measured with 1.32, where three quarters of a small encoder fell back to float.
    """
    graph = ir.from_proto(model)
    rewrite(graph, _widen)
    sweep(graph)
    widened: onnx.ModelProto = ir.to_proto(graph)
    return widened


def _widen(node: ir.Node, new: Replacement) -> list[ir.Value] | None:
    """Return an Add with a wide bias in the place of *node*, None where it is no such sum."""
    if node.op_type != "Add":
        return None
    for position, product in enumerate(node.inputs):
        bias = constant_of(node, 1 - position)
        producer = None if product is None else product.producer()
        if product is None or bias is None or bias.ndim != 1 or producer is None or producer.op_type != "MatMul":
            continue
        rank = len(known_dims(product) or ())
        if rank > _MATRIX:
            wide = new.constant(np.reshape(bias, (1,) * (rank - 1) + bias.shape), "bias")
            return [new.op("Add", product, wide)]
    return None
