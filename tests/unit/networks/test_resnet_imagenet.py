"""ResNet-18 against the figures of its paper and of the best-known implementation."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from edgekd.networks.counting import count_macs, count_parameters
from edgekd.networks.resnet_imagenet import resnet18

Check = Callable[[nn.Module, tuple[int, ...]], None]


def test_parameters_are_the_published_ones() -> None:
    """11,689,512 for 1000 classes, as in torchvision's table."""
    assert count_parameters(resnet18()) == 11_689_512


def test_macs_are_the_published_ones() -> None:
    """1.814 G at 224x224 (the paper: 1.8). By hand: in units of one 64→64 kernel on 56x56, a stage has four.

    The first kernel of stages two to four has half the input channels, and each projection a ninth of that.
    """
    unit = 64 * 64 * 9 * 56 * 56
    projections = 3 * unit // 18
    by_hand = 3 * 64 * 49 * 112 * 112 + 4 * unit + 3 * (4 * unit - unit // 2) + projections + 512_000

    assert count_macs(resnet18(), (3, 224, 224)) == by_hand
    assert round(by_hand / 1e9, 3) == 1.814


def test_it_has_eighteen_layers_besides_its_projections() -> None:
    """One 7x7, sixteen 3x3 and the classifier; three 1x1 on the shortcuts."""
    kernels = [layer.kernel_size for layer in resnet18().modules() if isinstance(layer, nn.Conv2d)]

    assert {size: kernels.count(size) for size in kernels} == {(7, 7): 1, (3, 3): 16, (1, 1): 3}


def test_grey_images_of_odd_size_give_one_logit_for_each_class() -> None:
    """The global average makes the classifier independent of the image's size."""
    assert resnet18(classes=7, channels=1).eval()(torch.zeros(2, 1, 45, 33)).shape == (2, 7)


@pytest.mark.slow
def test_it_can_be_pruned_and_ships(prunes: Check, ships: Check) -> None:
    """Every group shrinks, and ONNX Runtime answers as torch does."""
    module = resnet18(classes=10)
    prunes(module, (3, 64, 64))

    ships(module, (3, 64, 64))
