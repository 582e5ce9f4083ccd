"""edgekd bench from the outside: here, and over a real ssh on loopback."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from commands import edgekd_command
from loopback import HOST, MISSING, board
from slowed import equal_layers

DEVICE = ("--on", f"ssh:{HOST}", "--python", sys.executable)
needs_sshd = pytest.mark.skipif(bool(MISSING), reason=MISSING)


def run(*words: object, folder: Path, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run edgekd bench with *words*, its history in *folder*, and *path* before PATH."""
    own = {"EDGEKD_HISTORY": str(folder / "history")}
    if path is not None:
        own["PATH"] = f"{path}:{os.environ['PATH']}"
    command = [*edgekd_command(), "bench", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | own)


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """Give a network of two layers."""
    return equal_layers(tmp_path / "net.onnx", 2)


def test_the_summary_is_that_of_the_raw_samples(network: Path, tmp_path: Path) -> None:
    """Median, percentiles, minimum and n, calculated a second way; every sample has the time it began."""
    done = run(network, "--runs", 60, "--json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    samples = sorted(found["run"]["samples_ms"])
    assert found["summary"]["n"] == len(samples) == 60
    assert found["summary"]["median_ms"] == pytest.approx((samples[29] + samples[30]) / 2)
    assert found["summary"]["minimum_ms"] == samples[0]
    assert found["summary"]["p90_ms"] == pytest.approx(np.percentile(samples, 90))
    assert np.all(np.diff(found["run"]["started_ms"]) >= 0)
    assert found["run"]["providers"][0] == "CPUExecutionProvider"
    assert len(found["run"]["warmup_ms"]) >= 50


def test_history_is_compared_only_where_the_fingerprints_are_equal(network: Path, tmp_path: Path) -> None:
    """One thread before is shown with its median; two threads before are said to be another thing."""
    for threads in (1, 2):
        assert run(network, "--threads", threads, "--runs", 40, folder=tmp_path).returncode == 0
    said = run(network, "--threads", 1, "--runs", 40, "--history", folder=tmp_path).stdout
    assert "n = 40" in said.split("before, ")[1]
    assert "not comparable: they differ in threads '2' and '1'" in said


def test_a_profile_names_the_operators(network: Path, tmp_path: Path) -> None:
    """Two convolutions a run; nothing is left beside the file."""
    before = sorted(tmp_path.iterdir())
    done = run(network, "--runs", 40, "--profile", "--json", folder=tmp_path)
    (row,) = [row for row in json.loads(done.stdout)["run"]["profile"] if row["operator"] == "Conv"]
    assert row["calls"] == 2 * 40
    assert sorted(path for path in tmp_path.iterdir() if path.name != "history") == before


def test_raw_samples_as_csv(network: Path, tmp_path: Path) -> None:
    """A head line and a row for each sample."""
    lines = run(network, "--runs", 40, "--csv", folder=tmp_path).stdout.splitlines()
    assert lines[0] == "model,where,threads,batch,started_ms,latency_ms"
    assert len(lines) == 41


@needs_sshd
def test_a_device_measures_and_nothing_stays_there(network: Path, tmp_path: Path) -> None:
    """Real ssh and scp, the same numbers as here; the folder that was made there is gone."""
    with board(tmp_path) as device:
        done = run(network, *DEVICE, "--runs", 40, "--json", folder=tmp_path, path=device.bin)
        assert done.returncode == 0, done.stderr
        assert list(device.temporary.glob("tmp.*")) == []
    found = json.loads(done.stdout)
    assert found["where"] == f"ssh:{HOST}"
    assert len(found["run"]["samples_ms"]) == 40


@needs_sshd
@pytest.mark.parametrize(
    ("key", "python", "sentence"),
    [
        ("other", "python3", "cannot be reached: "),
        ("key", "false", "ended with 1"),
        ("key", "no python; touch stolen", "ended with 127"),
    ],
)
def test_a_device_that_cannot_is_one_sentence_and_exit_code_5(
    network: Path, tmp_path: Path, key: str, python: str, sentence: str
) -> None:
    """A wrong key; a Python that is none; one that would be a command. Nothing is remembered and nothing stays."""
    with board(tmp_path, key=key) as device:
        done = run(network, "--on", f"ssh:{HOST}", "--python", python, folder=tmp_path, path=device.bin)
        assert list(device.temporary.glob("tmp.*")) == []
    assert done.returncode == 5, done.stderr
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "history").exists()


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("none.onnx",), 2, "none.onnx: no such file"),
        (("net.onnx", "--on", "desk"), 2, "expected local or ssh:HOST"),
        (("net.onnx", "--on", "ssh:-oProxyCommand=touch stolen"), 5, "no name of a host"),
        (("net.onnx", "--on", "ssh:board;touch stolen"), 5, "no name of a host"),
        (("text.onnx",), 5, "cannot run it"),
        (("net.onnx", "--target", "raspbery-pi-5"), 2, "raspberry-pi-5"),
    ],
)
def test_bad_input_is_one_sentence(
    network: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], code: int, sentence: str
) -> None:
    """No traceback, no shell, nothing remembered."""
    monkeypatch.chdir(network.parent)
    (tmp_path / "text.onnx").write_text("no network")
    done = run(*words, folder=tmp_path)
    assert done.returncode == code, done.stderr
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "stolen").exists()


def test_a_malformed_history_is_named_and_kept(network: Path, tmp_path: Path) -> None:
    """The sentence names the file; the file is as it was."""
    folder = tmp_path / "history"
    folder.mkdir()
    (folder / "a.json").write_text("{")
    done = run(network, "--runs", 30, "--history", folder=tmp_path)
    assert done.returncode == 2
    assert "a.json: not a measurement" in done.stderr
    assert (folder / "a.json").read_text() == "{"
