"""Activation grids: the least error, and what every grid must hold."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from edgekd.quantize.fake import HIGH, LOW, Grid, fake_quantize
from edgekd.quantize.ranges import least_error_grid, thinned

SAMPLES = st.lists(st.floats(min_value=-1e4, max_value=1e4, width=32), min_size=1, max_size=50)


def squared_error(samples: torch.Tensor, grid: Grid) -> float:
    """Return the mean squared error of *samples* on *grid*, in double precision."""
    on_grid = fake_quantize(samples, torch.tensor(grid.scale), grid.zero_point, LOW, HIGH)
    return (on_grid.double() - samples.double()).square().mean().item()


def whole_range(samples: torch.Tensor) -> Grid:
    """Return the asymmetric grid from the smallest to the largest of *samples* and 0."""
    low, high = min(0.0, samples.min().item()), max(0.0, samples.max().item())
    scale = torch.tensor((high - low) / 255).item()
    return Grid(scale=scale, zero_point=round(-128 - low / scale))


def long_tailed() -> torch.Tensor:
    """Return samples of which a few lie far outside."""
    return torch.randn(20_000, generator=torch.Generator().manual_seed(0)) ** 3


def test_images_of_a_relu_start_at_minus_128() -> None:
    """0 to 255 in 256 even steps: the whole range is exact, so nothing is cut, and 0 is the lowest level."""
    grid = least_error_grid(torch.arange(256.0), symmetric=False)
    assert grid == Grid(scale=1.0, zero_point=-128)


def test_a_range_that_lacks_zero_is_widened_to_it() -> None:
    """Samples from 100 to 255 get the same grid: padding needs an exact 0."""
    assert least_error_grid(torch.arange(100.0, 256.0), symmetric=False) == Grid(scale=1.0, zero_point=-128)


def test_a_symmetric_grid_reaches_as_far_as_the_larger_side() -> None:
    """-127 to 100 in whole steps: scale 1, zero point 0."""
    assert least_error_grid(torch.arange(-127.0, 101.0), symmetric=True) == Grid(scale=1.0, zero_point=0)


@pytest.mark.parametrize("sign", [1, -1])
def test_cutting_a_long_tail_loses_less_than_the_whole_range(sign: int) -> None:
    """With few far values, finer steps for the many save more than clamping the few costs."""
    samples = sign * long_tailed().abs()
    grid = least_error_grid(samples, symmetric=False)
    assert grid.scale < whole_range(samples).scale
    assert squared_error(samples, grid) < squared_error(samples, whole_range(samples))


@given(SAMPLES)
def test_the_grid_is_never_worse_than_the_whole_range(values: list[float]) -> None:
    """The whole range is one of those that are tried."""
    samples = torch.tensor([*values, 1.0])
    found = squared_error(samples, least_error_grid(samples, symmetric=False))
    assert found <= squared_error(samples, whole_range(samples)) * (1 + 1e-5) + 1e-12


@given(SAMPLES, st.booleans())
def test_every_grid_holds_zero_and_fits_int8(values: list[float], symmetric: bool) -> None:  # noqa: FBT001
    """0 is exact, the zero point an int8 (0 where symmetric), and the scale a float32 above 0."""
    grid = least_error_grid(torch.tensor(values), symmetric=symmetric)
    assert LOW <= grid.zero_point <= HIGH
    assert not symmetric or grid.zero_point == 0
    assert grid.scale > 0
    assert grid.scale == torch.tensor(grid.scale, dtype=torch.float32).item()
    assert fake_quantize(torch.tensor(0.0), torch.tensor(grid.scale), grid.zero_point, LOW, HIGH) == 0


def test_thinning_keeps_the_extremes_and_even_spacing() -> None:
    """Ten of a hundred values: every tenth, then the smallest and the largest, wherever they were."""
    values = torch.arange(100.0).reshape(10, 10)
    values[3, 3], values[7, 7] = -5.0, 500.0
    kept = thinned(values, 10).tolist()
    assert kept == [0, 10, 20, 30, 40, 50, 60, 70, 80, 90, -5, 500]


def test_few_values_are_all_kept() -> None:
    """Where no more than the limit came, each stays."""
    assert thinned(torch.tensor([3.0, 1.0, 2.0]), 10).tolist() == [3, 1, 2, 1, 3]
