"""How much goes where: whole blocks of channels, the least important first."""

import math
from collections.abc import Mapping, Sequence

import msgspec
from torch import Tensor


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """For each group (by its position) the channels to remove; the rest is a multiple of the target's."""

    removed: Mapping[int, tuple[int, ...]]
    total: int

    @property
    def ratio(self) -> float:
        """Return the part of all channels that goes."""
        return sum(len(channels) for channels in self.removed.values()) / self.total if self.total else 0.0


def select(scores: Sequence[Tensor], *, ratio: float, multiple: int, max_ratio: float) -> Selection:
    """Return which channels to remove so that the removed part of all comes as close to *ratio* as blocks permit.

    *scores* holds one tensor (channels,) for each group. Channels leave a group in blocks that end on a multiple
    of *multiple*: kernels work in such blocks, and 31 channels are slower than 32. Blocks of all groups compete
    by their mean score, the least important first. A group keeps at least one block, and loses at most *max_ratio*.
    """
    total = sum(len(score) for score in scores)
    removed: dict[int, tuple[int, ...]] = {}
    gone = 0
    for _, group, _, block in sorted(_blocks(scores, multiple=multiple, max_ratio=max_ratio)):
        if abs(gone + len(block) - ratio * total) >= abs(gone - ratio * total):
            continue
        removed[group] = tuple(sorted((*removed.get(group, ()), *block)))
        gone += len(block)
    return Selection(removed=removed, total=total)


def _blocks(
    scores: Sequence[Tensor], *, multiple: int, max_ratio: float
) -> list[tuple[float, int, int, tuple[int, ...]]]:
    """Return every block that may go as (mean score, group, where it starts in the group's order, channels).

    A group's later block never sorts before an earlier one, not even when rounding makes its mean the smaller.
    """
    blocks = []
    for group, score in enumerate(scores):
        order = score.argsort(stable=True).tolist()
        start, size, mean = 0, len(order) % multiple or multiple, -math.inf
        while start + size <= max_ratio * len(order) and len(order) - start - size >= multiple:
            block = tuple(order[start : start + size])
            mean = max(mean, score[list(block)].mean().item())
            blocks.append((mean, group, start, block))
            start, size = start + size, multiple
    return blocks
