"""Which nodes leave the range of float16, by the numbers that real samples put through them."""

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from edgekd.export import shapes
from edgekd.networks.session import Arrays, feeds_of, open_session

LARGEST_HALF: Final = float(np.finfo(np.float16).max)
SMALLEST_HALF: Final = float(np.finfo(np.float16).smallest_subnormal)
HEADROOM: Final = 4.0
"""What was seen may grow by this factor on samples that nobody showed."""

AT_ONCE: Final = 4
"""Samples whose every activation is held in memory."""

Partial = Callable[[float, float], float]


def _sum(largest: float, terms: float) -> float:
    """Bound a sum of *terms* numbers up to *largest*."""
    return largest * terms


def _squares(largest: float, terms: float) -> float:
    """Bound a sum of *terms* squares of numbers up to *largest*."""
    return largest * largest * terms


PARTIAL_SUMS: Final[Mapping[str, Partial]] = MappingProxyType(
    {
        "GlobalAveragePool": _sum,
        "InstanceNormalization": _squares,
        "ReduceL1": _sum,
        "ReduceL2": _squares,
        "ReduceMean": _sum,
        "ReduceSum": _sum,
        "ReduceSumSquare": _squares,
    }
)
"""Operators that add many numbers before they make the result small again: a bound of what they hold in between.

LayerNormalization is not here: its statistics stay in float32 anyway.
"""


def overflowing(model: ModelProto, batches: Iterable[Arrays]) -> frozenset[str]:
    """Return the names of the nodes of the float32 *model* that float16 cannot compute, seen on *batches*.

    Those are nodes that read or write a number, or may hold a partial sum, beyond ``65504 / HEADROOM``, and nodes
    with a constant that float16 has not: one beyond 65504, or a lone one that would become zero. Each of *batches* is
    a tuple of arrays (n, ...) in the order of the graph's inputs. A convolution's or a matrix product's own partial
    sums are taken to be no larger than what it writes, within the headroom.
    """
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    seen = _largest(model, constants, batches)
    limit = LARGEST_HALF / HEADROOM
    return frozenset(
        node.name
        for node in model.graph.node
        if any(seen.largest.get(value, 0.0) > limit for value in (*node.input, *node.output))
        or _partial(node, seen) > limit
        or any(_is_lost(constants[value]) for value in node.input if value in constants)
    )


class _Seen:
    """The largest magnitude and the number of elements per sample of each activation."""

    def __init__(self) -> None:
        """Start with nothing seen."""
        self.largest: dict[str, float] = {}
        self.elements: dict[str, float] = {}

    def see(self, name: str, array: NDArray[np.float32]) -> None:
        """Take *array* (n, ...) into account."""
        magnitude = float(np.abs(array).max(initial=0.0))
        self.largest[name] = max(self.largest.get(name, 0.0), np.inf if np.isnan(magnitude) else magnitude)
        self.elements[name] = array.size / max(1, len(array) if array.ndim else 1)


def _largest(model: ModelProto, constants: Mapping[str, NDArray[np.generic]], batches: Iterable[Arrays]) -> _Seen:
    """Return what every float activation of *model* holds on *batches*."""
    open_graph = _with_every_output(model, constants)
    session = open_session(open_graph, arithmetic="reference")
    names = [output.name for output in session.get_outputs()]
    seen = _Seen()
    for arrays in batches:
        for start in range(0, len(arrays[0]), AT_ONCE):
            some = tuple(array[start : start + AT_ONCE] for array in arrays)
            feeds = feeds_of(session, some)
            for name, array in (*feeds.items(), *zip(names, session.run(None, feeds), strict=True)):
                seen.see(name, array)
    return seen


def _with_every_output(model: ModelProto, constants: Mapping[str, NDArray[np.generic]]) -> ModelProto:
    """Return a copy of *model* that gives each of its float activations."""
    typed = shapes.infer(model)
    floats = {
        value.name: value for value in typed.graph.value_info if value.type.tensor_type.elem_type == TensorProto.FLOAT
    }
    opened = onnx.ModelProto()
    opened.CopyFrom(model)
    given = {output.name for output in model.graph.output}
    for node in model.graph.node:
        for name in node.output:
            if name in floats and name not in given and name not in constants:
                opened.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    return opened


def _partial(node: NodeProto, seen: _Seen) -> float:
    """Return a bound of the partial sums inside *node*: 0 where it has none."""
    bound = PARTIAL_SUMS.get(node.op_type)
    if bound is None or node.input[0] not in seen.largest:
        return 0.0
    taken, given = seen.elements[node.input[0]], seen.elements.get(node.output[0], 1.0)
    return bound(seen.largest[node.input[0]], taken if node.op_type == "InstanceNormalization" else taken / given)


def _is_lost(array: NDArray[np.generic]) -> bool:
    """Tell whether float16 cannot hold the constant *array*."""
    if array.dtype != np.float32:
        return False
    finite = np.abs(array[np.isfinite(array)])
    largest = float(finite.max(initial=0.0))
    return largest > LARGEST_HALF or (array.size == 1 and 0 < largest < SMALLEST_HALF / 2)
