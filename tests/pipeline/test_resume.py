"""What a run that was cut leaves behind is enough to end with the same files."""

import os
import random
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from commands import FAST, compress_words, edgekd, model_bytes, sets, started
from patterns import NORMALIZED

TARGET = "raspberry-pi-4"
STAGES = ("teach", "distill", "prune", "factorize", "quantize", "export")
DEADLINE_S = 120
NETWORK = f"{Path(__file__).parents[1] / 'support' / 'networks' / 'small.py'}:small"


def run_until(words: Sequence[str], line: str, said: Path, *, settle_s: float, send: signal.Signals) -> int | None:
    """Start edgekd, send it a signal *settle_s* after *line* appears in *said*; return its exit code."""
    with started(*words, said=said) as process:
        began = time.monotonic()
        while f"\n{line}" not in f"\n{said.read_text()}":
            assert process.is_alive(), said.read_text()
            assert time.monotonic() - began < DEADLINE_S
            time.sleep(0.02)
        time.sleep(settle_s)
        assert process.pid is not None
        os.kill(process.pid, send)
        process.join(DEADLINE_S)
        return process.exitcode


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
    words = compress_words(TARGET, out=tmp_path / "out", store=tmp_path / "store")
    for number, stage in enumerate(STAGES, 1):
        line, said = f"[{number}/{len(STAGES)}] {stage}", tmp_path / stage
        assert run_until(words, line, said, settle_s=1.5, send=signal.SIGKILL) == -signal.SIGKILL, said.read_text()
    done = edgekd(*words)
    assert done.code == 0, done.said
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
    with started(*cut, said=tmp_path / "first"):
        wait_for_checkpoint(tmp_path / "cut-store")
        time.sleep(moments.uniform(0, 0.5))
    line, said, settle_s = "distill: continues from step", tmp_path / "second", moments.uniform(0, 1)
    assert run_until(cut, line, said, settle_s=settle_s, send=signal.SIGKILL) == -signal.SIGKILL, said.read_text()
    done = edgekd(*cut)
    assert done.code == 0, done.said
    assert model_bytes(tmp_path / "cut") == model_bytes(tmp_path / "whole")


@pytest.mark.slow
def test_ctrl_c_ends_in_one_sentence_and_a_store_that_goes_on(tmp_path: Path) -> None:
    """An interrupt says what to do, leaves no traceback and no half-written bundle."""
    words, said = compress_words(TARGET, out=tmp_path / "out", store=tmp_path / "store"), tmp_path / "said"
    assert run_until(words, "teach: 0/", said, settle_s=0.5, send=signal.SIGINT) == 130
    assert "goes on from the last saved step" in said.read_text()
    assert "Traceback" not in said.read_text()
    assert not (tmp_path / "out").exists()
