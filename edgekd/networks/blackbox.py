"""Networks that come as ONNX files: read, fitted to the data's inputs, averaged."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import onnx
from google.protobuf.message import DecodeError
from onnx import ModelProto, TensorProto, compose, helper, inliner, version_converter

from edgekd.core.errors import ConfigError

_LEAST_IR: Final = 4
"""From here on an initializer need not be an input as well."""


def read_onnx(path: Path) -> ModelProto:
    """Return the model in the file *path*; ConfigError where it is none, or keeps its tensors in other files."""
    try:
        model = onnx.load(path, load_external_data=False)
        if any(tensor.data_location == TensorProto.EXTERNAL for tensor in model.graph.initializer):
            message = f"{path}: keeps its tensors in other files; save it as one file: load it and onnx.save it again."
            raise ConfigError(message)
        onnx.checker.check_model(model)
    except (OSError, DecodeError, onnx.checker.ValidationError) as error:
        message = f"{path}: cannot be read as an ONNX model ({str(error).strip().partition(chr(10))[0]})."
        raise ConfigError(message) from error
    return inliner.inline_local_functions(model) if model.functions else model


def fitted(model: ModelProto, shapes: Mapping[str, tuple[int, ...]], *, where: str) -> ModelProto:
    """Return *model* with its inputs in the order of *shapes*: by their names where all match, else as they stand.

    Dimensions that were free, but for the batch, become those of the data.
    *shapes* are those of the data's inputs by name, without the batch, which may be free or of one sample. Raises
    ConfigError where number, type or shape of the model's inputs are others. Inputs that are initializers as well
    are none.
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
            taken = ", ".join(str(size or "?") for size in dims)
            message = (
                f"{where}: input '{value.name}' takes {type_name} of shape (batch, {taken}); "
                f"the data gives float32 of shape (batch, {', '.join(map(str, shape))})."
            )
            raise ConfigError(message)
        if kind.shape.dim[0].dim_value > 1:
            message = (
                f"{where}: input '{value.name}' takes {kind.shape.dim[0].dim_value} samples at a time; "
                "export it for a free batch, or for one sample."
            )
            raise ConfigError(message)
    copied = ModelProto()
    copied.CopyFrom(model)
    del copied.graph.input[:]
    copied.graph.input.extend(inputs)
    for value, shape in zip(copied.graph.input, shapes.values(), strict=True):
        for dim, size in zip(value.type.tensor_type.shape.dim[1:], shape, strict=True):
            dim.dim_value = size
    copied.ir_version = max(copied.ir_version, _LEAST_IR)
    return copied


def average(models: Sequence[ModelProto]) -> ModelProto:
    """Return one model whose first output is the mean of the first outputs (logits) of *models*, on the same inputs.

    The mean of logits is the normalized geometric mean of the distributions. A single model comes back as it is.
    Where one takes one sample at a time, so does the whole.
    Raises ConfigError where one cannot be brought to the newest opset among them.
    """
    if len(models) == 1:
        return models[0]
    opset = max(_opset(model) for model in models)
    parts = [compose.add_prefix(_at_opset(model, opset), f"teacher{place}/") for place, model in enumerate(models)]
    inputs = [value.name for value in models[0].graph.input]
    graph = onnx.GraphProto(name="average")
    graph.input.extend(models[0].graph.input)
    if any(_fixes_batch(model) for model in models):
        for value in graph.input:
            value.type.tensor_type.shape.dim[0].dim_value = 1
    for part in parts:
        for name, inner in zip(inputs, part.graph.input, strict=True):
            graph.node.append(helper.make_node("Identity", [name], [inner.name]))
        graph.node.extend(part.graph.node)
        graph.initializer.extend(part.graph.initializer)
    graph.node.append(helper.make_node("Mean", [part.graph.output[0].name for part in parts], ["logits"]))
    output = models[0].graph.output[0]
    graph.output.add().CopyFrom(output)
    graph.output[0].name = "logits"
    imports = [helper.make_opsetid(domain, version) for domain, version in _opsets(parts).items()]
    averaged = helper.make_model(graph, opset_imports=imports, ir_version=max(model.ir_version for model in models))
    onnx.checker.check_model(averaged)
    return averaged


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
        message = (
            f"teach.given: a teacher at opset {_opset(model)} cannot be brought to {opset} ({error}); "
            "export all at one opset."
        )
        raise ConfigError(message) from error


def _fixes_batch(model: ModelProto) -> bool:
    """Tell whether *model* takes a fixed number of samples at a time: one, see ``fitted``."""
    return any(value.type.tensor_type.shape.dim[0].dim_value for value in model.graph.input)


def _opsets(models: Sequence[ModelProto]) -> dict[str, int]:
    """Return the newest version of each operator domain that *models* use."""
    found: dict[str, int] = {}
    for entry in (entry for model in models for entry in model.opset_import):
        domain = "" if entry.domain == "ai.onnx" else entry.domain
        found[domain] = max(found.get(domain, 0), int(entry.version))
    return dict(sorted(found.items()))
