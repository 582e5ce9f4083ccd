"""The SGD loop: every stage that changes weights runs this one."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
import torch
from torch import Tensor, nn

from edgekd.core.errors import StageError
from edgekd.core.progress import Progress
from edgekd.train.batches import Batches
from edgekd.train.checkpoint import load_checkpoint, save_checkpoint
from edgekd.train.schedule import SCHEDULES
from edgekd.train.training import Training

Loss = Callable[[Tensor, Tensor], Tensor]
"""From images and labels to a scalar; it runs the network itself."""

_MATRIX: Final = 2


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """Where a training run reports and saves: its name, its progress, its checkpoint and how often."""

    name: str
    progress: Progress
    checkpoint: Path
    save_every_s: float = 1.0


def fit(module: nn.Module, loss: Loss, batches: Batches, run: Run) -> None:
    """Change *module*'s parameters in place to make *loss* small over *batches*; ends in evaluation mode.

    Continues from the run's checkpoint where there is one; the weights at the end are the same, bit for bit,
    however often the run was cut. Raises StageError when the loss is no longer a finite number.
    """
    module.train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = sgd(module, batches.training)
    start = load_checkpoint(run.checkpoint, module, optimizer)
    if start is not None:
        run.progress.say(f"{run.name}: continues from step {start} of {batches.steps}")
    elif run.checkpoint.exists():
        run.progress.say(f"{run.name}: {run.checkpoint.name} is damaged or of another network; starts again")
    _steps(module, loss, batches, run, optimizer=optimizer, start=start or 0)
    module.eval().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]


def sgd(module: nn.Module, training: Training) -> torch.optim.SGD:
    """Return SGD with momentum over *module*'s parameters, weight decay off for norms, biases and scales."""
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim >= _MATRIX], "weight_decay": training.weight_decay},
        {"params": [p for p in parameters if p.ndim < _MATRIX], "weight_decay": 0.0},
    ]
    return torch.optim.SGD(
        [group for group in groups if group["params"]],
        lr=training.lr,
        momentum=training.momentum,
        nesterov=training.nesterov,
    )


def l1_penalty(module: nn.Module) -> Tensor:
    """Return the sum of the absolute values of *module*'s weight matrices and kernels."""
    weights = [p.abs().sum() for p in module.parameters() if p.ndim >= _MATRIX]
    return torch.stack(weights).sum() if weights else torch.zeros(())


def _steps(
    module: nn.Module, loss: Loss, batches: Batches, run: Run, *, optimizer: torch.optim.SGD, start: int
) -> None:
    """Run the steps from *start* to the end, saving on the way and after the last.

    Each step seeds what the network's layers draw, and the caller's random state comes back at the end.
    """
    training = batches.training
    schedule = SCHEDULES[training.schedule](batches.steps, training.warmup)
    saved = time.monotonic()
    with run.progress.step(run.name, batches.steps) as bar, torch.random.fork_rng(devices=[]):
        for step in range(start, batches.steps):
            for group in optimizer.param_groups:
                group["lr"] = training.lr * schedule(step)
            images, labels = batches.batch(step)
            torch.manual_seed(batches.layer_seed(step))
            value = loss(images.contiguous(memory_format=torch.channels_last), labels)
            if training.l1:
                value = value + training.l1 * l1_penalty(module)
            optimizer.zero_grad(set_to_none=True)
            value.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            _demand_finite(value, run.name, step)
            bar.advance(step + 1, f"loss {value.item():.3f}")
            if time.monotonic() - saved > run.save_every_s or step + 1 == batches.steps:
                save_checkpoint(run.checkpoint, module, optimizer, step + 1)
                saved = time.monotonic()


def _demand_finite(value: Tensor, name: str, step: int) -> None:
    """Raise StageError when the loss left the numbers: going on would only spread it."""
    if not torch.isfinite(value):
        message = f"{name}: the loss became {value.item()} at step {step}; lower {name}.lr."
        raise StageError(message)
