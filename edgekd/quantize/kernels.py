"""What a runtime's integer kernels compute, to the bit: sums of integers, one multiplication, one rounding."""

from collections.abc import Callable
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


def integer_sum(*terms: tuple[Tensor, Grid], result: Grid) -> Tensor:
    """Return what the integer kernel of an Add writes on the grid *result*, as real numbers; each term on its grid.

    ``round(ratio_1 * q_1 + (ratio_2 * q_2 + offset))`` with fused multiply-adds, the ratios of scales and the offset
    rounded to float32. Source: ONNX Runtime's MlasQLinearAdd.
    """
    scale = torch.tensor(result.scale)
    ratios = [torch.tensor(grid.scale) / scale for _, grid in terms]
    zeros = [ratio * grid.zero_point for ratio, (_, grid) in zip(ratios, terms, strict=True)]
    total = (result.zero_point - torch.stack(zeros).sum()).double()
    for ratio, (values, grid) in reversed(list(zip(ratios, terms, strict=True))):
        levels = torch.round(values / torch.tensor(grid.scale)) + grid.zero_point
        total = (levels.double() * ratio + total).float().double()
    return (torch.round(total).clamp(LOW, HIGH) - result.zero_point).float() * scale


def _precision(weight: Tensor, scales: Tensor, bias: Tensor | None) -> torch.dtype:
    """Return the float type in which every sum of 8-bit data times *weight* is exact."""
    shared = [axis for axis, size in enumerate(scales.shape) if size == 1]
    most = (HIGH - LOW) * weight.abs().sum(shared).max()
    if bias is not None:
        most = most + bias.abs().max()
    return torch.float32 if most < EXACT_IN_FLOAT32 else torch.float64
