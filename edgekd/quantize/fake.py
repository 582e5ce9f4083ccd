"""Quantization in float: round to the integer grid and back, with a gradient that passes straight through."""

from typing import Final

import msgspec
import torch
from torch import Tensor

LOW: Final = -128
HIGH: Final = 127
WEIGHT_LIMIT: Final = 127
"""Weights use -127..127, so that the grid is symmetric around zero."""
WEIGHT_FLOOR: Final = 2.0**-16
"""A channel's largest weight counts as at least this part of the tensor's largest."""
BIAS_LIMIT: Final = 2**31 - 1


class Grid(msgspec.Struct, frozen=True, kw_only=True):
    """An int8 grid for one activation: real value = (integer - zero_point) * scale."""

    scale: float
    zero_point: int


def fake_quantize(values: Tensor, scale: Tensor, zero_point: int, low: int, high: int) -> Tensor:
    """Return ``(clamp(round(x / s) + z, low, high) - z) * s``; rounds half to even, as ONNX's QuantizeLinear.

    Gradient: 1 inside the range, 0 where a value was clamped (straight through, Bengio et al. 2013,
    arXiv 1308.3432). *scale* broadcasts against *values*. All arithmetic is float32, as in the runtimes.
    """
    rounded: Tensor = _StraightThrough.apply(values, scale, zero_point, low, high)  # type: ignore[no-untyped-call]
    return rounded


class _StraightThrough(torch.autograd.Function):
    """The forward and backward of ``fake_quantize``."""

    @staticmethod
    def forward(
        ctx: torch.autograd.function.FunctionCtx,
        values: Tensor,
        scale: Tensor,
        zero_point: int,
        low: int,
        high: int,
    ) -> Tensor:
        levels = torch.round(values / scale) + zero_point
        clamped = levels.clamp(low, high)
        ctx.save_for_backward(clamped == levels)
        return (clamped - zero_point) * scale

    @staticmethod
    def backward(
        ctx: torch.autograd.function.BackwardCFunction, gradient: Tensor
    ) -> tuple[Tensor, None, None, None, None]:
        (inside,) = ctx.saved_tensors
        return gradient * inside, None, None, None, None


def weight_scales(weight: Tensor, axis: int) -> Tensor:
    """Return one scale for each index of *axis*: largest absolute value / 127; 1 where all weights are 0.

    Shape: that of *weight* with every other axis 1, so that it broadcasts. A channel of almost no weight
    (training leaves dead ones) takes the floor as its largest: its int32 bias, whose step is input scale times
    weight scale, could not hold the trained bias otherwise.
    """
    others = [other for other in range(weight.ndim) if other != axis]
    magnitudes = weight.detach().abs()
    largest = magnitudes.amax(others, keepdim=True).clamp(min=magnitudes.max() * WEIGHT_FLOOR)
    return torch.where(largest > 0, largest / WEIGHT_LIMIT, torch.ones_like(largest))


def quantize_weight(weight: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Return the int8 weights and their scales (channels,), the same that ``fake_quantize`` stands for."""
    scales = weight_scales(weight, axis)
    levels = torch.round(weight.detach() / scales).clamp(-WEIGHT_LIMIT, WEIGHT_LIMIT)
    return levels.to(torch.int8), scales.flatten()


def bias_scales(input_scale: float, scales: Tensor) -> Tensor:
    """Return the scale of each bias: input scale times weight scale, in float32. Shape (channels,)."""
    return scales.flatten() * torch.tensor(input_scale, dtype=torch.float32)


def quantize_bias(bias: Tensor, scales: Tensor) -> Tensor:
    """Return the int32 biases at *scales*, both (channels,)."""
    return torch.round(bias.detach() / scales).double().clamp(-BIAS_LIMIT, BIAS_LIMIT).to(torch.int32)
