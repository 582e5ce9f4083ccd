"""Which channels depend on each other, and which groups are left whole."""

import pytest
import torch
from several import both_network, both_samples
from torch import Tensor, nn

from edgekd.core.errors import StageError
from edgekd.networks.dscnn import dscnn
from edgekd.networks.resnet import resnet
from edgekd.prune.groups import channel_groups


class Optional(nn.Module):
    """Takes a second image if there is one; a batch of two must not be taken for it."""

    def __init__(self) -> None:
        """Make the layers."""
        super().__init__()
        self.first, self.second, self.head = nn.Conv2d(1, 4, 1), nn.Conv2d(1, 4, 1), nn.Conv2d(4, 2, 1)

    def forward(self, image: Tensor, other: Tensor | None = None) -> Tensor:
        """Map (batch, 1, height, width) to (batch, 2, height, width)."""
        features = self.first(image)
        answer: Tensor = self.head(features if other is None else features + self.second(other))
        return answer


class Untraceable(nn.Module):
    """Asks for four dimensions in its own words."""

    def forward(self, images: Tensor) -> Tensor:
        """Refuse everything."""
        message = f"shape {tuple(images.shape)} does not suit me"
        raise ValueError(message)


def test_channels_that_meet_in_an_addition_are_one_group() -> None:
    """In a residual network each stage has one stream, and each block an inner width of its own."""
    groups = channel_groups(resnet(classes=3, width=4), (torch.rand(2, 1, 8, 8),))

    members = {frozenset(member.path for member in group.members if not member.is_input) for group in groups}

    assert {"blocks.0.conv1", "blocks.0.norm1"} in members
    assert {"stem.0", "stem.1", "blocks.0.conv2", "blocks.0.norm2"} in members
    assert len(groups) == 6


def test_a_depthwise_layer_goes_with_the_channels_that_it_filters() -> None:
    """Its kernel, its norm and the pointwise layers on both sides are one group."""
    groups = channel_groups(dscnn(classes=3, width=4, blocks=1), (torch.rand(2, 1, 8, 8),))

    paths = [{member.path for member in group.members} for group in groups]

    assert {"stem.0", "stem.1", "blocks.0.depthwise", "blocks.0.norm1", "blocks.0.pointwise"} in paths


@pytest.mark.parametrize(
    "ending",
    [
        nn.Sequential(nn.Conv2d(4, 3, 1)),
        nn.Sequential(nn.Conv2d(4, 3, 1), nn.BatchNorm2d(3)),
        nn.Sequential(nn.Conv2d(4, 3, 1), nn.BatchNorm2d(3), nn.Sigmoid()),
        nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)),
    ],
)
def test_the_output_layer_is_in_no_group(ending: nn.Sequential) -> None:
    """Its channels are the answer, also behind a norm or an activation; those before it are free to go."""
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), ending)

    groups = channel_groups(network, (torch.rand(2, 1, 5, 5),))

    assert [group.name for group in groups] == ["0"]


def test_channels_of_a_grouped_convolution_stay() -> None:
    """On both of its sides; the layer after them has channels of its own."""
    network = nn.Sequential(nn.Conv2d(1, 8, 3), nn.Conv2d(8, 16, 1, groups=2), nn.Conv2d(16, 8, 1), nn.Conv2d(8, 2, 1))

    assert [group.name for group in channel_groups(network, (torch.rand(2, 1, 5, 5),))] == ["2"]


def test_a_depthwise_layer_that_widens_is_a_grouped_convolution() -> None:
    """Two kernels for each channel: its outputs depend on its inputs in pairs."""
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Conv2d(4, 8, 3, groups=4), nn.Conv2d(8, 2, 1))

    assert channel_groups(network, (torch.rand(2, 1, 7, 7),)) == ()


def test_a_batch_is_one_input() -> None:
    """Two images are not two arguments: the layer for the second argument is not part of the network."""
    (group,) = channel_groups(Optional(), (torch.rand(2, 1, 3, 3),))

    assert {member.path for member in group.members} == {"first", "head"}


def test_a_network_that_cannot_run_cannot_be_traced() -> None:
    """The message holds the network's class and its own words."""
    with pytest.raises(StageError, match=r"prune: Untraceable cannot be traced: shape \(2, 1, 3, 3\) does not suit me"):
        channel_groups(Untraceable(), (torch.rand(2, 1, 3, 3),))


def test_both_branches_of_two_inputs_have_groups_of_their_own() -> None:
    """What ends in the second output is in none; the branches meet side by side, so neither binds the other."""
    groups = channel_groups(both_network(), both_samples())

    assert sorted(group.name for group in groups) == ["hearing.0", "hearing.4", "sight.0", "sight.3"]
    for group in groups:
        branches = {member.path.split(".")[0] for member in group.members} - {"join"}
        assert len(branches) == 1
