"""The kernels that ONNX Runtime makes of a network, as layers."""

import platform
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto
from quantized import exported, quantized_network
from slowed import equal_layers

from edgekd.bench.kernel_run import Traced
from edgekd.export.shapes import fix_batch
from edgekd.networks.graph_counting import macs_by_node
from edgekd.networks.session import Arrays
from edgekd.predict.kernels import Told, kernel_layer
from edgekd.predict.nominal import nominal_int8
from edgekd.predict.suite import suite_network
from edgekd.predict.tracing import X86, kernel_layers

HERE = platform.machine()
needs_x86 = pytest.mark.skipif(HERE not in X86, reason="the kernels of x86")


def traced(operator: str, read: tuple[int, ...], written: tuple[int, ...]) -> Traced:
    """Return a node with one input and one output."""
    return Traced(name="n", operator=operator, inputs=(("float", read),), outputs=(("float", written),))


@pytest.mark.parametrize("name", ["resnet", "dscnn", "branches"])
@pytest.mark.parametrize("form", ["float", "integers"])
def test_optimization_keeps_the_arithmetic(name: str, form: str) -> None:
    """All kernels together multiply what the network's nodes do, counted in the file before.

    Where channels are blocked they are padded to whole blocks; a board does not block them.
    """
    model = fix_batch(exported(name))
    wanted = sum(macs for _, macs in macs_by_node(model, _sample(model)))
    given = model if form == "float" else nominal_int8(model, "onnxruntime-x86")
    assert sum(layer.macs for layer in kernel_layers(given, where=name, machine="aarch64")) == wanted
    assert sum(layer.macs for layer in kernel_layers(given, where=name, machine="x86_64")) >= wanted


@needs_x86
@pytest.mark.parametrize("name", ["resnet", "dscnn", "branches"])
def test_nominal_scales_give_the_kernels_that_real_ones_give(name: str) -> None:
    """Calibrated on images, the network has the same operators of the same sizes, but for what an activation clips."""
    real = kernel_layers(fix_batch(quantized_network(name, "onnxruntime-x86").qdq), where=name, machine=HERE)
    nominal = kernel_layers(nominal_int8(fix_batch(exported(name)), "onnxruntime-x86"), where=name, machine=HERE)
    assert [(one.operator, one.kind, one.macs, one.written) for one in nominal] == [
        (one.operator, one.kind, one.macs, one.written) for one in real
    ]


def test_a_board_of_another_kind_has_other_kernels() -> None:
    """Channels are blocked on x86 alone."""
    for machine, is_blocked in (("x86_64", True), ("aarch64", False)):
        layers = kernel_layers(suite_network(2), where="net", machine=machine)
        assert any("nchwc" in layer.operator for layer in layers) == (is_blocked and HERE in X86)


@pytest.mark.parametrize(
    ("read", "order", "stays", "moves"),
    [
        ((1, 2, 58, 28, 28), (0, 2, 1, 3, 4), 784, (2, 58)),
        ((1, 64, 28, 14), (0, 2, 3, 1), 1, (64, 392)),
        ((1, 28, 14, 64), (0, 3, 1, 2), 1, (392, 64)),
        ((1, 197, 3, 64), (0, 2, 1, 3), 64, (197, 3)),
        ((1, 3, 197, 64), (0, 1, 3, 2), 1, (197, 64)),
    ],
)
def test_a_transposition_is_what_moves(
    read: tuple[int, ...], order: tuple[int, ...], stays: int, moves: tuple[int, int]
) -> None:
    """Numbers that stay side by side, and the last two axes that change places, neighbours as one."""
    written = tuple(read[axis] for axis in order)
    layer = kernel_layer(traced("Transpose", read, written), {"n": Told(attributes={"perm": order})})
    assert (layer.in_channels, layer.kernel) == (stays, moves)


@pytest.mark.parametrize(
    ("order", "operator"),
    [
        ((0, 2, 1, 3, 4), "Transpose"),
        ((0, 4, 1, 2, 3), "Transpose"),
        ((2, 0, 3, 1, 4), "Transpose of several axes"),
        ((2, 0, 3, 4, 1), "Transpose of several axes"),
    ],
)
def test_a_transposition_of_several_axes_is_another_operator(order: tuple[int, ...], operator: str) -> None:
    """Taking one axis out leaves the rest in its order, or not: the axis of one number, 0, counts as well."""
    read = (1, 49, 3, 4, 32)
    written = tuple(read[axis] for axis in order)
    layer = kernel_layer(traced("Transpose", read, written), {"n": Told(attributes={"perm": order})})
    assert layer.operator == operator


def _sample(model: ModelProto) -> Arrays:
    """Return zeros for the only input."""
    return (np.zeros([dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim], np.float32),)


def test_a_kernel_that_the_file_leaves_out_is_that_of_the_weights(tmp_path: Path) -> None:
    """Four convolutions of 3x3 without the attribute: 32 * 32 * 9 * 24 * 24 products each."""
    model = onnx.load(equal_layers(tmp_path / "net.onnx", 4))
    for machine in ("aarch64", "x86_64"):
        layers = kernel_layers(model, where="net", machine=machine)
        assert [layer.macs for layer in layers if layer.macs] == [32 * 32 * 9 * 24 * 24] * 4
