"""Several processes under torchrun are one run: one bundle, one writer, and a killed worker costs little."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from commands import FAST, edgekd, sets, started

pytestmark = pytest.mark.slow

NETWORK = f"{Path(__file__).parents[1] / 'support' / 'networks' / 'small.py'}:small"
DEADLINE_S = 240


def words(photos: Path, *settings: str) -> list[str]:
    """Return the words of a compression."""
    return [
        *["compress", "--target", "raspberry-pi-4", "--data", f"folder:{photos}"],
        *["--model", NETWORK, "--model-arg", "width=16", "--out", "out"],
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
    assert {path.name for path in folder.iterdir()} == {"out", "edgekd-out", "stdout", "stderr"}
    assert {path.name for path in (folder / "edgekd-out").iterdir()} == {".store"}
    store = folder / "edgekd-out" / ".store"
    assert not any((store / "scratch").iterdir())
    lineage = json.loads((folder / "out" / "manifest.json").read_text())["lineage"]
    assert {path.name for path in (store / "objects").glob("*/*")} == {entry["key"] for entry in lineage}
    stages = json.loads((folder / "out" / "report.json").read_text())["stages"]
    assert stages[0]["measured"]["accuracy"] > 0.9
    assert edgekd("verify", folder / "out").code == 0


def test_two_processes_make_one_bundle_though_one_is_killed_on_the_way(tmp_path: Path, photos: Path) -> None:
    """Both train, the first alone writes and talks: each stage is said once and stored once.

    SIGKILL to the second process in the middle of training: torchrun starts both again, so the first stage is said
    twice, and they go on from the last saved step.
    """
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*launch, "--max-restarts", "1", "-m", "edgekd", *words(photos, "teach.epochs=60")]
    with (
        (tmp_path / "stdout").open("w") as out,
        (tmp_path / "stderr").open("w") as said,
        subprocess.Popen(command, stdout=out, stderr=said, cwd=tmp_path) as process,
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
    for stage, times in {"teach": 2, "prune": 1, "quantize": 1, "export": 1}.items():
        assert text.count(f"] {stage}\n") == times, text
    assert text.count("teach: continues from step") == 1, text
    assert (tmp_path / "stdout").read_text().count("## Stages") == 1
    ensure_one_sound_bundle(tmp_path)


def test_a_batch_that_two_processes_cannot_share_ends_before_training(tmp_path: Path, photos: Path) -> None:
    """An odd batch size, be it that of the last stage: one sentence that names it, nothing trained, no bundle.

    In both processes, which are told their places as torchrun tells them.
    """
    odd = words(photos, "quantize.batch_size=15")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    logs = [tmp_path / "first", tmp_path / "second"]
    with (
        started(*odd, cwd=tmp_path, said=logs[0], environment=place | {"RANK": "0", "LOCAL_RANK": "0"}) as first,
        started(*odd, cwd=tmp_path, said=logs[1], environment=place | {"RANK": "1", "LOCAL_RANK": "1"}) as second,
    ):
        first.join(DEADLINE_S)
        second.join(DEADLINE_S)
        codes = (first.exitcode, second.exitcode)
    said = [log.read_text() for log in logs]
    assert codes == (2, 2), said
    assert "edgekd: quantize.batch_size: 15 cannot be shared equally by 2 processes" in said[0]
    assert "[1/" not in said[0]
    assert not (tmp_path / "out").exists()
