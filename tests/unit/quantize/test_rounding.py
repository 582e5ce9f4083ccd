"""Laws of adaptive rounding and of bias correction."""

import functools

import pytest
import torch
from quantized import exported
from torch import Tensor

from edgekd.quantize.adaround import Draws, Effort, Problem, Rounded, learned_directions, round_adaptively
from edgekd.quantize.bias_correction import correct_biases, unrounded_outputs, with_biases
from edgekd.quantize.calibrate import calibrated
from edgekd.quantize.layer_rows import Rows
from edgekd.quantize.placement import PLACEMENTS, place
from edgekd.quantize.samples import Samples, held
from edgekd.quantize.simulation import SimulatedGraph
from edgekd.tasks.digits import load_digits

EFFORT = Effort(rows=512, steps=150, batch=128)


def as_it_is(values: Tensor) -> Tensor:
    """Return *values*."""
    return values


@functools.cache
def digits() -> Samples:
    """Return 128 training digits."""
    task = load_digits()
    return held(torch.from_numpy(task.read(task.train, slice(0, 128))[0]))


def simulations(name: str = "dscnn") -> tuple[SimulatedGraph, SimulatedGraph]:
    """Return a network of the table rounded, and as it was; ranges are by the extremes."""
    graph = with_biases(exported(name))
    places = place(graph.graph, PLACEMENTS["onnxruntime-arm64"])
    quantized, reference = SimulatedGraph(graph, places), SimulatedGraph(graph, places)
    task = load_digits()
    rows = torch.from_numpy(task.read(task.train, slice(0, 128))[0])
    quantized.quantize(calibrated(quantized, rows, method="min-max"))
    quantized.eval()
    reference.eval()
    return quantized, reference


def test_two_weights_that_always_act_together_are_rounded_together() -> None:
    """0.4 + 0.45 is 0.85: both to the nearest give 0 (error 0.7225), the nearer one up gives 1 (error 0.0225)."""
    problem = Problem(
        weight=torch.tensor([0.4, 0.45]).reshape(1, 2, 1),
        scale=torch.ones(1, 1, 1),
        bias=torch.zeros(1, 1),
        activation=as_it_is,
    )
    rows = Rows(taken=torch.ones(64, 1, 2), given=torch.full((64, 1, 1), 0.85))
    up = learned_directions(problem, rows, Draws(effort=EFFORT, random=torch.Generator().manual_seed(0)))
    assert problem.error(problem.nearest, rows).item() == pytest.approx(0.7225)
    assert up.flatten().tolist() == [0.0, 1.0]


def test_weights_that_act_alone_go_to_the_nearest() -> None:
    """With inputs that never meet, no neighbour makes up for another's rounding."""
    weight = torch.tensor([0.2, 0.7, -0.4, 1.3]).reshape(1, 4, 1)
    problem = Problem(weight=weight, scale=torch.ones(1, 1, 1), bias=torch.zeros(1, 1), activation=as_it_is)
    taken = torch.eye(4).repeat(64, 1).unsqueeze(1)
    rows = Rows(taken=taken, given=torch.einsum("ngi,gio->ngo", taken, weight))
    up = learned_directions(problem, rows, Draws(effort=EFFORT, random=torch.Generator().manual_seed(0)))
    torch.testing.assert_close(problem.levels(up), problem.nearest)


def adapted(seed: int) -> tuple[SimulatedGraph, SimulatedGraph, tuple[Rounded, ...]]:
    """Return a network before and after adaptive rounding, and what is told of each layer."""
    (before, _), (after, reference) = simulations(), simulations()
    graph = with_biases(exported("dscnn"))
    return before, after, round_adaptively(graph, after, reference, digits(), seed=seed, effort=EFFORT)


def test_adaptive_rounding_moves_a_weight_by_less_than_a_step() -> None:
    """Each weight ends on its grid, at one of the two levels around it; no layer's error on rows held out grows."""
    before, after, layers = adapted(0)
    for weight in after.places.weights.values():
        scale = torch.tensor(after.encodings().weights[weight.name])
        shape = [1] * after.initializer(weight.name).ndim
        shape[weight.axis or 0] = -1
        levels = after.initializer(weight.name) / scale.reshape(shape)
        torch.testing.assert_close(levels, levels.round(), atol=1e-3, rtol=0)
        moved = (levels - before.initializer(weight.name) / scale.reshape(shape)).abs()
        assert moved.max() < 1.001
    assert all(layer.error <= layer.nearest_error for layer in layers)
    assert any(layer.flipped and layer.error < 0.95 * layer.nearest_error for layer in layers)


def test_adaptive_rounding_is_a_function_of_its_seed() -> None:
    """Twice with one seed gives the same levels."""
    (_, first, _), (_, second, _) = adapted(3), adapted(3)
    for weight in first.places.weights.values():
        torch.testing.assert_close(first.initializer(weight.name), second.initializer(weight.name), rtol=0, atol=0)


def test_corrected_layers_give_the_float_mean() -> None:
    """The mean of a layer's output over samples and positions, channel by channel, is that of the float network.

    The first layer sees the same images in both; what rounding its weights took from the mean is given back whole.
    """
    quantized, reference = simulations()
    graph = with_biases(exported("dscnn"))
    (batch,) = [next(digits().batches())]
    node = next(node for node in graph.graph.node if node.op_type == "Conv")

    def gap() -> float:
        with torch.no_grad(), unrounded_outputs(quantized):
            found = quantized.values(*batch)[node.output[0]]
            wanted = reference.values(*batch)[node.output[0]]
        return float((found.mean((0, 2, 3)) - wanted.mean((0, 2, 3))).abs().max())

    with torch.no_grad():
        quantized.initializer(node.input[2]).add_(0.25)
    before = gap()
    correct_biases(graph, quantized, reference, held(*batch))
    assert before > 0.2
    assert gap() < 1e-3


def test_a_network_without_biases_gets_zeros_that_change_nothing() -> None:
    """Every convolution and Gemm has a third input afterwards; the answers stay the same to the bit."""
    graph = with_biases(exported("dscnn"))
    assert all(len(node.input) == 3 for node in graph.graph.node if node.op_type in {"Conv", "Gemm"})
    places = place(graph.graph, PLACEMENTS["onnxruntime-arm64"])
    (batch,) = [next(digits().batches())]
    with torch.no_grad():
        first = SimulatedGraph(graph, places).eval()(*batch)
        second = SimulatedGraph(exported("dscnn"), places).eval()(*batch)
    torch.testing.assert_close(first, second, rtol=0, atol=0)
