"""A task with an image and a sound as its inputs, and a network for it that gives logits and features."""

import functools

import numpy as np
import torch
from torch import Tensor, nn

from edgekd.tasks.making import make_task
from edgekd.tasks.preprocessing import Preprocessing
from edgekd.tasks.task import Input, Split, Task

CLASSES = 4
SAMPLES = 96


class Both(nn.Module):
    """An image and a sound, each through its own branch; logits, and the features that they are made of."""

    def __init__(self, classes: int = CLASSES, width: int = 8) -> None:
        """Make the layers."""
        super().__init__()
        self.sight = nn.Sequential(
            nn.Conv2d(1, width, 3, 2, 1), nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, width, 3), nn.ReLU()
        )
        self.hearing = nn.Sequential(
            nn.Conv1d(2, width, 5, 2, 2), nn.BatchNorm1d(width), nn.ReLU(), nn.MaxPool1d(2), nn.Conv1d(width, width, 3),
            nn.ReLU(),
        )  # fmt: skip
        self.join, self.classifier = nn.Linear(2 * width, 2 * width), nn.Linear(2 * width, classes)

    def forward(self, image: Tensor, sound: Tensor) -> tuple[Tensor, Tensor]:
        """Map (batch, 1, 12, 12) and (batch, 2, 40) to logits (batch, classes) and features (batch, 2 width)."""
        seen, heard = self.sight(image).mean((2, 3)), self.hearing(sound).mean(2)
        features = torch.relu(self.join(torch.cat([seen, heard], 1)))
        return self.classifier(features), features


@functools.cache
def both_task() -> Task:
    """Return 96 samples in 4 classes: where the image is bright tells two apart, how fast the sound swings two more."""
    random = np.random.default_rng(3)
    labels = np.tile(np.arange(CLASSES), SAMPLES // CLASSES)
    images = random.integers(0, 60, (SAMPLES, 1, 12, 12), dtype=np.uint8)
    images[labels % 2 == 0, :, :6] += 150
    images[labels % 2 == 1, :, 6:] += 150
    swing = np.where(labels < CLASSES // 2, 0.3, 1.5)[:, None, None]
    phase = random.uniform(0, 6, (SAMPLES, 2, 1))
    sounds = np.sin(swing * np.arange(40) + phase) + random.normal(0, 0.1, (SAMPLES, 2, 40))
    split = Split(inputs=(images, sounds.astype(np.float32)), labels=labels.astype(np.int64))
    pixels = Preprocessing(scale=1 / 255, mean=(0.4,), std=(0.3,), layout="NCHW", channel_order="gray")
    sound = Preprocessing(scale=1.0, mean=(0.0, 0.0), std=(1.0, 1.0), layout="NCL", channel_order="none")
    return make_task(
        "sight and hearing",
        inputs=(
            Input(name="image", shape=(1, 12, 12), preprocessing=pixels),
            Input(name="sound", shape=(2, 40), preprocessing=sound),
        ),
        outputs=("logits", "features"),
        labels=tuple(f"class {number}" for number in range(CLASSES)),
        train=split,
        validation=split,
        test=split,
    )


def both_network() -> Both:
    """Return the network with the same random weights every time, its norms fitted to the task."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(1)
        network = Both()
        for module in network.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                nn.init.uniform_(module.bias, -0.5, 0.5)
                module.momentum = 1.0
        network(*both_samples())
    return network.eval()


def both_samples() -> tuple[Tensor, ...]:
    """Return all samples as the network takes them."""
    task = both_task()
    return tuple(torch.from_numpy(array) for array in task.read(task.train, slice(None)))
