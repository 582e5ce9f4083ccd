"""The layers of an ONNX file, as a runtime executes them: activations, norms and Q/DQ pairs are part of their layer."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper

from edgekd.core.errors import ConfigError, StageError
from edgekd.export import shapes
from edgekd.networks.blackbox import read_onnx
from edgekd.networks.graph_counting import macs_of_node, sizes_in_run, works
from edgekd.predict.layers import Layer, Precision, Size, convolution_kind
from edgekd.predict.operators import CONVOLUTIONS, FUSED, INTEGER, KIND_OF_OTHERS, KNOWN, PRODUCTS, SHAPES, VIEWS

_Shape = tuple[int, ...]
_HALF: Final[Mapping[int, Precision]] = MappingProxyType({TensorProto.FLOAT16: "fp16", TensorProto.BFLOAT16: "fp16"})
_QUANTIZE, _DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"
_RANK_OF_IMAGES: Final = 4
_RANK_OF_SIGNALS: Final = 3


def read_layers(path: Path) -> tuple[Layer, ...]:
    """Return the layers of the ONNX file *path* for one sample. Raises ConfigError as :func:`layers_of` does."""
    return layers_of(read_onnx(path), where=str(path))


def layers_of(model: ModelProto, *, where: str) -> tuple[Layer, ...]:
    """Return the layers of *model* for one sample, in the graph's order; an open batch becomes one.

    What depends on constants only is no layer, nor is a change of shape that moves nothing. A norm, an activation or a
    constant row that alone reads a layer's output belongs to that layer, and Q/DQ pairs vanish in the integer layer
    between them, as runtimes fuse them. Raises ConfigError, naming *where* and the node, for operators whose cost is
    not known, and for sizes that the file leaves open.
    """
    _refuse_unknown(model.graph, where)
    return tuple(_Reader(_with_sizes(model, where), where).layers())


def _refuse_unknown(graph: GraphProto, where: str) -> None:
    """Raise ConfigError naming the first node that no table knows."""
    for node in graph.node:
        name = f"{node.domain}.{node.op_type}" if node.domain not in {"", "ai.onnx"} else node.op_type
        if name not in KNOWN:
            message = (
                f"{where}: node '{node.name}' ({name}): nothing is known of what this operator costs; "
                "write the network without it, or measure the file with `edgekd bench`."
            )
            raise ConfigError(message)


def _with_sizes(model: ModelProto, where: str) -> ModelProto:
    """Return *model* for one sample, with inferred sizes; ConfigError where an input has another open size."""
    try:
        fixed = shapes.fix_batch(model)
    except (ConfigError, StageError) as error:
        message = f"{where}: {error}"
        raise ConfigError(message) from error
    for name, dims in shapes.input_shapes(fixed).items():
        free = [size for size in dims if not isinstance(size, int) or size < 1]
        if free:
            message = (
                f"{where}: input {name!r} leaves the size {str(free[0]) or 'of a dimension'!r} open; an estimate needs "
                "fixed sizes: export the network again with all but the batch fixed."
            )
            raise ConfigError(message)
    return fixed


class _Reader:
    """One graph: the size of every value, which ones are constant, and who reads what."""

    def __init__(self, model: ModelProto, where: str) -> None:
        """Look at the values of *model*; those whose size cannot be inferred get that of a run on zeros."""
        graph = model.graph
        self._where, self._nodes = where, tuple(graph.node)
        self._outputs = {value.name for value in graph.output}
        self._constants = {tensor.name for tensor in graph.initializer}
        self._types = {value.name: value.type.tensor_type.elem_type for value in (*graph.input, *graph.value_info)}
        self._types |= {value.name: value.type.tensor_type.elem_type for value in graph.output}
        self._readers: dict[str, list[NodeProto]] = {}
        self._is_dequantized: dict[str, bool] = {}
        for node in self._nodes:
            activations = self._activations(node)
            if node.op_type in SHAPES or not activations:
                self._constants.update(node.output)
                continue
            is_view = node.op_type in VIEWS and self._is_dequantized.get(activations[0], False)
            self._is_dequantized.update(dict.fromkeys(node.output, node.op_type == _DEQUANTIZE or is_view))
            for name in node.input:
                self._readers.setdefault(name, []).append(node)
        self._sizes = self._all_sizes(model)

    def layers(self) -> Iterator[Layer]:
        """Give each node that is a layer; *belonging* tells the precision of the layer that a value comes from."""
        belonging: dict[str, Precision] = {}
        for node in self._nodes:
            activations = self._activations(node)
            if not activations or node.op_type in SHAPES:
                continue
            before, precision = belonging.get(activations[0]), self._precision(node)
            if self._vanishes(node):
                if before is not None and node.op_type in VIEWS:
                    belonging.update(dict.fromkeys(node.output, before))
                continue
            if before is not None and self._is_part(node, activations, before):
                precision = before
            else:
                yield self._layer(node, precision)
                if not works(node) and precision != "int8":
                    continue
            belonging.update(dict.fromkeys(node.output, precision))

    def _is_part(self, node: NodeProto, activations: list[str], before: Precision) -> bool:
        """Tell whether *node* is computed by the layer that writes what it reads, which computes in *before*."""
        if node.op_type == _QUANTIZE and before == "int8":
            return True
        alone = len(self._readers[activations[0]]) == 1 and activations[0] not in self._outputs
        return node.op_type in FUSED and alone and len(activations) == 1

    def _vanishes(self, node: NodeProto) -> bool:
        """Tell whether *node* costs nothing: it moves nothing, or its readers take the integers before it."""
        if node.op_type in VIEWS:
            return True
        readers = self._readers.get(node.output[0], [])
        is_read_as_integers = all(self._precision(reader) == "int8" for reader in readers)
        return node.op_type == _DEQUANTIZE and node.output[0] not in self._outputs and is_read_as_integers

    def _precision(self, node: NodeProto) -> Precision:
        """Return in what *node* computes: integers where all activations that it reads come from DequantizeLinear."""
        activations = self._activations(node)
        if node.op_type in INTEGER or all(self._is_dequantized.get(name) for name in activations):
            return "int8"
        types = [self._types.get(name, TensorProto.FLOAT) for name in (*activations, *node.output)]
        return next((_HALF[one] for one in types if one in _HALF), "fp32")

    def _activations(self, node: NodeProto) -> list[str]:
        """Return what *node* reads that is not constant."""
        return [name for name in node.input if name and name not in self._constants]

    def _all_sizes(self, model: ModelProto) -> dict[str, _Shape]:
        """Return the shape of each value."""
        graph = model.graph
        sizes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
        for value in (*graph.input, *graph.value_info, *graph.output):
            dims = value.type.tensor_type.shape.dim
            if value.type.tensor_type.HasField("shape") and all(dim.HasField("dim_value") for dim in dims):
                sizes[value.name] = tuple(dim.dim_value for dim in dims)
        missing = {name for node in self._nodes for name in (*node.input, *node.output) if name} - sizes.keys()
        if not missing:
            return sizes
        zeros = tuple(
            np.zeros(sizes[value.name], helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type))
            for value in graph.input
            if value.name in shapes.input_shapes(model)
        )
        return sizes | sizes_in_run(model, sorted(missing), zeros)

    def _layer(self, node: NodeProto, precision: Precision) -> Layer:
        """Return *node* as a layer."""
        activations = self._activations(node)
        matrices = [name for name in node.input if name in self._constants and len(self._sizes[name]) > 1]
        return Layer(
            name=node.name or node.output[0],
            operator=node.op_type,
            macs=macs_of_node(node, self._sizes) if works(node) else 0,
            weights=sum(_count(self._sizes[name]) for name in matrices) if works(node) else 0,
            read=sum(_count(self._sizes[name]) for name in activations),
            written=sum(_count(self._sizes[name]) for name in node.output if name),
            precision=precision,
            **self._form(node, activations[0]),
        )

    def _form(self, node: NodeProto, source: str) -> dict[str, Any]:
        """Return kind, channels and sizes of a node."""
        read, written = self._sizes[source], self._sizes[node.output[0]]
        if node.op_type in CONVOLUTIONS or node.op_type == "ConvTranspose":
            return self._convolution(node, read, written)
        if node.op_type in PRODUCTS:
            operands = [name for name in node.input[:4] if name and len(self._sizes[name]) > 1]
            is_linear = any(name in self._constants for name in operands)
            return _sequence(read, written) | {"kind": "linear" if is_linear else "product"}
        attributes = {one.name: helper.get_attribute_value(one) for one in node.attribute}
        known = (_image if len(read) == len(written) == _RANK_OF_IMAGES else _sequence)(read, written)
        return known | {
            "kind": KIND_OF_OTHERS[node.op_type],
            "kernel": _pair(attributes.get("kernel_shape", (1, 1))),
            "stride": max(attributes.get("strides", (1,))),
        }

    def _convolution(self, node: NodeProto, read: _Shape, written: _Shape) -> dict[str, Any]:
        """Return the form of a convolution over one or two dimensions; ConfigError for three."""
        if len(read) not in {_RANK_OF_SIGNALS, _RANK_OF_IMAGES}:
            message = f"{self._where}: node '{node.name}' ({node.op_type}): is over three dimensions; no such estimate."
            raise ConfigError(message)
        attributes = {one.name: helper.get_attribute_value(one) for one in node.attribute}
        weight = self._sizes[node.input[3 if node.op_type == "QLinearConv" else 1]]
        kernel, groups = _pair(weight[2:]), attributes.get("group", 1)
        kind = convolution_kind(kernel=kernel, groups=groups, in_channels=read[1])
        return _image(read, written) | {
            "kind": KIND_OF_OTHERS.get(node.op_type, kind),
            "kernel": kernel,
            "stride": max(attributes.get("strides", (1,))),
            "groups": groups,
        }


def _image(read: _Shape, written: _Shape) -> dict[str, Any]:
    """Return channels and sizes of (1, channels, height, width), or (1, channels, length)."""
    return {
        "in_channels": read[1],
        "out_channels": written[1],
        "in_size": _pair(read[2:]),
        "out_size": _pair(written[2:]),
    }


def _sequence(read: _Shape, written: _Shape) -> dict[str, Any]:
    """Return channels, the last dimension, and how many rows of them there are."""
    return {
        "in_channels": read[-1] if read else 1,
        "out_channels": written[-1] if written else 1,
        "in_size": (_count(read[:-1]), 1),
        "out_size": (_count(written[:-1]), 1),
    }


def _pair(sizes: tuple[int, ...] | list[int]) -> Size:
    """Return (height, width) of one or two *sizes*."""
    height, width = (1, *sizes)[-2:]
    return int(height), int(width)


def _count(shape: _Shape) -> int:
    """Return how many numbers a tensor of *shape* holds."""
    return int(np.prod(shape, dtype=np.int64))
