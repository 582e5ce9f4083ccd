"""What the time of a kernel depends on: the amounts that cost something each, and the features of what is left.

Both are of a kernel in its network; which family it belongs to says whose costs they are.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import msgspec
import numpy as np

from edgekd.predict.gaussian import Rows
from edgekd.predict.kernels import TRANSPOSITIONS
from edgekd.predict.layers import Layer

BLOCK: Final = 16
"""Channels that a register of 512 bits holds, or four of 128; of eight bits, one of 128."""
_REGISTERS: Final = (16, 8, 4)
"""Channels that kernels compute at once, the wide registers first; what fills none is computed one by one."""
_PACKED: Final = 4
"""Products of eight bits that are summed at once: inputs are packed by so many."""
_CACHED_BYTES: Final = 2e5
"""Networks smaller than this are alike: all of them stay in the first caches."""


class Kernel(msgspec.Struct, frozen=True, kw_only=True):
    """A kernel in its network: its layer, and the bytes of all weights and of all activations there."""

    layer: Layer
    network_weight_bytes: int
    network_activation_bytes: int


def in_network(layers: Sequence[Layer]) -> tuple[Kernel, ...]:
    """Return the *layers* of one network as kernels."""
    size = {layer.precision: 1 if layer.precision == "int8" else 4 for layer in layers}
    weights = sum(layer.weights * size[layer.precision] for layer in layers)
    activations = sum(layer.written * size[layer.precision] for layer in layers)
    return tuple(
        Kernel(layer=layer, network_weight_bytes=weights, network_activation_bytes=activations) for layer in layers
    )


def family_of(layer: Layer) -> str:
    """Return the name of the family of *layer*: its operator, its kind, and what makes the runtime go another way."""
    form = ""
    if layer.kind == "dense" and layer.in_channels < BLOCK:
        form = " of few channels"
    elif layer.kind == "depthwise":
        form = _depthwise(layer)
    elif layer.kind == "linear" and layer.in_size[0] == 1:
        form = " of one row"
    elif layer.operator in TRANSPOSITIONS:
        form = _turned(layer)
    width = " in int8" if layer.precision == "int8" and layer.operator in _EITHER else ""
    return f"{layer.operator}, {layer.kind}{form}{width}"


def _depthwise(layer: Layer) -> str:
    """Return which way a depthwise convolution takes: its own kernels write as many channels as they read."""
    if layer.out_channels != layer.in_channels:
        return " with a multiplier"
    return " of 3x3" if layer.operator in _UNBLOCKED and layer.kernel == (3, 3) else ""


def _turned(layer: Layer) -> str:
    """Return which way a transposition takes: rows that stay whole, one matrix, many, or nothing that moves."""
    if layer.kernel == (1, 1):
        return " of nothing"
    if layer.in_channels > 1:
        return " of rows"
    return " of many matrices" if layer.in_size[0] > math.prod(layer.kernel) else ""


def kind_of(layer: Layer) -> str:
    """Return the name of the family of all layers of the kind of *layer*."""
    return f"any {layer.kind} in {layer.precision}"


def amounts(kernels: Sequence[Kernel]) -> Rows:
    """Return what costs at a constant rate (n, terms): a kernel itself, and millions of each of the rest."""
    return np.array([_amounts_of(kernel.layer) for kernel in kernels])


def _amounts_of(layer: Layer) -> list[float]:
    """Return one, products, padded too, weights, numbers read, written, in windows, in patches, beside registers."""
    given, made = layer.in_channels / layer.groups, layer.out_channels / layer.groups
    padded = math.prod(math.ceil(count / BLOCK) * BLOCK / max(count, 1) for count in (given, made))
    windows = layer.written * math.prod(layer.kernel) if layer.kind == "pooling" else 0
    patches = layer.macs / made if layer.kind in {"dense", "grouped"} else 0
    by_lane = layer.macs if layer.kind == "depthwise" else windows
    wide, half, least = (_beside(_lanes(layer), register) for register in _REGISTERS)
    requantized = layer.written if layer.macs else 0
    packed = layer.macs / made if layer.macs and layer.kind != "depthwise" and given % _PACKED else 0
    found = (
        *(layer.macs, layer.macs * padded, layer.weights, layer.read, layer.written, windows, patches, packed),
        *(by_lane * wide, by_lane * half, requantized * wide, requantized * least),
    )
    return [1.0, *(amount * 1e-6 for amount in found)]


def features(kernels: Sequence[Kernel]) -> Rows:
    """Return what the smooth function of a family depends on (n, features)."""
    return np.array(
        [
            [
                *_FEATURES.get(kernel.layer.kind, _passing)(kernel.layer),
                math.log(kernel.network_weight_bytes + _CACHED_BYTES),
                math.log(kernel.network_activation_bytes + _CACHED_BYTES),
            ]
            for kernel in kernels
        ]
    )


def _log(number: float) -> float:
    return math.log(max(number, 1))


def _lanes(layer: Layer) -> float:
    """Return how many channels lie side by side where results are computed: in a depthwise kernel, all."""
    return layer.out_channels if layer.kind == "depthwise" else layer.out_channels / layer.groups


def _beside(channels: float, register: int) -> float:
    """Return which part of *channels* does not fill a register of so many."""
    return channels % register / max(channels, 1)


def _convolution(layer: Layer) -> list[float]:
    given, made = layer.in_channels / layer.groups, layer.out_channels / layer.groups
    maps_read = layer.read / max(1, math.prod(layer.in_size) * layer.in_channels)
    sizes = (given, made, *layer.out_size, *layer.kernel, layer.stride, layer.groups, maps_read)
    unfilled = [_lanes(layer) % register / register for register in _REGISTERS]
    inner = [] if layer.kind == "depthwise" else [given % BLOCK / BLOCK, given % _PACKED / _PACKED]
    return [*map(_log, sizes), *unfilled, *inner]


def _product(layer: Layer) -> list[float]:
    sizes = (layer.in_channels, layer.out_channels, layer.out_size[0], layer.groups)
    return [*map(_log, sizes), layer.out_channels % BLOCK / BLOCK]


def _passing(layer: Layer) -> list[float]:
    sizes = (layer.read, layer.written, layer.in_channels, layer.out_channels, *layer.kernel, layer.stride)
    return [*map(_log, sizes), layer.in_channels % BLOCK / BLOCK]


_EITHER: Final = frozenset(
    {
        *("Concat", "Flatten", "Gather", "MaxPool", "Pad", "Reshape", "Resize", "Slice", "Split", "Squeeze"),
        *("Unsqueeze", *TRANSPOSITIONS),
    }
)
"""Operators whose kernels take numbers of four bytes and of one."""
_UNBLOCKED: Final = frozenset({"Conv", "com.microsoft.FusedConv"})
"""Convolutions over maps one after the other, with a kernel of their own for a small window."""

_FEATURES: Final[Mapping[str, Callable[[Layer], list[float]]]] = MappingProxyType(
    {
        **dict.fromkeys(("dense", "pointwise", "grouped", "depthwise", "transposed"), _convolution),
        **dict.fromkeys(("linear", "product"), _product),
    }
)
