"""The choice of layers: by cost, with a reason for each."""

from collections.abc import Sequence

import pytest
import torch
from torch import nn

from edgekd.lowrank.choice import Cost, LayerChoice, choose
from edgekd.lowrank.forms import Form


def costing(*, macs: float = 1e-3, written: float = 0.0, layers: float = 0.0) -> Cost:
    """Return the cost in microseconds at these prices: of a product, of a number written, of a layer."""

    def cost_us(forms: Sequence[Form]) -> float:
        return sum(macs * form.macs + written * form.written + layers for form in forms)

    return cost_us


ARITHMETIC = costing()


def of_rank(rank: int, size: int = 64) -> nn.Linear:
    """Return a square layer with *rank* equal singular values and no others."""
    layer = nn.Linear(size, size)
    with torch.no_grad():
        layer.weight.copy_(torch.diag((torch.arange(size) < rank).float()))
    return layer


def rows(layer: nn.Module, count: int = 1) -> tuple[Form, ...]:
    """Return the one use of a linear *layer*, on *count* rows."""
    out_channels, in_channels = layer.weight.shape  # type: ignore[misc]
    size = (count, 1)
    return (
        Form(is_convolution=False, in_channels=in_channels, out_channels=out_channels, in_size=size, out_size=size),
    )


def only(layer: nn.Module, cost: Cost, *, energy: float = 0.99, multiple: int = 8) -> LayerChoice:
    """Return the choice for a network of one layer that is applied once."""
    (choice,) = choose(nn.Sequential(layer), {"0": rows(layer)}, cost, energy=energy, multiple=multiple)
    return choice


def test_a_layer_of_low_rank_is_split_and_both_costs_are_told() -> None:
    """64 x 64 at 1 GMAC/s: 4.096 us whole; two matrices of 8 x 64: 1.024 us."""
    choice = only(of_rank(8), ARITHMETIC)

    assert choice.rank == 8
    assert choice.estimated_cost_us == pytest.approx((4.096, 1.024))
    assert choice.reason == "cost falls: estimated 4.1 -> 1.0 us at rank 8 of 64"


def test_the_price_of_a_further_layer_decides() -> None:
    """3.072 us of arithmetic are saved: a layer may cost less than that, not more."""
    cheap, dear = (costing(layers=overhead) for overhead in (3.0, 3.1))

    assert only(of_rank(8), cheap).rank == 8
    assert only(of_rank(8), dear).rank is None
    assert only(of_rank(8), dear).reason == "cost would not fall: estimated 7.2 -> 7.2 us at rank 8 of 64"


def test_the_price_of_writing_decides_too() -> None:
    """Eight numbers more are written between the two layers: at 384 ns each they eat up the saving."""
    cheap, dear = (costing(written=price) for price in (0.380, 0.388))

    assert only(of_rank(8), cheap).rank == 8
    assert only(of_rank(8), dear).rank is None


@pytest.mark.parametrize(("needed", "multiple", "rank"), [(1, 8, 8), (8, 8, 8), (9, 8, 16), (9, 1, 9), (5, 4, 8)])
def test_the_rank_is_rounded_up_to_the_targets_multiple(needed: int, multiple: int, rank: int) -> None:
    """Never down: less would lose energy that was asked for."""
    assert only(of_rank(needed), ARITHMETIC, energy=1.0, multiple=multiple).rank == rank


def test_energy_below_one_lets_singular_values_go() -> None:
    """Of ten equal values seven hold 70 % of the energy."""
    assert only(of_rank(10), ARITHMETIC, energy=0.69, multiple=1).rank == 7


def test_a_layer_of_full_rank_stays() -> None:
    """Two matrices of 64 x 64 are twice the work; the rank is never rounded above what there is."""
    choice = only(of_rank(60), ARITHMETIC, energy=1.0, multiple=48)

    assert choice.rank is None
    assert choice.estimated_cost_us == pytest.approx((4.096, 8.192))


def test_every_linear_and_convolution_layer_gets_a_reason() -> None:
    """In the network's order; norms and activations are no candidates."""
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.BatchNorm2d(8),
        nn.Conv2d(8, 8, 1, groups=2),
        nn.Conv2d(8, 8, 1, padding=1),
        nn.ReLU(),
        nn.Linear(8, 2),
        of_rank(8),
        of_rank(8),
    )

    forms = {path: rows(network.get_submodule(path)) for path in ("5", "6")}

    choices = choose(network, forms, ARITHMETIC, energy=0.99, multiple=8)

    assert {choice.path: choice.reason for choice in choices} == {
        "0": "kernel 3x3; only 1x1 is split by plain SVD",
        "2": "grouped convolution (2 groups)",
        "3": "a padded 1x1 convolution ((1, 1))",
        "5": "cost would not fall: estimated 0.0 -> 0.0 us at rank 2 of 2",
        "6": "cost falls: estimated 4.1 -> 1.0 us at rank 8 of 64",
        "7": "not used in the forward pass",
    }
    assert [choice.path for choice in choices if choice.rank is not None] == ["6"]


def test_a_layer_that_is_used_twice_costs_twice() -> None:
    """Whole and split: one layer each time, then two."""
    layer = of_rank(8)

    (choice,) = choose(nn.Sequential(layer), {"0": rows(layer) * 2}, costing(layers=1.0), energy=0.99, multiple=8)

    assert choice.estimated_cost_us == pytest.approx((2 * (4.096 + 1), 2 * (1.024 + 2)))


def test_a_cost_that_falls_while_arithmetic_rises_is_no_reason_to_split() -> None:
    """Two matrices at full rank are twice the products: the stage promises not to add any, whatever they cost."""
    choice = only(of_rank(64), lambda forms: -float(len(forms)), energy=1.0)

    assert choice.rank is None
    assert choice.reason.startswith("arithmetic would rise: estimated -1.0 -> -2.0 us at rank 64 of 64")


def test_positions_multiply_work_but_not_layers() -> None:
    """Applied at 100 positions, the same layer pays although a layer costs 3.1 us."""
    layer = of_rank(8)

    (choice,) = choose(nn.Sequential(layer), {"0": rows(layer, 100)}, costing(layers=3.1), energy=0.99, multiple=8)

    assert choice.rank == 8
    assert choice.estimated_cost_us == pytest.approx((409.6 + 3.1, 102.4 + 6.2))
