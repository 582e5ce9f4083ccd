"""What a task is: labelled images in three fixed splits, and how they become a network's input."""

import hashlib
from collections.abc import Mapping
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgekd.core.errors import ConfigError

IMAGE_DIMENSIONS = 4


class Preprocessing(msgspec.Struct, frozen=True, kw_only=True):
    """The recipe from stored pixels to a network's input: ``(pixel * scale - mean) / std``.

    *mean* and *std* hold one number per channel, in units of the scaled pixel.
    """

    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    layout: Literal["NCHW"]
    channel_order: Literal["gray", "rgb", "bgr"]

    def __post_init__(self) -> None:
        """Raise ConfigError unless mean and std match and every std can be divided by."""
        if len(self.mean) != len(self.std):
            message = (
                f"preprocessing: mean has {len(self.mean)} channels, std has {len(self.std)}; "
                "give one number per channel in both."
            )
            raise ConfigError(message)
        if min(self.std, default=0.0) <= 0.0:
            message = f"preprocessing.std: {self.std}; expected at least one number, each above 0."
            raise ConfigError(message)


class Split(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Images with their classes, stored as bytes so that a split stays small in memory.

    Shapes: images (n, channels, height, width) uint8, labels (n,) int64.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def __post_init__(self) -> None:
        """Raise ConfigError when the arrays are not one label for each uint8 image."""
        if self.images.dtype != np.uint8 or self.images.ndim != IMAGE_DIMENSIONS:
            message = (
                f"split.images: {self.images.dtype} of shape {self.images.shape}; "
                "expected uint8 of shape (n, channels, height, width)."
            )
            raise ConfigError(message)
        if self.labels.dtype != np.int64 or self.labels.shape != self.images.shape[:1]:
            message = (
                f"split.labels: {self.labels.dtype} of shape {self.labels.shape}; "
                f"expected int64 of shape ({self.images.shape[0]},), one label for each image."
            )
            raise ConfigError(message)

    def __len__(self) -> int:
        """Return the number of images."""
        return int(self.images.shape[0])


class Task(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A classification task: its splits, its labels and what its networks take and give.

    *train* is fitted, *validation* decides between settings, *test* is looked at once, for the
    report; no image is in two of them. *digest* names the data, the split and the pre-processing
    (see ``digest_task``). *input_shape* is (channels, height, width), without the batch.
    """

    name: str
    digest: str
    labels: tuple[str, ...]
    input_name: str
    output_name: str
    input_shape: tuple[int, int, int]
    preprocessing: Preprocessing
    train: Split
    validation: Split
    test: Split

    def normalize(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return *images* as this task's networks expect them; see the function ``normalize``."""
        return normalize(images, self.preprocessing)


def normalize(images: NDArray[np.uint8], preprocessing: Preprocessing) -> NDArray[np.float32]:
    """Return ``(pixel * scale - mean) / std`` for each channel, computed in float32.

    Shapes: (n, channels, height, width) in and out. Every step is rounded to float32, so that the
    same arithmetic in an app or inside a graph gives the same numbers.
    Raises ConfigError when the images are not uint8 with as many channels as *preprocessing*.
    """
    channels = len(preprocessing.mean)
    if images.dtype != np.uint8 or images.ndim != IMAGE_DIMENSIONS or images.shape[1] != channels:
        message = (
            f"normalize: images are {images.dtype} of shape {images.shape}; "
            f"expected uint8 of shape (n, {channels}, height, width)."
        )
        raise ConfigError(message)
    mean = np.array(preprocessing.mean, dtype=np.float32).reshape(1, channels, 1, 1)
    std = np.array(preprocessing.std, dtype=np.float32).reshape(1, channels, 1, 1)
    scaled = images.astype(np.float32) * np.float32(preprocessing.scale)
    return (scaled - mean) / std


def digest_task(
    name: str,
    *,
    labels: tuple[str, ...],
    preprocessing: Preprocessing,
    split_rule: str,
    splits: Mapping[str, Split],
) -> str:
    """Return the SHA-256 that changes when a byte of data, its order, the split or the recipe does.

    Each array goes in after its name, type and shape, so that no two tasks run into the same bytes.
    """
    digest = hashlib.sha256(msgspec.json.encode([name, labels, preprocessing, split_rule]))
    for part, split in splits.items():
        for field, array in (("images", split.images), ("labels", split.labels)):
            digest.update(msgspec.json.encode([part, field, array.dtype.str, array.shape]))
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
