"""What a runtime's integer kernels compute, to the bit: sums of integers, one multiplication, one rounding."""

import math
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
import torch
from torch import Tensor

from edgekd.quantize.fake import BIAS_LIMIT, HIGH, LOW, WEIGHT_LIMIT, Grid

EXACT_IN_FLOAT32: Final = 2**24
"""Up to here every integer is a float32: smaller sums are the same in any order."""

EXACT_OPERATORS: Final = frozenset(
    {
        *("Add", "Clip", "Concat", "Conv", "DepthToSpace", "Flatten", "Gemm", "GlobalAveragePool", "MatMul"),
        *("MaxPool", "Pad", "Relu", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze"),
    }
)
"""Operators whose integer kernels the simulation computes to the bit; others run in float, or round in between."""

_MULTIPLIER_BITS: Final = 21
_LEAST_RATIO, _LIMIT_RATIO = 2.0**-14, 2.0**8
"""Ratios of scales that fixed point takes."""

Term = tuple[Tensor, Grid]
"""Real numbers that lie on a grid."""

_Part = tuple[Tensor, float, int]
"""Levels without their zero point, the ratio of their scale to the result's, and the zero point."""

Layer = Callable[[Tensor, Tensor, Tensor | None], Tensor]
"""A linear operator of data, weights (outputs on some axis) and bias (outputs,)."""


class Operands(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """The real operands of a layer and their grids; *weight_scales* broadcast against *weight*.

    *data* lies on its grid. *channels* is the shape in which one number for each output channel broadcasts against the
    layer's output.
    """

    data: Tensor
    data_grid: Grid
    weight: Tensor
    weight_scales: Tensor
    bias: Tensor | None
    channels: tuple[int, ...]


def integer_layer(layer: Layer, operands: Operands, result: Grid | None) -> Tensor:
    """Return what the integer kernel of *layer* writes on the grid *result*, as real numbers.

    ``clamp(round((sum + bias) * (s_data * s_weight / s_result)) + zero point)``: the sum is an exact int32, the factor
    is rounded to float32 before it multiplies, ties go to even. Without *result* the kernel writes floats (QGemm).
    Source: ONNX Runtime's QLinearConv and MlasRequantizeOutput; compared bit for bit with them in the tests.
    """
    data_scale = torch.tensor(operands.data_grid.scale)
    steps = data_scale * operands.weight_scales.flatten()
    data = torch.round(operands.data / data_scale)
    weight = torch.round(operands.weight / operands.weight_scales).clamp(-WEIGHT_LIMIT, WEIGHT_LIMIT)
    bias = None
    if operands.bias is not None:
        bias = torch.round(operands.bias / steps).double().clamp(-BIAS_LIMIT, BIAS_LIMIT)
    precise = _precision(weight, operands.weight_scales, bias)
    total = layer(data.to(precise), weight.to(precise), None if bias is None else bias.to(precise)).float()
    if result is None:
        return total * steps.reshape(operands.channels)
    scale = torch.tensor(result.scale)
    levels = (total * (steps / scale).reshape(operands.channels)).clamp(
        LOW - result.zero_point, HIGH - result.zero_point
    )
    return levels.round_() * scale


def integer_sum(*terms: Term, result: Grid, fixed_point: bool, unsigned: bool = False) -> Tensor:
    """Return what the integer kernel of an Add writes on the grid *result*, as real numbers; each term on its own grid.

    The kernel for ARM computes in *fixed_point*, that for x86 in float32: they differ in about one of 10^5 pairs of
    levels, those nearly between two results. Whether the file writes levels *unsigned* changes float32's last bit too.
    Source: ONNX Runtime's MlasQLinearAdd; both compared with it over all pairs in the tests.
    """
    ratios = [float(torch.tensor(grid.scale) / torch.tensor(result.scale)) for _, grid in terms]
    parts = [
        (torch.round(values / torch.tensor(grid.scale)), ratio, grid.zero_point)
        for (values, grid), ratio in zip(terms, ratios, strict=True)
    ]
    if fixed_point and all(_LEAST_RATIO <= ratio < _LIMIT_RATIO for ratio in ratios):
        levels = _fixed_point_sum(parts)
    else:
        levels = _float_sum(parts, result.zero_point, shift=-LOW if unsigned else 0)
    return levels.clamp(LOW - result.zero_point, HIGH - result.zero_point).float() * torch.tensor(result.scale)


def _float_sum(parts: Sequence[_Part], zero_point: int, *, shift: int) -> Tensor:
    """Return ``round(ratio_1 * q_1 + (ratio_2 * q_2 + offset))``, ties to even, without the zero point.

    ``offset = zero point - (ratio_1 * z_1 + ratio_2 * z_2)``. Ratios, each product with what is added to it, and the
    offset are rounded to float32 once; levels and zero points are moved by *shift*.
    """
    total = torch.zeros((), dtype=torch.float64)
    for _, ratio, zero in reversed(parts):
        total = _to_single(total + ratio * (zero + shift))
    total = _to_single(zero_point + shift - total)
    for steps, ratio, zero in reversed(parts):
        total = _to_single((steps.double() + (zero + shift)) * ratio + total)
    return torch.round(total) - (zero_point + shift)


def _to_single(number: Tensor) -> Tensor:
    """Return *number*, float64, rounded to float32's precision."""
    return number.float().double()


def _fixed_point_sum(parts: Sequence[_Part]) -> Tensor:
    """Return ``(m_1 * steps_1 + m_2 * steps_2) / 2^shift``, ties away from zero.

    The multipliers are the ratios of scales times ``2^shift``, whole numbers of which the greater has 22 bits.
    """
    shift = _MULTIPLIER_BITS - (math.frexp(max(ratio for _, ratio, _ in parts))[1] - 1)
    total = torch.zeros((), dtype=torch.int64)
    for steps, ratio, _ in parts:
        total = total + steps.long() * round(math.ldexp(ratio, shift))
    total = total - (total < 0).long()
    return (total + (1 << (shift - 1))) >> shift


def _precision(weight: Tensor, scales: Tensor, bias: Tensor | None) -> torch.dtype:
    """Return the float type in which every sum of 8-bit data times *weight* is exact."""
    shared = [axis for axis, size in enumerate(scales.shape) if size == 1]
    most = (HIGH - LOW) * weight.abs().sum(shared).max()
    if bias is not None:
        most = most + bias.abs().max()
    return torch.float32 if most < EXACT_IN_FLOAT32 else torch.float64
