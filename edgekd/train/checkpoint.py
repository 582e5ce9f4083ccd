"""The state of a training run on disk, so that a killed run continues with the very next step."""

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from edgekd.core.disk import write_atomically

_MODEL, _MOMENTUM = "model/", "momentum/"


def save_checkpoint(path: Path, module: nn.Module, optimizer: torch.optim.SGD, step: int) -> None:
    """Write *module*'s tensors, the momentum of each parameter and the number of steps done, atomically."""
    tensors = {_MODEL + name: tensor for name, tensor in module.state_dict().items()}
    for name, parameter in module.named_parameters():
        momentum = optimizer.state[parameter].get("momentum_buffer")
        if momentum is not None:
            tensors[_MOMENTUM + name] = momentum
    flat = {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}
    write_atomically(path, save(flat, metadata={"step": str(step)}))


def load_checkpoint(path: Path, module: nn.Module, optimizer: torch.optim.SGD) -> int | None:
    """Put the saved state into *module* and *optimizer* and return the steps done.

    Returns None where there is no checkpoint, or one that is damaged or of another network: then nothing
    was changed, and the caller says that it starts again.
    """
    tensors, step = _read(path)
    expected = {_MODEL + name: tensor.shape for name, tensor in module.state_dict().items()}
    found = {name: tensor.shape for name, tensor in tensors.items() if name.startswith(_MODEL)}
    if step is None or expected != found:
        return None
    module.load_state_dict({name.removeprefix(_MODEL): tensors[name] for name in expected})
    for name, parameter in module.named_parameters():
        momentum = tensors.get(_MOMENTUM + name)
        if momentum is not None:
            optimizer.state[parameter]["momentum_buffer"] = torch.empty_like(parameter).copy_(momentum)
    return step


def _read(path: Path) -> tuple[dict[str, Tensor], int | None]:
    """Return the tensors and the step count in a checkpoint, or nothing and None."""
    if not path.is_file():
        return {}, None
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            return {name: file.get_tensor(name) for name in file.keys()}, int(metadata["step"])  # noqa: SIM118
    except (SafetensorError, KeyError, ValueError):
        return {}, None
