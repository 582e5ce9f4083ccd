"""Where quantization goes in an ONNX graph: one table for each runtime, and the places it gives."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from types import MappingProxyType
from typing import Final

import msgspec
from onnx import GraphProto, NodeProto

from edgekd.quantize.shortcuts import weighted_inputs
from edgekd.targets import PlacementName


class Placement(msgspec.Struct, frozen=True, kw_only=True):
    """What a runtime wants around its integer kernels.

    *weighted* operators multiply by constant weights (int8, zero point 0; per output channel but for *per_tensor*).
    *products* of two activations run in integers too. A MatMul of either kind writes real numbers, which are
    quantized only where an integer kernel reads them. *quantized* operators have kernels for int8 tensors, so what
    they take and give is int8 where an integer kernel comes before them; between real numbers, or with a constant
    operand, they stay real. *passing* operators move or select values and keep their input's scale. *folded*
    activations become part of the kernel before them. With *everywhere*, every activation is quantized. With
    *only_weighted*, nothing but the input of a weighted operator or a product, and the shortcut into an Add whose
    other side comes straight from one (the side with more of them before it where both do), is quantized.
    *symmetric*: activations have zero point 0. *unsigned*: levels are written as uint8, shifted by 128.
    *integer_bias*: biases are int32 at the scale of input times weight. *dedicated*: each reader has its own Q/DQ pair.
    *fixed_point_sums*: the kernel that adds two activations computes in fixed point.
    """

    weighted: frozenset[str]
    products: frozenset[str]
    quantized: frozenset[str]
    passing: frozenset[str]
    folded: frozenset[str]
    per_tensor: frozenset[str] = frozenset()
    everywhere: bool = False
    only_weighted: bool = False
    symmetric: bool = False
    unsigned: bool = False
    integer_bias: bool
    dedicated: bool = False
    fixed_point_sums: bool = False


_WEIGHTED: Final = frozenset({"Conv", "Gemm", "MatMul"})
_PRODUCTS: Final = frozenset({"MatMul"})
_MATRICES: Final = frozenset({"Gemm", "MatMul"})
_MATRIX_RANK: Final = 2
"""Vectors and stacks of matrices have no axis of output channels; products with them stay real."""

_FOLDED: Final = frozenset({"Relu", "Clip"})
_PASSING: Final = frozenset(
    {
        *("DepthToSpace", "Flatten", "Gather", "MaxPool", "Reshape", "Resize", "Slice", "Squeeze", "Transpose"),
        "Unsqueeze",
    }
)
_SELECTING: Final = frozenset({b"nearest", b"CRD", b"DCR"})
"""Modes of passing operators in which they compute nothing."""

_ARM64: Final = Placement(
    weighted=_WEIGHTED,
    products=_PRODUCTS,
    quantized=frozenset({"Add", "AveragePool", "Concat", "GlobalAveragePool", "LeakyRelu", "Mul", "Sigmoid"}),
    passing=_PASSING,
    folded=_FOLDED,
    integer_bias=True,
    fixed_point_sums=True,
)

_ARMV8_0: Final = msgspec.structs.replace(_ARM64, unsigned=True)
_X86: Final = msgspec.structs.replace(_ARMV8_0, fixed_point_sums=False)

PLACEMENTS: Final[Mapping[PlacementName, Placement]] = MappingProxyType(
    {
        # Source: ONNX Runtime's QDQ selectors; int8 asymmetric activations let ReLU and ReLU6 fold on ARM64.
        "onnxruntime-arm64": _ARM64,
        # The same selectors and the same numbers, written unsigned: x86 kernels leave signed data in float, and cores
        # without dot products take 7 % fewer instructions for it (targets/raspberry-pi-4.toml).
        "onnxruntime-armv8.0": _ARMV8_0,
        "onnxruntime-x86": _X86,
        # Source: ONNX Runtime's QNN execution provider: a node unit has its Q/DQ on every side, outputs too; uint8
        # activations; one scale for each channel in convolutions alone.
        "qnn": msgspec.structs.replace(
            _X86, everywhere=True, per_tensor=frozenset({"Gemm", "MatMul"}), products=frozenset()
        ),
        # Source: the TensorRT ONNX parser asserts zero points of 0; NVIDIA's guidance quantizes the inputs of
        # weighted layers and the shortcut of a residual Add, nothing else, and leaves biases float.
        "tensorrt": Placement(
            weighted=_WEIGHTED,
            products=_PRODUCTS,
            quantized=frozenset(),
            passing=frozenset(),
            folded=_FOLDED,
            only_weighted=True,
            symmetric=True,
            integer_bias=False,
            dedicated=True,
        ),
    }
)


def passes_values(node: NodeProto, placement: Placement) -> bool:
    """Tell whether *node* moves or selects values: its operator is *passing*, and it does not interpolate.

    ONNX Runtime resizes integers to the nearest ones alone; between linear ones it computes in real numbers.
    """
    return node.op_type in placement.passing and all(a.name != "mode" or a.s in _SELECTING for a in node.attribute)


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
    unsigned: bool = False
    fixed_point_sums: bool = False


def place(graph: GraphProto, placement: Placement, keep: frozenset[str] = frozenset()) -> Places:
    """Return where *placement* puts quantization in *graph*, whose nodes all have names; those in *keep* stay real."""
    ranks = {initializer.name: len(initializer.dims) for initializer in graph.initializer}
    constants = set(ranks)
    producers = {output: node for node in graph.node for output in node.output}
    readers = _readers(graph, constants)
    weights = {
        node.name: _weight(node, placement)
        for node in graph.node
        if node.op_type in placement.weighted
        and node.name not in keep
        and node.input[0] not in constants
        and constants.issuperset(filter(None, node.input[1:]))
        and (node.op_type not in _MATRICES or ranks[node.input[1]] == _MATRIX_RANK)
    }
    products = {
        node.name
        for node in graph.node
        if node.op_type in placement.products and node.name not in keep and constants.isdisjoint(node.input)
    }
    if placement.only_weighted:
        chosen = weighted_inputs(graph, weights.keys(), products, producers, readers)
    else:
        integer = _integer_nodes(graph, placement, weights.keys() | products, producers, readers, keep)
        chosen = _all_edges(graph, placement, integer, producers, readers)
    return Places(
        readers=MappingProxyType(chosen),
        scale_of=MappingProxyType({v: _scale_source(v, placement, producers, chosen) for v in chosen}),
        weights=MappingProxyType(weights),
        outputs=frozenset() if placement.dedicated else frozenset(o.name for o in graph.output if o.name in chosen),
        symmetric=placement.symmetric,
        integer_bias=placement.integer_bias,
        dedicated=placement.dedicated,
        unsigned=placement.unsigned,
        fixed_point_sums=placement.fixed_point_sums,
    )


def _readers(graph: GraphProto, constants: set[str]) -> dict[str, list[NodeProto]]:
    """Return for each activation the nodes that read it."""
    readers: dict[str, list[NodeProto]] = {}
    for node in graph.node:
        for value in node.input:
            if value and value not in constants:
                readers.setdefault(value, []).append(node)
    return readers


def _weight(node: NodeProto, placement: Placement) -> Weight:
    """Return the weights of a weighted *node*: rows are output channels but for a plain matrix product."""
    transposed = any(a.name == "transB" and a.i for a in node.attribute)
    axis: int | None = 0 if node.op_type == "Conv" or transposed else 1
    if node.op_type in placement.per_tensor:
        axis = None
    bias = node.input[2] if len(node.input) > 2 and node.input[2] else None  # noqa: PLR2004 - optional third input
    return Weight(name=node.input[1], axis=axis, input_value=node.input[0], bias=bias)


def _integer_nodes(
    graph: GraphProto,
    placement: Placement,
    multiplying: AbstractSet[str],
    producers: Mapping[str, NodeProto],
    readers: Mapping[str, list[NodeProto]],
    keep: frozenset[str],
) -> dict[str, bool]:
    """Return the nodes that run in integers, by name, and whether each writes integers too.

    Those that multiply do; what computes or moves values does after a kernel that writes integers, and what moves
    them also before one that reads them: a tensor of int8 is a quarter to move.
    """
    integer: dict[str, bool] = {}
    for node in graph.node:
        origins = [_origin(value, placement, producers) for value in node.input if value in readers]
        follows = any(origin is not None and integer.get(origin.name, False) for origin in origins)
        if node.name in multiplying:
            integer[node.name] = node.op_type not in placement.products
        elif node.name in keep:
            continue
        elif placement.everywhere or (follows and _takes_integers(node, placement, readers)):
            integer[node.name] = True
    for node in reversed(graph.node):
        is_read = any(reader.name in integer for reader in readers.get(node.output[0], ()))
        if is_read and passes_values(node, placement) and node.name not in keep:
            integer[node.name] = True
    return integer


def _takes_integers(node: NodeProto, placement: Placement, readers: Mapping[str, list[NodeProto]]) -> bool:
    """Tell whether the runtime can run *node* on int8 tensors: what moves values, or computes on activations alone."""
    if passes_values(node, placement):
        return True
    return node.op_type in placement.quantized and all(value in readers for value in node.input)


def _all_edges(
    graph: GraphProto,
    placement: Placement,
    integer: Mapping[str, bool],
    producers: Mapping[str, NodeProto],
    readers: Mapping[str, list[NodeProto]],
) -> dict[str, tuple[str, ...]]:
    """Return every activation that an integer kernel takes or gives, with its readers.

    What a kernel gives as integers everybody reads so; of other values only integer kernels read the rounded form. An
    output of the graph that nothing reads stays real, but for a convolution's: its kernel has no real output.
    """
    chosen: dict[str, tuple[str, ...]] = {}
    outputs = {output.name for output in graph.output}
    for value, nodes in readers.items():
        if value not in outputs and _folds(value, nodes, placement, producers):
            continue
        origin = _origin(value, placement, producers)
        is_given = placement.everywhere or (origin is not None and integer.get(origin.name, False))
        names = tuple(dict.fromkeys(node.name for node in nodes if is_given or node.name in integer))
        if names:
            chosen[value] = names
    for value in outputs - chosen.keys():
        origin = _origin(value, placement, producers)
        if (
            origin is not None
            and integer.get(origin.name, False)
            and (placement.everywhere or origin.op_type == "Conv")
        ):
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


def _scale_source(
    value: str, placement: Placement, producers: Mapping[str, NodeProto], chosen: Mapping[str, tuple[str, ...]]
) -> str:
    """Return the activation whose scale *value* shares, following passing operators back."""
    node = producers.get(value)
    while node is not None and passes_values(node, placement) and node.input[0] in chosen:
        value = node.input[0]
        node = producers.get(value)
    return value
