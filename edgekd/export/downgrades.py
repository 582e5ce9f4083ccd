"""One opset down: for every operator that changed between opsets 13 and 18, what to write instead.

A rule under ``(operator, opset)`` takes a node in the form of that opset and writes the form of the opset
before. Source of the forms: the operator schemas in ``onnx.defs`` and onnx's Changelog.md.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
import onnx_ir as ir

from edgekd.core.errors import ConfigError
from edgekd.export.primitives import hard_swish, layer_normalization, mish
from edgekd.export.rewriting import (
    Attribute,
    Replacement,
    Rule,
    attributes_of,
    constant_of,
    input_of,
    known_dims,
    optional_input,
)


def only_types_widened(_node: ir.Node, _new: Replacement) -> None:
    """Leave the node: the newer opset only allows more element types, which ``legalize`` checks by itself."""


def axes_to_attribute(node: ir.Node, new: Replacement) -> Sequence[ir.Value]:
    """Move the axes of a reduction from the second input, where opset 18 has them, into an attribute."""
    axes = constant_of(node, 1)
    if axes is None and optional_input(node, 1) is not None:
        raise refusal(node, "its axes are computed when the network runs", "write them as constants")
    attributes: dict[str, Attribute] = {"keepdims": node.attributes.get_int("keepdims", 1)}
    if axes is not None and axes.size:
        attributes["axes"] = [int(axis) for axis in axes.flat]
    elif node.attributes.get_int("noop_with_empty_axes", 0):
        raise refusal(node, "noop_with_empty_axes = 1 without axes", "leave the reduction out")
    return [new.op(node.op_type, input_of(node, 0), **attributes)]


def pad_every_axis(node: ir.Node, new: Replacement) -> Sequence[ir.Value] | None:
    """Spread the pads of the axes that opset 18 lets a node name over all axes."""
    if optional_input(node, 3) is None:
        return None
    axes, pads, dims = constant_of(node, 3), constant_of(node, 1), known_dims(input_of(node, 0))
    if axes is None or pads is None or dims is None:
        raise refusal(node, "its axes, pads or rank are only known when the network runs", "write them as constants")
    spread = np.zeros((2, len(dims)), np.int64)
    spread[:, [int(axis) for axis in axes.flat]] = pads.reshape(2, -1)
    inputs = [input_of(node, 0), new.constant(spread.reshape(-1), "pads"), optional_input(node, 2)]
    return [new.op("Pad", *inputs[: 3 if inputs[2] is not None else 2], **attributes_of(node))]


def resize_every_axis(node: ir.Node, new: Replacement) -> Sequence[ir.Value] | None:
    """Spread the sizes of the axes that opset 18 lets Resize name over all axes; a free batch is read from the data."""
    source, sizes, dims = input_of(node, 0), constant_of(node, 3), known_dims(input_of(node, 0))
    axes = node.attributes.get_ints("axes", ())
    if not axes or sizes is None or dims is None:
        return without(RESIZE_DEFAULTS)(node, new)
    spread = list(dims)
    for axis, size in zip(axes, sizes.flat, strict=True):
        spread[axis] = int(size)
    if None in spread[1:]:
        raise refusal(node, "its sizes are only known when the network runs", "write them as constants")
    rest = new.constant(np.array(spread[1:], np.int64), "sizes")
    if spread[0] is None:
        bounds = [new.constant(np.array([bound], np.int64), name) for name, bound in (("starts", 0), ("ends", 1))]
        whole = new.op("Concat", new.op("Slice", new.op("Shape", source), *bounds), rest, axis=0)
    else:
        whole = new.constant(np.array(spread, np.int64), "whole_sizes")
    others = {name: default for name, default in RESIZE_DEFAULTS.items() if name != "axes"}
    attributes = {name: value for name, value in _older_attributes(node, others).items() if name != "axes"}
    return [new.op("Resize", source, None, None, whole, **attributes)]


def sizes_of_parts(node: ir.Node, new: Replacement) -> Sequence[ir.Value] | None:
    """Write the sizes of the parts where opset 18 lets Split name only their number (the last is smaller)."""
    count = node.attributes.get_int("num_outputs", 0)
    if not count:
        return None
    source, axis = input_of(node, 0), node.attributes.get_int("axis", 0)
    dims = known_dims(source)
    length = None if dims is None else dims[axis]
    if length is None:
        raise refusal(node, f"the size of axis {axis} is only known when the network runs", "split a fixed axis")
    part = -(-length // count)
    sizes = np.array([part] * (count - 1) + [length - part * (count - 1)], np.int64)
    return new.several("Split", [source, new.constant(sizes, "split")], count, axis=axis)


def _older_attributes(node: ir.Node, defaults: Mapping[str, Attribute | None]) -> dict[str, Attribute]:
    """Return the attributes of *node* without those in *defaults*; ConfigError where it sets one otherwise."""
    attributes = attributes_of(node)
    for name in defaults.keys() & attributes.keys():
        if attributes.pop(name) != defaults[name]:
            reason = f"{name} = {node.attributes[name].value!r} has no older form"
            raise refusal(node, reason, f"use {name} = {defaults[name]!r}" if defaults[name] else "leave it out")
    return attributes


def without(defaults: Mapping[str, Attribute | None]) -> Rule:
    """Return a rule that drops the attributes in *defaults* and refuses a node that sets one otherwise."""

    def drop(node: ir.Node, new: Replacement) -> Sequence[ir.Value] | None:
        attributes = _older_attributes(node, defaults)
        if len(attributes) == len(node.attributes):
            return None
        return new.several(node.op_type, node.inputs, len(node.outputs), **attributes)

    return drop


def reduction_only(*allowed: str) -> Rule:
    """Return a rule that refuses a scatter whose reduction is not *allowed*; "none" can always be dropped."""

    def check(node: ir.Node, new: Replacement) -> Sequence[ir.Value] | None:
        if node.attributes.get_string("reduction", "none") in allowed:
            return None
        return without({"reduction": "none"})(node, new)

    return check


def slice_of_shape(node: ir.Node, new: Replacement) -> Sequence[ir.Value] | None:
    """Write the part of a shape that opset 15 lets Shape name as a Slice of the whole."""
    start, end = node.attributes.get_int("start", 0), node.attributes.get_int("end", None)
    if start == 0 and end is None:
        return without({"start": 0})(node, new)
    whole = new.op("Shape", input_of(node, 0))
    bounds = (start, np.iinfo(np.int64).max if end is None else end)
    edges = zip(bounds, ("starts", "ends"), strict=True)
    constants = [new.constant(np.array([bound], np.int64), name) for bound, name in edges]
    return [new.op("Slice", whole, *constants)]


def zero_copies(node: ir.Node, new: Replacement) -> Sequence[ir.Value] | None:
    """Drop ``allowzero`` of a Reshape whose constant shape has no zero that opset 13 would read as a copy."""
    shape = constant_of(node, 1)
    if shape is None or not np.all(shape):
        return without({"allowzero": 0})(node, new)
    return [new.op("Reshape", *node.inputs)]


def refusal(node: ir.Node, reason: str, remedy: str) -> ConfigError:
    """Return the error for a *node* that the older opset cannot express."""
    problem = f"node {node.name!r} ({node.op_type}): {reason}"
    return ConfigError(f"{problem}; {remedy}, or choose a target with a newer opset.")


RESIZE_DEFAULTS: Mapping[str, Attribute | None] = MappingProxyType(
    {
        "axes": None,
        "antialias": 0,
        "keep_aspect_ratio_policy": "stretch",
    }
)

DOWNGRADES: Mapping[tuple[str, int], Rule] = MappingProxyType(
    {
        ("LpPool", 18): without({"ceil_mode": 0, "dilations": None}),
        ("Mish", 18): mish,
        ("Pad", 18): pad_every_axis,
        ("ReduceL1", 18): axes_to_attribute,
        ("ReduceL2", 18): axes_to_attribute,
        ("ReduceLogSum", 18): axes_to_attribute,
        ("ReduceLogSumExp", 18): axes_to_attribute,
        ("ReduceMax", 18): axes_to_attribute,
        ("ReduceMean", 18): axes_to_attribute,
        ("ReduceMin", 18): axes_to_attribute,
        ("ReduceProd", 18): axes_to_attribute,
        ("ReduceSumSquare", 18): axes_to_attribute,
        ("Resize", 18): resize_every_axis,
        ("ScatterElements", 18): reduction_only("none", "add", "mul"),
        ("ScatterND", 18): reduction_only("none", "add", "mul"),
        ("Split", 18): sizes_of_parts,
        ("LayerNormalization", 17): layer_normalization,
        ("GreaterOrEqual", 16): only_types_widened,
        ("Identity", 16): only_types_widened,
        ("LeakyRelu", 16): only_types_widened,
        ("LessOrEqual", 16): only_types_widened,
        ("PRelu", 16): only_types_widened,
        ("ScatterElements", 16): reduction_only(),
        ("ScatterND", 16): reduction_only(),
        ("Where", 16): only_types_widened,
        ("BatchNormalization", 15): only_types_widened,
        ("Pow", 15): only_types_widened,
        ("Shape", 15): slice_of_shape,
        ("Add", 14): only_types_widened,
        ("BatchNormalization", 14): without({"training_mode": 0}),
        ("CumSum", 14): only_types_widened,
        ("Div", 14): only_types_widened,
        ("GRU", 14): without({"layout": 0}),
        ("HardSwish", 14): hard_swish,
        ("Identity", 14): only_types_widened,
        ("LSTM", 14): without({"layout": 0}),
        ("Mul", 14): only_types_widened,
        ("RNN", 14): without({"layout": 0}),
        ("Relu", 14): only_types_widened,
        ("Reshape", 14): zero_copies,
        ("Sub", 14): only_types_widened,
    }
)
