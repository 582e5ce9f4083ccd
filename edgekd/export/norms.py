"""BatchNormalization that no convolution before it takes in, in a form that is quantized."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from edgekd.export.rewriting import Replacement, attributes_of, constant_of, input_of, known_dims, rewrite, sweep

_MATRIX: Final = 2
_CONVOLVED: Final = frozenset({3, 4})
"""Ranks of signals and images, which integer kernels convolve."""

Reals = NDArray[np.float64]


def with_convolved_norms(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy of *model*, canonical, in which BatchNormalization is part of a layer or one itself.

    It goes into the Conv or Gemm behind it where that is its only reader and pads nothing: what a Conv pads is 0 behind
    the norm, and something else before it. Otherwise it becomes a convolution of each channel with one number or,
    between matrices, a product and a sum. One whose statistics are computed, or of unknown rank, stays.
    """
    graph = ir.from_proto(model)
    for rule in (_absorbed, _spelled_out):
        rewrite(graph, rule)
        sweep(graph)
    convolved: onnx.ModelProto = ir.to_proto(graph)
    return convolved


def _absorbed(node: ir.Node, new: Replacement) -> Sequence[ir.Value] | None:
    """Return the Conv or Gemm *node* with the norm before it in its constants; None where there is none."""
    norm = node.inputs[0].producer() if node.op_type in {"Conv", "Gemm"} and node.inputs[0] is not None else None
    line = None if norm is None else _line(norm)
    weight, bias = constant_of(node, 1), constant_of(node, 2)
    if norm is None or line is None or weight is None or (bias is None and len(node.inputs) > _MATRIX):
        return None
    is_shared = len(norm.outputs[0].uses()) > 1 or norm.outputs[0].is_graph_output()
    if is_shared or not (_pads_nothing(node) if node.op_type == "Conv" else _multiplies_rows(node)):
        return None
    slopes, offsets = (_for_weight(numbers, weight.shape, node) for numbers in line)
    real = weight.astype(np.float64)
    shift = (real * offsets).reshape(len(real), -1).sum(1) + (0.0 if bias is None else bias.reshape(-1))
    constants = [new.constant((real * slopes).astype(np.float32), "weight"), new.constant(_single(shift), "bias")]
    return [new.op(node.op_type, input_of(norm, 0), *constants, **attributes_of(node))]


def _spelled_out(node: ir.Node, new: Replacement) -> Sequence[ir.Value] | None:
    """Return what computes the BatchNormalization *node*; None where it is none, or not known well enough."""
    line, dims = _line(node), known_dims(input_of(node, 0)) if node.inputs else None
    if line is None or dims is None:
        return None
    slopes, offsets = map(_single, line)
    if len(dims) == _MATRIX:
        product = new.op("Mul", input_of(node, 0), new.constant(slopes, "slopes"))
        return [new.op("Add", product, new.constant(offsets, "offsets"))]
    if len(dims) not in _CONVOLVED:
        return None
    weight = new.constant(slopes.reshape(-1, *(1,) * (len(dims) - 1)), "weight")
    return [new.op("Conv", input_of(node, 0), weight, new.constant(offsets, "bias"), group=len(slopes))]


def _line(node: ir.Node) -> tuple[Reals, Reals] | None:
    """Return slope and offset (channels,) of a BatchNormalization in inference; None where *node* is none."""
    if node.op_type != "BatchNormalization" or node.attributes.get_int("training_mode", 0) == 1:
        return None
    constants = [constant_of(node, position) for position in range(1, 5)]
    if any(constant is None for constant in constants):
        return None
    scale, shift, mean, variance = (np.asarray(constant, np.float64) for constant in constants)
    slopes = scale / np.sqrt(variance + node.attributes.get_float("epsilon", 1e-5))
    return slopes, shift - mean * slopes


def _pads_nothing(node: ir.Node) -> bool:
    """Tell whether the Conv *node* sees nothing but its input."""
    automatic = node.attributes.get_string("auto_pad", "NOTSET")
    return automatic == "VALID" or (automatic == "NOTSET" and not any(node.attributes.get_ints("pads", ())))


def _multiplies_rows(node: ir.Node) -> bool:
    """Tell whether the Gemm *node* is of the canonical form: weights (outputs, inputs) and no factors."""
    attributes = attributes_of(node)
    return attributes.get("transB", 0) == 1 and attributes.keys() <= {"transB"}


def _for_weight(numbers: Reals, shape: Sequence[int], node: ir.Node) -> Reals:
    """Return *numbers*, one for each input channel, in a shape that broadcasts against weights (outputs, inputs, ...).

    The outputs of each of a Conv's groups read the channels of that group alone.
    """
    groups = node.attributes.get_int("group", 1)
    rows = np.repeat(numbers.reshape(groups, -1), shape[0] // groups, axis=0)
    return rows.reshape(*rows.shape, *(1,) * (len(shape) - _MATRIX))


def _single(numbers: Reals) -> NDArray[np.float32]:
    """Return *numbers* in float32."""
    return numbers.astype(np.float32)
