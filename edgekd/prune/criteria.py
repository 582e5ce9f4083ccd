"""How much a channel matters: one score for each root channel of a group."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, Literal

import torch
from torch import Tensor, nn

from edgekd.prune.groups import ChannelGroup, Member

Criterion = Callable[[ChannelGroup], Tensor]
CriterionName = Literal["l2", "l1"]

SCORED: Final = (
    nn.Linear,
    nn.Conv1d,
    nn.Conv2d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.BatchNorm1d,
    nn.BatchNorm2d,
)
"""Layers with weights for each channel; others in a group, such as a PReLU with one slope for all, say nothing."""


def group_l2(group: ChannelGroup) -> Tensor:
    """Return each channel's sum of squared weights, averaged over the coupled layers, mean 1 in the group.

    Shape (channels,). A layer counts by its output rows or input columns, a norm by its gamma (the group norm
    of DepGraph, Fang et al. 2023, arXiv 2301.12900, with p = 2). Dividing by the group's mean lets groups
    compete.
    """
    return _group_norm(group, power=2)


def group_l1(group: ChannelGroup) -> Tensor:
    """Return the same with absolute values instead of squares. Shape (channels,)."""
    return _group_norm(group, power=1)


def _group_norm(group: ChannelGroup, *, power: int) -> Tensor:
    """Return the mean over members of each channel's sum of |w|^power, divided by its mean over channels."""
    scores = [_member_norm(member, group.channels, power) for member in group.members]
    counted = [score for score in scores if score is not None]
    total = torch.stack(counted).mean(0)
    return total / total.mean().clamp_min(torch.finfo(total.dtype).tiny)


def _member_norm(member: Member, channels: int, power: int) -> Tensor | None:
    """Return one layer's sum of |w|^power for each root channel, or None where it has nothing to say."""
    rows = _rows(member)
    if rows is None:
        return None
    norms = rows.detach().double().abs().pow(power).sum(1)
    return torch.zeros(channels, dtype=torch.float64).index_add_(0, member.roots, norms)


def _rows(member: Member) -> Tensor | None:
    """Return the weights of *member*'s channels, one row each, in the order of its roots."""
    weight = getattr(member.layer, "weight", None)
    if not isinstance(member.layer, SCORED) or not isinstance(weight, Tensor):
        return None
    rows = weight.movedim(member.dimension, 0)[member.channels]
    return rows.reshape(len(rows), -1)


CRITERIA: Final[Mapping[str, Criterion]] = MappingProxyType({"l2": group_l2, "l1": group_l1})
