"""Parameters and multiply-accumulates of an ONNX graph, counted as ``counting`` counts those of a module."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper

from edgekd.core.errors import ConfigError
from edgekd.networks.session import Arrays, feeds_of, open_session

_REAL: Final = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE)
_Shape = tuple[int, ...]
_Operands = Sequence[_Shape]


def count_graph_parameters(model: ModelProto) -> int:
    """Return how many numbers the floating-point initializers of *model* hold."""
    return sum(int(np.prod(tensor.dims)) for tensor in model.graph.initializer if tensor.data_type in _REAL)


def count_graph_macs(model: ModelProto, sample: Arrays) -> int:
    """Return the multiply-accumulates of the whole graph for *sample*: the sum of ``macs_by_node``."""
    return sum(macs for _, macs in macs_by_node(model, sample))


def macs_by_node(model: ModelProto, sample: Arrays) -> tuple[tuple[NodeProto, int], ...]:
    """Return each working node with its multiply-accumulates for *sample* (inputs in order, each of a batch of 1).

    Convolutions, matrix products and recurrent layers count. The sizes are those of a run: inferring them gives up
    where a file computes its shapes, as those of older exporters do. Raises ConfigError for a graph with branches or
    loops, whose work is not counted.
    """
    nodes = [node for node in model.graph.node if works(node)]
    for node in model.graph.node:
        if any(attribute.HasField("g") for attribute in node.attribute):
            message = f"multiply-accumulates: node '{node.name}' ({node.op_type}): a graph inside is not counted."
            raise ConfigError(message)
    sizes = sizes_in_run(model, {name for node in nodes for name in (*node.input, *node.output[:1]) if name}, sample)
    return tuple((node, macs_of_node(node, sizes)) for node in nodes)


def works(node: NodeProto) -> bool:
    """Tell whether *node* is of the operators whose multiply-accumulates count."""
    return node.op_type in _WORK


def macs_of_node(node: NodeProto, sizes: Mapping[str, _Shape]) -> int:
    """Return the multiply-accumulates of a working *node*, given the *sizes* of what it reads and writes."""
    return _WORK[node.op_type](node, [sizes[name] if name else () for name in node.input], sizes[node.output[0]])


def sizes_in_run(model: ModelProto, values: Iterable[str], sample: Arrays) -> dict[str, _Shape]:
    """Return the shapes of *values* in a run on *sample*."""
    found = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    found |= {value.name: array.shape for value, array in zip(model.graph.input, sample, strict=True)}
    wanted = [name for name in values if name not in found]
    if not wanted:
        return found
    open_model = ModelProto()
    open_model.CopyFrom(model)
    del open_model.graph.output[:]
    open_model.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in wanted)
    session = open_session(open_model, arithmetic="reference")
    arrays = session.run(wanted, feeds_of(session, sample))
    return found | {name: array.shape for name, array in zip(wanted, arrays, strict=True)}


def _convolution(weight: int) -> Callable[[NodeProto, _Operands, _Shape], int]:
    """Return the work of a convolution whose kernel is input number *weight*: for each number written, one kernel."""
    return lambda _node, read, written: int(np.prod(written) * np.prod(read[weight][1:]))


def _transposed_convolution(_node: NodeProto, read: _Operands, _written: _Shape) -> int:
    """Return the work of a transposed convolution: for each number read, one kernel."""
    return int(np.prod(read[0]) * np.prod(read[1][1:]))


def _product(node: NodeProto, read: _Operands, written: _Shape) -> int:
    """Return the work of a matrix product: for each number written, the length of the sum behind it."""
    is_transposed = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
    return int(np.prod(written)) * read[0][0 if is_transposed else -1]


def _recurrent(_node: NodeProto, read: _Operands, _written: _Shape) -> int:
    """Return the work of a recurrent layer over (time, batch, features): both of its matrices at each time."""
    return int(np.prod(read[0][:2]) * (np.prod(read[1]) + np.prod(read[2])))


def _einsum(node: NodeProto, read: _Operands, _written: _Shape) -> int:
    """Return the work of an Einstein sum of two: every combination of its indices; ConfigError for other forms."""
    equation = next(attribute.s.decode() for attribute in node.attribute if attribute.name == "equation")
    terms = equation.replace(" ", "").partition("->")[0].split(",")
    if len(terms) != 2 or "." in equation:  # noqa: PLR2004 - a product has two
        message = f"multiply-accumulates: node '{node.name}' (Einsum): '{equation}' is not counted."
        raise ConfigError(message)
    sizes = {
        index: size for term, shape in zip(terms, read, strict=True) for index, size in zip(term, shape, strict=True)
    }
    return int(np.prod(list(sizes.values())))


_WORK: Final[Mapping[str, Callable[[NodeProto, _Operands, _Shape], int]]] = MappingProxyType(
    {
        "Conv": _convolution(1),
        "ConvInteger": _convolution(1),
        "ConvTranspose": _transposed_convolution,
        "Einsum": _einsum,
        "GRU": _recurrent,
        "Gemm": _product,
        "LSTM": _recurrent,
        "MatMul": _product,
        "MatMulInteger": _product,
        "QLinearConv": _convolution(3),
        "QLinearMatMul": _product,
        "RNN": _recurrent,
    }
)
