"""Reading an ONNX file that anybody may have written: nothing outside its folder is touched, nothing is believed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, external_data_helper, inliner, numpy_helper

from edgekd.core.disk import disk_errors
from edgekd.core.errors import ConfigError
from edgekd.export.float16 import QUANTIZED

LARGEST_BYTES: Final = 2**31 - 1
"""Protocol buffers end here."""

STANDARD: Final = ("", "ai.onnx")
"""Both names of ONNX's own domain."""


def read_float_network(path: Path) -> ModelProto:
    """Return the float network in the file *path*, whole, its local functions inlined; the file is only read.

    Raises ConfigError, one sentence, for what is no ONNX model, for 2 GB and more, for tensors in files that are
    missing or outside the model's folder, for a network that is quantized already, for operators of other domains, and
    for constants that hold NaN or infinities.
    """
    _refuse_size(path, 0)
    model = _parsed(path)
    if model.functions:
        model = inliner.inline_local_functions(model)
    _refuse_nodes(model, path)
    _read_outside_tensors(model, path)
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        message = f"{path}: is no valid ONNX model ({_first_line(error)}); export it again."
        raise ConfigError(message) from error
    _refuse_strange_numbers(model, path)
    return model


def nodes_of(graph: GraphProto) -> Iterator[NodeProto]:
    """Yield every node of *graph* and of the graphs inside its nodes."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                yield from nodes_of(inner)


def _tensors_of(graph: GraphProto) -> Iterator[TensorProto]:
    """Yield every constant of *graph* and of the graphs inside its nodes."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            yield from (*attribute.tensors, *([attribute.t] if attribute.HasField("t") else []))
            for inner in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                yield from _tensors_of(inner)


def _refuse_size(path: Path, more: int) -> None:
    """Raise ConfigError where the file and *more* bytes beside it are too large, or there is none."""
    if not path.is_file():
        message = f"{path}: {'is a folder' if path.is_dir() else 'no such file'}; expected an ONNX model."
        raise ConfigError(message)
    with disk_errors(path):
        size = path.stat().st_size + more
    if size > LARGEST_BYTES:
        message = (
            f"{path}: {size / 1e9:.1f} GB; a network of 2 GB and more cannot be one ONNX file: quantize its parts."
        )
        raise ConfigError(message)


def _parsed(path: Path) -> ModelProto:
    """Return what is in the file, tensors in other files left there."""
    try:
        with disk_errors(path):
            model = onnx.load(path, format="protobuf", load_external_data=False)
    except DecodeError as error:
        message = f"{path}: cannot be read as an ONNX model ({_first_line(error)}); export it again."
        raise ConfigError(message) from error
    if not model.graph.node:
        message = f"{path}: cannot be read as an ONNX model: there is no network in it."
        raise ConfigError(message)
    return model


def _refuse_nodes(model: ModelProto, path: Path) -> None:
    """Raise ConfigError for the first node that is quantized already or of a domain that is not ONNX's."""
    for node in nodes_of(model.graph):
        where = f"{path}: node '{node.name or ', '.join(node.output)}' ({node.op_type})"
        if node.op_type in QUANTIZED:
            message = f"{where}: the file is quantized already; give the float network that it was made from."
            raise ConfigError(message)
        if node.domain not in STANDARD:
            message = f"{where}: of domain '{node.domain}', which has no INT8 form here; export it with ONNX's own."
            raise ConfigError(message)


def _read_outside_tensors(model: ModelProto, path: Path) -> None:
    """Read into *model*, in place, the tensors that lie in files beside *path*; ConfigError for any other place."""
    folder = path.resolve().parent
    outside = [t for t in _tensors_of(model.graph) if t.data_location == TensorProto.EXTERNAL]
    files = {}
    for tensor in outside:
        location = next((entry.value for entry in tensor.external_data if entry.key == "location"), "")
        file = (folder / location).resolve()
        if not location or not file.is_relative_to(folder):
            message = (
                f"{path}: keeps the tensor '{tensor.name}' in '{location}', outside its own folder, where nothing is "
                "read; put its data beside the model."
            )
            raise ConfigError(message)
        if not file.is_file():
            message = (
                f"{path}: keeps the tensor '{tensor.name}' in '{location}', which is not there; copy it beside it."
            )
            raise ConfigError(message)
        files[file] = file.stat().st_size
    _refuse_size(path, sum(files.values()))
    for tensor in outside:
        try:
            external_data_helper.load_external_data_for_tensor(tensor, str(folder))
            tensor.data_location = TensorProto.DEFAULT
            del tensor.external_data[:]
            numpy_helper.to_array(tensor)
        except (ValueError, OSError, onnx.checker.ValidationError) as error:
            message = f"{path}: the data of the tensor '{tensor.name}' cannot be read ({_first_line(error)})."
            raise ConfigError(message) from error


def _refuse_strange_numbers(model: ModelProto, path: Path) -> None:
    """Raise ConfigError for the first constant that holds NaN or infinities."""
    for tensor in _tensors_of(model.graph):
        array = numpy_helper.to_array(tensor)
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            message = f"{path}: constant '{tensor.name}' holds NaN or infinite numbers; train or export it again."
            raise ConfigError(message)


def _first_line(error: Exception) -> str:
    """Return the first line of what a library says."""
    return str(error).strip().partition("\n")[0].rstrip(".")
