"""Integer layers, by hand and bit for bit against ONNX Runtime's own kernels."""

from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from quantized import Quantized, quantized_network, some_digits
from torch import Tensor
from torch.nn import functional

from edgekd.networks.session import open_session
from edgekd.quantize.fake import Grid
from edgekd.quantize.kernels import Operands, integer_layer


def linear(data: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return a matrix product with weights (outputs, inputs)."""
    return functional.linear(data, weight, bias)


def row(*, bias: float, result: Grid | None) -> float:
    """Return the one output of data (1.0, 2.0) on steps of 0.5 with weights (0.25, -0.125) on steps of 0.125."""
    operands = Operands(
        data=torch.tensor([[1.0, 2.0]]),
        data_grid=Grid(scale=0.5, zero_point=0),
        weight=torch.tensor([[0.25, -0.125]]),
        weight_scales=torch.tensor([[0.125]]),
        bias=torch.tensor([bias]),
        channels=(-1,),
    )
    return integer_layer(linear, operands, result).item()


def test_a_sum_of_integers_is_scaled_and_rounded_once() -> None:
    """By hand: 2 * 2 - 4 * 1 + 3 = 3 steps of 0.0625 are 0.1875, on steps of 0.125 level 1.5, which rounds to 2."""
    assert row(bias=0.1875, result=None) == 0.1875
    assert row(bias=0.1875, result=Grid(scale=0.125, zero_point=0)) == 0.25


def test_a_bias_is_rounded_to_its_own_steps() -> None:
    """0.2 on steps of 0.5 * 0.125 is 3.2, level 3."""
    assert row(bias=0.2, result=None) == 0.1875


def test_what_lies_below_the_lowest_level_becomes_it() -> None:
    """With zero point -128 nothing below zero is left: a ReLU is part of the rounding."""
    assert row(bias=-1.0, result=Grid(scale=0.125, zero_point=-128)) == 0.0
    assert row(bias=-1.0, result=Grid(scale=0.125, zero_point=0)) == -1.0


@pytest.mark.parametrize("channels", [8, 400])
def test_a_convolution_is_the_runtimes_bit_for_bit(channels: int) -> None:
    """QLinearConv with random integers, few channels and so many that sums leave float32's integers: equal levels."""
    random = np.random.default_rng(0)
    data = random.integers(-128, 128, (2, channels, 9, 9), np.int8)
    weight = random.integers(-127, 128, (16, channels, 3, 3), np.int8)
    bias = random.integers(-100_000, 100_000, 16, np.int32)
    scales = random.uniform(1e-3, 2e-3, 16).astype(np.float32)
    data_scale, result = np.float32(0.0371), Grid(scale=float(np.float32(0.02 * channels**0.5)), zero_point=-17)
    expected = by_runtime(data, data_scale, 5, weight, scales, bias, result)

    real = (torch.from_numpy(data).float() - 5) * torch.tensor(data_scale)
    steps = torch.from_numpy(scales).reshape(-1, 1, 1, 1)
    operands = Operands(
        data=real,
        data_grid=Grid(scale=float(data_scale), zero_point=5),
        weight=torch.from_numpy(weight).float() * steps,
        weight_scales=steps,
        bias=torch.from_numpy(bias) * (steps.flatten() * torch.tensor(data_scale)),
        channels=(-1, 1, 1),
    )
    found = integer_layer(lambda x, w, b: functional.conv2d(x, w, b, stride=2, padding=1), operands, result)
    levels = torch.round(found / torch.tensor(result.scale)) + result.zero_point
    assert expected.std() > 20
    np.testing.assert_array_equal(levels.numpy(), expected)


def by_runtime(  # noqa: PLR0913, PLR0917 - QLinearConv has nine inputs
    data: NDArray[np.int8],
    data_scale: np.float32,
    zero_point: int,
    weight: NDArray[np.int8],
    scales: NDArray[np.float32],
    bias: NDArray[np.int32],
    result: Grid,
) -> NDArray[np.int8]:
    """Return ONNX Runtime's QLinearConv with stride 2 and padding 1."""
    constants: dict[str, NDArray[Any]] = {
        "xs": np.array(data_scale, np.float32),
        "xz": np.array(zero_point, np.int8),
        "w": weight,
        "ws": scales,
        "wz": np.zeros(len(scales), np.int8),
        "ys": np.array(result.scale, np.float32),
        "yz": np.array(result.zero_point, np.int8),
        "b": bias,
    }
    node = helper.make_node("QLinearConv", ["x", *constants], ["y"], strides=[2, 2], pads=[1, 1, 1, 1])
    graph = helper.make_graph(
        [node],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.INT8, data.shape)],
        [helper.make_tensor_value_info("y", TensorProto.INT8, None)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    found: NDArray[np.int8] = open_session(model).run(None, {"x": data})[0]
    return found


@pytest.mark.parametrize("name", ["resnet", "dscnn"])
def test_a_network_in_evaluation_mode_is_the_runtimes_integers(name: str) -> None:
    """Every logit of 200 digits as ONNX Runtime's integer kernels give it, but for float32's last bit."""
    quantized: Quantized = quantized_network(name, "onnxruntime-arm64")
    onnx.checker.check_model(quantized.qdq)
    session = open_session(quantized.qdq, arithmetic="arm64-kernels")
    expected = session.run(None, {session.get_inputs()[0].name: some_digits()})[0]
    with torch.no_grad():
        found = quantized.simulation.eval()(torch.from_numpy(some_digits())).numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 * np.abs(expected).max())
