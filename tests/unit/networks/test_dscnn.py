"""The depthwise-separable student, counted by hand layer by layer."""

import torch
from torch import nn

from edgekd.networks.counting import count_macs, count_parameters
from edgekd.networks.dscnn import dscnn


def test_parameters_are_those_of_the_drawing() -> None:
    """A depthwise kernel has nine numbers for each channel, a pointwise one in x out; norms have two each."""
    stem = 1 * 4 * 9 + 2 * 4
    first = (4 * 9 + 2 * 4) + (4 * 8 + 2 * 8)
    second = (8 * 9 + 2 * 8) + (8 * 16 + 2 * 16)
    classifier = 16 * 10 + 10

    assert count_parameters(dscnn(classes=10, width=4, blocks=1)) == stem + first + second + classifier


def test_macs_follow_the_shrinking_map() -> None:
    """28x28 pixels become 14x14 in the stem and 7x7 in the second stage."""
    stem = 1 * 4 * 9 * 14 * 14
    first = (4 * 9 + 4 * 8) * 14 * 14
    second = (8 * 9 + 8 * 16) * 7 * 7
    classifier = 16 * 10

    assert count_macs(dscnn(classes=10, width=4, blocks=1), (1, 28, 28)) == stem + first + second + classifier


def test_a_further_block_keeps_the_channels() -> None:
    """The second block of each stage is depthwise and pointwise at the stage's own width."""
    grown = sum((width * 9 + 2 * width) + (width * width + 2 * width) for width in (8, 16))

    assert count_parameters(dscnn(classes=10, width=4, blocks=2)) == grown + count_parameters(
        dscnn(classes=10, width=4, blocks=1)
    )


def test_a_block_that_keeps_the_shape_adds_its_input() -> None:
    """With the last norm at zero the inner path gives nothing, and the block is the identity on what is positive."""
    block = dscnn(classes=2, width=2).get_submodule("blocks.1").eval()
    norm = block.get_submodule("norm2")
    assert isinstance(norm, nn.BatchNorm2d)
    nn.init.zeros_(norm.weight)
    features = torch.rand(1, 4, 5, 5)

    assert torch.equal(block(features), features)


def test_colour_images_of_any_size_give_one_logit_for_each_class() -> None:
    """The global average makes the classifier independent of the image's size."""
    network = dscnn(classes=7, channels=3, width=2).eval()

    assert network(torch.zeros(2, 3, 9, 17)).shape == (2, 7)
