"""Where quantization goes in an ONNX graph: one table for each runtime, and the places it gives."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

import msgspec
from onnx import GraphProto, NodeProto

PlacementName = Literal["onnxruntime-arm64", "tensorrt"]


class Placement(msgspec.Struct, frozen=True, kw_only=True):
    """What a runtime wants around its integer kernels.

    *weighted* operators multiply by constant weights (int8, per output channel, zero point 0). *quantized*
    operators have kernels for int8 tensors, so what they take and give is int8. *passing* operators move or
    select values and keep their input's scale. *folded* activations become part of the kernel before them.
    With *only_weighted*, nothing but the input of a weighted operator, and the shortcut into an Add whose
    other side comes straight from one (the side with more of them before it where both do), is quantized.
    *symmetric*: activations have zero point 0. *integer_bias*: biases are int32 at the scale of input times
    weight. *dedicated*: each reader has its own Q/DQ pair.
    """

    weighted: frozenset[str]
    quantized: frozenset[str]
    passing: frozenset[str]
    folded: frozenset[str]
    only_weighted: bool
    symmetric: bool
    integer_bias: bool
    dedicated: bool


PLACEMENTS: Final[Mapping[PlacementName, Placement]] = MappingProxyType(
    {
        # Source: ONNX Runtime's QDQ selectors; int8 asymmetric activations let ReLU and ReLU6 fold on ARM64.
        "onnxruntime-arm64": Placement(
            weighted=frozenset({"Conv", "Gemm", "MatMul"}),
            quantized=frozenset(
                {"Add", "AveragePool", "Concat", "GlobalAveragePool", "LeakyRelu", "Mul", "Sigmoid", "Softmax"}
            ),
            passing=frozenset({"Flatten", "MaxPool", "Reshape", "Squeeze", "Transpose", "Unsqueeze"}),
            folded=frozenset({"Relu", "Clip"}),
            only_weighted=False,
            symmetric=False,
            integer_bias=True,
            dedicated=False,
        ),
        # Source: the TensorRT ONNX parser asserts zero points of 0; NVIDIA's guidance quantizes the inputs of
        # weighted layers and the shortcut of a residual Add, nothing else, and leaves biases float.
        "tensorrt": Placement(
            weighted=frozenset({"Conv", "Gemm", "MatMul"}),
            quantized=frozenset(),
            passing=frozenset(),
            folded=frozenset({"Relu", "Clip"}),
            only_weighted=True,
            symmetric=True,
            integer_bias=False,
            dedicated=True,
        ),
    }
)


class Weight(msgspec.Struct, frozen=True, kw_only=True):
    """The quantized weights of one node: initializer, output-channel axis, and the bias if there is one.

    Without an *axis* all channels share a scale.
    """

    name: str
    axis: int | None
    input_value: str
    bias: str | None


class Places(msgspec.Struct, frozen=True, kw_only=True):
    """What is quantized in one graph.

    *readers*: for each activation the names of the nodes that read it quantized. *scale_of*: the value whose
    scale an activation shares (itself, but for the outputs of passing operators). *weights*: by node name.
    *outputs* are those of the graph's outputs that are given rounded: what an integer kernel writes, and reads again.
    """

    readers: Mapping[str, tuple[str, ...]]
    scale_of: Mapping[str, str]
    weights: Mapping[str, Weight]
    outputs: frozenset[str]
    symmetric: bool
    integer_bias: bool
    dedicated: bool


def place(graph: GraphProto, placement: Placement) -> Places:
    """Return where *placement* puts quantization in *graph*, whose nodes all have names."""
    constants = {initializer.name for initializer in graph.initializer}
    producers = {output: node for node in graph.node for output in node.output}
    readers = _readers(graph, constants)
    weights = {
        node.name: _weight(node)
        for node in graph.node
        if node.op_type in placement.weighted and constants.issuperset(filter(None, node.input[1:]))
    }
    if placement.only_weighted:
        chosen = _weighted_inputs(graph, weights, producers, readers)
    else:
        chosen = _all_edges(graph, placement, weights, producers, readers)
    return Places(
        readers=MappingProxyType(chosen),
        scale_of=MappingProxyType({v: _scale_source(v, placement, producers, chosen) for v in chosen}),
        weights=MappingProxyType(weights),
        outputs=frozenset() if placement.dedicated else frozenset(o.name for o in graph.output if o.name in chosen),
        symmetric=placement.symmetric,
        integer_bias=placement.integer_bias,
        dedicated=placement.dedicated,
    )


def _readers(graph: GraphProto, constants: set[str]) -> dict[str, list[NodeProto]]:
    """Return for each activation the nodes that read it."""
    readers: dict[str, list[NodeProto]] = {}
    for node in graph.node:
        for value in node.input:
            if value and value not in constants:
                readers.setdefault(value, []).append(node)
    return readers


def _weight(node: NodeProto) -> Weight:
    """Return the weights of a weighted *node*: rows are output channels but for a plain matrix product."""
    transposed = any(a.name == "transB" and a.i for a in node.attribute)
    axis = 0 if node.op_type == "Conv" or transposed else 1
    bias = node.input[2] if len(node.input) > 2 and node.input[2] else None  # noqa: PLR2004 - optional third input
    return Weight(name=node.input[1], axis=axis, input_value=node.input[0], bias=bias)


def _all_edges(
    graph: GraphProto,
    placement: Placement,
    weights: Mapping[str, Weight],
    producers: Mapping[str, NodeProto],
    readers: Mapping[str, list[NodeProto]],
) -> dict[str, tuple[str, ...]]:
    """Return every activation that an integer kernel takes or gives, with all its readers.

    An output of the graph that nothing reads stays real, but for a convolution's: its kernel has no real output.
    """
    chosen: dict[str, tuple[str, ...]] = {}
    outputs = {output.name for output in graph.output}
    for value, nodes in readers.items():
        if value not in outputs and _folds(value, nodes, placement, producers):
            continue
        integer_reader = any(_is_integer(node, placement, weights) for node in nodes)
        if integer_reader or _is_integer(_origin(value, placement, producers), placement, weights):
            chosen[value] = tuple(dict.fromkeys(node.name for node in nodes))
    for value in outputs - chosen.keys():
        origin = _origin(value, placement, producers)
        if origin is not None and origin.op_type == "Conv" and origin.name in weights:
            chosen[value] = ()
    return chosen


def _folds(value: str, nodes: list[NodeProto], placement: Placement, producers: Mapping[str, NodeProto]) -> bool:
    """Tell whether *value* disappears inside a kernel: made by a node, read only by a foldable activation."""
    return value in producers and len(nodes) == 1 and nodes[0].op_type in placement.folded


def _origin(value: str, placement: Placement, producers: Mapping[str, NodeProto]) -> NodeProto | None:
    """Return the node whose kernel writes *value*: the one before a folded activation."""
    node = producers.get(value)
    while node is not None and node.op_type in placement.folded:
        node = producers.get(node.input[0])
    return node


def _is_integer(node: NodeProto | None, placement: Placement, weights: Mapping[str, Weight]) -> bool:
    """Tell whether the runtime has an integer kernel for *node*."""
    if node is None:
        return False
    return node.name in weights or node.op_type in placement.quantized or node.op_type in placement.passing


def _weighted_inputs(
    graph: GraphProto,
    weights: Mapping[str, Weight],
    producers: Mapping[str, NodeProto],
    readers: Mapping[str, list[NodeProto]],
) -> dict[str, tuple[str, ...]]:
    """Return the inputs of weighted nodes, and of each Add beside one the shortcut."""
    chosen: dict[str, tuple[str, ...]] = {}
    depth = _depths(graph, weights)
    for node in graph.node:
        if node.name in weights:
            _append(chosen, node.input[0], node.name)
        elif node.op_type == "Add":
            fusing = [v for v in node.input if v in producers and producers[v].name in weights]
            main = max((v for v in fusing if len(readers[v]) == 1), key=depth.__getitem__, default=None)
            shortcut = next((v for v in node.input if v != main and v in readers), None)
            if main is not None and shortcut is not None:
                _append(chosen, shortcut, node.name)
    return chosen


def _depths(graph: GraphProto, weights: Mapping[str, Weight]) -> dict[str, int]:
    """Return for each activation how many weighted nodes the longest way to it passes."""
    depths: dict[str, int] = {}
    for node in graph.node:
        depth = max((depths.get(value, 0) for value in node.input), default=0) + (node.name in weights)
        depths.update(dict.fromkeys(node.output, depth))
    return depths


def _append(chosen: dict[str, tuple[str, ...]], value: str, reader: str) -> None:
    """Add *reader* to the readers of *value*."""
    chosen[value] = (*chosen.get(value, ()), reader)


def _scale_source(
    value: str, placement: Placement, producers: Mapping[str, NodeProto], chosen: Mapping[str, tuple[str, ...]]
) -> str:
    """Return the activation whose scale *value* shares, following passing operators back."""
    node = producers.get(value)
    while node is not None and node.op_type in placement.passing and node.input[0] in chosen:
        value = node.input[0]
        node = producers.get(value)
    return value
