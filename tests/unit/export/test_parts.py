"""Laws of splits as slices."""

import numpy as np
from onnx import ModelProto, parser

from edgekd.export.canonical import canonicalize
from edgekd.export.parts import with_slices
from edgekd.networks.session import open_session


def network(split: str, sizes: str = "") -> ModelProto:
    """Return a network that gives two parts of five channels, the second first."""
    constants = f"<int64[2] sizes = {sizes}>" if sizes else ""
    model = parser.parse_model(
        '<ir_version: 8, opset_import: ["": 18]> g (float[n, 5, 2] x) => (float[n, k, 2] b, float[n, m, 2] a) '
        f"{constants} {{ first, second = {split} a = Neg(first) b = Abs(second) }}"
    )
    return canonicalize(model)


def test_named_and_equal_parts_are_the_same_numbers() -> None:
    """By hand: five channels are 2 + 3 where that is said, and 3 + 2 where only the number of parts is."""
    x = np.arange(-10, 10, dtype=np.float32).reshape(2, 5, 2)
    for model, border in (
        (network("Split <axis = 1> (x, sizes)", "{2, 3}"), 2),
        (network("Split <axis = -2, num_outputs = 2> (x)"), 3),
    ):
        sliced = with_slices(model)
        assert {node.op_type for node in sliced.graph.node} == {"Abs", "Neg", "Slice"}
        second, first = open_session(sliced).run(None, {"x": x})
        np.testing.assert_array_equal(second, np.abs(x[:, border:]))
        np.testing.assert_array_equal(first, -x[:, :border])


def test_parts_of_an_unknown_size_stay_a_split() -> None:
    """Of a batch nobody knows the half."""
    model = network("Split <axis = 0, num_outputs = 2> (x)")
    assert [node.op_type for node in with_slices(model).graph.node] == [node.op_type for node in model.graph.node]
