"""Channel scores by hand."""

import pytest
import torch
from torch import Tensor, nn

from edgekd.prune.criteria import CRITERIA, Criterion, group_l1, group_l2
from edgekd.prune.groups import ChannelGroup, channel_groups


def filled(layer: nn.Module, weight: list[float]) -> nn.Module:
    """Return *layer* with *weight*, written down in its own order."""
    assert isinstance(layer.weight, Tensor)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weight).reshape(layer.weight.shape))
    return layer


def only_group(module: nn.Module, example: Tensor) -> ChannelGroup:
    """Return the one group of channels that *module* can lose."""
    (group,) = channel_groups(module, (example,))
    return group


@pytest.mark.parametrize(
    ("criterion", "expected"),
    [
        # (1 + 9 + 2*2) / 3 and (4 + 1 + 4*4) / 3, then divided by their mean 35/6
        (group_l2, [14 / 3 / (35 / 6), 7 / (35 / 6)]),
        # (1 + 3 + 2) / 3 and (2 + 1 + 4) / 3, then divided by their mean 13/6
        (group_l1, [2 / (13 / 6), 7 / 3 / (13 / 6)]),
    ],
)
def test_a_channel_counts_by_its_row_its_gamma_and_its_column(criterion: Criterion, expected: list[float]) -> None:
    """The mean over convolution, norm and the next convolution, for the channels' mean to be 1."""
    network = nn.Sequential(
        filled(nn.Conv2d(1, 2, 1), [-1, 2]), filled(nn.BatchNorm2d(2), [3, -1]), filled(nn.Conv2d(2, 1, 1), [2, -4])
    )

    assert criterion(only_group(network, torch.rand(2, 1, 3, 3))).tolist() == pytest.approx(expected)


def test_all_weights_of_a_kernel_count() -> None:
    """Kernels of 1x2: 1 + 4 and 9 + 16; each column of the next layer holds two weights: 1 + 1 and 4 + 0."""
    network = nn.Sequential(filled(nn.Conv2d(1, 2, (1, 2)), [1, 2, 3, 4]), filled(nn.Conv2d(2, 2, 1), [1, 2, 1, 0]))

    scores = group_l2(only_group(network, torch.rand(2, 1, 3, 3)))

    assert scores.tolist() == pytest.approx([3.5 / 9, 14.5 / 9])


def test_a_convolution_over_time_counts_like_one_over_an_image() -> None:
    """Kernels of 2: 1 + 4 and 9 + 16; each column of the next layer holds two weights: 1 + 1 and 4 + 0."""
    network = nn.Sequential(filled(nn.Conv1d(1, 2, 2), [1, 2, 3, 4]), filled(nn.Conv1d(2, 2, 1), [1, 2, 1, 0]))

    scores = group_l2(only_group(network, torch.rand(2, 1, 5)))

    assert scores.tolist() == pytest.approx([3.5 / 9, 14.5 / 9])


def test_a_flattened_channel_counts_all_its_pixels() -> None:
    """A channel of two pixels owns two columns of the classifier: 1 + 4 and 9 + 0, beside kernels of 1 and 1."""
    network = nn.Sequential(filled(nn.Conv2d(1, 2, 1), [1, 1]), nn.Flatten(), filled(nn.Linear(4, 1), [1, 2, 3, 0]))

    scores = group_l2(only_group(network, torch.rand(2, 1, 1, 2)))

    assert scores.tolist() == pytest.approx([3 / 4, 5 / 4])


def test_a_depthwise_layer_counts_its_own_kernel() -> None:
    """1, then 2 squared, then 1; and 1, then 0, then 1."""
    network = nn.Sequential(
        filled(nn.Conv2d(1, 2, 1), [1, 1]),
        filled(nn.Conv2d(2, 2, 1, groups=2), [2, 0]),
        filled(nn.Conv2d(2, 1, 1), [1, 1]),
    )

    assert group_l2(only_group(network, torch.rand(2, 1, 3, 3))).tolist() == pytest.approx([2 / (4 / 3), 0.5])


def test_a_transposed_convolution_is_read_along_its_first_dimension() -> None:
    """Its weight is (in, out, ...): channel 0 is read with 1 and 2, channel 1 with 3 and 4."""
    network = nn.Sequential(
        filled(nn.Conv2d(1, 2, 1), [1, 1]), filled(nn.ConvTranspose2d(2, 2, 1), [1, 2, 3, 4]), nn.Conv2d(2, 1, 1)
    )
    (group,) = (group for group in channel_groups(network, (torch.rand(2, 1, 3, 3),)) if group.name == "0")

    assert group_l2(group).tolist() == pytest.approx([3 / 8, 13 / 8])


def test_a_slope_shared_by_all_channels_says_nothing() -> None:
    """A PReLU with one number counts for no channel: 1 and 1, 2 squared and 2 squared."""
    network = nn.Sequential(filled(nn.Conv2d(1, 2, 1), [1, 1]), nn.PReLU(), filled(nn.Conv2d(2, 1, 1), [2, 2]))

    assert group_l2(only_group(network, torch.rand(2, 1, 3, 3))).tolist() == pytest.approx([1, 1])


@pytest.mark.parametrize("name", CRITERIA)
def test_scores_do_not_depend_on_the_scale_of_a_group(name: str) -> None:
    """A group whose weights are all ten times as large competes as before."""
    layers = [nn.Conv2d(1, 4, 3), nn.Conv2d(4, 2, 3)]
    example = torch.rand(2, 1, 6, 6)
    before = CRITERIA[name](only_group(nn.Sequential(*layers), example))

    with torch.no_grad():
        for layer in layers:
            layer.weight *= 10

    torch.testing.assert_close(CRITERIA[name](only_group(nn.Sequential(*layers), example)), before)


@pytest.mark.parametrize("name", CRITERIA)
def test_weights_of_zero_give_scores_of_zero(name: str) -> None:
    """Nothing is divided by nothing."""
    network = nn.Sequential(filled(nn.Conv2d(1, 2, 1), [0, 0]), filled(nn.Conv2d(2, 1, 1), [0, 0]))

    assert CRITERIA[name](only_group(network, torch.rand(2, 1, 3, 3))).tolist() == [0, 0]
