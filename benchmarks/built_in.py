"""The built-in networks with random weights as canonical graphs, in sizes that a benchmark can afford."""

from collections.abc import Mapping
from types import MappingProxyType, SimpleNamespace
from typing import Any, Final

import msgspec
import torch
from onnx import ModelProto

from edgekd.export.exporter import export_onnx
from edgekd.networks.catalog import resolve_factory
from edgekd.networks.importing import import_factory


class BuiltIn(msgspec.Struct, frozen=True, kw_only=True):
    """A network by name, the arguments of its factory and the shape of its input without the batch."""

    factory: str
    arguments: Mapping[str, Any]
    shape: tuple[int, ...]


def _of(factory: str, *shape: int, **arguments: object) -> BuiltIn:
    """Return an entry of the table."""
    return BuiltIn(factory=factory, arguments=arguments, shape=shape)


NETWORKS: Final[Mapping[str, BuiltIn]] = MappingProxyType(
    {
        "dscnn": _of("dscnn", 1, 28, 28, classes=10, channels=1),
        "dscnn_kws": _of("dscnn_kws", 1, 49, 10, classes=12),
        "mobilenetv2": _of("mobilenetv2", 3, 224, 224, classes=1000),
        "resnet": _of("resnet", 1, 28, 28, classes=10, channels=1),
        "resnet8": _of("resnet8", 3, 32, 32, classes=10),
        "resnet18": _of("resnet18", 3, 224, 224, classes=1000),
        "resnet20": _of("resnet20", 3, 32, 32, classes=10),
        "resnet56": _of("resnet56", 3, 32, 32, classes=10),
        "vit": _of("vit", 3, 224, 224, classes=1000),
    }
)


def exported(name: str, *, seed: int = 0) -> ModelProto:
    """Return the graph of a built-in network, its weights and statistics of norms random."""
    network = NETWORKS[name]
    torch.manual_seed(seed)
    module = import_factory(resolve_factory(network.factory).factory)(**network.arguments)
    for layer in module.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(layer.weight, 0.5, 1.5)
            torch.nn.init.uniform_(layer.bias, -0.5, 0.5)
        elif isinstance(layer, torch.nn.Linear) and layer.bias is not None:
            torch.nn.init.uniform_(layer.bias, -0.5, 0.5)  # zeros would all be one constant, as in no trained network
    task: Any = SimpleNamespace(shapes=(network.shape,), inputs=(SimpleNamespace(name="input"),), outputs=("logits",))
    return export_onnx(module.eval(), task)
