"""Data of two senses as a user would write it: an image and a vector, and only both together tell the class."""

import numpy as np

from edgekd.tasks.making import make_task
from edgekd.tasks.preprocessing import Preprocessing
from edgekd.tasks.task import Input, Split, Task

SIDE = 8


def samples(count: int, seed: int) -> Split:
    """Return *count* samples: class 0 is dark, class 1 bright and soft, class 2 bright and hard."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    images = np.where(labels == 0, 60, 180)[:, None, None, None] + random.normal(0, 10, (count, 1, SIDE, SIDE))
    touch = np.where(labels == 2, 1.0, -1.0)[:, None] + random.normal(0, 0.2, (count, 4))
    touch[labels == 0] *= random.choice([-1, 1], (int((labels == 0).sum()), 1))
    return Split(inputs=(images.astype(np.uint8), touch.astype(np.float32)), labels=labels.astype(np.int64))


def task() -> Task:
    """Return the task with its two inputs and two outputs."""
    image = Preprocessing(scale=1 / 255, mean=(0.5,), std=(0.25,), layout="NCHW", channel_order="gray")
    touch = Preprocessing(scale=1.0, mean=(0.0,) * 4, std=(1.0,) * 4, layout="NC", channel_order="none")
    return make_task(
        "senses",
        inputs=(
            Input(name="image", shape=(1, SIDE, SIDE), preprocessing=image),
            Input(name="touch", shape=(4,), preprocessing=touch),
        ),
        outputs=("kind", "felt"),
        labels=("dark", "soft", "hard"),
        train=samples(240, seed=0),
        validation=samples(60, seed=1),
        test=samples(60, seed=2),
    )
