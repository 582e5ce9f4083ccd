"""Replace nodes of an ONNX graph by others, one rule at a time."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
from onnx_ir.passes import common

from edgekd.core.errors import ConfigError

Array: TypeAlias = npt.NDArray[np.generic]
Attribute: TypeAlias = int | float | str | Sequence[int]


class Replacement:
    """The nodes and constants that a rule writes in place of one node, named after that node."""

    def __init__(self, node: ir.Node) -> None:
        """Start an empty replacement of *node*."""
        self.tape = ir.tape.Tape()
        self._prefix = node.name or node.outputs[0].name

    def op(self, op_type: str, *inputs: ir.Value | None, **attributes: Attribute) -> ir.Value:
        """Add a node with one output and return that output."""
        return self.several(op_type, inputs, 1, **attributes)[0]

    def several(
        self, op_type: str, inputs: Sequence[ir.Value | None], count: int, **attributes: Attribute
    ) -> Sequence[ir.Value]:
        """Add a node with *count* outputs and return them."""
        name = f"{self._prefix}/{op_type}_{len(self.tape.nodes)}"
        outputs = self.tape.op_multi_out(op_type, inputs, attributes, num_outputs=count, name=name)
        for index, output in enumerate(outputs):
            output.name = f"{name}_output_{index}"
        return outputs

    def constant(self, array: Array, name: str) -> ir.Value:
        """Add an initializer that holds *array* and return it."""
        return self.tape.initializer(ir.tensor(array), name=f"{self._prefix}/{name}")


Rule: TypeAlias = Callable[[ir.Node, Replacement], Sequence[ir.Value] | None]


def rewrite(model: ir.Model, rule: Rule) -> None:
    """Show every node of *model* once to *rule* and put what it returns in the node's place.

    The rule returns one value per output of the node (fewer if nobody reads the last ones), or None to leave
    the node as it is. The new values take over type, shape and name of the old ones; nodes that nobody reads
    any more stay until they are swept.
    """
    for node in tuple(ir.traversal.RecursiveGraphIterator(model.graph)):
        replacement = Replacement(node)
        outputs = rule(node, replacement)
        if outputs is None or node.graph is None:
            continue
        for constant in replacement.tape.initializers:
            node.graph.register_initializer(constant)
        ir.convenience.replace_nodes_and_values(node.graph, node, [node], replacement.tape.nodes, node.outputs, outputs)


def constant_of(node: ir.Node, index: int) -> Array | None:
    """Return the array behind input *index* of *node*, or None if it is absent or computed."""
    if index >= len(node.inputs) or (value := node.inputs[index]) is None or value.is_graph_input():
        return None
    tensor = ir.convenience.get_const_tensor(value)
    return None if tensor is None else tensor.numpy()


def input_of(node: ir.Node, index: int) -> ir.Value:
    """Return input *index* of *node*, which the operator demands."""
    if index >= len(node.inputs) or (value := node.inputs[index]) is None:
        message = f"node {node.name!r}: {node.op_type} came without its input {index}; the graph is not valid ONNX."
        raise ConfigError(message)
    return value


def optional_input(node: ir.Node, index: int) -> ir.Value | None:
    """Return input *index* of *node*, or None if it was left out."""
    return node.inputs[index] if index < len(node.inputs) else None


def attributes_of(node: ir.Node) -> dict[str, Attribute]:
    """Return the values of the attributes of *node* by name."""
    return {name: attribute.value for name, attribute in node.attributes.items()}


def static_dim(dim: int | ir.SymbolicDim) -> int | None:
    """Return the size that *dim* states, or None if it is only known when the network runs."""
    return dim if isinstance(dim, int) else None


def known_dims(value: ir.Value) -> tuple[int | None, ...] | None:
    """Return the dimensions of *value*, None for one known only at run time, or None if nothing is."""
    return None if value.shape is None else tuple(static_dim(dim) for dim in value.shape.dims)


def sweep(model: ir.Model) -> None:
    """Remove nodes, initializers and opset imports that no output depends on."""
    common.RemoveUnusedNodesPass()(model)
    common.RemoveUnusedOpsetsPass()(model)
