"""edgekd targets calibrate, and edgekd predict with its table, from the outside."""

import json
import os
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from commands import Done, edgekd
from loopback import HOST, MISSING, board
from onnx import NodeProto, TensorProto, helper, numpy_helper
from slowed import equal_layers

SHORT = ("--seconds", 15)


def run(*words: object, folder: Path, path: Path | None = None) -> Done:
    """Run edgekd with *words*, its tables in *folder*, and *path* before PATH."""
    own = {"EDGEKD_TABLES": str(folder / "tables")}
    if path is not None:
        own["PATH"] = f"{path}:{os.environ['PATH']}"
    return edgekd(*map(str, words), environment=own)


def median_ms(network: Path, folder: Path) -> float:
    """Return what *network* takes here now."""
    done = run("bench", network, "--runs", 200, "--json", folder=folder)
    assert done.code == 0, done.said
    return float(json.loads(done.out)["summary"]["median_ms"])


@pytest.fixture(scope="module")
def twenty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a network of twenty layers."""
    return equal_layers(tmp_path_factory.mktemp("twenty") / "net.onnx", 20)


@pytest.fixture(scope="module")
def before_ms(twenty: Path) -> float:
    """Give what that network takes just before the calibration."""
    return median_ms(twenty, twenty.parent)


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory: pytest.TempPathFactory, before_ms: float) -> Path:
    """Give a folder with the stored table of this host, in FP32, as target x86-64."""
    del before_ms  # timed first
    folder = tmp_path_factory.mktemp("calibrated")
    done = run("targets", "calibrate", "x86-64", "--precision", "fp32", *SHORT, folder=folder)
    assert done.code == 0, done.said
    return folder


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """Give a network of four layers."""
    return equal_layers(tmp_path / "net.onnx", 4)


@pytest.mark.slow
def test_an_estimate_is_near_what_the_network_takes(calibrated: Path, twenty: Path, before_ms: float) -> None:
    """Within a factor of two after fifteen seconds, for a network that the suite does not have.

    It is timed before and after the calibration: a host that is loaded otherwise meanwhile may be near either.
    """
    said = json.loads(run("predict", twenty, "--target", "x86-64", "--json", folder=calibrated).out)
    low_ms, high_ms = sorted((before_ms, median_ms(twenty, twenty.parent)))
    assert low_ms / 2 < said["estimated_ms"] < 2 * high_ms


@pytest.mark.slow
def test_a_stored_table_is_what_predict_speaks_from(calibrated: Path, network: Path) -> None:
    """Nothing but the target is said; without a table the same words give the estimate from published points."""
    done = run("predict", network, "--target", "x86-64", "--threads", 1, "--json", folder=calibrated)
    assert done.code == 0, done.said
    found = json.loads(done.out)
    assert found["least_ms"] < found["estimated_ms"] < found["most_ms"]
    assert found["calibrated_where"] == "local"
    assert found["calibrated_networks"] >= 24
    assert "latency_ms" not in done.out
    published = run("predict", network, "--target", "x86-64", "--table", "none", folder=calibrated)
    assert "timed on local" not in published.out


Sizes = tuple[int | str, ...]


def made(path: Path, node: NodeProto, given: Sizes, result: Sizes) -> Path:
    """Write a network of one *node* from "x" to "y" to *path*, with a weight (4, 4, 3, 3, 3), and return it."""
    weight = numpy_helper.from_array(np.zeros((4, 4, 3, 3, 3), np.float32), "w")
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, given)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, result)
    graph = helper.make_graph([node], "net", [x], [y], [weight] if "w" in node.input else [])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("node", "given", "result", "reason"),
    [
        (
            helper.make_node("Einsum", ["x", "x"], ["y"], equation="bij,bjk->bik"),
            (1, 64, 64),
            (1, 64, 64),
            "there is no ground",
        ),
        (helper.make_node("Conv", ["x", "w"], ["y"]), (1, 4, 8, 8, 8), (1, 4, 6, 6, 6), "over three dimensions"),
        (
            helper.make_node("Relu", ["x"], ["y"]),
            (1, 3, "height", 8),
            (1, 3, "height", 8),
            "has open sizes beside the batch",
        ),
    ],
)
def test_what_the_table_has_no_ground_for_is_refused(
    calibrated: Path, tmp_path: Path, node: NodeProto, given: Sizes, result: Sizes, reason: str
) -> None:
    """An operator that the suite has not and no kind stands for, a third dimension, a size that is not said."""
    done = run("predict", made(tmp_path / "net.onnx", node, given, result), "--target", "x86-64", folder=calibrated)
    assert done.code == 2
    assert reason in done.said
    assert done.said.count("\n") == 1


@pytest.mark.slow
def test_a_table_is_of_the_default_cores(calibrated: Path, network: Path) -> None:
    """Other cores are refused, not answered with the same number."""
    done = run("predict", network, "--target", "x86-64", "--cluster", "little", folder=calibrated)
    assert done.code == 2
    assert "--cluster little: the table is of the default cores" in done.said


@pytest.mark.slow
def test_the_text_says_what_it_rests_on(calibrated: Path, network: Path) -> None:
    """That it is no measurement, the interval, kernels and networks."""
    lines = run("predict", network, "--target", "x86-64", folder=calibrated).out.splitlines()
    assert lines[0] == "ESTIMATE, not measured: net.onnx on x86-64, fp32, 1 thread(s)"
    assert "90% interval" in lines[1]
    assert "random networks that were left out" in lines[1]
    assert lines[2].startswith("rests on: ")
    assert "timed on local" in lines[2]


def _changed(*keys: str | int, value: object) -> Callable[[dict[str, Any]], None]:
    """Return what puts *value* in the place of *keys*."""

    def change(table: dict[str, Any]) -> None:
        inner: Any = table
        for key in keys[:-1]:
            inner = inner[key]
        inner[keys[-1]] = value

    return change


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "words", "reason"),
    [
        (_changed("fingerprint", "cpu", value="a core"), (), "its cpu is 'a core', here it is"),
        (_changed("fingerprint", "machine", value="riscv64"), (), "its machine is 'riscv64', here it is"),
        (_changed("fingerprint", "runtime", value="onnxruntime 1.2.0"), (), "its runtime is 'onnxruntime 1.2.0', here"),
        (_changed("format", value=0), (), "is a table of format 0"),
        (_changed("date", value=None), (), "cannot be read as a table"),
        (_changed("left_out", value=[]), (), "or they are no times"),
        (_changed("threads", value=0), (), "or they are no times"),
        (_changed("networks", 0, "samples_ms", 0, value=0.0), (), "or they are no times"),
        (_changed("networks", 0, "kernels", 0, "samples_us", value=[]), (), "or they are no times"),
        (_changed("left_out", 0, "seed", value=-5), (), "or they are no times"),
        (_changed("target", value="board"), ("--target", "x86-64"), "a table of board, asked is x86-64"),
        (_changed("date", value="now"), ("--threads", 3), "calibrated with 1 thread(s), asked are 3"),
        (_changed("date", value="now"), ("--precision", "int8"), "was calibrated otherwise"),
        (_changed("date", value="now"), ("--precision", "fp23"), "did you mean 'fp32'?"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(
    calibrated: Path,
    network: Path,
    tmp_path: Path,
    change: Callable[[dict[str, Any]], None],
    words: tuple[object, ...],
    reason: str,
) -> None:
    """One sentence with the file's name, and exit code 2."""
    table = json.loads((calibrated / "tables" / "x86-64-1.json").read_text())
    change(table)
    path = tmp_path / "table.json"
    path.write_text(json.dumps(table))
    done = run("predict", network, "--table", path, *words, folder=tmp_path)
    assert done.code == 2
    assert reason in done.said
    assert done.said.count("\n") == 1


@pytest.mark.slow
def test_a_table_of_a_machine_that_is_not_shown_to_be_the_target_says_so(
    calibrated: Path, network: Path, tmp_path: Path
) -> None:
    """Of its class this host is; a table that was made elsewhere keeps why it may be no such device."""
    table = json.loads((calibrated / "tables" / "x86-64-1.json").read_text())
    assert table["not_target"] is None
    path = tmp_path / "table.json"
    path.write_text(json.dumps(table | {"not_target": "its device tree says another board"}))
    said = run("predict", network, "--table", path, folder=tmp_path).out
    assert "beware: the machine of the table is not shown to be x86-64: its device tree says another board." in said


def test_a_device_of_another_architecture_is_not_calibrated_here(tmp_path: Path) -> None:
    """A table of this machine's kernels would pass for the board's; it ends before anything is built."""
    other = "raspberry-pi-5" if platform.machine() != "aarch64" else "x86-64"
    done = run("targets", "calibrate", other, folder=tmp_path)
    assert done.code == 2
    assert f"its kernels say nothing about {other}" in done.said
    assert done.said.count("\n") == 1
    assert not (tmp_path / "tables").exists()


def test_a_table_that_cannot_be_kept_is_told_before_anything_is_timed(tmp_path: Path) -> None:
    """A file where its folder should be: four minutes would be lost."""
    (tmp_path / "file").write_text("")
    done = run("targets", "calibrate", "--name", "mine", "--out", tmp_path / "file" / "table.json", folder=tmp_path)
    assert done.code == 2
    assert "give another file with --out" in done.said
    assert "calibrate: building" not in done.said


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ((), "give a target, or --name NAME"),
        (("x86-64", "--name", "mine"), "give a target, or --name NAME"),
        (("--name", "../mine"), "expected lower case letters"),
        (("jetson-nano",), "only kernels of ONNX Runtime's CPUExecutionProvider can be timed"),
        (("x86-64", "--on", "shh:board"), "--on: 'shh:board' given"),
        (("x86-64", "--on", "ssh:a b;c"), "is no name of a host"),
        (("x86-64", "--precision", "int9"), "did you mean 'int8'?"),
        (("x86-64", "--seconds", "nan"), "--seconds: nan given"),
        (("x86-64", "--placement", "onnxruntime-x68"), "did you mean 'onnxruntime-x86'?"),
    ],
)
def test_bad_words_are_refused(words: tuple[str, ...], reason: str, tmp_path: Path) -> None:
    """Before anything is timed."""
    done = run("targets", "calibrate", *words, folder=tmp_path)
    assert done.code == 2
    assert reason in done.said
    assert done.said.count("\n") == 1
    assert not (tmp_path / "tables").exists()


def test_predict_wants_a_device_or_a_table(network: Path, tmp_path: Path) -> None:
    """Without both there is nothing to speak of."""
    done = run("predict", network, folder=tmp_path)
    assert done.code == 2
    assert "use --target NAME" in done.said


@pytest.mark.slow
@pytest.mark.skipif(bool(MISSING), reason=MISSING)
def test_a_board_is_calibrated_over_ssh_and_nothing_stays(network: Path, tmp_path: Path) -> None:
    """Real ssh and scp; its table says where it is from and predicts without the board."""
    words = ("--name", "my-board", "--on", f"ssh:{HOST}", "--python", sys.executable, "--precision", "int8", *SHORT)
    with board(tmp_path) as device:
        done = run("targets", "calibrate", *words, "--json", folder=tmp_path, path=device.bin)
        assert done.code == 0, done.said
        assert device.left() == []
    summary = json.loads(done.out)
    assert summary["left_out"]["int8"]["networks"] >= 24
    table = Path(summary["table"])
    assert json.loads(table.read_text())["where"] == f"ssh:{HOST}"
    said = run("predict", network, "--table", table, "--precision", "int8", "--json", folder=tmp_path)
    assert said.code == 0, said.said
    assert json.loads(said.out)["estimated_precision"] == "int8"


@pytest.mark.skipif(bool(MISSING), reason=MISSING)
def test_a_board_without_onnx_runtime_is_told_so(tmp_path: Path) -> None:
    """By its own exit code; no table is written, and nothing stays there."""
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S -E "$@"\n')
    bare.chmod(0o755)
    words = ("--name", "bare", "--on", f"ssh:{HOST}", "--python", bare, "--precision", "fp32", *SHORT)
    with board(tmp_path) as device:
        done = run("targets", "calibrate", *words, folder=tmp_path, path=device.bin)
        assert device.left() == []
    assert done.code == 8
    assert "no ONNX Runtime" in done.said
    assert not (tmp_path / "tables").exists()
