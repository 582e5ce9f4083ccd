"""Attention losses against loops over Python floats."""

import math
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from edgekd.core.errors import ConfigError
from edgekd.distill.attention import attention_map_loss, attention_transfer_loss, head_mapping


def drawn(*shape: int, seed: int) -> Tensor:
    """Return normally distributed numbers in double precision."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def slow_attention(sample: list[list[list[float]]]) -> list[float]:
    """Return the normalized mean square over channels of one sample (channels, height, width)."""
    rows, columns = range(len(sample[0])), range(len(sample[0][0]))
    energy = [sum(channel[r][c] ** 2 for channel in sample) / len(sample) for r in rows for c in columns]
    norm = math.sqrt(sum(value**2 for value in energy))
    return [value / norm for value in energy]


def slow_transfer(student: Tensor, teacher: Tensor) -> float:
    """Return the mean over samples and places of the squared difference of two attention maps."""
    squares = [
        (s - t) ** 2
        for mine, theirs in zip(student.tolist(), teacher.tolist(), strict=True)
        for s, t in zip(slow_attention(mine), slow_attention(theirs), strict=True)
    ]
    return sum(squares) / len(squares)


def slow_map_loss(student: Tensor, teacher: Tensor, heads: Sequence[Sequence[int]]) -> float:
    """Return 1 / (N H) times the sum of squares, head by head, entry by entry."""
    mine, theirs, total, entries = student.tolist(), teacher.tolist(), 0.0, 0
    for sample in range(len(mine)):
        for head, followed in enumerate(heads):
            for row in range(len(mine[sample][head])):
                for column in range(len(mine[sample][head][row])):
                    target = sum(theirs[sample][other][row][column] for other in followed) / len(followed)
                    total += (mine[sample][head][row][column] - target) ** 2
                    entries += 1
    return total / entries


def test_attention_transfer_is_that_of_a_slow_loop() -> None:
    """Two samples, two pairs of layers, unequal widths: the pairs add up."""
    students = drawn(2, 3, 2, 2, seed=1), drawn(2, 4, 1, 3, seed=2)
    teachers = drawn(2, 5, 2, 2, seed=3), drawn(2, 2, 1, 3, seed=4)

    expected = sum(slow_transfer(*pair) for pair in zip(students, teachers, strict=True))

    assert attention_transfer_loss(students, teachers).item() == pytest.approx(expected)


def test_attention_transfer_of_two_places_by_hand() -> None:
    """Energies (9, 0) and (0, 4) become (1, 0) and (0, 1): two squares of one over two places is 1."""
    student, teacher = torch.tensor([[[[3.0, 0.0]]]]), torch.tensor([[[[0.0, 2.0]]]])

    assert attention_transfer_loss([student], [teacher]).item() == pytest.approx(1)


@pytest.mark.parametrize("larger", ["student", "teacher"])
def test_the_larger_map_is_pooled_to_the_smaller_before_it_is_squared(larger: str) -> None:
    """Features 3 and -3 have the mean 0: the pooled map is (0, 1), not what the energies' mean would give."""
    large = torch.tensor([[[[3.0, -3.0, 1.0, 1.0]]]])
    small = torch.tensor([[[[1.0, 0.0]]]])
    student, teacher = (large, small) if larger == "student" else (small, large)

    assert attention_transfer_loss([student], [teacher]).item() == pytest.approx(1)


@given(scale=st.floats(0.01, 100))
def test_attention_transfer_forgets_size_and_sign(scale: float) -> None:
    """A student whose features are a multiple of the teacher's, or mirrored, has nothing to learn."""
    teacher = drawn(2, 3, 2, 2, seed=1)

    assert attention_transfer_loss([-scale * teacher], [teacher]).item() == pytest.approx(0, abs=1e-12)


def test_a_dead_map_has_a_finite_loss_and_no_gradient() -> None:
    """After a ReLU all may be zero: 0 against a normalized map leaves 1 over the number of places."""
    dead, teacher = torch.zeros(1, 2, 2, 2, requires_grad=True), torch.ones(1, 2, 2, 2)

    loss = attention_transfer_loss([dead], [teacher])
    (gradient,) = torch.autograd.grad(loss, dead)

    assert loss.item() == pytest.approx(1 / 4)
    assert torch.equal(gradient, torch.zeros(1, 2, 2, 2))


@given(seed=st.integers(0, 999), scale=st.floats(1e-3, 1e4))
def test_attention_transfer_keeps_its_bounds(seed: int, scale: float) -> None:
    """Two unit vectors without negative entries are at most the square root of two apart: 2 over the places."""
    found = attention_transfer_loss([scale * drawn(2, 3, 2, 2, seed=seed)], [drawn(2, 3, 2, 2, seed=seed + 1000)])

    assert 0 <= found <= 2 / 4


@pytest.mark.parametrize(
    ("students", "teachers", "sentence"),
    [
        ([], [], "0 maps of the student and 0 of the teacher given; expected at least one, and as many of each"),
        ([(1, 1, 2, 2)], [(1, 1, 2, 2)] * 2, "1 maps of the student and 2 of the teacher given"),
        ([(1, 3, 4)], [(1, 3, 2, 2)], r"the student's map is \(1, 3, 4\) and the teacher's \(1, 3, 2, 2\)"),
        ([(1, 1, 2, 2)], [(2, 1, 2, 2)], r"expected \(batch, channels, height, width\) of one batch"),
    ],
)
def test_maps_that_do_not_pair_are_refused(
    students: list[tuple[int, ...]], teachers: list[tuple[int, ...]], sentence: str
) -> None:
    """As many of the student as of the teacher, four dimensions, one batch."""
    with pytest.raises(ConfigError, match=sentence):
        attention_transfer_loss([torch.ones(shape) for shape in students], [torch.ones(shape) for shape in teachers])


@pytest.mark.parametrize(("student_heads", "teacher_heads"), [(2, 2), (2, 4), (4, 2), (2, 3), (3, 2)])
def test_the_map_loss_is_that_of_a_slow_loop(student_heads: int, teacher_heads: int) -> None:
    """Head by head against the mean of the teacher's heads that it follows."""
    student, teacher = drawn(2, student_heads, 3, 3, seed=1), drawn(2, teacher_heads, 3, 3, seed=2)

    expected = slow_map_loss(student, teacher, head_mapping(student_heads, teacher_heads))

    assert attention_map_loss(student, teacher).item() == pytest.approx(expected)


def test_the_map_loss_is_the_mean_of_the_heads_own() -> None:
    """By hand: differences of 1 in one head and 3 in the other, everywhere: (1 + 9) / 2."""
    student = torch.stack([torch.full((2, 2), 1.0), torch.full((2, 2), 3.0)])[None]

    assert attention_map_loss(student, torch.zeros(1, 2, 2, 2)).item() == 5


def test_heads_follow_those_they_are_told_to() -> None:
    """Crossed over, a swapped teacher costs nothing."""
    student = drawn(2, 2, 3, 3, seed=1)

    assert attention_map_loss(student, student.flip(1), heads=[[1], [0]]).item() == 0
    assert attention_map_loss(student, student.flip(1)) > 0.1


def test_equal_maps_cost_nothing() -> None:
    """Also where each of the student's heads stands for two equal ones of the teacher."""
    student = drawn(2, 2, 3, 3, seed=1)

    assert attention_map_loss(student, student).item() == 0
    assert attention_map_loss(student, student.repeat_interleave(2, dim=1)).item() == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize(
    ("student_heads", "teacher_heads", "followed"),
    [
        (3, 3, ((0,), (1,), (2,))),
        (2, 6, ((0, 1, 2), (3, 4, 5))),
        (4, 2, ((0,), (0,), (1,), (1,))),
        (3, 4, ((0, 1), (1, 2), (2, 3))),
        (4, 6, ((0, 1), (1, 2), (3, 4), (4, 5))),
        (3, 2, ((0,), (0, 1), (1,))),
        (1, 3, ((0, 1, 2),)),
    ],
)
def test_heads_are_spread_evenly(student_heads: int, teacher_heads: int, followed: tuple[tuple[int, ...], ...]) -> None:
    """One to one, in groups, repeated, or sharing the head between two shares."""
    assert head_mapping(student_heads, teacher_heads) == followed


@given(student_heads=st.integers(1, 24), teacher_heads=st.integers(1, 24))
def test_every_teacher_head_is_followed_in_order(student_heads: int, teacher_heads: int) -> None:
    """None is left out, no student head is without one, neighbours stay neighbours."""
    mapping = head_mapping(student_heads, teacher_heads)

    assert len(mapping) == student_heads
    assert all(mapping)
    assert {head for group in mapping for head in group} == set(range(teacher_heads))
    assert sorted(mapping) == list(mapping)


@pytest.mark.parametrize("counts", [(0, 3), (3, 0)])
def test_no_heads_are_refused(counts: tuple[int, int]) -> None:
    """There is nothing to follow, or nobody who follows."""
    with pytest.raises(ValueError, match=r"attention heads: . and . given; expected at least one on each side"):
        head_mapping(*counts)


@pytest.mark.parametrize("teacher", [(2, 2, 5, 5), (1, 2, 3, 3), (2, 3, 3), (2, 2, 3, 4)])
def test_maps_of_other_tokens_are_refused(teacher: tuple[int, ...]) -> None:
    """Attention over other tokens says nothing of these; averaged heads have no head dimension."""
    with pytest.raises(
        ConfigError, match=r"attention maps: .* with as many tokens in both\. .*leave the attention loss"
    ):
        attention_map_loss(torch.ones(2, 2, 3, 3), torch.ones(teacher))


@pytest.mark.parametrize("heads", [[[0]], [[0], []], [[0], [2]], [[0], [-1]]])
def test_heads_that_do_not_fit_are_refused(heads: list[list[int]]) -> None:
    """A list for each of the student's, with numbers that the teacher has."""
    with pytest.raises(ConfigError, match=r"attention heads: .* given; expected 2 lists, .* from 0 to 1"):
        attention_map_loss(torch.ones(2, 2, 3, 3), torch.ones(2, 2, 3, 3), heads=heads)
