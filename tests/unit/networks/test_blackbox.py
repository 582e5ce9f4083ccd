"""ONNX files of others: what is refused, and how they are averaged."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from older import older_onnx
from onnx import ModelProto, TensorProto, helper, numpy_helper
from torch import nn

from edgekd.core.errors import ConfigError
from edgekd.networks.blackbox import average, fitted, read_onnx
from edgekd.networks.graph_counting import count_graph_macs
from edgekd.networks.session import every_answer, open_session

IMAGE = {"image": (2, 4, 4)}


def linear(
    seed: int = 0, *, opset: int = 18, batch: int | str = "n", names: tuple[str, str] = ("image", "logits")
) -> ModelProto:
    """Return a classifier of 2x4x4 images with random weights; the names inside are the same in all of them."""
    random = np.random.default_rng(seed)
    weights = {"w": random.standard_normal((32, 5)), "b": random.standard_normal(5)}
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", [names[0]], ["flat"], name="flatten"),
            helper.make_node("Gemm", ["flat", "w", "b"], ["hidden"], name="gemm"),
            helper.make_node("Relu", ["hidden"], [names[1]], name="relu"),
        ],
        "linear",
        [helper.make_tensor_value_info(names[0], TensorProto.FLOAT, [batch, 2, 4, 4])],
        [helper.make_tensor_value_info(names[1], TensorProto.FLOAT, [batch, 5])],
        [numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def images(count: int = 6) -> NDArray[np.float32]:
    """Return random images."""
    return np.random.default_rng(9).standard_normal((count, 2, 4, 4)).astype(np.float32)


def logits(model: ModelProto, *arrays: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what ONNX Runtime answers."""
    return every_answer(open_session(model, arithmetic="reference"), [arrays or (images(),)])[0]


def two_inputs(first: str = "image", second: str = "age", kind: int = TensorProto.FLOAT) -> ModelProto:
    """Return a network that takes an image and a number, in the file's own order."""
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["image"], ["flat"]),
            helper.make_node("MatMul", ["flat", "w"], ["projected"]),
            helper.make_node("Add", ["projected", "age"], ["logits"]),
        ],
        "two",
        [
            helper.make_tensor_value_info(name, kind, ["n", 2, 4, 4] if name == "image" else ["n", 1])
            for name in (first, second)
        ],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 5])],
        [numpy_helper.from_array(np.ones((32, 5), dtype=np.float32), "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


# What is no model


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "cannot be read"), (b"", "cannot be read"), (b"garbage", "cannot be read"), (b"\x08", "cannot be read")],
)
def test_a_file_that_is_no_model_is_named(tmp_path: Path, content: bytes | None, words: str) -> None:
    """Missing, empty, garbage, cut short: one sentence with its path."""
    file = tmp_path / "teacher.onnx"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(ConfigError, match=words) as error:
        read_onnx(file)

    assert str(error.value).startswith(f"{file}: ")
    assert "\n" not in str(error.value)


def test_a_model_that_is_not_valid_is_named(tmp_path: Path) -> None:
    """ONNX's own checker says what is wrong."""
    model = linear()
    model.graph.node[0].op_type = "Flatlen"
    onnx.save(model, tmp_path / "teacher.onnx")

    with pytest.raises(ConfigError, match=r"teacher.onnx: cannot be read as an ONNX model \(.*Flatlen"):
        read_onnx(tmp_path / "teacher.onnx")


@pytest.mark.parametrize("is_there", [True, False])
def test_tensors_in_other_files_are_refused_with_the_way_out(tmp_path: Path, is_there: bool) -> None:  # noqa: FBT001
    """A digest of one file would not be a digest of the teacher."""
    file = tmp_path / "teacher.onnx"
    onnx.save(linear(), file, save_as_external_data=True, location="weights.bin", size_threshold=0)
    if not is_there:
        (tmp_path / "weights.bin").unlink()

    with pytest.raises(ConfigError, match=r"teacher.onnx: keeps its tensors in other files; save it as one file"):
        read_onnx(file)


def test_a_whole_file_is_read_as_it_is(tmp_path: Path) -> None:
    """The model that was saved."""
    onnx.save(linear(), tmp_path / "teacher.onnx")

    assert read_onnx(tmp_path / "teacher.onnx") == linear()


def test_functions_of_a_file_are_written_out(tmp_path: Path) -> None:
    """What a function does is counted, and averaged, as if it stood there itself."""
    model = linear()
    function = helper.make_function(
        "local", "Layer", ["x", "a", "c"], ["y"], [helper.make_node("Gemm", ["x", "a", "c"], ["y"])],
        [helper.make_opsetid("", 18)],
    )  # fmt: skip
    model.functions.append(function)
    model.opset_import.append(helper.make_opsetid("local", 1))
    model.graph.node[1].op_type, model.graph.node[1].domain = "Layer", "local"
    onnx.save(model, tmp_path / "teacher.onnx")

    found = read_onnx(tmp_path / "teacher.onnx")

    np.testing.assert_allclose(logits(found), logits(linear()), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(logits(average([found, found])), logits(linear()), rtol=1e-5, atol=1e-6)
    assert count_graph_macs(found, (images(1),)) == 32 * 5


# Fitting to the data


@pytest.mark.parametrize(
    ("model", "shapes", "words"),
    [
        (linear(), {"image": (3, 4, 4)}, r"'image' takes float of shape \(batch, 2, 4, 4\); .* \(batch, 3, 4, 4\)"),
        (linear(), {"image": (32,)}, r"\(batch, 2, 4, 4\); the data gives float32 of shape \(batch, 32\)"),
        (linear(), {"image": (2, 4, 4), "age": (1,)}, "takes 1 inputs; the data has 2"),
        (two_inputs(), IMAGE, "takes 2 inputs; the data has 1"),
        (two_inputs(kind=TensorProto.DOUBLE), {"image": (2, 4, 4), "age": (1,)}, "'image' takes double of shape"),
        (two_inputs("age", "image"), {"a": (2, 4, 4), "b": (1,)}, r"'age' takes float of shape \(batch, 1\)"),
        (linear(batch=4), IMAGE, "takes 4 samples at a time; export it for a free batch, or for one sample"),
    ],
)
def test_a_model_for_other_data_is_refused(
    model: ModelProto, shapes: Mapping[str, tuple[int, ...]], words: str
) -> None:
    """Shape, type, number of inputs, order: where, what came, what was expected."""
    with pytest.raises(ConfigError, match=f"teacher.onnx: .*{words}"):
        fitted(model, shapes, where="teacher.onnx")


def test_inputs_are_found_by_name_whatever_their_order() -> None:
    """The file takes (age, image); the data gives (image, age)."""
    model = fitted(two_inputs("age", "image"), {"image": (2, 4, 4), "age": (1,)}, where="teacher.onnx")
    age = np.arange(6, dtype=np.float32)[:, np.newaxis]

    assert [value.name for value in model.graph.input] == ["image", "age"]
    np.testing.assert_allclose(logits(model, images(), age), np.tile(images().sum((1, 2, 3))[:, None] + age, 5), rtol=1e-4, atol=1e-4)  # fmt: skip  # noqa: E501


def test_inputs_of_other_names_are_taken_in_order() -> None:
    """A network is free in what it calls its input."""
    model = fitted(linear(names=("pixels", "out")), IMAGE, where="teacher.onnx")

    assert [value.name for value in model.graph.input] == ["pixels"]
    np.testing.assert_array_equal(logits(model), logits(linear()))


def test_a_free_dimension_fits_any_size() -> None:
    """It becomes the data's; the batch stays free, and one of a single sample is let through."""
    free = linear()
    free.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "height"
    dims = fitted(free, IMAGE, where="x").graph.input[0].type.tensor_type.shape.dim
    assert [dim.dim_value or dim.dim_param for dim in dims] == ["n", 2, 4, 4]
    for model in (free, linear(batch=1)):
        np.testing.assert_array_equal(logits(fitted(model, IMAGE, where="x")), logits(linear()))


def test_constants_that_are_listed_as_inputs_are_none() -> None:
    """Files of IR version 3 list them; only what is not constant has to be given."""
    old = linear(opset=13)
    old.ir_version = 3
    for tensor in old.graph.initializer:
        old.graph.input.append(helper.make_tensor_value_info(tensor.name, TensorProto.FLOAT, tensor.dims))
    onnx.checker.check_model(old)

    model = fitted(old, IMAGE, where="teacher.onnx")

    onnx.checker.check_model(model)
    np.testing.assert_array_equal(logits(model), logits(linear()))
    np.testing.assert_allclose(logits(average([model, model])), logits(linear()), rtol=1e-6)


def test_fitting_changes_a_copy() -> None:
    """The file's own graph stays."""
    model = two_inputs("age", "image")
    before = model.SerializeToString()
    fitted(model, {"image": (2, 4, 4), "age": (1,)}, where="teacher.onnx")

    assert model.SerializeToString() == before


# Averaging


@pytest.mark.parametrize("opsets", [(18, 18), (13, 18), (18, 11, 15)])
def test_the_mean_of_the_logits_is_what_the_whole_gives(opsets: tuple[int, ...]) -> None:
    """Equal names inside, equal or other opsets: the numbers are those of the separate files."""
    models = [linear(seed, opset=opset) for seed, opset in enumerate(opsets)]
    before = [model.SerializeToString() for model in models]

    whole = average(models)

    expected = np.mean([logits(model) for model in models], axis=0)
    np.testing.assert_allclose(logits(whole), expected, rtol=1e-5, atol=1e-6)
    assert [value.name for value in whole.graph.output] == ["logits"]
    assert [(entry.domain, entry.version) for entry in whole.opset_import] == [("", max(opsets))]
    assert [model.SerializeToString() for model in models] == before


def test_one_teacher_is_its_own_mean() -> None:
    """It comes back as it is."""
    model = linear()

    assert average([model]) is model


def test_a_real_network_and_another_form_of_it_are_averaged() -> None:
    """A residual network of torch's older exporter beside a hand-written one, whose input has another name."""
    network = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 5)).eval()
    mine = older_onnx(network, (2, 4, 4))

    whole = average([mine, linear(opset=13)])

    with torch.no_grad():
        expected = (network(torch.from_numpy(images())).numpy() + logits(linear())) / 2
    np.testing.assert_allclose(logits(whole), expected, rtol=1e-4, atol=1e-5)


def test_several_inputs_are_shared_by_all() -> None:
    """Both read the same image and the same age."""
    shapes = {"image": (2, 4, 4), "age": (1,)}
    models = [fitted(two_inputs(*order), shapes, where="x") for order in (("image", "age"), ("age", "image"))]
    age = np.ones((6, 1), dtype=np.float32)

    np.testing.assert_allclose(logits(average(models), images(), age), logits(models[0], images(), age), rtol=1e-5)


def test_one_sample_at_a_time_for_one_is_so_for_all() -> None:
    """Whichever of the two fixes its batch."""
    for models in ([linear(0, batch=1), linear(1)], [linear(0), linear(1, batch=1)]):
        expected = (logits(models[0]) + logits(models[1])) / 2
        np.testing.assert_allclose(logits(average(models)), expected, rtol=1e-5, atol=1e-6)


def test_operators_of_another_domain_keep_its_version() -> None:
    """A scaler of ai.onnx.ml version 3 is still one in the whole."""
    model = linear()
    model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 3))
    scaler = helper.make_node(
        "Scaler", ["flat"], ["scaled"], name="scaler", domain="ai.onnx.ml", offset=[0.0], scale=[2.0]
    )
    model.graph.node.insert(1, scaler)
    model.graph.node[2].input[0] = "scaled"

    whole = average([model, linear()])

    assert {entry.domain: entry.version for entry in whole.opset_import} == {"": 18, "ai.onnx.ml": 3}
    np.testing.assert_allclose(logits(whole), (logits(model) + logits(linear())) / 2, rtol=1e-5, atol=1e-6)
