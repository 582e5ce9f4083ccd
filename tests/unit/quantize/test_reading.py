"""A quantized file read back is what was written."""

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import ModelProto, helper, parser
from quantized import Quantized

from edgekd.core.errors import ConfigError
from edgekd.networks.session import open_session
from edgekd.quantize.calibrate import calibrated
from edgekd.quantize.placement import PLACEMENTS, Places, place
from edgekd.quantize.qdq import write_qdq
from edgekd.quantize.reading import read_qdq, simulated
from edgekd.quantize.simulation import SimulatedGraph
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


def test_a_rounded_output_takes_no_name_of_the_network() -> None:
    """The network has a ``y_real`` of its own beside y: both keep their numbers, and the file is read back."""
    graph = parser.parse_model(
        '<ir_version: 8, opset_import: ["": 18]> g (float[n, 1, 4, 4] x) => (float[n, 1, 4, 4] y, float[n, 1, 4, 4] z)'
        " <float[1, 1, 1, 1] two = {2}, float[1, 1, 1, 1] three = {3}> "
        "{ [first] y_real = Conv (x, two)  [second] y = Conv (y_real, three)  [last] z = Relu (y_real) }"
    )
    places = place(graph.graph, PLACEMENTS["onnxruntime-arm64"])
    assert places.outputs >= {"y"}
    images = torch.linspace(-1, 1, 64).reshape(4, 1, 4, 4)
    encodings = calibrated(SimulatedGraph(graph, places), images)
    made = write_qdq(graph, places, encodings)
    onnx.checker.check_model(made, full_check=True)
    y, z = open_session(made, arithmetic="reference").run(None, {"x": images.numpy()})
    np.testing.assert_allclose(y, 6 * images.numpy(), atol=0.05)
    np.testing.assert_allclose(z, 2 * images.numpy().clip(0), atol=0.05)
    read = read_qdq(made)
    assert [list(node.output) for node in read.graph.graph.node] == [["y_real"], ["y"], ["z"]]
    assert read.encodings.activations == encodings.activations
