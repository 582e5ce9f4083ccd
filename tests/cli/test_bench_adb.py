"""edgekd bench on a phone. The phone is a recording (tests/support/recorded.py); what runs on it runs for real."""

import json
import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest
from benching import bench, require_refusal
from bundled import ROWS, bundle
from emulator import the_emulator
from recorded import SERIAL, left_on_phone, write_phone

FEW = ("--runs", 5, "--warmup-runs", 5)


@pytest.mark.slow  # seconds of loading under QEMU
def test_a_phone_measures_answers_and_keeps_nothing(tmp_path: Path) -> None:
    """Raw samples, golden answers, the faster core, its clocks and heat come back; the folder there is gone."""
    model = bundle(tmp_path / "bundle")
    adb = write_phone(tmp_path, the_emulator())
    target = ("--target", "android-a76", "--cool-down", 0, "--threads", 1, "--cores", 1)
    words = (model, "--on", f"adb:{SERIAL}", *FEW, *target, "--batch", "1,2", "--profile", "--json")
    done = bench(*words, folder=tmp_path, path=adb)
    assert done.returncode == 0, done.stderr
    one, two = json.loads(done.stdout)
    run = one["run"]
    assert len(run["samples_ms"]) == len(run["started_ms"]) == 5
    assert run["first_ms"] > 0
    assert run["load_ms"] > 0
    assert run["peak_memory_bytes"] > 0
    assert run["cores"] == [1]
    assert run["golden"]["samples"] == ROWS
    assert run["golden"]["largest_difference"] <= 1e-4
    assert [two["run"]["inputs"]["x"], two["batch"]] == [[2, 3, 8, 8], 2]
    assert run["before"]["cpu"] == "Pixel 6 (Tensor)"
    assert run["before"]["core_parts"] == {"0": "0x41 0xd05", "1": "0x41 0xd44"}
    assert one["target"] is None
    assert one["not_target"].startswith("CPU 1, on which it ran, is Cortex-X1, and the target's are Cortex-A76 or ")
    assert run["before"]["clocks_khz"] == [1401600, 2850000]
    assert run["before"]["temperatures_c"] == [38.5]
    assert "FusedConv" in {node["operator"] for node in run["profile"]} or "Conv" in str(run["profile"])
    assert left_on_phone(tmp_path) == []


@pytest.mark.slow
def test_a_phone_that_answers_other_numbers_shows_no_time(tmp_path: Path) -> None:
    """Golden outputs that are off by 1: exit code 11, nothing remembered, nothing left."""
    model = bundle(tmp_path / "bundle", wrong_by=1.0)
    done = bench(model, "--on", "adb", *FEW, folder=tmp_path, path=write_phone(tmp_path, the_emulator()))
    require_refusal(done, 11, "it answers the golden inputs with other numbers: they differ by 1,")
    assert not (tmp_path / "history").exists()
    assert left_on_phone(tmp_path) == []


@pytest.mark.slow
def test_a_hot_phone_shows_no_time_but_keeps_the_samples(tmp_path: Path) -> None:
    """Android's thermal status 2 is exit code 10; the samples are in the history and say why they do not count."""
    model = bundle(tmp_path / "bundle")
    adb = write_phone(tmp_path, the_emulator(), thermal_status=2)
    done = bench(model, "--on", "adb", *FEW, folder=tmp_path, path=adb)
    require_refusal(done, 10, "it throttled: Android reports thermal status 2")
    (kept,) = (tmp_path / "history").glob("*.json")
    assert json.loads(kept.read_text())["refused"] == "Android reports thermal status 2"


@pytest.mark.parametrize(
    ("on", "machine", "code", "sentence"),
    [
        ("adb:OTHER", "aarch64", 6, "device 'OTHER' not found; 'adb devices' lists what there is"),
        ("adb:-s", "aarch64", 2, "'-s' is no serial number"),
        ("adb:a;touch stolen", "aarch64", 2, "is no serial number"),
        ("adb", "armv7l", 8, "its processor is 'armv7l', the program that measures is for aarch64"),
    ],
)
def test_a_phone_that_cannot_is_one_sentence(tmp_path: Path, on: str, machine: str, code: int, sentence: str) -> None:
    """Another serial number, one that is an option or a command, an old processor."""
    model = bundle(tmp_path / "bundle")
    adb = write_phone(tmp_path, the_emulator(), machine=machine)
    require_refusal(bench(model, "--on", on, folder=tmp_path, path=adb), code, sentence)
    assert left_on_phone(tmp_path) == []


@pytest.mark.skipif(shutil.which("adb") is None, reason="needs Android's client: apt-get install adb")
def test_the_real_client_without_a_phone_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Android's own adb, its server on a port of this test, and no phone: exit code 6, and what to do."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(free.getsockname()[1]))
    model = bundle(tmp_path / "bundle")
    try:
        done = bench(model, "--on", "adb", folder=tmp_path)
        other = bench(model, "--on", "adb:nothere", folder=tmp_path)
    finally:
        subprocess.run(["adb", "kill-server"], check=True, capture_output=True, env=dict(os.environ))
    require_refusal(done, 6, "no devices/emulators found; plug it in and switch on USB debugging")
    require_refusal(other, 6, "device 'nothere' not found")
