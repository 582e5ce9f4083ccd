"""Named tensors on disk, so that a killed run continues with the very next step."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from safetensors.torch import load, save
from torch import Tensor

from edgekd.core.digest import bytes_digest
from edgekd.core.disk import write_atomically

DIGEST_LENGTH: Final = 64


def save_checkpoint(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write *tensors* atomically: the SHA-256 of all that follows, in hexadecimal, and a safetensors file."""
    payload = save({name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()})
    write_atomically(path, bytes_digest(payload).encode() + payload)


def load_checkpoint(path: Path) -> dict[str, Tensor]:
    """Return the tensors in a checkpoint; none where there is no file, or one that is not as it was written."""
    if not path.is_file():
        return {}
    content = path.read_bytes()
    digest, payload = content[:DIGEST_LENGTH], content[DIGEST_LENGTH:]
    return load(payload) if bytes_digest(payload).encode() == digest else {}
