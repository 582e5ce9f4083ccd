"""The ARM emulator of this machine, and small models to run on it."""

import functools
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from edgekd.bench.cores import CORES, Core
from edgekd.bench.emulator import (
    DEFAULTS,
    Emulated,
    EmulationSettings,
    Emulator,
    emulator_folder,
    find_emulator,
    run_emulated,
)
from edgekd.core.errors import ConfigError

IMAGE_SHAPE = (1, 3, 16, 16)
CHANNELS = 32
Images = tuple[tuple[NDArray[np.float32]], ...]


def the_emulator() -> Emulator:
    """Return the emulator in its usual folder; skip the test, saying why, where there is none."""
    try:
        return find_emulator(emulator_folder(os.environ))
    except ConfigError as error:
        pytest.skip(str(error))


def on_every_core(model: Path, samples: Images, settings: EmulationSettings = DEFAULTS) -> dict[str, Emulated]:
    """Return what *model* answers on each core of the table, two runs at a time."""
    emulator = the_emulator()

    def run(core: Core) -> Emulated:
        return run_emulated(emulator, core, model, samples, settings)

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(CORES, pool.map(run, CORES.values()), strict=True))


@functools.cache
def some_images(count: int = 12) -> Images:
    """Return *count* samples of one random image each."""
    rng = np.random.default_rng(0)
    return tuple((rng.normal(size=IMAGE_SHAPE).astype(np.float32),) for _ in range(count))


def batch_of(images: Images) -> NDArray[np.float32]:
    """Return all *images* as one batch."""
    return np.concatenate([image for (image,) in images])


def write_model(
    path: Path,
    nodes: Sequence[NodeProto],
    inputs: Sequence[ValueInfoProto],
    outputs: Sequence[ValueInfoProto],
    constants: dict[str, NDArray[Any]],
) -> Path:
    """Write a model of *nodes*, at opset 17, to *path* and return that."""
    initializers = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "graph", inputs, outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def tensor(name: str, kind: int, sizes: Sequence[int | str] | None) -> ValueInfoProto:
    """Return an input or output."""
    return helper.make_tensor_value_info(name, kind, sizes)


def write_convolution(path: Path) -> Path:
    """Write one convolution of 3 to 16 channels, 3x3, without bias, over images of 16x16, with a free batch."""
    weights = np.random.default_rng(1).normal(size=(16, 3, 3, 3)).astype(np.float32)
    node = helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])
    image = tensor("x", TensorProto.FLOAT, ["batch", *IMAGE_SHAPE[1:]])
    return write_model(path, [node], [image], [tensor("y", TensorProto.FLOAT, None)], {"w": weights})


def write_network(path: Path) -> Path:
    """Write a small mobile network in FP32: a 3x3, a depthwise and two pointwise convolutions, pooling, a Gemm."""
    rng = np.random.default_rng(2)
    shapes: dict[str, tuple[int, ...]] = {}
    shapes |= {"stem": (CHANNELS, 3, 3, 3), "depth": (CHANNELS, 1, 3, 3), "wide": (2 * CHANNELS, CHANNELS, 1, 1)}
    shapes |= {"thin": (CHANNELS, 2 * CHANNELS, 1, 1), "head": (10, CHANNELS)}
    weights = {n: (rng.normal(size=s) / np.sqrt(np.prod(s[1:]))).astype(np.float32) for n, s in shapes.items()}
    biases = {f"{name}_b": rng.normal(size=shape[0]).astype(np.float32) for name, shape in shapes.items()}
    nodes = [
        *_convolution("x", "stem", kernel=3, groups=1),
        *_convolution("stem_y", "depth", kernel=3, groups=CHANNELS),
        *_convolution("depth_y", "wide", kernel=1, groups=1),
        *_convolution("wide_y", "thin", kernel=1, groups=1),
        helper.make_node("GlobalAveragePool", ["thin_y"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "head", "head_b"], ["logits"], transB=1),
    ]
    logits = tensor("logits", TensorProto.FLOAT, ["batch", 10])
    return write_model(
        path, nodes, [tensor("x", TensorProto.FLOAT, ["batch", *IMAGE_SHAPE[1:]])], [logits], weights | biases
    )


def quantize_to(float_model: Path, path: Path) -> Path:
    """Write *float_model* with Q/DQ nodes: signed asymmetric activations, symmetric weights for each channel."""
    quantize_static(
        float_model,
        path,
        _Reader(some_images()),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QInt8,
        weight_type=QuantType.QInt8,
    )
    return path


def constant(model: ModelProto, name: str) -> NDArray[Any]:
    """Return the initializer called *name*."""
    (found,) = [item for item in model.graph.initializer if item.name == name]
    return numpy_helper.to_array(found)


def _convolution(source: str, name: str, *, kernel: int, groups: int) -> tuple[NodeProto, NodeProto]:
    """Return a convolution that keeps the size, and its ReLU."""
    pads = [kernel // 2] * 4
    inputs = [source, name, f"{name}_b"]
    return (
        helper.make_node("Conv", inputs, [f"{name}_c"], kernel_shape=[kernel] * 2, pads=pads, group=groups),
        helper.make_node("Relu", [f"{name}_c"], [f"{name}_y"]),
    )


class _Reader(CalibrationDataReader):  # type: ignore[misc] # onnxruntime has no annotations
    """Images, as the quantizer of ONNX Runtime wants them."""

    def __init__(self, images: Images) -> None:
        """Begin with the first image."""
        self._feeds: Iterator[dict[str, NDArray[np.float32]]] = ({"x": image} for (image,) in images)

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        """Return the next image."""
        return next(self._feeds, None)
