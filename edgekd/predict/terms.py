"""What a layer's time is made of: amounts that each cost something, whatever the processor.

A group of published points has a price for each term; the time of a network is the sum of amounts times prices. The
terms are those of CPU kernels: products by the way they are computed, numbers that are read and written, layers.
"""

import math
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgekd.predict.layers import Layer, Precision

TermClass = Literal["products", "numbers", "depthwise", "weights", "functions", "layers"]


class Term(msgspec.Struct, frozen=True, kw_only=True):
    """An amount: its *unit_price_ns* on a core of 10^10 products per second, and the class whose prices go together."""

    name: str
    of: TermClass
    unit_price_ns: float


TERMS: Final = (
    Term(name="pointwise_products", of="products", unit_price_ns=0.1),
    Term(name="ragged_products", of="products", unit_price_ns=0.2),
    Term(name="dense_products", of="products", unit_price_ns=0.12),
    Term(name="image_products", of="products", unit_price_ns=0.15),
    Term(name="winograd_products", of="products", unit_price_ns=0.1),
    Term(name="ragged_winograd_products", of="products", unit_price_ns=0.15),
    Term(name="winograd_numbers", of="numbers", unit_price_ns=0.4),
    Term(name="patch_numbers", of="numbers", unit_price_ns=0.5),
    Term(name="numbers", of="numbers", unit_price_ns=0.5),
    Term(name="moved_numbers", of="numbers", unit_price_ns=0.4),
    Term(name="depthwise_numbers", of="numbers", unit_price_ns=0.5),
    Term(name="depthwise_products", of="depthwise", unit_price_ns=0.25),
    Term(name="strided_depthwise_products", of="depthwise", unit_price_ns=0.1),
    Term(name="ragged_depthwise_products", of="depthwise", unit_price_ns=0.2),
    Term(name="vector_products", of="weights", unit_price_ns=0.5),
    Term(name="function_values", of="functions", unit_price_ns=2.0),
    Term(name="pooled_values", of="functions", unit_price_ns=0.5),
    Term(name="layers", of="layers", unit_price_ns=20_000.0),
    Term(name="depthwise_layers", of="layers", unit_price_ns=10_000.0),
    Term(name="light_layers", of="layers", unit_price_ns=10_000.0),
    Term(name="convolution_groups", of="layers", unit_price_ns=3_000.0),
)
"""The prices are where a fit starts: rough ratios of arithmetic, caches and memory, the same for every group."""

_INDEX: Final[Mapping[str, int]] = MappingProxyType({term.name: index for index, term in enumerate(TERMS)})
_VECTOR: Final = 4
"""Kernels compute four channels at once; other numbers of channels fall back to one."""
_HALF_VECTOR: Final = 8
_IMAGE_CHANNELS: Final = 4
_WINOGRAD_CHANNELS: Final = 8
_TILE: Final = 4
_TILE_PRODUCTS: Final = 36
"""Winograd's F(4x4, 3x3): 36 products give 16 outputs (Lavin and Gray 2015)."""
_LRN_PASSES: Final = 5
_FUNCTIONS: Final = frozenset(
    {"Celu", "Cos", "Elu", "Erf", "Exp", "Gelu", "HardSigmoid", "HardSwish", "Log", "Mish", "Pow", "Selu"}
    | {"Sigmoid", "Sin", "Softplus", "Softsign", "Sqrt", "Swish", "Tanh"}
)


def amounts_of(layers: Iterable[Layer], precision: Precision) -> NDArray[np.float64]:
    """Return the amounts (layers, terms) of each layer, in the order of ``TERMS``; prices are nanoseconds of one.

    In half *precision* Winograd's kernels compute eight channels at once, and what does not fill them is ragged.
    """
    ragged = _INDEX["ragged_winograd_products"]
    rows = []
    for layer in layers:
        row = np.zeros(len(TERMS))
        for name, amount in amounts_by_name(layer).items():
            row[_INDEX[name]] += amount
        if precision == "fp16" and layer.out_channels // layer.groups % _HALF_VECTOR:
            row[ragged] = row[_INDEX["winograd_products"]]
        rows.append(row)
    return np.array(rows).reshape(-1, len(TERMS))


def amounts_by_name(layer: Layer) -> Mapping[str, float]:
    """Return the amounts of *layer* by the names of their terms, as in every precision but half."""
    return _AMOUNTS[layer.kind](layer)


def _convolution(layer: Layer) -> Mapping[str, float]:
    """Return the amounts of a convolution over all channels of each of its groups."""
    inputs, outputs = layer.in_channels // layer.groups, layer.out_channels // layer.groups
    positions = math.prod(layer.out_size)
    found: dict[str, float] = {"layers": 1}
    if layer.groups > 1:
        found["convolution_groups"] = layer.groups
    if layer.kernel == (3, 3) and layer.stride == 1 and min(inputs, outputs) >= _WINOGRAD_CHANNELS:
        tiles = math.prod(math.ceil(size / _TILE) for size in layer.out_size)
        products = layer.groups * _TILE_PRODUCTS * tiles * inputs * outputs
        found["winograd_products"] = products
        found["winograd_numbers"] = layer.groups * _TILE_PRODUCTS * tiles * (inputs + outputs)
        if outputs % _VECTOR:
            found["ragged_winograd_products"] = products
        return found
    area = math.prod(layer.kernel)
    if area == 1:
        found["pointwise_products"] = layer.macs
        found["numbers"] = layer.read / layer.stride**2 + layer.written
    else:
        is_image = layer.groups == 1 and layer.in_channels <= _IMAGE_CHANNELS
        found["image_products" if is_image else "dense_products"] = layer.macs
        found["numbers"] = layer.read + layer.written
        if is_image:
            return found
        found["patch_numbers"] = layer.groups * area * inputs * positions
    if inputs % _VECTOR or outputs % _VECTOR:
        found["ragged_products"] = layer.macs
    return found


def _depthwise(layer: Layer) -> Mapping[str, float]:
    """Return the amounts of a convolution of each channel by itself."""
    return {
        "layers": 1,
        "depthwise_layers": 1,
        "depthwise_products": layer.macs,
        "depthwise_numbers": layer.read + layer.written,
        "strided_depthwise_products": layer.macs if layer.stride > 1 else 0,
        "ragged_depthwise_products": layer.macs if layer.out_channels % _VECTOR else 0,
    }


def _transposed(layer: Layer) -> Mapping[str, float]:
    """Return the amounts of a transposed convolution: of the same kind as the convolution backwards."""
    return _depthwise(layer) if layer.groups > 1 else _convolution(msgspec.structs.replace(layer, stride=2))


def _product(layer: Layer) -> Mapping[str, float]:
    """Return the amounts of a matrix times several rows, or times one: then reading the matrix is what takes time."""
    if math.prod(layer.out_size) == 1:
        return {"layers": 1, "vector_products": layer.macs}
    is_ragged = layer.in_channels % _VECTOR or layer.out_channels % _VECTOR
    return {
        "layers": 1,
        "pointwise_products": layer.macs,
        "numbers": layer.read + layer.written,
        "ragged_products": layer.macs if is_ragged else 0,
    }


def _recurrent(layer: Layer) -> Mapping[str, float]:
    """Return the amounts of a layer that multiplies a matrix by one row at each time."""
    return {"layers": 1, "vector_products": layer.macs, "function_values": 5 * layer.written}


def _passing(layer: Layer) -> Mapping[str, float]:
    """Return the amounts of what only passes over its numbers."""
    found: dict[str, float] = {"light_layers": 1, "moved_numbers": layer.read + layer.written}
    if layer.kind == "pooling":
        found["pooled_values"] = layer.written * math.prod(layer.kernel)
    elif layer.kind == "normalization":
        found["function_values"] = layer.written * (_LRN_PASSES if layer.operator == "LRN" else 1)
    elif layer.operator in _FUNCTIONS:
        found["function_values"] = layer.written
    return found


_AMOUNTS: Final = MappingProxyType(
    {
        **dict.fromkeys(("dense", "pointwise", "grouped"), _convolution),
        "depthwise": _depthwise,
        "transposed": _transposed,
        **dict.fromkeys(("linear", "product"), _product),
        "recurrent": _recurrent,
        **dict.fromkeys(("elementwise", "pooling", "normalization", "movement"), _passing),
    }
)
