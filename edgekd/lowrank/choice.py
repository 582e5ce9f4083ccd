"""Which layers to factorize: those whose estimated cost falls. Every other layer gets a reason."""

from collections.abc import Callable, Mapping, Sequence

import msgspec
from torch import nn

from edgekd.lowrank.forms import Form
from edgekd.lowrank.svd import matrix_of, rank_for_energy, singular_values
from edgekd.networks.factor import can_factorize

Cost = Callable[[Sequence[Form]], float]
"""What gives the estimated microseconds of layers of these forms on the target."""


class LayerChoice(msgspec.Struct, frozen=True, kw_only=True):
    """What happens to one layer: a *rank*, or the reason why it is left alone (then *rank* is None).

    *estimated_cost_us* is (whole, factorized), both at the target's prices; None where no rank applies.
    """

    path: str
    rank: int | None
    reason: str
    estimated_cost_us: tuple[float, float] | None = None


def choose(
    module: nn.Module, forms: Mapping[str, Sequence[Form]], cost_us: Cost, *, energy: float, multiple: int
) -> tuple[LayerChoice, ...]:
    """Return a choice for each linear and convolution layer of *module*, in its order; *forms* as ``forms_of`` gives.

    The rank is the smallest multiple of *multiple* that keeps the part *energy* of the squared singular
    values, and never above full rank.
    """
    return tuple(
        _choose_layer(path, layer, forms.get(path, ()), cost_us, energy=energy, multiple=multiple)
        for path, layer in module.named_modules()
        if isinstance(layer, nn.Conv2d | nn.Linear)
    )


def _choose_layer(
    path: str, layer: nn.Module, whole: Sequence[Form], cost_us: Cost, *, energy: float, multiple: int
) -> LayerChoice:
    """Return the choice for one layer that is used in these forms."""
    reason = can_factorize(layer)
    if reason is not None:
        return LayerChoice(path=path, rank=None, reason=reason)
    if not whole:
        return LayerChoice(path=path, rank=None, reason="not used in the forward pass")
    full = min(matrix_of(layer).shape)
    needed = rank_for_energy(singular_values(layer), energy)
    rank = min(-(-needed // multiple) * multiple, full)
    split = [form for one in whole for form in one.split(rank)]
    costs = cost_us(whole), cost_us(split)
    compared = f"estimated {costs[0]:.1f} -> {costs[1]:.1f} us at rank {rank} of {full}"
    if costs[1] >= costs[0]:
        verdict = "cost would not fall"
    elif _macs(split) > _macs(whole):
        verdict = "arithmetic would rise"
    else:
        return LayerChoice(path=path, rank=rank, reason=f"cost falls: {compared}", estimated_cost_us=costs)
    return LayerChoice(path=path, rank=None, reason=f"{verdict}: {compared}", estimated_cost_us=costs)


def _macs(forms: Sequence[Form]) -> int:
    """Return the multiply-accumulates of layers of these forms."""
    return sum(form.macs for form in forms)
