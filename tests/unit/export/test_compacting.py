"""Laws of short names."""

import numpy as np
import onnx
import pytest
from quantized import exported, quantized_network, some_digits

from edgekd.export.compacting import with_short_names
from edgekd.networks.session import answers, open_session
from edgekd.targets import PlacementName


@pytest.mark.parametrize("placement", ["onnxruntime-arm64", "tensorrt"])
def test_a_quantized_file_gets_smaller_and_answers_the_same(placement: PlacementName) -> None:
    """To the bit; at least a tenth of the smallest network goes."""
    model = quantized_network("dscnn", placement).qdq
    before = model.SerializeToString()

    short = with_short_names(model)

    onnx.checker.check_model(short, full_check=True)
    first, second = (answers(open_session(m, arithmetic="reference"), [(some_digits(),)]) for m in (model, short))
    np.testing.assert_array_equal(first, second)
    assert len(short.SerializeToString()) < 0.9 * len(before)
    assert model.SerializeToString() == before


def test_layers_activations_and_the_interface_keep_their_names() -> None:
    """What a report names is there under its name."""
    model = quantized_network("dscnn", "onnxruntime-arm64").qdq
    short = with_short_names(model)
    pairs = {"QuantizeLinear", "DequantizeLinear"}

    def named(graph: onnx.GraphProto) -> list[tuple[str, list[str]]]:
        return [(node.name, list(node.output)) for node in graph.node if node.op_type not in pairs]

    assert named(short.graph) == named(model.graph)
    assert [v.name for v in (*short.graph.input, *short.graph.output)] == ["input", "logits"]


def test_a_name_that_is_taken_is_not_given_again() -> None:
    """A network may have called its own value q0."""
    model = onnx.ModelProto()
    model.CopyFrom(quantized_network("dscnn", "onnxruntime-arm64").qdq)
    first = next(node for node in model.graph.node if node.op_type == "Conv")
    old, first.output[0] = first.output[0], "q0"
    for node in model.graph.node:
        node.input[:] = ["q0" if value == old else value for value in node.input]
    short = with_short_names(model)
    outputs = [value for node in short.graph.node for value in node.output]
    assert len(outputs) == len(set(outputs))
    assert outputs.count("q0") == 1
    open_session(short)


def test_a_float_file_stays_as_it_is() -> None:
    """Nothing is renamed where nothing was added."""
    assert with_short_names(exported("dscnn")) == exported("dscnn")
