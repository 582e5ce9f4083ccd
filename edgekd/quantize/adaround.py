"""AdaRound: each weight is rounded up or down so that its layer's output changes least, not the weight itself.

Nagel et al. 2020, "Up or Down? Adaptive Rounding for Post-Training Quantization": a rectified sigmoid for every weight,
pushed to 0 or 1 by a regularizer whose exponent falls, fitted to the float layer's output after its activation.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import msgspec
import torch
from onnx import ModelProto, NodeProto, numpy_helper
from torch import Tensor

from edgekd.quantize.fake import HIGH, LOW, WEIGHT_LIMIT, broadcast_scales, fake_quantize
from edgekd.quantize.layer_rows import FITTED, Rows, joined, matrix, row_numbers, rows_of
from edgekd.quantize.samples import Samples
from edgekd.quantize.simulation import SimulatedGraph

STRETCH: Final = (-0.1, 1.1)
"""The sigmoid's ends before they are cut at 0 and 1 (gamma and zeta of the paper), so that it can reach both."""

WARM_UP: Final = 0.2
"""The part of all steps before the regularizer sets in."""

EXPONENTS: Final = (20.0, 2.0)
"""Of the regularizer ``1 - |2h - 1|^beta``, at its beginning and end."""

Activation = Callable[[Tensor], Tensor]

_HELD_OUT: Final = 4
"""One of so many rows judges whether what was learned is better than rounding to the nearest."""


class Effort(msgspec.Struct, frozen=True, kw_only=True):
    """How hard the rounding of a layer is looked for.

    *rows* of each layer are kept, of several layers at once as long as they hold at most *numbers*; each of *steps*
    looks at *batch* of them. *pressure* weighs the regularizer against the error, which is relative to that of
    rounding to the nearest.
    """

    rows: int = 8192
    numbers: int = 50_000_000
    steps: int = 400
    batch: int = 512
    lr: float = 0.05
    pressure: float = 0.5


class Rounded(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one layer: the error of its output on rows held out, and how many weights went the other way."""

    node: str
    nearest_error: float
    error: float
    flipped: int


class Problem(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One layer to be rounded: *weight* and *scale* as matrices (groups, inputs, outputs), *bias* (groups, outputs)."""

    weight: Tensor
    scale: Tensor
    bias: Tensor
    activation: Activation

    @property
    def nearest(self) -> Tensor:
        """Return the nearest levels."""
        return torch.round(self.weight / self.scale).clamp(-WEIGHT_LIMIT, WEIGHT_LIMIT)

    def levels(self, up: Tensor) -> Tensor:
        """Return the levels below, plus *up* (0 to 1) of a step."""
        return (torch.floor(self.weight / self.scale) + up).clamp(-WEIGHT_LIMIT, WEIGHT_LIMIT)

    def error(self, levels: Tensor, rows: Rows) -> Tensor:
        """Return the mean squared error of the layer's output, after its activation, with weights at *levels*."""
        product = torch.einsum("ngi,gio->ngo", rows.taken, levels * self.scale)
        return (self.activation(product + self.bias) - self.activation(rows.given)).square().mean()


class Draws(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """How hard to look, and where random numbers come from."""

    effort: Effort
    random: torch.Generator


def round_adaptively(
    model: ModelProto,
    quantized: SimulatedGraph,
    reference: SimulatedGraph,
    samples: Samples,
    *,
    seed: int,
    effort: Effort | None = None,
) -> tuple[Rounded, ...]:
    """Put the weights of *quantized*, in place, on their grids where the layers' outputs ask for it.

    Both simulate *model*, *reference* without rounding. Afterwards each weight is a level times its scale, the nearest
    or its neighbour; a layer for which that is no better on rows held out gets the nearest.
    """
    draws = Draws(effort=effort or Effort(), random=torch.Generator().manual_seed(seed))
    found = []
    for nodes in _portions(model, quantized, draws.effort):
        rows = _collect(nodes, quantized, reference, samples, draws)
        found += [_round_layer(node, _activation(model, node), rows[node.name], quantized, draws) for node in nodes]
    return tuple(found)


def _portions(model: ModelProto, quantized: SimulatedGraph, effort: Effort) -> Iterator[list[NodeProto]]:
    """Yield the layers in the graph's order, as many at once as may be held in memory, at least one."""
    portion: list[NodeProto] = []
    held = 0
    for node in model.graph.node:
        if node.name not in quantized.places.weights or node.op_type not in FITTED:
            continue
        size = effort.rows * row_numbers(_weight(quantized, node), node)
        if portion and held + size > effort.numbers:
            yield portion
            portion, held = [], 0
        portion.append(node)
        held += size
    if portion:
        yield portion


def _collect(
    nodes: Sequence[NodeProto], quantized: SimulatedGraph, reference: SimulatedGraph, samples: Samples, draws: Draws
) -> dict[str, Rows]:
    """Return rows of each of *nodes* in the float graph, what a layer takes rounded to the grid it will have.

    Not as the quantized graph has them: layers that are fitted at the same time would make up for errors of those
    before them that are gone afterwards.
    """
    parts: dict[str, list[Rows]] = {node.name: [] for node in nodes}
    grids = quantized.encodings().activations
    with torch.no_grad():
        for batch in samples.batches():
            values = reference.values(*batch)
            count = -(-draws.effort.rows * len(batch[0]) // samples.count)
            for node in nodes:
                grid = grids[node.input[0]]
                taken = fake_quantize(values[node.input[0]], torch.tensor(grid.scale), grid.zero_point, LOW, HIGH)
                given = values[node.output[0]]
                parts[node.name].append(rows_of(node, taken, given, count=count, random=draws.random))
    return {name: joined(found) for name, found in parts.items()}


def _weight(simulation: SimulatedGraph, node: NodeProto) -> Tensor:
    """Return the weights of a layer."""
    return simulation.initializer(simulation.places.weights[node.name].name)


def _round_layer(
    node: NodeProto, activation: Activation, rows: Rows, quantized: SimulatedGraph, draws: Draws
) -> Rounded:
    """Round the weights of one layer in place and return what it brought."""
    place, weight = quantized.places.weights[node.name], _weight(quantized, node)
    scales = broadcast_scales(quantized.encodings().weights[place.name], weight, place.axis)
    as_matrix = matrix(node, weight.detach())
    bias = torch.zeros(rows.given[0].shape)
    if place.bias is not None:
        bias = quantized.initializer(place.bias).detach().reshape(bias.shape)
    problem = Problem(weight=as_matrix, scale=matrix(node, scales.expand_as(weight)), bias=bias, activation=activation)
    judging = Rows(taken=rows.taken[::_HELD_OUT], given=rows.given[::_HELD_OUT])
    is_kept = torch.arange(len(rows.taken)) % _HELD_OUT != 0
    learning = Rows(taken=rows.taken[is_kept], given=rows.given[is_kept])
    levels = problem.levels(learned_directions(problem, learning, draws))
    before, after = (problem.error(chosen, judging).item() for chosen in (problem.nearest, levels))
    chosen = levels if after < before else problem.nearest
    flipped = int((chosen != problem.nearest).sum())
    with torch.no_grad():
        matrix(node, weight).copy_(chosen * problem.scale)
    return Rounded(node=node.name, nearest_error=before, error=min(before, after), flipped=flipped)


def learned_directions(problem: Problem, rows: Rows, draws: Draws) -> Tensor:
    """Return for each weight of *problem* 0 (down) or 1 (up), such that the layer's output on *rows* changes least."""
    effort, (low, high) = draws.effort, STRETCH
    rest = problem.weight / problem.scale - torch.floor(problem.weight / problem.scale)
    logit = torch.logit(((rest - low) / (high - low)).clamp(1e-4, 1 - 1e-4)).requires_grad_()
    optimizer = torch.optim.Adam([logit], lr=effort.lr)
    unit = problem.error(problem.nearest, rows).clamp(min=1e-30)
    for step in range(effort.steps):
        chosen = torch.randint(len(rows.taken), (effort.batch,), generator=draws.random)
        batch = Rows(taken=rows.taken[chosen], given=rows.given[chosen])
        up = (torch.sigmoid(logit) * (high - low) + low).clamp(0, 1)
        loss = problem.error(problem.levels(up), batch) / unit
        if step >= WARM_UP * effort.steps:
            loss = loss + effort.pressure * (1 - (2 * up - 1).abs() ** _exponent(step / effort.steps)).mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return (logit.detach() > 0).to(problem.weight.dtype)


def _exponent(progress: float) -> float:
    """Return the regularizer's exponent at *progress* (WARM_UP to 1): half a cosine from the first to the last."""
    first, last = EXPONENTS
    return last + (first - last) * 0.5 * (1 + math.cos(math.pi * (progress - WARM_UP) / (1 - WARM_UP)))


def _activation(model: ModelProto, node: NodeProto) -> Activation:
    """Return what the runtime's kernel does to the output of *node* before it rounds: its ReLU, a Clip, or nothing."""
    constants = {
        tensor.name: torch.from_numpy(numpy_helper.to_array(tensor).copy()) for tensor in model.graph.initializer
    }
    readers = [other for other in model.graph.node if node.output[0] in other.input]
    if len(readers) != 1 or node.output[0] in {output.name for output in model.graph.output}:
        return _as_it_is
    if readers[0].op_type == "Relu":
        return torch.relu
    if readers[0].op_type == "Clip":
        ends = [constants.get(name) for name in (*readers[0].input[1:], "", "")][:2]
        return lambda values: torch.clamp(values, *ends) if any(end is not None for end in ends) else values
    return _as_it_is


def _as_it_is(values: Tensor) -> Tensor:
    """Return *values*."""
    return values
