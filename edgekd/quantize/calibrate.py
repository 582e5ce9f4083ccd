"""Encodings for a graph: grids for every quantized activation from real samples, scales for its weights."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import torch
from torch import Tensor

from edgekd.core.errors import ConfigError
from edgekd.quantize.fake import Encodings, Grid, weight_scales
from edgekd.quantize.observers import OBSERVERS, Observer
from edgekd.quantize.ranges import least_error_scales
from edgekd.quantize.recipe import CalibrationMethod, WeightMethod
from edgekd.quantize.samples import BATCH, Samples, held
from edgekd.quantize.simulation import SimulatedGraph

KEPT: Final = 200_000
"""Values of each activation that a search which keeps values looks at."""

WEIGHT_METHODS: Final[Mapping[WeightMethod, Callable[[Tensor, int | None], Tensor]]] = MappingProxyType(
    {"full": weight_scales, "mse": least_error_scales}
)


def calibrated(
    simulation: SimulatedGraph, *inputs: Tensor, method: CalibrationMethod = "mse", weights: WeightMethod = "full"
) -> Encodings:
    """Return the encodings of the float graph that *inputs* ask for, found by *method* and, for weights, *weights*.

    Shape of each of *inputs*: (n, ...). Activations that share a scale get the grid of the one they share it with.
    """
    return encodings_for(simulation, held(*inputs), method=method, weights=weights)


def encodings_for(
    simulation: SimulatedGraph, samples: Samples, *, method: CalibrationMethod = "mse", weights: WeightMethod = "full"
) -> Encodings:
    """Return the encodings of the float graph that *samples* ask for; see ``calibrated``."""
    return Encodings(
        activations=observed_grids(simulation, samples, method=method), weights=weight_encodings(simulation, weights)
    )


def full_scales(simulation: SimulatedGraph) -> Mapping[str, tuple[float, ...]]:
    """Return the scales that hold each weight of *simulation* in full."""
    return weight_encodings(simulation, "full")


def weight_encodings(simulation: SimulatedGraph, method: WeightMethod) -> Mapping[str, tuple[float, ...]]:
    """Return the scales of each weight of *simulation* by *method*."""
    return {
        weight.name: tuple(WEIGHT_METHODS[method](simulation.initializer(weight.name), weight.axis).flatten().tolist())
        for weight in simulation.places.weights.values()
    }


def calibrated_grids(
    simulation: SimulatedGraph, *inputs: Tensor, method: CalibrationMethod = "mse"
) -> Mapping[str, Grid]:
    """Return the grid for each quantized activation of the float graph on *inputs*, found by *method*."""
    return observed_grids(simulation, held(*inputs), method=method)


def observed_grids(
    simulation: SimulatedGraph, samples: Samples, *, method: CalibrationMethod = "mse"
) -> Mapping[str, Grid]:
    """Return the grid for each quantized activation of the float graph on *samples*, found by *method*.

    Memory does not grow with the samples. Raises ConfigError for an activation that is NaN or infinite on one of them.
    """
    if simulation.is_quantized:
        message = "calibration sees the float graph; this one is rounded already"
        raise ValueError(message)
    places = simulation.places
    per_batch = KEPT * BATCH // max(BATCH, samples.count)
    observers = {name: OBSERVERS[method](per_batch) for name in sorted(set(places.scale_of.values()))}
    with torch.no_grad():
        for batch in samples.batches():
            values = simulation.values(*batch)
            for name, observer in observers.items():
                _see(observer, name, values[name])
    grids = {name: observer.grid(symmetric=places.symmetric) for name, observer in observers.items()}
    return {value: grids[source] for value, source in places.scale_of.items()}


def _see(observer: Observer, name: str, values: Tensor) -> None:
    """Let *observer* see the *values* of the activation *name*."""
    if not values.isfinite().all():
        message = (
            f"quantize: the activation '{name}' is NaN or infinite on a calibration sample; "
            "the float network itself does not work on this data: correct its weights or the pre-processing."
        )
        raise ConfigError(message)
    observer.see(values)
