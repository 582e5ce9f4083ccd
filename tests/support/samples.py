"""Tasks of random samples, and training settings that vary nothing: for tests of what trains."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edgekd.tasks.making import make_task
from edgekd.tasks.preprocessing import Preprocessing
from edgekd.tasks.task import Input, Split, Task

STILL: Final[Mapping[str, Any]] = MappingProxyType({"shift": 0.0, "rotation": 0.0, "scale": 0.0, "shear": 0.0})
"""The settings that turn off every change of a sample that is on by default."""


def image_task(images: NDArray[np.uint8], labels: NDArray[np.int64], *, classes: int = 10) -> Task:
    """Return a task of *images* (n, channels, height, width) in all three splits, as the numbers that are stored."""
    channels = images.shape[1]
    recipe = Preprocessing(
        scale=1.0,
        mean=(0.0,) * channels,
        std=(1.0,) * channels,
        layout="NCHW",
        channel_order="rgb" if channels == 3 else "gray",
    )
    split = Split(inputs=(images,), labels=labels)
    return make_task(
        "images",
        inputs=(Input(name="image", shape=images.shape[1:], preprocessing=recipe),),
        labels=tuple(f"class {number}" for number in range(classes)),
        train=split,
        validation=split,
        test=split,
    )


def random_task(count: int, *shape: int, classes: int = 10, seed: int = 0) -> Task:
    """Return a task of *count* random images of *shape* (channels, height, width) with random labels."""
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (count, *shape), dtype=np.uint8)
    return image_task(images, random.integers(0, classes, count), classes=classes)
