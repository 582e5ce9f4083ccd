"""Grids from real images."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from onnx import ModelProto

from edgekd.quantize.calibrate import calibrated, calibrated_grids
from edgekd.quantize.fake import LOW
from edgekd.quantize.placement import PLACEMENTS, place
from edgekd.quantize.simulation import SimulatedGraph
from edgekd.targets import PlacementName


def simulate(graph: ModelProto, placement: PlacementName) -> SimulatedGraph:
    """Return the float simulation of *graph* placed for a runtime."""
    return SimulatedGraph(graph, place(graph.graph, PLACEMENTS[placement]))


def images(count: int = 70) -> torch.Tensor:
    """Return random images of the hand-written network; 70 are more than one batch."""
    return torch.randn(count, 2, 8, 8, generator=torch.Generator().manual_seed(0))


def test_every_quantized_activation_gets_a_grid(residual: ModelProto, placement: PlacementName) -> None:
    """No edge of the placement is left without."""
    simulation = simulate(residual, placement)
    assert calibrated_grids(simulation, images()).keys() == simulation.places.readers.keys()


def test_what_a_relu_gives_starts_at_the_lowest_level(residual: ModelProto) -> None:
    """With zero point -128, level -128 is 0: the Relu itself has nothing left to do and folds away."""
    grids = calibrated_grids(simulate(residual, "onnxruntime-arm64"), images())
    assert {grids[value].zero_point for value in ("r0", "r1", "r2", "r3", "r4", "pooled")} == {LOW}


def test_tensorrt_demands_zero_points_of_zero(residual: ModelProto) -> None:
    """Every grid of that placement is symmetric."""
    grids = calibrated_grids(simulate(residual, "tensorrt"), images())
    assert {grid.zero_point for grid in grids.values()} == {0}


def test_shared_scales_are_shared(residual: ModelProto) -> None:
    """What Flatten gives lies on the grid of what it takes."""
    grids = calibrated_grids(simulate(residual, "onnxruntime-arm64"), images())
    assert grids["flat"] == grids["pooled"]


def test_all_batches_are_looked_at(residual: ModelProto) -> None:
    """A value far out in the last of two batches widens the range."""
    simulation, calm = simulate(residual, "onnxruntime-arm64"), images().clamp(-1, 1)
    loud = calm.clone()
    loud[-1] *= 50
    before, after = calibrated_grids(simulation, calm), calibrated_grids(simulation, loud)
    assert after["input"].scale > 2 * before["input"].scale


def test_calibration_refuses_a_graph_that_is_rounded_already(residual: ModelProto, digits: NDArray[np.float32]) -> None:
    """Ranges of rounded values would be rounded twice: a mistake in the program, not of a person."""
    simulation = simulate(residual, "tensorrt")
    simulation.quantize(calibrated(simulation, images()))
    with pytest.raises(ValueError, match="float graph"):
        calibrated_grids(simulation, torch.from_numpy(digits))
