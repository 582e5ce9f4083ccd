"""Quantization in float: round to the integer grid and back, with a gradient that passes straight through."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

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


class Encodings(msgspec.Struct, frozen=True, kw_only=True):
    """The grids of a quantized graph: of activations by value, of weights by initializer.

    A weight has one scale for each output channel, or a single one; its zero point is 0.
    """

    activations: Mapping[str, Grid]
    weights: Mapping[str, tuple[float, ...]]


def fake_quantize(
    values: Tensor, scale: Tensor, zero_point: int, low: int, high: int, *, rectified: bool = False
) -> Tensor:
    """Return ``(clamp(round(x / s) + z, low, high) - z) * s``; rounds half to even, as ONNX's QuantizeLinear.

    Gradient of *values*: 1 inside the range, 0 where one was clamped (straight through, Bengio et al. 2013, arXiv
    1308.3432). Gradient of *scale*: ``round(x / s) - x / s`` inside, the clamped level outside (LSQ, Esser et al.
    2020, arXiv 1902.08153), summed over what shares a scale. *scale* is 0-d or broadcasts against *values*. With
    *rectified* the values are those before a ReLU that the kernel does itself: the zero point is *low*, and nothing
    below 0 has a gradient. All arithmetic is float32, as in the runtimes.
    """
    low, high = low - zero_point, high - zero_point
    least = 0.0 if rectified else low - 0.5
    rounded: Tensor = _Rounding.apply(values, scale, low, high, least)  # type: ignore[no-untyped-call]
    return rounded


class _Rounding(torch.autograd.Function):
    """The forward and backward of ``fake_quantize``, in as few passes over the memory as torch's operators allow.

    Passes are what it costs: torch's own learnable operator takes three times as many.
    """

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - torch types neither what is saved nor what is put there
        values: Tensor,
        scale: Tensor,
        low: int,
        high: int,
        least: float,
    ) -> Tensor:
        rounded = torch.div(values, scale).round_().clamp_(low, high).mul_(scale)
        ctx.save_for_backward(values, scale, rounded)
        ctx.ends = (least, high + 0.5)
        return rounded

    @staticmethod
    def backward(
        ctx: Any,  # noqa: ANN401 - torch types neither what is saved nor what is put there
        gradient: Tensor,
    ) -> tuple[Tensor, Tensor | None, None, None, None]:
        values, scale, rounded = ctx.saved_tensors
        low, high = ctx.ends
        if scale.ndim:
            passed = gradient * ((values >= low * scale) & (values <= high * scale))
        else:
            step = scale.item()
            passed = torch.ops.aten.hardtanh_backward(gradient, values, low * step, high * step)
        if not ctx.needs_input_grad[1]:
            return passed, None, None, None, None
        total = _products(gradient, rounded, scale) - _products(passed, values, scale)
        return passed, total / scale, None, None, None


def _products(first: Tensor, second: Tensor, scale: Tensor) -> Tensor:
    """Return the sums of ``first * second`` over what shares a scale, in the shape of *scale*."""
    if scale.ndim:
        shared = [axis for axis, size in enumerate(scale.shape) if size == 1]
        return (first * second).sum(shared, keepdim=True)
    if first.stride() == second.stride() and (first.is_contiguous() or _is_channels_last(first)):
        everything = ((first.numel(),), (1,))
        return torch.dot(first.as_strided(*everything), second.as_strided(*everything))
    return (first * second).sum()


def _is_channels_last(tensor: Tensor) -> bool:
    """Tell whether *tensor* lies in memory without gaps, channels innermost."""
    return tensor.ndim == 4 and tensor.is_contiguous(memory_format=torch.channels_last)  # noqa: PLR2004 - NCHW


def weight_scales(weight: Tensor, axis: int | None) -> Tensor:
    """Return one scale for each index of *axis*, or a single one: largest absolute value / 127; 1 where all are 0.

    Shape: that of *weight* with every other axis 1, so that it broadcasts. A channel of almost no weight
    (training leaves dead ones) takes the floor as its largest: its int32 bias, whose step is input scale times
    weight scale, could not hold the trained bias otherwise.
    """
    others = [other for other in range(weight.ndim) if other != axis]
    magnitudes = weight.detach().abs()
    largest = magnitudes.amax(others, keepdim=True).clamp(min=magnitudes.max() * WEIGHT_FLOOR)
    return torch.where(largest > 0, largest / WEIGHT_LIMIT, torch.ones_like(largest))


def broadcast_scales(scales: Sequence[float], weight: Tensor, axis: int | None) -> Tensor:
    """Return *scales*, one for each index of *axis* or a single one, in float32 and in the shape that broadcasts."""
    shape = [1] * weight.ndim
    if axis is not None:
        shape[axis] = weight.shape[axis]
    return torch.tensor(scales, dtype=torch.float32).reshape(shape)


def quantize_weight(weight: Tensor, scales: Tensor) -> Tensor:
    """Return the int8 weights at *scales*, which broadcast: the same that ``fake_quantize`` stands for."""
    return torch.round(weight.detach() / scales).clamp(-WEIGHT_LIMIT, WEIGHT_LIMIT).to(torch.int8)


def bias_scales(input_scale: Tensor, scales: Tensor) -> Tensor:
    """Return the scale of each bias: input scale (0-d) times weight scale, in float32. Shape (channels,) or (1,)."""
    return scales.flatten() * input_scale


def quantize_bias(bias: Tensor, scales: Tensor) -> Tensor:
    """Return the int32 biases (channels,) at *scales*, (channels,) or (1,)."""
    return torch.round(bias.detach() / scales).double().clamp(-BIAS_LIMIT, BIAS_LIMIT).to(torch.int32)
