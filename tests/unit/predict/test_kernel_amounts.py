"""What a kernel's time depends on, by hand."""

import numpy as np
import pytest

from edgekd.predict.kernel_amounts import amounts, family_of, features, in_network
from edgekd.predict.layers import Kind, Layer

ONE, PRODUCTS, PADDED, WEIGHTS, READ, WRITTEN, WINDOWS, PATCHES, PACKED, WIDE, HALF, WRITTEN_WIDE, WRITTEN_LEAST = (
    range(13)
)


def convolution(kind: Kind, given: int, made: int, *, groups: int = 1, kernel: int = 3, side: int = 10) -> Layer:
    """Return an integer convolution of stride 1 over a square."""
    weights = given // groups * made * kernel**2
    return Layer(
        name="conv",
        operator="com.microsoft.QLinearConv",
        kind=kind,
        in_channels=given,
        out_channels=made,
        kernel=(kernel, kernel),
        groups=groups,
        in_size=(side, side),
        out_size=(side, side),
        macs=weights * side**2,
        weights=weights,
        read=given * side**2,
        written=made * side**2,
        precision="int8",
    )


def turned(channels: int, moved: tuple[int, int], numbers: int) -> Layer:
    """Return a transposition as ``kernel_layer`` says it: what stays as channels, what moves as kernel."""
    return Layer(
        name="turned",
        operator="Transpose",
        kind="movement",
        in_channels=channels,
        out_channels=channels,
        kernel=moved,
        in_size=(numbers // channels, 1),
        out_size=(numbers // channels, 1),
        read=numbers,
        written=numbers,
        precision="int8",
    )


def test_a_depthwise_kernel_computes_one_by_one_what_fills_no_register() -> None:
    """Of 24 channels 8 are beside a register of 16, none beside one of 8: a third of 24 x 9 x 100 products."""
    row = amounts(in_network([convolution("depthwise", 24, 24, groups=24)]))[0]
    assert row[ONE] == 1
    assert row[PRODUCTS] == pytest.approx(21_600e-6)
    assert row[WIDE] == pytest.approx(7_200e-6)
    assert row[HALF] == 0
    assert row[PATCHES] == row[PACKED] == 0


def test_a_dense_kernel_copies_patches_and_rounds_the_rest_of_its_channels() -> None:
    """Of 18 channels written 2 are beside a register, wide or small; 3 read fill no packet: 27 x 100 copies."""
    row = amounts(in_network([convolution("dense", 3, 18)]))[0]
    assert row[PATCHES] == row[PACKED] == pytest.approx(2_700e-6)
    assert row[WRITTEN_WIDE] == row[WRITTEN_LEAST] == pytest.approx(200e-6)
    assert row[WIDE] == 0


def test_full_registers_leave_nothing_beside() -> None:
    """32 channels to 64 fill registers and packets."""
    row = amounts(in_network([convolution("pointwise", 32, 64, kernel=1)]))[0]
    assert row[PACKED] == row[WIDE] == row[HALF] == row[WRITTEN_WIDE] == row[WRITTEN_LEAST] == row[PATCHES] == 0
    assert row[PADDED] == row[PRODUCTS]


def test_a_transposition_is_of_the_family_of_its_way() -> None:
    """One matrix, many small ones, rows that stay whole, nothing: of four families, which cost 1 to 50 for a number."""
    ways = {
        "one": turned(1, (16, 3136), 50_176),
        "many": turned(1, (2, 58), 58 * 2 * 784),
        "rows": turned(32, (14, 144), 64_512),
        "nothing": turned(1, (1, 1), 64_512),
    }
    assert len({family_of(layer) for layer in ways.values()}) == len(ways)
    assert family_of(ways["many"]) == "Transpose, movement of many matrices in int8"


def test_a_depthwise_kernel_that_multiplies_channels_is_of_another_family() -> None:
    """No kernel of its own computes it: it costs as a grouped one, tens of times as much."""
    names = {family_of(convolution("depthwise", 24, made, groups=24)) for made in (24, 48)}
    assert len(names) == 2


def test_kernels_of_a_family_have_as_many_features() -> None:
    """Whatever their sizes; otherwise no function could be learned through them."""
    for kind, groups in (("dense", 1), ("depthwise", 24), ("grouped", 3)):
        layers = [convolution(kind, 24, 24, groups=groups, side=side) for side in (5, 50)]  # type: ignore[arg-type]
        apart = [features(in_network([layer])) for layer in layers]
        assert apart[0].shape == apart[1].shape
        assert np.array_equal(features(layers_together := in_network(layers))[:, :-2], np.vstack(apart)[:, :-2])
        assert len(layers_together) == len(layers)
