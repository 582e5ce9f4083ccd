"""Names for the nodes and values of a graph that follow from its structure alone."""

import re
from collections import Counter
from collections.abc import Iterator

import onnx_ir as ir
from onnx import defs

PARAMETER_PATH = re.compile(r"[A-Za-z_]\w*(\.\w+)+")


def rename(model: ir.Model) -> None:
    """Rename in place: nodes ``Conv_0``, their outputs ``Conv_0_output``, their constants ``Clip_0_max``.

    Graph inputs and outputs keep their names, and so do constants that carry the path of a PyTorch parameter
    (``blocks.0.conv.weight``). Other constants are named after their first reader and sorted by first use.
    """
    graph = model.graph
    taken = {value.name for value in (*graph.inputs, *graph.outputs)}
    constants = _constants_by_first_use(graph)
    taken.update(constant.name for constant, _ in constants if _keeps_its_name(constant))
    graph.initializers.clear()
    counter: Counter[str] = Counter()
    for node in ir.traversal.RecursiveGraphIterator(graph):
        node.name = f"{node.op_type}_{counter[node.op_type]}"
        counter[node.op_type] += 1
        for index, output in enumerate(node.outputs):
            if output.name and not output.is_graph_output():
                suffix = f"output_{index}" if len(node.outputs) > 1 else "output"
                output.name = _free(f"{node.name}_{suffix}", taken)
    for constant, (node, index) in constants:
        if not _keeps_its_name(constant):
            constant.name = _free(f"{node.name}_{_formal_name(node, index)}", taken)
        graph.register_initializer(constant)


def _constants_by_first_use(graph: ir.Graph) -> list[tuple[ir.Value, tuple[ir.Node, int]]]:
    first_use: dict[ir.Value, tuple[ir.Node, int]] = {}
    for node, index, value in _reads(graph):
        if value.is_initializer():
            first_use.setdefault(value, (node, index))
    return list(first_use.items())


def _reads(graph: ir.Graph) -> Iterator[tuple[ir.Node, int, ir.Value]]:
    for node in ir.traversal.RecursiveGraphIterator(graph):
        for index, value in enumerate(node.inputs):
            if value is not None:
                yield node, index, value


def _keeps_its_name(constant: ir.Value) -> bool:
    fixed = constant.is_graph_input() or constant.is_graph_output()
    return fixed or PARAMETER_PATH.fullmatch(constant.name or "") is not None


def _formal_name(node: ir.Node, index: int) -> str:
    version = node.graph.opset_imports.get(node.domain, 1) if node.graph is not None else 1
    formals = defs.get_schema(node.op_type, version, node.domain).inputs
    if index < len(formals) - 1 or formals[-1].option != defs.OpSchema.FormalParameterOption.Variadic:
        return str(formals[index].name)
    return f"{formals[-1].name}_{index}"


def _free(name: str, taken: set[str | None]) -> str:
    while name in taken:
        name += "_"
    taken.add(name)
    return name
