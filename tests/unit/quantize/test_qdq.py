"""The file that ships: what is quantized in it, what its numbers are, and which kernels it gets."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper, parser
from quantized import Quantized

from edgekd.networks.session import answers, open_session
from edgekd.quantize.calibrate import full_scales
from edgekd.quantize.fake import Encodings, Grid, quantize_weight, weight_scales
from edgekd.quantize.placement import PLACEMENTS, place
from edgekd.quantize.qdq import write_qdq
from edgekd.quantize.simulation import SimulatedGraph
from edgekd.targets import PlacementName

QUANTIZERS = {"QuantizeLinear", "DequantizeLinear"}
WEIGHTED = {"Conv", "Gemm", "MatMul", "FusedConv", "FusedGemm", "FusedMatMul"}


def by_hand(residual: ModelProto, placement: PlacementName) -> ModelProto:
    """Return the hand-written network quantized on grids chosen by hand."""
    places = place(residual.graph, PLACEMENTS[placement])
    zero_point = 0 if places.symmetric else -128
    grids = {value: Grid(scale=0.5, zero_point=zero_point) for value in places.readers}
    weights = full_scales(SimulatedGraph(residual, places))
    return write_qdq(residual, places, Encodings(activations=grids, weights=weights))


def constants_of(model: ModelProto) -> dict[str, NDArray[Any]]:
    """Return the initializers by name."""
    return {i.name: numpy_helper.to_array(i) for i in model.graph.initializer}


def sources_of(model: ModelProto) -> dict[str, list[str]]:
    """Return for each compute node where its inputs come from: ``q(x)`` for a Q/DQ pair, ``dq(x)`` for DQ only."""
    makers = {output: node for node in model.graph.node for output in node.output}

    def source(value: str) -> str:
        maker = makers.get(value)
        if maker is None or maker.op_type != "DequantizeLinear":
            return value
        quantizer = makers.get(maker.input[0])
        return f"dq({maker.input[0]})" if quantizer is None else f"q({quantizer.input[0]})"

    return {node.name: [source(value) for value in node.input] for node in compute_nodes(model)}


def compute_nodes(model: ModelProto) -> list[NodeProto]:
    """Return every node but Q and DQ."""
    return [node for node in model.graph.node if node.op_type not in QUANTIZERS]


def test_tensorrt_reads_int8_at_layers_and_shortcuts_and_floats_elsewhere(residual: ModelProto) -> None:
    """By hand: Q/DQ on every Conv and Gemm input and every shortcut, DQ only on weights, biases float."""
    assert sources_of(by_hand(residual, "tensorrt")) == {
        "stem": ["q(input)", "dq(stem.weight_q)", "stem.bias"],
        "relu0": ["stem_out"],
        "a1": ["q(r0)", "dq(a1.weight_q)"],
        "relu1": ["a1_out"],
        "a2": ["q(r1)", "dq(a2.weight_q)", "a2.bias"],
        "a_add": ["a2_out", "q(r0)"],
        "relu2": ["a_sum"],
        "b_short": ["q(r2)", "dq(b_short.weight_q)"],
        "b1": ["q(r2)", "dq(b1.weight_q)"],
        "relu3": ["b1_out"],
        "b2": ["q(r3)", "dq(b2.weight_q)"],
        "b_add": ["q(b_short_out)", "b2_out"],
        "relu4": ["b_sum"],
        "pool": ["r4"],
        "flatten": ["pooled"],
        "head": ["q(flat)", "dq(head.weight_q)", "head.bias"],
    }


def test_tensorrt_has_a_pair_for_each_reader_and_zero_points_of_zero(residual: ModelProto) -> None:
    """Seven edges, two of them read twice: nine pairs, none read by two nodes; every zero point is 0."""
    model = by_hand(residual, "tensorrt")
    pairs = [node for node in model.graph.node if node.op_type == "QuantizeLinear"]
    ends = Counter(value for node in compute_nodes(model) for value in node.input if value.endswith("_dq"))
    constants = constants_of(model)
    assert len(pairs) == 9
    assert set(ends.values()) == {1}
    assert not any(constants[node.input[2]].any() for node in model.graph.node if node.op_type in QUANTIZERS)
    assert all(constants[node.input[1]].shape == () for node in pairs)
    assert not any(array.dtype == np.int32 for array in constants.values())


def test_onnx_runtime_shares_pairs_and_gets_int32_biases(residual: ModelProto) -> None:
    """By hand: eleven edges, a pair each; biases are dequantized integers named after their node."""
    model = by_hand(residual, "onnxruntime-arm64")
    sources = sources_of(model)
    assert sum(node.op_type == "QuantizeLinear" for node in model.graph.node) == 11
    assert sources["stem"] == ["q(input)", "dq(stem.weight_q)", "dq(stem_bias_q)"]
    assert sources["a_add"] == ["q(a2_out)", "q(r0)"]
    assert sources["head"] == ["q(flat)", "dq(head.weight_q)", "dq(head_bias_q)"]


def test_biases_count_steps_of_input_times_weight(residual: ModelProto) -> None:
    """Integer bias times its scale is the float bias within half a step, and the step is 0.5 * weight scale."""
    constants, floats = constants_of(by_hand(residual, "onnxruntime-arm64")), constants_of(residual)
    steps = constants["stem_bias_scale"]
    np.testing.assert_allclose(steps, 0.5 * constants["stem.weight_scale"])
    assert constants["stem_bias_q"].dtype == np.int32
    assert (np.abs(constants["stem_bias_q"] * steps - floats["stem.bias"]) <= steps / 2 + 1e-7).all()


def test_weights_on_disk_are_the_int8_of_the_trained_floats(residual: ModelProto, placement: PlacementName) -> None:
    """Per output channel, zero points 0, and no float copy of them left."""
    constants, floats = constants_of(by_hand(residual, placement)), constants_of(residual)
    for name in (name for name in floats if name.endswith("weight")):
        weight = torch.from_numpy(floats[name].copy())
        is_single = name.startswith("head") and placement == "qnn"
        scales = weight_scales(weight, None if is_single else 0)
        levels = quantize_weight(weight, scales)
        np.testing.assert_array_equal(constants[f"{name}_q"], levels.numpy())
        np.testing.assert_array_equal(np.ravel(constants[f"{name}_scale"]), scales.flatten().numpy())
        assert name not in constants


def test_every_file_is_valid_and_holds_no_float_weights(quantized: Quantized) -> None:
    """ONNX's own checker; float constants are scales, small ones and, for TensorRT, biases: no tensor of two axes."""
    onnx.checker.check_model(quantized.qdq, full_check=True)
    floats = [i for i in quantized.qdq.graph.initializer if i.data_type == TensorProto.FLOAT]
    assert max(len(i.dims) for i in floats) <= 1
    weights = [i for i in quantized.qdq.graph.initializer if len(i.dims) > 1]
    assert {i.data_type for i in weights} == {TensorProto.INT8}
    assert len(weights) == len(quantized.places.weights)


def test_activation_scales_and_zero_points_are_scalars(quantized: Quantized) -> None:
    """Shape (1,) keeps ONNX Runtime from fusing: both are 0-d, float32 and 8 bits, signed as the placement has it."""
    kind = np.uint8 if quantized.places.unsigned else np.int8
    constants = constants_of(quantized.qdq)
    for node in (node for node in quantized.qdq.graph.node if node.op_type == "QuantizeLinear"):
        scale, zero_point = constants[node.input[1]], constants[node.input[2]]
        assert scale.shape == zero_point.shape == ()
        assert (scale.dtype, zero_point.dtype) == (np.dtype(np.float32), np.dtype(kind))


def test_equal_constants_are_written_once_and_pairs_have_no_names(quantized: Quantized) -> None:
    """Small files: one initializer for each zero point, no name where the output's says it; layers keep theirs."""
    names = [i.name for i in quantized.qdq.graph.initializer]
    shift, letter = (128, "u") if quantized.places.unsigned else (0, "")
    zero_points = {grid.zero_point + shift for grid in quantized.encodings.activations.values()}
    single = {"zero_point_0"} if any(w.axis is None for w in quantized.places.weights.values()) else set()
    assert len(names) == len(set(names))
    assert {name for name in names if name.startswith("zero_point_")} == {
        f"zero_point_{letter}{z}" for z in zero_points
    } | single
    assert [n.name for n in compute_nodes(quantized.qdq)] == [n.name for n in quantized.graph.graph.node]
    assert sum(bool(node.name) for node in quantized.qdq.graph.node) == len(quantized.graph.graph.node)


def test_the_float_graph_stays_as_it_was(residual: ModelProto, placement: PlacementName) -> None:
    """Quantizing writes a copy."""
    before = residual.SerializeToString()
    by_hand(residual, placement)
    assert residual.SerializeToString() == before


def test_moving_operators_read_and_write_one_scale(for_onnxruntime: Quantized) -> None:
    """MaxPool and Flatten have the same scale constant on both sides, so that they run on integers."""
    readers = {n.input[0]: n for n in for_onnxruntime.qdq.graph.node if n.op_type == "QuantizeLinear"}
    makers = {output: node for node in for_onnxruntime.qdq.graph.node for output in node.output}
    moving = [node for node in compute_nodes(for_onnxruntime.qdq) if node.op_type in {"Flatten", "MaxPool"}]
    assert moving
    for node in moving:
        assert readers[node.output[0]].input[1] == makers[node.input[0]].input[1]


def test_onnx_runtime_runs_every_layer_in_an_integer_kernel(for_onnxruntime: Quantized, tmp_path: Path) -> None:
    """In the graph that ONNX Runtime optimizes as on ARM64 each Conv is a QLinearConv, each Gemm a QGemm."""
    optimized = tmp_path / "optimized.onnx"
    open_session(for_onnxruntime.qdq, arithmetic="arm64-kernels", save_optimized=optimized)
    found = Counter(node.op_type for node in onnx.load(optimized).graph.node)
    asked = Counter(node.op_type for node in for_onnxruntime.graph.graph.node)
    assert not WEIGHTED & found.keys()
    assert (found["QLinearConv"], found["QGemm"]) == (asked["Conv"], asked["Gemm"])


def test_integer_kernels_answer_as_the_reference_does(for_onnxruntime: Quantized, digits: NDArray[np.float32]) -> None:
    """Fused kernels round ties elsewhere, no more: hardly a digit changes its class."""
    expected = answers(open_session(for_onnxruntime.qdq, arithmetic="reference"), [(digits,)])
    found = answers(open_session(for_onnxruntime.qdq, arithmetic="arm64-kernels"), [(digits,)])
    assert (found.argmax(1) == expected.argmax(1)).mean() >= 0.98


def test_a_name_that_the_network_has_already_is_not_given_away_again() -> None:
    """Values and parameters called as a scale, a level or a zero point would be: the file answers as one without."""
    names = ("pixels_scale", "pixels_q", "pixels_dq", "zero_point_0", "conv.weight_scale", "conv.weight_q")
    for name in names:
        plain, awkward = (with_output(output) for output in ("answer", name))
        expected, found = (open_session(model).run(None, {"pixels": IMAGE})[0] for model in (plain, awkward))
        onnx.checker.check_model(awkward, full_check=True)
        np.testing.assert_array_equal(found, expected)


IMAGE = np.linspace(-1, 1, 16, dtype=np.float32).reshape(1, 1, 4, 4)


def with_output(name: str) -> ModelProto:
    """Return a quantized network of one convolution and a square root of its size, whose output has a *name*."""
    model = parser.parse_model(
        '<ir_version: 8, opset_import: ["": 18]> g (float[n, 1, 4, 4] pixels) => (float[n, 2, 4, 4] answer) '
        "<float[2, 1, 1, 1] weight = {1, -2}> { c = Conv(pixels, weight) a = Abs(c) answer = Sqrt(a) }"
    )
    for number, node in enumerate(model.graph.node):
        node.name = f"node{number}"
        node.input[:] = ["conv.weight" if value == "weight" else value for value in node.input]
        node.output[:] = [name if value == "answer" else value for value in node.output]
    model.graph.initializer[0].name, model.graph.output[0].name = "conv.weight", name
    places = place(model.graph, PLACEMENTS["onnxruntime-arm64"])
    grids = {value: Grid(scale=0.25, zero_point=0) for value in places.readers}
    return write_qdq(model, places, Encodings(activations=grids, weights=full_scales(SimulatedGraph(model, places))))
