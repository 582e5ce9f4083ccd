"""A torch module as a canonical ONNX graph."""

import inspect
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import torch
from onnx import ModelProto
from torch import nn

from edgekd.core.errors import StageError
from edgekd.export.canonical import canonicalize
from edgekd.networks.answer import examples
from edgekd.tasks.task import Task

EXPORTER_OPSET: Final = 18
"""What torch 2.13 writes, whatever it is asked for; ``legalize`` goes down from here."""

_NOISY_LOGGER: Final = "torch.onnx._internal.exporter._registration"


def export_onnx(module: nn.Module, task: Task) -> ModelProto:
    """Return *module* as a canonical opset-18 graph with a free batch size, named inputs and outputs.

    Raises StageError with torch's own words where torch cannot export it.
    """
    batch = torch.export.Dim("batch")
    with _quiet():
        try:
            program = torch.onnx.export(
                module.eval(),
                examples(task.shapes, batch=2),
                dynamo=True,
                opset_version=EXPORTER_OPSET,
                dynamic_shapes=_free_batch(module, task, batch),
                input_names=[entry.name for entry in task.inputs],
                output_names=list(task.outputs),
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            message = f"export: torch cannot export {type(module).__name__} to ONNX: {_cause(error)}"
            raise StageError(message) from error
    if program is None:
        message = "export: torch.onnx.export gave nothing back."
        raise StageError(message)
    return canonicalize(program.model_proto)


def _free_batch(module: nn.Module, task: Task, batch: Any) -> tuple[Any, ...]:  # noqa: ANN401 - torch.export.Dim is no type
    """Return *batch* as the first dimension of each input; those of ``*inputs`` are nested one level deeper."""
    dims = tuple({0: batch} for _ in task.inputs)
    kinds = [parameter.kind for parameter in inspect.signature(module.forward).parameters.values()]
    return (dims,) if kinds[:1] == [inspect.Parameter.VAR_POSITIONAL] else dims


def _cause(error: BaseException) -> str:
    """Return the first line of what lies at the bottom of torch's chain of errors."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error).strip().partition("\n")[0]


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what torch's exporter says about itself: absent torchvision, its deprecated calls, one batch twice."""
    logger = logging.getLogger(_NOISY_LOGGER)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=FutureWarning, message=r".*LeafSpec.*")
            warnings.filterwarnings("ignore", category=UserWarning, message=r".*axis name: batch will not be used.*")
            yield
    finally:
        logger.setLevel(level)
