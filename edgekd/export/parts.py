"""Splits as slices: operators with one output each, which move integers as well as real numbers."""

import itertools

import numpy as np
import onnx
import onnx_ir as ir

from edgekd.export.rewriting import Replacement, constant_of, input_of, known_dims, rewrite, sweep


def with_slices(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy of *model* (opset 18) with a Slice for each part of a Split; one of unknown sizes stays."""
    graph = ir.from_proto(model)
    rewrite(graph, _slices)
    sweep(graph)
    sliced: onnx.ModelProto = ir.to_proto(graph)
    return sliced


def _slices(node: ir.Node, new: Replacement) -> list[ir.Value] | None:
    """Return the parts of the Split *node*, None where it is none or its sizes are not known."""
    sizes = _sizes(node) if node.op_type == "Split" else None
    if sizes is None:
        return None
    source, axis = input_of(node, 0), np.array([node.attributes.get_int("axis", 0)], np.int64)
    ends = list(itertools.accumulate(sizes))
    bounds = enumerate(zip((0, *ends), ends, strict=False))
    return [
        new.op(
            "Slice",
            source,
            new.constant(np.array([start], np.int64), f"starts_{part}"),
            new.constant(np.array([end], np.int64), f"ends_{part}"),
            new.constant(axis, f"axes_{part}"),
        )
        for part, (start, end) in bounds
    ]


def _sizes(node: ir.Node) -> list[int] | None:
    """Return the sizes of the parts of a Split: as they are named, or equal ones of which the last may be smaller."""
    named = constant_of(node, 1)
    if named is not None:
        return [int(size) for size in named.flat]
    dims, count = known_dims(input_of(node, 0)), len(node.outputs)
    length = None if dims is None else dims[node.attributes.get_int("axis", 0)]
    if length is None or (len(node.inputs) > 1 and node.inputs[1] is not None):
        return None
    part = -(-length // count)
    return [part] * (count - 1) + [length - part * (count - 1)]
