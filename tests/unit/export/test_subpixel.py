"""Laws of subpixel convolutions: what a ConvTranspose computes, in operators that have integer kernels."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from onnx import ModelProto, NodeProto, TensorProto, checker, helper, numpy_helper

from edgekd.export.canonical import canonicalize
from edgekd.export.legalize import legalize
from edgekd.export.subpixel import Axis, phases_of, with_subpixel_convolutions
from edgekd.networks.session import open_session

IMAGE = (4, 5, 6)
SIGNAL = (4, 9)
TOLERANCE = 1e-5


def network(
    shape: Sequence[int | str],
    weight: Sequence[int],
    attributes: dict[str, Any],
    after: Sequence[NodeProto] = (),
    *,
    biased: bool = True,
) -> ModelProto:
    """Return a ConvTranspose of random weights over (batch, *shape) and the nodes *after* it; the last gives ``y``."""
    random = np.random.default_rng(0)
    channels = weight[1] * int(attributes.get("group", 1))
    constants = {"w": random.standard_normal(weight), "b": random.standard_normal(channels)}
    constants |= {"low": np.array(-0.5), "high": np.array(0.5)}
    inputs = ["x", "w", *(["b"] if biased else [])]
    up = helper.make_node("ConvTranspose", inputs, ["up" if after else "y"], name="up", **attributes)
    read = {name for node in (up, *after) for name in node.input}
    graph = helper.make_graph(
        [up, *after],
        "network",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", *shape])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array.astype(np.float32), name) for name, array in constants.items() if name in read],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    return onnx.shape_inference.infer_shapes(model)


def ops(model: ModelProto) -> list[str]:
    """Return the operators in graph order."""
    return [node.op_type for node in model.graph.node]


def demand_equal(first: ModelProto, second: ModelProto, shape: Sequence[int]) -> None:
    """Fail unless both answer the same for three samples (of *shape*) at once."""
    samples = np.random.default_rng(1).standard_normal((3, *shape)).astype(np.float32)
    one, other = (open_session(model).run(None, {"x": samples})[0] for model in (first, second))
    assert one.shape == other.shape
    np.testing.assert_allclose(other, one, rtol=TOLERANCE, atol=TOLERANCE * max(1.0, float(np.abs(one).max())))


CASES: list[tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = [
    (IMAGE, (4, 3, 2, 2), {"strides": [2, 2]}),
    (IMAGE, (4, 3, 4, 4), {"strides": [2, 2], "pads": [1, 1, 1, 1]}),
    (IMAGE, (4, 3, 3, 3), {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]}),
    (IMAGE, (4, 3, 3, 3), {"strides": [2, 2], "pads": [1, 1, 1, 1]}),
    (IMAGE, (4, 3, 5, 5), {"strides": [2, 2], "pads": [2, 2, 2, 2], "output_padding": [1, 1]}),
    (IMAGE, (4, 3, 3, 3), {}),
    (IMAGE, (4, 3, 3, 3), {"pads": [1, 1, 1, 1]}),
    (IMAGE, (4, 3, 1, 1), {"strides": [2, 2], "output_padding": [1, 0]}),
    (IMAGE, (4, 3, 2, 2), {"strides": [4, 4]}),
    (IMAGE, (4, 3, 8, 8), {"strides": [4, 4], "pads": [2, 2, 2, 2]}),
    (IMAGE, (4, 3, 5, 3), {"strides": [3, 1], "pads": [1, 0, 2, 1], "output_padding": [1, 0]}),
    (IMAGE, (4, 3, 7, 4), {"strides": [1, 2], "pads": [5, 3, 2, 0]}),
    (IMAGE, (4, 1, 4, 4), {"strides": [2, 2], "pads": [1, 1, 1, 1], "group": 4}),
    (IMAGE, (4, 3, 3, 4), {"strides": [2, 3], "pads": [0, 1, 1, 0], "group": 2}),
    (IMAGE, (4, 3, 3, 3), {"strides": [2, 2], "auto_pad": "SAME_UPPER"}),
    (IMAGE, (4, 3, 4, 3), {"strides": [2, 3], "auto_pad": "SAME_LOWER"}),
    (IMAGE, (4, 3, 3, 3), {"strides": [2, 2], "auto_pad": "VALID"}),
    (IMAGE, (4, 3, 3, 3), {"strides": [2, 2], "output_shape": [10, 12]}),
    (SIGNAL, (4, 3, 4), {"strides": [2], "pads": [1, 1]}),
    (SIGNAL, (4, 3, 5), {"strides": [3], "pads": [2, 0], "output_padding": [2]}),
    (SIGNAL, (4, 2, 16), {"strides": [8], "pads": [4, 4], "group": 2}),
]


@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize(("shape", "weight", "attributes"), CASES)
def test_it_answers_as_the_transposed_convolution(
    shape: tuple[int, ...], weight: tuple[int, ...], attributes: dict[str, Any], *, biased: bool
) -> None:
    """Strides, kernels, paddings, groups: ONNX Runtime's own ConvTranspose gives the same, for any batch."""
    model = network(shape, weight, attributes, biased=biased)

    rewritten = with_subpixel_convolutions(model)

    checker.check_model(rewritten, full_check=True)
    assert "ConvTranspose" not in ops(rewritten)
    demand_equal(model, rewritten, shape)


@settings(max_examples=60, deadline=None)
@given(data=some.data())
def test_any_axis_is_computed(data: some.DataObject) -> None:
    """Whatever stride, kernel, crop and output padding an axis has: the same sums, written out as a loop."""
    stride, taps = data.draw(some.integers(1, 5)), data.draw(some.integers(1, 9))
    size, begin = data.draw(some.integers(1, 7)), data.draw(some.integers(0, 12))
    whole = (size - 1) * stride + taps + stride - 1
    length = data.draw(some.integers(1, max(1, whole - begin)))
    source, kernel = np.arange(1, size + 1), np.arange(1, taps + 1) ** 2
    expected = np.zeros(length, int)
    for i in range(size):
        for tap in range(taps):
            if 0 <= (at := i * stride + tap - begin) < length:
                expected[at] += source[i] * kernel[tap]

    found = phases_of(Axis(size=size, taps=taps, stride=stride, begin=begin, length=length))

    padded = np.pad(source, found.pads)
    rows = len(padded) - len(found.taps[0]) + 1
    given = np.array(
        [
            sum(kernel[tap] * padded[row + place] for place, tap in enumerate(taps_of) if tap is not None)
            for row in range(rows)
            for taps_of in found.taps
        ]
    )
    assert len(given) == found.given
    np.testing.assert_array_equal(given[found.crop : found.crop + length], expected)


@pytest.mark.parametrize(
    ("taps", "stride", "begin", "places"),
    [(2, 2, 0, 1), (4, 2, 1, 2), (3, 2, 1, 2), (8, 4, 2, 2), (3, 3, 0, 1), (3, 1, 1, 3)],
)
def test_no_tap_is_computed_twice_as_zero(taps: int, stride: int, begin: int, places: int) -> None:
    """A phase reads ceil(taps / stride) inputs and not one more, wherever the first output lies."""
    length = 4 * stride + taps - 2 * begin
    found = phases_of(Axis(size=5, taps=taps, stride=stride, begin=begin, length=length))

    assert {len(phase) for phase in found.taps} == {places}
    assert sorted(tap for phase in found.taps for tap in phase if tap is not None) == list(range(taps))


@pytest.mark.parametrize(
    ("attributes", "weight", "expected"),
    [
        ({"strides": [2, 2]}, (4, 3, 2, 2), ["Conv", "DepthToSpace"]),
        ({"strides": [2, 2], "pads": [1, 1, 1, 1]}, (4, 3, 4, 4), ["Conv", "DepthToSpace", "Slice"]),
        ({"strides": [2, 1]}, (4, 3, 2, 1), ["Conv", "Reshape", "Transpose", "Reshape"]),
        ({"pads": [1, 1, 1, 1]}, (4, 3, 3, 3), ["Conv"]),
    ],
)
def test_only_what_is_needed_is_written(
    attributes: dict[str, Any], weight: tuple[int, ...], expected: list[str]
) -> None:
    """Nothing is interleaved at stride 1, nothing is cut off where the phases end with the outputs."""
    assert ops(with_subpixel_convolutions(network(IMAGE, weight, attributes))) == expected


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ([helper.make_node("Relu", ["up"], ["y"])], ["Conv", "Relu", "DepthToSpace"]),
        ([helper.make_node("Clip", ["up", "low", "high"], ["y"])], ["Conv", "Clip", "DepthToSpace"]),
        ([helper.make_node("Sigmoid", ["up"], ["y"])], ["Conv", "DepthToSpace", "Sigmoid"]),
        (
            [helper.make_node("Relu", ["up"], ["r"]), helper.make_node("Add", ["r", "up"], ["y"])],
            ["Conv", "DepthToSpace", "Relu", "Add"],
        ),
    ],
)
def test_an_activation_comes_before_the_values_are_moved(after: list[NodeProto], expected: list[str]) -> None:
    """A ReLU that alone reads the convolution stays beside it, where an integer kernel takes it in."""
    model = network(IMAGE, (4, 3, 2, 2), {"strides": [2, 2]}, after)

    rewritten = with_subpixel_convolutions(model)

    assert ops(rewritten) == expected
    demand_equal(model, rewritten, IMAGE)


@pytest.mark.parametrize(
    ("shape", "weight", "attributes"),
    [
        (IMAGE, (4, 3, 3, 3), {"dilations": [2, 1]}),
        ((4, 3, 3, 3), (4, 2, 2, 2, 2), {"strides": [2, 2, 2]}),
        ((4, "height", 6), (4, 3, 2, 2), {"strides": [2, 2]}),
    ],
)
def test_other_forms_stay(shape: tuple[int | str, ...], weight: tuple[int, ...], attributes: dict[str, Any]) -> None:
    """Dilations, volumes and sizes known only at run time keep their ConvTranspose, activation and all."""
    relu = helper.make_node("Relu", ["up"], ["y"])

    assert ops(with_subpixel_convolutions(network(shape, weight, attributes, [relu]))) == ["ConvTranspose", "Relu"]


def test_the_given_model_is_left_alone_and_others_are_copied() -> None:
    """No byte of the input changes; a graph without transposed convolutions comes back to the byte."""
    model = network(IMAGE, (4, 3, 2, 2), {"strides": [2, 2]})
    before = model.SerializeToString()

    rewritten = with_subpixel_convolutions(model)

    assert model.SerializeToString() == before
    again = with_subpixel_convolutions(rewritten)
    assert again is not rewritten
    assert again == rewritten


@pytest.mark.parametrize("attributes", [{"strides": [2, 2]}, {"strides": [2, 1], "pads": [1, 0, 0, 0]}])
def test_the_result_is_canonical_and_goes_down_to_opset_13(attributes: dict[str, Any]) -> None:
    """Canonicalizing a rewritten canonical graph changes nothing; its older form answers the same."""
    model = canonicalize(network(IMAGE, (4, 3, 4, 4), attributes))

    rewritten = with_subpixel_convolutions(model)

    assert canonicalize(rewritten) == rewritten
    demand_equal(model, legalize(rewritten, opset=13, ir_version=8), IMAGE)
