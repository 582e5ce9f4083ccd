"""Running a network here to learn which kernels ONNX Runtime makes of it, and of which sizes; its times do not count."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec
import onnx
import onnxruntime as ort
from onnx import ModelProto

from edgekd.bench.kernel_run import Traced
from edgekd.bench.kernel_runner import kernels
from edgekd.bench.runner import examples
from edgekd.core.errors import ConfigError
from edgekd.predict.kernels import Told, kernel_layer, told_by
from edgekd.predict.layers import Layer

_QUIET: Final = 3


def kernel_layers(model: ModelProto, *, where: str) -> tuple[Layer, ...]:
    """Return the kernels that ONNX Runtime runs for *model* on this machine, in their order, for a batch of one.

    Raises ConfigError, with *where*, for a model that it cannot load or run.
    """
    named = with_names(model)
    with tempfile.TemporaryDirectory(prefix="edgekd-trace-") as name:
        folder = Path(name)
        onnx.save(named, folder / "model.onnx")
        try:
            told = optimized(folder / "model.onnx", folder)
            rows = _run(folder)
        except Exception as error:  # ONNX Runtime raises a dozen unrelated types from its native code
            first = str(error).strip().partition("\n")[0]
            message = f"{where}: ONNX Runtime {ort.__version__} cannot run it here ({first}); an estimate needs that."
            raise ConfigError(message) from error
    return tuple(kernel_layer(row, told) for row in rows)


def with_names(model: ModelProto) -> ModelProto:
    """Return a copy of *model* whose nodes all have names, so that a trace can be told from the graph."""
    named = ModelProto()
    named.CopyFrom(model)
    for number, node in enumerate(named.graph.node):
        node.name = f"{node.op_type}_{number}"
    return named


def optimized(path: Path, folder: Path) -> Mapping[str, Told]:
    """Return what the graph of the file *path* says after ONNX Runtime's optimizations here; *folder* is for it."""
    options = _options()
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return told_by(onnx.load(folder / "optimized.onnx", load_external_data=False).graph)


def _run(folder: Path) -> tuple[Traced, ...]:
    """Return the kernels of one run of the model in *folder*."""
    options = _options()
    options.enable_profiling = True
    options.profile_file_prefix = str(folder / "trace")
    session = ort.InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])
    session.run(None, examples(session, 1))
    return msgspec.convert(kernels(session.end_profiling(), (True,)), tuple[Traced, ...])


def _options() -> ort.SessionOptions:
    """Return how a session is opened."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = _QUIET
    return options
