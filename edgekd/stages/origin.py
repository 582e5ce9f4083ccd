"""A network from where its settings say: built, and given its weights."""

from inspect import signature
from pathlib import Path

from torch import nn

from edgekd.networks.importing import import_factory
from edgekd.networks.network import Network, build
from edgekd.networks.weights import load_into
from edgekd.stages.settings import Origin
from edgekd.tasks.task import Task

_OWN = "edgekd."


def network_of(origin: Origin, task: Task) -> Network:
    """Return how to build the network; edgekd's own factories get what they ask for of the data's sizes."""
    arguments = dict(origin.arguments)
    if origin.factory.startswith(_OWN):
        asked = signature(import_factory(origin.factory)).parameters
        arguments = {name: size for name, size in _sizes(task).items() if name in asked} | arguments
    return Network(factory=origin.factory, arguments=arguments)


def _sizes(task: Task) -> dict[str, int]:
    """Return the sizes of *task* under the names that edgekd's factories have for them."""
    shape = task.inputs[0].shape
    return {"classes": len(task.labels), "channels": shape[0], "image_size": shape[-1]}


def built(origin: Origin, task: Task, *, seed: int) -> tuple[Network, nn.Module]:
    """Return the network and its module: with its weights, or with a random start drawn from *seed*.

    Raises ConfigError where the factory cannot be built or the weights do not fit.
    """
    network = network_of(origin, task)
    module = build(network, seed=seed)
    if origin.weights:
        load_into(module, Path(origin.weights))
    return network, module
