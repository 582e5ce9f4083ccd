"""Small networks, exported once in a session and quantized for each runtime."""

import functools
from collections.abc import Callable, Mapping
from types import MappingProxyType

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from onnx import ModelProto
from torch import Tensor, nn
from torch.nn import functional

from edgekd.export.exporter import export_onnx
from edgekd.networks.dscnn import dscnn
from edgekd.networks.resnet import resnet
from edgekd.quantize.calibrate import calibrated
from edgekd.quantize.fake import Encodings
from edgekd.quantize.placement import PLACEMENTS, Places, place
from edgekd.quantize.qdq import write_qdq
from edgekd.quantize.simulation import SimulatedGraph
from edgekd.targets import PlacementName
from edgekd.tasks.digits import load_digits

IMAGES = 200


class Quantized(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A network before and after: *simulation* rounds, *qdq* is the file that ships."""

    graph: ModelProto
    places: Places
    encodings: Encodings
    simulation: SimulatedGraph
    qdq: ModelProto


class Branches(nn.Module):
    """Max and average pooling, two branches joined, a gate, and the activations of mobile networks."""

    def __init__(self) -> None:
        """Make the layers."""
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 8, 3, 2, 1), nn.ReLU(), nn.MaxPool2d(2))
        self.left = nn.Sequential(nn.Conv2d(8, 8, 1), nn.Hardswish())
        self.right = nn.Sequential(nn.Conv2d(8, 8, 3, 1, 1, groups=8), nn.LeakyReLU(0.1))
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(16, 16, 1), nn.Sigmoid())
        self.last = nn.Sequential(nn.Conv2d(16, 16, 3), nn.ReLU6(), nn.AvgPool2d(2), nn.Flatten())
        self.classifier = nn.Linear(64, 10)

    def forward(self, images: Tensor) -> Tensor:
        """Map digits (batch, 1, 28, 28) to logits."""
        stem = self.stem(images)
        joined = torch.cat([self.left(stem), self.right(stem)], 1)
        logits: Tensor = self.classifier(self.last(joined * self.gate(joined)))
        return logits


NETWORKS: Mapping[str, Callable[[], nn.Module]] = MappingProxyType(
    {
        "resnet": lambda: resnet(classes=10, width=8),
        "dscnn": lambda: dscnn(classes=10, width=8),
        "branches": Branches,
    }
)


@functools.cache
def exported(name: str) -> ModelProto:
    """Return a network of the table, which tells most digits apart, as a canonical graph."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = NETWORKS[name]()
        _teach_head(network)
    return export_onnx(network.eval(), load_digits())


def _teach_head(network: nn.Module) -> None:
    """Fit the last layer of a random network to 1,000 digits by least squares, norms to what they see of them."""
    task, head = load_digits(), network.get_submodule("classifier")
    assert isinstance(head, nn.Linear)
    seen: list[Tensor] = []
    hook = head.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.bias, -0.5, 0.5)
                module.momentum = 1.0
        images = torch.from_numpy(task.read(task.train, slice(0, 1000))[0])
        network(images)
        network.eval()
        network(images)
        features = torch.cat([seen[-1], torch.ones(1000, 1)], 1)
        wanted = functional.one_hot(torch.from_numpy(task.train.targets[:1000]), 10).float() * 10
        ridge = features.t() @ features + 0.01 * torch.eye(features.shape[1])
        solution = torch.linalg.solve(ridge, features.t() @ wanted)
        head.weight.copy_(solution[:-1].t())
        head.bias.copy_(solution[-1])
    hook.remove()


@functools.cache
def quantized_network(name: str, placement: PlacementName) -> Quantized:
    """Return a network of the table quantized for a runtime, calibrated on training images."""
    task, graph = load_digits(), exported(name)
    places = place(graph.graph, PLACEMENTS[placement])
    simulation = SimulatedGraph(graph, places)
    encodings = calibrated(simulation, torch.from_numpy(task.read(task.train, slice(0, 128))[0]))
    simulation.quantize(encodings)
    return Quantized(
        graph=graph,
        places=places,
        encodings=encodings,
        simulation=simulation,
        qdq=write_qdq(graph, places, encodings),
    )


@functools.cache
def some_digits() -> NDArray[np.float32]:
    """Return normalized test images (200, 1, 28, 28)."""
    task = load_digits()
    return task.read(task.test, slice(0, IMAGES))[0]
