"""Distillation losses against Python's own floating point, sample by sample."""

import math

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from edgekd.distill.losses import distillation_loss, feature_loss, soft_target_loss

LABELS = torch.tensor([0, 2, 1, 1, 2])
temperatures = st.floats(0.5, 20)
seeds = st.integers(0, 999)


def logits(seed: int, *, scale: float = 3.0) -> Tensor:
    """Return logits (5, 3) in double precision."""
    return torch.randn(5, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * scale


def softened(row: list[float], temperature: float) -> list[float]:
    """Return the softmax of one sample's logits at *temperature*."""
    powers = [math.exp(value / temperature) for value in row]
    return [power / sum(powers) for power in powers]


def slow_soft_target_loss(student: Tensor, teacher: Tensor, temperature: float) -> float:
    """Return the mean over samples of sum t log(t / s), times the square of the temperature."""
    divergences = [
        sum(
            t * math.log(t / s) for s, t in zip(softened(mine, temperature), softened(theirs, temperature), strict=True)
        )
        for mine, theirs in zip(student.tolist(), teacher.tolist(), strict=True)
    ]
    return temperature**2 * sum(divergences) / len(divergences)


def slope(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Return the gradient of the loss with respect to the student's logits."""
    student = student.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(soft_target_loss(student, teacher, temperature=temperature), student)
    return gradient


@settings(max_examples=25)
@given(student=seeds, teacher=seeds, temperature=temperatures)
def test_the_loss_is_that_of_a_slow_loop(student: int, teacher: int, temperature: float) -> None:
    """KL(teacher || student), both softened with one temperature, averaged over samples and not over classes."""
    mine, theirs = logits(student), logits(teacher + 1000)

    found = soft_target_loss(mine, theirs, temperature=temperature).item()

    assert found == pytest.approx(slow_soft_target_loss(mine, theirs, temperature), rel=1e-9)


@settings(max_examples=25)
@given(seed=seeds, temperature=temperatures, shift=st.floats(-50, 50))
def test_equal_answers_cost_nothing(seed: int, temperature: float, shift: float) -> None:
    """Logits that differ by a constant are the same answer; loss and gradient vanish at any temperature."""
    student = logits(seed)

    assert soft_target_loss(student, student + shift, temperature=temperature).item() == pytest.approx(0, abs=1e-9)
    assert slope(student, student + shift, temperature).abs().max() < 1e-9


@given(student=seeds, teacher=seeds, temperature=temperatures)
def test_the_loss_is_never_negative(student: int, teacher: int, temperature: float) -> None:
    """A divergence has no lower value than that of equal distributions."""
    assert soft_target_loss(logits(student), logits(teacher + 1000), temperature=temperature) >= 0


@settings(max_examples=25)
@given(student=seeds, teacher=seeds, temperature=temperatures)
def test_the_gradient_is_the_difference_of_the_softened_answers(student: int, teacher: int, temperature: float) -> None:
    """T / batch times (student - teacher): one T of the squared two is lost to the inner derivative."""
    mine, theirs = logits(student), logits(teacher + 1000)
    difference = [
        [s - t for s, t in zip(softened(row, temperature), softened(other, temperature), strict=True)]
        for row, other in zip(mine.tolist(), theirs.tolist(), strict=True)
    ]

    expected = temperature / 5 * torch.tensor(difference, dtype=torch.float64)

    torch.testing.assert_close(slope(mine, theirs, temperature), expected, atol=1e-9, rtol=1e-7)


def test_the_gradient_keeps_its_size_at_high_temperature() -> None:
    """In the limit it is that of half the squared distance of centred logits, over classes and batch (section 2.1)."""
    student, teacher = logits(1), logits(2)
    centred = (student - student.mean(1, keepdim=True)) - (teacher - teacher.mean(1, keepdim=True))
    limit = centred / (3 * 5)

    torch.testing.assert_close(slope(student, teacher, 1e4), limit, rtol=1e-2, atol=1e-4)
    torch.testing.assert_close(slope(student, teacher, 1e5), limit, rtol=1e-3, atol=1e-5)


def test_without_weight_on_the_teacher_the_loss_is_cross_entropy() -> None:
    """At alpha 0 the teacher does not count."""
    found = distillation_loss(logits(1), logits(2), LABELS, temperature=4.0, alpha=0.0)

    assert torch.equal(found, F.cross_entropy(logits(1), LABELS))


def test_with_all_weight_on_the_teacher_the_labels_do_not_count() -> None:
    """At alpha 1 any labels give the same loss, that of the soft targets."""
    first, second = (
        distillation_loss(logits(1), logits(2), labels, temperature=4.0, alpha=1.0) for labels in (LABELS, LABELS * 0)
    )

    assert torch.equal(first, second)
    assert first.item() == pytest.approx(slow_soft_target_loss(logits(1), logits(2), 4.0))


@settings(max_examples=25)
@given(alpha=st.floats(0, 1))
def test_alpha_mixes_the_two_in_proportion(alpha: float) -> None:
    """(1 - alpha) parts of the one and alpha of the other, without a second factor."""
    hard, soft, found = (
        distillation_loss(logits(1), logits(2), LABELS, temperature=2.0, alpha=part).item() for part in (0, 1, alpha)
    )

    assert found == pytest.approx((1 - alpha) * hard + alpha * soft)


def test_far_apart_answers_give_a_finite_loss() -> None:
    """Logits of a thousand in single precision neither overflow nor become nan."""
    student, teacher = torch.tensor([[1000.0, 0.0]]), torch.tensor([[0.0, 1000.0]])

    assert soft_target_loss(student, teacher, temperature=1.0).item() == pytest.approx(1000)


def test_the_feature_loss_is_the_mean_square_of_the_difference() -> None:
    """(1 + 4 + 0 + 9) / 4 by hand."""
    student = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    teacher = torch.tensor([[0.0, 4.0], [3.0, 1.0]])

    assert feature_loss(student, teacher).item() == 3.5
