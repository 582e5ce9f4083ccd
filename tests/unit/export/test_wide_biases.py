"""Laws of wide biases."""

import numpy as np
from onnx import ModelProto, numpy_helper, parser

from edgekd.export.canonical import canonicalize
from edgekd.export.wide_biases import with_wide_biases
from edgekd.networks.session import open_session


def network(rank: int) -> ModelProto:
    """Return x @ w + b, both constants, over *rank* dimensions of which the last has two."""
    sizes = ", ".join(["n", *(["3"] * (rank - 2)), "2"])
    model = parser.parse_model(
        f'<ir_version: 8, opset_import: ["": 18]> g (float[{sizes}] x) => (float[{sizes}] y) '
        "<float[2, 2] w = {1, 2, 3, 4}, float[2] b = {10, 20}> { m = MatMul(x, w) s = Add(b, m) y = Relu(s) }"
    )
    return canonicalize(model)


def bias_of(model: ModelProto) -> tuple[int, ...]:
    """Return the shape of the constant that an Add reads."""
    (add,) = [node for node in model.graph.node if node.op_type == "Add"]
    shapes = {tensor.name: numpy_helper.to_array(tensor).shape for tensor in model.graph.initializer}
    return next(shapes[value] for value in add.input if value in shapes)


def test_the_bias_of_three_and_four_dimensions_is_wide_and_gives_the_same() -> None:
    """(1, 1) @ w + b is (4, 6) + (10, 20), at every position."""
    for rank in (3, 4):
        wide = with_wide_biases(network(rank))
        assert bias_of(wide) == (1,) * (rank - 1) + (2,)
        ones = np.ones((5, *[3] * (rank - 2), 2), np.float32)
        found = open_session(wide).run(None, {"x": ones})[0]
        np.testing.assert_array_equal(found, np.broadcast_to([14, 26], ones.shape))


def test_a_matrix_stays_a_gemm() -> None:
    """Of two dimensions the product has its bias inside."""
    model = network(2)
    assert [node.op_type for node in model.graph.node] == ["Gemm", "Relu"]
    assert list(with_wide_biases(model).graph.node) == list(model.graph.node)


def test_the_network_is_not_changed() -> None:
    """It is a copy that is wide."""
    model = network(3)
    before = model.SerializeToString()
    with_wide_biases(model)
    assert model.SerializeToString() == before
