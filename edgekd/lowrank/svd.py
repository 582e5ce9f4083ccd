"""Truncated singular value decomposition of one layer's weights."""

import torch
from torch import Tensor, nn

from edgekd.networks.factor import factorize_layer


def singular_values(layer: nn.Module) -> Tensor:
    """Return the singular values (largest first) of a linear or 1x1 convolution layer's matrix (out, in)."""
    values: Tensor = torch.linalg.svdvals(matrix_of(layer))
    return values


def rank_for_energy(values: Tensor, energy: float) -> int:
    """Return the smallest rank whose squared singular values hold at least the part *energy* of all."""
    squares = values.double().square()
    held = squares.cumsum(0) / squares.sum().clamp_min(torch.finfo(torch.float64).tiny)
    return min(int((held < energy).sum().item()) + 1, len(values))


def truncated(layer: nn.Module, *, rank: int) -> nn.Sequential:
    """Return *layer* as two layers, the best approximation of its matrix at *rank* (Eckart and Young 1936).

    Both factors get the root of the singular values, so that their weights are of one size. At full rank the
    outputs are the layer's own up to rounding.
    """
    left, values, right = torch.linalg.svd(matrix_of(layer), full_matrices=False)
    root = values[:rank].sqrt()
    pair = factorize_layer(layer, rank=rank)
    with torch.no_grad():
        _copy(pair[0], root.unsqueeze(1) * right[:rank])
        _copy(pair[1], left[:, :rank] * root)
        if isinstance(layer.bias, Tensor):
            pair[1].bias.copy_(layer.bias)  # type: ignore[operator]
    return pair


def matrix_of(layer: nn.Module) -> Tensor:
    """Return the layer's weights as a matrix (out, in)."""
    weight = layer.weight
    assert isinstance(weight, Tensor)  # noqa: S101 - linear and convolution layers have weights
    return weight.detach().flatten(1)


def _copy(layer: nn.Module, matrix: Tensor) -> None:
    """Fill *layer*'s weights with *matrix* (out, in)."""
    weight = layer.weight
    assert isinstance(weight, Tensor)  # noqa: S101 - see matrix_of
    weight.copy_(matrix.reshape(weight.shape))
