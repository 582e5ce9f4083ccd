"""Quantization in float: round to the integer grid and back, with a gradient that passes straight through."""

from typing import Final

import msgspec
import torch
from torch import Tensor

LOW: Final = -128
HIGH: Final = 127
WEIGHT_LIMIT: Final = 127
"""Weights use -127..127, so that the grid is symmetric around zero."""
BIAS_LIMIT: Final = 2**31 - 1


class Grid(msgspec.Struct, frozen=True, kw_only=True):
    """An int8 grid for one activation: real value = (integer - zero_point) * scale."""

    scale: float
    zero_point: int


def fake_quantize(values: Tensor, scale: Tensor, zero_point: Tensor | float, low: int, high: int) -> Tensor:
    """Return ``(clamp(round(x / s) + z, low, high) - z) * s``; rounds half to even, as ONNX's QuantizeLinear.

    Gradient: 1 inside the range, 0 where a value was clamped (straight through, Bengio et al. 2013,
    arXiv 1308.3432). *scale* broadcasts against *values*. All arithmetic is float32, as in the runtimes.
    """
    return _StraightThrough.apply(values, scale, zero_point, low, high)  # type: ignore[no-any-return, no-untyped-call]


class _StraightThrough(torch.autograd.Function):
    """The forward and backward of ``fake_quantize``."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: torch.autograd.function.FunctionCtx,
        values: Tensor,
        scale: Tensor,
        zero_point: Tensor | float,
        low: int,
        high: int,
    ) -> Tensor:
        levels = torch.round(values / scale) + zero_point
        clamped = levels.clamp(low, high)
        ctx.save_for_backward(clamped == levels)
        return (clamped - zero_point) * scale

    @staticmethod
    def backward(  # type: ignore[override]
        ctx: torch.autograd.function.FunctionCtx, gradient: Tensor
    ) -> tuple[Tensor, None, None, None, None]:
        (inside,) = ctx.saved_tensors  # type: ignore[attr-defined]
        return gradient * inside, None, None, None, None


def weight_scales(weight: Tensor, axis: int) -> Tensor:
    """Return one scale for each index of *axis*: largest absolute value / 127; 1 for a channel of zeros.

    Shape: that of *weight* with every other axis 1, so that it broadcasts.
    """
    others = [other for other in range(weight.ndim) if other != axis]
    largest = weight.detach().abs().amax(others, keepdim=True)
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
