"""Shapes of an ONNX graph: reading them, inferring them, and fixing the batch."""

from typing import TypeAlias

import onnx
from onnx import shape_inference

from edgekd.core.errors import ConfigError, StageError

Dims: TypeAlias = tuple[int | str, ...]


def input_shapes(model: onnx.ModelProto) -> dict[str, Dims]:
    """Return the shape of every graph input that is not an initializer; a dynamic dimension is its name."""
    constants = {tensor.name for tensor in model.graph.initializer}
    return {value.name: _dims(value) for value in model.graph.input if value.name not in constants}


def output_shapes(model: onnx.ModelProto) -> dict[str, Dims]:
    """Return the shape of every graph output; a dynamic dimension is its name, an unknown one is empty."""
    return {value.name: _dims(value) for value in model.graph.output}


def infer(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy of *model* whose value_info is inferred anew from its inputs and constants.

    Raises:
        StageError: the graph contradicts itself, so that no types and shapes fit it.

    """
    return _infer(without_value_info(model))


def refine(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy of *model* with the value_info it has and all that follows from it.

    PyTorch's exporter writes more about dynamic dimensions than ONNX can infer, so a fresh export is refined;
    after a rewrite the old value_info is stale and :func:`infer` is the right call.
    """
    return _infer(model)


def without_value_info(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy of *model* that declares only the shapes of its inputs and outputs."""
    copy = _copy(model)
    del copy.graph.value_info[:]
    return copy


def fix_batch(model: onnx.ModelProto, batch: int = 1) -> onnx.ModelProto:
    """Return a copy of *model* that takes exactly *batch* samples.

    The first dimension of every input becomes *batch*, and so does every input dimension of the same name;
    all other shapes are inferred anew. ``canonicalize`` then folds shape arithmetic that became constant.

    Raises:
        ConfigError: *batch* is not positive, an input has no batch dimension, or it is fixed to another size.

    """
    if batch < 1:
        message = f"batch = {batch}: expected at least 1 sample."
        raise ConfigError(message)
    copy = without_value_info(model)
    constants = {tensor.name for tensor in copy.graph.initializer}
    inputs = [value for value in copy.graph.input if value.name not in constants]
    names = {_batch_name(value, batch) for value in inputs} - {""}
    for value in inputs:
        dims = value.type.tensor_type.shape.dim
        for index, dim in enumerate(dims):
            if index == 0 or dim.dim_param in names:
                dim.dim_value = batch
    for value in copy.graph.output:
        value.type.tensor_type.ClearField("shape")
    return _infer(copy)


def _batch_name(value: onnx.ValueInfoProto, batch: int) -> str:
    dims = value.type.tensor_type.shape.dim
    if not dims:
        message = f"input {value.name!r} is a scalar: expected a first dimension that counts samples."
        raise ConfigError(message)
    if dims[0].HasField("dim_value") and dims[0].dim_value != batch:
        message = (
            f"input {value.name!r}: its batch is fixed to {dims[0].dim_value}, {batch} was asked; "
            "export the network with a dynamic batch."
        )
        raise ConfigError(message)
    return str(dims[0].dim_param)


def _infer(model: onnx.ModelProto) -> onnx.ModelProto:
    try:
        return shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    except shape_inference.InferenceError as error:
        message = f"graph {model.graph.name!r}: no types and shapes fit it: {error}"
        raise StageError(message) from error


def _dims(value: onnx.ValueInfoProto) -> Dims:
    return tuple(
        dim.dim_value if dim.HasField("dim_value") else str(dim.dim_param) for dim in value.type.tensor_type.shape.dim
    )


def _copy(model: onnx.ModelProto) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy
