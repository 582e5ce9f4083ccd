"""Which kinds of layers published points cover: a matrix times one row is another kind than times many."""

import math
from collections import Counter
from collections.abc import Iterable
from typing import Final

from edgekd.predict.layers import Layer

_COVERED: Final = 3


def covered_kind(layer: Layer) -> str:
    """Return the kind that an estimate of *layer* rests on."""
    if layer.kind in {"linear", "product"}:
        return "matrix times rows" if math.prod(layer.out_size) > 1 else "matrix times a vector"
    return layer.kind


def common_kinds(networks: Iterable[Iterable[Layer]]) -> tuple[str, ...]:
    """Return the kinds that at least three *networks* have."""
    counts = Counter(kind for layers in networks for kind in {covered_kind(layer) for layer in layers})
    return tuple(sorted(kind for kind, count in counts.items() if count >= _COVERED))
