"""Laws of the forms without calibration: int8 weights behind float arithmetic, and ranges found at run time."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, checker, helper, numpy_helper
from quantized import exported, some_digits

from edgekd.core.errors import ConfigError
from edgekd.export.legalize import legalize
from edgekd.networks.session import Arithmetic, answers, open_session
from edgekd.quantize.dynamic import dynamic
from edgekd.quantize.weight_only import weight_only

Array = NDArray[np.float32]
WEIGHT = np.array([[1.0, -12.7], [0.5, 6.35], [-1.27, 0.0]], np.float32)
"""Three rows, two columns; the steps of the columns are 0.01 and 0.1."""


def gemm(*, transposed: bool) -> ModelProto:
    """Return x @ WEIGHT + (1, 2) as one Gemm over three numbers."""
    weight = np.ascontiguousarray(WEIGHT.T) if transposed else WEIGHT
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["x", "w", "b"], ["y"], name="Gemm_0", transB=int(transposed))],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])],
        [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(np.array([1, 2], np.float32), "b")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def run(model: ModelProto, rows: Array) -> Array:
    """Return the answers of *model*, its integer products exact on any host."""
    found: Array = answers(open_session(model, arithmetic="widened"), [(rows,)])
    return found


@pytest.mark.parametrize("transposed", [False, True])
def test_weights_are_rounded_for_each_output_and_nothing_else(transposed: bool) -> None:  # noqa: FBT001 - a parameter
    """Every weight is a multiple of its column's step, so the product is exact; biases stay float32."""
    made = weight_only(gemm(transposed=transposed))
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in made.graph.initializer}
    weights = [array for array in stored.values() if array.dtype == np.int8 and array.ndim == 2]
    np.testing.assert_array_equal(weights[0].T if transposed else weights[0], [[100, -127], [50, 64], [-127, 0]])
    np.testing.assert_array_equal(stored["b"], [1, 2])
    assert [node.op_type for node in made.graph.node] == ["DequantizeLinear", "Gemm"]
    np.testing.assert_allclose(run(made, np.eye(3, dtype=np.float32)), WEIGHT + np.array([1, 2]), atol=0.051)


@pytest.mark.parametrize("transposed", [False, True])
def test_a_dynamic_product_is_what_a_calculation_by_hand_gives(transposed: bool) -> None:  # noqa: FBT001 - a parameter
    """Of (0, 1, 2.55) the step is 0.01 and the zero point 0, so the levels are 0, 100, 255."""
    made = dynamic(gemm(transposed=transposed))
    levels, columns = np.array([0, 100, 255]), np.array([[100, -127], [50, 64], [-127, 0]])
    expected = (levels @ columns) * (0.01 * np.array([0.01, 0.1])) + (1, 2)
    np.testing.assert_allclose(run(made, np.array([[0, 1, 2.55]], np.float32))[0], expected, rtol=1e-5)


def test_a_dynamic_range_is_that_of_the_inference() -> None:
    """A thousand times larger numbers give a thousand times larger products, but for the bias: no range is fixed."""
    rows = np.array([[0, 1, 2.55]], np.float32)
    made = dynamic(gemm(transposed=False))
    small, large = run(made, rows)[0], run(made, 1000 * rows)[0]
    np.testing.assert_allclose(large - (1, 2), 1000 * (small - (1, 2)), rtol=1e-5)


@pytest.mark.parametrize(("form", "arithmetic"), [(weight_only, "reference"), (dynamic, "widened")])
@pytest.mark.parametrize("opset", [13, 18])
def test_both_forms_are_valid_and_near_the_float_network(
    form: Callable[[ModelProto], ModelProto], arithmetic: Arithmetic, opset: int
) -> None:
    """Logits move by less than a twentieth of the largest, at the oldest opset too; the float graph is untouched."""
    graph = exported("dscnn")
    before = graph.SerializeToString()
    made = legalize(form(graph), opset=opset, ir_version=8)
    checker.check_model(made, full_check=True)
    expected = run(graph, some_digits())
    found = answers(open_session(made, arithmetic=arithmetic), [(some_digits(),)])
    assert np.abs(found - expected).max() < 0.05 * np.abs(expected).max()
    assert graph.SerializeToString() == before


def test_every_weight_of_a_weight_only_file_is_a_byte() -> None:
    """No constant of two dimensions and more is left in float32, and none is lost."""
    graph = exported("dscnn")
    before = [int(np.prod(tensor.dims)) for tensor in graph.graph.initializer if len(tensor.dims) > 1]
    after = [tensor for tensor in weight_only(graph).graph.initializer if len(tensor.dims) > 1]
    assert {tensor.data_type for tensor in after} == {TensorProto.INT8}
    assert sum(len(tensor.raw_data) for tensor in after) == sum(before)


def test_a_network_without_matrix_products_is_refused() -> None:
    """Convolutions have no dynamic form worth having; the sentence says what to use."""
    graph = onnx.ModelProto()
    graph.CopyFrom(exported("dscnn"))
    kept = [node for node in graph.graph.node if node.op_type != "Gemm"]
    value = kept[-1].output[0]
    del graph.graph.node[:]
    graph.graph.node.extend(kept)
    graph.graph.output[0].CopyFrom(helper.make_empty_tensor_value_info(value))
    with pytest.raises(ConfigError, match="static"):
        dynamic(graph)
