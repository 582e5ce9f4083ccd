"""What a kernel costs on one machine, learned from kernels that were timed there.

Each family of kernels (operator and kind) has its own function: arithmetic and traffic at constant rates, found by
non-negative least squares of relative errors, times a smooth function of the logarithms of its sizes.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import msgspec
import numpy as np
from scipy.optimize import nnls

from edgekd.predict.gaussian import Process, Rows, Scales, choose_scales, learn
from edgekd.predict.layers import Layer

LEAST_KERNELS: Final = 8
"""Fewer than these of a family say too little for a function of their own."""
BLOCK: Final = 16
"""Channels that one register of 512 bits holds; padding to it is a feature, whatever the machine."""


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """How kernels of one family cost: *rates* by term of ``_terms`` in microseconds, and scales of what is left."""

    rates: tuple[float, ...]
    scales: Scales


def family_of(layer: Layer) -> str:
    """Return the name of the family of *layer*."""
    form = ""
    if layer.kind == "dense" and layer.in_channels < BLOCK:
        form = " of few channels"
    elif layer.kind == "linear" and layer.in_size[0] == 1:
        form = " of one row"
    return f"{layer.operator}, {layer.kind}{form}"


def features(layer: Layer) -> Rows:
    """Return what a family's smooth function depends on."""
    return np.array(_FEATURES.get(layer.kind, _passing)(layer))


def terms(layer: Layer) -> Rows:
    """Return what costs at a constant rate: a kernel itself, arithmetic with padded channels, numbers moved."""
    per_group = (layer.in_channels / layer.groups, layer.out_channels / layer.groups)
    padded = math.prod(math.ceil(count / BLOCK) * BLOCK / max(count, 1) for count in per_group)
    window = math.prod(layer.kernel)
    return np.array(
        [
            1.0,
            layer.macs * 1e-6,
            layer.macs * (padded if layer.kind != "depthwise" else 1.0) * 1e-6,
            layer.weights * 1e-6,
            layer.read * 1e-6,
            layer.written * 1e-6,
            (layer.written * window if not layer.macs else 0) * 1e-6,
        ]
    )


def fit_family(layers: Sequence[Layer], times_us: Rows) -> Family:
    """Return the family that *layers* with their times make."""
    matrix = np.stack([terms(layer) for layer in layers])
    weighted = matrix / times_us[:, None]
    size = weighted.max(axis=0)
    used = np.where(size > 0, size, 1.0)
    rates = nnls(weighted / used, np.ones(len(layers)))[0] / used
    rates[0] = max(rates[0], 0.1 * float(times_us.min()))
    rest = np.log(times_us) - np.log(matrix @ rates)
    scales = choose_scales(np.stack([features(layer) for layer in layers]), rest)
    return Family(rates=tuple(rates.tolist()), scales=scales)


class Learned(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A family with the process through its kernels."""

    rates: Rows
    process: Process

    def at(self, layers: Sequence[Layer]) -> tuple[Rows, Rows]:
        """Return microseconds and relative standard deviation of each of *layers*."""
        rest, spread = self.process.at(np.stack([features(layer) for layer in layers]))
        base = np.stack([terms(layer) for layer in layers]) @ self.rates
        return base * np.exp(rest), spread


def learned(family: Family, layers: Sequence[Layer], times_us: Rows) -> Learned:
    """Return *family* with the process through the times of *layers*."""
    rates = np.array(family.rates)
    base = np.stack([terms(layer) for layer in layers]) @ rates
    points = np.stack([features(layer) for layer in layers])
    return Learned(rates=rates, process=learn(points, np.log(times_us) - np.log(base), family.scales))


def _log(number: float) -> float:
    return math.log(max(number, 1))


def _convolution(layer: Layer) -> list[float]:
    return [
        _log(layer.in_channels / layer.groups),
        _log(layer.out_channels / layer.groups),
        _log(layer.out_size[0]),
        _log(layer.out_size[1]),
        _log(layer.kernel[0]),
        _log(layer.kernel[1]),
        _log(layer.stride),
        _log(layer.groups),
        (layer.in_channels / layer.groups) % BLOCK / BLOCK,
        (layer.out_channels / layer.groups) % BLOCK / BLOCK,
        _log(layer.read / math.prod(layer.in_size) / layer.in_channels),
    ]


def _product(layer: Layer) -> list[float]:
    return [
        _log(layer.in_channels),
        _log(layer.out_channels),
        _log(layer.out_size[0]),
        _log(layer.groups),
        layer.out_channels % BLOCK / BLOCK,
    ]


def _passing(layer: Layer) -> list[float]:
    return [
        _log(layer.read),
        _log(layer.written),
        _log(layer.in_channels),
        _log(layer.out_channels),
        _log(math.prod(layer.kernel)),
        _log(layer.stride),
    ]


_FEATURES: Final[Mapping[str, Callable[[Layer], list[float]]]] = MappingProxyType(
    {
        **dict.fromkeys(("dense", "pointwise", "grouped", "depthwise"), _convolution),
        **dict.fromkeys(("linear", "product"), _product),
    }
)
