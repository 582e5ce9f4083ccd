"""Laws of weights that are read in two ways."""

import numpy as np
import torch
from onnx import ModelProto, parser

from edgekd.export.integer_forms import with_integer_forms
from edgekd.export.own_weights import with_own_weights
from edgekd.networks.session import open_session
from edgekd.quantize.calibrate import calibrated
from edgekd.quantize.dynamic import dynamic
from edgekd.quantize.placement import PLACEMENTS, place
from edgekd.quantize.qdq import write_qdq
from edgekd.quantize.simulation import SimulatedGraph
from edgekd.quantize.weight_only import weight_only


def tied(second: str = "transB = 1") -> ModelProto:
    """Return a network that multiplies by a matrix (2, 3) and by the same one transposed."""
    return parser.parse_model(
        '<ir_version: 8, opset_import: ["": 18]> g (float[n, 2] x) => (float[n, k] y) '
        "<float[2, 3] w = {1, 2, 3, 4, 5, 6}> "
        f"{{ [encoder] h = Gemm (x, w) [decoder] y = Gemm <{second}> (h, w) }}"
    )


def test_each_way_to_read_has_a_constant_and_the_answers_stay() -> None:
    """By hand: [1, 1] gives [5, 7, 9], and that [5 + 14 + 27, 20 + 35 + 54]."""
    own = with_own_weights(tied())
    assert [node.input[1] for node in own.graph.node] == ["w", "w_"]
    np.testing.assert_array_equal(open_session(own).run(None, {"x": np.ones((1, 2), np.float32)})[0], [[46, 109]])
    assert with_own_weights(own) == own


def test_tied_weights_can_be_quantized() -> None:
    """Each has its scales on its own axis: three for three outputs, two for two."""
    graph = with_integer_forms(tied())
    places = place(graph.graph, PLACEMENTS["onnxruntime-arm64"])
    encodings = calibrated(SimulatedGraph(graph, places), torch.rand(64, 2).round(), method="min-max")
    assert {name: len(scales) for name, scales in encodings.weights.items()} == {"w": 3, "w_": 2}
    x = np.ones((1, 2), np.float32)
    for file in (write_qdq(graph, places, encodings), weight_only(with_own_weights(tied()))):
        np.testing.assert_allclose(open_session(file).run(None, {"x": x})[0], [[46, 109]], rtol=0.03)


def test_a_matrix_that_is_read_turned_over_is_quantized_as_it_is_read() -> None:
    """Over three dimensions no Gemm turns it over: by hand, [1, 1] gives [5, 7, 9], and that [46, 109]."""
    graph = parser.parse_model(
        '<ir_version: 8, opset_import: ["": 18]> g (float[n, 4, 2] x) => (float[n, 4, 2] y) '
        "<float[2, 3] w = {1, 2, 3, 4, 5, 6}> "
        "{ [encoder] h = MatMul (x, w) [turn] t = Transpose <perm = [1, 0]> (w) [decoder] y = MatMul (h, t) }"
    )
    own = with_integer_forms(graph)
    assert [node.op_type for node in own.graph.node] == ["MatMul", "MatMul"]
    places = place(own.graph, PLACEMENTS["onnxruntime-arm64"])
    assert {name: (weight.name, weight.axis) for name, weight in places.weights.items()} == {
        "encoder": ("w", 1),
        "decoder": ("t", 1),
    }
    x = np.ones((1, 4, 2), np.float32)
    for file in (own, weight_only(own), dynamic(own)):
        found = open_session(file, arithmetic="widened").run(None, {"x": x})[0]
        np.testing.assert_allclose(found[0, 0], [46, 109], rtol=0.03)
