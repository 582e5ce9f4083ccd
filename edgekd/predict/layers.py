"""What a layer costs a processor: its arithmetic, its shape, and the numbers that it moves."""

from typing import Annotated, Literal, get_args

import msgspec
from msgspec import Meta

Kind = Literal[
    "dense",
    "pointwise",
    "grouped",
    "depthwise",
    "transposed",
    "linear",
    "product",
    "recurrent",
    "elementwise",
    "pooling",
    "normalization",
    "movement",
]
"""Convolutions by their form (*dense* is a kernel above 1x1 over all channels), *linear* (a matrix of weights),
*product* (of two activations, as in attention), and what only passes over its numbers."""

Precision = Literal["fp32", "fp16", "int8"]
Size = tuple[int, int]
_Amount = Annotated[int, Meta(ge=0)]

KINDS: tuple[Kind, ...] = get_args(Kind)


class Layer(msgspec.Struct, frozen=True, kw_only=True):
    """One layer of a network for a batch of one.

    *operator* is its name in the file. Sizes and kernels are (height, width); a sequence of n tokens is (n, 1), a
    one-dimensional signal (1, n). *kernel* is 1x1 where there is none, *stride* the larger of both. *weights* counts
    numbers that the file holds, *read* and *written* activations. *precision* is that of its arithmetic in the file.
    """

    name: str
    operator: str
    kind: Kind
    in_channels: _Amount
    out_channels: _Amount
    kernel: Size = (1, 1)
    stride: int = 1
    groups: int = 1
    in_size: Size = (1, 1)
    out_size: Size = (1, 1)
    macs: _Amount = 0
    weights: _Amount = 0
    read: _Amount
    written: _Amount
    precision: Precision = "fp32"


def convolution_kind(*, kernel: Size, groups: int, in_channels: int) -> Kind:
    """Return what kind a convolution is of. One group for each input channel is depthwise, whatever it writes."""
    if groups == 1:
        return "pointwise" if kernel == (1, 1) else "dense"
    return "depthwise" if groups == in_channels else "grouped"
