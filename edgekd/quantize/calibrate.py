"""Encodings for a graph: grids for every quantized activation from real samples, scales for its weights."""

from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor

from edgekd.quantize.fake import Encodings, Grid, weight_scales
from edgekd.quantize.ranges import least_error_grid, thinned
from edgekd.quantize.simulation import SimulatedGraph

BATCH: Final = 64
SAMPLES: Final = 200_000
"""Values of each activation that the search looks at."""


def calibrated(simulation: SimulatedGraph, *inputs: Tensor) -> Encodings:
    """Return the encodings of the float graph that *inputs* ask for: least-error grids, weights in full.

    Shape of each of *inputs*: (n, ...). Activations that share a scale get the grid of the one they share it with.
    """
    return Encodings(activations=calibrated_grids(simulation, *inputs), weights=full_scales(simulation))


def full_scales(simulation: SimulatedGraph) -> Mapping[str, tuple[float, ...]]:
    """Return the scales that hold each weight of *simulation* in full."""
    return {
        weight.name: tuple(weight_scales(simulation.initializer(weight.name), weight.axis).flatten().tolist())
        for weight in simulation.places.weights.values()
    }


def calibrated_grids(simulation: SimulatedGraph, *inputs: Tensor) -> Mapping[str, Grid]:
    """Return the least-error grid for each quantized activation of the float graph on *inputs*."""
    if simulation.is_quantized:
        message = "calibration sees the float graph; this one is rounded already"
        raise ValueError(message)
    places = simulation.places
    sources = sorted(set(places.scale_of.values()))
    seen: dict[str, list[Tensor]] = {name: [] for name in sources}
    per_batch = SAMPLES * BATCH // max(BATCH, len(inputs[0]))
    with torch.no_grad():
        for start in range(0, len(inputs[0]), BATCH):
            values = simulation.values(*(tensor[start : start + BATCH] for tensor in inputs))
            for name in sources:
                seen[name].append(thinned(values[name], per_batch))
    grids = {name: least_error_grid(torch.cat(seen[name]), symmetric=places.symmetric) for name in sources}
    return {value: grids[source] for value, source in places.scale_of.items()}
