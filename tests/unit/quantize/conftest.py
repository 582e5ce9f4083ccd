"""Networks for the tests of ``edgekd.quantize``: real ones, and one small enough to check by hand."""

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper
from quantized import NETWORKS, Quantized, exported, quantized_network, some_digits

from edgekd.quantize.placement import PLACEMENTS
from edgekd.targets import PlacementName


@pytest.fixture(params=NETWORKS)
def name(request: pytest.FixtureRequest) -> str:
    """Give the name of each network."""
    return str(request.param)


@pytest.fixture(params=PLACEMENTS)
def placement(request: pytest.FixtureRequest) -> PlacementName:
    """Give each placement."""
    chosen: PlacementName = request.param
    return chosen


@pytest.fixture
def graph(name: str) -> ModelProto:
    """Give each network as exported."""
    return exported(name)


@pytest.fixture
def quantized(name: str, placement: PlacementName) -> Quantized:
    """Give each network quantized for each runtime."""
    return quantized_network(name, placement)


@pytest.fixture
def for_onnxruntime(name: str) -> Quantized:
    """Give each network quantized for ONNX Runtime on ARM64."""
    return quantized_network(name, "onnxruntime-arm64")


@pytest.fixture
def digits() -> NDArray[np.float32]:
    """Give normalized test images (200, 1, 28, 28)."""
    return some_digits()


@pytest.fixture(scope="session")
def residual() -> ModelProto:
    """Give a hand-written graph: a stem, a residual block, one with a convolution in its shortcut, a classifier.

    Every convolution has 2 channels, the names are short: ``stem``, ``a1``, ``a2``, ``b1``, ``b2``, ``b_short``.
    In block b the shortcut is the left input of the Add and comes before the main branch.
    """
    nodes = [
        _conv("stem", "input", bias=True),
        helper.make_node("Relu", ["stem_out"], ["r0"], name="relu0"),
        _conv("a1", "r0"),
        helper.make_node("Relu", ["a1_out"], ["r1"], name="relu1"),
        _conv("a2", "r1", bias=True),
        helper.make_node("Add", ["a2_out", "r0"], ["a_sum"], name="a_add"),
        helper.make_node("Relu", ["a_sum"], ["r2"], name="relu2"),
        _conv("b_short", "r2"),
        _conv("b1", "r2"),
        helper.make_node("Relu", ["b1_out"], ["r3"], name="relu3"),
        _conv("b2", "r3"),
        helper.make_node("Add", ["b_short_out", "b2_out"], ["b_sum"], name="b_add"),
        helper.make_node("Relu", ["b_sum"], ["r4"], name="relu4"),
        helper.make_node("GlobalAveragePool", ["r4"], ["pooled"], name="pool"),
        helper.make_node("Flatten", ["pooled"], ["flat"], name="flatten"),
        helper.make_node("Gemm", ["flat", "head.weight", "head.bias"], ["logits"], name="head", transB=1),
    ]
    numbers = np.random.default_rng(0)
    shapes: dict[str, tuple[int, ...]] = {
        f"{n}.weight": (2, 2, 3, 3) for n in ("stem", "a1", "a2", "b_short", "b1", "b2")
    }
    shapes |= {"stem.bias": (2,), "a2.bias": (2,), "head.weight": (3, 2), "head.bias": (3,)}
    constants = [numpy_helper.from_array(numbers.standard_normal(s).astype(np.float32), n) for n, s in shapes.items()]
    given = [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 2, 8, 8])]
    logits = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 3])]
    model = helper.make_model(
        helper.make_graph(nodes, "residual", given, logits, constants),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=8,
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def _conv(name: str, source: str, *, bias: bool = False) -> onnx.NodeProto:
    """Return a 3x3 convolution that keeps the size."""
    inputs = [source, f"{name}.weight", *([f"{name}.bias"] if bias else [])]
    return helper.make_node("Conv", inputs, [f"{name}_out"], name=name, pads=[1, 1, 1, 1])
