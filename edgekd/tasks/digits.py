"""The task that comes with edgekd: 5,000 real handwritten digits, 28x28, 500 of each class.

Where they come from, and under which licence: ``edgekd/data/digits/ORIGIN.md``.
"""

import hashlib
import io
from collections import Counter
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from edgekd.core.errors import ConfigError
from edgekd.tasks.making import make_task
from edgekd.tasks.preprocessing import Preprocessing
from edgekd.tasks.task import Input, Split, Task

ARCHIVE_SHA256 = "e613f869dab204a63ca426b433eb82b9fbeea13c331b12de387c1c5339df8224"

TEST_PER_CLASS = 100
VALIDATION_PER_CLASS = 40
SPLIT_RULE = (
    "images in the order of the SHA-256 of their 784 bytes; of each class the first 100 are test, "
    "the next 40 validation, the other 360 train"
)

# Mean and deviation of the pixels of MNIST's 60,000 training images, divided by 255: the numbers
# that published digit networks use, so that such a network can be brought as it is.
PREPROCESSING = Preprocessing(scale=1 / 255, mean=(0.1307,), std=(0.3081,), layout="NCHW", channel_order="gray")


def load_digits() -> Task:
    """Return the digits: 3,600 train and 400 validation images (together the 4,000), and 1,000 test images.

    Raises ConfigError when the file inside the package is missing or damaged.
    """
    images, labels = _read_archive()
    parts = split_parts(images, labels)
    splits = {
        part: Split(inputs=(images[indices][:, np.newaxis],), labels=labels[indices].astype(np.int64))
        for part, indices in parts.items()
    }
    return make_task(
        "digits",
        inputs=(Input(name="input", shape=(1, *images.shape[1:]), preprocessing=PREPROCESSING),),
        labels=tuple(str(digit) for digit in range(10)),
        train=splits["train"],
        validation=splits["validation"],
        test=splits["test"],
        split_rule=SPLIT_RULE,
    )


def split_parts(images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> dict[str, list[int]]:
    """Return the indices of train, validation and test as ``SPLIT_RULE`` says, each in digest order.

    The order of digests is as good as random, mixes the classes, and depends neither on a random
    generator's version nor on the order of the file. Shapes: images (n, height, width), labels (n,).
    """
    digests = [hashlib.sha256(image.tobytes()).digest() for image in images]
    parts: dict[str, list[int]] = {"train": [], "validation": [], "test": []}
    seen: Counter[int] = Counter()
    for index in sorted(range(len(digests)), key=digests.__getitem__):
        label = int(labels[index])
        parts[_part_of(seen[label])].append(index)
        seen[label] += 1
    return parts


def _part_of(place: int) -> str:
    """Return the split of the image that has *place* others of its class before it."""
    if place < TEST_PER_CLASS:
        return "test"
    return "validation" if place < TEST_PER_CLASS + VALIDATION_PER_CLASS else "train"


def _read_archive() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return images (5000, 28, 28) and labels (5000,), after checking the file's digest."""
    path = files("edgekd") / "data" / "digits" / "digits.npz"
    if not path.is_file():
        message = f"{path}: missing; expected the digits that come with edgekd; install edgekd again."
        raise ConfigError(message)
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != ARCHIVE_SHA256:
        message = f"{path}: damaged: SHA-256 is {found}, expected {ARCHIVE_SHA256}; install edgekd again."
        raise ConfigError(message)
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        return archive["images"], archive["labels"]
