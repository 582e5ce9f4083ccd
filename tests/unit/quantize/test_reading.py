"""A quantized file read back is what was written."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from onnx import ModelProto, helper
from quantized import Quantized

from edgekd.core.errors import ConfigError
from edgekd.quantize.placement import Places
from edgekd.quantize.reading import read_qdq, simulated
from edgekd.targets import PlacementName


def layers(places: Places) -> dict[str, tuple[str, int | None, str, bool]]:
    """Return the quantized layers by name, without the names of their biases: the file has its own for these."""
    return {
        node: (weight.name, weight.axis, weight.input_value, weight.bias is None)
        for node, weight in places.weights.items()
    }


def test_grids_and_places_come_back(quantized: Quantized, placement: PlacementName) -> None:
    """Every activation with its grid and readers, every weight with its scales, from the file alone."""
    read = read_qdq(quantized.qdq)
    assert read.encodings.activations == quantized.encodings.activations
    assert read.encodings.weights.items() >= dict(quantized.encodings.weights).items()
    assert {v: set(r) for v, r in read.places.readers.items()} == {
        v: set(r) for v, r in quantized.places.readers.items()
    }
    assert layers(read.places) == layers(quantized.places)
    assert read.places.outputs == quantized.places.outputs
    assert read.places.symmetric == (placement == "tensorrt")
    assert read.places.integer_bias == quantized.places.integer_bias


def test_it_answers_as_the_network_that_was_tuned(quantized: Quantized, digits: NDArray[np.float32]) -> None:
    """The simulation of the file and the one that the file was written from: the same logits, but for the last bit."""
    with torch.no_grad():
        found = simulated(quantized.qdq)(torch.from_numpy(digits))
        expected = quantized.simulation.eval()(torch.from_numpy(digits))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * expected.abs().max().item())


def test_a_dequantizer_of_anything_else_is_refused(residual: ModelProto) -> None:
    """Integers that are computed are not what edgekd writes; the sentence names the node."""
    foreign = ModelProto()
    foreign.CopyFrom(residual)
    foreign.graph.node.append(helper.make_node("DequantizeLinear", ["somewhere", "scale"], ["odd"], name="odd_one"))
    with pytest.raises(ConfigError, match="odd_one"):
        read_qdq(foreign)
