"""Compare the loss curve of two processes, each with half of every batch, with that of one process with all of it.

    python benchmarks/data_parallel.py

ResNet-8 (with batch norm) on the digits that come with edgekd, the engine's own loop, gloo between the processes.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from recording import at_most, write

from edgekd.core.progress import SilentProgress
from edgekd.networks.resnet_cifar import resnet8
from edgekd.tasks.digits import load_digits
from edgekd.train.batches import training_batches
from edgekd.train.distributed import World, join, leave
from edgekd.train.fit import Run, fit
from edgekd.train.supervised import Supervised
from edgekd.train.training import Training

STEPS = 50
SEED = 0
TRAINING = Training(epochs=2, lr=0.005, batch_size=128, crop=2)
RELATIVE = 1e-4


class Enough(Exception):
    """Ends the run after the steps that are compared."""


def main() -> None:
    """Run both, write the curves, judge the largest relative difference; exit with 1 where it is too large."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--worker", type=Path, help="write the curve of this process there, and nothing else")
    arguments = parser.parse_args()
    if arguments.worker is not None:
        worker(arguments.worker)
        return
    curves = {processes: curve(processes) for processes in (1, 2)}
    differences = [abs(two - one) / one for one, two in zip(curves[1], curves[2], strict=True)]
    what = f"largest relative difference of the loss in the first {STEPS} steps"
    holds = write(
        "data_parallel",
        {"seed": SEED, "curves": curves, "relative_differences": differences},
        [at_most(what, RELATIVE, max(differences))],
    )
    sys.exit(not holds)


def curve(processes: int) -> list[float]:
    """Return the loss of each step in a run of so many processes."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "curve.json"
        start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
        subprocess.run([*start, __file__, "--worker", str(result)], check=True)
        losses: list[float] = json.loads(result.read_text())
        return losses


def worker(result: Path) -> None:
    """Train the first steps and, in the first process, write their losses."""
    torch.set_num_threads(1)
    world: World = join(torch.device("cpu"))
    torch.manual_seed(SEED)
    network = resnet8(classes=10, channels=1)
    losses: list[float] = []

    def observe(step: int, loss: float) -> None:
        losses.append(loss)
        if step + 1 == STEPS:
            raise Enough

    batches = training_batches(load_digits(), TRAINING, seed=SEED, world=world)
    with tempfile.TemporaryDirectory() as folder:
        run = Run(name="curve", progress=SilentProgress(), checkpoint=Path(folder) / "never", observe=observe)
        try:
            fit(Supervised(network), batches, run)
        except Enough:
            pass
    if world.is_writer:
        result.write_text(json.dumps(losses))
    leave(world)


if __name__ == "__main__":
    main()
