"""The hint loss: a student's features made to look like the teacher's through a learned adapter."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, Literal

import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn

from edgekd.core.errors import ConfigError
from edgekd.distill.inputs import single, target

Kind = Literal["vector", "sequence", "map", "tokens"]
Adapter = nn.Linear | nn.Conv1d | nn.Conv2d

_KINDS: Final[Mapping[int, Kind]] = MappingProxyType({2: "vector", 3: "sequence", 4: "map"})
_TOKEN_DIMENSIONS: Final = 3


def feature_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the mean squared difference of two features of equal shape (FitNets, Romero et al. 2015).

    The mean goes over every entry and the batch. Raises ConfigError for shapes that differ.
    """
    if student.shape != teacher.shape:
        message = (
            f"features: the student's are {tuple(student.shape)} and the teacher's {tuple(teacher.shape)}; "
            "expected equal shapes; FeatureMatcher bridges two widths."
        )
        raise ConfigError(message)
    return F.mse_loss(single(student), target(teacher))


class FeatureMatcher(nn.Module):
    """The hint loss between two features, with a learned linear adapter from the student's width.

    The adapter is trained with the student and left behind when the student is saved. It is there even for equal
    widths, since channels have no common order. By the shape of the features:

    (batch, channels, height, width)   a 1x1 convolution, after both are pooled to the smaller height and width
    (batch, channels, length)          a 1-D convolution of width 1, after both are pooled to the smaller length
    (batch, channels)                  a linear layer
    (batch, tokens, channels)          a linear layer, with *tokens* true: the shape alone does not tell this
                                       from the second. Tokens are not pooled (a class token has no neighbours),
                                       so there must be as many in both.
    """

    def __init__(self, student_shape: Sequence[int], teacher_shape: Sequence[int], *, tokens: bool = False) -> None:
        """Build the adapter for features of these shapes, batch first; ConfigError where they do not compare."""
        super().__init__()
        self.kind = _kind(tuple(student_shape), tuple(teacher_shape), tokens=tokens)
        place = -1 if tokens else 1
        self.adapter: Adapter = _ADAPTERS[self.kind](student_shape[place], teacher_shape[place])

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Return the loss; the sizes may differ from those of the examples, the widths may not."""
        pool = _POOLS.get(self.kind)
        mine, theirs = single(student), target(teacher)
        if pool is not None:
            size = [min(pair) for pair in zip(mine.shape[2:], theirs.shape[2:], strict=True)]
            mine, theirs = pool(mine, size), pool(theirs, size)
        return feature_loss(self.adapter(mine), theirs)


def _kind(student: tuple[int, ...], teacher: tuple[int, ...], *, tokens: bool) -> Kind:
    """Return what both shapes are, or raise ConfigError."""
    if tokens and len(student) == len(teacher) == _TOKEN_DIMENSIONS and student[1] == teacher[1]:
        return "tokens"
    if not tokens and len(student) == len(teacher) and len(student) in _KINDS:
        return _KINDS[len(student)]
    expected = (
        "(batch, tokens, channels) with as many tokens" if tokens else "(batch, channels[, length | height, width])"
    )
    message = f"features: the student's are {student} and the teacher's {teacher}; expected {expected} in both."
    raise ConfigError(message)


def _pool_sequence(features: Tensor, size: Sequence[int]) -> Tensor:
    """Return *features* (batch, channels, length) averaged down to *size*."""
    return F.adaptive_avg_pool1d(features, size[0])


def _pool_map(features: Tensor, size: Sequence[int]) -> Tensor:
    """Return *features* (batch, channels, height, width) averaged down to *size*."""
    return F.adaptive_avg_pool2d(features, (size[0], size[1]))


_ADAPTERS: Final[Mapping[Kind, Callable[[int, int], Adapter]]] = MappingProxyType(
    {
        "vector": lambda mine, theirs: nn.Linear(mine, theirs, bias=False),
        "sequence": lambda mine, theirs: nn.Conv1d(mine, theirs, 1, bias=False),
        "map": lambda mine, theirs: nn.Conv2d(mine, theirs, 1, bias=False),
        "tokens": lambda mine, theirs: nn.Linear(mine, theirs, bias=False),
    }
)

_POOLS: Final[Mapping[Kind, Callable[[Tensor, Sequence[int]], Tensor]]] = MappingProxyType(
    {"sequence": _pool_sequence, "map": _pool_map}
)
