"""Random starts have the size that the papers ask for."""

import pytest
import torch
from torch import nn

from edgekd.networks.initialization import he_normal, small_normal


def test_kernels_start_with_the_variance_of_he() -> None:
    """2 / fan-out, where fan-out is 64 channels times nine places: 0.059; biases at zero."""
    torch.manual_seed(0)
    layer = nn.Conv2d(32, 64, 3)

    he_normal(layer)

    assert layer.weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.02)
    assert layer.bias is not None
    assert not layer.bias.any()


def test_matrices_start_small() -> None:
    """A deviation of 0.02 and no bias; convolutions stay as they are."""
    torch.manual_seed(0)
    matrix, convolution = nn.Linear(100, 200), nn.Conv2d(2, 2, 1)
    kernel = convolution.weight.clone()

    small_normal(nn.Sequential(matrix, convolution))

    assert matrix.weight.std().item() == pytest.approx(0.02, rel=0.02)
    assert not matrix.bias.any()
    assert torch.equal(convolution.weight, kernel)
