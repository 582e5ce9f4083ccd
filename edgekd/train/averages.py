"""Weights averaged over the steps of a training: often better than the last ones."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import torch
from torch import Tensor, nn

from edgekd.train.training import Training

WARM_UP: Final = 10
"""An exponential average forgets faster while it is young: its decay is at most ``(1 + n) / (10 + n)``."""


class Averages:
    """The averages of a module's floating-point tensors (running statistics too), and how many steps are in them."""

    def __init__(self, module: nn.Module, training: Training, *, steps: int) -> None:
        """Begin with no step; ``mean`` begins after the part ``average_from`` of all *steps*."""
        self._module = module
        self._training = training
        self._first = int(steps * training.average_from) if training.averaging == "mean" else 0
        self.count = 0
        self.tensors: dict[str, Tensor] = {}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the module's tensors after *step*; nothing where *training* asks for no average."""
        if self._training.averaging == "none" or step < self._first:
            return
        self.count += 1
        weight = 1 / self.count if self._training.averaging == "mean" else 1 - self._decay()
        for name, tensor in _floats(self._module).items():
            if name in self.tensors:
                self.tensors[name].lerp_(tensor, weight)
            else:
                self.tensors[name] = tensor.clone()

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Put the averages into the module for a while, and the module's own tensors back after."""
        own = {name: tensor.clone() for name, tensor in _floats(self._module).items()}
        self.apply()
        try:
            yield
        finally:
            put(self._module, own)

    def apply(self) -> None:
        """Put the averages into the module for good; nothing where no step was taken in."""
        put(self._module, self.tensors)

    def _decay(self) -> float:
        """Return what the average keeps of itself now."""
        return min(self._training.ema_decay, self.count / (WARM_UP - 1 + self.count))


@torch.no_grad()
def put(module: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Copy *tensors* into those of *module* that have their names."""
    own = module.state_dict()
    for name, tensor in tensors.items():
        own[name].copy_(tensor)


def _floats(module: nn.Module) -> dict[str, Tensor]:
    """Return the tensors of *module* that can be averaged, by name; not copies."""
    return {name: tensor for name, tensor in module.state_dict().items() if tensor.is_floating_point()}
