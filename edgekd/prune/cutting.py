"""Cutting channels out of a module, with the proof that nothing else changed."""

import copy
from collections.abc import Sequence

import msgspec
import torch
from torch import Tensor, nn

from edgekd.core.errors import StageError
from edgekd.networks.answer import outputs_of
from edgekd.prune.allocation import Selection, select
from edgekd.prune.criteria import CRITERIA, CriterionName
from edgekd.prune.groups import ChannelGroup, Member, channel_groups

TOLERANCE = 1e-4
"""Largest difference, relative to the largest output, that float32 rounding explains."""

_ADVICE = (
    "the channels of this network depend on each other in a way that was not found; keep it whole with prune.ratio = 0."
)


class Cut(msgspec.Struct, frozen=True, kw_only=True):
    """What one group lost: channels before and after, under the name of its root layer."""

    group: str
    before: int
    after: int


def prune(
    module: nn.Module,
    example: tuple[Tensor, ...],
    *,
    criterion: CriterionName,
    ratio: float,
    multiple: int,
    max_ratio: float,
) -> tuple[Cut, ...]:
    """Remove channels from *module* in place and return what each group lost.

    *example* is a batch of real inputs, each (batch, ...). Raises StageError unless the cut module answers as the
    whole one does with the same channels set to zero: groups that were found wrong show here, before any training.
    """
    groups = channel_groups(module, example)
    selection = select(
        [CRITERIA[criterion](group) for group in groups], ratio=ratio, multiple=multiple, max_ratio=max_ratio
    )
    expected = _answers(masked(module, groups, selection), example)
    for found, wanted in zip(_answers_after_cut(module, groups, selection, example), expected, strict=True):
        _demand_equal(found, wanted)
    return tuple(
        Cut(
            group=group.name,
            before=group.channels,
            after=group.channels - len(selection.removed.get(position, ())),
        )
        for position, group in enumerate(groups)
    )


def masked(module: nn.Module, groups: Sequence[ChannelGroup], selection: Selection) -> nn.Module:
    """Return a copy of *module* whose layers have zero weights where they read the selected channels."""
    copied = copy.deepcopy(module)
    for position, channels in selection.removed.items():
        for member in groups[position].members:
            if member.is_input:
                _zero_inputs(copied.get_submodule(member.path), member, channels)
    return copied


def _zero_inputs(layer: nn.Module, member: Member, channels: Sequence[int]) -> None:
    """Set to zero the weights with which *layer* reads the root *channels*."""
    chosen = member.channels[torch.isin(member.roots, torch.tensor(channels))]
    weight = layer.weight
    assert isinstance(weight, Tensor)  # noqa: S101 - a layer that reads channels has weights
    with torch.no_grad():
        weight.index_fill_(member.dimension, chosen, 0.0)


def _answers_after_cut(
    module: nn.Module, groups: Sequence[ChannelGroup], selection: Selection, example: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    """Cut *module* and return its outputs; StageError where it no longer runs."""
    try:
        for position, channels in selection.removed.items():
            groups[position].cut(channels)
        return _answers(module, example)
    except (RuntimeError, IndexError, ValueError) as error:
        message = f"prune: {type(module).__name__} does not run without the removed channels ({error}); {_ADVICE}"
        raise StageError(message) from error


def _answers(module: nn.Module, example: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Return the outputs of *module* in evaluation mode."""
    module.eval()
    with torch.no_grad():
        return outputs_of(module, example)


def _demand_equal(found: Tensor, expected: Tensor) -> None:
    """Raise StageError where the two differ by more than rounding."""
    if found.shape != expected.shape:
        message = f"prune: the output's shape became {tuple(found.shape)}; it was {tuple(expected.shape)}."
        raise StageError(message)
    difference = (found - expected).abs().max().item()
    bound = TOLERANCE * max(1.0, expected.abs().max().item())
    if not difference <= bound:
        message = (
            f"prune: removing channels changed the outputs by {difference:.2g} against zeroing them "
            f"(bound {bound:.2g}); {_ADVICE}"
        )
        raise StageError(message)
