"""Quantization of nothing but the inputs of multiplying nodes and the shortcuts of residual additions."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from onnx import GraphProto, NodeProto


def weighted_inputs(
    graph: GraphProto,
    weights: AbstractSet[str],
    products: AbstractSet[str],
    producers: Mapping[str, NodeProto],
    readers: Mapping[str, list[NodeProto]],
) -> dict[str, tuple[str, ...]]:
    """Return the inputs of weighted nodes and products, and of each Add beside a weighted one the shortcut."""
    chosen: dict[str, tuple[str, ...]] = {}
    depth = _depths(graph, weights)
    for node in graph.node:
        if node.name in weights:
            _append(chosen, node.input[0], node.name)
        elif node.name in products:
            for value in dict.fromkeys(node.input):
                _append(chosen, value, node.name)
        elif node.op_type == "Add":
            fusing = [v for v in node.input if v in producers and producers[v].name in weights]
            main = max((v for v in fusing if len(readers[v]) == 1), key=depth.__getitem__, default=None)
            shortcut = next((v for v in node.input if v != main and v in readers), None)
            if main is not None and shortcut is not None:
                _append(chosen, shortcut, node.name)
    return chosen


def _depths(graph: GraphProto, weights: AbstractSet[str]) -> dict[str, int]:
    """Return for each activation how many weighted nodes the longest way to it passes."""
    depths: dict[str, int] = {}
    for node in graph.node:
        depth = max((depths.get(value, 0) for value in node.input), default=0) + (node.name in weights)
        depths.update(dict.fromkeys(node.output, depth))
    return depths


def _append(chosen: dict[str, tuple[str, ...]], value: str, reader: str) -> None:
    """Add *reader* to the readers of *value*."""
    chosen[value] = (*chosen.get(value, ()), reader)
