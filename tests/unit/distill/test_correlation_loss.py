"""The relational loss (DIST) against loops over Python floats."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from edgekd.distill.losses import correlation_loss

temperatures = st.floats(0.5, 20)
weights = st.floats(0, 3)
seeds = st.integers(0, 999)


def logits(seed: int, *, scale: float = 3.0) -> Tensor:
    """Return logits (2, 3) in double precision."""
    return torch.randn(2, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * scale


def softened(row: list[float], temperature: float) -> list[float]:
    """Return the softmax of one sample's logits at *temperature*."""
    powers = [math.exp(value / temperature) for value in row]
    return [power / sum(powers) for power in powers]


def slow_correlation(xs: list[float], ys: list[float]) -> float:
    """Return Pearson's coefficient, 1e-8 added to the product of the norms."""
    x_mean, y_mean = sum(xs) / len(xs), sum(ys) / len(ys)
    product = sum((x - x_mean) * (y - y_mean) for x, y in zip(xs, ys, strict=True))
    x_norm = math.sqrt(sum((x - x_mean) ** 2 for x in xs))
    y_norm = math.sqrt(sum((y - y_mean) ** 2 for y in ys))
    return product / (x_norm * y_norm + 1e-8)


def slow_loss(student: Tensor, teacher: Tensor, temperature: float) -> tuple[float, float]:
    """Return one minus the mean correlation of the rows, and that of the columns."""
    mine = [softened(row, temperature) for row in student.tolist()]
    theirs = [softened(row, temperature) for row in teacher.tolist()]
    rows = [slow_correlation(*pair) for pair in zip(mine, theirs, strict=True)]
    columns = [slow_correlation([row[c] for row in mine], [row[c] for row in theirs]) for c in range(len(mine[0]))]
    return 1 - sum(rows) / len(rows), 1 - sum(columns) / len(columns)


@settings(max_examples=25)
@given(student=seeds, teacher=seeds, temperature=temperatures, between=weights, within=weights)
def test_the_loss_is_that_of_a_slow_loop(
    student: int, teacher: int, temperature: float, between: float, within: float
) -> None:
    """T² times the weighted sum of both relations, on softened probabilities."""
    mine, theirs = logits(student), logits(teacher + 1000)
    rows, columns = slow_loss(mine, theirs, temperature)

    found = correlation_loss(mine, theirs, temperature=temperature, between=between, within=within)

    assert found.item() == pytest.approx(temperature**2 * (between * rows + within * columns), rel=1e-6, abs=1e-6)


def test_by_default_both_relations_count_once() -> None:
    """At T = 4, as published for CIFAR."""
    expected = 16 * sum(slow_loss(logits(1), logits(2), 4.0))

    assert correlation_loss(logits(1), logits(2), temperature=4.0).item() == pytest.approx(expected)


@settings(max_examples=50)
@given(
    student=st.lists(st.floats(-1e4, 1e4, width=32), min_size=6, max_size=6),
    teacher=st.lists(st.floats(-1e4, 1e4, width=32), min_size=6, max_size=6),
    temperature=temperatures,
    between=weights,
    within=weights,
)
def test_the_loss_keeps_its_bounds(
    student: list[float], teacher: list[float], temperature: float, between: float, within: float
) -> None:
    """From 0 to 2 (between + within) T², for any logits up to ten thousand in single precision."""
    mine, theirs = torch.tensor(student).reshape(2, 3), torch.tensor(teacher).reshape(2, 3)

    found = correlation_loss(mine, theirs, temperature=temperature, between=between, within=within).item()

    highest = 2 * (between + within) * temperature**2
    assert -1e-5 * highest <= found <= highest * (1 + 1e-5)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_equal_answers_cost_nothing(temperature: float) -> None:
    """Up to what 1e-8 in the denominator takes from a correlation of one; the gradient vanishes with it."""
    student = torch.tensor([[2.0, 0.0, 1.0], [-1.0, 2.0, 0.0], [0.0, 1.0, -2.0]]).double().requires_grad_()

    loss = correlation_loss(student, student.detach() + 3, temperature=temperature)
    (gradient,) = torch.autograd.grad(loss, student)

    assert loss.item() == pytest.approx(0, abs=1e-5 * temperature**2)
    assert gradient.abs().max() < 1e-5


def test_opposite_answers_cost_the_most() -> None:
    """Two samples, mirrored: every row and column correlates with minus one."""
    student = torch.tensor([[1.0, -1.0], [-1.0, 1.0]])

    assert correlation_loss(student, -student, temperature=1.0).item() == pytest.approx(4)


def test_constant_rows_and_columns_count_as_uncorrelated() -> None:
    """A student that says the same of everything: 1 for the rows and 1 for the columns, gradient finite."""
    student, teacher = torch.zeros(2, 3, requires_grad=True), torch.tensor([[1.0, 0.0, 2.0], [0.0, 3.0, 1.0]])

    loss = correlation_loss(student, teacher, temperature=2.0)
    (gradient,) = torch.autograd.grad(loss, student)

    assert loss.item() == pytest.approx(2.0**2 * 2)
    assert gradient.isfinite().all()


def test_a_batch_of_one_learns_from_its_row_alone() -> None:
    """Its columns add T² without gradient."""
    student, teacher = logits(1)[:1], logits(2)[:1]

    def slope(within: float) -> tuple[float, Tensor]:
        mine = student.clone().requires_grad_()
        loss = correlation_loss(mine, teacher, temperature=2.0, within=within)
        (gradient,) = torch.autograd.grad(loss, mine)
        return loss.item(), gradient

    (with_columns, gradient), (without, row_gradient) = slope(1.0), slope(0.0)

    assert with_columns - without == pytest.approx(4)
    assert torch.equal(gradient, row_gradient)


def test_the_gradient_grows_with_the_square_of_a_high_temperature() -> None:
    """A correlation forgets T once logits are small against it, so T² remains: unlike soft targets, it is a weight."""
    mine = torch.tensor([[1.0, 0.0, -1.0], [0.5, 1.0, -1.0]], dtype=torch.float64, requires_grad=True)
    theirs = torch.tensor([[0.0, 1.0, -1.0], [1.0, -1.0, 0.0]], dtype=torch.float64)

    def slope(temperature: float) -> Tensor:
        (gradient,) = torch.autograd.grad(correlation_loss(mine, theirs, temperature=temperature, within=0.0), mine)
        return gradient

    torch.testing.assert_close(slope(64.0), 4 * slope(32.0), rtol=5e-2, atol=10.0)
    assert slope(64.0).abs().max() > 500
