"""Bias correction: what quantization shifts the mean of a layer's output by goes into the layer's bias.

Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction", section 4.2, measured on
samples as in their appendix D.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from onnx import ModelProto, NodeProto, numpy_helper
from torch import Tensor, nn

from edgekd.quantize.placement import Places
from edgekd.quantize.samples import Batch, Samples
from edgekd.quantize.simulation import SimulatedGraph

_BIASED = frozenset({"Conv", "ConvTranspose", "Gemm"})
"""Operators that take a bias as their third input; a bias of zeros changes nothing in them."""

_SPATIAL = frozenset({"Conv", "ConvTranspose"})
"""Those with channels on axis 1; others have them last."""


def with_biases(model: ModelProto) -> ModelProto:
    """Return a copy of *model* in which every convolution and Gemm of constant weights has a bias, if only of zeros."""
    copied = ModelProto()
    copied.CopyFrom(model)
    shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    for node in copied.graph.node:
        if node.op_type in _BIASED and node.input[1] in shapes and not _bias(node):
            name = f"{node.name}_bias"
            zeros = np.zeros(_outputs(node, shapes[node.input[1]]), dtype=np.float32)
            copied.graph.initializer.append(numpy_helper.from_array(zeros, name))
            node.input[:] = [*node.input[:2], name]
    return copied


def correct_biases(model: ModelProto, quantized: SimulatedGraph, reference: SimulatedGraph, samples: Samples) -> None:
    """Add to the biases of *quantized*, in place, what its layers' outputs lack of those of *reference* on average.

    Both simulate *model*, *reference* without rounding. Within each batch a corrected output is what the following
    layers see, so that none corrects what one before it has corrected already. Layers without a bias stay: see
    ``with_biases``.
    """
    layers = {node.name: node for node in model.graph.node if node.name in quantized.places.weights and _bias(node)}
    totals: dict[str, Tensor] = {}
    with torch.no_grad(), unrounded_outputs(quantized):
        for batch in samples.batches():
            expected = _means(reference.values(*batch), layers)
            for name, shift in _shifts(model, quantized, batch, layers=layers, expected=expected).items():
                totals[name] = totals.get(name, torch.zeros(())) + shift * (len(batch[0]) / samples.count)
        for bias, total in _by_bias(quantized.places, totals).items():
            quantized.initializer(bias).add_(total)


@contextmanager
def unrounded_outputs(simulation: SimulatedGraph) -> Iterator[None]:
    """Let layers give their outputs before these are rounded, as in training, where a kernel would round at once."""
    simulation.train()
    try:
        yield
    finally:
        simulation.eval()


def points_of(model: ModelProto, simulation: SimulatedGraph) -> Mapping[str, nn.Module]:
    """Return where the output of each node can be tapped, by the node's name."""
    return dict(zip((node.name for node in model.graph.node), simulation.points.values(), strict=True))


def channel_axis(node: NodeProto) -> int:
    """Return the axis of a layer's output that holds its channels."""
    return 1 if node.op_type in _SPATIAL else -1


def _shifts(
    model: ModelProto,
    quantized: SimulatedGraph,
    batch: Batch,
    *,
    layers: Mapping[str, NodeProto],
    expected: Mapping[str, Tensor],
) -> dict[str, Tensor]:
    """Return what the output of each layer lacks of *expected*, (channels,), where those before it lack nothing."""
    shifts: dict[str, Tensor] = {}

    def corrected(node: NodeProto) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor]:
        def hook(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            shifts[node.name] = expected[node.name] - _mean(output, node)
            shape = [1] * output.ndim
            shape[channel_axis(node)] = -1
            return output + shifts[node.name].reshape(shape)

        return hook

    points = points_of(model, quantized)
    hooks = [points[name].register_forward_hook(corrected(node)) for name, node in layers.items()]
    try:
        quantized.values(*batch)
    finally:
        for hook in hooks:
            hook.remove()
    return shifts


def _by_bias(places: Places, shifts: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the shift of each bias: the mean over the layers that share it."""
    shared: dict[str, list[Tensor]] = {}
    for name, shift in shifts.items():
        shared.setdefault(places.weights[name].bias or "", []).append(shift)
    return {bias: torch.stack(found).mean(0) for bias, found in shared.items()}


def _means(values: Mapping[str, Tensor], layers: Mapping[str, NodeProto]) -> dict[str, Tensor]:
    """Return the mean of each channel (channels,) of each layer's output."""
    return {name: _mean(values[node.output[0]], node) for name, node in layers.items()}


def _mean(output: Tensor, node: NodeProto) -> Tensor:
    """Return the mean of each channel (channels,) of a layer's output."""
    axis = channel_axis(node) % output.ndim
    return output.mean([other for other in range(output.ndim) if other != axis])


def _bias(node: NodeProto) -> str:
    """Return a node's third input; nothing where there is none."""
    return str(node.input[2]) if len(node.input) > 2 else ""  # noqa: PLR2004 - optional third input


def _outputs(node: NodeProto, shape: tuple[int, ...]) -> int:
    """Return how many outputs a layer with weights of *shape* has."""
    numbers = {attribute.name: attribute.i for attribute in node.attribute}
    if node.op_type == "ConvTranspose":
        return int(shape[1] * numbers.get("group", 1))
    return shape[0] if node.op_type == "Conv" or numbers.get("transB") else shape[1]
