"""The rewrites that bring a graph of PyTorch's exporter into canonical form, beyond what onnxscript does."""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
import onnx_ir as ir

from edgekd.export.rewriting import (
    Array,
    Replacement,
    Rule,
    attributes_of,
    constant_of,
    input_of,
    known_dims,
    optional_input,
)

SPATIAL_AXES = (2, 3)
IMAGE_RANK = 4
MATRIX_RANK = 2
MOST_REPEATED = 1024
"""Numbers of one constant that are written out: pads and sizes are few, images of zeros would fill the file."""
BIASED = frozenset({"Conv", "ConvTranspose", "Gemm"})


def pool_spatial_mean(node: ir.Node, new: Replacement) -> Sequence[ir.Value] | None:
    """Write a mean over height and width as GlobalAveragePool, followed by Flatten if the axes are dropped.

    ONNX Runtime and TensorRT have integer kernels for pooling and none for ReduceMean.
    """
    image = input_of(node, 0)
    axes = _axes(node)
    if axes is None or image.shape is None or image.shape.rank() != IMAGE_RANK:
        return None
    if tuple(sorted(axis % IMAGE_RANK for axis in axes)) != SPATIAL_AXES:
        return None
    pooled = new.op("GlobalAveragePool", image)
    return [pooled if node.attributes.get_int("keepdims", 1) else new.op("Flatten", pooled)]


def plain_reshape(node: ir.Node, new: Replacement) -> Sequence[ir.Value] | None:
    """Write a Reshape that keeps the first dimension as nothing, as Flatten, or with 0 for that dimension.

    The first dimension is kept when the product of the others is the same before and after. ``allowzero``
    goes when the shape has no zero to tell apart.
    """
    source, shape = input_of(node, 0), constant_of(node, 1)
    allow_zero = node.attributes.get_int("allowzero", 0) == 1
    asked = None if shape is None else [int(size) for size in shape.flat]
    if asked is None or (allow_zero and 0 in asked):
        return None
    dims = known_dims(source)
    rest = None if dims is None else _rest(dims, asked)
    if rest is None or (len(rest) > 1 and asked == [0, *rest] and rest != (dims or ())[1:]):
        return [new.op("Reshape", source, input_of(node, 1))] if allow_zero else None
    if dims is not None and rest == dims[1:]:
        return [new.op("Identity", source)]
    if len(rest) == 1:
        return [new.op("Flatten", source)]
    return [new.op("Reshape", source, new.constant(np.array([0, *rest], np.int64), "shape"))]


def matrix_product_to_gemm(node: ir.Node, new: Replacement) -> Sequence[ir.Value] | None:
    """Write a product of a matrix and a constant matrix as Gemm with weights of shape (outputs, inputs)."""
    source, weight = input_of(node, 0), constant_of(node, 1)
    if weight is None or weight.ndim != MATRIX_RANK or source.shape is None or source.shape.rank() != MATRIX_RANK:
        return None
    return [new.op("Gemm", source, new.constant(np.ascontiguousarray(weight.T), "B"), transB=1)]


def gemm_rows_are_outputs(node: ir.Node, new: Replacement) -> Sequence[ir.Value] | None:
    """Store the constant weights of a Gemm as (outputs, inputs): axis 0 counts outputs as in a Conv."""
    weight = constant_of(node, 1)
    if weight is None or node.attributes.get_int("transB", 0) == 1:
        return None
    transposed = new.constant(np.ascontiguousarray(weight.T), "B")
    inputs = [input_of(node, 0), transposed, *node.inputs[2:]]
    return [new.op("Gemm", *inputs, **{**attributes_of(node), "transB": 1})]


def gemm_without_factors(node: ir.Node, new: Replacement) -> Sequence[ir.Value] | None:
    """Multiply alpha and beta of a Gemm into its constant weights and bias: integer kernels know no factors."""
    alpha, beta = (node.attributes.get_float(name, 1.0) for name in ("alpha", "beta"))
    weight, bias = constant_of(node, 1), constant_of(node, 2)
    is_computed = optional_input(node, 2) is not None and bias is None
    if (alpha == 1.0 and beta == 1.0) or weight is None or (is_computed and beta != 1.0):
        return None
    inputs = [input_of(node, 0), new.constant(_times(weight, alpha), "B")]
    if bias is not None:
        inputs.append(new.constant(_times(bias, beta), "C"))
    elif is_computed:
        inputs.append(input_of(node, 2))
    return [new.op("Gemm", *inputs, **{**attributes_of(node), "alpha": 1.0, "beta": 1.0})]


def _times(constant: Array, factor: float) -> Array:
    """Return *constant* times *factor*, of its own type."""
    return np.asarray(np.multiply(constant, factor), constant.dtype)


def bias_into_gemm(node: ir.Node, new: Replacement) -> Sequence[ir.Value] | None:
    """Move an added constant row into the Gemm before it, if that Gemm has no bias and no other reader."""
    for product_index, row_index in ((0, 1), (1, 0)):
        product, row = input_of(node, product_index), constant_of(node, row_index)
        gemm = product.producer()
        if gemm is None or gemm.op_type != "Gemm" or row is None or product.shape is None:
            continue
        columns = known_dims(product)
        alone = len(product.uses()) == 1 and not product.is_graph_output()
        if not alone or optional_input(gemm, 2) is not None or columns is None or row.shape[-1:] != columns[-1:]:
            continue
        if row.size == columns[-1] and row.ndim <= MATRIX_RANK:
            bias = new.constant(row.reshape(-1), "C")
            attributes = {**attributes_of(gemm), "beta": 1.0}
            return [new.op("Gemm", input_of(gemm, 0), input_of(gemm, 1), bias, **attributes)]
    return None


def repeated_constant(node: ir.Node, new: Replacement) -> Sequence[ir.Value] | None:
    """Write the one number that ConstantOfShape repeats as a constant, where its shape is one and small.

    Older exporters write pads so; onnxscript leaves it for the sake of large ones.
    """
    shape = constant_of(node, 0)
    if shape is None or math.prod(int(size) for size in shape) > MOST_REPEATED:
        return None
    value = node.attributes.get_tensor("value", None)
    number = np.zeros(1, np.float32) if value is None else value.numpy()
    return [new.constant(np.full(tuple(int(size) for size in shape), number.reshape(-1)[0], number.dtype), "repeated")]


def resize_named_axes(node: ir.Node, new: Replacement) -> Sequence[ir.Value] | None:
    """Write the sizes of a Resize for the axes it resizes alone, which opset 18 can say: then any batch fits.

    The first axis, and every other one of the same size before and after, is left out.
    """
    source, resized = input_of(node, 0), node.outputs[0]
    before, after = known_dims(source), known_dims(resized)
    crops = node.attributes.get_string("coordinate_transformation_mode", "") == "tf_crop_and_resize"
    if optional_input(node, 3) is None or "axes" in node.attributes or crops or before is None or after is None:
        return None
    if source.shape is None or resized.shape is None or not _is_same_size(source.shape[0], resized.shape[0]):
        return None
    axes = [axis for axis in range(1, len(before)) if before[axis] != after[axis]]
    if None in before[1:] or None in after[1:] or not axes:
        return None
    sizes = new.constant(np.array([after[axis] for axis in axes], np.int64), "sizes")
    return [new.op("Resize", source, None, None, sizes, **attributes_of(node), axes=axes)]


def _is_same_size(before: int | ir.SymbolicDim, after: int | ir.SymbolicDim) -> bool:
    """Tell whether two dimensions are one number, or go by one name."""
    return before == after and (isinstance(before, int) or before.value is not None)


def own_biases(model: ir.Model) -> None:
    """Give, in place, each node its own bias where the exporter has merged biases that happened to be equal.

    A bias takes the scale of its own node's input and weights when it is quantized. The first reader keeps
    the original with its name.
    """
    seen: set[ir.Value] = set()
    for node in ir.traversal.RecursiveGraphIterator(model.graph):
        if node.op_type not in BIASED or node.domain or (bias := optional_input(node, 2)) is None:
            continue
        if bias in seen and bias.const_value is not None and node.graph is not None:
            # A tensor of its own: a shared tensor object would take the copy's name.
            tensor = ir.tensor(bias.const_value.numpy().copy())
            copy = ir.Value(name=f"{node.name}/bias", type=bias.type, shape=bias.shape, const_value=tensor)
            node.replace_input_with(2, copy)
            node.graph.register_initializer(copy)
        seen.add(bias)


def _axes(node: ir.Node) -> tuple[int, ...] | None:
    array = constant_of(node, 1)
    if array is not None:
        return tuple(int(axis) for axis in array.flat)
    return tuple(node.attributes.get_ints("axes", ())) or None


def _rest(dims: Sequence[int | None], asked: Sequence[int]) -> tuple[int, ...] | None:
    """Return the target's dimensions after the first if the first is kept for certain, else None."""
    if not dims or not asked or any(dim is None for dim in dims[1:]):
        return None
    if asked[0] not in {0, -1, dims[0]}:
        return None
    before = [dim for dim in dims[1:] if dim is not None]
    after = [before[index] if size == 0 and index < len(before) else size for index, size in enumerate(asked[1:])]
    total = math.prod(before)
    if after.count(-1) == 1 and asked[0] != -1:
        known = math.prod(size for size in after if size != -1)
        after = [total // known if size == -1 else size for size in after] if known else after
    return tuple(after) if min(after, default=1) > 0 and math.prod(after) == total else None


SIMPLIFICATIONS: Mapping[str, tuple[Rule, ...]] = MappingProxyType(
    {
        "ConstantOfShape": (repeated_constant,),
        "ReduceMean": (pool_spatial_mean,),
        "Reshape": (plain_reshape,),
        "Resize": (resize_named_axes,),
        "MatMul": (matrix_product_to_gemm,),
        "Gemm": (gemm_without_factors, gemm_rows_are_outputs),
        "Add": (bias_into_gemm,),
    }
)
