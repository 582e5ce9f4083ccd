"""Laws of short names."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import parser
from quantized import exported, quantized_network, some_digits

from edgekd.export.compacting import compacted
from edgekd.export.shapes import fix_batch
from edgekd.networks.session import answers, open_session
from edgekd.stages.export import optimized_operators
from edgekd.targets import PlacementName

PAIRS = frozenset({"DequantizeLinear", "QuantizeLinear"})


@pytest.mark.parametrize("placement", ["onnxruntime-arm64", "tensorrt"])
def test_a_quantized_file_gets_smaller_and_answers_the_same(placement: PlacementName) -> None:
    """To the bit; at least a tenth of the smallest network goes."""
    model = quantized_network("dscnn", placement).qdq
    before = model.SerializeToString()

    short = compacted(model)

    onnx.checker.check_model(short, full_check=True)
    first, second = (answers(open_session(m, arithmetic="reference"), [(some_digits(),)]) for m in (model, short))
    np.testing.assert_array_equal(first, second)
    assert len(short.SerializeToString()) < 0.9 * len(before)
    assert model.SerializeToString() == before


def test_layers_and_the_interface_keep_their_names() -> None:
    """What a report names is there under its name, and an activation under that of the node that gives it."""
    model = quantized_network("dscnn", "tensorrt").qdq
    short = compacted(model)

    def named(graph: onnx.GraphProto) -> list[str]:
        return [node.name for node in graph.node if node.op_type not in PAIRS]

    assert named(short.graph) == named(model.graph)
    assert [v.name for v in (*short.graph.input, *short.graph.output)] == ["input", "logits"]
    assert all(node.output[0] in {node.name, "logits"} for node in short.graph.node if node.op_type not in PAIRS)


@pytest.mark.parametrize("name", ["dscnn", "resnet", "branches"])
@pytest.mark.parametrize("placement", ["onnxruntime-arm64", "onnxruntime-armv8.0"])
def test_runtimes_find_the_same_kernels_and_the_same_bits(name: str, placement: PlacementName, tmp_path: Path) -> None:
    """Also without each Relu that is read by a rounding from zero upwards, of which there is none left."""
    whole = fix_batch(quantized_network(name, placement).qdq)
    short = compacted(whole)
    for file, model in {"whole": whole, "short": short}.items():
        onnx.save(model, tmp_path / file)
    assert optimized_operators(tmp_path / "whole") == optimized_operators(tmp_path / "short")
    np.testing.assert_array_equal(answers_of(tmp_path / "whole"), answers_of(tmp_path / "short"))
    read_rounded = {node.input[0] for node in short.graph.node if node.op_type == "QuantizeLinear"}
    assert not [n for n in short.graph.node if n.op_type == "Relu" and n.output[0] in read_rounded]


def answers_of(path: Path) -> NDArray[np.float32]:
    """Return what the file answers in ARM's integer kernels, as far as this host computes them."""
    return answers(open_session(path, arithmetic="arm64-kernels"), [(some_digits(),)])


@pytest.mark.parametrize(
    ("zero_point", "others", "stays"), [(-128, "", False), (0, "", True), (-128, "z = Abs(r)", True)]
)
def test_a_relu_stays_where_rounding_does_not_do_its_work(zero_point: int, others: str, *, stays: bool) -> None:
    """Where levels below zero exist, or somebody reads its real numbers."""
    model = parser.parse_model(
        f'<ir_version: 8, opset_import: ["": 18]> g (float[4] x) => (float[4] y{", float[4] z" if others else ""}) '
        f"<float s = {{1}}, int8 p = {{{zero_point}}}> "
        f"{{ r = Relu(x)  q = QuantizeLinear(r, s, p)  y = DequantizeLinear(q, s, p)  {others} }}"
    )
    short = compacted(model)
    assert ("Relu" in [node.op_type for node in short.graph.node]) == stays
    x = np.array([-2, -0.2, 0.7, 300], np.float32)
    np.testing.assert_array_equal(*(open_session(one).run(["y"], {"x": x})[0] for one in (model, short)))


def test_a_convolution_says_nothing_that_goes_without_saying() -> None:
    """Of strides, pads and dilations only those that do something stay; the kernel is always said."""
    model = parser.parse_model(
        '<ir_version: 8, opset_import: ["": 18]> g (float[1, 1, 4, 4] x) => (float[1, 1, n, m] y) '
        "<float s = {1}, int8 p = {0}, float[1, 1, 1, 1] w = {2}> { q = QuantizeLinear(x, s, p) "
        "d = DequantizeLinear(q, s, p)  y = Conv<kernel_shape = [1, 1], strides = [1, 2], pads = [0, 0, 0, 0], "
        "dilations = [1, 1]>(d, w) }"
    )
    said = {attribute.name for attribute in compacted(model).graph.node[-1].attribute}
    assert said == {"kernel_shape", "strides"}


def test_a_name_that_is_taken_is_not_given_again() -> None:
    """A network may have called its own node a, and its input b."""
    model = parser.parse_model(
        '<ir_version: 8, opset_import: ["": 18]> g (float[4] b) => (float[4] y) <float s = {1}, int8 p = {0}> '
        "{ [a] long = Abs(b)  q = QuantizeLinear(long, s, p)  d = DequantizeLinear(q, s, p)  "
        "[b] e = Abs(d)  y = Neg(e) }"
    )
    short = compacted(model)
    outputs = [value for node in short.graph.node for value in node.output]
    assert len({*outputs, "b"}) == len(outputs) + 1
    assert outputs[0] == "a"
    x = np.array([-2, -0.2, 0.7, 3], np.float32)
    np.testing.assert_array_equal(*(open_session(one).run(["y"], {"b": x})[0] for one in (model, short)))


def test_a_float_file_stays_as_it_is() -> None:
    """Nothing is renamed where nothing was added."""
    assert compacted(exported("dscnn")) == exported("dscnn")
