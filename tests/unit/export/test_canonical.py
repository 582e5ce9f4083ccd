"""Laws of the canonical form."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import checker, numpy_helper, parser

from edgekd.export.canonical import canonicalize

HEADER = '<ir_version: 8, opset_import: ["": 18]>'
Runner = Callable[[onnx.ModelProto, np.ndarray], list[np.ndarray]]
Export = Callable[[str], onnx.ModelProto]


def ops(model: onnx.ModelProto) -> list[str]:
    """Return the operators in graph order."""
    return [node.op_type for node in model.graph.node]


def constants(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    """Return the initializers by name."""
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def test_canonical_network_answers_as_the_exported_one(
    exported: onnx.ModelProto, run: Runner, images: np.ndarray
) -> None:
    """Canonical form is valid ONNX and changes no answer, for any batch."""
    canonical = canonicalize(exported)

    checker.check_model(canonical, full_check=True)
    for before, after in zip(run(exported, images), run(canonical, images), strict=True):
        np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-5)


def test_the_given_model_is_left_alone(exported: onnx.ModelProto) -> None:
    """Canonicalizing changes no byte of its input."""
    before = exported.SerializeToString()

    canonicalize(exported)

    assert exported.SerializeToString() == before


def test_canonical_form_is_a_fixed_point(exported: onnx.ModelProto) -> None:
    """What is canonical stays as it is, to the byte."""
    canonical = canonicalize(exported)

    assert canonicalize(canonical).SerializeToString() == canonical.SerializeToString()


@pytest.mark.slow
def test_two_processes_write_equal_bytes(export: Export) -> None:
    """The same network exported in another process, with another hash seed, is the same file."""
    program = (
        "import hashlib, runpy, sys; from edgekd.export.canonical import canonicalize\n"
        "export = runpy.run_path(sys.argv[1])['export_network']\n"
        "print(hashlib.sha256(canonicalize(export(sys.argv[2])).SerializeToString()).hexdigest())"
    )
    command = [sys.executable, "-c", program, str(Path(__file__).with_name("conftest.py")), "mixed"]
    root = os.pathsep.join(path for path in sys.path if path)

    there = subprocess.run(
        command,
        env={**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": root},
        check=True,
        capture_output=True,
        text=True,
    )

    assert there.stdout.strip() == hashlib.sha256(canonicalize(export("mixed")).SerializeToString()).hexdigest()


def test_no_trace_of_the_exporting_machine_is_left(exported: onnx.ModelProto) -> None:
    """No path, stack trace, doc string or metadata survives."""
    content = canonicalize(exported).SerializeToString()

    assert __file__.encode() not in content
    assert Path(__file__).parent.name.encode() + b"/conftest" not in content
    assert b"pkg.torch" not in content
    assert b"stack_trace" not in content


def test_input_and_output_keep_name_and_shape(exported: onnx.ModelProto) -> None:
    """The interface of the network is not canonical form's to change."""
    canonical = canonicalize(exported)

    assert [(value.name, value.type) for value in canonical.graph.input] == [
        (value.name, value.type) for value in exported.graph.input
    ]
    assert [(value.name, value.type) for value in canonical.graph.output] == [
        (value.name, value.type) for value in exported.graph.output
    ]


@pytest.mark.parametrize("name", ["residual", "depthwise", "excited", "mixed", "viewed"])
def test_classifiers_have_no_shape_arithmetic(export: Export, name: str) -> None:
    """A classifier with dynamic batch needs no operator that computes shapes."""
    assert not {"Shape", "Constant", "Identity", "Dropout", "Expand"} & set(ops(canonicalize(export(name))))


def test_residual_network_becomes_the_graph_one_would_draw(export: Export) -> None:
    """BatchNormalization is folded, the pooled head is pooling, Flatten and Gemm."""
    canonical = canonicalize(export("residual"))

    assert ops(canonical) == [
        *("Conv", "Relu", "MaxPool", "Conv", "Relu", "Conv", "Add", "Relu"),
        *("GlobalAveragePool", "Flatten", "Gemm"),
    ]
    assert [node.name for node in canonical.graph.node if node.op_type == "Conv"] == [
        "Conv_0",
        "Conv_1",
        "Conv_2",
    ]
    assert {"stem.0.weight", "head.3.weight", "head.3.bias"} <= constants(canonical).keys()


def test_spatial_means_become_pooling(export: Export) -> None:
    """A mean over both spatial axes is pooled, its axes kept or not; a mean over one axis stays."""
    assert ops(canonicalize(export("excited"))).count("GlobalAveragePool") == 2
    assert "ReduceMean" not in ops(canonicalize(export("excited")))
    assert ops(canonicalize(export("mixed"))).count("ReduceMean") == 2


def test_lone_batch_normalization_stays(export: Export) -> None:
    """BatchNormalization behind a reflecting Pad has nothing to be folded into."""
    assert ops(canonicalize(export("mixed"))).count("BatchNormalization") == 1


def test_batch_normalization_folds_into_the_convolution_by_its_formula() -> None:
    """(2x + 1 - 5) * 3 / sqrt(3 + 1) + 4 is 3x - 2."""
    model = parser.parse_model(f"""{HEADER} net (float[n,1,4,4] x) => (float[n,1,4,4] y)
        <float[1,1,1,1] w = {{2}}, float[1] b = {{1}}, float[1] scale = {{3}}, float[1] shift = {{4}},
         float[1] mean = {{5}}, float[1] variance = {{3}}>
        {{ c = Conv(x, w, b)  y = BatchNormalization<epsilon = 1.0>(c, scale, shift, mean, variance) }}""")

    canonical = canonicalize(model)

    assert ops(canonical) == ["Conv"]
    assert [array.item() for array in constants(canonical).values()] == [3.0, -2.0]


def test_batch_normalization_of_a_convolution_that_others_read_stays() -> None:
    """Folding would change what the other reader sees."""
    model = parser.parse_model(f"""{HEADER} net (float[n,1,4,4] x) => (float[n,1,4,4] y, float[n,1,4,4] z)
        <float[1,1,1,1] w = {{2}}, float[1] scale = {{3}}, float[1] shift = {{4}}, float[1] mean = {{5}},
         float[1] variance = {{3}}>
        {{ c = Conv(x, w)  y = BatchNormalization(c, scale, shift, mean, variance)  z = Relu(c) }}""")

    assert sorted(ops(canonicalize(model))) == ["BatchNormalization", "Conv", "Relu"]


def test_matrix_product_and_bias_become_one_gemm(run: Runner) -> None:
    """The product x @ W + b of a matrix is a Gemm whose weights count outputs on axis 0."""
    model = parser.parse_model(f"""{HEADER} net (float[n,2] x) => (float[n,3] y)
        <float[2,3] w = {{1, 2, 3, 4, 5, 6}}, float[3] b = {{10, 20, 30}}>
        {{ p = MatMul(x, w)  y = Add(b, p) }}""")

    canonical = canonicalize(model)

    assert ops(canonical) == ["Gemm"]
    assert constants(canonical)["Gemm_0_B"].tolist() == [[1, 4], [2, 5], [3, 6]]
    assert run(canonical, np.array([[1, 1]], np.float32))[0].tolist() == [[15, 27, 39]]


def test_matrix_product_of_higher_rank_stays() -> None:
    """Gemm takes matrices only."""
    model = parser.parse_model(f"""{HEADER} net (float[n,4,2] x) => (float[n,4,2] y)
        <float[2,2] w = {{1, 2, 3, 4}}> {{ y = MatMul(x, w) }}""")

    assert ops(canonicalize(model)) == ["MatMul"]


def test_large_transposed_weights_are_folded(run: Runner) -> None:
    """A Transpose of constant weights is done once and for all, whatever their size."""
    weights = np.random.default_rng(0).standard_normal((600, 700)).astype(np.float32)
    model = parser.parse_model(f"""{HEADER} net (float[n,600] x) => (float[n,700] y)
        {{ t = Transpose<perm = [1, 0]>(w)  u = Transpose<perm = [1, 0]>(t)  y = MatMul(x, u) }}""")
    model.graph.initializer.append(numpy_helper.from_array(weights, "w"))
    x = np.ones((1, 600), np.float32)

    canonical = canonicalize(model)

    assert ops(canonical) == ["Gemm"]
    np.testing.assert_allclose(run(canonical, x)[0], x @ weights, rtol=1e-4, atol=1e-4)


def test_what_does_nothing_is_gone_and_the_output_keeps_its_name() -> None:
    """Identity, Dropout, Cast and Reshape that change nothing leave only the operator that does something."""
    model = parser.parse_model(f"""{HEADER} net (float[n,2,3] x) => (float[n,2,3] y)
        {{ shape = Constant<value = int64[3] {{-1, 2, 3}}>()
           a = Identity(x)  b = Cast<to = 1>(a)  c = Reshape(b, shape)
           d = Relu(c)  e, m = Dropout(d)  y = Identity(e) }}""")

    canonical = canonicalize(model)

    assert ops(canonical) == ["Relu"]
    assert canonical.graph.node[0].output[0] == "y"
    assert not canonical.graph.initializer


@pytest.mark.parametrize(
    ("asked", "kept"),
    [([-1, 12], "Flatten"), ([0, 12], "Flatten"), ([0, -1], "Flatten"), ([-1, 4, 3], "Reshape")],
)
def test_reshape_that_keeps_the_batch_says_so(run: Runner, asked: list[int], kept: str) -> None:
    """The first dimension is copied, not computed, and flattening is Flatten."""
    sizes = ", ".join(map(str, asked))
    model = parser.parse_model(f"""{HEADER} net (float[n,3,2,2] x) => (float[] y)
        <int64[{len(asked)}] shape = {{{sizes}}}> {{ y = Reshape(x, shape) }}""")
    model.graph.output[0].type.tensor_type.ClearField("shape")
    x = np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2)

    canonical = canonicalize(model)

    assert ops(canonical) == [kept]
    assert [array.tolist() for array in constants(canonical).values()] == ([[0, 4, 3]] if kept == "Reshape" else [])
    np.testing.assert_array_equal(run(canonical, x)[0], run(model, x)[0])


@pytest.mark.parametrize("asked", [[-1, 6], [6, -1], [-1], [3, -1, 4]])
def test_reshape_that_mixes_samples_stays(run: Runner, asked: list[int]) -> None:
    """A first dimension that changes is left to compute."""
    sizes = ", ".join(map(str, asked))
    model = parser.parse_model(f"""{HEADER} net (float[n,3,2,2] x) => (float[] y)
        <int64[{len(asked)}] shape = {{{sizes}}}> {{ y = Reshape(x, shape) }}""")
    model.graph.output[0].type.tensor_type.ClearField("shape")
    x = np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2)

    canonical = canonicalize(model)

    assert ops(canonical) == ["Reshape"]
    np.testing.assert_array_equal(run(canonical, x)[0], run(model, x)[0])


def test_equal_biases_are_not_shared() -> None:
    """Two convolutions with one bias tensor get one each, because each is quantized with its own scale."""
    model = parser.parse_model(f"""{HEADER} net (float[n,1,4,4] x) => (float[n,1,4,4] y)
        <float[1,1,1,1] v = {{2}}, float[1,1,1,1] w = {{3}}, float[1] b = {{1}}>
        {{ c = Conv(x, v, b)  y = Conv(c, w, b) }}""")

    canonical = canonicalize(model)

    first, second = canonical.graph.node
    assert first.input[2] != second.input[2]
    assert constants(canonical)[first.input[2]] == constants(canonical)[second.input[2]] == 1


def test_attributes_that_say_the_default_are_left_out() -> None:
    """An attribute at its schema's default is the same network as none."""
    loud = parser.parse_model(f"""{HEADER} net (float[n,2] x) => (float[n,2] y)
        {{ y = Softmax<axis = -1>(x) }}""")
    quiet = parser.parse_model(f"""{HEADER} net (float[n,2] x) => (float[n,2] y) {{ y = Softmax(x) }}""")

    assert canonicalize(loud).SerializeToString() == canonicalize(quiet).SerializeToString()


@pytest.mark.parametrize(("shape", "expected"), [("{2, 3}", ["Add"]), ("{2000, 3}", ["ConstantOfShape", "Add"])])
def test_a_repeated_number_is_written_out_where_it_is_short(shape: str, expected: list[str]) -> None:
    """Six numbers are a constant; six thousand would fill the file."""
    model = parser.parse_model(
        f"{HEADER} net (float[n, 3] x) => (float[m, 3] y) <int64[2] s = {shape}> "
        "{ c = ConstantOfShape<value = float[1] {7}>(s)  y = Add(x, c) }"
    )
    canonical = canonicalize(model)
    assert ops(canonical) == expected
    if expected == ["Add"]:
        np.testing.assert_array_equal(next(iter(constants(canonical).values())), np.full((2, 3), 7, np.float32))


@pytest.mark.parametrize("bias", ["", ", b"])
def test_factors_of_a_gemm_are_multiplied_into_its_constants(bias: str, run: Runner) -> None:
    """0.5 (1, 2) @ ((2, 4), (6, 8)) is (7, 10); with 3 (1, 1) added, (10, 13)."""
    model = parser.parse_model(
        f"{HEADER} g (float[n, 2] x) => (float[n, 2] y) <float[2, 2] w = {{2, 4, 6, 8}}, float[2] b = {{1, 1}}> "
        f"{{ y = Gemm <alpha = 0.5, beta = 3.0> (x, w{bias}) }}"
    )
    canonical = canonicalize(model)
    assert not {attribute.name for attribute in canonical.graph.node[0].attribute} & {"alpha", "beta"}
    expected = np.array([[10, 13]]) if bias else np.array([[7, 10]])
    np.testing.assert_array_equal(run(canonical, np.array([[1, 2]], np.float32))[0], expected)
