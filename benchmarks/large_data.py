"""Compress a network on data that is four times as large as the memory the process may have (``ulimit -v``).

    python benchmarks/large_data.py

The limit is on address space, which is more than memory: it counts the code of every library, too.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from recording import at_least, at_most, write

from edgekd.tasks.rows import RowWriter

LIMIT_BYTES = 3 << 29
TIMES = 4
SHAPE = (3, 64, 64)
HELD_OUT = 500
CHUNK = 256
SEED = 0

TASK = """
from pathlib import Path

import numpy as np

from edgekd.tasks.making import make_task
from edgekd.tasks.preprocessing import Preprocessing
from edgekd.tasks.rows import RowFile
from edgekd.tasks.task import Input, Split

HERE = Path(__file__).parent
SHAPE = {shape}


def split(name, count):
    rows = RowFile(HERE / (name + ".rows"), dtype="uint8", shape=(count, *SHAPE))
    return Split(inputs=(rows,), labels=np.load(HERE / (name + ".npy")))


def task():
    recipe = Preprocessing(scale=1 / 255, mean=(0.5,) * 3, std=(0.25,) * 3, layout="NCHW", channel_order="rgb")
    return make_task(
        "large",
        inputs=(Input(name="input", shape=SHAPE, preprocessing=recipe),),
        labels=("dark", "bright"),
        train=split("train", {train}),
        validation=split("validation", {held_out}),
        test=split("test", {held_out}),
    )
"""

TRAINED = ("teach", "distill", "prune", "factorize", "quantize")

SETTINGS = (
    "distill.arguments.width=8",
    "distill.arguments.stem_stride=4",
    "teach.arguments.width=8",
    "teach.arguments.stem_stride=4",
    *(f"{stage}.epochs=1" for stage in TRAINED),
    "measure.runs=20",
    "budgets.drop_points=100",
)


def main() -> None:
    """Make the data, run the main job under the limit, write what came of it; exit with 1 where it did not end well."""
    with tempfile.TemporaryDirectory(prefix="edgekd-large-") as name:
        folder = Path(name)
        data_bytes = make_data(folder)
        command = [sys.executable, "-m", "edgekd", "compress", "--target", "raspberry-pi-4", "--json"]
        command += ["--data", f"module:{folder / 'large.py'}:task"]
        command += ["--out", str(folder / "out"), "--store", str(folder / "store")]
        command += [part for setting in SETTINGS for part in ("--set", setting)]
        began = time.monotonic()
        done = subprocess.run(command, preexec_fn=limit, capture_output=True, text=True, check=False)
        seconds = time.monotonic() - began
    sys.stderr.write(done.stderr)
    accuracy = json.loads(done.stdout)["stages"][-1]["measured"]["accuracy"] if done.stdout else 0.0
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    holds = write(
        "large_data",
        {
            "seed": SEED,
            "limit_bytes": LIMIT_BYTES,
            "data_bytes": data_bytes,
            "seconds": seconds,
            "exit_code": done.returncode,
            "peak_resident_bytes": usage.ru_maxrss * 1024,
            "accuracy": accuracy,
        },
        [
            at_least("data over the allowed address space", TIMES, data_bytes / LIMIT_BYTES),
            at_most("exit code of edgekd compress under ulimit -v", 0, done.returncode),
            at_least("test accuracy of what it shipped", 0.9, accuracy),
        ],
    )
    sys.exit(not holds)


def limit() -> None:
    """Allow this process so much address space and no more, as ``ulimit -v`` does."""
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT_BYTES, LIMIT_BYTES))


def make_data(folder: Path) -> int:
    """Write noise images, dark or bright, and the file that makes a task of them; return the bytes of all rows."""
    row_bytes = int(np.prod(SHAPE))
    train = -(-TIMES * LIMIT_BYTES // row_bytes)
    random = np.random.default_rng(SEED)
    for name, count in (("train", train), ("validation", HELD_OUT), ("test", HELD_OUT)):
        labels = random.integers(0, 2, count)
        np.save(folder / f"{name}.npy", labels)
        with RowWriter(folder / f"{name}.rows", dtype="uint8", row=SHAPE) as writer:
            for start in range(0, count, CHUNK):
                bright = labels[start : start + CHUNK, None, None, None]
                noise = random.integers(0, 128, (len(bright), *SHAPE), dtype=np.uint8)
                writer.append(noise + (40 * bright).astype(np.uint8))
    (folder / "large.py").write_text(TASK.format(shape=SHAPE, train=train, held_out=HELD_OUT))
    return (train + 2 * HELD_OUT) * row_bytes


if __name__ == "__main__":
    main()
