"""Several processes under torchrun are one run: one bundle, one writer, and a killed worker costs little."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from commands import FAST, edgekd, sets

pytestmark = pytest.mark.slow

NETWORK = f"{Path(__file__).parents[1] / 'support' / 'networks' / 'small.py'}:small"
DEADLINE_S = 240


def torchrun(photos: Path, *settings: str, restarts: int = 0) -> list[str]:
    """Return the command of a compression by two processes."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return [
        *[*launch, "--max-restarts", str(restarts), "-m", "edgekd", "compress", "--target", "raspberry-pi-4"],
        *["--data", f"folder:{photos}", "--model", NETWORK, "--model-arg", "width=16", "--out", "out"],
        *sets(*FAST, "teach.epochs=6", "teach.lr=0.05", *settings),
    ]


def worker(launcher: int, rank: int) -> int:
    """Return the process number of a worker that *launcher* has started."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == launcher and f"RANK={rank}" in (folder / "environ").read_text().split("\0"):
                return int(folder.name)
        except (OSError, ValueError):
            continue
    message = f"no worker of rank {rank} among the children of {launcher}"
    raise LookupError(message)


def ensure_one_sound_bundle(folder: Path) -> None:
    """Assert that *folder* holds one bundle, whole, that knows the patterns, and nothing half written."""
    assert {path.name for path in folder.iterdir()} == {"out", "edgekd-out", "stderr"}
    assert {path.name for path in (folder / "edgekd-out").iterdir()} == {".store"}
    store = folder / "edgekd-out" / ".store"
    assert not any((store / "scratch").iterdir())
    lineage = json.loads((folder / "out" / "manifest.json").read_text())["lineage"]
    assert {path.name for path in (store / "objects").glob("*/*")} == {entry["key"] for entry in lineage}
    stages = json.loads((folder / "out" / "report.json").read_text())["stages"]
    assert stages[0]["measured"]["accuracy"] > 0.9
    assert edgekd("verify", folder / "out").code == 0


def test_two_processes_make_one_bundle(tmp_path: Path, photos: Path) -> None:
    """Both train, the first alone writes and talks: each stage is said once and stored once."""
    done = subprocess.run(torchrun(photos), capture_output=True, text=True, check=False, cwd=tmp_path)
    (tmp_path / "stderr").write_text(done.stderr)
    assert done.returncode == 0, done.stderr
    for stage in ("teach", "prune", "quantize", "export"):
        assert done.stderr.count(f"] {stage}\n") == 1, done.stderr
    assert done.stdout.count("## Stages") == 1
    ensure_one_sound_bundle(tmp_path)


def test_a_killed_worker_restarts_from_the_last_saved_step(tmp_path: Path, photos: Path) -> None:
    """SIGKILL to the second process in the middle of training: torchrun starts both again, and they go on."""
    command = torchrun(photos, "teach.epochs=60", restarts=1)
    with (
        (tmp_path / "stderr").open("w") as said,
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said, cwd=tmp_path) as process,
    ):
        try:
            began = time.monotonic()
            while not list((tmp_path / "edgekd-out/.store/scratch").glob("*/progress/training.safetensors")):
                assert process.poll() is None
                assert time.monotonic() - began < DEADLINE_S
                time.sleep(0.05)
            os.kill(worker(process.pid, 1), signal.SIGKILL)
            code = process.wait(DEADLINE_S)
        finally:
            process.terminate()  # passed on to the workers; nothing where it has ended
    text = (tmp_path / "stderr").read_text()
    assert code == 0, text
    assert "teach: continues from step" in text
    ensure_one_sound_bundle(tmp_path)


def test_a_batch_that_two_processes_cannot_share_ends_before_training(tmp_path: Path, photos: Path) -> None:
    """An odd batch size, be it that of the last stage: one sentence that names it, nothing trained, no bundle."""
    command = torchrun(photos, "quantize.batch_size=15")
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    sentence = "edgekd: quantize.batch_size: 15 cannot be shared equally by 2 processes"
    assert done.returncode != 0
    assert sentence in done.stderr
    assert "[1/" not in done.stderr
    assert not (tmp_path / "out").exists()
