"""Running a network here to learn which kernels ONNX Runtime makes of it, and their sizes; its times do not count."""

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

X86: Final = frozenset({"x86_64", "AMD64", "i686"})
_QUIET: Final = 3


def kernel_layers(model: ModelProto, *, where: str, machine: str) -> tuple[Layer, ...]:
    """Return the kernels that ONNX Runtime runs for *model* on a *machine*, in their order, for a batch of one.

    *machine* is what ``uname -m`` says there. Raises ConfigError, with *where*, for a model that cannot be run here.
    """
    named = with_names(model)
    with tempfile.TemporaryDirectory(prefix="edgekd-trace-") as name:
        folder = Path(name)
        onnx.save(named, folder / "model.onnx")
        try:
            told = optimized(folder / "model.onnx", folder, machine)
            rows = _run(folder, machine)
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


def optimized(path: Path, folder: Path, machine: str) -> Mapping[str, Told]:
    """Return what the graph of the file *path* says after the optimizations of *machine*; *folder* is for it."""
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    _open(path, options, machine)
    return told_by(onnx.load(folder / "optimized.onnx", load_external_data=False).graph)


def _run(folder: Path, machine: str) -> tuple[Traced, ...]:
    """Return the kernels of one run of the model in *folder*."""
    options = ort.SessionOptions()
    options.enable_profiling = True
    options.profile_file_prefix = str(folder / "trace")
    session = _open(folder / "model.onnx", options, machine)
    session.run(None, examples(session, 1))  # type: ignore[no-untyped-call]
    rows = kernels(session.end_profiling(), (True,))  # type: ignore[no-untyped-call]  # it runs on Python 3.6
    return msgspec.convert(rows, tuple[Traced, ...])


def _open(path: Path, options: ort.SessionOptions, machine: str) -> ort.InferenceSession:
    """Return a session over *path* that is optimized as on *machine*.

    Only on x86 does ONNX Runtime block channels (NCHWc) and leave signed integers in float.
    """
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = _QUIET
    if machine in X86:
        return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    options.add_session_config_entry("session.qdqisint8allowed", "1")
    return ort.InferenceSession(
        str(path), options, providers=["CPUExecutionProvider"], disabled_optimizers=["NchwcTransformer"]
    )
