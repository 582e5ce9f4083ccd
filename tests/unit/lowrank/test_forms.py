"""Which forms layers have: their channels and sizes by hand, whole and split."""

import torch
from several import both_network, both_samples
from torch import Tensor, nn

from edgekd.lowrank.forms import Form, forms_of
from edgekd.lowrank.svd import truncated


class Tokens(nn.Module):
    """Images to tokens, one matrix for all of them, used twice; another that nobody uses."""

    def __init__(self) -> None:
        """Make the layers."""
        super().__init__()
        self.patches = nn.Conv2d(1, 4, 2, stride=2)
        self.mix = nn.Linear(4, 4)
        self.spare = nn.Linear(4, 4)
        self.head = nn.Linear(4, 2)

    def forward(self, images: Tensor) -> Tensor:
        """Map (batch, 1, height, width) to (batch, 2)."""
        tokens: Tensor = self.patches(images).flatten(2).transpose(1, 2)
        logits: Tensor = self.head(self.mix(self.mix(tokens)).mean(1))
        return logits


def rows(count: int, in_channels: int, out_channels: int) -> Form:
    """Return a linear layer's use on *count* rows."""
    size = (count, 1)
    return Form(is_convolution=False, in_channels=in_channels, out_channels=out_channels, in_size=size, out_size=size)


class Windows(nn.Module):
    """An image cut into its four quarters, each through one 1x1 convolution and one matrix."""

    def __init__(self) -> None:
        """Make the layers."""
        super().__init__()
        self.sight, self.mix = nn.Conv2d(2, 3, 1), nn.Linear(3, 5)

    def forward(self, images: Tensor) -> Tensor:
        """Map (batch, 2, 4, 4) to (4 * batch, 2, 2, 5)."""
        quarters = torch.cat([part for half in images.chunk(2, 2) for part in half.chunk(2, 3)])
        mixed: Tensor = self.mix(self.sight(quarters).permute(0, 2, 3, 1))
        return mixed


def test_a_matrix_is_used_on_all_rows_of_one_sample() -> None:
    """4x6 pixels in patches of 2x2 are 6 tokens, which pass the mixing matrix twice; the head sees one; none spare."""
    forms = forms_of(Tokens(), (torch.zeros(1, 1, 4, 6),))

    assert forms == {"mix": (rows(6, 4, 4),) * 2, "head": (rows(1, 4, 2),)}


def test_a_strided_convolution_reads_more_than_it_writes() -> None:
    """8x6 at stride 2: 48 numbers of each channel are read, 12 written, each from the matrix of 4 x 16."""
    forms = forms_of(nn.Sequential(nn.Conv2d(4, 16, 1, stride=2)), (torch.zeros(1, 4, 8, 6),))

    (form,) = forms["0"]
    assert (form.in_size, form.out_size, form.stride) == ((8, 6), (4, 3), 2)
    assert (form.read, form.written, form.macs) == (4 * 48, 16 * 12, 4 * 16 * 12)


def test_maps_that_a_network_makes_of_one_sample_all_count() -> None:
    """Four windows of 2x2: 16 positions, for the convolution and for the matrix after it."""
    forms = forms_of(Windows(), (torch.zeros(1, 2, 4, 4),))

    assert forms["sight"][0].macs == 16 * 2 * 3
    assert forms["mix"] == (rows(16, 3, 5),)


def test_a_split_form_is_that_of_the_two_layers_it_becomes() -> None:
    """What ``split`` says is what the split network shows when it runs, the stride in the first layer."""
    layer = nn.Conv2d(12, 20, 1, stride=2)
    example = (torch.zeros(1, 12, 9, 7),)
    (whole,) = forms_of(nn.Sequential(layer), example)["0"]

    split = forms_of(nn.Sequential(truncated(layer, rank=5)), example)

    assert (*split["0.0"], *split["0.1"]) == whole.split(5)


def test_looking_leaves_no_hook_behind() -> None:
    """The network runs afterwards as if it had never been looked at."""
    module = Tokens()

    forms = forms_of(module, (torch.zeros(1, 1, 4, 6),))
    module(torch.zeros(1, 1, 4, 6))

    assert len(forms["mix"]) == 2


def test_of_two_inputs_all_layers_are_seen() -> None:
    """Convolutions with other kernels, and those over time, are never split, so nobody asks for theirs."""
    example = tuple(samples[:1] for samples in both_samples())
    assert set(forms_of(both_network(), example)) == {"join", "classifier"}
