"""A network as an ONNX file, run by ONNX Runtime: which arithmetic, how many threads, what it answers."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import ModelProto

from edgekd.core.errors import ConfigError

Arrays = tuple[NDArray[np.float32], ...]
"""One batch: an array (n, ...) for each input."""

Arithmetic = Literal["default", "reference", "arm64-kernels", "widened"]
"""*reference*: node by node as ONNX defines it, exact for INT8 on any host. *arm64-kernels*: the
optimizations that ONNX Runtime does on ARM64, where signed activations run in integer kernels; on an x86 CPU
without VNNI the numbers of those kernels saturate, so accuracy is never judged with them. *default*: what an
app gets here. *widened*: what an app gets, but integer products in 16 bits where those of 8 would saturate; the way to
judge operators that are integers in the file itself, which reference arithmetic does not make exact."""

_QUIET: Final = 3
_ENTRIES: Final[Mapping[Arithmetic, str]] = MappingProxyType(
    {"arm64-kernels": "session.qdqisint8allowed", "widened": "session.x64quantprecision"}
)

_OPTIMIZATION: Final[Mapping[Arithmetic, ort.GraphOptimizationLevel]] = MappingProxyType(
    {
        "default": ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
        "reference": ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
        "arm64-kernels": ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
        "widened": ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
    }
)


def open_session(
    model: Path | bytes | ModelProto,
    *,
    arithmetic: Arithmetic = "default",
    threads: int = 1,
    save_optimized: Path | None = None,
) -> ort.InferenceSession:
    """Return a CPU session over *model*. Raises ConfigError where ONNX Runtime cannot load it.

    *save_optimized* receives the graph after ONNX Runtime's optimizations.
    """
    options = ort.SessionOptions()
    options.graph_optimization_level = _OPTIMIZATION[arithmetic]
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _QUIET
    if arithmetic in _ENTRIES:
        options.add_session_config_entry(_ENTRIES[arithmetic], "1")
    if save_optimized is not None:
        options.optimized_model_filepath = str(save_optimized)
    source = model.SerializeToString() if isinstance(model, ModelProto) else model
    try:
        return ort.InferenceSession(source if isinstance(source, bytes) else str(source), options)
    except Exception as error:  # ONNX Runtime raises a dozen unrelated types from its native code
        name = model if isinstance(model, Path) else "the network"
        message = f"{name}: ONNX Runtime {ort.__version__} cannot load it: {error}."
        raise ConfigError(message) from error


def answers(session: ort.InferenceSession, batches: Iterable[Arrays]) -> NDArray[np.float32]:
    """Return the first output (n, ...) for all *batches*, each a tuple of arrays (size, ...) in the inputs' order."""
    return every_answer(session, batches)[0]


def every_answer(session: ort.InferenceSession, batches: Iterable[Arrays]) -> tuple[NDArray[np.float32], ...]:
    """Return every output (n, ...) for all *batches*; where the file fixes its batch they are cut to that size."""
    fixed = session.get_inputs()[0].shape[0]
    parts = [
        session.run(None, feeds_of(session, tuple(array[start : start + size] for array in arrays)))
        for arrays in batches
        for size in [fixed if isinstance(fixed, int) else len(arrays[0])]
        for start in range(0, len(arrays[0]), size)
    ]
    return tuple(np.concatenate(outputs) for outputs in zip(*parts, strict=True))


def feeds_of(session: ort.InferenceSession, arrays: Arrays) -> dict[str, NDArray[np.float32]]:
    """Return *arrays*, in the order of the session's inputs, by name."""
    return {node.name: array for node, array in zip(session.get_inputs(), arrays, strict=True)}
