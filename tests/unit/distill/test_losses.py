"""Distillation losses against Python's own floating point, sample by sample."""

import math

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from guided import distillation_loss
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from edgekd.distill.losses import correlation_loss, decoupled_loss, soft_target_loss, standardized

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

    torch.testing.assert_close(found, F.cross_entropy(logits(1).float(), LABELS))


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


@settings(max_examples=25)
@given(seed=seeds)
def test_standardized_logits_are_those_of_a_slow_loop(seed: int) -> None:
    """Each sample less its mean, over its standard deviation with n - 1 and 1e-7."""
    rows = logits(seed).tolist()
    expected = []
    for row in rows:
        mean = sum(row) / 3
        deviation = math.sqrt(sum((value - mean) ** 2 for value in row) / 2)
        expected.append([(value - mean) / (deviation + 1e-7) for value in row])

    torch.testing.assert_close(standardized(logits(seed)), torch.tensor(expected, dtype=torch.float64))


@given(seed=seeds, scale=st.floats(0.5, 100), shift=st.floats(-100, 100))
def test_standardized_logits_forget_size_and_shift(seed: int, scale: float, shift: float) -> None:
    """A student that is a scaled and shifted copy of the teacher has nothing left to learn."""
    teacher = logits(seed)

    found = soft_target_loss(standardized(teacher * scale + shift), standardized(teacher), temperature=2.0)

    assert found.item() == pytest.approx(0, abs=1e-9)


def test_equal_logits_are_standardized_to_zero() -> None:
    """No spread to divide by: zeros, and a finite gradient."""
    flat = torch.full((2, 3), 5.0, requires_grad=True)

    (gradient,) = torch.autograd.grad((standardized(flat) * torch.tensor([1.0, 2.0, 4.0])).sum(), flat)

    assert torch.equal(standardized(flat), torch.zeros(2, 3))
    assert gradient.isfinite().all()


def test_three_errors_of_a_published_example_are_not_ours() -> None:
    """It softens the student alone, averages over classes too and adds the losses with weight one.

    Written out with Python's floats for one sample of three classes, T = 4, alpha = 0.9: each error alone gives
    another number than ours, and so do all three.
    """
    student, teacher, label = [2.0, 0.5, -1.0], [3.0, 0.0, -2.0], 0
    mine, soft, sharp = softened(student, 4.0), softened(teacher, 4.0), softened(teacher, 1.0)
    both_softened = sum(t * math.log(t / s) for t, s in zip(soft, mine, strict=True))
    student_softened = sum(t * math.log(t / s) for t, s in zip(sharp, mine, strict=True))
    hard = -math.log(softened(student, 1.0)[label])
    right = 0.1 * hard + 0.9 * 16 * both_softened

    found = distillation_loss(
        torch.tensor([student]), torch.tensor([teacher]), torch.tensor([label]), temperature=4.0, alpha=0.9
    ).item()

    assert found == pytest.approx(right, rel=1e-5)
    assert 0.1 * hard + 0.9 * 16 * student_softened > 5 * found
    assert 0.1 * hard + 0.9 * 16 * both_softened / 3 < 0.6 * found
    assert hard + 16 * both_softened > 1.4 * found
    assert hard + 16 * student_softened / 3 > 2 * found


def test_a_perfect_student_pays_nothing_because_both_sides_are_softened() -> None:
    """With the student alone softened, a copy of the teacher would still be pushed away from it."""
    teacher = [3.0, 0.0, -2.0]
    wrong = sum(t * math.log(t / s) for t, s in zip(softened(teacher, 1.0), softened(teacher, 4.0), strict=True))

    found = soft_target_loss(torch.tensor([teacher]), torch.tensor([teacher]), temperature=4.0).item()

    assert found == pytest.approx(0, abs=1e-7)
    assert wrong > 0.2


@settings(max_examples=50)
@given(
    student=st.lists(st.floats(-1e4, 1e4, width=32), min_size=6, max_size=6),
    teacher=st.lists(st.floats(-1e4, 1e4, width=32), min_size=6, max_size=6),
    temperature=st.floats(0.5, 20),
)
def test_extreme_logits_give_finite_losses_and_gradients(
    student: list[float], teacher: list[float], temperature: float
) -> None:
    """Each loss in single precision for logits of up to ten thousand."""
    mine, theirs = torch.tensor(student).reshape(2, 3).requires_grad_(), torch.tensor(teacher).reshape(2, 3)
    losses = (
        distillation_loss(mine, theirs, LABELS[:2], temperature=temperature, alpha=0.5),
        soft_target_loss(standardized(mine), standardized(theirs), temperature=temperature),
        decoupled_loss(mine, theirs, LABELS[:2], temperature=temperature),
        correlation_loss(mine, theirs, temperature=temperature),
    )

    for loss in losses:
        (gradient,) = torch.autograd.grad(loss, mine)
        assert loss.isfinite()
        assert gradient.isfinite().all()
