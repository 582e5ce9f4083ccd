"""A task small enough to train on in milliseconds."""

import numpy as np
import pytest

from edgekd.tasks.making import make_task
from edgekd.tasks.preprocessing import Preprocessing
from edgekd.tasks.task import Input, Split, Task


@pytest.fixture
def task() -> Task:
    """Give 26 random gray images of 6x6 pixels in 3 classes to train on, and 9 in each of the other splits."""
    random = np.random.default_rng(5)

    def split(count: int) -> Split:
        images = random.integers(0, 256, (count, 1, 6, 6), dtype=np.uint8)
        return Split(inputs=(images,), labels=random.integers(0, 3, count, dtype=np.int64))

    recipe = Preprocessing(scale=1 / 255, mean=(0.5,), std=(0.5,), layout="NCHW", channel_order="gray")
    return make_task(
        "dots",
        inputs=(Input(name="image", shape=(1, 6, 6), preprocessing=recipe),),
        labels=("a", "b", "c"),
        train=split(26),
        validation=split(9),
        test=split(9),
    )
