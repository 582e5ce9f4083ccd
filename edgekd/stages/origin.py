"""A network from where its settings say: built, and given its weights."""

from pathlib import Path

from torch import nn

from edgekd.networks.network import Network, build
from edgekd.networks.weights import load_into
from edgekd.stages.settings import Origin
from edgekd.tasks.task import Task

_OWN = "edgekd."


def network_of(origin: Origin, task: Task) -> Network:
    """Return how to build the network; edgekd's own factories get the data's classes and channels."""
    arguments = dict(origin.arguments)
    if origin.factory.startswith(_OWN):
        arguments = {"classes": len(task.labels), "channels": task.inputs[0].shape[0]} | arguments
    return Network(factory=origin.factory, arguments=arguments)


def built(origin: Origin, task: Task, *, seed: int) -> tuple[Network, nn.Module]:
    """Return the network and its module: with its weights, or with a random start drawn from *seed*.

    Raises ConfigError where the factory cannot be built or the weights do not fit.
    """
    network = network_of(origin, task)
    module = build(network, seed=seed)
    if origin.weights:
        load_into(module, Path(origin.weights))
    return network, module
