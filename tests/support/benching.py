"""Run edgekd bench from the outside."""

import os
import subprocess
from pathlib import Path

from commands import edgekd_command


def bench(*words: object, folder: Path, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run edgekd bench with *words*, its history in *folder*, and *path* before PATH."""
    own = {"EDGEKD_HISTORY": str(folder / "history")}
    if path is not None:
        own["PATH"] = f"{path}:{os.environ['PATH']}"
    command = [*edgekd_command(), "bench", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | own)


def require_refusal(done: subprocess.CompletedProcess[str], code: int, sentence: str) -> None:
    """Assert one sentence on the error stream, its exit code, no traceback, and no latency shown."""
    assert done.returncode == code, done.stderr
    assert sentence in done.stderr
    assert done.stderr.startswith("edgekd: ")
    assert done.stderr.count("\n") == 1, done.stderr
    assert "median" not in done.stdout
