"""The optimizers by name, and which tensors weight decay and L1 act on."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

import torch
from torch import Tensor, nn

from edgekd.train.batches import Batch
from edgekd.train.training import OptimizerName, Training

_LAYERS: Final = (
    nn.Linear,
    nn.Bilinear,
    nn.modules.conv._ConvNd,  # noqa: SLF001 - torch has no public name for "any convolution"
    nn.RNNBase,
    nn.RNNCellBase,
)
_NORMS: Final = (
    nn.modules.batchnorm._NormBase,  # noqa: SLF001 - nor for "any batch or instance norm"
    nn.GroupNorm,
    nn.LayerNorm,
    nn.RMSNorm,
)


def optimizer_of(module: nn.Module, training: Training) -> torch.optim.Optimizer:
    """Return the optimizer that *training* names over *module*'s parameters, weight decay off where it must be."""
    decayed, spared = split_parameters(module)
    groups = [
        {"params": [parameter for _, parameter in decayed], "weight_decay": training.weight_decay},
        {"params": [parameter for _, parameter in spared], "weight_decay": 0.0},
    ]
    return OPTIMIZERS[training.optimizer]([group for group in groups if group["params"]], training)


def split_parameters(module: nn.Module) -> tuple[list[tuple[str, nn.Parameter]], list[tuple[str, nn.Parameter]]]:
    """Return the trained parameters that are decayed (matrices and kernels), and the others, both by name.

    Spared are those of norms, and of any kind of module those with at most one dimension above 1: biases, learned
    scales, class tokens. The weight of a linear layer, a convolution or a recurrent layer is never taken for one of
    these. A tensor that several layers share comes once, decayed where one of them says so.
    """
    decayed: list[tuple[str, nn.Parameter]] = []
    spared: list[tuple[str, nn.Parameter]] = []
    for path, layer in module.named_modules():
        for name, parameter in layer.named_parameters(recurse=False):
            if not parameter.requires_grad:
                continue
            is_kernel = isinstance(layer, _LAYERS) and name.startswith("weight")
            is_vector = parameter.numel() == max(parameter.shape, default=1)
            kept = is_kernel or not (isinstance(layer, _NORMS) or is_vector)
            (decayed if kept else spared).append((f"{path}.{name}".lstrip("."), parameter))
    are_decayed = {id(parameter) for _, parameter in decayed}
    return _once(decayed), _once([entry for entry in spared if id(entry[1]) not in are_decayed])


def l1_penalty(module: nn.Module) -> Tensor:
    """Return the sum of the absolute values of *module*'s decayed parameters."""
    sums = [parameter.abs().sum() for _, parameter in split_parameters(module)[0]]
    return torch.stack(sums).sum() if sums else torch.zeros(())


class Penalized(nn.Module):
    """An objective with ``l1 * sum(|w|)`` added: inside the forward, where DistributedDataParallel sees every use."""

    def __init__(self, objective: nn.Module, l1: float) -> None:
        """Add the penalty of *objective*'s own parameters to what it returns."""
        super().__init__()
        self.objective = objective
        self._l1 = l1

    def forward(self, batch: Batch) -> Tensor:
        """Return the loss of *batch* with the penalty, a scalar."""
        loss: Tensor = self.objective(batch) + self._l1 * l1_penalty(self.objective)
        return loss


def _once(parameters: list[tuple[str, nn.Parameter]]) -> list[tuple[str, nn.Parameter]]:
    """Return *parameters* with a shared tensor under its first name only."""
    return list({id(parameter): (name, parameter) for name, parameter in reversed(parameters)}.values())[::-1]


def _sgd(groups: list[dict[str, Any]], training: Training) -> torch.optim.Optimizer:
    return torch.optim.SGD(groups, lr=training.lr, momentum=training.momentum, nesterov=training.nesterov)


def _adam(groups: list[dict[str, Any]], training: Training) -> torch.optim.Optimizer:
    return torch.optim.Adam(groups, lr=training.lr, betas=(training.momentum, 0.999))


def _adamw(groups: list[dict[str, Any]], training: Training) -> torch.optim.Optimizer:
    return torch.optim.AdamW(groups, lr=training.lr, betas=(training.momentum, 0.999))


OPTIMIZERS: Final[Mapping[OptimizerName, Callable[[list[dict[str, Any]], Training], torch.optim.Optimizer]]] = (
    MappingProxyType({"sgd": _sgd, "adam": _adam, "adamw": _adamw})
)
