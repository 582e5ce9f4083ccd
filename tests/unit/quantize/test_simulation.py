"""The graph in torch against ONNX Runtime, in float and on grids."""

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import ModelProto, parser
from quantized import Quantized

from edgekd.networks.session import answers, open_session
from edgekd.quantize.placement import PLACEMENTS, place
from edgekd.quantize.simulation import SimulatedGraph, trained_model


def logits_of(simulation: SimulatedGraph, images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what the simulation answers."""
    with torch.no_grad():
        found: NDArray[np.float32] = simulation(torch.from_numpy(images)).numpy()
    return found


def test_without_grids_it_is_the_float_graph(graph: ModelProto, digits: NDArray[np.float32]) -> None:
    """Node by node in torch, or by ONNX Runtime: the same logits but for the order of float32 sums."""
    simulation = SimulatedGraph(graph, place(graph.graph, PLACEMENTS["onnxruntime-arm64"]))
    expected = answers(open_session(graph, arithmetic="reference"), [(digits,)])
    np.testing.assert_allclose(logits_of(simulation, digits), expected, rtol=1e-4, atol=1e-4)


def test_with_grids_it_is_the_quantized_graph(quantized: Quantized, digits: NDArray[np.float32]) -> None:
    """What is fine-tuned is what ships: logits agree within an eighth of an int8 step of the output, and so classes.

    A value that lies between two levels may be rounded to the other one, and the layers after it carry that on:
    a few of the 200 digits may differ by up to four steps, one may change its class.
    """
    expected = answers(open_session(quantized.qdq, arithmetic="reference"), [(digits,)])
    found = logits_of(quantized.simulation, digits)
    steps = np.abs(found - expected).max(1) / (np.abs(expected).max() / 127)
    assert (found.argmax(1) != expected.argmax(1)).sum() <= 1
    assert (steps > 1 / 8).sum() <= 10
    assert steps.max() <= 4


def test_grids_change_the_answers_a_little(quantized: Quantized, digits: NDArray[np.float32]) -> None:
    """Rounding does happen, and costs a small part of the largest logit."""
    floats = answers(open_session(quantized.graph, arithmetic="reference"), [(digits,)])
    difference = np.abs(logits_of(quantized.simulation, digits) - floats).max()
    assert 0 < difference < 0.2 * np.abs(floats).max()


def test_only_weights_and_biases_are_trained(residual: ModelProto) -> None:
    """Every weight and bias of a quantized layer is a parameter, nothing else is."""
    simulation = SimulatedGraph(residual, place(residual.graph, PLACEMENTS["tensorrt"]))
    shapes = sorted(tuple(parameter.shape) for parameter in simulation.parameters())
    assert shapes == sorted(tuple(initializer.dims) for initializer in residual.graph.initializer)


def test_gradients_reach_every_parameter_through_the_grids(quantized: Quantized, digits: NDArray[np.float32]) -> None:
    """Straight through: the first layer learns from the last although every value between is rounded."""
    quantized.simulation.train().zero_grad()
    logits = quantized.simulation(torch.from_numpy(digits[:16]))
    torch.nn.functional.cross_entropy(logits, torch.arange(16) % 10).backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in quantized.simulation.parameters())
    quantized.simulation.eval().zero_grad()


def test_an_untrained_model_is_given_back_as_it_was(residual: ModelProto) -> None:
    """The identity: parameters taken out and put back are bit-equal."""
    simulation = SimulatedGraph(residual, place(residual.graph, PLACEMENTS["tensorrt"]))
    assert trained_model(residual, simulation) == residual


def test_trained_weights_arrive_in_the_model_and_the_original_stays(residual: ModelProto) -> None:
    """A changed parameter is the new initializer of that name, in a copy."""
    before = residual.SerializeToString()
    simulation = SimulatedGraph(residual, place(residual.graph, PLACEMENTS["tensorrt"]))
    with torch.no_grad():
        simulation.initializer("a1.weight").fill_(0.25)
    trained = {i.name: onnx.numpy_helper.to_array(i) for i in trained_model(residual, simulation).graph.initializer}
    assert (trained["a1.weight"] == np.float32(0.25)).all()
    assert not (trained["a2.weight"] == np.float32(0.25)).any()
    assert residual.SerializeToString() == before


def test_each_output_can_be_tapped_alone_though_modules_know_no_dots() -> None:
    """``y.1`` and ``y_1`` are two, and so is ``y_1_``: what is taken at one is not what another gives."""
    model = parser.parse_model(
        '<ir_version: 8, opset_import: ["": 18]> g (float[n, 2] x) => (float[n, 2] a, float[n, 2] b, float[n, 2] c) '
        "{ a = Neg(x) b = Abs(x) c = Relu(x) }"
    )
    for node, output, name in zip(model.graph.node, model.graph.output, ("y.1", "y_1", "y_1_"), strict=True):
        node.output[0] = output.name = node.name = name
    simulation = SimulatedGraph(model, place(model.graph, PLACEMENTS["onnxruntime-arm64"]))
    seen: list[list[float]] = []
    for point in simulation.points.values():
        point.register_forward_hook(lambda _module, _inputs, output: seen.append(output.flatten().tolist()))
    simulation(torch.tensor([[-1.0, 2.0]]))
    assert seen == [[1.0, -2.0], [1.0, 2.0], [0.0, 2.0]]
    assert len(simulation.points) == len(seen)
