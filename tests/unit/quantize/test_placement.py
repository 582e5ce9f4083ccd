"""Where quantization goes, by hand on a small residual network."""

import numpy as np
import onnx
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper, parser

from edgekd.quantize.placement import PLACEMENTS, Weight, place
from edgekd.targets import PlacementName


def test_onnx_runtime_gets_every_edge_that_no_kernel_swallows(residual: ModelProto) -> None:
    """All but the output, and but what Relu takes: it folds into the kernel before it."""
    places = place(residual.graph, PLACEMENTS["onnxruntime-arm64"])
    assert dict(places.readers) == {
        "input": ("stem",),
        "r0": ("a1", "a_add"),
        "r1": ("a2",),
        "a2_out": ("a_add",),
        "r2": ("b_short", "b1"),
        "r3": ("b2",),
        "b_short_out": ("b_add",),
        "b2_out": ("b_add",),
        "r4": ("pool",),
        "pooled": ("flatten",),
        "flat": ("head",),
    }
    assert (places.symmetric, places.integer_bias, places.dedicated) == (False, True, False)


def test_tensorrt_gets_inputs_of_layers_and_shortcuts_alone(residual: ModelProto) -> None:
    """Each Conv and Gemm reads int8; of an Add only the shortcut does: the other side fuses with the layer before.

    In block b both sides come from a convolution: the shortcut is the side with fewer layers before it.
    """
    places = place(residual.graph, PLACEMENTS["tensorrt"])
    assert dict(places.readers) == {
        "input": ("stem",),
        "r0": ("a1", "a_add"),
        "r1": ("a2",),
        "r2": ("b_short", "b1"),
        "r3": ("b2",),
        "b_short_out": ("b_add",),
        "flat": ("head",),
    }
    assert (places.symmetric, places.integer_bias, places.dedicated) == (True, False, True)


def test_operators_that_only_move_values_share_the_scale(residual: ModelProto) -> None:
    """Flatten changes no number, so its output has its input's scale; every other value has its own."""
    places = place(residual.graph, PLACEMENTS["onnxruntime-arm64"])
    assert places.scale_of["flat"] == "pooled"
    assert all(places.scale_of[value] == value for value in places.readers if value != "flat")


@pytest.mark.parametrize(
    ("after", "is_shared"),
    [
        (helper.make_node("DepthToSpace", ["r"], ["moved"], name="move", blocksize=2, mode="CRD"), True),
        (helper.make_node("Slice", ["r", "starts", "ends"], ["moved"], name="move"), True),
        (helper.make_node("Resize", ["r", "", "scales"], ["moved"], name="move"), True),
        (helper.make_node("Resize", ["r", "", "scales"], ["moved"], name="move", mode="linear"), False),
    ],
)
def test_a_node_that_interpolates_has_a_scale_of_its_own(after: NodeProto, *, is_shared: bool) -> None:
    """Moving, cutting and repeating values keeps the scale; a mean of two values is a number between."""
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4, 4, 4])
    made = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    weight = numpy_helper.from_array(np.ones((4, 4, 1, 1), np.float32), "w")
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="conv"),
        helper.make_node("Relu", ["c"], ["r"], name="relu"),
        after,
        helper.make_node("GlobalAveragePool", ["moved"], ["pooled"], name="pool"),
        helper.make_node("Conv", ["pooled", "w"], ["y"], name="last"),
    ]
    constants = {"starts": [0], "ends": [1], "scales": [1, 1, 2, 2]}
    initializers = [weight, *(numpy_helper.from_array(np.array(array), name) for name, array in constants.items())]
    places = place(helper.make_graph(nodes, "g", [given], [made], initializers), PLACEMENTS["onnxruntime-arm64"])

    assert "move" in places.readers["r"]
    assert (places.scale_of.get("moved") == "r") == is_shared


def test_weights_are_known_by_node_with_their_output_axis(residual: ModelProto) -> None:
    """Axis 0 counts outputs in a Conv and in a Gemm with transB."""
    weights = place(residual.graph, PLACEMENTS["tensorrt"]).weights
    assert weights["a1"] == Weight(name="a1.weight", axis=0, input_value="r0", bias=None)
    assert weights["head"] == Weight(name="head.weight", axis=0, input_value="flat", bias="head.bias")
    assert list(weights) == ["stem", "a1", "a2", "b_short", "b1", "b2", "head"]


def test_a_plain_matrix_product_counts_outputs_on_axis_1() -> None:
    """The columns of MatMul's right side are its outputs."""
    graph = one_node("MatMul", ["x", "w"], constants=("w",))
    assert place(graph, PLACEMENTS["onnxruntime-arm64"]).weights["node"].axis == 1


def test_a_layer_whose_bias_is_computed_is_not_quantized() -> None:
    """An int32 bias needs constant numbers; such a layer stays in float and reads floats."""
    graph = one_node("Gemm", ["x", "w", "computed"], constants=("w",))
    places = place(graph, PLACEMENTS["tensorrt"])
    assert (dict(places.weights), dict(places.readers)) == ({}, {})


def test_an_add_of_a_value_with_itself_has_no_shortcut() -> None:
    """X + x has one side only: nothing can fuse into it."""
    graph = one_node("Add", ["x", "x"], constants=())
    assert dict(place(graph, PLACEMENTS["tensorrt"]).readers) == {}


def one_node(op_type: str, inputs: list[str], *, constants: tuple[str, ...]) -> onnx.GraphProto:
    """Return a graph of one node called ``node`` with 2x2 inputs, some of them constants."""
    square = helper.make_tensor_value_info
    return helper.make_graph(
        [helper.make_node(op_type, inputs, ["y"], name="node")],
        "graph",
        [square(name, TensorProto.FLOAT, [2, 2]) for name in dict.fromkeys(inputs) if name not in constants],
        [square("y", TensorProto.FLOAT, [2, 2])],
        [numpy_helper.from_array(np.eye(2, dtype=np.float32), name) for name in constants],
    )


@pytest.mark.parametrize("shape", ["2", "3, 2, 2"])
@pytest.mark.parametrize("placement", sorted(PLACEMENTS))
def test_a_product_with_no_plain_matrix_stays_real(placement: PlacementName, shape: str) -> None:
    """A vector has no output channels, and a stack of matrices has those of each: neither has one axis of scales."""
    model = parser.parse_model(
        '<ir_version: 8, opset_import: ["": 18]> g (float[n, 3, 4, 2] x) => (float y) '
        f"<float[{shape}] w = {{{', '.join(['1'] * (2 if shape == '2' else 12))}}}> {{ [product] y = MatMul(x, w) }}"
    )
    assert not place(model.graph, PLACEMENTS[placement]).weights
