"""Laws of writing a network for an older opset."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import checker, defs, helper, numpy_helper, parser

from edgekd.core.errors import ConfigError, StageError
from edgekd.export.canonical import canonicalize
from edgekd.export.downgrades import DOWNGRADES
from edgekd.export.legalize import NEWEST_OPSET, OLDEST_OPSET, legalize
from edgekd.export.shapes import fix_batch

OPSETS = range(OLDEST_OPSET, NEWEST_OPSET + 1)
ONLY_FORM_CHANGES = ("residual", "depthwise", "resized")
IR_VERSION = 8
HEADER = '<ir_version: 8, opset_import: ["": 18]>'
Runner = Callable[[onnx.ModelProto, np.ndarray], list[np.ndarray]]
Export = Callable[[str], onnx.ModelProto]


def one_node(text: str, *, input_type: str = "float[2,3,5,7]", constants: str = "") -> onnx.ModelProto:
    """Return a model of opset 18 that reads x and writes y by the nodes in *text*."""
    model = parser.parse_model(f"{HEADER} net ({input_type} x) => (float[] y) <{constants}> {{ {text} }}")
    model.graph.output[0].type.tensor_type.ClearField("shape")
    for index, node in enumerate(model.graph.node):
        node.name = f"{node.op_type}_{index}"
    return model


@pytest.mark.parametrize("opset", OPSETS)
def test_every_opset_gives_the_same_answers(exported: onnx.ModelProto, run: Runner, opset: int) -> None:
    """An exported or canonical network means the same in every opset from 13 to 18, for any batch."""
    x = np.random.default_rng(0).standard_normal((3, 3, 16, 16)).astype(np.float32)
    canonical = canonicalize(exported)
    (expected,) = run(exported, x)

    for model, batch in ((exported, 3), (canonical, 3), (fix_batch(canonical), 1)):
        legal = legalize(model, opset=opset, ir_version=IR_VERSION)
        checker.check_model(legal, full_check=True)
        assert [(entry.domain, entry.version) for entry in legal.opset_import] == [("", opset)]
        assert legal.ir_version == IR_VERSION
        np.testing.assert_allclose(run(legal, x[:batch])[0], expected[:batch], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ONLY_FORM_CHANGES)
def test_answers_are_bit_equal_where_only_the_form_changes(
    export: Export, run: Runner, images: np.ndarray, name: str
) -> None:
    """Attributes that become inputs and inputs that become attributes cost no bit."""
    canonical = canonicalize(export(name))

    legal = legalize(canonical, opset=13, ir_version=7)

    for before, after in zip(run(canonical, images), run(legal, images), strict=True):
        np.testing.assert_array_equal(after, before)


def test_the_given_model_is_left_alone(exported: onnx.ModelProto) -> None:
    """Legalizing changes no byte of its input."""
    before = exported.SerializeToString()

    legalize(exported, opset=13, ir_version=7)

    assert exported.SerializeToString() == before


def test_rules_exist_only_for_operators_that_changed() -> None:
    """A rule exists only where a schema changed: none is dead, none shadows an unchanged operator."""
    changed = {
        (schema.name, schema.since_version)
        for schema in defs.get_all_schemas_with_history()
        if schema.domain == "" and OLDEST_OPSET < schema.since_version <= NEWEST_OPSET
    }

    assert set(DOWNGRADES) <= changed


NUMERIC_CASES = {
    "reduction axes": ("y = ReduceMax<keepdims = 0>(x, a)", "int64[2] a = {-1, 1}"),
    "reduction over everything": ("y = ReduceL2(x)", ""),
    "pad of two axes": (
        "y = Pad(x, p, c, a)",
        "int64[4] p = {1, 2, 3, 4}, float c = {9}, int64[2] a = {3, -3}",
    ),
    "pad of all axes": ("y = Pad(x, p)", "int64[8] p = {0, 0, 1, 2, 0, 0, 3, 4}"),
    "resize of two axes": ('y = Resize<axes = [3, 2], mode = "linear">(x, , , s)', "int64[2] s = {9, 4}"),
    "uneven split": (
        "a, b, c = Split<axis = 3, num_outputs = 3>(x)  d = Add(a, b)  y = Concat<axis = -1>(d, c)",
        "",
    ),
    "mish": ("y = Mish(x)", ""),
    "hard swish": ("y = HardSwish(x)", ""),
    "layer norm of two axes": (
        "y = LayerNormalization<axis = -2, epsilon = 0.1>(x, s)",
        "float[7] s = {1, 2, 3, 4, 5, 6, 7}",
    ),
    "shape of the middle": ("s = Shape<start = 1, end = -1>(x)  y = Cast<to = 1>(s)", ""),
    "shape of the end": ("s = Shape<start = -1>(x)  y = Cast<to = 1>(s)", ""),
    "scatter": ("y = ScatterElements<axis = 3>(x, i, u)", "int64[1,1,1,1] i = {2}, float[1,1,1,1] u = {5}"),
    "where": ("c = GreaterOrEqual(x, z)  p = Pow(x, t)  y = Where(c, p, x)", "float z = {0}, float t = {2}"),
    "reshape": ("y = Reshape<allowzero = 1>(x, s)", "int64[2] s = {6, 35}"),
    "activations": ("l = LeakyRelu(x)  y = PRelu(l, s)", "float[7] s = {1, 2, 3, 4, 5, 6, 7}"),
    "arithmetic": (
        "a = Sub(x, x)  b = Mul(a, x)  c = Div(b, t)  y = CumSum(c, i)",
        "float t = {2}, int64 i = {1}",
    ),
}


@pytest.mark.parametrize(("text", "constants"), NUMERIC_CASES.values(), ids=NUMERIC_CASES.keys())
def test_operator_keeps_its_meaning(run: Runner, text: str, constants: str) -> None:
    """Each rule writes what ONNX Runtime computes for the form of opset 18."""
    model = one_node(text, constants=constants)
    x = np.random.default_rng(1).standard_normal((2, 3, 5, 7)).astype(np.float32)

    legal = legalize(model, opset=13, ir_version=7)

    np.testing.assert_allclose(run(legal, x)[0], run(model, x)[0], rtol=1e-5, atol=1e-5)


def test_resized_images_of_any_number_stay_of_any_number(run: Runner) -> None:
    """Sizes for two axes leave the batch free; before opset 18 it is read from the data."""
    model = one_node(
        "y = Resize<axes = [2, 3]>(x, , , s)", input_type="float[n,3,5,7]", constants="int64[2] s = {10, 3}"
    )
    legal = legalize(model, opset=13, ir_version=7)
    for batch in (1, 4):
        x = np.random.default_rng(2).standard_normal((batch, 3, 5, 7)).astype(np.float32)
        np.testing.assert_array_equal(run(legal, x)[0], run(model, x)[0])


REFUSED_CASES = {
    "computed axes": ("s = Shape<end = 1>(x)  y = ReduceMean(x, s)", "", r"ReduceMean_1.*axes are computed"),
    "mean of nothing": ("y = ReduceMean<noop_with_empty_axes = 1>(x)", "", "noop_with_empty_axes"),
    "antialias": (
        'y = Resize<antialias = 1, mode = "linear">(x, , s)',
        "float[4] s = {1, 1, 0.5, 0.5}",
        "antialias = 1",
    ),
    "antialias of two axes": (
        'y = Resize<antialias = 1, axes = [2, 3], mode = "linear">(x, , , s)',
        "int64[2] s = {3, 3}",
        "antialias = 1",
    ),
    "added scatter": (
        'y = ScatterElements<axis = 3, reduction = "add">(x, i, u)',
        "int64[1,1,1,1] i = {2}, float[1,1,1,1] u = {5}",
        "reduction = 'add'",
    ),
    "no rule": ("y = Trilu(x)", "", r"Trilu_0.*opset 14 changed.*opset 13 was asked.*DOWNGRADES"),
    "statistics": (
        "a, y = LayerNormalization(x, s)",
        "float[7] s = {1, 2, 3, 4, 5, 6, 7}",
        "only the first output",
    ),
}


@pytest.mark.parametrize(("text", "constants", "said"), REFUSED_CASES.values(), ids=REFUSED_CASES.keys())
def test_what_has_no_older_form_is_refused_by_name(text: str, constants: str, said: str) -> None:
    """A node without an older form ends in an error that names it and the reason."""
    with pytest.raises(ConfigError, match=said):
        legalize(one_node(text, constants=constants), opset=13, ir_version=7)


def test_reshape_to_nothing_is_refused() -> None:
    """A zero that means zero, not "copy", cannot be written before opset 14."""
    model = one_node("y = Reshape<allowzero = 1>(x, s)", input_type="float[0,2,3]", constants="int64[2] s = {0, 6}")

    with pytest.raises(ConfigError, match="allowzero = 1"):
        legalize(model, opset=13, ir_version=7)


def test_split_of_a_dynamic_axis_is_refused() -> None:
    """The sizes of the parts of an unknown axis cannot be written down."""
    model = one_node("a, y = Split<num_outputs = 2>(x)", input_type="float[n,3]")

    with pytest.raises(ConfigError, match="only known when the network runs"):
        legalize(model, opset=13, ir_version=7)


def test_type_that_the_older_opset_does_not_take_is_refused() -> None:
    """Relu of integers exists from opset 14."""
    model = parser.parse_model(f"{HEADER} net (int32[2] x) => (int32[2] y) {{ y = Relu(x) }}")

    with pytest.raises(StageError, match=r"opset 13.*int32"):
        legalize(model, opset=13, ir_version=7)


def test_operator_of_another_domain_is_refused_by_name() -> None:
    """A custom operator is named with its domain."""
    model = parser.parse_model(
        '<ir_version: 8, opset_import: ["": 18, "my.ops": 1]> net (float[2] x) => (float[2] y){ y = my.ops.Swirl(x) }'
    )

    with pytest.raises(ConfigError, match=r"my\.ops::Swirl"):
        legalize(model, opset=13, ir_version=7)


def test_unused_domain_is_dropped() -> None:
    """An import that no node uses does not reach the older runtime."""
    model = one_node("y = Relu(x)")
    model.opset_import.append(helper.make_opsetid("my.ops", 1))

    legal = legalize(model, opset=18, ir_version=8)

    assert [entry.domain for entry in legal.opset_import] == [""]


@pytest.mark.parametrize(
    ("source", "opset", "ir_version", "said"),
    [
        (15, 17, 8, "has opset 15"),
        (18, 12, 8, "expected 13 to 18"),
        (18, 19, 9, "expected 13 to 18"),
        (18, 17, 7, "IR version 7 with opset 17"),
        (18, 13, 99, "IR version 99"),
    ],
)
def test_versions_that_cannot_be_written_are_refused(source: int, opset: int, ir_version: int, said: str) -> None:
    """Nothing goes up to a newer opset, and the IR version must know the opset."""
    model = one_node("y = Relu(x)")
    model.opset_import[0].version = source

    with pytest.raises(ConfigError, match=said):
        legalize(model, opset=opset, ir_version=ir_version)


def test_layer_norm_of_float16_keeps_its_statistics_in_float32(run: Runner) -> None:
    """Values whose squares overflow float16 are still normalized: (-300, 300) becomes (-1, 1)."""
    model = parser.parse_model(f"""{HEADER} net (float16[1,2] x) => (float16[1,2] y)
        {{ y = LayerNormalization<epsilon = 0.0>(x, s) }}""")
    model.graph.initializer.append(numpy_helper.from_array(np.ones(2, np.float16), "s"))

    legal = legalize(model, opset=13, ir_version=7)

    assert run(legal, np.array([[-300, 300]], np.float16))[0].tolist() == [[-1, 1]]
