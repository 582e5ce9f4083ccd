"""Residual networks for small images, against the figures of their papers and hand calculation."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import nn

from edgekd.core.errors import ConfigError
from edgekd.networks.counting import count_macs, count_parameters
from edgekd.networks.resnet_cifar import PaddedBlock, resnet8, resnet20, resnet56

CIFAR = (3, 32, 32)
Check = Callable[[nn.Module, tuple[int, ...]], None]


def folded_parameters(module: nn.Module) -> int:
    """Return how many numbers are left when each norm is folded into its convolution, which gets a bias by it."""
    norms = [layer for layer in module.modules() if isinstance(layer, nn.BatchNorm2d)]
    return count_parameters(module) - sum(norm.num_features for norm in norms)


def test_resnet8_has_the_parameters_and_the_work_that_mlperf_tiny_publishes() -> None:
    """77,706 after folding: gamma and beta of a norm become the one bias of its convolution; 12.50 M.

    MACs by hand: 27·16 and two 16→16 kernels on 32x32; 16→32 (9 + 1 places) and 32→32 on 16x16; then on 8x8.
    """
    by_hand = (432 + 2 * 2304) * 1024 + (4608 + 9216 + 512) * 256 + (18432 + 36864 + 2048) * 64 + 640

    assert folded_parameters(resnet8()) == 77_706
    assert count_macs(resnet8(), CIFAR) == by_hand
    assert round(by_hand / 1e6, 2) == 12.50


def test_resnet8_leaves_its_projections_bare() -> None:
    """Two of three blocks have a 1x1 convolution with a bias as their shortcut, without norm and ReLU."""
    shortcuts = [block.get_submodule("shortcut") for block in resnet8().get_submodule("blocks").children()]

    assert [type(shortcut) for shortcut in shortcuts] == [nn.Identity, nn.Conv2d, nn.Conv2d]
    assert all(shortcut.bias is not None for shortcut in shortcuts[1:])


@pytest.mark.parametrize(("network", "depth", "parameters"), [(resnet20, 20, 269_722), (resnet56, 56, 853_018)])
def test_parameters_and_layers_are_the_published_ones(
    network: Callable[..., nn.Module], depth: int, parameters: int
) -> None:
    """6n + 2 layers with weights; the paper's table 6 rounds to 0.27 M and 0.85 M."""
    layers = [layer for layer in network().modules() if isinstance(layer, nn.Conv2d | nn.Linear)]

    assert count_parameters(network()) == parameters
    assert len(layers) == depth


@pytest.mark.parametrize(("network", "blocks"), [(resnet20, 3), (resnet56, 9)])
def test_every_stage_costs_the_same_but_for_its_first_kernel(network: Callable[..., nn.Module], blocks: int) -> None:
    """Twice the channels on a quarter of the positions: 2304·1024 for each kernel, half of it where channels double."""
    kernel = 16 * 16 * 9 * 32 * 32
    by_hand = 27 * 16 * 1024 + 3 * 2 * blocks * kernel - 2 * kernel // 2 + 640

    assert count_macs(network(), CIFAR) == by_hand


def test_projection_shortcuts_cost_two_small_kernels_and_their_norms() -> None:
    """Option B over option A: 16→32 and 32→64 with gamma and beta."""
    grown = (16 * 32 + 2 * 32) + (32 * 64 + 2 * 64)

    assert count_parameters(resnet20(shortcut="projection")) == count_parameters(resnet20()) + grown


def test_a_padded_shortcut_keeps_every_second_pixel_and_adds_silent_channels() -> None:
    """With the last norm at zero a block gives its shortcut: pixels 0, 2, 4 of both channels, and two of zeros."""
    block = PaddedBlock(2, 4, stride=2).eval()
    nn.init.zeros_(block.norm2.weight)
    features = torch.rand(1, 2, 5, 6)

    found = block(features)

    assert torch.equal(found[:, :2], features[:, :, ::2, ::2])
    assert torch.equal(found[:, 2:], torch.zeros(1, 2, 3, 3))


def test_another_shortcut_is_refused_with_the_nearest_name() -> None:
    """The message says what may stand there."""
    with pytest.raises(ConfigError, match="shortcut: 'paddin' given; did you mean 'padding'"):
        resnet20(shortcut="paddin")


@pytest.mark.parametrize("network", [resnet8, resnet20])
def test_grey_images_of_odd_size_give_one_logit_for_each_class(network: Callable[..., nn.Module]) -> None:
    """The main path and the shortcut round an odd size in the same way."""
    assert network(classes=7, channels=1).eval()(torch.zeros(2, 1, 13, 19)).shape == (2, 7)


@pytest.mark.parametrize(
    "network", [resnet8, resnet20, partial(resnet20, shortcut="projection")], ids=["bare", "padding", "projection"]
)
def test_every_kind_of_shortcut_can_be_pruned(network: Callable[[], nn.Module], prunes: Check) -> None:
    """Also the parameter-free one, where channels of three stages are coupled."""
    prunes(network(), CIFAR)


@pytest.mark.slow
@pytest.mark.parametrize("network", [resnet8, resnet20])
def test_onnx_runtime_answers_as_torch_does(network: Callable[..., nn.Module], ships: Check) -> None:
    """Bare projections and padding, on an odd size."""
    ships(network(), (3, 15, 17))


@pytest.mark.slow
def test_a_pruned_network_with_padded_shortcuts_ships(prunes: Check, ships: Check) -> None:
    """Its zeros are counted anew."""
    module = resnet20()
    prunes(module, CIFAR)

    ships(module, CIFAR)
