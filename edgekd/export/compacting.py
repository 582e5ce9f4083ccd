"""Short names for what quantization adds to a file: in a small network they are a tenth of it."""

import itertools
from collections.abc import Iterator

from onnx import GraphProto, ModelProto

_PAIRS = frozenset({"DequantizeLinear", "QuantizeLinear"})


def with_short_names(model: ModelProto) -> ModelProto:
    """Return a copy of *model* in which what Q/DQ nodes write, and the constants that only they read, have short names.

    Inputs and outputs of the graph, names of nodes, and the activations between them keep theirs, so that a report of
    the network and one of the file speak of the same layers. A file without Q/DQ comes back as it is.
    """
    short = ModelProto()
    short.CopyFrom(model)
    names = _new_names(short.graph)
    for node in short.graph.node:
        node.input[:] = [names.get(value, value) for value in node.input]
        node.output[:] = [names.get(value, value) for value in node.output]
    for constant in short.graph.initializer:
        constant.name = names.get(constant.name, constant.name)
    return short


def _new_names(graph: GraphProto) -> dict[str, str]:
    """Return a new name for each value that nobody but Q/DQ nodes gave one."""
    interface = {value.name for value in (*graph.input, *graph.output)}
    read_elsewhere = {value for node in graph.node if node.op_type not in _PAIRS for value in node.input}
    added = [value for node in graph.node if node.op_type in _PAIRS for value in node.output if value not in interface]
    constants = {tensor.name for tensor in graph.initializer}
    read = {value for node in graph.node if node.op_type in _PAIRS for value in node.input}
    added += sorted((constants & read) - read_elsewhere - interface)
    taken = interface | constants | {value for node in graph.node for value in (*node.input, *node.output)}
    return dict(zip(added, _unused(taken), strict=False))


def _unused(taken: set[str]) -> Iterator[str]:
    """Yield q0, q1, ... without those that are *taken*."""
    return (name for number in itertools.count() if (name := f"q{number}") not in taken)
