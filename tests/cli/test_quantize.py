"""edgekd quantize from the outside: a file in, a folder out, and one sentence for what is wrong."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from commands import Done, edgekd
from quantized import exported

from edgekd.core.errors import ConfigError, StageError
from edgekd.networks.session import answers, open_session
from edgekd.report.deep import verify_deeply
from edgekd.report.verify import read_manifest, verify
from edgekd.tasks.digits import load_digits


def run(*words: object) -> Done:
    """Run edgekd quantize with *words*."""
    return edgekd("quantize", *map(str, words))


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """Give a float network for digits as a file."""
    path = tmp_path / "net.onnx"
    onnx.save(exported("dscnn"), path)
    return path


def test_a_network_comes_out_as_int8_with_its_report(network: Path, tmp_path: Path) -> None:
    """A third of the size, all arithmetic in integers, at most 0.8 points lost; the file itself is not touched."""
    before = network.read_bytes()
    out = tmp_path / "int8"
    done = run(network, "--target", "raspberry-pi-5", "--data", "digits", "--out", out, "--samples", 128)
    assert done.code == 0, done.said
    report = json.loads((out / "report.json").read_text())
    assert report["coverage"]["share"] == 1.0
    assert 100 * (report["test"]["float_score"] - report["test"]["int8_score"]) <= 0.8
    assert (out / "model.int8.onnx").stat().st_size == report["int8_bytes"] < report["float_bytes"]
    assert {layer["layer"] for layer in report["layers"]} >= {"Conv_0", "Gemm_0"}
    assert (out / "sensitivity.png").read_bytes().startswith(b"\x89PNG")
    assert all(layer["layer"] in (out / "report.md").read_text() for layer in report["layers"])
    assert network.read_bytes() == before
    verify_as_a_bundle(out)
    verify_deeply(out, emulator=tmp_path / "none")


def verify_as_a_bundle(out: Path) -> None:
    """Demand that golden digits are answered as the shipped file answers them, and that a changed byte is found."""
    assert verify(out).golden_samples == 10
    assert (out / "model.onnx").read_bytes() == (out / "model.int8.onnx").read_bytes()
    manifest = read_manifest(out)
    assert manifest.preprocessing["input"] == load_digits().inputs[0].preprocessing
    assert manifest.lineage[0].inputs["model"] == json.loads((out / "report.json").read_text())["source_sha256"]
    with np.load(out / "golden.npz") as golden:
        session = open_session(out / "model.onnx", arithmetic=manifest.golden.arithmetic)
        np.testing.assert_array_equal(answers(session, [(golden["input"],)]), golden["logits"])
    (out / "report.md").write_bytes(b"other")
    with pytest.raises(StageError, match=r"report\.md: its SHA-256"):
        verify(out)


@pytest.mark.parametrize(("form", "coverage"), [("weights", 0.0), ("dynamic", None)])
def test_a_form_without_calibration_is_judged_all_the_same(
    network: Path, tmp_path: Path, form: str, coverage: float | None
) -> None:
    """Weights alone leave no product in integers; a dynamic file has some; both say what they score on test samples."""
    out = tmp_path / "out"
    done = run(network, "--target", "raspberry-pi-5", "--data", "digits", "--out", out, "--form", form)
    assert done.code == 0, done.said
    report = json.loads((out / "report.json").read_text())
    assert report["coverage"]["share"] == coverage if coverage is not None else 0 < report["coverage"]["share"] < 1
    assert report["test"]["agreement"] >= 0.9
    assert (out / "model.int8.onnx").stat().st_size == report["int8_bytes"]
    assert report["promise"] in done.out
    verify_as_a_bundle(out)
    if form == "dynamic":
        with pytest.raises(ConfigError, match="without --deep"):
            verify_deeply(out, emulator=tmp_path / "none")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--target", "raspberry-pi-5", "--data", "digits", "--form", "weight"), "form"),
        (("--target", "jetson-orin-nano", "--data", "digits", "--form", "weights"), "form of its own"),
        (("--target", "raspberry-pi-5"), "random numbers would give wrong ranges"),
        (("--target", "raspberry-pi-5", "--data", "digits", "--samples", 4), "at least 32"),
        (("--target", "raspberry-pi-5", "--data", "digits", "--method", "median"), "method"),
        (("--target", "jetson-nano", "--data", "digits"), "INT8"),
        (("--target", "raspbery-pi-5", "--data", "digits"), "raspberry-pi-5"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(
    network: Path, tmp_path: Path, words: tuple[object, ...], sentence: str
) -> None:
    """No traceback, nothing written."""
    out = tmp_path / "int8"
    done = run(network, *words, "--out", out)
    assert done.code == 2
    assert sentence in done.said
    assert "Traceback" not in done.said
    assert not out.exists()


def test_samples_that_are_all_the_same_are_refused(network: Path, tmp_path: Path) -> None:
    """Constant images have no range."""
    data = tmp_path / "grey.npz"
    np.savez(data, images=np.full((200, 28, 28), 7, np.uint8), labels=np.arange(200) % 10)
    done = run(network, "--target", "raspberry-pi-5", "--data", f"npz:{data}", "--out", tmp_path / "int8")
    assert done.code == 2, done.said
    assert "Traceback" not in done.said
