"""ONNX files as people bring them: what is taken, and what is refused in one sentence."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper, parser
from quantized import exported, quantized_network, some_digits

from edgekd.core.errors import ConfigError
from edgekd.export.legalize import legalize
from edgekd.networks.session import answers, open_session
from edgekd.stages.intake import canonical_float

SHAPES = {"input": (1, 28, 28)}


def copy_of(model: ModelProto) -> ModelProto:
    """Return a copy to change."""
    copied = ModelProto()
    copied.CopyFrom(model)
    return copied


def with_domain() -> ModelProto:
    """Return a network whose first node is of somebody's own domain."""
    model = copy_of(exported("dscnn"))
    model.graph.node[0].domain = "com.example"
    model.opset_import.append(helper.make_opsetid("com.example", 1))
    return model


def with_constant(value: float) -> ModelProto:
    """Return a network with one weight of *value*."""
    model = copy_of(exported("dscnn"))
    array = numpy_helper.to_array(model.graph.initializer[0]).copy()
    array.flat[0] = value
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(array, model.graph.initializer[0].name))
    return model


def with_outside_tensor() -> ModelProto:
    """Return a network that says its first tensor lies in a file of another folder."""
    model = copy_of(exported("dscnn"))
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../secret.bin")
    return model


REFUSED: list[tuple[Callable[[], ModelProto], str]] = [
    (lambda: quantized_network("dscnn", "onnxruntime-arm64").qdq, "quantized already"),
    (with_domain, "com.example"),
    (lambda: with_constant(np.nan), "NaN or infinite"),
    (lambda: with_constant(np.inf), "NaN or infinite"),
    (with_outside_tensor, "outside its own folder"),
]


@pytest.mark.parametrize(("make", "word"), REFUSED)
def test_what_cannot_be_quantized_is_refused_in_a_sentence(
    make: Callable[[], ModelProto], word: str, tmp_path: Path
) -> None:
    """The file, what is wrong with it and what to do; the file stays as it was."""
    path = tmp_path / "net.onnx"
    path.write_bytes(make().SerializeToString())
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=word) as refused:
        canonical_float(path, SHAPES)
    assert str(refused.value).startswith(str(path))
    assert path.read_bytes() == before


def test_a_file_that_is_no_network_is_refused(tmp_path: Path) -> None:
    """Text is no model."""
    path = tmp_path / "net.onnx"
    path.write_text("not a network")
    with pytest.raises(ConfigError, match="cannot be read as an ONNX model"):
        canonical_float(path, SHAPES)


def test_data_of_another_shape_is_refused(tmp_path: Path) -> None:
    """The sentence says what the network takes and what the data gives."""
    path = tmp_path / "net.onnx"
    onnx.save(exported("dscnn"), path)
    with pytest.raises(ConfigError, match=r"takes float of shape \(batch, 1, 28, 28\).*\(batch, 3, 32, 32\)"):
        canonical_float(path, {"input": (3, 32, 32)})


def upsampling(dilation: int) -> ModelProto:
    """Return a network that begins with a transposed convolution of *dilation*."""
    model = copy_of(exported("dscnn"))
    size = 28 - 2 * dilation
    weight = np.full((1, 1, 3, 3), 1 / 9, np.float32)
    model.graph.initializer.append(numpy_helper.from_array(weight, "up.weight"))
    node = helper.make_node("ConvTranspose", ["input", "up.weight"], ["up"], name="up", dilations=[dilation] * 2)
    for other in model.graph.node:
        other.input[:] = ["up" if value == "input" else value for value in other.input]
    model.graph.node.insert(0, node)
    del model.graph.value_info[:]
    for dim in model.graph.input[0].type.tensor_type.shape.dim[2:]:
        dim.dim_value = size
    return model


def test_a_transposed_convolution_stays_until_it_is_quantized(tmp_path: Path) -> None:
    """What is compared with later is the network as it was brought, not a form of it."""
    path = tmp_path / "net.onnx"
    onnx.save(upsampling(dilation=1), path)
    assert canonical_float(path, {"input": (1, 26, 26)}).graph.node[0].op_type == "ConvTranspose"


def test_a_transposed_convolution_that_has_no_integer_form_is_refused_by_name(tmp_path: Path) -> None:
    """With dilations nothing but ConvTranspose computes it."""
    path = tmp_path / "net.onnx"
    onnx.save(upsampling(dilation=2), path)
    with pytest.raises(ConfigError, match=r"'ConvTranspose_0' \(ConvTranspose\): an operator that cannot be quantized"):
        canonical_float(path, {"input": (1, 24, 24)})


@pytest.mark.parametrize("opset", [13, 17, 18])
def test_older_files_compute_the_same(opset: int, tmp_path: Path) -> None:
    """A network at an older opset becomes the canonical one without a change of its answers."""
    path = tmp_path / "net.onnx"
    model = exported("dscnn")
    onnx.save(legalize(model, opset=opset, ir_version=8), path)
    found = canonical_float(path, SHAPES)
    expected = answers(open_session(model, arithmetic="reference"), [(some_digits(),)])
    np.testing.assert_allclose(
        answers(open_session(found, arithmetic="reference"), [(some_digits(),)]), expected, rtol=1e-4, atol=1e-4
    )


def as_older_exporters_write(batch: int | str) -> ModelProto:
    """Return a network that pads by ConstantOfShape and resizes to sizes which it reads from its own shapes."""
    return parser.parse_model(f"""<ir_version: 7, opset_import: ["": 13]> g
        (float[{batch}, 1, 28, 28] input) => (float[{batch}, 1, 14, 14] logits)
        <float[1, 1, 2, 2] w = {{1, 2, 3, 4}}, int64[1] four = {{4}}, int64[4] before = {{0, 0, 1, 1}},
         int64[1] zero = {{0}}, int64[1] two = {{2}}, int64[1] end = {{4}}> {{
        after = ConstantOfShape<value = int64[1] {{0}}>(four)
        pads = Concat<axis = 0>(before, after)
        padded = Pad(input, pads)
        large = Conv<strides = [2, 2]>(padded, w)
        small = Conv<strides = [2, 2]>(large, w)
        own = Shape(small)
        outer = Slice(own, zero, two)
        other = Shape(large)
        inner = Slice(other, two, end)
        sizes = Concat<axis = 0>(outer, inner)
        again = Resize<mode = "linear", coordinate_transformation_mode = "half_pixel">(small, , , sizes)
        logits = Add(again, large) }}""")


@pytest.mark.parametrize("batch", ["n", 1])
def test_sizes_and_pads_that_follow_from_the_data_are_constants(batch: int | str, tmp_path: Path) -> None:
    """Nothing computes shapes any more, every number of samples is taken, and the answers are the same."""
    path = tmp_path / "net.onnx"
    onnx.save(as_older_exporters_write(batch), path)
    found = canonical_float(path, SHAPES)
    assert {node.op_type for node in found.graph.node} <= {"Pad", "Conv", "Resize", "Add"}
    expected = answers(open_session(path, arithmetic="reference"), [(some_digits(),)])
    assert found.graph.input[0].type.tensor_type.shape.dim[0].dim_param or batch == 1
    for form in (found, legalize(found, opset=13, ir_version=8)):
        given = answers(open_session(form, arithmetic="reference"), [(some_digits(),)])
        np.testing.assert_allclose(given, expected, rtol=1e-5, atol=1e-5)
