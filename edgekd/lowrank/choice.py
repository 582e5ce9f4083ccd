"""Which layers to factorize: those whose estimated cost falls. Every other layer gets a reason."""

from collections.abc import Mapping

import msgspec
from torch import nn

from edgekd.lowrank.cost import CostModel
from edgekd.lowrank.svd import matrix_of, rank_for_energy, singular_values
from edgekd.networks.factor import can_factorize


class LayerChoice(msgspec.Struct, frozen=True, kw_only=True):
    """What happens to one layer: a *rank*, or the reason why it is left alone (then *rank* is None).

    *estimated_cost_us* is (whole, factorized), both from the target's cost model; None where no rank applies.
    """

    path: str
    rank: int | None
    reason: str
    estimated_cost_us: tuple[float, float] | None = None


def choose(
    module: nn.Module, positions: Mapping[str, int], cost: CostModel, *, energy: float, multiple: int
) -> tuple[LayerChoice, ...]:
    """Return a choice for each linear and convolution layer of *module*, in its order.

    The rank is the smallest multiple of *multiple* that keeps the part *energy* of the squared singular
    values, and never above full rank.
    """
    return tuple(
        _choose_layer(path, layer, positions.get(path, 0), cost, energy=energy, multiple=multiple)
        for path, layer in module.named_modules()
        if isinstance(layer, nn.Conv2d | nn.Linear)
    )


def _choose_layer(
    path: str, layer: nn.Module, positions: int, cost: CostModel, *, energy: float, multiple: int
) -> LayerChoice:
    """Return the choice for one layer."""
    reason = can_factorize(layer)
    if reason is not None:
        return LayerChoice(path=path, rank=None, reason=reason)
    if positions == 0:
        return LayerChoice(path=path, rank=None, reason="not used in the forward pass")
    rows, columns = matrix_of(layer).shape
    needed = rank_for_energy(singular_values(layer), energy)
    rank = min(-(-needed // multiple) * multiple, rows, columns)
    whole = cost.microseconds(macs=positions * rows * columns, activations=positions * rows, layers=1)
    split = cost.microseconds(macs=positions * rank * (rows + columns), activations=positions * (rows + rank), layers=2)
    compared = f"estimated {whole:.1f} -> {split:.1f} us at rank {rank} of {min(rows, columns)}"
    falls = split < whole
    return LayerChoice(
        path=path,
        rank=rank if falls else None,
        reason=f"cost falls: {compared}" if falls else f"cost would not fall: {compared}",
        estimated_cost_us=(whole, split),
    )
