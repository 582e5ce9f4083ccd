"""Scales that move: by their gradient, after the data, and not at all once they are held."""

import math

import pytest
import torch
from onnx import ModelProto
from torch import Tensor

from edgekd.quantize.calibrate import calibrated
from edgekd.quantize.fake import HIGH, LOW, Grid, fake_quantize
from edgekd.quantize.placement import PLACEMENTS, place
from edgekd.quantize.scales import FLOOR, FOLLOW, LearnedGrid, LearnedScales, ScaleRule, TrackedGrid, TrackedScales
from edgekd.quantize.simulation import SimulatedGraph


def gradient_of_scale(values: list[float], scale: float, zero_point: int) -> float:
    """Return d(sum of rounded values) / d scale."""
    step = torch.tensor(scale, requires_grad=True)
    fake_quantize(torch.tensor(values), step, zero_point, LOW, HIGH).sum().backward()  # type: ignore[no-untyped-call]
    assert step.grad is not None
    return step.grad.item()


def test_inside_the_range_the_gradient_of_a_scale_is_the_rounding_error_in_steps() -> None:
    """LSQ by hand: 0.7 / 0.5 = 1.4 rounds to 1, so -0.4; -0.3 / 0.5 = -0.6 rounds to -1, so -0.4."""
    assert gradient_of_scale([0.7], 0.5, 0) == pytest.approx(-0.4, abs=1e-6)
    assert gradient_of_scale([0.7, -0.3], 0.5, 0) == pytest.approx(-0.8, abs=1e-6)


def test_outside_the_range_the_gradient_of_a_scale_is_the_last_level() -> None:
    """Clamped values move with the end of the range: 127 and -128 steps with zero point 0, 255 and 0 with -128."""
    assert gradient_of_scale([100.0], 0.5, 0) == pytest.approx(127)
    assert gradient_of_scale([-100.0], 0.5, 0) == pytest.approx(-128)
    assert gradient_of_scale([1000.0, -1000.0], 0.5, -128) == pytest.approx(255)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_memory_layout_changes_no_gradient(layout: torch.memory_format) -> None:
    """The fast way over dense memory and the plain sum agree, also where the gradient lies otherwise."""
    values = torch.randn(2, 5, 4, 3, generator=torch.Generator().manual_seed(0))
    incoming = torch.randn(2, 5, 4, 3, generator=torch.Generator().manual_seed(1))
    step = torch.tensor(0.01, requires_grad=True)
    given = values.contiguous(memory_format=layout).requires_grad_()
    fake_quantize(given, step, 3, LOW, HIGH).backward(incoming)  # type: ignore[no-untyped-call]

    levels = torch.round(values / 0.01).clamp(LOW - 3, HIGH - 3)
    inside = levels == torch.round(values / 0.01)
    assert step.grad is not None
    assert given.grad is not None
    assert step.grad.item() == pytest.approx((incoming * (levels - inside * values / 0.01)).sum().item(), rel=1e-4)
    assert torch.equal(given.grad, incoming * inside)


def test_each_channel_has_its_own_gradient() -> None:
    """A row of -0.4 steps and a row that is clamped at 127."""
    scales = torch.tensor([[0.5], [0.1]], requires_grad=True)
    fake_quantize(torch.tensor([[0.7], [50.0]]), scales, 0, -127, HIGH).sum().backward()  # type: ignore[no-untyped-call]
    assert scales.grad is not None
    assert scales.grad.flatten().tolist() == pytest.approx([-0.4, 127.0], abs=1e-5)


def test_a_folded_relu_is_a_relu() -> None:
    """Rounding what stands before a ReLU, from the lowest level upwards, gives its values and its gradients."""
    values = torch.linspace(-1, 1, 101)
    folded, plain = values.clone().requires_grad_(), values.clone().requires_grad_()
    step = torch.tensor(0.004)
    one = fake_quantize(folded, step, LOW, LOW, HIGH, rectified=True)
    other = fake_quantize(torch.relu(plain), step, LOW, LOW, HIGH)
    assert torch.equal(one, other)
    one.sum().backward()  # type: ignore[no-untyped-call]
    other.sum().backward()  # type: ignore[no-untyped-call]
    assert folded.grad is not None
    assert plain.grad is not None
    assert torch.equal(folded.grad[values != 0], plain.grad[values != 0])


def test_lsq_eases_the_gradient_by_the_numbers_of_a_sample() -> None:
    """1 / sqrt(6 * 127) of what it would be, whatever the batch; of a channel for weights; times the first scale."""
    values = torch.full((4, 6), 1000.0)
    grid = LearnedGrid(Grid(scale=0.5, zero_point=0), symmetric=False)
    grid(values, rectified=False, moving=True).sum().backward()
    found = grid.get_parameter("factor").grad
    assert found is not None
    assert found.item() == pytest.approx(0.5 * 4 * 6 * 127 / math.sqrt(6 * 127))

    scales = LearnedScales(torch.tensor([[0.5], [0.5]]), 0)
    scales(torch.full((2, 3), 1000.0), moving=True)[0].sum().backward()
    by_channel = scales.get_parameter("factor").grad
    assert by_channel is not None
    assert by_channel.flatten().tolist() == pytest.approx([0.5 * 3 * 127 / math.sqrt(3 * 127)] * 2)


def test_a_learned_scale_never_reaches_zero() -> None:
    """However far its gradient pushes it, a sixteenth of the first scale is left."""
    grid = LearnedGrid(Grid(scale=0.5, zero_point=0), symmetric=False)
    with torch.no_grad():
        grid.get_parameter("factor").fill_(-3.0)
    assert grid.grid == Grid(scale=0.5 * FLOOR, zero_point=0)


def test_a_tracked_grid_goes_towards_what_the_batches_cover() -> None:
    """Half of the range was clipped at calibration and stays so: 0..2 becomes 99 % of 0..2 and 1 % of half of 0..8."""
    grid = TrackedGrid(Grid(scale=2 / 255, zero_point=LOW), symmetric=False)
    grid(torch.tensor([0.0, 4.0]), rectified=False, moving=True)
    assert grid.grid.scale == pytest.approx(2 / 255, rel=1e-5)
    grid(torch.tensor([0.0, 8.0]), rectified=False, moving=True)
    assert grid.grid.scale == pytest.approx((2 * (1 - FOLLOW) + 4 * FOLLOW) / 255, rel=1e-5)
    assert grid.grid.zero_point == LOW


def test_tracked_weight_scales_hold_the_weight_in_full() -> None:
    """After a step the largest weight of each channel is 127 again; held, it is clamped."""
    scales = TrackedScales(torch.tensor([[0.01]]), 0)
    grown = torch.tensor([[2.54, -1.0]])
    assert scales(grown, moving=False)[0].tolist() == [pytest.approx([1.27, -1.0])]
    assert scales(grown, moving=True)[0].tolist() == [pytest.approx([2.54, -1.0])]
    assert scales.current().item() == pytest.approx(0.02)


def simulate(graph: ModelProto, rule: ScaleRule, *, held_after: int) -> tuple[SimulatedGraph, Tensor]:
    """Return the hand-written network, rounding with moving scales, and images for it."""
    simulation = SimulatedGraph(graph, place(graph.graph, PLACEMENTS["onnxruntime-arm64"]))
    images = torch.randn(8, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    simulation.quantize(calibrated(simulation, images), rule=rule, held_after=held_after)
    return simulation, images


@pytest.mark.parametrize("rule", ["learned", "tracked"])
def test_scales_move_until_they_are_held(residual: ModelProto, rule: ScaleRule) -> None:
    """Two steps of training move grids of activations and weights; from the third on only weights move."""
    simulation, images = simulate(residual, rule, held_after=2)
    simulation.train()
    optimizer = torch.optim.SGD(simulation.parameters(), lr=0.01, momentum=0.9)
    seen = [simulation.encodings()]
    for _ in range(4):
        optimizer.zero_grad(set_to_none=True)
        (simulation(images * 2) ** 2).sum().backward()
        optimizer.step()
        seen.append(simulation.encodings())
    assert seen[0].activations != seen[1].activations != seen[2].activations
    assert seen[2] == seen[3] == seen[4]
    assert seen[0].weights != seen[2].weights


def test_fixed_scales_and_evaluation_move_nothing(residual: ModelProto) -> None:
    """Answering, in evaluation mode, leaves every grid as it was; so does training with fixed ones."""
    for rule, training in (("fixed", True), ("tracked", False)):
        simulation, images = simulate(residual, rule, held_after=100)  # type: ignore[arg-type]
        before = simulation.encodings()
        simulation.train(training)
        simulation(images * 3)
        assert simulation.encodings() == before


def test_a_simulation_goes_on_from_its_state(residual: ModelProto) -> None:
    """Scales and the count of steps are part of the state: a run that was cut holds them when the other does."""
    simulation, images = simulate(residual, "tracked", held_after=3)
    simulation.train()
    for _ in range(2):
        simulation(images * 2)
    other, _ = simulate(residual, "tracked", held_after=3)
    other.load_state_dict(simulation.state_dict())
    other.train()
    for _ in range(2):
        simulation(images * 4)
        other(images * 4)
    assert simulation.encodings() == other.encodings()
