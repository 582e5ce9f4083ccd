"""Everything a training has come to: what is saved so that a cut run ends with the bits of one that was not."""

from collections.abc import Mapping
from typing import Final

import msgspec
import torch
from torch import Tensor, nn

from edgekd.train.averages import Averages
from edgekd.train.device import Precision

_MODEL, _OPTIMIZER, _AVERAGE, _BEST = "model/", "optimizer/", "average/", "best/"
_COUNTERS: Final = "counters"


class Best(msgspec.Struct, kw_only=True, eq=False):
    """The best epoch so far, by validation accuracy, and how many epochs ago it was."""

    score: float = -1.0
    epochs_ago: int = 0
    tensors: dict[str, Tensor] = {}


class State(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """The parts of a training that change: they are changed in place."""

    module: nn.Module
    optimizer: torch.optim.Optimizer
    averages: Averages
    best: Best
    precision: Precision

    def tensors(self, step: int) -> dict[str, Tensor]:
        """Return all of it by name, after *step* steps."""
        counters = [float(step), float(self.averages.count), self.best.score, float(self.best.epochs_ago)]
        found = {_COUNTERS: torch.tensor([*counters, *self.precision.scale_state()], dtype=torch.float64)}
        found |= {_MODEL + name: tensor for name, tensor in self.module.state_dict().items()}
        found |= {_AVERAGE + name: tensor for name, tensor in self.averages.tensors.items()}
        found |= {_BEST + name: tensor for name, tensor in self.best.tensors.items()}
        for name, parameter in self.module.named_parameters():
            for key, value in self.optimizer.state.get(parameter, {}).items():
                if isinstance(value, Tensor):
                    found[f"{_OPTIMIZER}{name}/{key}"] = value
        return found

    def restore(self, tensors: Mapping[str, Tensor]) -> int | None:
        """Take the state in *tensors* and return the steps done; None, and no change, where it is of another module."""
        expected = {_MODEL + name: tensor.shape for name, tensor in self.module.state_dict().items()}
        found = {name: tensor.shape for name, tensor in tensors.items() if name.startswith(_MODEL)}
        if _COUNTERS not in tensors or expected != found:
            return None
        self.module.load_state_dict(_under(_MODEL, tensors))
        parameters = dict(self.module.named_parameters())
        for path, value in _under(_OPTIMIZER, tensors).items():
            name, _, key = path.rpartition("/")
            state = self.optimizer.state[parameters[name]]
            like = parameters[name] if value.shape == parameters[name].shape else value
            state[key] = torch.empty_like(like, dtype=value.dtype).copy_(value)
        step, count, score, ago, *scale = tensors[_COUNTERS].tolist()
        self.averages.count = int(count)
        self.averages.tensors = _like(self.module, _under(_AVERAGE, tensors))
        self.best.score, self.best.epochs_ago = score, int(ago)
        self.best.tensors = _like(self.module, _under(_BEST, tensors))
        self.precision.restore_scale(scale)
        return int(step)


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose name begins with *prefix*, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _like(module: nn.Module, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return *tensors* on the device and in the memory layout of the module's own."""
    own = module.state_dict()
    return {name: torch.empty_like(own[name]).copy_(tensor) for name, tensor in tensors.items()}
