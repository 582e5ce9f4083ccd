"""The cost of a layer by hand, and how often a layer's matrix is applied."""

import pytest
import torch
from several import both_network, both_samples
from torch import Tensor, nn

from edgekd.lowrank.cost import CostModel, positions_of


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


def test_the_cost_adds_arithmetic_writing_and_layers() -> None:
    """4 million MACs at 2 GMAC/s take 2000 us, 500 numbers at 4 ns take 2 us, 2 layers at 5 us take 10 us."""
    cost = CostModel(gmacs_per_s=2.0, ns_per_activation=4.0, layer_overhead_us=5.0)

    assert cost.microseconds(macs=4_000_000, activations=500, layers=2) == pytest.approx(2012)


def test_a_matrix_is_applied_at_each_output_position_of_one_sample() -> None:
    """4x6 pixels in patches of 2x2 are 6 positions; the 6 tokens pass the mixing matrix twice; the head sees one."""
    positions = positions_of(Tokens(), (torch.zeros(3, 1, 4, 6),))

    assert positions == {"patches": 6, "mix": 12, "head": 1}


def test_counting_leaves_no_hook_behind() -> None:
    """The network runs afterwards as if it had never been looked at."""
    module = Tokens()

    positions = positions_of(module, (torch.zeros(1, 1, 4, 6),))
    module(torch.zeros(1, 1, 4, 6))

    assert positions["mix"] == 12


def test_positions_of_two_inputs_are_counted_together() -> None:
    """12x12 pixels at stride 2 are 6x6, then 4x4; convolutions over time are never split, so nobody asks for theirs."""
    positions = positions_of(both_network(), both_samples())

    assert positions == {"sight.0": 36, "sight.3": 16, "join": 1, "classifier": 1}
