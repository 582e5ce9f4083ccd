"""The operands of a node: which are there, what a constant says, and refusing a form that is not known."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor

Attributes = Mapping[str, Any]
Inputs = Sequence[Tensor | None]
Operator = Callable[[Inputs, Attributes], Tensor]


class UnknownFormError(Exception):
    """What a node asks for has no form here; the message says what."""


def refuse(unknown: object, what: str) -> None:
    """Raise where a node has an *unknown* form."""
    if unknown:
        message = f"{what} cannot be simulated"
        raise UnknownFormError(message)


def given(inputs: Inputs, position: int) -> Tensor:
    """Return an input that the operator cannot do without; the exporter's checker has seen to it."""
    tensor = inputs[position]
    assert tensor is not None  # noqa: S101 - a graph without it is not valid ONNX
    return tensor


def optional(inputs: Inputs, position: int) -> Tensor | None:
    """Return an input that may be absent."""
    return inputs[position] if position < len(inputs) else None


def numbers(tensor: Tensor) -> list[int]:
    """Return the numbers in a constant input."""
    return [int(number) for number in tensor.tolist()]


def for_torch(pads: Sequence[tuple[int, int]]) -> list[int]:
    """Return (before, after) of each dimension in torch's order: the last dimension first."""
    return [size for pair in reversed(pads) for size in pair]
