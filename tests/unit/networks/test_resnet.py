"""The residual teacher, counted by hand layer by layer."""

import torch

from edgekd.networks.counting import count_macs, count_parameters
from edgekd.networks.resnet import resnet


def test_parameters_are_those_of_the_drawing() -> None:
    """Kernels, two numbers for each normalized channel, and the classifier; convolutions have no bias."""
    stem = 1 * 4 * 9 + 2 * 4
    first = 2 * (4 * 4 * 9 + 2 * 4)
    second = (4 * 8 * 9 + 2 * 8) + (8 * 8 * 9 + 2 * 8) + (4 * 8 + 2 * 8)
    third = (8 * 16 * 9 + 2 * 16) + (16 * 16 * 9 + 2 * 16) + (8 * 16 + 2 * 16)
    classifier = 16 * 10 + 10

    assert count_parameters(resnet(classes=10, width=4)) == stem + first + second + third + classifier


def test_macs_follow_the_shrinking_map() -> None:
    """28x28 pixels become 14x14 in the stem, then 7x7 and 4x4 where a stage strides."""
    stem = 1 * 4 * 9 * 14 * 14
    first = 2 * 4 * 4 * 9 * 14 * 14
    second = (4 * 8 * 9 + 8 * 8 * 9 + 4 * 8) * 7 * 7
    third = (8 * 16 * 9 + 16 * 16 * 9 + 8 * 16) * 4 * 4
    classifier = 16 * 10

    assert count_macs(resnet(classes=10, width=4), (1, 28, 28)) == stem + first + second + third + classifier


def test_a_further_block_keeps_the_shape_and_needs_no_shortcut_layer() -> None:
    """Each of the three stages grows by two 3x3 convolutions and their norms, nothing else."""
    grown = sum(2 * (width * width * 9 + 2 * width) for width in (4, 8, 16))

    assert count_parameters(resnet(classes=10, width=4, blocks=2)) == grown + count_parameters(
        resnet(classes=10, width=4, blocks=1)
    )


def test_a_strided_stem_halves_the_map() -> None:
    """All that follows then has a quarter of the positions; with stem_stride 1 it has all of them."""
    sizes = [
        resnet(classes=2, width=4, stem_stride=stride).get_submodule("stem")(torch.zeros(1, 1, 8, 8)).shape[2:]
        for stride in (1, 2)
    ]

    assert sizes == [(8, 8), (4, 4)]


def test_colour_images_of_any_size_give_one_logit_for_each_class() -> None:
    """The global average makes the classifier independent of the image's size."""
    network = resnet(classes=7, channels=3, width=2).eval()

    assert network(torch.zeros(2, 3, 9, 17)).shape == (2, 7)
