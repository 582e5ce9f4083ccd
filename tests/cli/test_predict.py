"""edgekd predict from the outside."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from commands import edgekd_command
from onnx import TensorProto, helper, numpy_helper


def run(*words: object) -> subprocess.CompletedProcess[str]:
    """Run edgekd predict with *words*."""
    command = [*edgekd_command(), "predict", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """Give a convolution from 3 to 16 channels on images of 32x32, of any batch."""
    weight = numpy_helper.from_array(np.ones((16, 3, 3, 3), np.float32), "w")
    node = helper.make_node("Conv", ["x", "w"], ["y"], "first", pads=[1, 1, 1, 1])
    images = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 32, 32])
    maps = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 16, 32, 32])
    graph = helper.make_graph([node], "network", [images], [maps], [weight])
    path = tmp_path / "net.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), path)
    return path


def test_the_answer_says_that_it_is_an_estimate(network: Path) -> None:
    """The first word does; then number, interval, points with their source, and what speaks against it."""
    done = run(network, "--target", "raspberry-pi-4")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "ESTIMATE, not measured: net.onnx on raspberry-pi-4, fp32, 4 thread(s)"
    assert lines[1].startswith("estimated ")
    assert "90% interval" in lines[1]
    assert any(line.startswith("rests on: Raspberry Pi 4") and "22 networks" in line for line in lines)
    assert any("not with ONNX Runtime" in line for line in lines)
    assert "first (Conv)" in lines[-1]


def test_json_holds_every_layer(network: Path) -> None:
    """One convolution of 32*32*16*27 products."""
    done = run(network, "--target", "raspberry-pi-4", "--threads", 2, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["estimated_threads"] == 2
    assert found["least_ms"] < found["estimated_ms"] < found["most_ms"]
    assert [layer["layer_macs"] for layer in found["estimated_layers"]] == [32 * 32 * 16 * 27]
    assert "latency_ms" not in done.stdout


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--target", "jetson-nano"), "points with known layers are of CPUs"),
        (("--target", "raspberry-pi-5"), "no published point with fp32"),
        (("--target", "raspberry-pi-4", "--precision", "int4"), "--precision: 'int4' given"),
        (("--target", "raspberry-pi-4", "--cluster", "big"), "--cluster big: raspberry-pi-4 has all"),
        (("--target", "raspberry-pi-4", "--threads", "8"), "8 threads asked, but its Cortex-A72 cluster has 4 core(s)"),
        (("--target", "raspberry-pi-44"), "unknown target"),
    ],
)
def test_what_has_no_ground_ends_with_one_sentence(network: Path, words: tuple[str, ...], reason: str) -> None:
    """Exit code 2, nothing on the standard output, no traceback."""
    done = run(network, *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert reason in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_unknown_operator_and_a_missing_file_are_named(network: Path, tmp_path: Path) -> None:
    """Both are the user's to change."""
    model = onnx.load(network)
    model.graph.node[0].op_type = "NonZero"
    del model.graph.node[0].input[1], model.graph.node[0].attribute[:]
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", TensorProto.INT64, ["rank", "n"]))
    onnx.save(model, tmp_path / "odd.onnx")
    odd, missing = (run(tmp_path / name, "--target", "raspberry-pi-4") for name in ("odd.onnx", "none.onnx"))
    assert (odd.returncode, missing.returncode) == (2, 2)
    assert "node 'first' (NonZero): nothing is known" in odd.stderr
    assert "none.onnx" in missing.stderr


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("untyped.onnx", "untyped.onnx: input 'x' is no tensor, or has no type; export the network again."),
        ("split.onnx", "its tensors lie in 'w.bin', which is not there; put it beside, or export it again."),
        ("cut.onnx", "cut.onnx: not an ONNX file"),
    ],
)
def test_a_file_that_is_no_whole_network_is_one_sentence(
    network: Path, tmp_path: Path, name: str, sentence: str
) -> None:
    """An input without a type, tensors in a file that is not there, half a file."""
    model = onnx.load(network)
    model.graph.input[0].ClearField("type")
    onnx.save(model, tmp_path / "untyped.onnx")
    onnx.save(
        onnx.load(network), tmp_path / "split.onnx", save_as_external_data=True, location="w.bin", size_threshold=0
    )
    (tmp_path / "w.bin").unlink()
    (tmp_path / "cut.onnx").write_bytes(network.read_bytes()[: network.stat().st_size // 2])
    done = run(tmp_path / name, "--target", "raspberry-pi-4")
    assert (done.returncode, done.stdout) == (2, "")
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_tiny_network_is_not_estimated_at_0(tmp_path: Path) -> None:
    """One multiplication is a matter of microseconds, and shown in them."""
    weight = numpy_helper.from_array(np.ones((1, 1, 1, 1), np.float32), "w")
    node = helper.make_node("Conv", ["x", "w"], ["y"], "only")
    pixel = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, 1, 1]) for name in "xy"]
    graph = helper.make_graph([node], "tiny", pixel[:1], pixel[1:], [weight])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), tmp_path / "t.onnx")
    lines = run(tmp_path / "t.onnx", "--target", "raspberry-pi-4").stdout.splitlines()
    assert re.match(r"estimated [1-9][0-9.]* µs; 90% interval ", lines[1])
    assert re.match(r" +[1-9][0-9.]* µs 100.0%  pointwise .* only \(Conv\)", lines[-1])


def test_an_estimate_needs_no_torch(network: Path) -> None:
    """It answers in half a second."""
    script = (
        "import sys; from pathlib import Path; from edgekd.cli import predict;"
        f"predict.command(Path({str(network)!r}), target='raspberry-pi-4', as_json=True);"
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    """Before anything heavy is loaded, and with what to give."""
    words = [*edgekd_command(), "predict", str(tmp_path / "none.onnx"), "--target", "raspberry-pi-4"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.strip().endswith("none.onnx: no such file; give an ONNX file.")
