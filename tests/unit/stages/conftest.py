"""A task that a network of two lines can solve, a place for stages to run in, and teachers in every form."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from older import older_onnx
from samples import image_task
from torch import nn

from edgekd.core.progress import PlainProgress
from edgekd.networks.network import Network, build, save_network
from edgekd.stages.stage import Env
from edgekd.tasks.task import Task

MODULE = '''
import torch
from torch import nn

class Pair(nn.Module):
    """Gives its image twice."""
    def forward(self, images):
        return images, images

class Two(nn.Module):
    """Gives logits, and something else."""
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(64, 4)
    def forward(self, images):
        return self.head(images.flatten(1)), images

class Broken(nn.Module):
    """Fails."""
    def forward(self, images):
        raise KeyError("lost")

def raising():
    raise KeyError("lost")

def linear(classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, classes))

def frozen():
    return linear(4).requires_grad_(False)

def quadrants(turn=0):
    """The mean of each quadrant, as logits; turned, each class is named as the next."""
    head = nn.Linear(4, 4)
    with torch.no_grad():
        head.weight.copy_(torch.eye(4).roll(turn, 0) / 10)
        head.bias.zero_()
    return nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), head)

def convolved(classes=4, width=8):
    """A small network with something to cut."""
    return nn.Sequential(
        nn.Conv2d(1, width, 3, 2, 1), nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, width, 3, 1, 1), nn.ReLU(),
        nn.Flatten(), nn.Linear(16 * width, classes),
    )
'''

EnvOf = Callable[..., Env]


@pytest.fixture(autouse=True)
def _networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put a user's module with these networks on the path."""
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "user_networks.py").write_text(MODULE)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "user_networks", raising=False)
    yield
    sys.modules.pop("user_networks", None)


@pytest.fixture(scope="session")
def quadrants() -> Task:
    """Give 96 gray images of 8x8 pixels in 4 classes: which quadrant is bright."""
    random = np.random.default_rng(2)
    labels = np.tile(np.arange(4), 24).astype(np.int64)
    images = random.integers(0, 60, (96, 1, 8, 8), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        row, column = divmod(int(label), 2)
        image[0, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4] += 120
    return image_task(images, labels, classes=4)


@pytest.fixture
def env_of(tmp_path: Path) -> EnvOf:
    """Give a maker of what a stage may read; every one has a scratch folder of its own, all share one cache."""
    made: list[Path] = []

    def make(task: Task, log: "list[str] | None" = None) -> Env:
        scratch = tmp_path / f"scratch {len(made)}"
        scratch.mkdir()
        made.append(scratch)
        return Env(task=task, seed=0, progress=_progress(log), scratch=scratch, cache=tmp_path / "cache")

    return make


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Give an empty folder for a stage's result."""
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


@pytest.fixture
def folder_of(tmp_path: Path) -> Callable[..., Path]:
    """Give a function that saves a network of the user's module and returns its folder."""

    def save(name: str, **arguments: int) -> Path:
        network = Network(factory=f"user_networks:{name}", arguments=arguments)
        folder = tmp_path / "-".join((name, *map(str, arguments.values())))
        folder.mkdir()
        save_network(folder, network, build(network))
        return folder

    return save


@pytest.fixture
def onnx_of(tmp_path: Path) -> Callable[..., Path]:
    """Give a function that writes a network of the user's module as an ONNX file and returns its path."""

    def write(name: str, *, shape: tuple[int, ...] = (1, 8, 8), is_free: bool = True, **arguments: int) -> Path:
        module = build(Network(factory=f"user_networks:{name}", arguments=arguments))
        path = tmp_path / f"{'-'.join((name, *map(str, arguments.values())))}.onnx"
        onnx.save(older_onnx(module, shape, is_free=is_free), path)
        return path

    return write


class _Lines:
    """A stream that keeps whole lines."""

    def __init__(self, lines: list[str]) -> None:
        """Write into *lines*."""
        self._lines = lines

    def write(self, text: str) -> int:
        """Keep a line."""
        self._lines.append(text.rstrip())
        return len(text)

    def flush(self) -> None:
        """Nothing waits."""


def _progress(log: list[str] | None) -> PlainProgress:
    """Return plain lines into *log*, or into nothing."""
    return PlainProgress(_Lines([] if log is None else log))  # type: ignore[arg-type]


def state_of(module: nn.Module) -> dict[str, torch.Tensor]:
    """Return copies of all tensors of *module*."""
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}
