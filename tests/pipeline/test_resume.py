"""What a run that was cut leaves behind is enough to end with the same files."""

import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import FAST, TINY, compress_arguments, compress_command, edgekd, killed, model_bytes, sets
from patterns import NORMALIZED

TARGET = "raspberry-pi-4"
STAGES = ("teach", "distill", "prune", "factorize", "quantize", "export")
DEADLINE_S = 120
NETWORK = f"{Path(__file__).parents[1] / 'support' / 'networks' / 'small.py'}:small"

pytestmark = pytest.mark.slow


def has_saved(store: Path) -> Callable[[str], bool]:
    """Return whether a training under *store* has saved a step, as a question that takes what was said."""
    return lambda _said: any((store / "scratch").glob("*/progress/training.safetensors"))


def has_said(line: str) -> Callable[[str], bool]:
    """Return whether *line* was begun."""
    return lambda said: f"\n{line}" in f"\n{said}"


def test_a_run_killed_in_every_stage_ends_with_the_bytes_of_one_that_was_not(
    tmp_path: Path, bundle_of: Callable[[str], Path]
) -> None:
    """SIGKILL at any moment costs time, never the result: the model files are equal to the last bit."""
    expected = model_bytes(bundle_of(TARGET))
    run = compress_arguments(TARGET, out=tmp_path / "out", store=tmp_path / "store")
    for number, stage in enumerate(STAGES):
        killed(*run, until=has_said(f"[{number + 1}/{len(STAGES)}] {stage}"), settle_s=0.5)
    done = edgekd(*run)
    assert done.code == 0, done.said
    assert model_bytes(tmp_path / "out") == expected


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
    killed(*cut, until=has_saved(tmp_path / "cut-store"), settle_s=moments.uniform(0, 0.5))
    killed(*cut, until=has_said("distill: continues from step"), settle_s=moments.uniform(0, 1))
    done = edgekd(*cut)
    assert done.code == 0, done.said
    assert model_bytes(tmp_path / "cut") == model_bytes(tmp_path / "whole")


def test_training_continues_from_the_last_saved_step(tmp_path: Path) -> None:
    """A run killed inside training says at which step the next one goes on."""
    run = compress_arguments(
        TARGET, out=tmp_path / "out", store=tmp_path / "store", settings=(*TINY, "teach.epochs=40")
    )
    killed(*run, until=has_saved(tmp_path / "store"))
    killed(*run, until=has_said("teach: continues from step"))


def test_ctrl_c_ends_in_one_sentence_and_a_store_that_goes_on(tmp_path: Path) -> None:
    """An interrupt says what to do, leaves no traceback and no half-written bundle."""
    command = compress_command(TARGET, out=tmp_path / "out", store=tmp_path / "store")
    said = ""
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        assert process.stderr is not None
        while not has_said("teach: 0/")(said):
            text = process.stderr.readline()
            assert text, said
            said += text
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        said += process.stderr.read()
        code = process.wait(DEADLINE_S)
    assert code == 130
    assert "goes on from the last saved step" in said
    assert "Traceback" not in said
    assert not (tmp_path / "out").exists()
