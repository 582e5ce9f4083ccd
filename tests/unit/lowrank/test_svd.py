"""Truncation: exact at full rank, off by the tail of the singular values below it."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from edgekd.lowrank.svd import matrix_of, rank_for_energy, singular_values, truncated


def product(pair: nn.Sequential) -> Tensor:
    """Return the matrix that the two layers make together."""
    return matrix_of(pair[1]) @ matrix_of(pair[0])


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Linear(6, 4), (3, 6)),
        (nn.Linear(4, 6, bias=False), (3, 4)),
        (nn.Linear(6, 4), (2, 5, 6)),
        (nn.Conv2d(6, 4, 1), (3, 6, 5, 5)),
        (nn.Conv2d(4, 6, 1, bias=False), (3, 4, 5, 5)),
        (nn.Conv2d(6, 4, 1, stride=2), (3, 6, 5, 5)),
        (nn.Conv2d(6, 4, 1, stride=(1, 3), bias=False), (3, 6, 5, 5)),
    ],
)
def test_full_rank_reproduces_the_layer(layer: nn.Linear | nn.Conv2d, shape: tuple[int, ...]) -> None:
    """With and without a bias, strided or not, for images and for tokens: equal up to rounding."""
    inputs = torch.randn(shape, generator=torch.Generator().manual_seed(0))

    torch.testing.assert_close(truncated(layer, rank=4)(inputs), layer(inputs), atol=1e-5, rtol=1e-5)


@given(rows=st.integers(1, 8), columns=st.integers(1, 8), data=st.data())
def test_the_error_is_the_tail_of_the_singular_values(rows: int, columns: int, data: st.DataObject) -> None:
    """Squared Frobenius distance = sum of the squares left out, which no other matrix of that rank undercuts."""
    rank = data.draw(st.integers(1, min(rows, columns)))
    layer = nn.Linear(columns, rows).double()

    error = (product(truncated(layer, rank=rank).double()) - matrix_of(layer)).square().sum().item()

    tail = torch.linalg.eigvalsh(matrix_of(layer) @ matrix_of(layer).T).flip(0)[rank:].sum().item()
    assert error == pytest.approx(tail, abs=1e-5)


def test_a_larger_rank_is_never_worse() -> None:
    """Each further singular value takes its square off the error."""
    layer = nn.Linear(8, 8)
    errors = [(product(truncated(layer, rank=rank)) - matrix_of(layer)).norm().item() for rank in range(1, 9)]

    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-5


def test_both_factors_have_weights_of_one_size() -> None:
    """A matrix with one singular value of 16: each factor gets 4."""
    layer = nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[0.0, 16.0], [0.0, 0.0]]))

    pair = truncated(layer, rank=1)

    assert [matrix_of(part).norm().item() for part in pair] == pytest.approx([4, 4])


def test_truncation_leaves_the_layer_alone() -> None:
    """Weights are copied; the layer can be compared with afterwards."""
    layer = nn.Linear(4, 4)
    before = layer.weight.detach().clone()

    pair = truncated(layer, rank=4)
    nn.init.zeros_(pair[1].bias)  # type: ignore[arg-type]  # a Sequential does not say what it holds

    assert torch.equal(layer.weight, before)
    assert layer.bias.abs().sum() > 0


def test_singular_values_of_a_diagonal_are_its_entries() -> None:
    """Without their signs, the largest first."""
    layer = nn.Conv2d(3, 3, 1)
    with torch.no_grad():
        layer.weight.copy_(torch.diag(torch.tensor([1.0, -3.0, 2.0])).reshape(3, 3, 1, 1))

    torch.testing.assert_close(singular_values(layer), torch.tensor([3.0, 2.0, 1.0]))


@pytest.mark.parametrize(
    ("energy", "rank"), [(0.5, 1), (0.64, 1), (0.65, 2), (0.99, 2), (1.0, 2)]
)  # of [4, 3]: 16/25 is 0.64
def test_the_rank_is_the_smallest_that_holds_the_energy(energy: float, rank: int) -> None:
    """By hand: 4 squared is 64 % of 4 squared and 3 squared."""
    assert rank_for_energy(torch.tensor([4.0, 3.0]), energy) == rank


def test_values_of_zero_add_no_rank() -> None:
    """All the energy of 5, 0, 0 is in the first."""
    assert rank_for_energy(torch.tensor([5.0, 0.0, 0.0]), 1.0) == 1


@given(
    values=st.lists(st.floats(0.01, 100), min_size=1, max_size=12),
    energy=st.floats(0.01, 1),
)
def test_one_rank_less_would_not_do(values: list[float], energy: float) -> None:
    """The rank holds the energy, the next smaller one does not, up to rounding."""
    ordered = sorted(values, reverse=True)
    squares = [value**2 for value in ordered]

    rank = rank_for_energy(torch.tensor(ordered, dtype=torch.float64), energy)

    assert sum(squares[:rank]) >= energy * sum(squares) * (1 - 1e-9)
    assert sum(squares[: rank - 1]) <= energy * sum(squares) * (1 + 1e-9)
