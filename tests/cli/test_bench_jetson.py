"""edgekd bench with TensorRT over a real ssh. trtexec is a recording (tests/support/recorded.py); no Jetson is here."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from benching import bench, require_refusal
from bundled import ROWS, bundle
from loopback import HOST, MISSING, Board, board
from onnx import numpy_helper
from recorded import CLOCKS, write_jetson

pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING)
DEVICE = ("--on", f"ssh:{HOST}", "--python", sys.executable, "--provider", "TensorrtExecutionProvider", "--runs", 40)


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Board]:
    """Give a board."""
    with board(tmp_path) as reached:
        yield reached


@pytest.mark.slow  # a dozen commands over ssh
@pytest.mark.parametrize(
    ("version", "written", "build", "load_ms"),
    [
        ("8201", "8.2.1", "--workspace=1024 {} --buildOnly", 3864.37),
        pytest.param("8502", "8.5.2", "--memPoolSize=workspace:1024 {} --buildOnly", 103.31, marks=pytest.mark.slow),
        pytest.param(
            "8602", "8.6.2", "--memPoolSize=workspace:1024 {} --skipInference", 103.31, marks=pytest.mark.slow
        ),
        ("100900", "10.9.0", "--memPoolSize=workspace:1024 {} --skipInference", 103.31),
    ],
)
def test_trtexec_is_told_what_its_version_understands(
    device: Board, tmp_path: Path, version: str, written: str, build: str, load_ms: float
) -> None:
    """Workspace and build-only have other names; samples are those behind the warm-up, with their transfers."""
    log = write_jetson(device.programs, version)
    model = bundle(tmp_path / "bundle")
    target = ("--target", "jetson-nano", "--cool-down", 0)
    done = bench(model, *DEVICE, *target, "--profile", "--json", folder=tmp_path, path=device.bin)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    run = found["run"]
    told = log.read_text().splitlines()
    assert told[0] == "--onnx=model.onnx --saveEngine=model.plan " + build.format("--shapes=x:1x3x8x8")
    assert sum("--loadInputs=x:input0" in line for line in told) == ROWS
    assert "--useSpinWait --warmUp=500 --iterations=40 --avgRuns=100 --duration=0 --exportTimes=times.json" in told[-2]
    assert (run["runtime"], run["version"], run["providers"]) == ("tensorrt", written, ["TensorrtExecutionProvider"])
    # 48 inferences of 90.2 ms and more were recorded; the sixth began at 451 ms, the seventh at 542 ms
    assert len(run["samples_ms"]) == len(run["gpu_ms"]) == 48 - 6
    assert run["samples_ms"] == pytest.approx([90.19 + 0.1 * (n % 5) for n in range(6, 48)])
    assert np.subtract(run["samples_ms"], run["gpu_ms"]) == pytest.approx(0.29)
    assert run["load_ms"] == pytest.approx(load_ms)
    assert run["golden"]["largest_difference"] <= 1e-4
    assert run["profile"][0] == {"operator": "/fc/Gemm", "provider": run["providers"][0], "calls": 1.0, "ms": 8.0}
    assert (run["first_ms"], run["peak_memory_bytes"]) == (None, None)  # trtexec tells neither
    assert run["before"]["power_mode"] == "NV Power Mode: MAXN\n0"
    assert run["before"]["clock_report"] == CLOCKS.strip()
    assert found["target"] is None  # a Jetson is no x86-64 machine
    assert device.left() == []


@pytest.mark.slow
def test_the_target_gives_the_flags_of_the_files_precision(device: Board, tmp_path: Path) -> None:
    """A file in FP16 is built with --fp16 on the Jetson Nano; the flags are in the result and its fingerprint."""
    log = write_jetson(device.programs, "8201")
    model = bundle(tmp_path / "bundle")
    _to_half(model)
    target = ("--target", "jetson-nano", "--cool-down", 0, "--golden", "none")
    done = bench(model, *DEVICE, *target, "--json", folder=tmp_path, path=device.bin)
    assert done.returncode == 0, done.stderr
    assert " --fp16 --workspace=1024 " in log.read_text().splitlines()[0]
    assert json.loads(done.stdout)["fingerprint"]["flags"].startswith("--fp16 ")


@pytest.mark.slow
def test_an_engine_that_answers_other_numbers_shows_no_time(device: Board, tmp_path: Path) -> None:
    """Answers that are off by a half: exit code 11."""
    write_jetson(device.programs, "8201", wrong_by=0.5)
    done = bench(bundle(tmp_path / "bundle"), *DEVICE, folder=tmp_path, path=device.bin)
    require_refusal(done, 11, "they differ by 0.5, at most 0.0001 was expected")
    assert device.left() == []


def test_a_version_that_nothing_is_known_of_is_refused(device: Board, tmp_path: Path) -> None:
    """TensorRT 11 has other defaults: exit code 8, nothing built."""
    log = write_jetson(device.programs, "110100")
    done = bench(bundle(tmp_path / "bundle"), *DEVICE, folder=tmp_path, path=device.bin)
    require_refusal(done, 8, "its trtexec is of TensorRT 11.1.0; edgekd knows the options of 8.0 to 8.6 and of 10")
    assert not log.exists()


def test_no_trtexec_is_refused(device: Board, tmp_path: Path) -> None:
    """Neither on the PATH there nor where JetPack puts it."""
    done = bench(bundle(tmp_path / "bundle"), *DEVICE, folder=tmp_path, path=device.bin)
    require_refusal(done, 8, "no trtexec there")


@pytest.mark.slow
def test_an_engine_that_cannot_be_built_is_refused_in_trtexecs_words(device: Board, tmp_path: Path) -> None:
    """The last line of its error stream, and exit code 5."""
    write_jetson(device.programs, "8201")
    text = (device.programs / "trtexec").read_text()
    (device.programs / "trtexec").write_text(text.replace("'--onnx', ", ""))
    done = bench(bundle(tmp_path / "bundle"), *DEVICE, folder=tmp_path, path=device.bin)
    require_refusal(done, 5, "ended with 1: &&&& FAILED TensorRT.trtexec [TensorRT v8201]")


def _to_half(model: Path) -> None:
    """Turn the network's weights into half precision."""
    graph = onnx.load(model)
    (weights,) = graph.graph.initializer
    weights.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weights).astype(np.float16), weights.name))
    onnx.save(graph, model)
