"""Ranges: the grid over a range, and the clipping that loses least, of activations and of weights."""

from typing import Final

import torch
from torch import Tensor

from edgekd.quantize.fake import HIGH, LOW, WEIGHT_LIMIT, Grid, fake_quantize, weight_scales

LEVELS: Final = HIGH - LOW
SHRINKS: Final = tuple(1 - step / 100 for step in range(61))
"""The parts of the full range that are tried: 100 % down to 40 %."""


def least_error_grid(samples: Tensor, *, symmetric: bool) -> Grid:
    """Return the int8 grid with the smallest mean squared error on *samples* (any shape).

    The range always holds zero, which padding and ReLU need exactly. Symmetric grids have zero point 0.
    """
    low, high = min(0.0, samples.min().item()), max(0.0, samples.max().item())
    grids = [grid_over(low * shrink, high * shrink, symmetric=symmetric) for shrink in SHRINKS]
    return min(grids, key=lambda grid: _squared_error(samples, grid))


def least_error_scales(weight: Tensor, axis: int | None) -> Tensor:
    """Return for each index of *axis*, or for all, the scale with the smallest squared error; shape as weight_scales.

    Only parts of the scale that holds the weight in full are tried, so that no channel gets a coarser one.
    """
    weight, full = weight.detach(), weight_scales(weight, axis)
    others = [other for other in range(weight.ndim) if other != axis]
    best, least = full, torch.full_like(full, float("inf"))
    for shrink in SHRINKS:
        rounded = fake_quantize(weight, full * shrink, 0, -WEIGHT_LIMIT, WEIGHT_LIMIT)
        error = (rounded - weight).square().sum(others, keepdim=True)
        best, least = torch.where(error < least, full * shrink, best), torch.minimum(error, least)
    return best


def grid_over(low: float, high: float, *, symmetric: bool) -> Grid:
    """Return the grid that covers *low* (<= 0) to *high* (>= 0); scales are exact float32 numbers."""
    if symmetric:
        return Grid(scale=_float32(max(-low, high, 1e-8) / HIGH), zero_point=0)
    scale = _float32(max(high - low, 1e-8) / LEVELS)
    return Grid(scale=scale, zero_point=max(LOW, min(HIGH, round(LOW - low / scale))))


def thinned(values: Tensor, most: int) -> Tensor:
    """Return at most *most* of all *values* (any shape), evenly spaced, and the smallest and largest."""
    flat = values.detach().flatten()
    step = -(-flat.numel() // most)
    return torch.cat([flat[::step], flat.min().reshape(1), flat.max().reshape(1)])


def _float32(value: float) -> float:
    """Return the float32 number nearest to *value*: files and kernels hold no more."""
    return torch.tensor(value, dtype=torch.float32).item()


def _squared_error(samples: Tensor, grid: Grid) -> float:
    """Return the mean squared error of *samples* on *grid*."""
    scale = torch.tensor(grid.scale, dtype=torch.float32)
    return (fake_quantize(samples, scale, grid.zero_point, LOW, HIGH) - samples).square().mean().item()
