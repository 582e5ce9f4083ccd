"""Allocation: whole blocks, the least important first, as near to the ratio as blocks permit."""

import itertools
import math
from collections.abc import Sequence

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor

from edgekd.prune.allocation import Selection, select

scores = st.floats(0, 4).map(lambda value: round(value, 1))
groups = st.lists(st.lists(scores, min_size=1, max_size=24), min_size=1, max_size=4)
ratios = st.floats(0, 0.99)
multiples = st.sampled_from([1, 2, 3, 4, 8])
bounds = st.floats(0.05, 0.95)


def tensors(groups: Sequence[Sequence[float]]) -> list[Tensor]:
    """Return one tensor of scores for each group."""
    return [torch.tensor(group, dtype=torch.float64) for group in groups]


def lost(selection: Selection, group: int) -> int:
    """Return how many channels *group* loses."""
    return len(selection.removed.get(group, ()))


def losses_allowed(size: int, *, multiple: int, max_ratio: float) -> list[int]:
    """Return the numbers of channels that a group of *size* may lose, found by trying each."""
    return [
        loss
        for loss in range(size)
        if loss == 0 or ((size - loss) % multiple == 0 and size - loss >= multiple and loss <= max_ratio * size)
    ]


def test_the_least_important_blocks_go_first() -> None:
    """Half of 8 channels in pairs: channels 0 and 2 of the first group and 1 and 3 of the second."""
    selection = select(tensors([[0.1, 1.9, 0.2, 1.8], [1.5, 0.3, 1.7, 0.5]]), ratio=0.5, multiple=2, max_ratio=0.75)

    assert selection.removed == {0: (0, 2), 1: (1, 3)}
    assert selection.ratio == 0.5


def test_a_group_of_unimportant_channels_gives_more() -> None:
    """Blocks compete across groups: all three that go are from the second."""
    selection = select(tensors([[2.0, 2.1, 2.2, 2.3], [0.1, 0.2, 0.3, 0.4]]), ratio=3 / 8, multiple=1, max_ratio=0.75)

    assert selection.removed == {1: (0, 1, 2)}


def test_the_first_block_takes_an_odd_group_to_a_multiple() -> None:
    """Of 11 channels three go first, leaving 8; then four more, leaving 4."""
    odd = tensors([[float(value) for value in range(11)]])

    assert select(odd, ratio=3 / 11, multiple=4, max_ratio=0.9).removed == {0: (0, 1, 2)}
    assert select(odd, ratio=7 / 11, multiple=4, max_ratio=0.9).removed == {0: (0, 1, 2, 3, 4, 5, 6)}


def test_equal_scores_whose_means_round_apart_still_go_in_order() -> None:
    """The mean of three 0.1 is above that of eight: the block of three must go first all the same."""
    assert torch.full((3,), 0.1, dtype=torch.float64).mean() > torch.full((8,), 0.1, dtype=torch.float64).mean()

    selection = select(tensors([[0.1] * 19]), ratio=0.4, multiple=8, max_ratio=0.9)

    assert (19 - lost(selection, 0)) % 8 == 0


def test_a_group_keeps_its_last_block() -> None:
    """Although eight of eight would come nearer to 99 % than four."""
    assert lost(select(tensors([[1.0] * 8]), ratio=0.99, multiple=4, max_ratio=1.0), 0) == 4


def test_a_ratio_of_zero_removes_nothing() -> None:
    """Not even channels whose score is zero."""
    selection = select(tensors([[0.0] * 16]), ratio=0.0, multiple=4, max_ratio=0.9)

    assert selection.removed == {}
    assert selection.ratio == 0


def test_a_network_without_groups_loses_nothing() -> None:
    """And its ratio is 0, not a division by zero."""
    assert select([], ratio=0.5, multiple=4, max_ratio=0.9).ratio == 0


@given(groups=groups, ratio=ratios, multiple=multiples, max_ratio=bounds)
def test_each_group_keeps_whole_blocks_within_the_bounds(
    groups: list[list[float]], ratio: float, multiple: int, max_ratio: float
) -> None:
    """What a group loses is one of the losses that trying each number allows, and no channel goes twice."""
    selection = select(tensors(groups), ratio=ratio, multiple=multiple, max_ratio=max_ratio)

    for position, group in enumerate(groups):
        assert lost(selection, position) in losses_allowed(len(group), multiple=multiple, max_ratio=max_ratio)
        assert set(selection.removed.get(position, ())) <= set(range(len(group)))
        assert len(set(selection.removed.get(position, ()))) == lost(selection, position)


@given(groups=groups, ratio=ratios, multiple=multiples, max_ratio=bounds)
def test_what_goes_from_a_group_matters_no_more_than_what_stays(
    groups: list[list[float]], ratio: float, multiple: int, max_ratio: float
) -> None:
    """The largest score removed is at most the smallest one kept."""
    selection = select(tensors(groups), ratio=ratio, multiple=multiple, max_ratio=max_ratio)

    for position, channels in selection.removed.items():
        kept = [score for channel, score in enumerate(groups[position]) if channel not in channels]
        assert max(groups[position][channel] for channel in channels) <= min(kept)


@given(
    blocks=st.lists(st.integers(1, 6), min_size=1, max_size=4),
    ratio=ratios,
    multiple=multiples,
    max_ratio=bounds,
    seed=st.integers(0, 99),
)
def test_with_equal_blocks_no_other_choice_comes_closer_to_the_ratio(
    blocks: list[int], ratio: float, multiple: int, max_ratio: float, seed: int
) -> None:
    """Compared with every combination of losses that the groups may have."""
    generator = torch.Generator().manual_seed(seed)
    sizes = [multiple * count for count in blocks]
    selection = select(
        [torch.rand(size, generator=generator) for size in sizes], ratio=ratio, multiple=multiple, max_ratio=max_ratio
    )

    allowed = [losses_allowed(size, multiple=multiple, max_ratio=max_ratio) for size in sizes]
    best = min(abs(sum(losses) - ratio * sum(sizes)) for losses in itertools.product(*allowed))
    assert abs(selection.ratio - ratio) * sum(sizes) == pytest.approx(best, abs=1e-9)


@given(groups=groups, ratio=ratios, multiple=multiples)
def test_the_ratio_is_missed_by_at_most_half_a_block(groups: list[list[float]], ratio: float, multiple: int) -> None:
    """Too much by half a block at most; too little by more only where the bounds leave no block to take."""
    total = sum(map(len, groups))
    most = sum(max(losses_allowed(len(group), multiple=multiple, max_ratio=1.0)) for group in groups)
    assume(ratio * total <= most)

    selection = select(tensors(groups), ratio=ratio, multiple=multiple, max_ratio=1.0)

    assert abs(selection.ratio - ratio) * total <= multiple / 2 + 1e-9
    assert not math.isnan(selection.ratio)
