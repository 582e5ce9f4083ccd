"""A task, teachers of both kinds, and guidance: small enough to train on in milliseconds."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from samples import STILL, random_task
from torch import nn

from edgekd.core.disk import write_atomically
from edgekd.core.strict import convert
from edgekd.distill.guidance import Guidance
from edgekd.export.exporter import export_onnx
from edgekd.networks.layout import GRAPH
from edgekd.networks.network import Network, build, save_network
from edgekd.tasks.task import Task

NETWORK = Network(factory="edgekd.networks.resnet:resnet", arguments={"classes": 5, "width": 4})
GuidanceOf = Callable[..., Guidance]


@pytest.fixture(autouse=True)
def _equal_start() -> Iterator[None]:
    """Give each test torch's random numbers from the start."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@pytest.fixture(scope="session")
def task() -> Task:
    """Give 48 random gray images of 8x8 pixels in 5 classes."""
    return random_task(48, 1, 8, 8, classes=5)


@pytest.fixture(scope="session")
def guided() -> GuidanceOf:
    """Give a maker of guidance: two epochs of six batches, nothing varied where it is not said."""

    def make(**fields: object) -> Guidance:
        return convert({"epochs": 2, "lr": 0.1, "batch_size": 8} | dict(STILL) | fields, Guidance, where="test")

    return make


@pytest.fixture(scope="session")
def teacher_folder(tmp_path_factory: pytest.TempPathFactory, task: Task) -> Path:
    """Give a stage's result: a residual network with moved statistics, and its ONNX graph."""
    folder = tmp_path_factory.mktemp("teacher")
    module = moved(build(NETWORK, seed=1))
    save_network(folder, NETWORK, module)
    write_atomically(folder / GRAPH, export_onnx(module, task).SerializeToString(deterministic=True))
    return folder


@pytest.fixture(scope="session")
def onnx_folder(tmp_path_factory: pytest.TempPathFactory, teacher_folder: Path) -> Path:
    """Give the same as a black box: the graph alone."""
    folder = tmp_path_factory.mktemp("black box")
    (folder / GRAPH).write_bytes((teacher_folder / GRAPH).read_bytes())
    return folder


def moved(module: nn.Module) -> nn.Module:
    """Return *module* in evaluation mode with its norms' numbers away from where they start."""
    generator = torch.Generator().manual_seed(5)
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point() and "norm" in name:
            tensor.add_(torch.rand(tensor.shape, generator=generator) / 2)
    return module.eval()
