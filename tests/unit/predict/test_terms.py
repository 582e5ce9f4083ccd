"""Amounts of terms: worked out by hand for a layer of each kind."""

import msgspec
import numpy as np
import pytest

from edgekd.predict.layers import Kind, Layer
from edgekd.predict.terms import TERMS, amounts_of

NOTHING = Layer(
    name="l", operator="Op", kind="movement", in_channels=1, out_channels=1, in_size=(1, 1), read=0, written=0
)


def layer(kind: Kind, **fields: object) -> Layer:
    """Return a layer that reads and writes nothing unless *fields* say so."""
    return msgspec.structs.replace(NOTHING, kind=kind, **fields)


def amounts(of: Layer) -> dict[str, float]:
    """Return the terms of one layer that are not zero."""
    (row,) = amounts_of([of])
    return {term.name: float(amount) for term, amount in zip(TERMS, row, strict=True) if amount}


def test_a_pointwise_convolution_multiplies_and_moves() -> None:
    """8 to 16 channels on 4x4: 2048 products, 128 numbers read, 256 written."""
    one = layer("pointwise", in_channels=8, out_channels=16, out_size=(4, 4), macs=2048, read=128, written=256)
    assert amounts(one) == {"layers": 1, "pointwise_products": 2048, "numbers": 384}


def test_channels_that_fill_no_vector_cost_more() -> None:
    """58 channels are not a multiple of four."""
    one = layer("pointwise", in_channels=8, out_channels=58, out_size=(1, 1), macs=464, read=8, written=58)
    assert amounts(one)["ragged_products"] == 464


def test_winograd_pays_for_whole_tiles() -> None:
    """7x7 outputs are four tiles of 4x4: 4 * 36 products for each pair of channels."""
    one = layer("dense", in_channels=8, out_channels=16, kernel=(3, 3), out_size=(7, 7), macs=49 * 9 * 8 * 16)
    assert amounts(one) == {
        "layers": 1,
        "winograd_products": 4 * 36 * 8 * 16,
        "winograd_numbers": 4 * 36 * (8 + 16),
    }


def test_a_strided_kernel_is_multiplied_as_patches() -> None:
    """3x3 with stride 2 writes each patch of 9 * 8 numbers once for each of 16 positions."""
    one = layer(
        "dense",
        in_channels=8,
        out_channels=4,
        kernel=(3, 3),
        stride=2,
        out_size=(4, 4),
        macs=4608,
        read=648,
        written=64,
    )
    assert amounts(one) == {"layers": 1, "dense_products": 4608, "numbers": 712, "patch_numbers": 9 * 8 * 16}


def test_a_depthwise_convolution_has_prices_of_its_own() -> None:
    """Its products are no matrix product."""
    one = layer(
        "depthwise", in_channels=8, out_channels=8, groups=8, kernel=(3, 3), stride=2, macs=288, read=128, written=32
    )
    assert amounts(one) == {
        "layers": 1,
        "depthwise_layers": 1,
        "depthwise_products": 288,
        "strided_depthwise_products": 288,
        "depthwise_numbers": 160,
    }


def test_a_matrix_times_a_vector_is_bound_by_its_weights() -> None:
    """One row and many rows are different work."""
    one = layer("linear", in_channels=8, out_channels=4, macs=32, read=8, written=4)
    many = layer("linear", in_channels=8, out_channels=4, out_size=(5, 1), macs=160, read=40, written=20)
    assert amounts(one) == {"layers": 1, "vector_products": 32}
    assert amounts(many) == {"layers": 1, "pointwise_products": 160, "numbers": 60}


def test_what_passes_over_numbers_costs_what_it_moves() -> None:
    """A function costs for each value, a maximum for each value in its window."""
    assert amounts(layer("elementwise", operator="Add", read=20, written=10)) == {
        "light_layers": 1,
        "moved_numbers": 30,
    }
    assert amounts(layer("elementwise", operator="Sigmoid", read=10, written=10))["function_values"] == 10
    assert amounts(layer("pooling", operator="MaxPool", kernel=(3, 3), read=40, written=10))["pooled_values"] == 90


@pytest.mark.parametrize("of", ["dense", "pointwise", "grouped", "depthwise", "transposed", "linear", "recurrent"])
def test_more_work_is_never_less(of: Kind) -> None:
    """Amounts of a layer with more products, reads and writes are at least those of the smaller one."""
    small = layer(of, in_channels=8, out_channels=8, macs=1000, read=100, written=100)
    large = layer(of, in_channels=8, out_channels=8, macs=2000, read=200, written=200)
    assert np.all(amounts_of([large]) >= amounts_of([small]))


def test_no_layers_have_no_amounts() -> None:
    """The table of nothing is empty, with its columns."""
    assert amounts_of([]).shape == (0, len(TERMS))
