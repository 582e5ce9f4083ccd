"""Compare the loss curve of two processes, each with half of every batch, with that of one process with all of it.

    python benchmarks/data_parallel.py

The engine's own loop on the digits that come with edgekd, gloo between the processes. A network with batch norm and
ReLU is chaotic in float32: one process alone leaves its own curve by more than the bound when it runs on two threads
instead of one, which sums in another order. So ResNet-8 is judged in float64, where rounding cannot hide a mistake, and
a vision transformer in float32; ResNet-8 in float32 stands beside that control.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from recording import at_most, write
from torch import Tensor, nn

from edgekd.core.progress import SilentProgress
from edgekd.networks.resnet_cifar import resnet8
from edgekd.networks.vit import vit
from edgekd.tasks.digits import load_digits
from edgekd.train.batches import Batch, training_batches
from edgekd.train.distributed import join, leave
from edgekd.train.fit import Run, fit
from edgekd.train.training import Training

STEPS = 50
SEED = 0
TRAINING = Training(epochs=2, lr=0.05, batch_size=128, crop=2)
RELATIVE = 1e-4


def small_vit() -> nn.Module:
    """Return a vision transformer for the digits: no batch norm."""
    return vit(classes=10, channels=1, image_size=28, patch=7, dim=64, depth=4, heads=4)


CASES: Mapping[str, tuple[Callable[[], nn.Module], torch.dtype]] = {
    "resnet8 float64": (lambda: resnet8(classes=10, channels=1), torch.float64),
    "vit float32": (small_vit, torch.float32),
    "resnet8 float32": (lambda: resnet8(classes=10, channels=1), torch.float32),
}
JUDGED = ("resnet8 float64", "vit float32")


class Supervised(nn.Module):
    """Cross-entropy in the network's own type: the engine's objective computes in float32."""

    def __init__(self, network: nn.Module, dtype: torch.dtype) -> None:
        """Train *network* in *dtype*."""
        super().__init__()
        self.network = network.to(dtype)
        self.dtype = dtype

    def forward(self, batch: Batch) -> Tensor:
        """Return the loss of *batch*."""
        return F.cross_entropy(self.network(batch.inputs[0].to(self.dtype)), batch.labels)


class Enough(Exception):
    """Ends the run after the steps that are compared."""


def main() -> None:
    """Run all cases, write the curves, judge the largest relative difference; exit with 1 where it is too large."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--worker", type=Path, help="write the curve of this process there, and nothing else")
    parser.add_argument("--case", choices=CASES)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    if arguments.worker is not None:
        worker(arguments.worker, arguments.case, arguments.threads)
        return
    curves = {
        name: {"one process": curve(name, 1), "two processes": curve(name, 2), "two threads": curve(name, 1, threads=2)}
        for name in CASES
    }
    differences = {
        name: {other: largest(found["one process"], found[other]) for other in ("two processes", "two threads")}
        for name, found in curves.items()
    }
    what = f"largest relative difference of the loss in the first {STEPS} steps, two processes against one"
    holds = write(
        "data_parallel",
        {"seed": SEED, "curves": curves, "largest_relative_differences": differences},
        [at_most(f"{name}: {what}", RELATIVE, differences[name]["two processes"]) for name in JUDGED],
    )
    for name, found in differences.items():
        print(f"{name}: two processes {found['two processes']:.2g}, two threads in one {found['two threads']:.2g}")
    sys.exit(not holds)


def largest(first: list[float], second: list[float]) -> float:
    """Return the largest relative difference of two curves."""
    return max(abs(b - a) / a for a, b in zip(first, second, strict=True))


def curve(case: str, processes: int, *, threads: int = 1) -> list[float]:
    """Return the loss of each step in a run of so many processes."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "curve.json"
        start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
        work = ["--worker", str(result), "--case", case, "--threads", str(threads)]
        subprocess.run([*start, __file__, *work], check=True)
        losses: list[float] = json.loads(result.read_text())
        return losses


def worker(result: Path, case: str, threads: int) -> None:
    """Train the first steps and, in the first process, write their losses."""
    torch.set_num_threads(threads)
    world = join(torch.device("cpu"))
    torch.manual_seed(SEED)
    make, dtype = CASES[case]
    losses: list[float] = []

    def observe(step: int, loss: float) -> None:
        losses.append(loss)
        if step + 1 == STEPS:
            raise Enough

    batches = training_batches(load_digits(), TRAINING, seed=SEED, world=world)
    with tempfile.TemporaryDirectory() as folder:
        run = Run(name="curve", progress=SilentProgress(), checkpoint=Path(folder) / "never", observe=observe)
        with suppress(Enough):
            fit(Supervised(make(), dtype), batches, run)
    if world.is_writer:
        result.write_text(json.dumps(losses))
    leave(world)


if __name__ == "__main__":
    main()
