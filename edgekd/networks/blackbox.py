"""Networks that come as ONNX files: read, fitted to a task's inputs, averaged, counted."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import ModelProto, TensorProto, compose, helper, numpy_helper, shape_inference, version_converter

from edgekd.core.errors import ConfigError

_MATRIX_OPERATORS: Final = ("Conv", "ConvTranspose", "Gemm", "MatMul", "QLinearConv", "ConvInteger", "MatMulInteger")


def read_onnx(path: Path) -> ModelProto:
    """Return the model in the file *path*; ConfigError where it is none, or keeps its tensors in other files."""
    try:
        model = onnx.load(path, load_external_data=False)
        onnx.checker.check_model(model)
    except (OSError, DecodeError, onnx.checker.ValidationError) as error:
        message = f"{path}: cannot be read as an ONNX model ({str(error).strip().partition(chr(10))[0]})."
        raise ConfigError(message) from error
    if any(tensor.data_location == TensorProto.EXTERNAL for tensor in model.graph.initializer):
        message = f"{path}: keeps its tensors in other files; save it as one file (onnx.save with save_as_external_data=False)."
        raise ConfigError(message)
    return model


def fitted(model: ModelProto, shapes: Mapping[str, tuple[int, ...]], *, where: str) -> ModelProto:
    """Return *model* with its inputs in the order of *shapes*: by their names where all match, else as they stand.

    *shapes* are those of the data's inputs by name, without the batch. Raises ConfigError where number, type or shape
    of the model's inputs are others. Inputs that are
    initializers as well are none.
    """
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]
    by_name = {value.name: value for value in inputs}
    if by_name.keys() == shapes.keys():
        inputs = [by_name[name] for name in shapes]
    if len(inputs) != len(shapes):
        message = f"{where}: takes {len(inputs)} inputs; the data has {len(shapes)}."
        raise ConfigError(message)
    for value, shape in zip(inputs, shapes.values(), strict=True):
        kind = value.type.tensor_type
        dims = [dim.dim_value for dim in kind.shape.dim[1:]]
        fits = len(dims) == len(shape) and all(a in (0, b) for a, b in zip(dims, shape, strict=True))
        if kind.elem_type != TensorProto.FLOAT or not fits:
            type_name = TensorProto.DataType.Name(kind.elem_type).lower()
            message = (
                f"{where}: input '{value.name}' takes {type_name} of shape (batch, {', '.join(str(d or '?') for d in dims)}); "
                f"the data gives float32 of shape (batch, {', '.join(map(str, shape))})."
            )
            raise ConfigError(message)
    copied = ModelProto()
    copied.CopyFrom(model)
    del copied.graph.input[:]
    copied.graph.input.extend(inputs)
    return copied


def average(models: Sequence[ModelProto]) -> ModelProto:
    """Return one model whose first output is the mean of the first outputs (logits) of *models*, on the same inputs.

    The mean of logits is the normalized geometric mean of the distributions. A single model comes back as it is.
    Raises ConfigError where one cannot be brought to the newest opset among them.
    """
    if len(models) == 1:
        return models[0]
    opset = max(_opset(model) for model in models)
    parts = [compose.add_prefix(_at_opset(model, opset), f"teacher{place}/") for place, model in enumerate(models)]
    inputs = [value.name for value in models[0].graph.input]
    graph = onnx.GraphProto(name="average")
    graph.input.extend(models[0].graph.input)
    for part in parts:
        for name, inner in zip(inputs, part.graph.input, strict=True):
            graph.node.append(helper.make_node("Identity", [name], [inner.name]))
        graph.node.extend(part.graph.node)
        graph.initializer.extend(part.graph.initializer)
    graph.node.append(helper.make_node("Mean", [part.graph.output[0].name for part in parts], ["logits"]))
    output = models[0].graph.output[0]
    graph.output.add().CopyFrom(output)
    graph.output[0].name = "logits"
    imports = [helper.make_opsetid(domain, opset if not domain else 1) for domain in _domains(parts)]
    averaged = helper.make_model(graph, opset_imports=imports, ir_version=max(model.ir_version for model in models))
    onnx.checker.check_model(averaged)
    return averaged


def count_graph_parameters(model: ModelProto) -> int:
    """Return how many numbers the floating-point initializers of *model* hold."""
    return sum(int(np.prod(t.dims)) for t in model.graph.initializer if t.data_type == TensorProto.FLOAT)


def count_graph_macs(model: ModelProto) -> int:
    """Return the multiply-accumulates of one sample: convolutions and matrix products, by their inferred shapes.

    Raises ConfigError where the shape of one of these cannot be inferred.
    """
    single = ModelProto()
    single.CopyFrom(model)
    for value in single.graph.input:
        value.type.tensor_type.shape.dim[0].dim_value = 1
    for value in single.graph.output:
        value.type.tensor_type.ClearField("shape")
    del single.graph.value_info[:]
    shapes = _shapes(shape_inference.infer_shapes(single, data_prop=True))
    return sum(_macs(node, shapes) for node in single.graph.node if node.op_type in _MATRIX_OPERATORS)


def _macs(node: onnx.NodeProto, shapes: dict[str, tuple[int, ...]]) -> int:
    """Return the work of one node: for each number it writes, the length of the sum behind it."""
    weight = node.input[3] if node.op_type == "QLinearConv" else node.input[1]
    needed = (node.input[0], weight, node.output[0])
    for name in needed:
        if name not in shapes or 0 in shapes[name]:
            message = f"multiply-accumulates: {node.op_type} '{node.name}': the shape of '{name}' cannot be inferred."
            raise ConfigError(message)
    read, kernel, written = (shapes[name] for name in needed)
    if node.op_type == "ConvTranspose":
        return int(np.prod(read)) * int(np.prod(kernel[1:]))
    if "Conv" in node.op_type:
        return int(np.prod(written)) * int(np.prod(kernel[1:]))
    transposed = any(a.name == "transA" and a.i for a in node.attribute)
    return int(np.prod(written)) * (read[0] if transposed else read[-1])


def _shapes(model: ModelProto) -> dict[str, tuple[int, ...]]:
    """Return the shapes of all values and constants; 0 stands for a dimension that is not known."""
    graph = model.graph
    values = (*graph.value_info, *graph.input, *graph.output)
    found = {v.name: tuple(dim.dim_value for dim in v.type.tensor_type.shape.dim) for v in values}
    found |= {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute and node.attribute[0].HasField("t"):
            found[node.output[0]] = numpy_helper.to_array(node.attribute[0].t).shape
    return found


def _opset(model: ModelProto) -> int:
    """Return the version of ONNX's own operators."""
    return max(int(entry.version) for entry in model.opset_import if entry.domain in ("", "ai.onnx"))


def _at_opset(model: ModelProto, opset: int) -> ModelProto:
    """Return *model* at *opset*."""
    if _opset(model) == opset:
        return model
    try:
        return version_converter.convert_version(model, opset)
    except Exception as error:  # the converter raises whatever its C++ does
        message = f"teach.given: a teacher at opset {_opset(model)} cannot be brought to {opset} ({error}); export all at one opset."
        raise ConfigError(message) from error


def _domains(models: Sequence[ModelProto]) -> list[str]:
    """Return the operator domains that *models* use."""
    found = {entry.domain for model in models for entry in model.opset_import}
    return sorted("" if domain == "ai.onnx" else domain for domain in found)
