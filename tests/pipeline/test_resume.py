"""What a run that was cut leaves behind is enough to end with the same files."""

import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import FAST, TINY, compress_command, edgekd, edgekd_command, model_bytes, sets
from patterns import NORMALIZED

TARGET = "raspberry-pi-4"
STAGES = ("teach", "distill", "prune", "factorize", "quantize", "export")
DEADLINE_S = 120
NETWORK = f"{Path(__file__).parents[1] / 'support' / 'networks' / 'small.py'}:small"


def run_until(command: list[str], line: str, *, settle_s: float, send: signal.Signals) -> tuple[int, str]:
    """Start *command*, send it a signal *settle_s* after *line* appears; return its exit code and what it said."""
    said = ""
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        assert process.stderr is not None
        while f"\n{line}" not in f"\n{said}":
            text = process.stderr.readline()
            assert text, said
            said += text
        time.sleep(settle_s)
        process.send_signal(send)
        said += process.stderr.read()
        return process.wait(DEADLINE_S), said


def wait_for_checkpoint(store: Path) -> None:
    """Return when a training under *store* has saved its first step."""
    began = time.monotonic()
    while not list((store / "scratch").glob("*/progress/training.safetensors")):
        assert time.monotonic() - began < DEADLINE_S
        time.sleep(0.05)


@pytest.mark.slow
def test_a_run_killed_in_every_stage_ends_with_the_bytes_of_one_that_was_not(
    tmp_path: Path, bundle_of: Callable[[str], Path]
) -> None:
    """SIGKILL at any moment costs time, never the result: the model files are equal to the last bit."""
    expected = model_bytes(bundle_of(TARGET))
    command = compress_command(TARGET, out=tmp_path / "out", store=tmp_path / "store")
    for number, stage in enumerate(STAGES):
        code, said = run_until(command, f"[{number + 1}/{len(STAGES)}] {stage}", settle_s=1.5, send=signal.SIGKILL)
        assert code == -signal.SIGKILL, said
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert model_bytes(tmp_path / "out") == expected


@pytest.mark.slow
def test_a_distillation_with_averages_moments_and_parts_ends_with_the_same_bytes_after_kills(
    tmp_path: Path, photos: Path, onnx_teacher: Path
) -> None:
    """What EMA, AdamW and accumulated gradients remember is in the checkpoint: killed at random moments, bit-equal."""
    settings = (
        *(*FAST, *NORMALIZED, "prune.ratio=0", "export.precision=fp32", "distill.epochs=100", "distill.lr=0.003"),
        *("distill.averaging=ema", "distill.ema_decay=0.9", "distill.accumulate=2", "distill.optimizer=adamw"),
    )
    networks = ("--teacher", str(onnx_teacher), "--model", NETWORK)
    run = ("compress", "--target", TARGET, "--data", f"folder:{photos}", *networks, *sets(*settings))
    whole, cut = (
        (*run, "--out", str(tmp_path / name), "--store", str(tmp_path / f"{name}-store")) for name in ("whole", "cut")
    )
    uncut = edgekd(*whole)
    assert uncut.code == 0, uncut.said
    moments = random.Random(7)  # noqa: S311 - moments, not secrets
    with subprocess.Popen(edgekd_command(*cut), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        wait_for_checkpoint(tmp_path / "cut-store")
        time.sleep(moments.uniform(0, 0.5))
        process.kill()
    line, settle_s = "distill: continues from step", moments.uniform(0, 1)
    code, said = run_until(edgekd_command(*cut), line, settle_s=settle_s, send=signal.SIGKILL)
    assert code == -signal.SIGKILL, said
    done = edgekd(*cut)
    assert done.code == 0, done.said
    assert model_bytes(tmp_path / "cut") == model_bytes(tmp_path / "whole")


@pytest.mark.slow
def test_training_continues_from_the_last_saved_step(tmp_path: Path) -> None:
    """A run killed inside training says at which step the next one goes on."""
    command = compress_command(
        TARGET, out=tmp_path / "out", store=tmp_path / "store", settings=(*TINY, "teach.epochs=40")
    )
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        wait_for_checkpoint(tmp_path / "store")
        process.kill()
    code, said = run_until(command, "teach: continues from step", settle_s=0, send=signal.SIGKILL)
    assert code == -signal.SIGKILL
    assert "teach: continues from step" in said


@pytest.mark.slow
def test_ctrl_c_ends_in_one_sentence_and_a_store_that_goes_on(tmp_path: Path) -> None:
    """An interrupt says what to do, leaves no traceback and no half-written bundle."""
    command = compress_command(TARGET, out=tmp_path / "out", store=tmp_path / "store")
    code, said = run_until(command, "teach: 0/", settle_s=0.5, send=signal.SIGINT)
    assert code == 130
    assert "goes on from the last saved step" in said
    assert "Traceback" not in said
    assert not (tmp_path / "out").exists()
