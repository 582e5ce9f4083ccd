"""An estimated latency: of a device that did not run the network, layer by layer, with its interval and its ground."""

import math
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgekd.core.errors import ConfigError
from edgekd.predict.fitted import fitted, part_of, published_amounts, published_errors, published_makeups
from edgekd.predict.ground import SAME_CLOCK, Found, Nearness
from edgekd.predict.kinds import covered_kind
from edgekd.predict.layers import Layer, Precision
from edgekd.predict.likeness import corrections, distances, makeup
from edgekd.predict.published import Group
from edgekd.predict.strangeness import interval_scale
from edgekd.predict.target_ground import ground_of, is_class
from edgekd.predict.terms import amounts_of
from edgekd.targets import Target

FORMAT = 1
COVERAGE = 0.9
_CALIBRATE = "`edgekd targets calibrate` measures what gives ground"


class LayerEstimate(msgspec.Struct, frozen=True, kw_only=True):
    """The part of an estimate that one layer takes."""

    layer: str
    operator: str
    kind: str
    layer_macs: int
    estimated_ms: float


class Ground(msgspec.Struct, frozen=True, kw_only=True):
    """Published points that an estimate rests on: a table of one device."""

    published_device: str
    published_threads: int
    published_precision: str
    published_networks: int
    published_with: str
    published_on: str
    published_in: str


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """A latency that was computed, not measured; nothing turns it into a ``Measurement``, and they share no field.

    *estimated_ms* lies in [*least_ms*, *most_ms*] with the probability *probability*; the interval holds what another
    runtime than that of the published points may change. Without that, for the published runtime, it would be
    [*least_as_published_ms*, *most_as_published_ms*]. *nearness* is how near the points of *ground* are.
    """

    estimate_format: int
    estimated_network: str
    estimated_for: str
    estimated_precision: Precision
    estimated_threads: int
    estimated_ms: float
    probability: float
    least_ms: float
    most_ms: float
    least_as_published_ms: float
    most_as_published_ms: float
    nearness: Nearness
    ground: tuple[Ground, ...]
    caveats: tuple[str, ...]
    estimated_layers: tuple[LayerEstimate, ...]


def estimate(
    layers: Sequence[Layer], target: Target, *, network: str, precision: Precision, threads: int, cluster: str
) -> Estimate:
    """Return the estimate of a network of *layers* on *cluster* of *target*.

    Raises ConfigError where there is no ground: a GPU, a device with neither points nor a core like published ones, a
    precision or thread count that no point has.
    """
    found = ground_of(target, precision, threads, cluster)
    if isinstance(found, str):
        message = f"{target.name}: {found}; {_CALIBRATE}."
        raise ConfigError(message)
    amounts = amounts_of(layers, precision)
    costs = np.exp(found.prices - _expected_error(layers, precision, threads)) * amounts
    total = float(costs.sum())
    if total <= 0:
        message = f"{network}: it has no layers that take time; nothing is estimated."
        raise ConfigError(message)
    rare = _rare(layers, costs.sum(axis=1) / total)
    known = math.hypot(_width(found, amounts.sum(axis=0), precision), fitted().rare_width * sum(rare.values()))
    whole = math.hypot(known, fitted().runtime_width)
    return Estimate(
        estimate_format=FORMAT,
        estimated_network=network,
        estimated_for=target.name,
        estimated_precision=precision,
        estimated_threads=threads,
        estimated_ms=total,
        probability=COVERAGE,
        least_ms=total * math.exp(-whole),
        most_ms=total * math.exp(whole),
        least_as_published_ms=total * math.exp(-known),
        most_as_published_ms=total * math.exp(known),
        nearness=found.nearness,
        ground=tuple(_told(group) for group in found.groups),
        caveats=tuple(_caveats(found, target, rare, cluster)),
        estimated_layers=tuple(
            LayerEstimate(
                layer=layer.name,
                operator=layer.operator,
                kind=layer.kind,
                layer_macs=layer.macs,
                estimated_ms=float(cost),
            )
            for layer, cost in zip(layers, costs.sum(axis=1), strict=True)
        ),
    )


def _width(found: Found, amounts: NDArray[np.float64], precision: Precision) -> float:
    """Return the half width of the interval of the log latency of a network of *amounts*."""
    scale = interval_scale(found.prices, amounts, published_amounts(precision))
    return part_of(precision).widths[found.nearness] * scale


def _expected_error(layers: Sequence[Layer], precision: Precision, threads: int) -> float:
    """Return what the log latency of a network is expected to be off by prices alone, by published networks like it."""
    distance = distances(makeup(layers)[None], published_makeups(precision))
    return float(corrections(distance, published_errors(precision, threads))[0])


def _rare(layers: Sequence[Layer], part: NDArray[np.float64]) -> dict[str, float]:
    """Return which part of the time is in kinds of layers that few published networks have."""
    found: dict[str, float] = {}
    for layer, share in zip(layers, part, strict=True):
        kind = covered_kind(layer)
        if kind not in fitted().common_kinds:
            found[kind] = found.get(kind, 0.0) + float(share)
    return found


def _told(group: Group) -> Ground:
    """Return where the points of a group come from."""
    lines = [point.line for point in group.points]
    return Ground(
        published_device=group.device,
        published_threads=group.threads,
        published_precision=group.precision,
        published_networks=len(group.points),
        published_with=group.runtime,
        published_on=group.date,
        published_in=f"{group.source}:{min(lines)}-{max(lines)}",
    )


def _caveats(found: Found, target: Target, rare: dict[str, float], cluster: str) -> list[str]:
    """Return what speaks against the estimate, a sentence each without its full stop."""
    told = [
        (
            "the points were measured with ncnn, not with ONNX Runtime; the interval holds how far other CPU runtimes "
            f"differ from ncnn in {fitted().runtime_pairs} published pairs, of which none is of ONNX Runtime"
        )
    ]
    clock = target.device.clusters[cluster].clock_ghz
    clocks = {group.clock_ghz for group in found.groups if group.clock_ghz is not None}
    if any(abs(one / clock - 1) > SAME_CLOCK for one in clocks):
        said = " and ".join(f"{one:g}" for one in sorted(clocks))
        told.append(f"the points are of {said} GHz, scaled to {clock:g} GHz as if memory kept pace")
    if found.nearness != "board":
        likeness = "the same core" if found.nearness == "core" else "a core of the same family"
        told.append(f"no point is of this board: these are of {likeness} elsewhere")
    if is_class(target):
        told.append("the target stands for a class of devices; one of them may be faster or slower")
    told += [
        f"{share:.0%} of the time is in layers that fewer than three published networks have ({kind})"
        for kind, share in rare.items()
        if share >= 0.01  # noqa: PLR2004 - less changes nothing
    ]
    return told
