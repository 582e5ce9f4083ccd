"""Laws of the float16 form."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import TensorProto, checker, numpy_helper, parser

from edgekd.core.errors import ConfigError
from edgekd.export.canonical import canonicalize
from edgekd.export.float16 import to_float16
from edgekd.export.legalize import legalize
from edgekd.export.shapes import output_shapes

HEADER = '<ir_version: 8, opset_import: ["": 18]>'
Runner = Callable[[onnx.ModelProto, np.ndarray], list[np.ndarray]]
Export = Callable[[str], onnx.ModelProto]


def types(model: onnx.ModelProto) -> dict[str, int]:
    """Return the element types of the initializers by name."""
    return {tensor.name: tensor.data_type for tensor in model.graph.initializer}


def test_float16_network_answers_within_its_rounding(
    exported: onnx.ModelProto, run: Runner, images: np.ndarray
) -> None:
    """Answers differ by less than 2**-8 of the largest, a few float16 roundings of 2**-11 each."""
    canonical = canonicalize(exported)

    half = to_float16(canonical)

    checker.check_model(half, full_check=True)
    for before, after in zip(run(canonical, images), run(half, images), strict=True):
        assert after.dtype == np.float32
        assert np.abs(after - before).max() <= 2**-8 * np.abs(before).max()


@pytest.mark.parametrize("opset", [13, 17])
@pytest.mark.parametrize("name", ["attention", "resized", "excited", "mixed"])
def test_float16_and_older_opsets_combine_in_any_order(
    export: Export, run: Runner, images: np.ndarray, name: str, opset: int
) -> None:
    """Legalizing the float16 form and converting the legal form both give valid float16 networks."""
    canonical = canonicalize(export(name))
    expected = run(canonical, images)[0]

    first = legalize(to_float16(canonical), opset=opset, ir_version=8)
    second = to_float16(legalize(canonical, opset=opset, ir_version=8))

    for model in (first, second):
        checker.check_model(model, full_check=True)
        assert np.abs(run(model, images)[0] - expected).max() <= 2**-8 * np.abs(expected).max()


def test_interface_stays_float32_with_one_cast_each(export: Export) -> None:
    """Names, shapes and types of inputs and outputs are those of the float32 network."""
    canonical = canonicalize(export("residual"))

    half = to_float16(canonical)

    assert [node.op_type for node in half.graph.node].count("Cast") == 2
    assert list(half.graph.input) == list(canonical.graph.input)
    assert output_shapes(half) == output_shapes(canonical)
    assert half.graph.output[0].type.tensor_type.elem_type == TensorProto.FLOAT


def test_every_weight_is_float16_under_its_own_name(export: Export) -> None:
    """Conversion changes the type of a constant, not its name."""
    canonical = canonicalize(export("residual"))

    half = to_float16(canonical)

    assert types(half) == dict.fromkeys(types(canonical), TensorProto.FLOAT16)


def test_weights_are_rounded_to_the_nearest() -> None:
    """1 + 2**-11 lies halfway and rounds to the even 1; subnormals are kept, 2**-26 is zero."""
    weights = np.array([1 + 2**-11, 1 + 3 * 2**-11, 2**-24, 2**-26], np.float32)
    model = parser.parse_model(f"{HEADER} net (float[4] x) => (float[4] y) {{ y = Mul(x, w) }}")
    model.graph.initializer.append(numpy_helper.from_array(weights, "w"))

    half = to_float16(model)

    assert numpy_helper.to_array(half.graph.initializer[0]).tolist() == [1.0, 1 + 2**-9, 2**-24, 0.0]


def test_scales_of_resize_stay_float32(export: Export) -> None:
    """ONNX wants the scales of Resize in float32."""
    half = to_float16(canonicalize(export("resized")))

    assert types(half)["Resize_0_scales"] == TensorProto.FLOAT


def test_constant_read_in_both_types_exists_in_both(run: Runner) -> None:
    """A tensor that scales a Resize and is also multiplied is stored as float32 and as float16."""
    model = parser.parse_model(f"""{HEADER} net (float[1,1,2,2] x) => (float[1,1,2,4] y)
        <float[4] s = {{1, 1, 1, 2}}> {{ r = Resize(x, , s)  y = Mul(r, s) }}""")
    x = np.ones((1, 1, 2, 2), np.float32)

    half = to_float16(model)

    assert sorted(types(half).values()) == [TensorProto.FLOAT, TensorProto.FLOAT16]
    assert run(half, x)[0].tolist() == [[[[1, 1, 1, 2]] * 2]]


def test_operator_without_float16_runs_in_float32(run: Runner) -> None:
    """Range has no float16 form in ONNX: it stays float32 between casts."""
    model = parser.parse_model(f"""{HEADER} net (float x) => (float[n] y)
        <float a = {{0}}, float b = {{1}}> {{ e = Add(x, b)  r = Range(a, e, b)  y = Mul(r, x) }}""")

    half = to_float16(model)

    assert run(half, np.array(2, np.float32))[0].tolist() == [0, 2, 4]


def test_types_that_attributes_decide_follow(run: Runner) -> None:
    """A Cast to float32 and a filled tensor become float16 inside the network."""
    model = parser.parse_model(f"""{HEADER} net (float[n] x) => (float[n] y)
        {{ i = Cast<to = 7>(x)  f = Cast<to = 1>(i)  s = Shape(x)
           o = ConstantOfShape<value = float[1] {{0.5}}>(s)  y = Add(f, o) }}""")

    half = to_float16(model)

    checker.check_model(half, full_check=True)
    assert run(half, np.array([1.75, 2.25], np.float32))[0].tolist() == [1.5, 2.5]


@pytest.mark.parametrize("value", [65505.0, -1e30])
def test_weight_beyond_float16_is_refused_by_name(value: float) -> None:
    """An overflow names the constant, its reader and the value."""
    model = parser.parse_model(f"{HEADER} net (float[2] x) => (float[2] y) {{ [first] y = Mul(x, w) }}")
    model.graph.initializer.append(numpy_helper.from_array(np.array([1, value], np.float32), "w"))

    with pytest.raises(ConfigError, match=rf"'w' of 'first' holds {abs(value):g}".replace("+", r"\+")):
        to_float16(model)


def test_infinite_weight_stays_infinite(run: Runner) -> None:
    """The minus infinity of an attention mask exists in float16."""
    model = parser.parse_model(f"{HEADER} net (float[2] x) => (float[2] y) {{ y = Add(x, w) }}")
    model.graph.initializer.append(numpy_helper.from_array(np.array([0, -np.inf], np.float32), "w"))

    assert run(to_float16(model), np.ones(2, np.float32))[0].tolist() == [1, -np.inf]


def test_epsilon_that_vanishes_is_refused() -> None:
    """An epsilon of 1e-12 would become a division by zero."""
    model = parser.parse_model(f"""{HEADER} net (float[2] x) => (float[2] y)
        <float e = {{1e-12}}> {{ a = Add(x, e)  y = Div(x, a) }}""")

    with pytest.raises(ConfigError, match=r"'e' .*zero in float16"):
        to_float16(model)


def test_quantized_network_is_refused() -> None:
    """Q/DQ pairs mark a network that is already small; its scales must not be rounded."""
    model = parser.parse_model(f"""{HEADER} net (float[2] x) => (float[2] y)
        <float s = {{0.1}}, int8 z = {{0}}>
        {{ q = QuantizeLinear(x, s, z)  y = DequantizeLinear(q, s, z) }}""")

    with pytest.raises(ConfigError, match="quantized already"):
        to_float16(model)


def test_the_given_model_is_left_alone(exported: onnx.ModelProto) -> None:
    """Converting changes no byte of its input."""
    before = exported.SerializeToString()

    to_float16(exported)

    assert exported.SerializeToString() == before
