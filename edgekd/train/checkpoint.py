"""The state of a training run on disk, so that a killed run continues with the very next step."""

from pathlib import Path
from typing import Final

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from edgekd.core.digest import bytes_digest
from edgekd.core.disk import write_atomically

_MODEL, _MOMENTUM = "model/", "momentum/"
_STEP = "step"
DIGEST_LENGTH: Final = 64


def save_checkpoint(path: Path, module: nn.Module, optimizer: torch.optim.SGD, step: int) -> None:
    """Write *module*'s tensors, the momentum of each parameter and the number of steps done, atomically.

    The file is the SHA-256 of all that follows, in hexadecimal, and a safetensors file.
    """
    tensors = {_MODEL + name: tensor for name, tensor in module.state_dict().items()}
    for name, parameter in module.named_parameters():
        momentum = optimizer.state[parameter].get("momentum_buffer")
        if momentum is not None:
            tensors[_MOMENTUM + name] = momentum
    flat = {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}
    payload = save(flat | {_STEP: torch.tensor(step)})
    write_atomically(path, bytes_digest(payload).encode() + payload)


def load_checkpoint(path: Path, module: nn.Module, optimizer: torch.optim.SGD) -> int | None:
    """Put the saved state into *module* and *optimizer* and return the steps done.

    Returns None where there is no checkpoint, or one that is damaged or of another network: then nothing
    was changed, and the caller says that it starts again.
    """
    tensors = _read(path)
    expected = {_MODEL + name: tensor.shape for name, tensor in module.state_dict().items()}
    found = {name: tensor.shape for name, tensor in tensors.items() if name.startswith(_MODEL)}
    if _STEP not in tensors or expected != found:
        return None
    module.load_state_dict({name.removeprefix(_MODEL): tensors[name] for name in expected})
    for name, parameter in module.named_parameters():
        momentum = tensors.get(_MOMENTUM + name)
        if momentum is not None:
            optimizer.state[parameter]["momentum_buffer"] = torch.empty_like(parameter).copy_(momentum)
    return int(tensors[_STEP])


def _read(path: Path) -> dict[str, Tensor]:
    """Return the tensors in a checkpoint; none where there is no file, or one that is not as it was written."""
    if not path.is_file():
        return {}
    content = path.read_bytes()
    digest, payload = content[:DIGEST_LENGTH], content[DIGEST_LENGTH:]
    return load(payload) if bytes_digest(payload).encode() == digest else {}
