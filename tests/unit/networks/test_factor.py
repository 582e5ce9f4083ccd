"""The two-layer form of a layer, and which layers have none."""

import pytest
import torch
from torch import nn

from edgekd.core.errors import ConfigError
from edgekd.networks.factor import can_factorize, factorize_layer


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (nn.Conv2d(4, 4, 3), "kernel 3x3"),
        (nn.Conv2d(4, 4, (1, 3)), "kernel 1x3"),
        (nn.Conv2d(4, 4, 1, groups=2), r"grouped convolution \(2 groups\)"),
        (nn.Conv2d(4, 4, 1, padding=1), r"a padded 1x1 convolution \(\(1, 1\)\)"),
        (nn.BatchNorm2d(4), "BatchNorm2d is neither a linear nor a convolution layer"),
    ],
)
def test_a_layer_without_a_two_layer_form_is_refused_with_the_reason(layer: nn.Module, reason: str) -> None:
    """What can_factorize says is what the error says."""
    assert can_factorize(layer) is not None
    with pytest.raises(ConfigError, match=f"cannot factorize: {reason}"):
        factorize_layer(layer, rank=2)


@pytest.mark.parametrize("padding", [0, "valid", "same"])
def test_a_1x1_convolution_without_a_border_has_a_two_layer_form(padding: int | str) -> None:
    """For a kernel of one pixel all three paddings mean none."""
    assert can_factorize(nn.Conv2d(4, 4, 1, padding=padding)) is None


@pytest.mark.parametrize("bias", [True, False])
def test_the_second_layer_keeps_the_bias(*, bias: bool) -> None:
    """The first has none: rank channels lie between two matrices, and the constant is added once."""
    pair = factorize_layer(nn.Linear(6, 4, bias=bias), rank=2)

    assert [name for name, _ in pair.named_parameters()] == ["0.weight", "1.weight", *["1.bias"] * bias]
    assert [tuple(layer.weight.shape) for layer in pair if isinstance(layer, nn.Linear)] == [(2, 6), (4, 2)]


def test_a_strided_convolution_strides_first() -> None:
    """The first layer reads only the positions that count, so the second has fewer to compute; the shape stays."""
    layer = nn.Conv2d(3, 5, 1, stride=(2, 1))
    images = torch.zeros(1, 3, 6, 6)

    pair = factorize_layer(layer, rank=2)

    assert pair[0](images).shape == (1, 2, 3, 6)
    assert pair(images).shape == layer(images).shape
