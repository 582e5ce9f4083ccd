"""Arrays to and from the raw files of tools/arm-emulation/run_model.c: no header, one sample after another."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgekd.core.errors import ConfigError

AnyArrays = tuple[NDArray[Any], ...]
"""One array for each input, or each output, of any element type that has a NumPy name."""

_ELEMENT_TYPES: Final = frozenset(
    {"float16", "float32", "float64", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "bool"}
)


class RawTensor(msgspec.Struct, frozen=True, kw_only=True):
    """What one tensor of a raw file is, in the form that the runner takes and prints: ``float32:1,3,32,32``."""

    dtype: str
    shape: tuple[int, ...]

    def __str__(self) -> str:
        """Return the runner's form."""
        return f"{self.dtype}:{','.join(map(str, self.shape))}"

    @property
    def size_bytes(self) -> int:
        """Return how many bytes it takes in the file."""
        return int(np.prod(self.shape, dtype=np.int64)) * np.dtype(self.dtype).itemsize


def write_samples(samples: Sequence[AnyArrays], path: Path) -> tuple[RawTensor, ...]:
    """Write *samples*, each a tuple of arrays in the model's order, to *path*; return what each array is.

    Raises ConfigError where there is no sample, where one differs from the first in number, types or shapes of its
    arrays, or where an element type has no place in such a file.
    """
    if not samples or not samples[0]:
        message = "samples for the emulator: there is none; at least one sample with one array is expected."
        raise ConfigError(message)
    kinds = tuple(_kind(array, position) for position, array in enumerate(samples[0]))
    with path.open("wb") as file:
        for number, sample in enumerate(samples):
            found = tuple(_kind(array, position) for position, array in enumerate(sample))
            if found != kinds:
                message = f"sample {number}: it holds {_listed(found)}, the first one {_listed(kinds)}: give all alike."
                raise ConfigError(message)
            for array in sample:
                file.write(np.ascontiguousarray(array).tobytes())
    return kinds


def parse_description(text: bytes) -> tuple[tuple[str, RawTensor], ...]:
    """Return name and kind of each output from what the runner prints: ``TYPE:SIZES NAME``, each ended by a zero."""
    return tuple(_described(entry) for entry in text.decode().split("\0")[:-1])


def read_outputs(path: Path, kinds: Sequence[RawTensor], samples: int) -> AnyArrays:
    """Return each output of all samples, joined along its first axis as one large batch would have it: (n, ...).

    An output without axes becomes (samples,).
    """
    rows = np.fromfile(path, dtype=np.uint8).reshape(samples, sum(kind.size_bytes for kind in kinds))
    ends = np.cumsum([kind.size_bytes for kind in kinds])
    pieces = np.split(rows, ends[:-1], axis=1)
    return tuple(_joined(piece, kind) for piece, kind in zip(pieces, kinds, strict=True))


def _kind(array: NDArray[Any], position: int) -> RawTensor:
    """Return what *array* is."""
    if array.dtype.name not in _ELEMENT_TYPES or not array.dtype.isnative:
        message = f"input {position}: {array.dtype} arrays cannot be given to the emulator; expected are numbers."
        raise ConfigError(message)
    return RawTensor(dtype=array.dtype.name, shape=array.shape)


def _described(entry: str) -> tuple[str, RawTensor]:
    """Return name and kind of one output."""
    kind, _, name = entry.partition(" ")
    dtype, _, sizes = kind.partition(":")
    return name, RawTensor(dtype=dtype, shape=tuple(int(size) for size in sizes.split(",") if size))


def _joined(piece: NDArray[np.uint8], kind: RawTensor) -> NDArray[Any]:
    """Return the bytes (samples, bytes of one) of an output as one array."""
    samples = len(piece)
    first, *rest = kind.shape or (1,)
    values: NDArray[Any] = np.ascontiguousarray(piece).reshape(-1).view(kind.dtype)
    return values.reshape(samples * first, *rest)


def _listed(kinds: Sequence[RawTensor]) -> str:
    """Return *kinds* for a message."""
    return " and ".join(map(str, kinds)) or "nothing"
