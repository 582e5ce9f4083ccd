"""A bundle is what was written, or the error says what is not."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from edgekd.core.digest import file_digest
from edgekd.core.errors import ConfigError, EdgekdError, ParityError, StageError
from edgekd.report.manifest import Manifest
from edgekd.report.verify import read_manifest, verify

Editor = Callable[[str, object], None]


def failure(bundle: Path) -> EdgekdError:
    """Return the error that verifying *bundle* ends in."""
    with pytest.raises(EdgekdError) as error:
        verify(bundle)
    assert "\n" not in str(error.value)
    return error.value


def sign(bundle: Path, name: str, edit_manifest: Editor) -> None:
    """Write the digest of a changed file into the manifest, as somebody who wants to deceive would."""
    path = bundle / name
    edit_manifest(f"files/{name}", {"sha256": file_digest(path), "size_bytes": path.stat().st_size})


def test_a_whole_bundle_passes(bundle: Path) -> None:
    """Three files by digest, two golden images replayed, exact on the machine that wrote them."""
    checked = verify(bundle)
    assert (checked.target, checked.files, checked.golden_samples) == ("my-board", 3, 2)
    assert checked.largest_difference <= checked.tolerance == 1e-4


def with_two(bundle: Path, edit_manifest: Editor, *, wrong: float = 0.0) -> None:
    """Make the bundle's model one of two inputs and two outputs; the second golden output is *wrong* by so much."""
    shapes = {"image": [1, 2], "age": [1, 1], "logits": [1, 2], "older": [1, 1]}
    values = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()}
    graph = helper.make_graph(
        [helper.make_node("Add", ["image", "age"], ["logits"]), helper.make_node("Add", ["age", "age"], ["older"])],
        "two",
        [values["image"], values["age"]],
        [values["logits"], values["older"]],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)
    for name in ("model.onnx", "model.fp32.onnx"):
        (bundle / name).write_bytes(model.SerializeToString())
        sign(bundle, name, edit_manifest)
    image, age = np.ones((3, 2), dtype=np.float32), np.arange(3, dtype=np.float32)[:, np.newaxis]
    golden = {"image": image, "age": age, "logits": image + age, "older": 2 * age + np.float32(wrong)}
    np.savez(bundle / "golden.npz", allow_pickle=False, **golden)
    sign(bundle, "golden.npz", edit_manifest)
    tensors = [{"name": name, "dtype": "float32", "shape": shape} for name, shape in shapes.items()]
    edit_manifest("inputs", tensors[:2])
    edit_manifest("outputs", tensors[2:])
    edit_manifest("golden/samples", 3)


def test_a_bundle_of_several_inputs_and_outputs_passes(bundle: Path, edit_manifest: Editor) -> None:
    """All inputs are fed, all outputs compared."""
    with_two(bundle, edit_manifest)
    assert verify(bundle).largest_difference == 0


def test_a_wrong_second_output_is_found(bundle: Path, edit_manifest: Editor) -> None:
    """The logits agree, the other output is off by a quarter."""
    with_two(bundle, edit_manifest, wrong=0.25)
    error = failure(bundle)
    assert (type(error), error.exit_code) == (ParityError, 3)
    assert "differs by 0.25" in str(error)


def test_a_golden_file_without_one_of_the_inputs_is_named(bundle: Path, edit_manifest: Editor) -> None:
    """What the manifest promises has to be in it."""
    with_two(bundle, edit_manifest)
    np.savez(bundle / "golden.npz", allow_pickle=False, image=np.ones((3, 2), dtype=np.float32))
    sign(bundle, "golden.npz", edit_manifest)
    assert "golden.npz: cannot be read as the golden inputs" in str(failure(bundle))


@pytest.mark.parametrize("field", ["inputs", "outputs"])
def test_a_manifest_without_inputs_or_outputs_is_refused(bundle: Path, edit_manifest: Editor, field: str) -> None:
    """There would be nothing to replay."""
    edit_manifest(field, [])
    assert "expected both" in str(failure(bundle))


@pytest.mark.parametrize("name", ["model.onnx", "model.fp32.onnx", "golden.npz"])
def test_a_changed_byte_is_found(bundle: Path, name: str) -> None:
    """The last byte of any file differs: exit code 3, with the file's name."""
    data = bytearray((bundle / name).read_bytes())
    data[-1] ^= 1
    (bundle / name).write_bytes(data)
    error = failure(bundle)
    assert (type(error), error.exit_code) == (StageError, 3)
    assert f"bundle/{name}: its SHA-256" in str(error)


def test_a_missing_file_is_found(bundle: Path) -> None:
    """What the manifest lists must be there."""
    (bundle / "model.fp32.onnx").unlink()
    error = failure(bundle)
    assert (type(error), error.exit_code) == (StageError, 3)
    assert "model.fp32.onnx: is in the manifest but not there" in str(error)


def test_an_extra_file_is_found(bundle: Path) -> None:
    """What is there must be in the manifest."""
    (bundle / "notes.txt").write_text("mine")
    error = failure(bundle)
    assert (type(error), error.exit_code) == (StageError, 3)
    assert "notes.txt: is there but not in the manifest" in str(error)


def test_golden_outputs_that_the_model_does_not_give_are_found(bundle: Path, edit_manifest: Editor) -> None:
    """With digests that agree, the replay still tells: 0.5 off where 0.0001 is allowed."""
    with np.load(bundle / "golden.npz") as golden:
        images, logits = golden["input"], golden["logits"]
    np.savez(bundle / "golden.npz", allow_pickle=False, input=images, logits=logits + np.float32(0.5))
    sign(bundle, "golden.npz", edit_manifest)
    error = failure(bundle)
    assert (type(error), error.exit_code) == (ParityError, 3)
    assert "differs by 0.5" in str(error)


def test_golden_outputs_that_are_no_numbers_are_found(bundle: Path, edit_manifest: Editor) -> None:
    """NaN is not within any tolerance."""
    with np.load(bundle / "golden.npz") as golden:
        images, logits = golden["input"], golden["logits"]
    np.savez(bundle / "golden.npz", allow_pickle=False, input=images, logits=logits * np.float32(np.nan))
    sign(bundle, "golden.npz", edit_manifest)
    assert type(failure(bundle)) is ParityError


def test_a_model_that_does_not_load_is_found(bundle: Path, edit_manifest: Editor) -> None:
    """A variant with a right digest that is no ONNX file is named."""
    (bundle / "model.fp32.onnx").write_bytes(b"not a model")
    sign(bundle, "model.fp32.onnx", edit_manifest)
    assert "model.fp32.onnx" in str(failure(bundle))


@pytest.mark.parametrize(
    ("text", "word"),
    [("{", "not JSON"), ("[]", "a table"), ("{}", "missing"), ('{"format": "one"}', "an integer")],
)
def test_garbage_is_no_manifest(bundle: Path, text: str, word: str) -> None:
    """Exit code 2: what was given is no bundle of edgekd."""
    (bundle / "manifest.json").write_text(text)
    error = failure(bundle)
    assert (type(error), error.exit_code) == (ConfigError, 2)
    assert "manifest.json" in str(error)
    assert word in str(error)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("golden/tolerance", None, ["golden.tolerance", "missing"]),
        ("golden/tolerence", 1.0, ["golden.tolerence", "did you mean 'tolerance'?"]),
        ("precision", "fp8", ["precision", "fp8"]),
        ("files/model.onnx", "digest", ["files.model.onnx", "a table"]),
    ],
)
def test_a_wrong_field_of_the_manifest_is_named(
    bundle: Path, edit_manifest: Editor, field: str, value: object, words: list[str]
) -> None:
    """Where, what came and what was expected, as for every file that edgekd reads."""
    edit_manifest(field, value)
    error = failure(bundle)
    assert type(error) is ConfigError
    assert all(word in str(error) for word in words), error


def test_a_folder_without_a_manifest_is_no_bundle(tmp_path: Path) -> None:
    """Nor is one that is not there."""
    for folder in (tmp_path, tmp_path / "absent"):
        error = failure(folder)
        assert (type(error), error.exit_code) == (ConfigError, 2)
        assert "no manifest.json there" in str(error)


def test_a_manifest_is_read_strictly_and_whole(bundle: Path) -> None:
    """Every field arrives with its type."""
    manifest = read_manifest(bundle)
    assert isinstance(manifest, Manifest)
    assert manifest.inputs[0].shape == (1, 2)
    assert manifest.labels == ("left", "right")
    assert set(manifest.files) == {"model.onnx", "model.fp32.onnx", "golden.npz"}
