"""Feature maps taken from inside a network by hooks, without a change to the user's class."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn

from edgekd.core.errors import ConfigError
from edgekd.core.strict import suggestion
from edgekd.distill.losses import feature_loss


@contextmanager
def tap(module: nn.Module, path: str) -> Iterator[list[Tensor]]:
    """Give a list that holds, after each forward pass, the output of the submodule *path*.

    Raises ConfigError with the nearest name for a path that does not exist.
    """
    modules = dict(module.named_modules())
    if path not in modules:
        hint = suggestion(path, filter(None, modules))
        message = f"feature path '{path}': {type(module).__name__} has no such module; {hint}"
        raise ConfigError(message)
    seen: list[Tensor] = []

    def remember(_module: nn.Module, _inputs: object, output: Tensor) -> None:
        seen[:] = [output]

    handle = modules[path].register_forward_hook(remember)
    try:
        yield seen
    finally:
        handle.remove()


class FeatureMatcher(nn.Module):
    """The hint loss between two feature maps, with a learned 1x1 adapter from the student's width.

    The adapter is trained with the student and left behind when the student is saved.
    """

    def __init__(self, student_channels: int, teacher_channels: int) -> None:
        """Build the adapter; it is there even for equal widths, since channels have no common order."""
        super().__init__()
        self.adapter = nn.Conv2d(student_channels, teacher_channels, 1, bias=False)

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Return the loss between two maps (batch, channels, height, width), pooled to the smaller size."""
        size = (min(student.shape[2], teacher.shape[2]), min(student.shape[3], teacher.shape[3]))
        adapted = self.adapter(F.adaptive_avg_pool2d(student, size))
        return feature_loss(adapted, F.adaptive_avg_pool2d(teacher, size))


def channels_at(module: nn.Module, path: str, example: Tensor) -> int:
    """Return the channels of the feature map at *path*; ConfigError where its output is no feature map."""
    module.eval()
    with tap(module, path) as seen, torch.no_grad():
        module(example)
    if not seen or seen[0].ndim != example.ndim:
        shape = tuple(seen[0].shape) if seen else "nothing"
        message = f"feature path '{path}': gives {shape}; expected (batch, channels, height, width)."
        raise ConfigError(message)
    return int(seen[0].shape[1])
