"""Each operator of the simulation against ONNX Runtime on models of one node."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgekd.core.errors import ConfigError
from edgekd.networks.session import open_session
from edgekd.quantize.operators import OPERATORS, run

IMAGE = (2, 4, 9, 7)
MATRIX = (3, 5)
SOUND = (2, 4, 23)

CASES: list[tuple[str, list[Any], dict[str, Any]]] = [
    ("Add", [IMAGE, IMAGE], {}),
    ("Add", [IMAGE, (4, 1, 1)], {}),
    ("AveragePool", [IMAGE], {"kernel_shape": [3, 2], "strides": [2, 1]}),
    ("AveragePool", [IMAGE], {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}),
    ("AveragePool", [IMAGE], {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1}),
    ("AveragePool", [SOUND], {"kernel_shape": [4], "strides": [3]}),
    ("AveragePool", [SOUND], {"kernel_shape": [3], "pads": [1, 1]}),
    ("AveragePool", [SOUND], {"kernel_shape": [3], "pads": [1, 1], "count_include_pad": 1}),
    ("Clip", [IMAGE, np.float32(-0.5), np.float32(0.5)], {}),
    ("Clip", [IMAGE, None, np.float32(0.5)], {}),
    ("Clip", [IMAGE, np.float32(0.0)], {}),
    ("Concat", [IMAGE, (2, 3, 9, 7)], {"axis": 1}),
    ("Concat", [MATRIX, MATRIX], {"axis": -1}),
    ("Conv", [IMAGE, (6, 4, 3, 3), (6,)], {}),
    ("Conv", [IMAGE, (6, 4, 3, 3)], {"pads": [1, 1, 1, 1], "strides": [2, 2]}),
    ("Conv", [IMAGE, (6, 4, 3, 3), (6,)], {"pads": [0, 1, 2, 0], "strides": [2, 1]}),
    ("Conv", [IMAGE, (6, 4, 3, 2)], {"dilations": [2, 3], "pads": [2, 0, 2, 0]}),
    ("Conv", [IMAGE, (4, 1, 3, 3), (4,)], {"group": 4, "pads": [1, 1, 1, 1]}),
    ("Conv", [IMAGE, (6, 2, 3, 3), (6,)], {"group": 2, "pads": [1, 2, 0, 1], "dilations": [1, 2]}),
    ("Conv", [IMAGE, (6, 4, 1, 1), (6,)], {"auto_pad": "VALID"}),
    ("Conv", [SOUND, (6, 4, 5), (6,)], {}),
    ("Conv", [SOUND, (6, 4, 3)], {"pads": [1, 1], "strides": [2]}),
    ("Conv", [SOUND, (6, 4, 3), (6,)], {"pads": [0, 2], "dilations": [3], "strides": [2]}),
    ("Conv", [SOUND, (4, 1, 3), (4,)], {"group": 4, "pads": [2, 1]}),
    ("Conv", [SOUND, (6, 4, 1), (6,)], {"auto_pad": "VALID", "kernel_shape": [1]}),
    ("DepthToSpace", [(2, 12, 3, 5)], {"blocksize": 2}),
    ("DepthToSpace", [(2, 18, 2, 3)], {"blocksize": 3, "mode": "CRD"}),
    ("Flatten", [IMAGE], {}),
    ("Flatten", [IMAGE], {"axis": 2}),
    ("Flatten", [IMAGE], {"axis": 0}),
    ("Flatten", [IMAGE], {"axis": -1}),
    ("Gemm", [MATRIX, (5, 4), (4,)], {}),
    ("Gemm", [MATRIX, (4, 5), (4,)], {"transB": 1}),
    ("Gemm", [MATRIX, (4, 5)], {"transB": 1}),
    ("GlobalAveragePool", [IMAGE], {}),
    ("GlobalAveragePool", [SOUND], {}),
    ("HardSigmoid", [IMAGE], {}),
    ("HardSigmoid", [IMAGE], {"alpha": 1 / 6, "beta": 0.4}),
    ("HardSwish", [IMAGE], {}),
    ("LeakyRelu", [IMAGE], {}),
    ("LeakyRelu", [IMAGE], {"alpha": 0.2}),
    ("MatMul", [(2, 3, 5), (5, 4)], {}),
    ("MatMul", [(2, 3, 5), (2, 5, 4)], {}),
    ("MaxPool", [IMAGE], {"kernel_shape": [2, 3], "strides": [2, 2]}),
    ("MaxPool", [IMAGE], {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
    ("MaxPool", [IMAGE], {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [0, 0, 1, 1]}),
    ("MaxPool", [IMAGE], {"kernel_shape": [2, 2], "pads": [1, 1, 1, 1], "dilations": [2, 3]}),
    ("MaxPool", [IMAGE], {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}),
    ("MaxPool", [IMAGE], {"kernel_shape": [2, 2], "strides": [3, 4], "pads": [1, 1, 1, 1], "ceil_mode": 1}),
    ("MaxPool", [SOUND], {"kernel_shape": [4], "strides": [3]}),
    ("MaxPool", [SOUND], {"kernel_shape": [2], "pads": [0, 1], "dilations": [3]}),
    ("MaxPool", [SOUND], {"kernel_shape": [4], "strides": [5], "ceil_mode": 1}),
    ("MaxPool", [SOUND], {"kernel_shape": [3], "strides": [3], "pads": [1, 1], "ceil_mode": 1}),
    ("Mul", [IMAGE, (2, 4, 1, 1)], {}),
    ("Abs", [IMAGE], {}),
    ("Cos", [IMAGE], {}),
    ("Div", [IMAGE, np.float32(1.4142)], {}),
    ("Elu", [IMAGE], {"alpha": 0.7}),
    ("Erf", [IMAGE], {}),
    ("Exp", [IMAGE], {}),
    ("Gather", [IMAGE, np.array(-1)], {"axis": 2}),
    ("Gather", [IMAGE, np.array([[0, 3], [1, 1]])], {"axis": 1}),
    ("GlobalMaxPool", [IMAGE], {}),
    ("Identity", [IMAGE], {}),
    ("InstanceNormalization", [IMAGE, (4,), (4,)], {"epsilon": 1e-3}),
    ("LayerNormalization", [(2, 3, 8), (8,), (8,)], {"epsilon": 1e-6}),
    ("LayerNormalization", [(2, 3, 8), (3, 8)], {"axis": 1}),
    ("Max", [IMAGE, IMAGE, np.float32(0.1)], {}),
    ("Min", [IMAGE, np.float32(0.1)], {}),
    ("Neg", [IMAGE], {}),
    ("PRelu", [IMAGE, (4, 1, 1)], {}),
    ("Pad", [IMAGE, np.array([0, 0, 1, 1, 0, 0, 1, 1])], {"mode": "reflect"}),
    ("Pad", [IMAGE, np.array([0, 0, 1, 0, 0, 0, 2, 1])], {"mode": "edge"}),
    ("Pow", [IMAGE, np.float32(2.0)], {}),
    ("ReduceMax", [IMAGE, np.array([1, 2])], {}),
    ("ReduceSum", [IMAGE, np.array([-1])], {"keepdims": 0}),
    ("Reciprocal", [np.array([0.5, -2.0, 3.0], np.float32)], {}),
    (
        "Resize",
        [IMAGE, None, np.array([1, 1, 2, 3], np.float32)],
        {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
    ),
    (
        "Resize",
        [IMAGE, None, np.array([1, 1, 2, 2], np.float32)],
        {"mode": "linear", "coordinate_transformation_mode": "pytorch_half_pixel"},
    ),
    (
        "Resize",
        [IMAGE, None, None, np.array([2, 4, 17, 20])],
        {"mode": "linear", "coordinate_transformation_mode": "align_corners"},
    ),
    (
        "Resize",
        [IMAGE, None, None, np.array([17, 20])],
        {"mode": "linear", "coordinate_transformation_mode": "half_pixel", "axes": [2, 3]},
    ),
    (
        "Resize",
        [IMAGE, None, None, np.array([20])],
        {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor", "axes": [3]},
    ),
    ("Sin", [IMAGE], {}),
    ("Sqrt", [np.array([0.25, 2.0, 9.0], np.float32)], {}),
    ("Softplus", [IMAGE], {}),
    ("Sub", [IMAGE, IMAGE], {}),
    ("Tanh", [IMAGE], {}),
    ("Pad", [IMAGE, np.array([0, 0, 1, 2, 0, 0, 0, 1])], {}),
    ("Pad", [IMAGE, np.array([0, 1, 0, 0, 0, 2, 0, -1]), np.float32(1.5)], {}),
    ("ReduceMean", [IMAGE, np.array([2, 3])], {"keepdims": 0}),
    ("ReduceMean", [IMAGE, np.array([-1])], {}),
    ("ReduceMean", [IMAGE], {}),
    ("Relu", [IMAGE], {}),
    ("Reshape", [IMAGE, np.array([0, 2, -1])], {}),
    ("Reshape", [IMAGE, np.array([-1, 14])], {"allowzero": 1}),
    ("Sigmoid", [IMAGE], {}),
    ("Slice", [IMAGE, np.array([1, 2]), np.array([2, 5])], {}),
    ("Slice", [IMAGE, np.array([1, 2]), np.array([4, 9]), np.array([1, 2]), np.array([1, 3])], {}),
    ("Slice", [IMAGE, np.array([-3]), np.array([-1]), np.array([-2])], {}),
    ("Slice", [IMAGE, np.array([2]), np.array([np.iinfo(np.int64).max]), np.array([3])], {}),
    ("Slice", [IMAGE, np.array([-100, 3]), np.array([2, 100]), np.array([2, 3])], {}),
    ("Slice", [SOUND, np.array([3]), np.array([20]), np.array([2]), np.array([4])], {}),
    ("Slice", [SOUND, np.array([5]), np.array([5]), np.array([2])], {}),
    ("Softmax", [MATRIX], {}),
    ("Softmax", [IMAGE], {"axis": 1}),
    ("Squeeze", [(2, 1, 3, 1), np.array([1])], {}),
    ("Squeeze", [(2, 1, 3, 1)], {}),
    ("Unsqueeze", [(2, 3), np.array([1])], {}),
    ("Unsqueeze", [(2, 3), np.array([-1, 0])], {}),
    ("Transpose", [IMAGE], {"perm": [0, 2, 3, 1]}),
    ("Transpose", [MATRIX], {}),
]

REFUSED: list[tuple[str, list[Any], dict[str, Any], str]] = [
    ("AveragePool", [IMAGE], {"kernel_shape": [2, 2], "pads": [0, 0, 1, 1]}, "uneven pads"),
    ("AveragePool", [IMAGE], {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}, "ceil_mode"),
    ("Conv", [IMAGE, (6, 4, 3, 3)], {"auto_pad": "SAME_UPPER"}, "auto_pad"),
    ("Conv", [(2, 4, 5, 5, 5), (6, 4, 3, 3, 3)], {}, "3 dimensions"),
    ("Conv", [IMAGE, (6, 4, 3)], {"kernel_shape": [3]}, "other dimensions than its input"),
    ("AveragePool", [(2, 4, 5, 5, 5)], {"kernel_shape": [2, 2, 2]}, "3 dimensions"),
    ("MaxPool", [(2, 4, 5, 5, 5)], {"kernel_shape": [2, 2, 2]}, "3 dimensions"),
    ("AveragePool", [SOUND], {"kernel_shape": [2], "pads": [0, 1]}, "uneven pads"),
    ("MaxPool", [SOUND], {"kernel_shape": [2], "pads": [0, 1], "ceil_mode": 1}, "uneven pads"),
    ("Slice", [IMAGE, np.array([5]), np.array([0]), np.array([2]), np.array([-1])], {}, "Slice backwards"),
    ("Gemm", [MATRIX, (5, 4)], {"alpha": 0.5}, "alpha"),
    ("Gemm", [(5, 3), (5, 4)], {"transA": 1}, "transA"),
    ("MaxPool", [IMAGE], {"kernel_shape": [2, 2], "pads": [0, 0, 1, 1], "ceil_mode": 1}, "uneven pads"),
    ("Pad", [IMAGE, np.array([0, 0, 1, 1, 0, 0, 1, 1])], {"mode": "wrap"}, "mode"),
    ("Atan", [IMAGE], {}, "HardSwish"),
]


def arrays(inputs: list[Any]) -> list[NDArray[Any] | None]:
    """Return random arrays for shapes, constants as they are, nothing for an absent input."""
    numbers = np.random.default_rng(0)
    return [
        numbers.standard_normal(given).astype(np.float32) * 2 if isinstance(given, tuple) else given for given in inputs
    ]


def by_onnxruntime(op_type: str, inputs: list[NDArray[Any] | None], attributes: Mapping[str, Any]) -> NDArray[Any]:
    """Return the output of a model of one node, whose first input is the model's and the others constants."""
    names = ["" if array is None else f"input_{position}" for position, array in enumerate(inputs)]
    graph = helper.make_graph(
        [helper.make_node(op_type, names, ["output"], name="the_node", **attributes)],
        "one_node",
        [helper.make_tensor_value_info(names[0], TensorProto.FLOAT, inputs[0].shape)],  # type: ignore[union-attr]
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(a), n) for n, a in zip(names, inputs, strict=True) if a is not None][1:],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    output: NDArray[Any] = open_session(model, arithmetic="reference").run(None, {names[0]: inputs[0]})[0]
    return output


def simulated(op_type: str, inputs: list[NDArray[Any] | None], attributes: Mapping[str, Any]) -> NDArray[Any]:
    """Return the output of the node in the simulation."""
    tensors = [None if array is None else torch.from_numpy(np.asarray(array)) for array in inputs]
    return run(op_type, "the_node", tensors, attributes).numpy()


@pytest.mark.parametrize(("op_type", "inputs", "attributes"), CASES)
def test_every_operator_computes_what_onnx_runtime_does(
    op_type: str, inputs: list[Any], attributes: dict[str, Any]
) -> None:
    """Same shape, and equal numbers but for the order of float32 sums."""
    given = arrays(inputs)
    expected, found = by_onnxruntime(op_type, given, attributes), simulated(op_type, given, attributes)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_every_operator_is_tested() -> None:
    """No operator enters the table without a case here."""
    assert {op_type for op_type, _, _ in CASES} == OPERATORS.keys()


@pytest.mark.parametrize(("op_type", "inputs", "attributes", "word"), REFUSED)
def test_what_is_not_known_is_refused_by_node_and_operator(
    op_type: str, inputs: list[Any], attributes: dict[str, Any], word: str
) -> None:
    """An unknown operator or form ends with the node, the operator, what it is, and the way out."""
    with pytest.raises(ConfigError) as refused:
        simulated(op_type, arrays(inputs), attributes)
    message = str(refused.value)
    assert all(part in message for part in ("'the_node'", op_type, word, "ship the float file in FP32")), message
    assert "export." not in message, "only `compress` has such a setting"
