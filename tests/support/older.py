"""ONNX files as users have them: written by torch's older exporter, within milliseconds."""

import io
import warnings

import onnx
import torch
from onnx import ModelProto
from torch import nn


def older_onnx(module: nn.Module, *shapes: tuple[int, ...], is_free: bool = True) -> ModelProto:
    """Return *module* in evaluation mode as torch's older exporter writes it; the batch is free, or 1.

    *shapes* are those of the inputs, without the batch.
    """
    names = [f"input_{place}" for place in range(len(shapes))]
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(),
            tuple(torch.zeros(1, *shape) for shape in shapes),
            buffer,  # type: ignore[arg-type]  # torch's stub of the older form knows no streams
            dynamo=False,
            input_names=names,
            dynamic_axes={name: {0: "batch"} for name in names} if is_free else None,
        )
    return onnx.load_from_string(buffer.getvalue())
