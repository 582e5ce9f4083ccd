"""What a network answers on a split, without training it."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from edgekd.core.errors import ConfigError
from edgekd.networks.answer import examples, logits_from, outputs_of
from edgekd.tasks.task import Arrays, Split, Task
from edgekd.train.distributed import World, gathered

BATCH = 250


def logits_of(module: nn.Module, task: Task, split: Split, *, world: World | None = None) -> Tensor:
    """Return the logits (n, classes) of *module*, in evaluation mode, for every sample of *split*, on the CPU.

    In a distributed run each process answers for its own part, and all get the whole.
    """
    world = world or World()
    module.eval()
    device = next((tensor.device for tensor in module.parameters()), torch.device("cpu"))
    with torch.no_grad():
        parts = [logits_from(module, _tensors(arrays, device)) for arrays in _share(task, split, world)]
        mine = torch.cat(parts) if parts else torch.zeros(0, len(task.labels), device=device)
        return gathered(mine, world).cpu()


def every_output(module: nn.Module, task: Task, split: Split) -> tuple[Tensor, ...]:
    """Return all outputs (n, ...) of *module*, in evaluation mode, for every sample of *split*."""
    module.eval()
    with torch.no_grad():
        parts = [outputs_of(module, _tensors(arrays, torch.device("cpu"))) for arrays in task.batches(split)]
    return tuple(torch.cat(outputs) for outputs in zip(*parts, strict=True))


def accuracy_of(module: nn.Module, task: Task, split: Split, *, world: World | None = None) -> float:
    """Return the part of *split* (0 to 1) whose largest logit is the label's."""
    right = logits_of(module, task, split, world=world).argmax(1) == torch.from_numpy(split.targets)
    return right.double().mean().item()


def answer_shapes(module: nn.Module, task: Task) -> tuple[tuple[int, ...], ...]:
    """Return the shape of each of *module*'s answers to one sample of *task*, without the batch.

    Raises ConfigError with the module's own words where it cannot take the inputs, or gives no tensors.
    """
    name = type(module).__name__
    module.eval()
    try:
        with torch.no_grad():
            answers = outputs_of(module, examples(task.shapes, batch=1))
    except ConfigError:
        raise
    except Exception as error:  # a user's forward can raise anything
        shapes = " and ".join(str(shape) for shape in task.shapes)
        message = f"{name}: cannot take the task's input of shape {shapes}: {type(error).__name__}: {error}."
        raise ConfigError(message) from error
    return tuple(tuple(answer.shape[1:]) for answer in answers)


def _share(task: Task, split: Split, world: World) -> Iterator[Arrays]:
    """Yield this process's part of *split* in batches: the parts of all, in the order of ranks, are the whole."""
    mine = np.array_split(np.arange(len(split)), world.size)[world.rank]
    for start in range(0, len(mine), BATCH):
        chosen = mine[start : start + BATCH]
        yield task.read(split, slice(int(chosen[0]), int(chosen[-1]) + 1))


def _tensors(arrays: Arrays, device: torch.device) -> tuple[Tensor, ...]:
    """Return *arrays* as tensors on *device*."""
    return tuple(torch.from_numpy(array).to(device) for array in arrays)
