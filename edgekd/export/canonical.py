"""The canonical form of a network: equal networks give equal bytes, and runtimes find their kernels."""

import onnx
import onnx_ir as ir
from onnx import defs, helper
from onnx_ir.passes import common
from onnxscript import optimizer

from edgekd.core.errors import StageError
from edgekd.export import shapes
from edgekd.export.naming import rename
from edgekd.export.rewriting import Replacement, rewrite, sweep
from edgekd.export.simplifications import SIMPLIFICATIONS, own_biases

MOST_ROUNDS = 8
PRODUCER = "edgekd"
GRAPH_NAME = "network"


def canonicalize(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return *model* simplified, named by its structure and free of traces of where it was made.

    onnxscript folds constants, folds BatchNormalization into the Conv, ConvTranspose or Gemm that only it
    reads, and drops what does nothing in inference; the table of ``simplifications`` does the rest.
    BatchNormalization that cannot be folded stays. Attributes at their default are left out. Meant for float
    networks: constants behind QuantizeLinear are not folded. A canonical network stays as it is when
    canonicalized again.

    Raises:
        StageError: the graph contradicts itself, or simplifying it does not come to an end.

    """
    current = _simplified(shapes.refine(model))
    for _ in range(MOST_ROUNDS):
        following = _simplified(current)
        if following == current:
            return current
        current = following
    message = f"graph {model.graph.name!r} still changes after {MOST_ROUNDS} rounds; report it."
    raise StageError(message)


def _simplified(model: onnx.ModelProto) -> onnx.ModelProto:
    graph = ir.from_proto(model)
    optimizer.optimize_ir(graph)
    rewrite(graph, _simplify)
    common.IdentityEliminationPass()(graph)
    sweep(graph)
    common.TopologicalSortPass()(graph)
    own_biases(graph)
    _drop_defaults(graph)
    _drop_traces(graph)
    rename(graph)
    return shapes.infer(ir.to_proto(graph))


def _simplify(node: ir.Node, new: Replacement) -> list[ir.Value] | None:
    for rule in SIMPLIFICATIONS.get(node.op_type, ()) if node.domain == "" else ():
        outputs = rule(node, new)
        if outputs is not None:
            return list(outputs)
    return None


def _drop_defaults(model: ir.Model) -> None:
    """Leave out attributes that say what the operator's schema says anyway, and sort the others by name."""
    for node in ir.traversal.RecursiveGraphIterator(model.graph):
        schema = defs.get_schema(node.op_type, model.opset_imports[node.domain], node.domain)
        kept = sorted(
            (attribute for attribute in node.attributes.values() if not _is_default(attribute, schema)),
            key=lambda attribute: attribute.name,
        )
        node.attributes.clear()
        for attribute in kept:
            node.attributes.add(attribute)


def _is_default(attribute: ir.Attr, schema: defs.OpSchema) -> bool:
    declared = schema.attributes.get(attribute.name)
    if declared is None or declared.default_value.type == onnx.AttributeProto.UNDEFINED:
        return False
    return bool(
        helper.get_attribute_value(ir.to_proto(attribute)) == helper.get_attribute_value(declared.default_value)
    )


def _drop_traces(model: ir.Model) -> None:
    """Remove doc strings, metadata and stack traces; name the producer and the graph alike everywhere."""
    common.ClearMetadataAndDocStringPass()(model)
    model.producer_name, model.producer_version = PRODUCER, None
    model.domain, model.model_version, model.doc_string = None, None, None
    model.metadata_props.clear()
    model.graph.name = GRAPH_NAME
    reads = [value for node in model.graph for value in (*node.inputs, *node.outputs)]
    for value in (*model.graph.inputs, *model.graph.outputs, *reads):
        if value is not None:
            value.metadata_props.clear()
            value.doc_string = None
