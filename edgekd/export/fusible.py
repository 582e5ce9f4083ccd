"""Forms of an activation that runtimes recognise and run as one kernel: the same numbers in another order."""

import onnx
import onnx_ir as ir

from edgekd.export.rewriting import Replacement, constant_of, input_of, rewrite, sweep

_HALF = 0.5


def with_fusible_forms(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy of *model* in which GELU is written as ONNX Runtime and TensorRT recognise it.

    PyTorch's exporter writes ``x * (0.5 * (1 + erf(x / sqrt(2))))``; recognised is ``(x * (1 + erf(...))) * 0.5``
    (ONNX Runtime's GeluFusion). Halving is exact, so the numbers are the same. For the file that ships: where a product
    is rounded to eight bits on its way the nodes stand apart and stay.
    """
    graph = ir.from_proto(model)
    rewrite(graph, _halve_last)
    sweep(graph)
    fusible: onnx.ModelProto = ir.to_proto(graph)
    return fusible


def _halve_last(node: ir.Node, new: Replacement) -> list[ir.Value] | None:
    """Return a GELU that is halved at its end in the place of *node*, None where it is none."""
    if node.op_type != "Mul":
        return None
    for position, halved in enumerate(node.inputs):
        inner = None if halved is None else halved.producer()
        if halved is None or inner is None or inner.op_type != "Mul" or len(halved.uses()) > 1:
            continue
        for place in (0, 1):
            half, rest = constant_of(inner, place), input_of(inner, 1 - place)
            if half is not None and half.size == 1 and half.item() == _HALF and _is_one_plus_erf(rest):
                return [new.op("Mul", new.op("Mul", input_of(node, 1 - position), rest), inner.inputs[place])]
    return None


def _is_one_plus_erf(value: ir.Value) -> bool:
    """Tell whether *value* is a constant plus an Erf."""
    add = value.producer()
    if add is None or add.op_type != "Add":
        return False
    makers = [operand.producer() for operand in add.inputs if operand is not None]
    return any(maker is not None and maker.op_type == "Erf" for maker in makers)
