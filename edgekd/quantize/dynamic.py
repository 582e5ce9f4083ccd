"""Dynamic quantization: matrix products in int8 whose activations get their range anew in every inference."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from edgekd.core.errors import ConfigError
from edgekd.quantize.fake import quantize_weight
from edgekd.quantize.ranges import least_error_scales

_MATRIX = 2


def dynamic(model: ModelProto) -> ModelProto:
    """Return the float graph *model* with each MatMul and Gemm of constant weights (rows, columns) in integers.

    The activation, uint8, gets its range in every inference (ONNX's DynamicQuantizeLinear), so no sample is needed and
    an outlier costs one inference only; weights are int8 with one scale for each column. Convolutions, and products of
    two activations, stay float32: their integer forms without fixed ranges are slower than float ones. The pattern is
    the one that ONNX Runtime fuses into DynamicQuantizeMatMul. Raises ConfigError where nothing can be quantized so.
    """
    floats = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    made = ModelProto()
    made.CopyFrom(model)
    del made.graph.node[:]
    constants: dict[str, NDArray[np.generic]] = {}
    for node in model.graph.node:
        weight = _columns(node, floats)
        made.graph.node.extend([node] if weight is None else _integer_product(node, weight, constants))
    if not constants:
        message = (
            "dynamic quantization: the network has no matrix product with constant weights; "
            "use the form static, which quantizes convolutions too."
        )
        raise ConfigError(message)
    read = {value for node in made.graph.node for value in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in read]
    del made.graph.initializer[:]
    made.graph.initializer.extend(kept)
    made.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in constants.items())
    return made


def _integer_product(
    node: NodeProto, weight: torch.Tensor, constants: dict[str, NDArray[np.generic]]
) -> list[NodeProto]:
    """Return what replaces a matrix product by *weight* (rows, columns), and add its constants to *constants*."""
    scales = least_error_scales(weight, 1)
    own = node.name
    constants[f"{own}_weight_q"] = quantize_weight(weight, scales).numpy()
    constants[f"{own}_weight_scale"] = scales.flatten().numpy()
    has_bias = len(node.input) > _MATRIX and bool(node.input[_MATRIX])
    product = f"{own}_product" if has_bias else node.output[0]
    levels, scale, zero_point = (f"{own}_{part}" for part in ("levels", "scale", "zero_point"))
    nodes = [
        ("DynamicQuantizeLinear", [node.input[0]], [levels, scale, zero_point]),
        ("MatMulInteger", [levels, f"{own}_weight_q", zero_point], [f"{own}_sum"]),
        ("Cast", [f"{own}_sum"], [f"{own}_real"]),
        ("Mul", [scale, f"{own}_weight_scale"], [f"{own}_step"]),
        ("Mul", [f"{own}_real", f"{own}_step"], [product]),
    ]
    if has_bias:
        nodes.append(("Add", [product, node.input[_MATRIX]], [node.output[0]]))
    made = [
        helper.make_node(op, taken, given, name=f"{own}_{number}") for number, (op, taken, given) in enumerate(nodes)
    ]
    made[2].attribute.append(helper.make_attribute("to", TensorProto.FLOAT))
    return made


def _columns(node: NodeProto, floats: Mapping[str, NDArray[np.generic]]) -> torch.Tensor | None:
    """Return the constant weights (rows, columns) of a matrix product, None where *node* is none of this form."""
    weight = floats.get(node.input[1]) if node.op_type in {"Gemm", "MatMul"} else None
    if weight is None or weight.ndim != _MATRIX or weight.dtype != np.float32 or node.input[0] in floats:
        return None
    attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    if attributes.get("alpha", 1.0) != 1.0 or attributes.get("beta", 1.0) != 1.0 or attributes.get("transA", 0):
        return None
    matrix = weight.T if attributes.get("transB", 0) else weight
    return torch.from_numpy(np.array(matrix, dtype=np.float32, order="C"))
