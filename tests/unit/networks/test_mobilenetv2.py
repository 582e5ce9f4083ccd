"""MobileNetV2 against the figures that its authors publish for several widths."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from edgekd.core.errors import ConfigError
from edgekd.networks.counting import count_macs, count_parameters
from edgekd.networks.mobilenetv2 import mobilenetv2, rounded_channels

Check = Callable[[nn.Module, tuple[int, ...]], None]


def test_parameters_are_the_published_ones() -> None:
    """3,504,872 for 1000 classes, as in torchvision's table; the paper's table 4 rounds to 3.4 M."""
    assert count_parameters(mobilenetv2()) == 3_504_872


@pytest.mark.parametrize(("width", "macs"), [(0.35, 59), (0.5, 97), (0.75, 209), (1.4, 582)])
def test_macs_at_other_widths_are_the_published_ones(width: float, macs: int) -> None:
    """Millions at 224x224, from the authors' table of trained networks."""
    assert round(count_macs(mobilenetv2(width=width), (3, 224, 224)) / 1e6) == macs


def test_macs_at_width_one_are_the_published_ones() -> None:
    """300.8 M at 224x224 (the paper: 300 M)."""
    assert round(count_macs(mobilenetv2(), (3, 224, 224)) / 1e6, 1) == 300.8


@pytest.mark.parametrize(
    ("channels", "rounded"), [(0.1, 8), (11.2, 16), (12, 16), (16, 16), (19.9, 24), (22.4, 24), (24, 24), (33.6, 32)]
)
def test_channels_are_rounded_to_eight(channels: float, rounded: int) -> None:
    """The nearest multiple, the upper one of two, and the upper one too where a tenth would be lost (11.2, 19.9)."""
    assert rounded_channels(channels) == rounded


@given(st.floats(0.01, 4096))
def test_rounding_gives_multiples_of_eight_and_loses_at_most_a_tenth(channels: float) -> None:
    """For any number of channels, and never changes it by more than eight."""
    rounded = rounded_channels(channels)

    assert rounded % 8 == 0
    assert rounded >= 0.9 * channels
    assert rounded < channels + 8


def test_a_narrow_network_keeps_its_wide_head_and_a_wide_one_widens_it() -> None:
    """The last 1x1 convolution has 1280 channels, more only above width 1."""
    heads = [mobilenetv2(width=width, classes=2).get_submodule("classifier") for width in (0.35, 1.0, 1.4)]

    assert [head.in_features for head in heads] == [1280, 1280, 1792]


@pytest.mark.parametrize("width", [0.0, -1.0, float("nan")])
def test_a_width_that_is_no_width_is_refused(width: float) -> None:
    """It would otherwise give a network of eight channels everywhere."""
    with pytest.raises(ConfigError, match=r"width: .* given; expected a number above 0"):
        mobilenetv2(width=width)


def test_a_still_stem_leaves_four_times_the_pixels_to_small_images() -> None:
    """32x32 pixels end as 2x2 instead of one."""
    sizes = []
    for stride in (1, 2):
        module = mobilenetv2(width=0.35, classes=2, stem_stride=stride).eval()
        sizes.append(module.get_submodule("blocks")(module.get_submodule("stem")(torch.zeros(1, 3, 32, 32))).shape[2:])

    assert sizes == [(2, 2), (1, 1)]


def test_grey_images_of_odd_size_give_one_logit_for_each_class() -> None:
    """The global average makes the classifier independent of the image's size."""
    module = mobilenetv2(classes=7, channels=1, width=0.35).eval()

    assert module(torch.zeros(2, 1, 33, 47)).shape == (2, 7)


@pytest.mark.slow
def test_it_can_be_pruned_and_ships(prunes: Check, ships: Check) -> None:
    """Every group shrinks, and ONNX Runtime answers as torch does."""
    module = mobilenetv2(classes=10, width=0.5, stem_stride=1)
    prunes(module, (3, 32, 32))

    ships(module, (3, 32, 32))
