"""Peak memory of loading a file and running it, measured in a process of its own."""

import subprocess
import sys
from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime as ort

from edgekd.core.errors import StageError

RUNS: Final = 5
_STATUS: Final = Path("/proc/self/status")


def peak_memory_bytes(model: Path) -> int:
    """Return how much the resident memory grows at most, from before *model* is loaded to after a few runs.

    The interpreter and the libraries are not counted. Needs /proc (Linux). Raises StageError where that fails.
    """
    command = [sys.executable, "-P", "-m", "edgekd.bench.memory", str(model)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own module
    if done.returncode != 0:
        message = f"{model}: measuring its memory failed: {done.stderr.strip().splitlines()[-1:]}."
        raise StageError(message)
    return int(done.stdout)


def _probe(model: str) -> int:
    """Return the growth of this process's peak memory over loading and running *model*."""
    before = _status_bytes("VmRSS")
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model, options)
    shapes = {node.name: [size if isinstance(size, int) else 1 for size in node.shape] for node in session.get_inputs()}
    feed = {name: np.zeros(shape, dtype=np.float32) for name, shape in shapes.items()}
    for _ in range(RUNS):
        session.run(None, feed)
    return max(0, _status_bytes("VmHWM") - before)


def _status_bytes(field: str) -> int:
    """Return a kB field of /proc/self/status, in bytes."""
    for line in _STATUS.read_text(encoding="ascii").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    message = f"{_STATUS}: no field {field}"
    raise OSError(message)


if __name__ == "__main__":
    sys.stdout.write(str(_probe(sys.argv[1])))
