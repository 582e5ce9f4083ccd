"""The decoupled loss (DKD) against loops over Python floats."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from edgekd.distill.losses import decoupled_loss, soft_target_loss

temperatures = st.floats(0.5, 20)
seeds = st.integers(0, 999)
labels_of_three = st.lists(st.integers(0, 2), min_size=3, max_size=3)


def logits(seed: int, *, scale: float = 3.0) -> Tensor:
    """Return logits (3, 3) in double precision."""
    return torch.randn(3, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * scale


def softened(row: list[float], temperature: float) -> list[float]:
    """Return the softmax of one sample's logits at *temperature*."""
    powers = [math.exp(value / temperature) for value in row]
    return [power / sum(powers) for power in powers]


def slow_parts(mine: list[float], theirs: list[float], label: int, temperature: float) -> tuple[float, float, float]:
    """Return one sample's TCKD and NCKD and the teacher's probability of the label."""
    p, q = softened(mine, temperature), softened(theirs, temperature)
    label_part = q[label] * math.log(q[label] / p[label])
    label_part += (1 - q[label]) * math.log((1 - q[label]) / (1 - p[label]))
    other_part = 0.0
    for place in range(len(p)):
        if place != label:
            s, t = p[place] / (1 - p[label]), q[place] / (1 - q[label])
            other_part += t * math.log(t / s)
    return label_part, other_part, q[label]


@settings(max_examples=25)
@given(student=seeds, teacher=seeds, labels=labels_of_three, temperature=temperatures)
def test_the_loss_is_that_of_a_slow_loop(student: int, teacher: int, labels: list[int], temperature: float) -> None:
    """T² times the mean over samples of 2 TCKD + 5 NCKD, from probabilities."""
    mine, theirs = logits(student), logits(teacher + 1000)
    parts = [slow_parts(*rows, temperature) for rows in zip(mine.tolist(), theirs.tolist(), labels, strict=True)]
    expected = temperature**2 * sum(2 * label + 5 * other for label, other, _ in parts) / 3

    found = decoupled_loss(
        mine, theirs, torch.tensor(labels), temperature=temperature, target_weight=2.0, other_weight=5.0
    )

    assert found.item() == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_the_defaults_are_the_published_weights() -> None:
    """One for the label's part, eight for the others'."""
    labels = torch.tensor([0, 1, 2])
    found, label_part, other_part = (
        decoupled_loss(logits(1), logits(2), labels, temperature=4.0, **weights).item()
        for weights in ({}, {"target_weight": 1.0, "other_weight": 0.0}, {"target_weight": 0.0, "other_weight": 1.0})
    )

    assert found == pytest.approx(label_part + 8 * other_part)


@settings(max_examples=25)
@given(student=seeds, teacher=seeds, label=st.integers(0, 2), temperature=temperatures)
def test_plain_divergence_is_the_sum_of_the_parts(student: int, teacher: int, label: int, temperature: float) -> None:
    """Sample by sample KL = TCKD + (1 - q_label) NCKD, the identity that the method starts from."""
    mine, theirs = logits(student)[:1], logits(teacher + 1000)[:1]
    doubt = 1 - softened(theirs[0].tolist(), temperature)[label]

    found = decoupled_loss(
        mine, theirs, torch.tensor([label]), temperature=temperature, target_weight=1.0, other_weight=doubt
    )

    torch.testing.assert_close(found, soft_target_loss(mine, theirs, temperature=temperature), atol=1e-10, rtol=1e-8)


def test_two_classes_have_no_others_to_compare() -> None:
    """The part of the other classes is zero, that of the label is plain KL."""
    mine, theirs, labels = logits(1)[:, :2], logits(2)[:, :2], torch.tensor([0, 1, 0])

    found = decoupled_loss(mine, theirs, labels, temperature=3.0)

    torch.testing.assert_close(found, soft_target_loss(mine, theirs, temperature=3.0))


@given(student=seeds, teacher=seeds, labels=labels_of_three, temperature=temperatures)
def test_the_loss_is_never_negative(student: int, teacher: int, labels: list[int], temperature: float) -> None:
    """Both parts are divergences."""
    found = decoupled_loss(logits(student), logits(teacher + 1000), torch.tensor(labels), temperature=temperature)

    assert found >= -1e-12


@settings(max_examples=25)
@given(seed=seeds, labels=labels_of_three, temperature=temperatures, shift=st.floats(-50, 50))
def test_equal_answers_cost_nothing(seed: int, labels: list[int], temperature: float, shift: float) -> None:
    """Loss and gradient vanish."""
    student = logits(seed).requires_grad_()

    loss = decoupled_loss(student, student + shift, torch.tensor(labels), temperature=temperature)
    (gradient,) = torch.autograd.grad(loss, student)

    assert loss.item() == pytest.approx(0, abs=1e-9)
    assert gradient.abs().max() < 1e-9


def test_the_gradient_keeps_its_size_at_high_temperature() -> None:
    """For logits that are small against T, ten times the temperature gives the same gradient."""
    labels = torch.tensor([0, 1, 2])

    def slope(temperature: float) -> Tensor:
        student = logits(1).requires_grad_()
        (gradient,) = torch.autograd.grad(decoupled_loss(student, logits(2), labels, temperature=temperature), student)
        return gradient

    torch.testing.assert_close(slope(1e4), slope(1e5), rtol=1e-2, atol=1e-4)
    assert slope(1e4).abs().max() > 0.1


def test_a_label_that_is_certain_leaves_the_others_exact() -> None:
    """Logits ten thousand apart: the other classes still differ by what they differ, in single precision.

    By hand: the others' logits are (1, 0) and (0, 1), so NCKD is (e - 1) / (e + 1).
    """
    mine, theirs = torch.tensor([[1e4, 1.0, 0.0]]), torch.tensor([[1e4, 0.0, 1.0]])

    found = decoupled_loss(mine, theirs, torch.tensor([0]), temperature=1.0, target_weight=1.0, other_weight=1.0)

    assert found.item() == pytest.approx((math.e - 1) / (math.e + 1), rel=1e-6)


def test_an_impossible_label_leaves_the_loss_finite() -> None:
    """The student gives the label a probability of e to the minus ten thousand, the teacher is sure of it."""
    mine, theirs = torch.tensor([[-1e4, 0.0, 0.0]], requires_grad=True), torch.tensor([[1e4, 0.0, 0.0]])

    loss = decoupled_loss(mine, theirs, torch.tensor([0]), temperature=1.0)
    (gradient,) = torch.autograd.grad(loss, mine)

    assert loss.item() == pytest.approx(1e4 + math.log(2), rel=1e-6)
    torch.testing.assert_close(gradient, torch.tensor([[-1.0, 0.5, 0.5]]))
