"""Laws of BatchNormalization in front of a layer: the same numbers, by operators that are quantized."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import ModelProto, checker, numpy_helper, parser

from edgekd.export.canonical import canonicalize
from edgekd.export.integer_forms import with_integer_forms
from edgekd.export.norms import with_convolved_norms
from edgekd.export.shapes import fix_batch
from edgekd.networks.session import open_session
from edgekd.quantize.calibrate import calibrated
from edgekd.quantize.coverage import integer_coverage
from edgekd.quantize.placement import PLACEMENTS, place
from edgekd.quantize.qdq import write_qdq
from edgekd.quantize.simulation import SimulatedGraph

STATISTICS = "float[2] s = {3, 1}, float[2] o = {4, -1}, float[2] m = {5, 0}, float[2] v = {3, 8}"
"""With epsilon 1: the channels become 1.5 x - 3.5 and x / 3 - 1."""
NORM = "BatchNormalization<epsilon = 1.0>"


def network(body: str, shape: str, constants: str = "") -> ModelProto:
    """Return the canonical form of a network that reads x of *shape* and gives y."""
    values = f"{STATISTICS}{', ' if constants else ''}{constants}"
    model = parser.parse_model(
        f'<ir_version: 8, opset_import: ["": 18]> g (float[n, {shape}] x) => (float[] y) <{values}> {{ {body} }}'
    )
    model.graph.output[0].type.tensor_type.ClearField("shape")
    return canonicalize(model)


def operators(model: ModelProto) -> list[str]:
    """Return the operators in graph order."""
    return [node.op_type for node in model.graph.node]


CASES = {
    "before a convolution": (
        f"a = {NORM}(x, s, o, m, v)  y = Conv(a, w, b)",
        "2, 5, 5",
        "float[1, 2, 1, 2] w = {1, 2, 3, 4}, float[1] b = {7}",
        ["Conv"],
    ),
    "before a convolution of groups": (
        f"a = {NORM}(x, s, o, m, v)  y = Conv<group = 2, strides = [2, 1], pads = [0, 0, 0, 0]>(a, w)",
        "2, 5, 5",
        "float[4, 1, 1, 2] w = {1, 2, 3, 4, 5, 6, 7, 8}",
        ["Conv"],
    ),
    "before padding": (
        f"a = {NORM}(x, s, o, m, v)  y = Conv<pads = [0, 1, 0, 0]>(a, w)",
        "2, 5, 5",
        "float[1, 2, 1, 2] w = {1, 2, 3, 4}",
        ["Conv", "Conv"],
    ),
    "read twice": (
        f"a = {NORM}(x, s, o, m, v)  c = Conv(a, w)  y = Add(a, c)",
        "2, 5",
        "float[2, 2, 1] w = {1, 2, 3, 4}",
        ["Conv", "Conv", "Add"],
    ),
    "before a matrix product": (
        f"a = {NORM}(x, s, o, m, v)  y = Gemm<transB = 1>(a, w, b)",
        "2",
        "float[3, 2] w = {1, 2, 3, 4, 5, 6}, float[3] b = {7, 8, 9}",
        ["Gemm"],
    ),
    "between matrices": (f"y = {NORM}(x, s, o, m, v)", "2", "", ["Mul", "Add"]),
    "of volumes": (f"y = {NORM}(x, s, o, m, v)", "2, 3, 3, 3", "", ["BatchNormalization"]),
}


@pytest.mark.parametrize(("body", "shape", "constants", "expected"), CASES.values(), ids=CASES.keys())
def test_a_norm_becomes_part_of_a_layer_or_one_itself(
    body: str, shape: str, constants: str, expected: list[str]
) -> None:
    """The answers stay, for any batch; only a layer that pads nothing takes the norm in."""
    model = network(body, shape, constants)
    found = with_convolved_norms(model)
    checker.check_model(found, full_check=True)
    assert operators(found) == expected
    x = np.random.default_rng(0).standard_normal((3, *map(int, shape.split(",")))).astype(np.float32)
    before, after = (open_session(one).run(None, {"x": x})[0] for one in (model, found))
    np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-5)


def test_a_norm_goes_into_the_weights_by_its_formula() -> None:
    """Of 1.5 x - 3.5 and x / 3 - 1, the row (2, 3) with bias 1 makes (3, 1) and 1 - 7 - 3 = -9."""
    model = network(
        f"a = {NORM}(x, s, o, m, v)  y = Conv(a, w, b)", "2, 4", "float[1, 2, 1] w = {2, 3}, float[1] b = {1}"
    )
    weight, bias = (numpy_helper.to_array(tensor) for tensor in with_convolved_norms(model).graph.initializer)
    np.testing.assert_allclose(weight.reshape(-1), [3, 1], rtol=1e-6)
    np.testing.assert_allclose(bias, [-9], rtol=1e-6)


def test_a_norm_before_a_padded_convolution_runs_in_integers(tmp_path: Path) -> None:
    """As a network begins that normalizes its images itself: every multiplication is one of integers."""
    model = network(
        f"a = {NORM}(x, s, o, m, v)  c = Conv<pads = [1, 1, 1, 1]>(a, w)  y = Relu(c)",
        "2, 6, 6",
        "float[1, 2, 1, 2] w = {-1, -2, -3, -4}",
    )
    whole = with_integer_forms(model)
    places = place(whole.graph, PLACEMENTS["onnxruntime-arm64"])
    images = np.random.default_rng(0).standard_normal((64, 2, 6, 6)).astype(np.float32)
    made = write_qdq(whole, places, calibrated(SimulatedGraph(whole, places), torch.from_numpy(images)))
    path = tmp_path / "model.onnx"
    onnx.save(fix_batch(made), path)
    assert integer_coverage(path, (images[:1],)).share == 1.0
    real = open_session(model).run(None, {"x": images})[0]
    found = open_session(path, arithmetic="reference").run(None, {"x": images[:1]})[0]
    assert np.abs(found - real[:1]).max() < 0.05 * np.abs(real).max()
