"""What the planner pays for a layer: by hand, and as `edgekd predict` has it for the exported network."""

import math

import numpy as np
import pytest
import torch
from samples import random_task
from torch import Tensor, nn

from edgekd.export.exporter import export_onnx
from edgekd.lowrank.choice import choose
from edgekd.lowrank.forms import Form, forms_of
from edgekd.lowrank.svd import truncated
from edgekd.networks.edits import replace_module
from edgekd.predict.estimate import estimate
from edgekd.predict.fitted import published_errors, published_makeups
from edgekd.predict.graph_layers import layers_of
from edgekd.predict.layers import Layer, Precision
from edgekd.predict.likeness import corrections, distances, makeup
from edgekd.stages.layer_cost import microseconds
from edgekd.stages.pricing import layer_prices
from edgekd.stages.settings import LayerPrices
from edgekd.targets import load_target

PRICES = LayerPrices(pointwise_products=1, ragged_products=3, vector_products=5, numbers=10, layers=1000)
SHAPE = (3, 16, 12)


def convolution(in_channels: int, out_channels: int, *, stride: int = 1, out_size: tuple[int, int] = (2, 3)) -> Form:
    """Return a 1x1 convolution that writes *out_size*."""
    height, width = out_size
    return Form(
        is_convolution=True,
        in_channels=in_channels,
        out_channels=out_channels,
        stride=stride,
        in_size=(height * stride, width * stride),
        out_size=out_size,
    )


def linear(rows: int, in_channels: int, out_channels: int) -> Form:
    """Return a linear layer on *rows* rows."""
    size = (rows, 1)
    return Form(is_convolution=False, in_channels=in_channels, out_channels=out_channels, in_size=size, out_size=size)


@pytest.mark.parametrize(
    ("form", "nanoseconds"),
    [
        # 6 positions: 6*4*8 products, 6*4 numbers read and 6*8 written, a layer.
        (convolution(4, 8), 192 + 10 * (24 + 48) + 1000),
        # At stride 2 a quarter of what is there is read.
        (convolution(4, 8, stride=2), 192 + 10 * (24 + 48) + 1000),
        # 6 channels are no multiple of four: each product costs 1 + 3.
        (convolution(4, 6), 144 * 4 + 10 * (24 + 36) + 1000),
        (convolution(6, 4), 144 * 4 + 10 * (36 + 24) + 1000),
        (linear(6, 4, 8), 192 + 10 * (24 + 48) + 1000),
        (linear(6, 5, 8), 240 * 4 + 10 * (30 + 48) + 1000),
        # One row: reading the matrix takes the time, and what is read and written besides is nothing.
        (linear(1, 5, 8), 40 * 5 + 1000),
    ],
)
def test_a_layer_costs_its_amounts_times_their_prices(form: Form, nanoseconds: float) -> None:
    """By hand, for each way in which a matrix is multiplied."""
    assert microseconds(PRICES, [form]) == pytest.approx(nanoseconds / 1e3)


def test_layers_add_up() -> None:
    """Two forms cost what each costs by itself."""
    forms = convolution(4, 8), linear(1, 5, 8)
    assert microseconds(PRICES, forms) == pytest.approx(sum(microseconds(PRICES, [form]) for form in forms))


def test_a_layer_is_split_where_that_is_cheaper_by_hand() -> None:
    """16 to 16 channels on 100 rows at rank 4.

    Whole: 25,600 products, 3,200 numbers, a layer. Split: 12,800 products, 4,000 numbers, two layers. A layer may cost
    12,800 ns less 800 times what a number costs: at 10 ns that is 4,800 ns.
    """
    layer = nn.Linear(16, 16)
    with torch.no_grad():
        layer.weight.copy_(torch.diag((torch.arange(16) < 4).float()))
    for price, rank in ((4_790, 4), (4_810, None)):
        prices = LayerPrices(pointwise_products=1, ragged_products=3, vector_products=5, numbers=10, layers=price)
        (choice,) = choose(
            nn.Sequential(layer),
            {"0": (linear(100, 16, 16),)},
            lambda forms, prices=prices: microseconds(prices, forms),  # type: ignore[misc]
            energy=0.99,
            multiple=4,
        )
        assert choice.rank == rank
        assert choice.estimated_cost_us == pytest.approx(((28.8 + 28.8) + price / 1e3, 52.8 + 2 * price / 1e3))


class Mixed(nn.Module):
    """Every way in which a layer can be split: strided, ragged, over rows, on one row, used twice."""

    def __init__(self) -> None:
        """Make the layers."""
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU())
        self.strided, self.ragged = nn.Conv2d(16, 24, 1, stride=2), nn.Conv2d(24, 30, 1, bias=False)
        self.tokens, self.mix, self.back = nn.Linear(30, 32), nn.Linear(32, 32), nn.Linear(32, 26)
        self.head = nn.Linear(26, 10)

    def forward(self, images: Tensor) -> Tensor:
        """Map (batch, 3, height, width) to (batch, 10)."""
        maps = torch.relu(self.ragged(torch.relu(self.strided(self.stem(images)))))
        tokens = self.tokens(maps.flatten(2).transpose(1, 2))
        mixed = self.back(torch.relu(self.mix(torch.relu(self.mix(tokens)))))
        logits: Tensor = self.head(mixed.mean(1))
        return logits


def predicted_us(module: nn.Module, target: str, precision: Precision) -> list[float]:
    """Return what ``edgekd predict`` says of each layer with a matrix, without its correction by networks alike."""
    facts = load_target(target)
    layers: tuple[Layer, ...] = layers_of(export_onnx(module, random_task(10, *SHAPE)), where="here")
    threads, cluster = facts.benchmark.threads, facts.benchmark.cluster
    found = estimate(layers, facts, network="here", precision=precision, threads=threads, cluster=cluster)
    distance = distances(makeup(layers)[None], published_makeups(precision))
    factor = float(np.exp(corrections(distance, published_errors(precision, threads))[0]))
    return sorted(
        1e3 * factor * layer.estimated_ms for layer in found.estimated_layers if layer.kind in {"pointwise", "linear"}
    )


@pytest.mark.parametrize("rank", [None, 7, 8])
@pytest.mark.parametrize(
    ("target", "precision"),
    [("raspberry-pi-4", "int8"), ("raspberry-pi-4", "fp32"), ("raspberry-pi-5", "int8"), ("x86-64", "fp32")],
)
def test_the_planner_pays_what_predict_says(target: str, precision: Precision, rank: int | None) -> None:
    """For every layer of an exported network, whole or split: the forms seen in torch cost what those in ONNX cost."""
    module = Mixed().eval()
    if rank is not None:
        for path in ("strided", "ragged", "tokens", "mix", "back", "head"):
            replace_module(module, path, truncated(module.get_submodule(path), rank=rank))
    prices = layer_prices(load_target(target), precision).prices_ns
    forms = forms_of(module, (torch.zeros(1, *SHAPE),))

    paid = sorted(microseconds(prices, [form]) for used in forms.values() for form in used)

    assert len(paid) == (7 if rank is None else 14)
    assert paid == pytest.approx(predicted_us(module, target, precision), rel=5e-4)


def test_a_split_form_is_priced_as_the_split_network_is_predicted() -> None:
    """What the choice compares with, before anything is split, is what predict says of the network afterwards."""
    module = Mixed().eval()
    prices = layer_prices(load_target("raspberry-pi-4"), "int8").prices_ns
    forms = forms_of(module, (torch.zeros(1, *SHAPE),))
    expected = sum(microseconds(prices, form.split(8)) for used in forms.values() for form in used)
    for path in forms:
        replace_module(module, path, truncated(module.get_submodule(path), rank=8))

    assert math.fsum(predicted_us(module, "raspberry-pi-4", "int8")) == pytest.approx(expected, rel=5e-4)
