"""What a model takes, read from its file, and arrays of that form: golden ones or random numbers."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import onnx
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import helper

from edgekd.bench.raw_tensors import AnyArrays
from edgekd.core.errors import ConfigError

_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_QDQ: Final = frozenset({"QuantizeLinear", "DequantizeLinear"})


class Form(msgspec.Struct, frozen=True, kw_only=True):
    """A model's inputs and outputs: NumPy types, sizes with 0 where one is open. *precision* is what the file holds."""

    inputs: Mapping[str, tuple[str, tuple[int, ...]]]
    outputs: tuple[str, ...]
    precision: str
    external: tuple[str, ...]


def form_of(path: Path) -> Form:
    """Return the form of the ONNX file *path*. Raises ConfigError where it is none or takes no tensors."""
    try:
        model = onnx.load(path, format="protobuf", load_external_data=False)
    except (DecodeError, OSError) as error:
        message = f"{path}: not an ONNX file ({error})."
        raise ConfigError(message) from error
    if not model.graph.node:
        message = f"{path}: not an ONNX file (it holds no graph)."
        raise ConfigError(message)
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = {}
    for value in model.graph.input:
        if value.name in constants:
            continue
        if not value.type.tensor_type.elem_type:
            message = f"{path}: input '{value.name}' is no tensor, or has no type; export the network again."
            raise ConfigError(message)
        if value.type.tensor_type.elem_type not in onnx.TensorProto.DataType.values():
            message = f"{path}: input '{value.name}' is of type {value.type.tensor_type.elem_type}, which ONNX has not."
            raise ConfigError(message)
        kind = np.dtype(helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)).name
        inputs[value.name] = (kind, tuple(max(0, dim.dim_value) for dim in value.type.tensor_type.shape.dim))
    is_half = any(tensor.data_type == onnx.TensorProto.FLOAT16 for tensor in model.graph.initializer)
    is_integer = any(node.op_type in _QDQ for node in model.graph.node)
    entries = (entry for tensor in model.graph.initializer for entry in tensor.external_data)
    return Form(
        inputs=inputs,
        outputs=tuple(value.name for value in model.graph.output),
        precision="int8" if is_integer else "fp16" if is_half else "fp32",
        external=tuple(sorted({entry.value for entry in entries if entry.key == "location"})),
    )


def require_network(path: Path) -> None:
    """Raise ConfigError where the file *path* is no network, or the files with its tensors are not there.

    So bad input is found before a device is reached, and ends alike wherever it would have run.
    """
    for name in form_of(path).external:
        if not (path.parent / name).is_file():
            message = f"{path}: its tensors lie in {name!r}, which is not there; put it beside, or export it again."
            raise ConfigError(message)


def parts_of(path: Path) -> dict[str, Path]:
    """Return what has to be sent for the model *path*: itself as ``model.onnx``, and the files that hold its tensors.

    Raises ConfigError for one that is missing, or whose name is more than a plain one.
    """
    parts = {"model.onnx": path}
    for name in form_of(path).external:
        if not _PLAIN_NAME.fullmatch(name) or not (path.parent / name).is_file():
            message = f"{path}: its tensors lie in {name!r}, which is no plain name of a file beside it."
            raise ConfigError(message)
        parts[name] = path.parent / name
    return parts


def shapes_of(form: Form, batch: int, *, path: Path) -> dict[str, tuple[int, ...]]:
    """Return every input's sizes at *batch*: where the first is open it is the batch, another open one is 1."""
    shapes = {}
    for name, (_, sizes) in form.inputs.items():
        if batch > 1 and sizes and sizes[0] not in {0, batch}:
            message = f"{path}: its input '{name}' is fixed at a batch of {sizes[0]}, asked was {batch}."
            raise ConfigError(message)
        first = (sizes[0] or batch,) if sizes else ()
        shapes[name] = first + tuple(size or 1 for size in sizes[1:])
    return shapes


def random_sample(form: Form, batch: int, *, path: Path) -> AnyArrays:
    """Return numbers for each input: what they are does not change how long a network takes."""
    shapes = shapes_of(form, batch, path=path)
    random = np.random.default_rng(0)
    return tuple(_numbers(random, shapes[name], kind) for name, (kind, _) in form.inputs.items())


def golden_samples(form: Form, golden: Path, *, batch: int = 1) -> tuple[tuple[AnyArrays, ...], AnyArrays]:
    """Return the golden file's inputs, *batch* rows of each for a sample, and its outputs, those of all samples joined.

    A sample begins at each row and goes on with the rows after it, round and round. Raises ConfigError
    where the file lacks an input or an output of the model.
    """
    with np.load(golden, allow_pickle=False) as arrays:
        missing = [name for name in (*form.inputs, *form.outputs) if name not in arrays]
        if missing:
            message = f"{golden}: it holds no '{missing[0]}'; is it of another network? --golden none measures without."
            raise ConfigError(message)
        inputs = [arrays[name] for name in form.inputs]
        outputs = tuple(arrays[name] for name in form.outputs)
    counts = sorted({len(array) if array.ndim else 0 for array in (*inputs, *outputs)})
    if len(counts) != 1 or counts == [0]:
        said = " and ".join(map(str, counts))
        message = f"{golden}: its arrays have {said} rows; expected one for each sample, the same number in all."
        raise ConfigError(message)
    rows = np.arange(counts[0])
    chosen = (rows[:, None] + np.arange(batch)) % len(rows)
    samples = tuple(tuple(array[picked] for array in inputs) for picked in chosen)
    return samples, tuple(array[chosen.reshape(-1)] for array in outputs)


def largest_difference(answers: AnyArrays, expected: AnyArrays) -> float:
    """Return by how much the answers differ at most; the largest float where shapes differ or a number is none."""
    largest = 0.0
    for got, wanted in zip(answers, expected, strict=True):
        if got.shape != wanted.shape:
            return float(np.finfo(np.float64).max)
        difference = np.abs(got.astype(np.float64) - wanted.astype(np.float64)).max(initial=0.0)
        largest = max(largest, float(np.nan_to_num(difference, nan=np.inf)))
    return min(largest, float(np.finfo(np.float64).max))


def _numbers(random: np.random.Generator, shape: tuple[int, ...], kind: str) -> NDArray[Any]:
    """Return numbers of one shape and type."""
    if np.issubdtype(np.dtype(kind), np.floating):
        return random.standard_normal(shape).astype(kind)
    return np.zeros(shape, kind)
