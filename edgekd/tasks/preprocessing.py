"""The recipe from stored numbers to what a network takes."""

from typing import Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgekd.core.errors import ConfigError

Array = NDArray[np.generic]
Layout = Literal["NCHW", "NCL", "NC"]

DIMENSIONS: Final[dict[Layout, int]] = {"NC": 2, "NCL": 3, "NCHW": 4}
"""Dimensions of a batch in each layout: N samples, C channels, then height and width, or length."""


class Preprocessing(msgspec.Struct, frozen=True, kw_only=True):
    """The recipe from stored numbers to a network's input: ``(number * scale - mean) / std``.

    *mean* and *std* hold one number per channel, in units of the scaled number.
    """

    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    layout: Layout
    channel_order: Literal["gray", "rgb", "bgr", "none"]

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


def normalize(rows: Array, preprocessing: Preprocessing) -> NDArray[np.float32]:
    """Return ``(number * scale - mean) / std`` for each channel, computed in float32.

    Shapes: (n, channels, ...) in and out. Every step is rounded to float32, so that the same arithmetic in an
    app or inside a graph gives the same numbers. Raises ConfigError for another number of channels or dimensions.
    """
    channels, dimensions = len(preprocessing.mean), DIMENSIONS[preprocessing.layout]
    if rows.ndim != dimensions or rows.shape[1] != channels:
        message = (
            f"normalize: the rows are {rows.dtype} of shape {rows.shape}; "
            f"expected {dimensions} dimensions ({preprocessing.layout}) with {channels} channels."
        )
        raise ConfigError(message)
    spread = (1, channels, *(1,) * (dimensions - 2))
    result = rows.astype(np.float32)
    result *= np.float32(preprocessing.scale)
    result -= np.array(preprocessing.mean, dtype=np.float32).reshape(spread)
    result /= np.array(preprocessing.std, dtype=np.float32).reshape(spread)
    return result
