"""Laws of what leaves the range of float16."""

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, checker, parser
from onnx.reference import ReferenceEvaluator

from edgekd.export.float16 import to_float16
from edgekd.export.legalize import legalize
from edgekd.export.overflow import overflowing

Samples = NDArray[np.float32]


def network(body: str, *, constants: str = "") -> ModelProto:
    """Return a named graph (n, 4) -> (n, 4) at opset 18; *constants* are its initializers."""
    model = parser.parse_model(
        f'<ir_version: 8, opset_import: ["": 18]> g (float[n, 4] x) => (float[n, 4] y) {constants} {{ {body} }}'
    )
    for number, node in enumerate(model.graph.node):
        node.name = f"{node.op_type}_{number}"
    return model


def ones(value: float) -> Samples:
    """Return two samples of one number."""
    return np.full((2, 4), value, np.float32)


def answer(model: ModelProto, samples: Samples) -> Samples:
    """Return what *model* gives where every float16 node computes in float16: ONNX Runtime on x86 takes float32."""
    with np.errstate(over="ignore"):
        return np.asarray(next(iter(ReferenceEvaluator(model).run(None, {"x": samples}))), np.float32)


def test_a_node_beyond_the_range_stays_and_so_does_its_reader() -> None:
    """300 squared is 90000 > 65504; the root of it is 300 again, and what doubles that is in range."""
    model = network("a = Mul(x, x) b = Sqrt(a) y = Add(b, b)")
    assert overflowing(model, [(ones(300.0),)]) == {"Mul_0", "Sqrt_1"}


@pytest.mark.parametrize(("value", "expected"), [(127.0, set()), (129.0, {"Mul_0", "Neg_1"})])
def test_a_quarter_of_the_range_is_the_limit(value: float, expected: set[str]) -> None:
    """The limit is 16376: 127 squared is 16129, 129 squared is 16641."""
    assert overflowing(network("a = Mul(x, x) y = Neg(a)"), [(ones(value),)]) == expected


def test_a_mean_is_judged_by_the_sum_behind_it() -> None:
    """Four times 5000 is 20000, beyond a quarter of the range, though the mean is 5000."""
    model = network("m = ReduceMean <keepdims: int = 1> (x, axes) y = Add(x, m)", constants="<int64[1] axes = {1}>")
    assert overflowing(model, [(ones(5000.0),)]) == {"ReduceMean_0"}
    assert overflowing(model, [(ones(4000.0),)]) == set()


def test_a_constant_that_float16_has_not_keeps_its_node() -> None:
    """1e-12 is zero there and 1e5 infinite; 1e-5 and 6e4 are not."""
    model = network(
        "a = Add(x, tiny) b = Mul(a, small) c = Div(b, huge) y = Div(c, large)",
        constants="<float tiny = {1e-12}, float small = {1e-5}, float huge = {1e5}, float large = {6e4}>",
    )
    assert overflowing(model, [(ones(1.0),)]) == {"Add_0", "Div_2"}


def test_numbers_that_are_none_count_as_beyond() -> None:
    """A root of a negative number is NaN in float32 already: float16 makes it no better."""
    assert "Sqrt_0" in overflowing(network("a = Sqrt(x) y = Neg(a)"), [(ones(-1.0),)])


def test_every_sample_counts() -> None:
    """Only the last of nine is large; the batch before is not."""
    samples = np.ones((9, 4), np.float32)
    samples[8] = 300.0
    batches = [(samples[:3],), (samples[3:],)]
    assert overflowing(network("a = Mul(x, x) y = Sqrt(a)"), batches) == {"Mul_0", "Sqrt_1"}


@pytest.mark.parametrize("opset", [13, 18])
def test_kept_nodes_make_the_float16_file_right(opset: int) -> None:
    """Without them 300 squared is infinite; with them the root is 300, and the sum stays in float16."""
    model = network("a = Mul(x, x) b = Sqrt(a) y = Add(b, b)")
    kept = overflowing(model, [(ones(300.0),)])

    plain, right = (legalize(to_float16(model, keep), opset=opset, ir_version=8) for keep in (frozenset(), kept))

    checker.check_model(right, full_check=True)
    assert np.isinf(answer(plain, ones(300.0))).all()
    np.testing.assert_array_equal(answer(right, ones(300.0)), 600.0)
    inferred = onnx.shape_inference.infer_shapes(right).graph.value_info
    assert {v.name: v.type.tensor_type.elem_type for v in inferred}["a"] == TensorProto.FLOAT


def test_the_model_is_not_changed() -> None:
    """Looking at every activation is done on a copy."""
    model = network("a = Mul(x, x) y = Sqrt(a)")
    before = model.SerializeToString()
    overflowing(model, [(ones(1.0),)])
    assert model.SerializeToString() == before
