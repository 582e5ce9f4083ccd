"""The training loop: every stage that changes weights runs this one."""

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import MappingProxyType
from typing import Final

import msgspec
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from edgekd.core.errors import ConfigError
from edgekd.core.progress import Progress
from edgekd.train.averages import Averages, put
from edgekd.train.batches import Batch, Batches
from edgekd.train.checkpoint import load_checkpoint, save_checkpoint
from edgekd.train.device import Precision
from edgekd.train.distributed import averaged, data_parallel
from edgekd.train.optimizers import Penalized, optimizer_of
from edgekd.train.schedule import Schedule, ScheduleName, cosine, one_cycle, stepwise
from edgekd.train.state import Best, State
from edgekd.train.training import Training

SCHEDULES: Final[Mapping[ScheduleName, Callable[[Training, int], Schedule]]] = MappingProxyType(
    {
        "cosine": lambda training, steps: cosine(steps, training.warmup),
        "one-cycle": lambda training, steps: one_cycle(steps, training.warmup),
        "step": lambda training, steps: stepwise(
            steps, training.warmup, milestones=training.milestones, gamma=training.gamma
        ),
    }
)


SAVING_PAUSE: Final = 50
"""At one second between saves, a state is saved again after so many times what it took to save it: 2 % of the time."""


class Run(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Where a training runs, reports and saves.

    *judge* gives the validation accuracy of the network that is trained; ``patience`` needs it. *observe* is told
    every step and its loss, over all processes.
    """

    name: str
    progress: Progress
    checkpoint: Path
    device: torch.device = torch.device("cpu")
    save_every_s: float = 1.0
    judge: Callable[[], float] | None = None
    observe: Callable[[int, float], None] | None = None


def fit(objective: nn.Module, batches: Batches, run: Run) -> None:
    """Change *objective*'s parameters in place to make what it returns small; ends in evaluation mode.

    ``objective(batch) -> loss`` is a module that holds the network to train, and whatever is trained beside it.
    Continues from the run's checkpoint where there is one; the weights at the end are the same, bit for bit,
    however often the run was cut. Raises ConfigError when the loss is no longer a finite number; the last good state
    stays in the checkpoint.
    """
    training = batches.training
    if training.patience and run.judge is None:
        message = f"{run.name}: patience = {training.patience} without a judge; nothing says which epoch is the best"
        raise ValueError(message)
    objective.to(run.device)
    objective.train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    state = State(
        module=objective,
        optimizer=optimizer_of(objective, training),
        averages=Averages(objective, training, steps=batches.steps),
        best=Best(),
        precision=Precision(run.device),
    )
    start = state.restore(load_checkpoint(run.checkpoint))
    if start is not None:
        run.progress.say(f"{run.name}: continues from step {start} of {batches.steps}")
    elif run.checkpoint.exists():
        run.progress.say(f"{run.name}: {run.checkpoint.name} is damaged or of another network; starts again")
    penalized = Penalized(objective, training.l1) if training.l1 else objective
    idle = batches.world.size > 1 and has_idle_parameters(penalized, batches.batch(0).to(run.device))
    with data_parallel(penalized, batches.world, has_idle_parameters=idle) as parallel:
        _steps(parallel, state, batches, run, start=start or 0)
    state.averages.apply()
    put(objective, state.best.tensors)
    objective.eval().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]


def has_idle_parameters(objective: nn.Module, batch: Batch) -> bool:
    """Tell whether some parameter of *objective* gets no gradient from *batch*: processes must know before they wait.

    The trial runs in evaluation mode, so that no statistics move, and leaves no gradients.
    """
    modes = {module: module.training for module in objective.modules()}
    objective.eval()
    with torch.random.fork_rng(devices=_devices(batch.labels.device)):
        objective(batch).backward()
    found = any(parameter.requires_grad and parameter.grad is None for parameter in objective.parameters())
    objective.zero_grad(set_to_none=True)
    for module, mode in modes.items():
        module.training = mode
    return found


def _steps(parallel: nn.Module, state: State, batches: Batches, run: Run, *, start: int) -> None:
    """Run the steps from *start* to the end, saving on the way and after the last.

    Each step seeds what the network's layers draw, and the caller's random state comes back at the end.
    """
    training = batches.training
    schedule = SCHEDULES[training.schedule](training, batches.steps)
    due = time.monotonic() + run.save_every_s
    with run.progress.step(run.name, batches.steps) as bar, torch.random.fork_rng(devices=_devices(run.device)):
        for step in range(start, batches.steps):
            if 0 < training.patience <= state.best.epochs_ago:
                break
            rate = training.lr * schedule(step)
            for group in state.optimizer.param_groups:
                group["lr"] = rate
            torch.manual_seed(batches.layer_seed(step))
            loss = _gradients(parallel, state, batches.batch(step).to(run.device), training)
            loss = averaged(loss, batches.world)
            _demand_finite(loss, run, step, rate)
            state.precision.step(state.optimizer, training.clip_norm)
            state.averages.update(step)
            _report(bar.advance, run, step, loss.item())
            if (step + 1) % batches.steps_per_epoch == 0:
                _judge(state, training, run)
            if step + 1 == batches.steps or (batches.world.is_writer and time.monotonic() > due):
                _demand_finite_weights(state, run, step, rate)
                due = _saved(state, run, step, is_writer=batches.world.is_writer)


def _saved(state: State, run: Run, step: int, *, is_writer: bool) -> float:
    """Save the state after *step*, in the process that writes, and return when to save again.

    Large networks take long to save: the pause grows with that, so that saving stays a small part of the time.
    """
    began = time.monotonic()
    if is_writer:
        save_checkpoint(run.checkpoint, state.tensors(step + 1))
    ended = time.monotonic()
    return ended + run.save_every_s * max(1.0, SAVING_PAUSE * (ended - began))


def _gradients(parallel: nn.Module, state: State, batch: Batch, training: Training) -> Tensor:
    """Return the loss of *batch* after adding up the gradients of its parts, from zero."""
    state.optimizer.zero_grad(set_to_none=True)
    parts = batch.cut(training.accumulate)
    total = torch.zeros((), device=batch.labels.device)
    for position, part in enumerate(parts):
        with _sharing(parallel, is_last=position + 1 == len(parts)):
            with state.precision.autocast():
                loss: Tensor = parallel(part) / len(parts)
            state.precision.backward(loss)
        total += loss.detach()
    return total


def _sharing(parallel: nn.Module, *, is_last: bool) -> AbstractContextManager[None]:
    """Give the block of one part of a step: processes share their gradients after the last one only."""
    if isinstance(parallel, DistributedDataParallel) and not is_last:
        return parallel.no_sync()
    return nullcontext()


def _judge(state: State, training: Training, run: Run) -> None:
    """After an epoch, remember the weights if they are the best so far on validation data."""
    if run.judge is None or not training.patience:
        return
    with state.averages.in_place():
        score = run.judge()
        state.module.train()
        if score > state.best.score:
            state.best.score, state.best.epochs_ago = score, 0
            state.best.tensors = {name: tensor.clone() for name, tensor in state.module.state_dict().items()}
        else:
            state.best.epochs_ago += 1


def _report(advance: Callable[[int, str], None], run: Run, step: int, loss: float) -> None:
    """Tell everyone who wants to know how the step went."""
    advance(step + 1, f"loss {loss:.3f}")
    if run.observe is not None:
        run.observe(step, loss)


def _demand_finite(loss: Tensor, run: Run, step: int, rate: float) -> None:
    """Raise ConfigError when the loss left the numbers, before it reaches the weights."""
    if not torch.isfinite(loss):
        raise ConfigError(_diverged(f"the loss became {loss.item()}", run, step, rate))


def _demand_finite_weights(state: State, run: Run, step: int, rate: float) -> None:
    """Raise ConfigError when a finite loss left weights that are none, before they reach the checkpoint."""
    trained = [weight for group in state.optimizer.param_groups for weight in group["params"]]
    moments = [value for weight in trained for value in state.optimizer.state.get(weight, {}).values()]
    tensors = [value for value in (*trained, *moments) if isinstance(value, Tensor)]
    if not all(torch.isfinite(tensor).all() for tensor in tensors):
        raise ConfigError(_diverged("the weights became NaN or infinite", run, step, rate))


def _diverged(what: str, run: Run, step: int, rate: float) -> str:
    """Return what is said of a training that left the numbers."""
    kept = f"The last good state is kept in {run.checkpoint}." if run.checkpoint.exists() else "Nothing was saved yet."
    return (
        f"{run.name}: {what} at step {step}, where the learning rate was {rate:.3g}; "
        f"lower {run.name}.lr or set {run.name}.clip_norm. {kept}"
    )


def _devices(device: torch.device) -> list[torch.device]:
    """Return the GPUs whose random state is the caller's."""
    return [device] if device.type == "cuda" else []
