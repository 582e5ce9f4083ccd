"""The files that ship: form, versions and answers."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto
from quantized import exported, quantized_network, some_digits

from edgekd.networks.session import answers, open_session
from edgekd.stages.export import as_shipped, file_name, optimized_operators
from edgekd.stages.settings import Export
from edgekd.targets import PrecisionName

OLDEST = Export(precision="fp32", variants=("fp32",), runtime="tensorrt", operator_list="8.2", opset=13, ir_version=7)
NAME = "dscnn"


def shipped(precision: PrecisionName) -> ModelProto:
    """Return the network in one precision, at the oldest versions."""
    graph = quantized_network(NAME, "onnxruntime-arm64").qdq if precision == "int8" else exported(NAME)
    return as_shipped(graph, precision, OLDEST)


def dims_of(value: onnx.ValueInfoProto) -> list[int | str]:
    """Return a shape; a free dimension is its name."""
    return [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]


def reference(model: ModelProto) -> NDArray[np.float32]:
    """Return a model's answers to the test images."""
    return answers(open_session(model, arithmetic="reference"), [(some_digits(),)])


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_files_are_valid_at_the_asked_versions(precision: PrecisionName) -> None:
    """Opset 13 and IR 7, really: ONNX's checker and ONNX Runtime take them, and no other domain is used."""
    model = shipped(precision)
    onnx.checker.check_model(model, full_check=True)
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 13)]
    assert model.ir_version == 7


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_files_take_one_float32_image_and_give_float32_logits(precision: PrecisionName) -> None:
    """The batch is 1 and every shape is fixed; an app never sees half precision or integers."""
    graph = shipped(precision).graph
    assert [dims_of(value) for value in (*graph.input, *graph.output)] == [[1, 1, 28, 28], [1, 10]]
    assert {value.type.tensor_type.elem_type for value in (*graph.input, *graph.output)} == {TensorProto.FLOAT}


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_files_carry_no_inferred_shapes(precision: PrecisionName) -> None:
    """Every runtime infers them again; in the file they are dead weight."""
    assert len(shipped(precision).graph.value_info) == 0


def test_the_fp32_file_answers_as_the_network_does() -> None:
    """Older forms of operators are other words for the same numbers."""
    np.testing.assert_allclose(reference(shipped("fp32")), reference(exported(NAME)), rtol=1e-4, atol=1e-4)


def test_the_fp16_file_is_half_as_large_and_nearly_as_exact() -> None:
    """Weights take two bytes instead of four; logits keep about three digits."""
    half, single = shipped("fp16"), shipped("fp32")
    weights = [i for i in half.graph.initializer if len(i.dims) > 1]
    expected = reference(single)
    assert {i.data_type for i in weights} == {TensorProto.FLOAT16}
    assert np.abs(reference(half) - expected).max() <= 2e-2 * np.abs(expected).max()


def test_the_int8_file_answers_as_the_quantized_network_does() -> None:
    """Neither the fixed batch nor the older opset moves more than the last bit."""
    expected = reference(quantized_network(NAME, "onnxruntime-arm64").qdq)
    np.testing.assert_allclose(reference(shipped("int8")), expected, rtol=1e-4, atol=1e-4)


def test_float_files_hold_no_quantization() -> None:
    """A device without INT8 cannot build a graph with Q/DQ in it."""
    operators = {node.op_type for precision in ("fp32", "fp16") for node in shipped(precision).graph.node}
    assert not operators & {"QuantizeLinear", "DequantizeLinear"}


def test_the_same_network_gives_the_same_bytes() -> None:
    """Shipped twice, equal to the last bit."""
    first, second = (shipped("fp16").SerializeToString(deterministic=True) for _ in range(2))
    assert first == second


def test_the_network_is_not_changed() -> None:
    """Every form is a copy."""
    before = exported(NAME).SerializeToString()
    shipped("fp16")
    assert exported(NAME).SerializeToString() == before


def test_the_kernels_of_a_file_are_counted(tmp_path: Path) -> None:
    """At the oldest opset, too, every layer of the INT8 file gets an integer kernel on ARM64; FP32 gets none."""
    found = {}
    for precision in ("int8", "fp32"):
        path = tmp_path / file_name(precision)
        path.write_bytes(shipped(precision).SerializeToString())
        found[precision] = optimized_operators(path)
    layers = [node.op_type for node in exported(NAME).graph.node]
    assert (found["int8"]["QLinearConv"], found["int8"]["QGemm"]) == (layers.count("Conv"), layers.count("Gemm"))
    assert not {"Conv", "FusedConv", "Gemm"} & found["int8"].keys()
    assert not any(name.startswith("Q") for name in found["fp32"])


def test_a_file_is_named_after_its_precision() -> None:
    """As the bundle lists it."""
    assert [file_name(precision) for precision in ("fp32", "int8")] == ["model.fp32.onnx", "model.int8.onnx"]
