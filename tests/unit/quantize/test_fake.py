"""Rounding to the integer grid and back, by hand and for all numbers."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from edgekd.quantize.fake import (
    BIAS_LIMIT,
    HIGH,
    LOW,
    WEIGHT_FLOOR,
    WEIGHT_LIMIT,
    bias_scales,
    fake_quantize,
    quantize_bias,
    quantize_weight,
    weight_scales,
)

SCALES = st.floats(min_value=2.0**-13, max_value=1024, width=32)
ZERO_POINTS = st.integers(LOW, HIGH)
VALUES = st.lists(st.floats(min_value=-1e5, max_value=1e5, width=32), min_size=1, max_size=20)


def rounded(values: list[float], scale: float, zero_point: int = 0) -> torch.Tensor:
    """Return *values* on the int8 grid of one scale and zero point."""
    return fake_quantize(torch.tensor(values), torch.tensor(scale), zero_point, LOW, HIGH)


def test_values_go_to_the_nearest_step() -> None:
    """With steps of 0.5, 0.6 is nearest to 0.5 and -0.8 to -1.0."""
    assert rounded([0.6, -0.8, 0.1, 1.3], 0.5).tolist() == [0.5, -1.0, 0.0, 1.5]


def test_ties_go_to_the_even_step() -> None:
    """Half a step rounds to the even neighbour, as ONNX's QuantizeLinear does: 0.5 to 0, 1.5 and 2.5 to 2."""
    assert rounded([0.5, 1.5, 2.5, 3.5, -0.5, -1.5], 1.0).tolist() == [0, 2, 2, 4, 0, -2]


def test_ties_are_decided_before_the_zero_point_is_added() -> None:
    """An odd zero point moves no tie: 0.5 + 1 is not rounded to 2, 0.5 is rounded to 0."""
    assert rounded([0.5, 1.5, 2.5], 1.0, 1).tolist() == [0, 2, 2]


def test_values_beyond_the_range_are_clamped() -> None:
    """Zero point -128 leaves 0 to 255 steps; zero point 0 leaves -128 to 127."""
    assert rounded([300.0, -5.0], 1.0, -128).tolist() == [255, 0]
    assert rounded([300.0, -300.0], 1.0).tolist() == [127, -128]


def test_the_gradient_passes_inside_and_stops_where_values_are_clamped() -> None:
    """Straight through: 1 inside the range, its ends included; 0 beyond."""
    values = torch.tensor([0.3, 126.9, 127.0, 127.6, -128.0, -128.6, 500.0], requires_grad=True)
    fake_quantize(values, torch.tensor(1.0), 0, LOW, HIGH).sum().backward()  # type: ignore[no-untyped-call]
    assert values.grad is not None
    assert values.grad.tolist() == [1, 1, 1, 0, 1, 0, 0]


@given(st.integers(LOW, HIGH), SCALES, ZERO_POINTS)
def test_a_value_on_the_grid_survives(level: int, scale: float, zero_point: int) -> None:
    """Each of the 256 real values of a grid is its own nearest."""
    on_grid = (torch.tensor(float(level)) - zero_point) * torch.tensor(scale)
    assert torch.equal(rounded([on_grid.item()], scale, zero_point)[0], on_grid)


@given(VALUES, SCALES, ZERO_POINTS)
def test_rounding_twice_is_rounding_once(values: list[float], scale: float, zero_point: int) -> None:
    """What has been rounded lies on the grid."""
    once = rounded(values, scale, zero_point)
    assert torch.equal(rounded(once.tolist(), scale, zero_point), once)


@given(VALUES, SCALES, ZERO_POINTS)
def test_rounding_stays_in_range_and_within_half_a_step(values: list[float], scale: float, zero_point: int) -> None:
    """Results lie between the grid's ends; a value between them moves by half a step at most."""
    low, high = (LOW - zero_point) * scale, (HIGH - zero_point) * scale
    slack = 1e-5 * max(abs(low), abs(high))
    for value, result in zip(values, rounded(values, scale, zero_point).tolist(), strict=True):
        assert low - slack <= result <= high + slack
        if low <= value <= high:
            assert abs(value - result) <= scale / 2 + slack


def test_each_output_channel_has_its_own_scale() -> None:
    """The largest absolute weight of a channel becomes 127."""
    weight = torch.tensor([[0.127, -0.05], [-2.54, 1.0]])
    assert weight_scales(weight, 0).flatten().tolist() == pytest.approx([0.001, 0.02])
    assert weight_scales(weight, 1).flatten().tolist() == pytest.approx([0.02, 1 / 127])
    assert weight_scales(weight, 1).shape == (1, 2)


def test_weights_become_integers_by_hand() -> None:
    """-0.05 at a scale of 0.001 is -50; 1.0 at 0.02 is 50."""
    weight = torch.tensor([[0.127, -0.05], [-2.54, 1.0]])
    scales = weight_scales(weight, 0)
    levels = quantize_weight(weight, scales)
    assert levels.dtype == torch.int8
    assert levels.tolist() == [[127, -50], [-127, 50]]
    assert scales.flatten().tolist() == pytest.approx([0.001, 0.02])


def test_integer_weights_stand_for_the_fake_quantized_ones() -> None:
    """Integers times scales are the very weights that the fine-tuned network computed with."""
    weight = torch.randn(6, 3, 3, 3, generator=torch.Generator().manual_seed(0))
    scales = weight_scales(weight, 0)
    levels = quantize_weight(weight, scales)
    fake = fake_quantize(weight, weight_scales(weight, 0), 0, -WEIGHT_LIMIT, WEIGHT_LIMIT)
    assert torch.equal(levels.float() * scales.reshape(-1, 1, 1, 1), fake)
    assert levels.abs().max() == WEIGHT_LIMIT


def test_weights_of_zero_stay_zero() -> None:
    """Where every weight is 0 the scale is 1, not 0, so that nothing is divided by 0."""
    scales = weight_scales(torch.zeros(2, 3), 0)
    levels = quantize_weight(torch.zeros(2, 3), scales)
    assert levels.tolist() == [[0, 0, 0], [0, 0, 0]]
    assert scales.flatten().tolist() == [1, 1]


@pytest.mark.parametrize("dead", [0.0, 1e-12])
def test_a_channel_of_almost_no_weight_keeps_its_bias(dead: float) -> None:
    """Int32 at input scale times weight scale holds the bias of a dead channel, which ships as a constant."""
    weight, bias = torch.tensor([[1.0, -0.5], [dead, -dead]]), torch.tensor([0.3, 0.5])
    scales = weight_scales(weight, 0)
    steps = bias_scales(torch.tensor(0.02), scales)
    assert scales.flatten()[1].item() == pytest.approx(WEIGHT_FLOOR / 127)
    assert (quantize_bias(bias, steps) * steps).tolist() == pytest.approx([0.3, 0.5], abs=1e-4)


def test_a_bias_counts_steps_of_input_times_weight() -> None:
    """0.5 * 0.02 = 0.01 for each step: 1.0 is 100 steps, -0.262 rounds to -26; 2.5 steps to the even 2."""
    steps = bias_scales(torch.tensor(0.5), torch.tensor([0.02, 0.02, 0.25]))
    assert steps.tolist() == pytest.approx([0.01, 0.01, 0.125])
    levels = quantize_bias(torch.tensor([1.0, -0.262, 0.3125]), steps)
    assert levels.dtype == torch.int32
    assert levels.tolist() == [100, -26, 2]


def test_a_bias_that_does_not_fit_int32_is_clamped() -> None:
    """The largest int32 stands for everything beyond."""
    levels = quantize_bias(torch.tensor([1e9, -1e9]), torch.tensor([1e-3, 1e-3]))
    assert levels.tolist() == [BIAS_LIMIT, -BIAS_LIMIT]


def test_scales_are_float32() -> None:
    """A product of float32 numbers is rounded to float32, as the runtime has it."""
    expected = np.float32(0.1) * np.float32(0.3)
    assert bias_scales(torch.tensor(0.1), torch.tensor([0.3])).numpy()[0] == expected
