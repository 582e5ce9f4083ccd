"""Command lines for tests that run edgekd from the outside, with networks small enough for a test."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

TINY: tuple[str, ...] = (
    "teach.arguments.width=8",
    "teach.epochs=3",
    "distill.arguments.width=8",
    "distill.epochs=2",
    "prune.epochs=1",
    "factorize.epochs=1",
    "factorize.energy=0.5",
    "factorize.layer_overhead_us=0",
    "factorize.ns_per_activation=0",
    "quantize.epochs=1",
    "measure.runs=20",
    "measure.warmup_runs=2",
    "budgets.drop_points=100",
)


def edgekd_command(*arguments: str) -> list[str]:
    """Return the command line of edgekd with the interpreter that runs the tests."""
    return [sys.executable, "-m", "edgekd.cli.main", *arguments]


def compress_command(target: str, *, out: Path, store: Path, settings: tuple[str, ...] = TINY) -> list[str]:
    """Return the command line of one tiny compression."""
    assignments = [part for setting in settings for part in ("--set", setting)]
    return edgekd_command("compress", "--target", target, "--out", str(out), "--store", str(store), *assignments)


def model_bytes(bundle: Path) -> Mapping[str, bytes]:
    """Return the bytes of every model file in *bundle* by name."""
    return {path.name: path.read_bytes() for path in sorted(bundle.glob("*.onnx"))}


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """Make *folder* a disk of *size* for the length of the block; skip the test where that cannot be done."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("this machine does not let root mount a tmpfs")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)
