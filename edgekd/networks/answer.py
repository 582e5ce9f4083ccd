"""What a network answers: one tensor, or several in the order of the task's outputs."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from edgekd.core.errors import ConfigError

Shapes = tuple[tuple[int, ...], ...]


def outputs_of(module: nn.Module, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Return the outputs of *module* for *inputs*, given as its positional arguments.

    A tensor is one output; a tuple, a list or a mapping holds several, in its order. Raises ConfigError for
    anything else.
    """
    return as_outputs(module(*inputs), type(module).__name__)


def logits_from(module: nn.Module, inputs: Sequence[Tensor]) -> Tensor:
    """Return the first output of *module*: the logits (batch, classes)."""
    return outputs_of(module, inputs)[0]


def as_outputs(answer: Any, name: str) -> tuple[Tensor, ...]:  # noqa: ANN401 - a user's network answers as it likes
    """Return the tensors in *answer* of the network *name*."""
    values: Sequence[Any] = (answer,)
    if isinstance(answer, Mapping):
        values = tuple(answer.values())
    elif isinstance(answer, tuple | list):
        values = tuple(answer)
    if not values or not all(isinstance(value, Tensor) for value in values):
        kinds = ", ".join(type(value).__name__ for value in values) or "nothing"
        message = f"{name}: answers with {kinds}; expected a tensor, or several in a tuple, a list or a mapping."
        raise ConfigError(message)
    return tuple(values)


def examples(shapes: Shapes, *, batch: int) -> tuple[Tensor, ...]:
    """Return zeros (batch, ...) for each of *shapes* (without the batch)."""
    return tuple(torch.zeros(batch, *shape) for shape in shapes)
