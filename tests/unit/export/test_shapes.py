"""Laws of reading, inferring and fixing shapes."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import helper, parser

from edgekd.core.errors import ConfigError, StageError
from edgekd.export import shapes
from edgekd.export.canonical import canonicalize

HEADER = '<ir_version: 8, opset_import: ["": 18]>'
Runner = Callable[[onnx.ModelProto, np.ndarray], list[np.ndarray]]


@pytest.mark.parametrize("batch", [1, 3])
def test_fixed_batch_leaves_no_dynamic_dimension_and_the_same_answers(
    exported: onnx.ModelProto, run: Runner, batch: int
) -> None:
    """Every shape is static, no shape arithmetic survives canonical form, and answers are unchanged."""
    canonical = canonicalize(exported)
    x = np.random.default_rng(0).standard_normal((batch, 3, 16, 16)).astype(np.float32)

    fixed = canonicalize(shapes.fix_batch(canonical, batch))

    values = [*fixed.graph.input, *fixed.graph.output, *fixed.graph.value_info]
    assert all(dim.HasField("dim_value") for value in values for dim in value.type.tensor_type.shape.dim)
    assert shapes.input_shapes(fixed) == {"image": (batch, 3, 16, 16)}
    assert shapes.output_shapes(fixed)["logits"][0] == batch
    assert "Shape" not in [node.op_type for node in fixed.graph.node]
    for before, after in zip(run(canonical, x), run(fixed, x), strict=True):
        np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-5)


def test_fixing_the_batch_leaves_the_given_model_alone(exported: onnx.ModelProto) -> None:
    """Fixing the batch changes no byte of its input."""
    before = exported.SerializeToString()

    shapes.fix_batch(exported, 2)

    assert exported.SerializeToString() == before


def test_fixing_the_batch_again_to_the_same_size_changes_nothing(exported: onnx.ModelProto) -> None:
    """A fixed batch stays fixed."""
    fixed = shapes.fix_batch(exported, 2)

    assert shapes.fix_batch(fixed, 2) == fixed


def test_dynamic_dimensions_of_another_name_stay_dynamic() -> None:
    """Only the batch is fixed; wherever an input repeats its name, it is fixed too."""
    model = parser.parse_model(f"{HEADER} net (float[n,w] x, float[k,n] z) => (float[n,w] y) {{ y = Relu(x) }}")

    fixed = shapes.fix_batch(model, 4)

    assert shapes.input_shapes(fixed) == {"x": (4, "w"), "z": (4, 4)}
    assert shapes.output_shapes(fixed) == {"y": (4, "w")}


@pytest.mark.parametrize(
    ("signature", "batch", "said"),
    [
        ("float[2,3] x", 1, "'x': its batch is fixed to 2, 1 was asked"),
        ("float x", 1, "'x' is a scalar"),
        ("float[n,3] x", 0, "expected at least 1"),
    ],
)
def test_batch_that_cannot_be_fixed_is_refused(signature: str, batch: int, said: str) -> None:
    """The error names the input and what stands in the way."""
    model = parser.parse_model(f"{HEADER} net ({signature}) => (float[] y) {{ y = Relu(x) }}")

    with pytest.raises(ConfigError, match=said):
        shapes.fix_batch(model, batch)


def test_inference_forgets_stale_shapes() -> None:
    """A value_info that no longer holds is replaced by what follows from the inputs."""
    model = parser.parse_model(f"{HEADER} net (float[2,3] x) => (float[2,3] y) {{ r = Relu(x)  y = Relu(r) }}")
    model.graph.value_info.append(helper.make_tensor_value_info("r", 1, [7, 7]))

    inferred = shapes.infer(model)

    assert [dim.dim_value for dim in inferred.graph.value_info[0].type.tensor_type.shape.dim] == [2, 3]


def test_contradiction_is_an_error() -> None:
    """A graph whose shapes cannot be true is refused, not passed on."""
    model = parser.parse_model(f"{HEADER} net (float[2,3] x) => (float[2,9] y) {{ y = Relu(x) }}")

    with pytest.raises(StageError, match="no types and shapes fit"):
        shapes.infer(model)


def test_shipping_form_has_no_value_info(exported: onnx.ModelProto) -> None:
    """Intermediate shapes can be left out; runtimes infer them."""
    assert not shapes.without_value_info(exported).graph.value_info
