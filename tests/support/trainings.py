"""A network to train in milliseconds, objectives that can be cut, and runs that say nothing: for tests of training."""

import itertools
from collections.abc import Callable
from pathlib import Path

import msgspec
import torch
from torch import Tensor, nn

from edgekd.core.progress import SilentProgress
from edgekd.train.batches import Batch
from edgekd.train.fit import Run
from edgekd.train.supervised import Supervised


def network() -> nn.Sequential:
    """Return a network with everything that a step changes or draws: weights, running statistics, dropout."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.3), nn.Flatten(), nn.Linear(64, 3)
        )


class Cut(Supervised):
    """Raises KeyboardInterrupt in its call number *call*, after it has run the network."""

    def __init__(self, module: nn.Module, call: int) -> None:
        """Train *module* until then."""
        super().__init__(module)
        self._left = itertools.count(call, -1)

    def forward(self, batch: Batch) -> Tensor:
        """Return the loss, or raise."""
        loss = super().forward(batch)
        if next(self._left) == 0:
            raise KeyboardInterrupt
        return loss


class Formula(nn.Module):
    """A loss that is any function of a network's answer."""

    def __init__(self, module: nn.Module, function: Callable[[Tensor], Tensor]) -> None:
        """Make *function* of *module*'s answer small."""
        super().__init__()
        self.module = module
        self._function = function

    def forward(self, batch: Batch) -> Tensor:
        """Return the loss."""
        return self._function(self.module(*batch.inputs))


def run_in(folder: Path, save_every_s: float = 0.0, **others: object) -> Run:
    """Return a run that says nothing and saves after every step if not told otherwise."""
    run = Run(name="teach", progress=SilentProgress(), checkpoint=folder / "training", save_every_s=save_every_s)
    return msgspec.structs.replace(run, **others)
