"""Write a network in the form of an older opset, or say which node stands in the way."""

from collections.abc import Sequence

import onnx
import onnx_ir as ir
from onnx import checker, defs, helper, shape_inference

from edgekd.core.errors import ConfigError, StageError
from edgekd.export import shapes
from edgekd.export.downgrades import DOWNGRADES
from edgekd.export.rewriting import Replacement, Rule, rewrite, sweep

OLDEST_OPSET = 13
NEWEST_OPSET = 18


def legalize(model: onnx.ModelProto, *, opset: int, ir_version: int) -> onnx.ModelProto:
    """Return *model* written for *opset* and *ir_version*.

    The model goes down one opset at a time. A node whose operator has the same schema on both sides of a step
    stays; one whose schema changed needs a rule in ``DOWNGRADES`` and is refused without one. Equal opsets
    change nothing but the IR version.

    Raises:
        ConfigError: *opset* is newer than the model's or outside 13 to 18, *ir_version* is too old for it, or
            a node has no form there.
        StageError: the result is not valid ONNX.

    """
    graph = ir.from_proto(shapes.infer(model))
    source = graph.opset_imports.get("", 0)
    _refuse_versions(source, opset, ir_version)
    _refuse_foreign(graph)
    for step in range(source, opset, -1):
        rewrite(graph, _step_down(step, opset))
        graph.graph.opset_imports[""] = step - 1
    sweep(graph)
    graph.ir_version = ir_version
    return _checked(ir.to_proto(graph))


def _step_down(step: int, opset: int) -> Rule:
    """Return the rule that writes a node of opset *step* for the opset before, on the way to *opset*."""

    def lower(node: ir.Node, new: Replacement) -> Sequence[ir.Value] | None:
        if not _changed(node, step):
            return None
        rule = DOWNGRADES.get((node.op_type, step))
        if rule is None:
            where = f"node {node.name!r} ({node.op_type})"
            message = (
                f"{where}: opset {step} changed this operator and edgekd has no rule to write it for "
                f"opset {step - 1}; opset {opset} was asked. Replace the operator in the network, choose a "
                f"target with opset {step} or newer, or add a rule to edgekd.export.downgrades.DOWNGRADES."
            )
            raise ConfigError(message)
        return rule(node, new)

    return lower


def _changed(node: ir.Node, step: int) -> bool:
    """Return whether the schema of the operator of *node* is new in opset *step*."""
    try:
        return bool(defs.get_schema(node.op_type, step, "").since_version == step)
    except defs.SchemaError as error:
        message = f"node {node.name!r} ({node.op_type}): no such operator in opset {step}; not valid ONNX."
        raise ConfigError(message) from error


def _refuse_versions(source: int, opset: int, ir_version: int) -> None:
    if not OLDEST_OPSET <= opset <= NEWEST_OPSET:
        message = f"opset {opset}: expected {OLDEST_OPSET} to {NEWEST_OPSET}, the opsets edgekd can write."
        raise ConfigError(message)
    if opset > source:
        message = (
            f"opset {opset} was asked, the model has opset {source}: models only go to older opsets; "
            f"export it again with opset {opset} or ask for at most {source}."
        )
        raise ConfigError(message)
    oldest = helper.find_min_ir_version_for([helper.make_opsetid("", opset)])
    if not oldest <= ir_version <= onnx.IR_VERSION:
        message = f"IR version {ir_version} with opset {opset}: expected {oldest} to {onnx.IR_VERSION}."
        raise ConfigError(message)


def _refuse_foreign(model: ir.Model) -> None:
    """Refuse operators outside the standard domain: their forms are their owners' affair."""
    for node in ir.traversal.RecursiveGraphIterator(model.graph):
        if node.domain:
            where = f"node {node.name!r} ({node.domain}::{node.op_type})"
            message = (
                f"{where}: only operators of the ONNX standard can be written for an older opset; "
                "replace it in the network or choose a runtime that has it."
            )
            raise ConfigError(message)


def _checked(model: onnx.ModelProto) -> onnx.ModelProto:
    try:
        checker.check_model(model, full_check=True)
        return shapes.infer(model)
    except (checker.ValidationError, shape_inference.InferenceError) as error:
        message = f"graph {model.graph.name!r} is not valid ONNX of opset {model.opset_import[0].version}: {error}"
        raise StageError(message) from error
