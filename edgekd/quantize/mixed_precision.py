"""Mixed precision: the cheapest layers to leave in float so that a network loses no more than it may."""

from collections.abc import Callable, Sequence

import msgspec

from edgekd.quantize.recipe import Cost
from edgekd.quantize.sensitivity import Sensitivity

Measure = Callable[[frozenset[str]], float]
"""Gives the points that are lost with some layers in float."""


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One measured choice: the layers in float, their cost, and the points that were lost."""

    kept: tuple[str, ...]
    cost: int
    drop_points: float


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """The layers that stay in float, what that loses, and everything that was measured on the way, in its order."""

    kept: frozenset[str]
    drop_points: float
    attempts: tuple[Attempt, ...]


def cheapest(layers: Sequence[Sensitivity], measure: Measure, *, budget: float, by: Cost) -> Choice:
    """Return the cheapest layers found whose staying in float brings the measured drop to *budget* points or less.

    Layers go in the order of their divergence per cost: the shortest row of them that is enough is found by bisection,
    as if every further layer helped, and measured; then each of it, the dearest first, is quantized again if the
    drop allows. With all of them in float there is nothing to lose, so there is always an answer.
    """
    ranked = sorted(layers, key=lambda layer: (-layer.distance.divergence / layer.cost(by), layer.position))
    costs = {layer.layer: layer.cost(by) for layer in layers}
    attempts: dict[frozenset[str], Attempt] = {}

    def enough(kept: frozenset[str]) -> bool:
        if kept not in attempts:
            named = tuple(layer.layer for layer in layers if layer.layer in kept)
            total = sum(costs[name] for name in named)
            attempts[kept] = Attempt(kept=named, cost=total, drop_points=measure(kept))
        return attempts[kept].drop_points <= budget

    kept = frozenset(layer.layer for layer in ranked[: _least(ranked, enough)])
    for name in sorted(kept, key=lambda name: (-costs[name], name)):
        if enough(kept - {name}):
            kept -= {name}
    enough(kept)
    return Choice(kept=kept, drop_points=attempts[kept].drop_points, attempts=tuple(attempts.values()))


def _least(ranked: Sequence[Sensitivity], enough: Callable[[frozenset[str]], bool]) -> int:
    """Return a number of first layers that is enough while one less is not; all of them are taken to be enough."""

    def first(count: int) -> frozenset[str]:
        return frozenset(layer.layer for layer in ranked[:count])

    if enough(first(0)):
        return 0
    reach = 1
    while reach < len(ranked) and not enough(first(reach)):
        reach *= 2
    below, above = reach // 2, min(reach, len(ranked))
    while above - below > 1:
        middle = (below + above) // 2
        below, above = (below, middle) if enough(first(middle)) else (middle, above)
    return above
