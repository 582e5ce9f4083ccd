"""What a network answers on a split, without training it."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from edgekd.core.errors import ConfigError
from edgekd.tasks.task import Split, Task

BATCH = 250


def logits_of(module: nn.Module, task: Task, split: Split) -> Tensor:
    """Return the logits (n, classes) of *module*, in evaluation mode, for every image of *split*."""
    module.eval()
    with torch.no_grad():
        return torch.cat([module(images) for images in _images(task, split)])


def accuracy_of(module: nn.Module, task: Task, split: Split) -> float:
    """Return the part of *split* (0 to 1) whose largest logit is the label's."""
    right = logits_of(module, task, split).argmax(1) == torch.from_numpy(split.labels)
    return right.double().mean().item()


def answer_shape(module: nn.Module, task: Task) -> tuple[int, ...]:
    """Return the shape of *module*'s answer to one input of *task*, without the batch.

    Raises ConfigError with the module's own words where it cannot take the input, or gives no tensor.
    """
    name = type(module).__name__
    module.eval()
    try:
        with torch.no_grad():
            answer = module(torch.zeros(1, *task.input_shape))
    except Exception as error:  # a user's forward can raise anything
        message = f"{name}: cannot take the task's input of shape {task.input_shape}: {type(error).__name__}: {error}."
        raise ConfigError(message) from error
    if not isinstance(answer, Tensor):
        message = f"{name}: answers with {type(answer).__name__}; expected one tensor of logits."
        raise ConfigError(message)
    return tuple(answer.shape[1:])


def _images(task: Task, split: Split) -> Iterator[Tensor]:
    """Yield normalized images in batches, in their order."""
    for start in range(0, len(split), BATCH):
        yield torch.from_numpy(task.normalize(split.images[start : start + BATCH]))
