"""Networks with several inputs and outputs, and sequences: quantized as those with one of each."""

import functools
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper
from several import both_network, both_samples, both_task
from torch import Tensor, nn

from edgekd.core.errors import ConfigError
from edgekd.distill.taps import shapes_at, tapped
from edgekd.export.exporter import export_onnx
from edgekd.networks.session import every_answer, open_session
from edgekd.quantize.calibrate import calibrated
from edgekd.quantize.placement import PLACEMENTS, place
from edgekd.quantize.qdq import write_qdq
from edgekd.quantize.simulation import SimulatedGraph
from edgekd.targets import PlacementName

Arrays = tuple[NDArray[np.float32], ...]


@functools.cache
def both_graph() -> ModelProto:
    """Return the network of an image and a sound as a canonical graph."""
    return export_onnx(both_network(), both_task())


def simulate(graph: ModelProto, placement: PlacementName) -> SimulatedGraph:
    """Return the float simulation of *graph* placed for a runtime."""
    return SimulatedGraph(graph, place(graph.graph, PLACEMENTS[placement]))


def by_onnxruntime(model: ModelProto, inputs: tuple[Tensor, ...]) -> Arrays:
    """Return every output in reference arithmetic."""
    return every_answer(open_session(model, arithmetic="reference"), [tuple(tensor.numpy() for tensor in inputs)])


def by_torch(simulation: nn.Module, inputs: tuple[Tensor, ...]) -> Arrays:
    """Return every output in torch."""
    with torch.no_grad():
        return tuple(tensor.numpy() for tensor in simulation(*inputs))


def quantized(graph: ModelProto, placement: PlacementName, inputs: tuple[Tensor, ...]) -> tuple[Arrays, Arrays]:
    """Return the outputs of the simulation with grids, and of the file that ships."""
    simulation = simulate(graph, placement)
    simulation.quantize(calibrated(simulation, *inputs))
    shipped = write_qdq(graph, simulation.places, simulation.encodings())
    onnx.checker.check_model(shipped, full_check=True)
    return by_torch(simulation, inputs), by_onnxruntime(shipped, inputs)


def test_without_grids_every_output_is_the_networks(placement: PlacementName) -> None:
    """Image and sound in, logits and features out: torch, the graph and the simulation agree."""
    expected = by_torch(both_network(), both_samples())
    for found in (by_torch(simulate(both_graph(), placement), both_samples()), by_onnxruntime(both_graph(), both_samples())):  # fmt: skip  # noqa: E501
        for mine, theirs in zip(found, expected, strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-5)


def test_with_grids_every_output_is_the_shipped_files(placement: PlacementName) -> None:
    """Within an eighth of an int8 step of each output, but for a value here and there that rounds to the other side."""
    for mine, theirs in zip(*quantized(both_graph(), placement, both_samples()), strict=True):
        steps = np.abs(mine - theirs) / (np.abs(theirs).max() / 127)
        assert (steps > 1 / 8).mean() <= 0.01
        assert steps.max() <= 4


def test_grids_change_every_output_a_little(placement: PlacementName) -> None:
    """Rounding does happen, and costs a small part of the largest number."""
    expected = by_onnxruntime(both_graph(), both_samples())
    for mine, floats in zip(quantized(both_graph(), placement, both_samples())[1], expected, strict=True):
        assert 0 < np.abs(mine - floats).max() < 0.2 * np.abs(floats).max()


def test_every_input_gets_a_grid_of_its_own(placement: PlacementName) -> None:
    """The image's range says nothing of the sound's: the louder one has coarser steps, the other stays."""
    image, sound = both_samples()
    calm = calibrated(simulate(both_graph(), placement), image, sound).activations
    loud = calibrated(simulate(both_graph(), placement), image, sound * 20).activations

    assert loud["sound"].scale == pytest.approx(20 * calm["sound"].scale, rel=0.05)
    assert loud["image"] == calm["image"]


def test_sequences_run_in_integer_kernels_too(tmp_path: Path) -> None:
    """On ARM64 each of the four convolutions, two of them over time, and both linear layers, features and all."""
    simulation = simulate(both_graph(), "onnxruntime-arm64")
    shipped = write_qdq(both_graph(), simulation.places, calibrated(simulation, *both_samples()))
    optimized = tmp_path / "optimized.onnx"
    open_session(shipped, arithmetic="arm64-kernels", save_optimized=optimized)

    found = Counter(node.op_type for node in onnx.load(optimized).graph.node)

    assert (found["QLinearConv"], found["QGemm"]) == (4, 2)
    assert not {"Conv", "FusedConv", "Gemm", "FusedGemm"} & found.keys()


def convolutions(*outputs: str, nodes: Callable[[], list[onnx.NodeProto]]) -> ModelProto:
    """Return a hand-written graph of 3x3 convolutions over 2 channels that gives *outputs*."""
    body = nodes()
    random = np.random.default_rng(0)
    weights = sorted({name for node in body for name in node.input if name.endswith("weight")})
    graph = helper.make_graph(
        body,
        "convolutions",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 2, 8, 8])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 2, 8, 8]) for name in outputs],
        [numpy_helper.from_array(random.standard_normal((2, 2, 3, 3)).astype(np.float32), name) for name in weights],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def chain() -> list[onnx.NodeProto]:
    """Return two convolutions with a ReLU between them."""
    return [
        helper.make_node("Conv", ["input", "a.weight"], ["a_out"], name="a", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a_out"], ["r_out"], name="r"),
        helper.make_node("Conv", ["r_out", "b.weight"], ["b_out"], name="b", pads=[1, 1, 1, 1]),
    ]


@pytest.mark.parametrize(
    ("outputs", "rounded"),
    [
        (("b_out",), {"b_out"}),
        (("b_out", "r_out"), {"b_out", "r_out"}),
        (("b_out", "a_out"), {"b_out", "a_out"}),
        (("a_out", "r_out", "b_out"), {"a_out", "r_out", "b_out"}),
    ],
)
def test_outputs_that_a_kernel_writes_are_rounded(outputs: tuple[str, ...], rounded: set[str], tmp_path: Path) -> None:
    """A convolution's output, also one that is read on or that an activation would fold, has a Q/DQ pair of its own.

    Without, ONNX Runtime would leave the convolution in float. Names, order and numbers are those of the graph.
    """
    graph = convolutions(*outputs, nodes=chain)
    inputs = (torch.randn(16, 2, 8, 8, generator=torch.Generator().manual_seed(0)),)
    simulation = simulate(graph, "onnxruntime-arm64")
    simulation.quantize(calibrated(simulation, *inputs))
    shipped = write_qdq(graph, simulation.places, simulation.encodings())
    optimized = tmp_path / "optimized.onnx"
    open_session(shipped, arithmetic="arm64-kernels", save_optimized=optimized)
    with torch.no_grad():
        answer = simulation(*inputs)

    assert simulation.places.outputs == rounded
    assert [value.name for value in shipped.graph.output] == list(outputs)
    assert "Conv" not in {node.op_type for node in onnx.load(optimized).graph.node}
    for name, mine, theirs in zip(
        outputs, answer if len(outputs) > 1 else [answer], by_onnxruntime(shipped, inputs), strict=True
    ):
        grid = simulation.encodings().activations[name]
        levels = theirs / np.float32(grid.scale)
        np.testing.assert_allclose(levels, np.round(levels), atol=1e-3)
        assert (np.abs(mine.numpy() - theirs) > grid.scale / 8).mean() <= 0.01


def test_tensorrt_gives_real_outputs() -> None:
    """Its Q/DQ pairs belong to readers alone."""
    simulation = simulate(convolutions("r_out", "b_out", nodes=chain), "tensorrt")

    assert simulation.places.outputs == frozenset()
    assert "b_out" not in simulation.places.readers


# Tapping a simulation


def test_every_value_can_be_tapped_by_its_name(residual: ModelProto) -> None:
    """``points.<value>`` gives what the node gave, with its graph; the float graph's values are the reference."""
    simulation = simulate(residual, "onnxruntime-arm64")
    images = torch.randn(3, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    names = ["r0", "a_sum", "pooled", "logits"]
    expected = simulation.values(images)
    with tapped(simulation, [f"points.{name}" for name in names]) as taps:
        simulation(images)
        found = taps[:]

    assert all(torch.equal(tensor, expected[name]) for name, tensor in zip(names, found, strict=True))
    assert all(tensor.requires_grad for tensor in found)
    assert shapes_at(simulation, ["points.r0"], (images,)) == ((3, 2, 8, 8),)


def test_a_value_that_is_not_there_is_answered_with_near_ones(residual: ModelProto) -> None:
    """As for every other module."""
    with (
        pytest.raises(ConfigError, match=r"tap 'points.poold': .* did you mean 'points.pooled'"),
        tapped(simulate(residual, "tensorrt"), ["points.poold"]),
    ):
        pass


@pytest.mark.parametrize(
    ("name", "point"), [("features", "features"), ("block.0", "block_0"), ("type", "type_"), ("values", "values_")]
)
def test_outputs_may_have_any_name(residual: ModelProto, name: str, point: str) -> None:
    """A user's names are free: those that no module of torch can have get another one inside."""
    graph = ModelProto()
    graph.CopyFrom(residual)
    for node in graph.graph.node:
        for values in (node.input, node.output):
            for place_, value in enumerate(values):
                if value == "r4":
                    values[place_] = name
    images = torch.randn(3, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    simulation = simulate(graph, "onnxruntime-arm64")

    with tapped(simulation, [f"points.{point}"]) as taps:
        simulation(images)

    assert torch.equal(taps[0], simulation.values(images)[name])


def test_constants_move_with_the_module_and_are_not_saved(residual: ModelProto) -> None:
    """Constants are buffers outside the state: a checkpoint holds weights, biases and the number of steps."""
    simulation = simulate(residual, "tensorrt")

    assert simulation.state_dict().keys() == {name for name, _ in simulation.named_parameters()} | {"steps"}
    assert {tensor.device.type for tensor in (*simulation.buffers(), *simulation.parameters())} == {"cpu"}
