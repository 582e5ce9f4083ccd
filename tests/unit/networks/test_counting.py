"""Counting, against hand calculation and against a convolution that adds up ones."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from hypothesis import given, settings
from hypothesis import strategies as st
from several import Both
from torch import Tensor, nn

from edgekd.core.errors import ConfigError
from edgekd.networks.counting import count_macs, count_parameters


class Functional(nn.Module):
    """Calls no layer: a convolution, a product and a self-attention from torch's functions."""

    def __init__(self) -> None:
        """Make the weights."""
        super().__init__()
        self.kernel = nn.Parameter(torch.ones(6, 2, 3, 3))
        self.matrix = nn.Parameter(torch.ones(6, 4))

    def forward(self, images: Tensor) -> Tensor:
        """Map (batch, 2, height, width) to (batch, positions, 4)."""
        features = F.conv2d(images, self.kernel)
        tokens = features.flatten(2).transpose(1, 2) @ self.matrix
        return F.scaled_dot_product_attention(tokens, tokens, tokens)


class SelfAttention(nn.Module):
    """nn.MultiheadAttention of a sequence with itself; torch runs it as one fused kernel where it may."""

    def __init__(self) -> None:
        """Make eight features in two heads."""
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (batch, tokens, 8) to the same shape."""
        mixed: Tensor = self.attention(tokens, tokens, tokens, need_weights=False)[0]
        return mixed


class Products(nn.Module):
    """A matrix times a vector, and the product of two vectors."""

    def forward(self, matrix: Tensor) -> Tensor:
        """Map (1, rows, columns) to a number."""
        column = matrix[0] @ torch.ones(matrix.shape[2])
        return torch.dot(column, column)


class Pair(nn.Module):
    """A bilinear layer of an input with itself."""

    def __init__(self) -> None:
        """Make the layer."""
        super().__init__()
        self.layer = nn.Bilinear(3, 3, 2)

    def forward(self, features: Tensor) -> Tensor:
        """Map (batch, 3) to (batch, 2)."""
        product: Tensor = self.layer(features, features)
        return product


def test_a_linear_layer_counts_its_matrix_once_for_each_token() -> None:
    """Five tokens through an 8 x 3 matrix; the bias is an addition and does not count."""
    assert count_macs(nn.Linear(8, 3), (5, 8)) == 5 * 8 * 3


@settings(max_examples=25)
@given(
    groups=st.sampled_from([1, 2, 4]),
    multiplier=st.integers(1, 3),
    kernel=st.integers(1, 3),
    stride=st.integers(1, 2),
    size=st.integers(3, 6),
)
def test_a_convolution_counts_what_it_adds_up(
    groups: int, multiplier: int, kernel: int, stride: int, size: int
) -> None:
    """Ones through a kernel of ones: each output is the number of its products, so their sum is the count."""
    layer = nn.Conv2d(4, 4 * multiplier, kernel, stride=stride, groups=groups, bias=False)
    nn.init.ones_(layer.weight)

    products = layer(torch.ones(1, 4, size, size)).sum().item()

    assert count_macs(layer, (4, size, size)) == products


def test_functional_calls_count_like_layers() -> None:
    """4x4 pixels, 3x3 kernel: 2x2 positions; then (4, 6) @ (6, 4), then q @ k and weights @ v over four tokens."""
    convolution = 2 * 6 * 9 * 4
    product = 4 * 6 * 4
    attention = 2 * (4 * 4 * 4)

    assert count_macs(Functional(), (2, 4, 4)) == convolution + product + attention


@pytest.mark.parametrize("trains", [True, False])
def test_multi_head_attention_counts_with_and_without_gradients(*, trains: bool) -> None:
    """Projections in (three) and out, q @ k and weights @ v: a frozen network costs as much as one in training."""
    projections = 5 * 8 * 8 * 4
    attention = 2 * (5 * 5 * 8)

    assert count_macs(SelfAttention().requires_grad_(trains), (5, 8)) == projections + attention


def test_a_transformer_layer_counts_its_attention_and_its_feed_forward_part() -> None:
    """Eight features, sixteen inside, five tokens."""
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)

    assert count_macs(layer, (5, 8)) == 5 * 8 * 8 * 4 + 2 * (5 * 5 * 8) + 2 * (5 * 8 * 16)


@pytest.mark.parametrize(("layer", "gates"), [(nn.RNN, 1), (nn.GRU, 3), (nn.LSTM, 4)])
def test_a_recurrent_layer_counts_its_gates_in_each_step(layer: Callable[..., nn.Module], gates: int) -> None:
    """Each gate multiplies the input (8) and the state (4) by a matrix with 4 rows, in each of 5 steps."""
    assert count_macs(layer(8, 4, batch_first=True), (5, 8)) == 5 * gates * 4 * (8 + 4)


def test_products_with_vectors_count() -> None:
    """A 3 x 5 matrix times a vector, then three products of two vectors."""
    assert count_macs(Products(), (3, 5)) == 3 * 5 + 3


def test_a_bilinear_layer_is_refused_rather_than_counted_as_nothing() -> None:
    """A count that lacks a layer would pass for a cheap network."""
    with pytest.raises(ConfigError, match="a bilinear layer is not counted"):
        count_macs(Pair(), (3,))


def test_a_network_that_writes_over_its_input_is_counted() -> None:
    """An in-place activation in front of the first layer is no obstacle."""
    assert count_macs(nn.Sequential(nn.ReLU(inplace=True), nn.Linear(4, 2)), (4,)) == 8


@pytest.mark.parametrize("training", [True, False])
def test_counting_leaves_the_network_as_it_was(*, training: bool) -> None:
    """Mode, running statistics and gradients are those of before."""
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)).train(training)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}

    count_macs(network, (1, 4, 4))

    assert network.training is training
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_parameters_leave_out_buffers_and_count_a_shared_tensor_once() -> None:
    """A norm has gamma and beta, its running statistics are buffers; two layers with one weight have one weight."""
    first, second = nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)
    second.weight = first.weight

    assert count_parameters(nn.BatchNorm2d(5)) == 10
    assert count_parameters(nn.Sequential(first, second)) == 9


def test_the_inputs_of_a_network_are_counted_together() -> None:
    """An image and a sound by hand: kernels times the places that they are at, in both branches, and what follows.

    8 channels; 12x12 pixels at stride 2 are 6x6, then 4x4; 40 numbers at stride 2 are 20, pooled to 10, then 8.
    """
    sight = 6 * 6 * 8 * 9 + 4 * 4 * 8 * 8 * 9
    hearing = 20 * 8 * 2 * 5 + 8 * 8 * 8 * 3

    assert count_macs(Both(), (1, 12, 12), (2, 40)) == sight + hearing + 16 * 16 + 16 * 4
