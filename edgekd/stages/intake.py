"""A plain ONNX file as somebody brings it, looked at and brought into the canonical form."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
from onnx import ModelProto, numpy_helper, version_converter

from edgekd.core.disk import disk_errors
from edgekd.core.errors import ConfigError
from edgekd.export.canonical import canonicalize
from edgekd.export.exporter import EXPORTER_OPSET
from edgekd.export.float16 import QUANTIZED
from edgekd.networks.blackbox import fitted, read_onnx

LARGEST_BYTES: Final = 2**31 - 1
"""Protocol buffers end here."""

_STANDARD: Final = ("", "ai.onnx")


def canonical_float(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> ModelProto:
    """Return the float network in the file *path* in canonical form (opset 18), its inputs those of *shapes*.

    *shapes*: the data's inputs by name, without the batch. Raises ConfigError, one sentence, for a file that is no
    ONNX model, of 2 GB and more, with tensors outside, quantized already, with operators of other domains, with
    weights that are no numbers, of an opset that cannot be converted, or of other inputs than the data has.
    """
    with disk_errors(path):
        size = path.stat().st_size
    if size > LARGEST_BYTES:
        message = f"{path}: {size} bytes; an ONNX file of 2 GB and more cannot be read whole: quantize its parts."
        raise ConfigError(message)
    model = read_onnx(path)
    _refuse_foreign(model, path)
    _refuse_strange_weights(model, path)
    named = fitted(_at_exporter_opset(model, path), shapes, where=str(path))
    return canonicalize(named)


def _refuse_foreign(model: ModelProto, path: Path) -> None:
    """Raise ConfigError for the first node that is quantized already or of a domain that is not ONNX's."""
    for node in model.graph.node:
        where = f"{path}: node '{node.name or node.output[0]}' ({node.op_type})"
        if node.op_type in QUANTIZED:
            message = f"{where}: the file is quantized already; give the float network that it was made from."
            raise ConfigError(message)
        if node.domain not in _STANDARD:
            message = f"{where}: of domain '{node.domain}', which has no INT8 form here; export it with ONNX's own."
            raise ConfigError(message)


def _refuse_strange_weights(model: ModelProto, path: Path) -> None:
    """Raise ConfigError for the first constant that holds NaN or infinities."""
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            message = f"{path}: constant '{tensor.name}' holds NaN or infinite numbers; train or export it again."
            raise ConfigError(message)


def _at_exporter_opset(model: ModelProto, path: Path) -> ModelProto:
    """Return *model* at the opset that every rule here is written for."""
    opset = max((entry.version for entry in model.opset_import if entry.domain in _STANDARD), default=0)
    if opset == EXPORTER_OPSET:
        return model
    try:
        return version_converter.convert_version(model, EXPORTER_OPSET)
    except Exception as error:  # onnx raises unrelated types from its native code
        said = str(error).strip().partition("\n")[0]
        message = f"{path}: opset {opset} cannot be converted to {EXPORTER_OPSET} ({said}); export it at 13 to 18."
        raise ConfigError(message) from error
