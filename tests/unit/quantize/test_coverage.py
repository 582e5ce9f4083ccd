"""How much of a file's arithmetic is integer arithmetic."""

from pathlib import Path

import onnx
import pytest
from onnx import ModelProto
from quantized import exported, quantized_network, some_digits

from edgekd.networks.graph_counting import count_graph_macs
from edgekd.quantize.coverage import coverage_by_rule, integer_coverage

ONE = (some_digits()[:1],)


def saved(model: ModelProto, folder: Path) -> Path:
    """Return where *model* was written."""
    path = folder / "model.onnx"
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("name", ["resnet", "dscnn", "branches"])
def test_every_product_of_a_convolutional_network_is_of_integers(tmp_path: Path, name: str) -> None:
    """All multiply-accumulates of the float network, none left over."""
    found = integer_coverage(saved(quantized_network(name, "onnxruntime-arm64").qdq, tmp_path), ONE)
    assert found.integer_macs == found.total_macs == count_graph_macs(exported(name), ONE)
    assert (found.share, found.float_nodes) == (1.0, ())


def test_a_float_file_has_none(tmp_path: Path) -> None:
    """Every layer is listed, each with what it costs and why it is in float."""
    graph = exported("dscnn")
    found = integer_coverage(saved(graph, tmp_path), ONE)
    assert found.integer_macs == 0
    assert sum(node.macs for node in found.float_nodes) == found.total_macs
    assert all("kept in float" in node.reason for node in found.float_nodes)


def test_one_layer_in_float_is_named_with_its_share(tmp_path: Path) -> None:
    """Taking the quantizer off the first convolution's input leaves exactly its multiply-accumulates in float."""
    whole = quantized_network("resnet", "onnxruntime-arm64").qdq
    cut = ModelProto()
    cut.CopyFrom(whole)
    node = next(node for node in cut.graph.node if node.name == "Conv_0")
    node.input[0] = node.input[0].removesuffix("_dq")
    found = integer_coverage(saved(cut, tmp_path), ONE)
    (left,) = found.float_nodes
    assert (left.name, left.operator) == ("Conv_0", "Conv")
    assert found.integer_macs + left.macs == found.total_macs
    assert found.share == pytest.approx(1 - left.macs / found.total_macs)


def test_for_tensorrt_dequantized_operands_decide() -> None:
    """Its placement reads int8 at every layer; the float network at none."""
    quantized = quantized_network("resnet", "tensorrt")
    assert coverage_by_rule(quantized.qdq, ONE).share == 1.0
    assert coverage_by_rule(quantized.graph, ONE).share == 0.0
