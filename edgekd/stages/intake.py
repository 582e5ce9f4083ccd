"""A plain ONNX file as somebody brings it, brought into the canonical form that quantization works on."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
from onnx import ModelProto, version_converter

from edgekd.core.errors import ConfigError, StageError
from edgekd.export.canonical import canonicalize
from edgekd.export.exporter import EXPORTER_OPSET
from edgekd.export.integer_forms import with_integer_forms
from edgekd.export.shapes import fix_batch, infer
from edgekd.networks.blackbox import fitted
from edgekd.networks.session import every_answer, open_session
from edgekd.quantize.operators import OPERATORS
from edgekd.stages.onnx_file import STANDARD, nodes_of, read_float_network

OLDEST_OPSET: Final = 7
"""Older ones have other rules for shapes; ONNX's converter is not to be trusted with them."""

_BATCH: Final = "batch"
_TOLERANCE: Final = 1e-4


def canonical_float(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> ModelProto:
    """Return the float network in the file *path* in canonical form (opset 18), its inputs those of *shapes*.

    *shapes*: the data's inputs by name, without the batch, which becomes free. Sizes that the file leaves open become
    those of the data. Where the file computes shapes from its batch, as older exporters write it, they are computed
    for a batch of 1 and the batch set free again, if that changes no answer.

    Raises ConfigError, one sentence, for what ``read_float_network`` refuses, an opset that cannot be converted, other
    inputs than the data has, an operator that has no form here, and sizes that only a run would tell.
    """
    model = read_float_network(path)
    named = fitted(_at_exporter_opset(model, path), shapes, where=str(path))
    graph = _canonical(named, path)
    if _unknown(graph):
        pinned = _freed(_canonical(fix_batch(named), path))
        if not _unknown(pinned) and _takes_batches(pinned, shapes):
            graph = pinned
    _refuse_unknown(graph, path)
    _refuse_open_sizes(graph, path)
    return graph


def _canonical(model: ModelProto, path: Path) -> ModelProto:
    """Return *model* in canonical form."""
    try:
        return canonicalize(model)
    except StageError as error:
        message = f"{path}: its shapes contradict each other ({' '.join(str(error).split())}); export it again."
        raise ConfigError(message) from error


def _at_exporter_opset(model: ModelProto, path: Path) -> ModelProto:
    """Return *model* at the opset that every rule here is written for."""
    opset = max((entry.version for entry in model.opset_import if entry.domain in STANDARD), default=0)
    if opset == EXPORTER_OPSET:
        return model
    said = f"older than {OLDEST_OPSET}"
    try:
        if opset >= OLDEST_OPSET:
            return version_converter.convert_version(model, EXPORTER_OPSET)
    except Exception as error:  # onnx raises unrelated types from its native code
        said = str(error).strip().partition("\n")[0]
        raise ConfigError(_not_converted(path, opset, said)) from error
    raise ConfigError(_not_converted(path, opset, said))


def _not_converted(path: Path, opset: int, reason: str) -> str:
    """Return the sentence about an opset that cannot be converted."""
    return f"{path}: opset {opset} cannot be converted to {EXPORTER_OPSET} ({reason}); export it at opset 13 to 18."


def _unknown(graph: ModelProto) -> list[str]:
    """Return the nodes of *graph* whose operators have no form in the simulation, as ``'name' (operator)``.

    Transposed convolutions have one where they can be rewritten, as they are before quantization.
    """
    nodes = nodes_of(with_integer_forms(graph).graph)
    return [f"'{node.name}' ({node.op_type})" for node in nodes if node.op_type not in OPERATORS]


def _refuse_unknown(graph: ModelProto, path: Path) -> None:
    """Raise ConfigError that names the first operator without a form, and how many there are."""
    unknown = _unknown(graph)
    if unknown:
        more = f", and {len(unknown) - 1} more nodes" if len(unknown) > 1 else ""
        message = (
            f"{path}: node {unknown[0]}{more}: an operator that cannot be quantized here; replace it in the network, "
            "or ship the float file, in FP16 where the device computes it."
        )
        raise ConfigError(message)


def _refuse_open_sizes(graph: ModelProto, path: Path) -> None:
    """Raise ConfigError for the first value whose size only a run would tell: runtimes plan their memory before."""
    fixed = infer(fix_batch(graph)).graph
    known = {
        value.name
        for value in (*fixed.value_info, *fixed.output)
        if all(dim.dim_value for dim in value.type.tensor_type.shape.dim) and value.type.tensor_type.HasField("shape")
    }
    for node in fixed.node:
        for value in node.output:
            if value and value not in known:
                message = (
                    f"{path}: node '{node.name}' ({node.op_type}): the size of what it gives is not fixed; "
                    "runtimes need fixed sizes but for the batch: export it with those of your data."
                )
                raise ConfigError(message)


def _freed(model: ModelProto) -> ModelProto:
    """Return *model*, made for a batch of 1, for a free batch."""
    freed = ModelProto()
    freed.CopyFrom(model)
    for value in (*freed.graph.input, *freed.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = _BATCH
    return infer(freed)


def _takes_batches(model: ModelProto, shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Tell whether *model* answers for two samples at once what it answers for each."""
    random = np.random.default_rng(0)
    samples = tuple(random.standard_normal((2, *shape)).astype(np.float32) for shape in shapes.values())
    session = open_session(model, arithmetic="reference")
    alone = every_answer(session, [tuple(array[place : place + 1] for array in samples) for place in range(2)])
    try:
        together = every_answer(session, [samples])
    except Exception:  # noqa: BLE001 - ONNX Runtime raises a dozen unrelated types; each means that it cannot
        return False
    return all(
        one.shape == other.shape and np.allclose(one, other, atol=_TOLERANCE * max(1.0, float(np.abs(one).max())))
        for one, other in zip(alone, together, strict=True)
    )
