"""What quantization adds to a file, in few bytes: in a small network it is a tenth of it."""

import itertools
import string
from collections import Counter
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

import numpy as np
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, numpy_helper

_PAIRS: Final = frozenset({"DequantizeLinear", "QuantizeLinear"})

_SHIFTED: Final = 2
"""Inputs of a quantizer before its zero point."""

_UNSAID: Final[Mapping[str, int]] = MappingProxyType({"dilations": 1, "pads": 0, "strides": 1})
"""What a Conv does along each axis where it does not say so. Its kernel is said: not everybody looks at the weights."""


def compacted(model: ModelProto) -> ModelProto:
    """Return a copy of *model* in which what Q/DQ nodes write, and the constants that only they read, have short names.

    An activation has the name of the node that gives it, a Conv says nothing that goes without saying, and a Relu is
    left out that rounding does as well. Inputs and outputs of the graph, and other nodes, keep their names, so that a
    report of the network and one of the file speak of the same layers. A file without Q/DQ comes back as it is.
    """
    made = ModelProto()
    made.CopyFrom(model)
    if not any(node.op_type in _PAIRS for node in made.graph.node):
        return made
    _drop_rectifiers(made.graph)
    names = _new_names(made.graph)
    for node in made.graph.node:
        node.input[:] = [names.get(value, value) for value in node.input]
        node.output[:] = [names.get(value, value) for value in node.output]
        said = [attribute for attribute in node.attribute if node.op_type != "Conv" or not _goes_unsaid(attribute)]
        del node.attribute[:]
        node.attribute.extend(said)
    for constant in made.graph.initializer:
        constant.name = names.get(constant.name, constant.name)
    return made


def _drop_rectifiers(graph: GraphProto) -> None:
    """Remove, in place, each Relu that is read by nothing but rounding to levels of which the least is zero.

    Its kernel is that of the layer before it, which clips to those levels whether or not there is a Relu.
    """
    outputs = {value.name for value in graph.output}
    constants = {tensor.name: tensor for tensor in graph.initializer}
    readers: dict[str, list[NodeProto]] = {}
    for node in graph.node:
        for value in node.input:
            readers.setdefault(value, []).append(node)
    for relu in tuple(graph.node):
        reading = readers.get(relu.output[0], [])
        if relu.op_type != "Relu" or relu.output[0] in outputs or not reading:
            continue
        if all(node.op_type == "QuantizeLinear" and _begins_at_zero(node, constants) for node in reading):
            for node in reading:
                node.input[0] = relu.input[0]
            graph.node.remove(relu)


def _begins_at_zero(quantizer: NodeProto, constants: Mapping[str, TensorProto]) -> bool:
    """Tell whether the least level of *quantizer* is the one of zero."""
    zero_point = constants.get(quantizer.input[2]) if len(quantizer.input) > _SHIFTED else None
    if zero_point is None:
        return False
    levels = numpy_helper.to_array(zero_point)
    return bool((levels == np.iinfo(levels.dtype).min).all())


def _goes_unsaid(attribute: AttributeProto) -> bool:
    """Tell whether a Conv without *attribute* does the same."""
    return attribute.name in _UNSAID and set(attribute.ints) == {_UNSAID[attribute.name]}


def _new_names(graph: GraphProto) -> dict[str, str]:
    """Return a new name for each value that is no constant of a float node's and no input or output of *graph*."""
    interface = {value.name for value in (*graph.input, *graph.output)}
    constants = {tensor.name for tensor in graph.initializer}
    floats = [node for node in graph.node if node.op_type not in _PAIRS]
    read_elsewhere = {value for node in floats for value in node.input}
    kept = interface | (constants & read_elsewhere) | {value for node in floats for value in node.output[1:]}
    names: dict[str, str] = {}
    for node in floats:
        value = node.output[0]
        if value not in kept:
            names[value] = node.name if node.name and node.name not in kept else value
            kept.add(names[value])
    pairs = [node for node in graph.node if node.op_type in _PAIRS]
    added = [value for node in pairs for value in node.output if value not in interface]
    added += sorted({value for node in pairs for value in node.input} & constants - read_elsewhere - interface)
    often = Counter(value for node in graph.node for value in (*node.input, *node.output))
    added.sort(key=lambda value: -often[value])
    return names | dict(zip(added, _unused(kept), strict=False))


def _unused(taken: set[str]) -> Iterator[str]:
    """Yield a, b, ..., Z, aa, ab, ... without those that are *taken*."""
    for length in itertools.count(1):
        for letters in itertools.product(string.ascii_letters, repeat=length):
            if (name := "".join(letters)) not in taken:
                yield name
