"""What each device gets: read from the files themselves, not from what was planned."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from commands import compress_words, edgekd, small_disk
from onnx import TensorProto, numpy_helper

from edgekd.networks.session import answers, open_session
from edgekd.report.verify import verify
from edgekd.tasks.digits import load_digits

TARGETS = ("jetson-nano", "jetson-orin-nano", "raspberry-pi-4", "raspberry-pi-5")
QUANTIZED = ("jetson-orin-nano", "raspberry-pi-4", "raspberry-pi-5")
QDQ = {"QuantizeLinear", "DequantizeLinear"}

pytestmark = pytest.mark.slow


def constants(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    """Return the initializers of *model* as arrays."""
    return {initializer.name: numpy_helper.to_array(initializer) for initializer in model.graph.initializer}


def zero_points(model: onnx.ModelProto) -> list[int]:
    """Return the zero point of every activation quantizer."""
    values = constants(model)
    return [int(values[node.input[2]]) for node in model.graph.node if node.op_type == "QuantizeLinear"]


@pytest.mark.parametrize("target", TARGETS)
def test_a_bundle_holds_all_that_an_app_needs(bundle_of: Callable[[str], Path], target: str) -> None:
    """model.onnx, its variants, manifest, golden samples and both reports are there and named in the manifest."""
    bundle = bundle_of(target)
    manifest = json.loads((bundle / "manifest.json").read_text())
    names = {path.name for path in bundle.iterdir()}
    assert {
        "model.onnx",
        "model.fp32.onnx",
        "model.fp16.onnx",
        "golden.npz",
        "report.json",
        "report.md",
    } <= names
    assert set(manifest["files"]) == names - {"manifest.json"}
    assert manifest["labels"] == [str(digit) for digit in range(10)]
    assert manifest["format"] == 2
    assert manifest["preprocessing"]["input"]["mean"] == [0.1307]
    assert (bundle / "model.onnx").read_bytes() == (bundle / f"model.{manifest['precision']}.onnx").read_bytes()
    with np.load(bundle / "golden.npz", allow_pickle=False) as golden:
        assert golden["input"].shape == (10, 1, 28, 28)
        assert golden["logits"].shape == (10, 10)


@pytest.mark.parametrize("target", TARGETS)
def test_verify_accepts_a_bundle(bundle_of: Callable[[str], Path], target: str) -> None:
    """Every file is as written and the golden outputs come again."""
    checked = verify(bundle_of(target))
    assert checked.golden_samples == 10
    assert checked.largest_difference == 0


def test_the_verify_command_refuses_a_changed_byte(bundle_of: Callable[[str], Path], tmp_path: Path) -> None:
    """A whole bundle ends with exit code 0, a changed model with 3 and one sentence that names the file."""
    copied = tmp_path / "bundle"
    shutil.copytree(bundle_of("jetson-nano"), copied)
    good = edgekd("verify", copied)
    content = bytearray((copied / "model.onnx").read_bytes())
    content[-1] ^= 1
    (copied / "model.onnx").write_bytes(content)
    bad = edgekd("verify", copied)
    assert good.code == 0, good.said
    assert bad.code == 3
    assert "model.onnx" in bad.said
    assert "Traceback" not in bad.said


def test_a_full_disk_leaves_no_half_written_bundle(
    bundle_of: Callable[[str], Path], shared_store: Path, tmp_path: Path
) -> None:
    """A bundle that does not fit ends with exit code 2, one sentence, and nothing in its place."""
    bundle_of("jetson-nano")
    disk = tmp_path / "disk"
    disk.mkdir()
    with small_disk(disk, "48k"):
        done = edgekd(*compress_words("jetson-nano", out=disk / "out", store=shared_store))
        left = list(disk.iterdir())
    assert done.code == 2, done.said
    assert str(disk) in done.said.splitlines()[-1]
    assert "Traceback" not in done.said
    assert left == []


@pytest.mark.parametrize("target", TARGETS)
def test_latency_on_an_absent_device_is_unproven(bundle_of: Callable[[str], Path], target: str) -> None:
    """No host latency ever turns a device's latency budget into PASS."""
    report = json.loads((bundle_of(target) / "report.json").read_text())
    outcomes = {row["budget"]: (row["outcome"], row["measured"]) for row in report["budgets"]}
    assert outcomes["latency_ms"] == ("UNPROVEN", None)
    assert outcomes["size_kb"][0] == "PASS"


def test_jetson_nano_gets_float_files_that_tensorrt_8_2_can_parse(bundle_of: Callable[[str], Path]) -> None:
    """Opset 13, IR at most 8, no Q/DQ in any file, FP16 weights with float32 inputs and outputs, and the reason."""
    bundle = bundle_of("jetson-nano")
    report = json.loads((bundle / "report.json").read_text())
    assert {path.name for path in bundle.glob("*.onnx")} == {
        "model.onnx",
        "model.fp32.onnx",
        "model.fp16.onnx",
    }
    for path in bundle.glob("*.onnx"):
        model = onnx.load(path)
        assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 13)]
        assert model.ir_version <= 8
        assert not QDQ & {node.op_type for node in model.graph.node}
    shipped = onnx.load(bundle / "model.onnx")
    assert {i.data_type for i in shipped.graph.initializer if i.dims} == {TensorProto.FLOAT16}
    assert shipped.graph.input[0].type.tensor_type.elem_type == TensorProto.FLOAT
    assert report["refused"][0]["precision"] == "int8"
    assert "5.3" in report["refused"][0]["reason"]
    assert "trtexec --onnx=model.onnx --fp16" in report["commands"]["build"]


def test_jetson_orin_nano_gets_int8_as_tensorrt_demands(bundle_of: Callable[[str], Path]) -> None:
    """Every zero point is 0, biases are float, weights are int8 with one scale for each output channel."""
    model = onnx.load(bundle_of("jetson-orin-nano") / "model.onnx")
    values = constants(model)
    producers = {output: node for node in model.graph.node for output in node.output}
    assert set(zero_points(model)) == {0}
    weighted = [node for node in model.graph.node if node.op_type in {"Conv", "Gemm"}]
    assert weighted
    for node in weighted:
        weight = producers[node.input[1]]
        assert weight.op_type == "DequantizeLinear"
        assert values[weight.input[0]].dtype == np.int8
        assert values[weight.input[1]].shape == (values[weight.input[0]].shape[0],)
        assert producers[node.input[0]].op_type == "DequantizeLinear"
        assert len(node.input) < 3 or values[node.input[2]].dtype == np.float32


@pytest.mark.parametrize(("target", "lowest"), [("raspberry-pi-4", 0), ("raspberry-pi-5", -128)])
def test_raspberry_pi_gets_int8_that_onnx_runtime_runs_in_integer_kernels(
    bundle_of: Callable[[str], Path], target: str, lowest: int
) -> None:
    """Zero points reach the lowest level, unsigned or signed, so that ReLU folds; no Conv, Gemm or MatMul is float."""
    bundle = bundle_of(target)
    kernels = json.loads((bundle / "report.json").read_text())["stage_records"]["export"]["files"]["int8"]["kernels"]
    model = onnx.load(bundle / "model.onnx")
    assert lowest in zero_points(model)
    assert kernels["QLinearConv"] == sum(node.op_type == "Conv" for node in model.graph.node)
    assert kernels["QGemm"] == 1
    assert not {"Conv", "Gemm", "MatMul", "FusedConv"} & kernels.keys()


@pytest.mark.parametrize("target", TARGETS)
def test_the_reported_accuracy_is_that_of_the_shipped_file(bundle_of: Callable[[str], Path], target: str) -> None:
    """Counting right answers of model.onnx on the test images by hand gives the figure in the report."""
    bundle, task = bundle_of(target), load_digits()
    report = json.loads((bundle / "report.json").read_text())
    found = answers(open_session(bundle / "model.onnx", arithmetic="reference"), task.batches(task.test))
    assert report["stages"][-1]["measured"]["accuracy"] == (found.argmax(1) == task.test.targets).sum() / 1000


@pytest.mark.parametrize("target", QUANTIZED)
def test_the_int8_file_answers_like_the_simulation_it_was_trained_as(
    bundle_of: Callable[[str], Path], target: str
) -> None:
    """Fake quantization and ONNX Runtime's reference arithmetic name the same class for 99.9 % of the test images."""
    report = json.loads((bundle_of(target) / "report.json").read_text())
    agreement = report["stage_records"]["quantize"]["agreement"]["test"]
    assert agreement["samples"] == 1000
    assert agreement["top1"] >= 0.999
