"""A network that needs no pickle: a factory's import string, its arguments, edits and a safetensors file."""

from collections.abc import Mapping
from pathlib import Path

import msgspec
import torch
from safetensors.torch import save
from torch import nn

from edgekd.core.disk import write_atomically
from edgekd.core.errors import ConfigError
from edgekd.core.importing import user_code
from edgekd.core.strict import convert
from edgekd.networks.catalog import Argument
from edgekd.networks.edits import Edit, apply_edits
from edgekd.networks.importing import import_factory
from edgekd.networks.layout import STRUCTURE, WEIGHTS
from edgekd.networks.weights import described, read_safetensors


class Network(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to build a module: call *factory* with *arguments*, apply *edits*.

    *factory* is ``package.module:function`` or ``path/to/file.py:function``.
    """

    factory: str
    arguments: Mapping[str, Argument] = {}
    edits: tuple[Edit, ...] = ()

    def edited(self, *edits: Edit) -> "Network":
        """Return this network with *edits* after those it has."""
        return msgspec.structs.replace(self, edits=self.edits + edits)


def build(network: Network, *, seed: int = 0) -> nn.Module:
    """Return the module that *network* describes, with a random start drawn from *seed*.

    The caller's random state is left as it was. Raises ConfigError where the factory cannot be imported,
    refuses its arguments or gives no module, and where an edit does not fit.
    """
    factory = import_factory(network.factory)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        with user_code(f"{network.factory}: called with {dict(network.arguments)}"):
            module = factory(**network.arguments)
        if not isinstance(module, nn.Module):
            message = f"{network.factory}: gave {type(module).__name__}; expected a torch.nn.Module."
            raise ConfigError(message)
        apply_edits(module, network.edits)
    return module


def save_network(folder: Path, network: Network, module: nn.Module) -> None:
    """Write ``network.json`` and ``weights.safetensors`` to *folder*. Equal networks give equal bytes."""
    tensors = {name: tensor.detach().clone().contiguous() for name, tensor in module.state_dict().items()}
    write_atomically(folder / WEIGHTS, save(tensors))
    write_atomically(folder / STRUCTURE, msgspec.json.format(msgspec.json.encode(network), indent=1))


def load_network(folder: Path) -> tuple[Network, nn.Module]:
    """Return the network saved in *folder* and its module in evaluation mode, which answers bit-equal.

    Nothing is unpickled. Raises ConfigError naming the file that is missing or does not fit.
    """
    network = read_structure(folder)
    module = build(network)
    load_weights(module, folder / WEIGHTS)
    return network, module.eval()


def read_structure(folder: Path) -> Network:
    """Return how to build the network in *folder*, without its weights."""
    path = folder / STRUCTURE
    try:
        data = msgspec.json.decode(path.read_bytes())
    except (OSError, msgspec.DecodeError) as error:
        message = f"{path}: cannot be read as a network ({error}); expected the JSON that edgekd writes."
        raise ConfigError(message) from error
    return convert(data, Network, where=str(path))


def load_weights(module: nn.Module, path: Path) -> None:
    """Copy a safetensors file's tensors into *module*: all of them, of equal shape and type, or ConfigError."""
    tensors = read_safetensors(path)
    expected = {name: described(tensor) for name, tensor in module.state_dict().items()}
    found = {name: described(tensor) for name, tensor in tensors.items()}
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            message = f"{path}: {name}: {found.get(name, 'missing')}; the network has {expected.get(name, 'none')}."
            raise ConfigError(message)
    module.load_state_dict(tensors)
