"""Scales that move while a graph is fine-tuned: learned, or tracked by averages, and held before the end."""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

import torch
from torch import Tensor, nn

from edgekd.quantize.fake import HIGH, LOW, WEIGHT_LIMIT, Grid, fake_quantize, weight_scales
from edgekd.quantize.ranges import grid_over

ScaleRule = Literal["fixed", "learned", "tracked"]
"""*learned* scales have gradients (LSQ, arXiv 1902.08153), zero points stay. *tracked* ones follow a running average
of what each batch covers; those of weights follow the weights. *fixed* ones stay as they were calibrated."""

FOLLOW: Final = 0.01
"""The part of a running average that one batch replaces."""

FLOOR: Final = 1 / 16
"""No learned scale falls below this part of what it began with: at zero it could not come back."""

# A learned scale is the product of what it began with and a factor that begins at 1. The factor is what is trained: a
# step moves a scale by a part of itself, whether it is 0.1 or 0.001. Trained as it is, one small scale whose gradient
# sums over a batch falls to its floor within twenty steps (seen on the input of a classifier).


class FixedGrid(nn.Module):
    """A grid that stays."""

    def __init__(self, grid: Grid, *, symmetric: bool) -> None:
        """Hold *grid*, whose zero point is 0 where it is *symmetric*."""
        super().__init__()
        self._hold(torch.tensor(grid.scale, dtype=torch.float32))
        self.zero_point = grid.zero_point
        self.symmetric = symmetric

    def _hold(self, scale: Tensor) -> None:
        """Begin with *scale*, 0-d."""
        self.register_buffer("scale", scale)

    @property
    def grid(self) -> Grid:
        """Return the grid as it is now."""
        return Grid(scale=self.current().item(), zero_point=self.zero_point)

    def current(self) -> Tensor:
        """Return the scale, 0-d."""
        return self.get_buffer("scale")

    def forward(self, values: Tensor, *, rectified: bool, moving: bool) -> Tensor:  # noqa: ARG002 - this one never moves
        """Return *values* on the grid; with *moving*, the grid may follow them. *rectified* as in ``fake_quantize``."""
        return fake_quantize(values, self.current(), self.zero_point, LOW, HIGH, rectified=rectified)


class LearnedGrid(FixedGrid):
    """A grid whose scale has a gradient; its zero point stays: the range keeps its shape and grows or shrinks."""

    def _hold(self, scale: Tensor) -> None:
        """Begin with *scale*, 0-d."""
        self.register_buffer("start", scale)
        self.register_parameter("factor", nn.Parameter(torch.ones_like(scale)))

    def current(self) -> Tensor:
        """Return the scale, 0-d."""
        return self.get_buffer("start") * self.get_parameter("factor").clamp(min=FLOOR)

    def forward(self, values: Tensor, *, rectified: bool, moving: bool) -> Tensor:
        """Return *values* on the grid; the scale has a gradient while it is *moving*."""
        scale = eased(self.current(), values[0].numel()) if moving else self.current().detach()
        return fake_quantize(values, scale, self.zero_point, LOW, HIGH, rectified=rectified)


class TrackedGrid(FixedGrid):
    """A grid over the running average of what the batches cover, clipped as much as calibration clipped it."""

    def __init__(self, grid: Grid, *, symmetric: bool) -> None:
        """Begin with *grid*."""
        super().__init__(grid, symmetric=symmetric)
        ends = [(level - grid.zero_point) * grid.scale for level in (LOW, HIGH)]
        self.register_buffer("ends", torch.tensor(ends, dtype=torch.float32))
        self.register_buffer("clipping", torch.tensor(0.0))

    @property
    def grid(self) -> Grid:
        """Return the grid as it is now."""
        low, high = self.get_buffer("ends").tolist()
        return grid_over(low, high, symmetric=self.symmetric)

    def forward(self, values: Tensor, *, rectified: bool, moving: bool) -> Tensor:
        """Return *values* on the grid, after it has followed them if it is *moving*."""
        if moving:
            self._follow(values.detach(), rectified=rectified)
        grid = self.grid
        return fake_quantize(values, torch.tensor(grid.scale), grid.zero_point, LOW, HIGH, rectified=rectified)

    def _follow(self, values: Tensor, *, rectified: bool) -> None:
        """Move the ends towards those of *values*."""
        ends, clipping = self.get_buffer("ends"), self.get_buffer("clipping")
        low, high = (end.item() for end in torch.aminmax(values))
        seen = torch.tensor([0.0 if rectified else min(low, 0.0), max(high, 0.0)])
        if not clipping:
            clipping.copy_(((ends[1] - ends[0]) / (seen[1] - seen[0]).clamp(min=1e-8)).clamp(max=1.0))
        ends.lerp_(seen * clipping, FOLLOW)


class FixedScales(nn.Module):
    """The scales of one weight, which stay."""

    def __init__(self, scales: Tensor, axis: int | None) -> None:
        """Hold *scales*, which broadcast against the weight; *axis* is that of its output channels."""
        super().__init__()
        self.axis = axis
        self._hold(scales)

    def _hold(self, scales: Tensor) -> None:
        """Begin with *scales*."""
        self.register_buffer("scales", scales)

    def current(self) -> Tensor:
        """Return the scales in the shape that broadcasts."""
        return self.get_buffer("scales")

    def forward(self, weight: Tensor, *, moving: bool) -> tuple[Tensor, Tensor]:  # noqa: ARG002 - these never move
        """Return the rounded *weight* and its scales; with *moving*, they may follow it."""
        return fake_quantize(weight, self.current(), 0, -WEIGHT_LIMIT, WEIGHT_LIMIT), self.current()


class LearnedScales(FixedScales):
    """Scales that have a gradient."""

    def _hold(self, scales: Tensor) -> None:
        """Begin with *scales*."""
        self.register_buffer("start", scales)
        self.register_parameter("factor", nn.Parameter(torch.ones_like(scales)))

    def current(self) -> Tensor:
        """Return the scales in the shape that broadcasts."""
        return self.get_buffer("start") * self.get_parameter("factor").clamp(min=FLOOR)

    def forward(self, weight: Tensor, *, moving: bool) -> tuple[Tensor, Tensor]:
        """Return the rounded *weight* and its scales, which have a gradient while they are *moving*."""
        scales = self.current()
        used = eased(scales, weight.numel() // scales.numel()) if moving else scales.detach()
        return fake_quantize(weight, used, 0, -WEIGHT_LIMIT, WEIGHT_LIMIT), scales.detach()


class TrackedScales(FixedScales):
    """Scales that hold the weight in full, whatever it becomes."""

    def forward(self, weight: Tensor, *, moving: bool) -> tuple[Tensor, Tensor]:
        """Return the rounded *weight* and its scales, after they have followed it if they are *moving*."""
        if moving:
            self.get_buffer("scales").copy_(weight_scales(weight, self.axis))
        return super().forward(weight, moving=moving)


def eased(scale: Tensor, numbers: int) -> Tensor:
    """Return *scale* with its gradient times 1 / sqrt(*numbers* * 127): LSQ's, for the numbers that share it."""
    ease = 1 / math.sqrt(numbers * HIGH)
    return scale.detach() + ease * (scale - scale.detach())


ACTIVATION_GRIDS: Final[Mapping[ScaleRule, type[FixedGrid]]] = MappingProxyType(
    {"fixed": FixedGrid, "learned": LearnedGrid, "tracked": TrackedGrid}
)
WEIGHT_SCALES: Final[Mapping[ScaleRule, type[FixedScales]]] = MappingProxyType(
    {"fixed": FixedScales, "learned": LearnedScales, "tracked": TrackedScales}
)
