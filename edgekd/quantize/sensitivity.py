"""Sensitivity: what the quantization of each layer alone costs, and what it would cost to leave the layer in float."""

from collections.abc import Iterator, Mapping

import msgspec
from onnx import ModelProto, numpy_helper

from edgekd.networks.graph_counting import macs_by_node
from edgekd.quantize.answering import Distance, distance, logits_on
from edgekd.quantize.placement import passes_values
from edgekd.quantize.ptq import Prepared, assembled, float_simulation
from edgekd.quantize.recipe import Cost
from edgekd.quantize.samples import Samples

_BYTES_MORE = 3
"""A float32 weight takes four bytes, an int8 one a single byte."""


class Sensitivity(msgspec.Struct, frozen=True, kw_only=True):
    """One layer: how far the answers move when it alone is quantized, and its work and bytes more in float.

    *quantized_error* and *divergence* are of the same measurement; *position* counts the layers in the graph's order.
    """

    layer: str
    operator: str
    position: int
    distance: Distance
    macs: int
    bytes_more: int

    def cost(self, by: Cost) -> int:
        """Return what the layer costs in float, at least 1."""
        return max(1, self.macs if by == "macs" else self.bytes_more)


def sensitivities(ready: Prepared, samples: Samples) -> Iterator[Sensitivity]:
    """Yield the sensitivity of each layer that multiplies in integers, in the graph's order.

    The layer's inputs, its weights and, where its kernel writes integers, its output are rounded; all else is float.
    """
    real = logits_on(float_simulation(ready.real, ready.placement), samples)
    work = _work(ready.real, samples)
    sizes = _sizes(ready.real)
    names = layers_of(ready)
    everything = frozenset(node.name for node in ready.real.graph.node if node.op_type not in ready.placement.folded)
    alone = msgspec.structs.replace(ready, corrects_biases=False)
    for position, name in enumerate(names):
        tuned = assembled(alone, everything - {name} - _moving(ready))
        yield Sensitivity(
            layer=name,
            operator=next(node.op_type for node in ready.real.graph.node if node.name == name),
            position=position,
            distance=distance(logits_on(tuned.simulation, samples), real),
            macs=work[name],
            bytes_more=_BYTES_MORE * sum(sizes.get(value, 0) for value in _weights(ready, name)),
        )


def layers_of(ready: Prepared) -> tuple[str, ...]:
    """Return the nodes that multiply and are quantized, in the graph's order."""
    places = assembled(msgspec.structs.replace(ready, corrects_biases=False)).places
    read = {name for names in places.readers.values() for name in names}
    products = {node.name for node in ready.real.graph.node if node.op_type in ready.placement.products}
    return tuple(
        node.name for node in ready.real.graph.node if node.name in places.weights or node.name in products & read
    )


def _moving(ready: Prepared) -> frozenset[str]:
    """Return the nodes that only move values: they follow their neighbours."""
    return frozenset(node.name for node in ready.real.graph.node if passes_values(node, ready.placement))


def _weights(ready: Prepared, name: str) -> tuple[str, ...]:
    """Return the initializer that holds the weights of a layer, if its operands are not all activations."""
    node = next(node for node in ready.real.graph.node if node.name == name)
    return tuple(node.input[1:2])


def _work(model: ModelProto, samples: Samples) -> Mapping[str, int]:
    """Return the multiply-accumulates of each node for one sample."""
    sample = tuple(tensor[:1].numpy() for tensor in next(samples.batches()))
    return {node.name: macs for node, macs in macs_by_node(model, sample)}


def _sizes(model: ModelProto) -> Mapping[str, int]:
    """Return how many numbers each constant holds."""
    return {tensor.name: int(numpy_helper.to_array(tensor).size) for tensor in model.graph.initializer}
