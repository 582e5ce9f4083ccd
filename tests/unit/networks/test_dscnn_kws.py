"""The keyword-spotting network against MLPerf Tiny's figures and TensorFlow's rule of padding."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from edgekd.networks.counting import count_macs, count_parameters
from edgekd.networks.dscnn_kws import dscnn_kws, same_padding

SECOND = (1, 49, 10)
Check = Callable[[nn.Module, tuple[int, ...]], None]


def test_parameters_after_folding_are_the_published_ones() -> None:
    """22,604: gamma and beta of a norm become the one bias of its convolution, so a norm leaves half of itself."""
    module = dscnn_kws()
    norms = sum(layer.num_features for layer in module.modules() if isinstance(layer, nn.BatchNorm2d))
    by_hand = (10 * 4 * 64 + 64) + 4 * ((9 * 64 + 64) + (64 * 64 + 64)) + (64 * 12 + 12)

    assert count_parameters(module) - norms == by_hand == 22_604


def test_macs_are_the_published_ones() -> None:
    """2.66 M: 49x10 values become 25x5 positions, at all of which all convolutions work."""
    by_hand = 25 * 5 * (10 * 4 * 64 + 4 * (9 * 64 + 64 * 64)) + 64 * 12

    assert count_macs(dscnn_kws(), SECOND) == by_hand
    assert round(by_hand / 1e6, 2) == 2.66


def test_padding_is_tensorflows() -> None:
    """49 steps with a kernel of 10 need nine zeros, 10 coefficients with one of 4 need two; the odd zero comes last."""
    assert same_padding(49, kernel=10, stride=2) == (4, 5)
    assert same_padding(10, kernel=4, stride=2) == (1, 1)


@given(size=st.integers(1, 60), kernel=st.integers(1, 12), stride=st.integers(1, 4))
def test_padding_gives_one_output_for_each_stride(size: int, kernel: int, stride: int) -> None:
    """Counted by walking the kernel over the padded values; before and after differ by one at most."""
    before, after = same_padding(size, kernel=kernel, stride=stride)

    places = len(range(0, before + size + after - kernel + 1, stride))

    assert places == len(range(0, size, stride))
    assert 0 <= after - before <= 1


def test_spectra_of_any_size_give_one_logit_for_each_class() -> None:
    """Also with two channels and another width."""
    module = dscnn_kws(classes=7, channels=2, width=8, blocks=1).eval()

    assert module(torch.zeros(3, 2, 31, 13)).shape == (3, 7)


def test_it_can_be_pruned(prunes: Check) -> None:
    """Depthwise channels go with those of the pointwise convolution before."""
    prunes(dscnn_kws(), SECOND)


@pytest.mark.slow
def test_onnx_runtime_answers_as_torch_does(ships: Check) -> None:
    """The uneven padding is exported as it is."""
    ships(dscnn_kws(classes=10), SECOND)
