"""What a task is: samples in three fixed splits, how they become a network's inputs, and what its answer means."""

from collections.abc import Iterator
from typing import Any, Final, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgekd.core.errors import ConfigError
from edgekd.tasks.preprocessing import Preprocessing, normalize

STORED: Final = ("uint8", "int16", "float32")
"""What rows may be stored as: pixels, sound samples, anything else."""

Arrays = tuple[NDArray[np.float32], ...]
"""One batch of network inputs, one array for each input of the task."""


class Rows(Protocol):
    """Samples by index: a NumPy array, or anything that is read from disk as one (``numpy.memmap``, ``RowFile``)."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Return (n, ...)."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Return the type of the stored numbers."""
        ...

    def __len__(self) -> int:
        """Return n."""
        ...

    def __getitem__(self, index: Any, /) -> Any:  # noqa: ANN401 - NumPy's own rule
        """Return the rows of a slice, or of an array of indices, as a NumPy array."""
        ...


class Input(msgspec.Struct, frozen=True, kw_only=True):
    """One input of the task's networks: its name in ONNX, its *shape* without the batch, and its pre-processing."""

    name: str
    shape: tuple[int, ...]
    preprocessing: Preprocessing


class Split(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Samples, as they are stored, with their classes.

    *inputs* holds rows (n, ...) for each input of the task. *labels* is (n,) int64, or None for samples that
    nobody has labelled: then a teacher has to (``labelled``).
    """

    inputs: tuple[Rows, ...]
    labels: NDArray[np.int64] | None

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.inputs[0])

    @property
    def targets(self) -> NDArray[np.int64]:
        """Return the labels (n,); ConfigError where there are none."""
        if self.labels is None:
            message = "this data has no labels; give a teacher, whose answers then take their place."
            raise ConfigError(message)
        return self.labels


class Task(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A classification task: its splits, its labels and what its networks take and give.

    *train* is fitted, *validation* decides between settings, *test* is looked at once, for the report; no sample is
    in two of them. *labels* names the classes. A network is called with one tensor for each of *inputs*, in their
    order, and answers with one for each of *outputs*, of which the first is the logits (batch, classes): it is
    trained and judged, the others ship as they are. *digest* names all of that (see ``make_task``).
    *labelled_by* says whose answers the labels are where the data came without.
    """

    name: str
    digest: str
    labels: tuple[str, ...]
    inputs: tuple[Input, ...]
    outputs: tuple[str, ...]
    train: Split
    validation: Split
    test: Split
    labelled_by: str = ""

    @property
    def splits(self) -> dict[str, Split]:
        """Return the three splits by name."""
        return {"train": self.train, "validation": self.validation, "test": self.test}

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Return the shape of each input, without the batch."""
        return tuple(entry.shape for entry in self.inputs)

    def read(self, split: Split, index: slice | NDArray[np.int64]) -> Arrays:
        """Return the samples *index* of *split* as the networks take them: float32, normalized."""
        return tuple(
            normalize(rows[index], entry.preprocessing) for rows, entry in zip(split.inputs, self.inputs, strict=True)
        )

    def batches(self, split: Split, *, size: int = 250) -> Iterator[Arrays]:
        """Yield all samples of *split* in their order, *size* at a time."""
        for start in range(0, len(split), size):
            yield self.read(split, slice(start, start + size))
